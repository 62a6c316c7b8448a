//! Parameters and results of the methods on resources.

use rolling_provider::Tags;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::deployment::resource_state::BatchSizes;
use crate::deployment::schema::{DeploymentState, PlannedState};
use crate::document::Diagnostic;
use crate::document::config::RollingDeploymentConfig;
use crate::model::event::InstanceReport;
use crate::model::wait::Wait;
use crate::record::command::Command;

/// Reads a list, or null for an empty one.
fn or_none<'de, D: Deserializer<'de>>(reader: D) -> Result<Vec<String>, D::Error> {
    Option::deserialize(reader).map(Option::unwrap_or_default)
}

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ValidateParams {
    /// The resource type.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The configuration of the deployment.
    #[schemars(with = "RollingDeploymentConfig")]
    pub(crate) config: Object,
    /// JSON Pointers to values in `config` that are not known yet: omit these there, or set null.
    #[serde(default, deserialize_with = "or_none")]
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) unknown: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct PlanParams {
    /// The resource type.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The prior state; null for a new deployment.
    #[serde(default)]
    #[schemars(with = "Option<DeploymentState>")]
    pub(crate) prior: Value,
    /// The configuration of the deployment.
    #[schemars(with = "RollingDeploymentConfig")]
    pub(crate) config: Object,
    /// `private` of the last answer about this deployment.
    #[serde(default)]
    #[expect(dead_code, reason = "carried for the client's sake")]
    pub(crate) private: Option<Private>,
    /// JSON Pointers to values in `config` that are not known yet: omit these there, or set null.
    #[serde(default, deserialize_with = "or_none")]
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) unknown: Vec<String>,
}

/// Data that the client keeps and hands back without reading it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct Private {
    /// Distinguishes one plan from another.
    pub(crate) plan_hash: Option<String>,
}

/// What apply would do to the state of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PlanAction {
    /// Create the state: there is none yet.
    Create,
    /// Update the state: the configuration has changed, or the fleet needs a rollout.
    Update,
    /// Change nothing: nothing differs.
    None,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PlanResult {
    /// What apply would do to the state; null when the configuration is refused.
    pub(crate) action: Option<PlanAction>,
    /// The planned state; null when the configuration is refused. Values in `unknown` are null or
    /// missing.
    #[schemars(with = "Option<PlannedState>")]
    pub(crate) planned: Value,
    /// JSON Pointers into `planned` to values that are not known before apply.
    pub(crate) unknown: Vec<String>,
    /// JSON Pointers into `config` whose change requires another deployment. Delete this
    /// deployment, then create the other one.
    pub(crate) requires_replace: Vec<String>,
    /// The planned batches; null when the target is not known yet.
    pub(crate) batches: Option<Vec<BatchSizes>>,
    /// Data for the client to hand to apply.
    pub(crate) private: Option<Private>,
    /// Hash of the configuration and the revision, never of live instances; null when not known
    /// yet.
    pub(crate) plan_hash: Option<String>,
    /// Findings.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ApplyParams {
    /// The resource type.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The prior state; null for a new deployment.
    #[serde(default)]
    #[schemars(with = "Option<DeploymentState>")]
    pub(crate) prior: Value,
    /// `planned` of the plan to apply. The figures in it (`batches`, `floor`, `ceiling` and
    /// `expected_duration`) go into the state as they are; nothing else of it is used.
    #[serde(default)]
    #[schemars(with = "Option<PlannedState>")]
    pub(crate) planned: Value,
    /// The configuration of the deployment.
    #[schemars(with = "RollingDeploymentConfig")]
    pub(crate) config: Object,
    /// `private` of the plan to apply. A stale plan gets error 1006.
    #[serde(default)]
    pub(crate) private: Option<Private>,
    #[serde(flatten)]
    pub(crate) operation: Operation,
}

