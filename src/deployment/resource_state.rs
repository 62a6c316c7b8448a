//! The state of a deployment as front-ends hand it out: its configuration, and what the provider
//! computes.

use std::collections::BTreeMap;
use std::time::Duration;

use rolling_provider::Revision;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::engine::Rollout;
use crate::model::event::{InstanceReport, Outcome, Report};
use crate::model::preview::Preview;

/// Attributes that the provider computes and a configuration may not set.
pub(crate) const COMPUTED: [&str; 12] = [
    "id",
    "status",
    "target_revision",
    "deployed_revision",
    "completed_revision",
    "batches",
    "floor",
    "ceiling",
    "expected_duration",
    "fleet",
    "instances",
    "last_error",
];

/// The place of `instances` among [`COMPUTED`].
pub(crate) const INSTANCES: usize = 10;

/// Computed attributes that are unknown until a rollout has ended.
pub(crate) const OUTCOME: [&str; 6] =
    ["status", "deployed_revision", "completed_revision", "fleet", "instances", "last_error"];

/// Computed attributes that a plan settles: they stay as planned until the next rollout.
pub(crate) const PLANNED: [&str; 4] = ["batches", "floor", "ceiling", "expected_duration"];

/// Attributes that the provider computes. Null means not known, or not known yet.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Computed {
    /// The target's own name in its cloud.
    pub(crate) id: Option<String>,
    /// `succeeded`, `rolled_back`, `failed`, `paused`, `aborted`; `pending` when the fleet does not
    /// match the configuration yet; otherwise the phase of the rollout under way.
    pub(crate) status: Option<String>,
    /// The revision that every instance is to run.
    pub(crate) target_revision: Option<String>,
    /// The revision that every instance runs; null while they differ.
    pub(crate) deployed_revision: Option<String>,
    /// The last revision that the whole fleet is known to have run: the target of a rollback.
    pub(crate) completed_revision: Option<String>,
    /// The planned batches.
    pub(crate) batches: Option<Vec<BatchSizes>>,
    /// The planned minimum of instances that serve throughout.
    pub(crate) floor: Option<u32>,
    /// The planned maximum of instances that live at the same time.
    pub(crate) ceiling: Option<u32>,
    /// The planned duration, for example `4m 40s`.
    pub(crate) expected_duration: Option<String>,
    /// How many instances run each revision.
    pub(crate) fleet: Option<Vec<OnRevision>>,
    /// Every instance, with the revision that it runs.
    pub(crate) instances: Option<Vec<InstanceReport>>,
    /// Why the last rollout did not succeed.
    pub(crate) last_error: Option<String>,
}

/// How many instances run a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnRevision {
    /// The revision; null when it is unknown.
    pub(crate) revision: Option<String>,
    /// Instances that run it.
    pub(crate) instances: u32,
    /// Instances among them that take requests.
    pub(crate) serving: u32,
}

/// Sizes of one batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchSizes {
    /// Instances launched beside the fleet.
    pub(crate) launches: u32,
    /// Instances replaced.
    pub(crate) replaces: usize,
}

/// Returns the state as the fleet is now.
pub(crate) fn current(config: &Value, rollout: &Rollout) -> Value {
    let preview = rollout.preview();
    let (status, last_error) = match rollout.status() {
        Some(status) => status,
        None if preview.changes => ("pending", None),
        None => ("succeeded", None),
    };
    let instances = rollout.instances();
    let computed = Computed {
        id: Some(rollout.target().id.clone()),
        status: Some(status.into()),
        target_revision: Some(rollout.wanted().to_string()),
        deployed_revision: deployed(&instances),
        completed_revision: rollout.completed().map(|revision| revision.to_string()),
        batches: Some(Vec::new()),
        floor: Some(preview.floor),
        ceiling: Some(preview.ceiling),
        expected_duration: Some(span(0)),
        fleet: Some(fleet(&instances)),
        instances: Some(instances),
        last_error,
    };
    with(config, &computed)
}

/// Returns the state as the fleet is now, after the state `prior`.
pub(crate) fn refreshed(prior: &Value, rollout: &Rollout) -> Value {
    let mut state = current(&config_of(prior), rollout);
    for name in PLANNED {
        if let Some(value) = prior.get(name) {
            state[name] = value.clone();
        }
    }
    // The error of the last rollout stays until the fleet runs what that rollout was to bring.
    if rollout.status().is_none() && state["status"] != "succeeded" {
        state["last_error"] = prior["last_error"].clone();
    }
    state
}

/// Returns the state that a rollout is planned to lead to, with null for what is not known yet.
pub(crate) fn planned(config: &Value, rollout: &Rollout) -> Value {
    let preview = rollout.preview();
    let mut state = current(config, rollout);
    for (name, value) in figures(&preview) {
        state[name] = value;
    }
    if preview.changes {
        for name in OUTCOME {
            state[name] = Value::Null;
        }
    }
    state
}

