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

pub(crate) use self::resource::{
    ApplyParams, ApplyResult, ControlParams, ControlResult, DeleteParams, DeleteResult,
    ImportParams, Object, Operation, PlanAction, PlanParams, PlanResult, Private, ReadParams,
    RecordView, StateResult, StatusParams, StatusResult, UpgradeParams, ValidateParams,
};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct InitializeParams {
    /// The protocol versions that the client speaks.
    pub(crate) protocol_versions: Vec<u64>,
    /// The client's name and version.
    #[expect(dead_code, reason = "for people who read the traffic")]
    pub(crate) client: Option<Program>,
    /// What the client wants in addition to answers.
    #[serde(default)]
    pub(crate) capabilities: ClientCapabilities,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct ClientCapabilities {
    /// Send `$/log` notifications of this level and above. Default: none.
    pub(crate) log: Option<LogLevel>,
}

/// The level of log messages.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

/// A program and its version.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct Program {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InitializeResult {
    /// The protocol version of all further messages.
    pub(crate) protocol_version: u64,
    /// The server's name and version.
    pub(crate) server: Program,
    /// The server's capabilities and limits.
    pub(crate) capabilities: ServerCapabilities,
    /// The resource types that the server supports.
    pub(crate) resource_types: Vec<&'static str>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ServerCapabilities {
    /// The longest line that the server reads, in bytes. A longer line gets error 1003.
    pub(crate) max_message_bytes: usize,
    /// How many requests the server works on at once. A further request gets error 1004.
    pub(crate) max_in_flight: usize,
    /// Whether the server sends `$/progress`.
    pub(crate) progress: bool,
    /// Whether `$/cancel_request` has an effect.
    pub(crate) cancel: bool,
}

/// No parameters.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct NoParams {}

/// An empty result.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Empty {}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SchemaResult {
    /// JSON Schema of the provider's configuration.
    pub(crate) provider: Value,
    /// The resource types by name.
    pub(crate) resource_types: BTreeMap<&'static str, ResourceSchema>,
}

/// The schemas and attributes of a resource type.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ResourceSchema {
    /// Version of the state, for `resource.upgrade_state`.
    pub(crate) version: u32,
    /// JSON Schema of the configuration.
    pub(crate) config: Value,
    /// JSON Schema of the state.
    pub(crate) state: Value,
    /// The attributes by kind.
    pub(crate) attributes: Attributes,
}

/// The attributes of a resource type by kind.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Attributes {
    /// Attributes that every configuration sets.
    pub(crate) required: Vec<String>,
    /// Attributes that a configuration may set.
    pub(crate) optional: Vec<String>,
    /// Attributes that the provider sets.
    pub(crate) computed: Vec<String>,
    /// Attributes that a client must not show. There are none: the schema marks sensitive values
    /// inside of attributes with `x-sensitive`.
    pub(crate) sensitive: Vec<String>,
    /// JSON Pointers to attributes whose change requires another deployment.
    pub(crate) force_new: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ConfigureParams {
    /// How to reach the clouds.
    #[schemars(with = "ProviderConfig")]
    pub(crate) config: Object,
}

/// Findings. Empty when there are none.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Diagnostics {
    /// Errors and warnings, each with its place.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "read by hand: a notification never fails")]
pub(crate) struct CancelParams {
    /// The id of the request to cancel.
    pub(crate) id: Value,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProgressParams {
    /// `progress_token` of the request.
    pub(crate) token: Value,
    /// The number of this notification, from 0 without gaps.
    pub(crate) sequence: u64,
    /// How many instances of the new revision have soaked.
    pub(crate) updated: usize,
    /// How many instances serve, of either revision.
    pub(crate) serving: usize,
    /// The intended size of the fleet.
    pub(crate) size: u32,
    /// What happened since the last notification, in order.
    pub(crate) events: Vec<Envelope>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LogParams {
    /// The severity of the message.
    pub(crate) level: LogLevel,
    /// The message, cut off after 64 KiB.
    pub(crate) message: String,
    /// The part of the program that logs the message.
    pub(crate) target: String,
}
