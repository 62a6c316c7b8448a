//! The messages on the wire: parameters and results of every method.
//!
//! Their schemas, descriptions included, make the OpenRPC document.

mod resource;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::Diagnostic;
use crate::document::config::ProviderConfig;
use crate::model::event::Envelope;

pub use self::resource::{
    ApplyParams, ApplyResult, ControlParams, ControlResult, DeleteParams, DeleteResult,
    ImportParams, Object, Operation, PlanAction, PlanParams, PlanResult, Private, ReadParams,
    RecordView, StateResult, StatusParams, StatusResult, UpgradeParams, ValidateParams,
};

#[derive(Debug, Deserialize, JsonSchema)]
pub struct InitializeParams {
    /// The protocol versions that the client speaks.
    pub protocol_versions: Vec<u64>,
    /// The client's name and version.
    #[expect(dead_code, reason = "for people who read the traffic")]
    pub client: Option<Program>,
    /// What the client wants in addition to answers.
    #[serde(default)]
    pub capabilities: ClientCapabilities,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct ClientCapabilities {
    /// Send `$/log` notifications of this level and above. Default: none.
    pub log: Option<LogLevel>,
}

/// The level of log messages.
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
    /// The protocol version of all further messages.
    pub protocol_version: u64,
    /// The server's name and version.
    pub server: Program,
    /// The server's capabilities and limits.
    pub capabilities: ServerCapabilities,
    /// The resource types that the server supports.
    pub resource_types: Vec<&'static str>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct ServerCapabilities {
    /// The longest line that the server reads, in bytes. A longer line gets error 1003.
    pub max_message_bytes: usize,
    /// How many requests the server works on at once. A further request gets error 1004.
    pub max_in_flight: usize,
    /// Whether the server sends `$/progress`.
    pub progress: bool,
    /// Whether `$/cancel_request` has an effect.
    pub cancel: bool,
}

/// No parameters.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct NoParams {}

/// An empty result.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Empty {}

#[derive(Debug, Serialize, JsonSchema)]
pub struct SchemaResult {
    /// JSON Schema of the provider's configuration.
    pub provider: Value,
    /// The resource types by name.
    pub resource_types: BTreeMap<&'static str, ResourceSchema>,
}

/// The schemas and attributes of a resource type.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ResourceSchema {
    /// Version of the state, for `resource.upgrade_state`.
    pub version: u32,
    /// JSON Schema of the configuration.
    pub config: Value,
    /// JSON Schema of the state.
    pub state: Value,
    /// The attributes by kind.
    pub attributes: Attributes,
}

/// The attributes of a resource type by kind.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Attributes {
    /// Attributes that every configuration sets.
    pub required: Vec<String>,
    /// Attributes that a configuration may set.
    pub optional: Vec<String>,
    /// Attributes that the provider sets.
    pub computed: Vec<String>,
    /// Attributes that a client must not show. There are none.
    pub sensitive: Vec<String>,
    /// JSON Pointers to attributes whose change requires another deployment.
    pub force_new: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub struct ConfigureParams {
    /// How to reach the clouds.
    #[schemars(with = "ProviderConfig")]
    pub config: Object,
}

/// Findings. Empty when there are none.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Diagnostics {
    /// Errors and warnings, each with its place.
    pub diagnostics: Vec<Diagnostic>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "read by hand: a notification never fails")]
pub struct CancelParams {
    /// The id of the request to cancel.
    pub id: Value,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct ProgressParams {
    /// `progress_token` of the request.
    pub token: Value,
    /// The number of this notification, from 0 without gaps.
    pub sequence: u64,
    /// How many instances of the new revision have soaked.
    pub updated: usize,
    /// How many instances serve, of either revision.
    pub serving: usize,
    /// The intended size of the fleet.
    pub size: u32,
    /// What happened since the last notification, in order.
    pub events: Vec<Envelope>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct LogParams {
    /// The severity of the message.
    pub level: LogLevel,
    /// The message, cut off after 64 KiB.
    pub message: String,
    /// The part of the program that logs the message.
    pub target: String,
}