/// Returns the attributes that [`PLANNED`] names, for a plan.
pub(crate) fn figures(preview: &Preview) -> [(&'static str, Value); 4] {
    let expected = span(preview.expected_seconds);
    let of = |name| match name {
        "batches" => json!(sizes(preview)),
        "floor" => json!(preview.floor),
        "ceiling" => json!(preview.ceiling),
        _ => json!(expected),
    };
    PLANNED.map(|name| (name, of(name)))
}

/// Returns the state that a rollout is planned to lead to while the target is not known.
pub(crate) fn unknown(config: &Value) -> Value {
    with(
        config,
        &Computed {
            id: None,
            status: None,
            target_revision: None,
            deployed_revision: None,
            completed_revision: None,
            batches: None,
            floor: None,
            ceiling: None,
            expected_duration: None,
            fleet: None,
            instances: None,
            last_error: None,
        },
    )
}

/// Returns the state that a rollout led to. Keeps the attributes of [`PLANNED`] in `planned`.
pub(crate) fn after(config: &Value, id: &str, planned: &Value, report: &Report) -> Value {
    let error = match report.outcome {
        Outcome::Succeeded => None,
        _ => report.reason.clone(),
    };
    let computed = Computed {
        id: Some(id.into()),
        status: Some(report.outcome.name().into()),
        target_revision: Some(report.to.to_string()),
        deployed_revision: deployed(&report.instances),
        completed_revision: report.completed.as_ref().map(ToString::to_string),
        batches: None,
        floor: None,
        ceiling: None,
        expected_duration: None,
        fleet: Some(fleet(&report.instances)),
        instances: Some(report.instances.clone()),
        last_error: error,
    };
    let mut state = with(config, &computed);
    for name in PLANNED {
        state[name] = planned[name].clone();
    }
    state
}

/// Returns the configuration inside a state.
pub fn config_of(state: &Value) -> Value {
    let attributes = state.as_object().into_iter().flatten();
    let set = attributes.filter(|(name, _)| !COMPUTED.contains(&name.as_str()));
    Value::Object(set.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// Returns the target of a configuration, by its name for people.
pub(crate) fn target_name(config: &Value) -> String {
    let name = crate::document::target_names().find_map(|path| config.pointer(path)?.as_str());
    name.unwrap_or_default().to_owned()
}

/// Sizes of the batches of a plan: launched beside the fleet, and replaced.
pub(crate) fn sizes(preview: &Preview) -> Vec<BatchSizes> {
    let batches = preview.batches.iter();
    batches
        .map(|batch| BatchSizes { launches: batch.launches, replaces: batch.replaces.len() })
        .collect()
}

/// Returns a hash that identifies a plan. It covers the configuration and the revision that is
/// rolled out, never the instances that happen to live.
pub fn plan_hash(config: &Value, revision: &Revision) -> String {
    // serde_json keeps the keys of an object in order, so equal configurations print alike.
    let text = json!([crate::document::normalised(config), revision]).to_string();
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn span(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

fn fleet(instances: &[InstanceReport]) -> Vec<OnRevision> {
    let mut fleet: BTreeMap<Option<String>, (u32, u32)> = BTreeMap::new();
    for instance in instances {
        let revision = instance.revision.as_ref().map(ToString::to_string);
        let (live, serving) = fleet.entry(revision).or_default();
        *live += 1;
        *serving += u32::from(instance.serves);
    }
    let on = |(revision, (instances, serving))| OnRevision { revision, instances, serving };
    fleet.into_iter().map(on).collect()
}

fn deployed(instances: &[InstanceReport]) -> Option<String> {
    let first = instances.first()?.revision.as_ref()?;
    let all = instances.iter().all(|instance| instance.revision.as_ref() == Some(first));
    all.then(|| first.to_string())
}

fn with(config: &Value, computed: &Computed) -> Value {
    let mut state: Map<String, Value> = config.as_object().cloned().unwrap_or_default();
    if let Value::Object(computed) = json!(computed) {
        state.extend(computed);
    }
    Value::Object(state)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// An attribute that a list forgets would be taken for configuration, or stay unknown for ever.
    #[test]
    fn the_lists_of_computed_attributes_are_those_of_the_type() {
        let schema = crate::deployment::schema::of::<Computed>();
        let fields: BTreeSet<&str> =
            schema["properties"].as_object().expect("a type").keys().map(String::as_str).collect();
        assert_eq!(fields, BTreeSet::from(COMPUTED));
        assert_eq!(COMPUTED[INSTANCES], "instances");
        // The target's name, and the revision that is wanted: known as soon as the fleet is.
        let by_the_look = ["id", "target_revision"];
        let listed = by_the_look.iter().chain(&OUTCOME).chain(&PLANNED);
        let listed: Vec<&str> = listed.copied().collect();
        assert_eq!(listed.len(), fields.len(), "each in one list");
        assert_eq!(BTreeSet::from_iter(listed), fields);
    }
}
