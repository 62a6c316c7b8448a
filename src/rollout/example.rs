//! What the tests of pure functions begin with: a deployment, its target, a look at it.

use std::collections::BTreeMap;

use rolling_provider::{Capacity, Instance, Observation, Target, Timestamp};

use crate::document;
use crate::model::spec::RollingDeployment;

/// Returns a deployment of `lt-1:2` with these attributes.
pub(crate) fn spec(attributes: &serde_json::Value) -> RollingDeployment {
    let mut config = serde_json::json!({
        "policy": "all_at_once",
        "auto_scaling_group": {
            "name": "web", "launch_template": { "id": "lt-1", "version": "2" },
        },
    });
    for (name, value) in attributes.as_object().expect("attributes") {
        config[name] = value.clone();
    }
    document::deployment(&config, "").expect("a deployment").1
}

/// Returns a group that is to run `lt-1:2`, with no target groups.
pub(crate) fn target() -> Target {
    Target {
        aliases: BTreeMap::from([("lt-1:$Latest".into(), "lt-1:2".into())]),
        ..Target::new("arn", "web", "auto scaling group", "lt-1:2".into())
    }
}

/// Returns a look at a group without instances that launches `template`.
pub(crate) fn look(template: &str) -> Observation {
    Observation {
        controller: None,
        at: Timestamp(0),
        instances: BTreeMap::new(),
        capacity: Some(Capacity { min: 0, max: 4, desired: 0, units: None }),
        reserve: BTreeMap::new(),
        template: Some(template.into()),
        shifted: None,
        suspended: Default::default(),
        record: BTreeMap::new(),
    }
}

/// Returns the look with an instance in service that runs `revision`.
pub(crate) fn with_instance(mut look: Observation, id: &str, revision: &str) -> Observation {
    look.instances.insert(id.into(), Instance::serving(Some(revision.into()), []));
    look
}
