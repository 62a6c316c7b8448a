//! What goes over the wire: parameters and results of every method. Their schemas, descriptions
//! included, make the OpenRPC document.

use std::collections::BTreeMap;

use rolling_provider::Tags;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::deployment::schema::State;
use crate::deployment::state::BatchSizes;
use crate::document::Diagnostic;
use crate::document::config::{ProviderConfig, RollingDeploymentConfig};
use crate::model::event::{Envelope, InstanceReport};
use crate::record::command::Command;

/// A JSON object.
pub type Object = Map<String, Value>;

#[derive(Debug, Deserialize, JsonSchema)]
pub struct InitializeParams {
    /// The protocol versions that the client speaks.
    pub protocol_versions: Vec<u64>,
    /// Who the client is.
    #[expect(dead_code, reason = "for people who read the traffic")]
    pub client: Option<Program>,
    /// What the client wants beside answers.
    #[serde(default)]
    pub capabilities: ClientCapabilities,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct ClientCapabilities {
    /// Send `$/log` notifications of this level and above. Default: none.
    pub log: Option<LogLevel>,
}

/// How much is logged.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

/// A program and its version.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct InitializeResult {
    /// The version that is spoken from here on.
    pub protocol_version: u64,
    /// Who answers.
    pub server: Program,
    /// What the server can do, and its limits.
    pub capabilities: ServerCapabilities,
    /// Resource types that it knows.
    pub resource_types: Vec<&'static str>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct ServerCapabilities {
    /// The longest line that it reads, in bytes; error 1003 beyond.
    pub max_message_bytes: usize,
    /// How many requests it works on at once; error 1004 beyond.
    pub max_in_flight: usize,
    /// Whether it sends `$/progress`.
    pub progress: bool,
    /// Whether `$/cancel_request` has an effect.
    pub cancel: bool,
}

/// No parameters.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct NoParams {}

/// Nothing to say.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Empty {}

#[derive(Debug, Serialize, JsonSchema)]
pub struct SchemaResult {
    /// JSON Schema of the provider's configuration.
    pub provider: Value,
    /// By name of the resource type.
    pub resource_types: BTreeMap<&'static str, ResourceSchema>,
}

/// What a resource type looks like.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ResourceSchema {
    /// Version of the state, for `resource.upgrade_state`.
    pub version: u32,
    /// JSON Schema of the configuration.
    pub config: Value,
    /// JSON Schema of the state.
    pub state: Value,
    /// Attributes by what they are.
    pub attributes: Attributes,
}

/// The attributes of a resource type, by what they are.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Attributes {
    /// Every configuration sets them.
    pub required: Vec<String>,
    /// A configuration may set them.
    pub optional: Vec<String>,
    /// The provider sets them.
    pub computed: Vec<String>,
    /// Not to be shown; there are none.
    pub sensitive: Vec<String>,
    /// JSON Pointers whose change means another deployment.
    pub force_new: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub struct ConfigureParams {
    /// How clouds are reached.
    #[schemars(with = "ProviderConfig")]
    pub config: Object,
}

/// Findings; empty for none.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Diagnostics {
    /// What is wrong or worth knowing, with its place.
    pub diagnostics: Vec<Diagnostic>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub struct ValidateParams {
    /// The resource type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is wanted.
    #[schemars(with = "RollingDeploymentConfig")]
    pub config: Object,
    /// JSON Pointers into `config` whose values are not known yet; leave them out there, or null.
    #[serde(default)]
    pub unknown: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub struct PlanParams {
    /// The resource type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The state as it was; null for a new deployment.
    #[serde(default)]
    #[schemars(with = "Option<State>")]
    pub prior: Value,
    /// What is wanted.
    #[schemars(with = "RollingDeploymentConfig")]
    pub config: Object,
    /// What the last answer about this deployment gave as `private`.
    #[serde(default)]
    #[expect(dead_code, reason = "carried for the client's sake")]
    pub private: Option<Private>,
    /// JSON Pointers into `config` whose values are not known yet; leave them out there, or null.
    #[serde(default)]
    pub unknown: Vec<String>,
}

/// For the client to keep and hand back, unread.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Private {
    /// Tells one plan from another.
    pub plan_hash: Option<String>,
}

