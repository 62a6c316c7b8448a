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

/// When the value of a computed attribute is known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnownBy {
    /// As soon as the fleet is.
    Look,
    /// Once a plan settles it: it stays as planned until the next rollout.
    Plan,
    /// Once a rollout has ended.
    Outcome,
}

/// Declares the computed attributes: the type, and the list with when each is known.
macro_rules! computed {
    ($($known:ident: $(#[$doc:meta])+ $name:ident: $type:ty,)+) => {
        /// Attributes that the provider computes. Null means not known, or not known yet.
        #[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct Computed {
            $($(#[$doc])+ pub(crate) $name: Option<$type>,)+
        }

        /// Attributes that the provider computes and a configuration may not set.
        pub(crate) const COMPUTED: [&str; [$(stringify!($name)),+].len()] =
            [$(stringify!($name)),+];

        const KNOWN: [KnownBy; COMPUTED.len()] = [$(KnownBy::$known),+];
    };
}

computed! {
    Look:
    /// The target's own name in its cloud.
    id: String,
    Outcome:
    /// `succeeded`, `rolled_back`, `failed`, `paused`, `aborted`; `pending` when the fleet does not
    /// match the configuration yet; otherwise the phase of the rollout under way.
    status: String,
    Look:
    /// The revision that every instance is to run.
    target_revision: String,
    Outcome:
    /// The revision that every instance runs; null while they differ.
    deployed_revision: String,
    Outcome:
    /// The last revision that the whole fleet is known to have run: the target of a rollback.
    completed_revision: String,
    Outcome:
    /// The last revision before `completed_revision` that the whole fleet is known to have run: the
    /// target of a rollback once the rollout is over.
    previous_revision: String,
    Plan:
    /// The planned batches.
    batches: Vec<BatchSizes>,
    Plan:
    /// The planned minimum of instances that serve throughout.
    floor: u32,
    Plan:
    /// The planned maximum of instances that live at the same time.
    ceiling: u32,
    Plan:
    /// The planned duration, for example `4m 40s`.
    expected_duration: String,
    Outcome:
    /// How many instances run each revision.
    fleet: Vec<OnRevision>,
    Outcome:
    /// Every instance, with the revision that it runs.
    instances: Vec<InstanceReport>,
    Outcome:
    /// Why the last rollout did not succeed.
    last_error: String,
}

/// Returns the names of the computed attributes that are known then.
pub(crate) fn computed(known: KnownBy) -> impl Iterator<Item = &'static str> {
    COMPUTED.into_iter().zip(KNOWN).filter(move |(_, it)| *it == known).map(|(name, _)| name)
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
    let attributes = Computed {
        id: Some(rollout.target().id.clone()),
        status: Some(status.into()),
        target_revision: Some(rollout.wanted().to_string()),
        deployed_revision: deployed(&instances),
        completed_revision: rollout.completed().map(|revision| revision.to_string()),
        previous_revision: rollout.previous().map(|revision| revision.to_string()),
        batches: Some(Vec::new()),
        floor: Some(preview.floor),
        ceiling: Some(preview.ceiling),
        expected_duration: Some(span(0)),
        fleet: Some(fleet(&instances)),
        instances: Some(instances),
        last_error,
    };
    with(config, &attributes)
}

/// Returns the state as the fleet is now, after the state `prior`.
pub(crate) fn refreshed(prior: &Value, rollout: &Rollout) -> Value {
    let mut state = current(&config_of(prior), rollout);
    for name in computed(KnownBy::Plan) {
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
        for name in computed(KnownBy::Outcome) {
            state[name] = Value::Null;
        }
    }
    state
}

/// Returns the attributes that a plan settles.
pub(crate) fn figures(preview: &Preview) -> impl Iterator<Item = (&'static str, Value)> {
    let figures = json!(Computed {
        batches: Some(sizes(preview)),
        floor: Some(preview.floor),
        ceiling: Some(preview.ceiling),
        expected_duration: Some(span(preview.expected_seconds)),
        ..Computed::default()
    });
    computed(KnownBy::Plan).map(move |name| (name, figures[name].clone()))
}

/// Returns the state that a rollout is planned to lead to while the target is not known.
pub(crate) fn unknown(config: &Value) -> Value {
    with(config, &Computed::default())
}

/// Returns the state that a rollout led to. Keeps what `planned` settles.
pub(crate) fn after(config: &Value, id: &str, planned: &Value, report: &Report) -> Value {
    let error = match report.outcome {
        Outcome::Succeeded => None,
        _ => report.reason.clone(),
    };
    let attributes = Computed {
        id: Some(id.into()),
        status: Some(report.outcome.name().into()),
        target_revision: Some(report.to.to_string()),
        deployed_revision: deployed(&report.instances),
        completed_revision: report.completed.as_ref().map(ToString::to_string),
        previous_revision: report.previous.as_ref().map(ToString::to_string),
        fleet: Some(fleet(&report.instances)),
        instances: Some(report.instances.clone()),
        last_error: error,
        ..Computed::default()
    };
    let mut state = with(config, &attributes);
    for name in computed(KnownBy::Plan) {
        state[name] = planned[name].clone();
    }
    state
}

/// Returns the revisions that a state keeps for a rollback: the last one that the whole fleet ran,
/// and the one before it.
pub(crate) fn stored_revisions(state: &Value) -> (Option<Revision>, Option<Revision>) {
    let stored = |name: &str| state[name].as_str().map(Revision::new);
    (stored("completed_revision"), stored("previous_revision"))
}

/// Returns the `previous_revision` of a state in which the fleet has completed `completed` since
/// `prior`.
pub(crate) fn previous_after(prior: &Value, completed: &Value) -> Value {
    if completed.is_null() {
        return prior["previous_revision"].clone();
    }
    let known = [&prior["completed_revision"], &prior["previous_revision"]];
    known.into_iter().find(|it| !it.is_null() && *it != completed).cloned().unwrap_or_default()
}

/// Returns the computed part of a state; what is no object comes back as it is.
pub(crate) fn computed_of(state: &Value) -> Value {
    let Value::Object(attributes) = state else { return state.clone() };
    let computed = attributes.iter().filter(|(name, _)| COMPUTED.contains(&name.as_str()));
    Value::Object(computed.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// Returns the configuration inside a state.
pub fn config_of(state: &Value) -> Value {
    let attributes = state.as_object().into_iter().flatten();
    let set = attributes.filter(|(name, _)| !COMPUTED.contains(&name.as_str()));
    Value::Object(set.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// Returns the target of a configuration, by its name for people.
pub(crate) fn target_name(config: &Value) -> String {
    crate::document::named_target(config).map(|(_, name)| name).unwrap_or_default()
}

/// Sizes of the batches of a plan: launched beside the fleet, and replaced.
pub(crate) fn sizes(preview: &Preview) -> Vec<BatchSizes> {
    let batches = preview.batches.iter();
    batches.map(|batch| BatchSizes { launches: batch.launches, replaces: batch.size() }).collect()
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