/// The name, deadline and progress of a long operation.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Operation {
    /// The name of the rollout in its record: up to 64 letters, digits, `-`, `_` or `.`.
    pub(crate) operation_id: Option<String>,
    /// Stop at the next safe point after this many milliseconds.
    pub(crate) deadline_ms: Option<u64>,
    /// Any JSON except null, which `$/progress` carries. Without it the server sends no progress.
    #[serde(default)]
    pub(crate) progress_token: Value,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ApplyResult {
    /// `succeeded`, `rolled_back`, `failed`, `paused` or `aborted`.
    pub(crate) status: String,
    /// The state after the apply, also after a failure.
    #[schemars(with = "Option<DeploymentState>")]
    pub(crate) state: Value,
    /// Data for the client to hand to the next plan.
    pub(crate) private: Option<Private>,
    /// Why the apply did not succeed, and what to do.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ReadParams {
    /// The resource type.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The prior state. Only its target has to be there.
    #[schemars(with = "DeploymentState")]
    pub(crate) prior: Object,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ImportParams {
    /// The resource type.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// `auto_scaling_group/NAME`, `target_group/ARN` or `simulated_fleet/NAME`.
    pub(crate) id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct UpgradeParams {
    /// The resource type.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The version of `state`, as in `provider.schema`.
    pub(crate) version: u64,
    /// The state to upgrade.
    pub(crate) state: Object,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct DeleteParams {
    /// The resource type.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The prior state. Only its target has to be there.
    #[schemars(with = "DeploymentState")]
    pub(crate) prior: Object,
    #[serde(flatten)]
    pub(crate) operation: Operation,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StateResult {
    /// The state; null when there is nothing (any more).
    #[schemars(with = "Option<DeploymentState>")]
    pub(crate) state: Value,
    /// Findings.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeleteResult {
    /// `succeeded`, or `failed` with the state that is left.
    pub(crate) status: String,
    /// The state that is left; null when the deployment is gone.
    #[schemars(with = "Option<DeploymentState>")]
    pub(crate) state: Value,
    /// Why the deployment is not gone, and what to do.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct StatusParams {
    /// The resource type.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The configuration of the deployment.
    #[schemars(with = "RollingDeploymentConfig")]
    pub(crate) config: Object,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StatusResult {
    /// The record on the target; null when no rollout is under way, paused or unfinished.
    pub(crate) record: Option<RecordView>,
    /// What every instance runs; null when the server cannot look at the target.
    pub(crate) instances: Option<Vec<InstanceReport>>,
    /// What the rollout waits for, by the engine at work. With none at work: what the next apply
    /// would wait for.
    pub(crate) waiting_on: Vec<Wait>,
    /// Findings.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// The record of a rollout on the target, or the latest instance refresh.
///
/// EC2 Auto Scaling carries out an instance refresh itself, without tags.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RecordView {
    /// The rollout's name: `operation_id` of the apply that began it, or the instance refresh's id.
    pub(crate) rollout: String,
    /// The status of the rollout: `rolling`, `rolling_back`, `paused`, `failed`, ...
    pub(crate) status: String,
    /// The reason for the status, if there is one.
    pub(crate) reason: Option<String>,
    /// The revision that the rollout leads to.
    pub(crate) to: String,
    /// The last revision that the whole fleet is known to have run.
    pub(crate) completed_revision: Option<String>,
    /// When the rollout began, in milliseconds since the Unix epoch.
    pub(crate) started: u64,
    /// The intended size of the fleet.
    pub(crate) size: u32,
    /// How many instances of the new revision have failed.
    pub(crate) failures: u32,
    /// The engine or service that is, or last was, at work on the rollout; null for none.
    pub(crate) owner: Option<String>,
    /// The tags on the target that hold the record.
    pub(crate) tags: Tags,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ControlParams {
    /// The resource type.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The configuration of the deployment.
    #[schemars(with = "RollingDeploymentConfig")]
    pub(crate) config: Object,
    /// The command to the rollout.
    pub(crate) action: Command,
    /// The prior state: with it, a rollback once the rollout is over goes to the revision before.
    #[serde(default)]
    #[schemars(with = "Option<DeploymentState>")]
    pub(crate) prior: Value,
    #[serde(flatten)]
    pub(crate) operation: Operation,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ControlResult {
    /// What became of the command, in a sentence.
    pub(crate) message: String,
    /// The engine that obeyed; null when this server carried the command out or nothing changes.
    pub(crate) acknowledged_by: Option<String>,
    /// How the rollout ended, when this server carried the command out.
    pub(crate) status: Option<String>,
    /// The current record.
    pub(crate) record: Option<RecordView>,
    /// The state, when this server carried the command out.
    #[schemars(with = "Option<DeploymentState>")]
    pub(crate) state: Value,
    /// What went wrong, and what to do.
    pub(crate) diagnostics: Vec<Diagnostic>,
}