/// What is to be done about a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanAction {
    /// There is no state yet.
    Create,
    /// Something differs.
    Update,
    /// Nothing.
    None,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanResult {
    /// What apply would do to the state.
    pub action: PlanAction,
    /// The state to come, in which what is `unknown` is null or missing; null when the
    /// configuration is refused.
    #[schemars(with = "Option<Object>")]
    pub planned: Value,
    /// JSON Pointers into `planned` whose values nobody knows before apply.
    pub unknown: Vec<String>,
    /// JSON Pointers into `config` whose change means another deployment: delete this one, create
    /// that one.
    pub requires_replace: Vec<String>,
    /// The batches to come; null when the target is not known yet.
    pub batches: Option<Vec<BatchSizes>>,
    /// To hand to apply.
    pub private: Option<Private>,
    /// Covers the configuration and the revision, never live instances; null when not known yet.
    pub plan_hash: Option<String>,
    /// Findings.
    pub diagnostics: Vec<Diagnostic>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub struct ApplyParams {
    /// The resource type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The state as it was; null for a new deployment.
    #[serde(default)]
    #[schemars(with = "Option<State>")]
    pub prior: Value,
    /// `planned` of the plan that is carried out.
    #[serde(default)]
    #[schemars(with = "Option<Object>")]
    pub planned: Value,
    /// What is wanted.
    #[schemars(with = "RollingDeploymentConfig")]
    pub config: Object,
    /// `private` of the plan that is carried out: error 1006 when that plan is stale.
    #[serde(default)]
    pub private: Option<Private>,
    #[serde(flatten)]
    pub operation: Operation,
}

/// How a long operation is called, timed and reported.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct Operation {
    /// Names the rollout in its record: up to 64 letters, digits, `-`, `_` or `.`.
    pub operation_id: Option<String>,
    /// Stop at the next safe point after this many milliseconds.
    pub deadline_ms: Option<u64>,
    /// Any JSON but null: sent along with `$/progress`; without it none is sent.
    #[serde(default)]
    pub progress_token: Value,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct ApplyResult {
    /// `succeeded`, `rolled_back`, `failed`, `paused` or `aborted`.
    pub status: String,
    /// The state after it, also after a failure.
    #[schemars(with = "Option<State>")]
    pub state: Value,
    /// To hand to the next plan.
    pub private: Option<Private>,
    /// Why it did not succeed, and what to do.
    pub diagnostics: Vec<Diagnostic>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub struct ReadParams {
    /// The resource type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The state as it was.
    #[schemars(with = "State")]
    pub prior: Object,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub struct ImportParams {
    /// The resource type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `auto_scaling_group/NAME`, `target_group/ARN` or `simulated_fleet/NAME`.
    pub id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub struct UpgradeParams {
    /// The resource type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The version that `state` was written with, by `provider.schema`.
    pub version: u64,
    /// The state as it was written.
    pub state: Object,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub struct DeleteParams {
    /// The resource type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The state as it was.
    #[schemars(with = "State")]
    pub prior: Object,
    #[serde(flatten)]
    pub operation: Operation,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct StateResult {
    /// The state; null when there is nothing (any more).
    #[schemars(with = "Option<State>")]
    pub state: Value,
    /// Findings.
    pub diagnostics: Vec<Diagnostic>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct DeleteResult {
    /// `succeeded`, or `failed` with what is left.
    pub status: String,
    /// Null when the deployment is gone; no instance is touched.
    #[schemars(with = "Option<State>")]
    pub state: Value,
    /// Why it is not gone, and what to do.
    pub diagnostics: Vec<Diagnostic>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub struct StatusParams {
    /// The resource type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is wanted.
    #[schemars(with = "RollingDeploymentConfig")]
    pub config: Object,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusResult {
    /// The record on the target; null when no rollout is under way, paused or unfinished.
    pub record: Option<RecordView>,
    /// What every instance runs; null when the target could not be looked at.
    pub instances: Option<Vec<InstanceReport>>,
    /// Findings.
    pub diagnostics: Vec<Diagnostic>,
}

/// The record of a rollout, as it stands on the target; or the latest refresh that the cloud carries
/// out by itself, which has no tags.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecordView {
    /// The rollout's name: the `operation_id` of the apply that began it, or the refresh's id.
    pub rollout: String,
    /// How far it is: `rolling`, `rolling_back`, `paused`, `failed`, ...
    pub status: String,
    /// Why, where there is a reason.
    pub reason: Option<String>,
    /// The revision that it leads to.
    pub to: String,
    /// The last revision that the whole fleet is known to have run.
    pub completed_revision: Option<String>,
    /// When it began, in milliseconds since the Unix epoch.
    pub started: u64,
    /// The size the fleet is meant to have.
    pub size: u32,
    /// Instances of the new revision that have failed.
    pub failures: u32,
    /// Who is, or was last, at work on it; null for nobody.
    pub owner: Option<String>,
    /// The tags on the target that hold all this.
    pub tags: Tags,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub struct ControlParams {
    /// The resource type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is wanted.
    #[schemars(with = "RollingDeploymentConfig")]
    pub config: Object,
    /// What the rollout is to do.
    pub action: Command,
    #[serde(flatten)]
    pub operation: Operation,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct ControlResult {
    /// What became of it, in a sentence.
    pub message: String,
    /// The engine that obeyed; null when it was carried out here, or changes nothing.
    pub acknowledged_by: Option<String>,
    /// How the rollout ended, when it was carried out here.
    pub status: Option<String>,
    /// The record as it stands.
    pub record: Option<RecordView>,
    /// The state, when it was carried out here.
    #[schemars(with = "Option<State>")]
    pub state: Value,
    /// What went wrong, and what to do.
    pub diagnostics: Vec<Diagnostic>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "read by hand: a notification never fails")]
pub struct CancelParams {
    /// The request to cancel.
    pub id: Value,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct ProgressParams {
    /// The request's own `progress_token`.
    pub token: Value,
    /// From 0, without gaps.
    pub sequence: u64,
    /// Instances of the new revision that have soaked.
    pub updated: usize,
    /// Instances that serve, of either revision.
    pub serving: usize,
    /// The size the fleet is meant to have.
    pub size: u32,
    /// What happened since the last notification, in order.
    pub events: Vec<Envelope>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct LogParams {
    /// How bad it is.
    pub level: LogLevel,
    /// What, at most 64 KiB of it.
    pub message: String,
    /// The part of the program that says so.
    pub target: String,
}
