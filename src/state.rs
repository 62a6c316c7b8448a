//! The state of a deployment as front-ends hand it out: what the document says, beside what is.

use rolling_provider::Revision;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::engine::Rollout;
use crate::event::{InstanceReport, Outcome, Report};

/// Attributes that the provider computes and a configuration may not set.
pub const COMPUTED: [&str; 8] = [
    "id",
    "status",
    "target_revision",
    "deployed_revision",
    "completed_revision",
    "batches",
    "instances",
    "last_error",
];

/// Computed attributes that nobody knows before a rollout has ended.
pub const OUTCOME: [&str; 5] =
    ["status", "deployed_revision", "completed_revision", "instances", "last_error"];

/// The state as the fleet is now.
pub fn current(config: &Value, rollout: &Rollout) -> Value {
    let preview = rollout.preview();
    let status = match rollout.record() {
        Some(record) => record.status(),
        None if preview.changes => "pending",
        None => "succeeded",
    };
    let instances = rollout.instances();
    with(
        config,
        [
            ("id", json!(rollout.target().id)),
            ("status", json!(status)),
            ("target_revision", json!(rollout.wanted())),
            ("deployed_revision", json!(deployed(&instances))),
            ("completed_revision", json!(rollout.completed())),
            ("batches", json!([])),
            ("instances", json!(instances)),
            ("last_error", Value::Null),
        ],
    )
}

/// The state that a rollout is planned to lead to, with null for what nobody knows yet.
pub fn planned(config: &Value, rollout: &Rollout) -> Value {
    let preview = rollout.preview();
    let mut state = current(config, rollout);
    state["batches"] = json!(sizes(&preview));
    if preview.changes {
        for name in OUTCOME {
            state[name] = Value::Null;
        }
    }
    state
}

/// The state that a rollout led to. `batches` are kept as they were planned.
pub fn after(config: &Value, id: &str, batches: Value, report: &Report) -> Value {
    let error = match report.outcome {
        Outcome::Succeeded => None,
        _ => report.reason.clone(),
    };
    with(
        config,
        [
            ("id", json!(id)),
            ("status", json!(report.outcome)),
            ("target_revision", json!(report.to)),
            ("deployed_revision", json!(deployed(&report.instances))),
            ("completed_revision", json!(report.completed)),
            ("batches", batches),
            ("instances", json!(report.instances)),
            ("last_error", json!(error)),
        ],
    )
}

/// The configuration inside a state.
pub fn config_of(state: &Value) -> Value {
    let attributes = state.as_object().into_iter().flatten();
    let set = attributes.filter(|(name, _)| !COMPUTED.contains(&name.as_str()));
    Value::Object(set.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// Sizes of the batches of a plan: launched beside the fleet, and replaced.
pub fn sizes(preview: &crate::plan::Preview) -> Vec<Value> {
    let batches = preview.batches.iter();
    batches.map(|b| json!({ "launches": b.launches, "replaces": b.replaces.len() })).collect()
}

/// Tells one plan from another: covers the configuration and the revision that is rolled out,
/// never the instances that happen to live.
pub fn plan_hash(config: &Value, revision: &Revision) -> String {
    // serde_json keeps the keys of an object in order, so equal configurations print alike.
    let text = json!([crate::document::normalised(config), revision]).to_string();
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn deployed(instances: &[InstanceReport]) -> Option<&Revision> {
    let first = instances.first()?.revision.as_ref()?;
    let all = instances.iter().all(|instance| instance.revision.as_ref() == Some(first));
    all.then_some(first)
}

fn with<const N: usize>(config: &Value, computed: [(&str, Value); N]) -> Value {
    let mut state: Map<String, Value> = config.as_object().cloned().unwrap_or_default();
    state.extend(computed.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(state)
}
