//! The messages of Terraform's plugin protocol 6 and of the libraries below it, as far as this
//! provider needs them.
//!
//! Names and numbers are those of the protocol. A field left out here is skipped when received and
//! empty when sent.

use std::collections::BTreeMap;

use prost::{Enumeration, Message, Oneof};

/// An empty message.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Empty {}

/// A value in one of two encodings; the host sends the first.
#[derive(Clone, PartialEq, Message)]
pub struct DynamicValue {
    /// MessagePack; an extension type stands for an unknown value.
    #[prost(bytes = "vec", tag = "1")]
    pub msgpack: Vec<u8>,
    /// JSON.
    #[prost(bytes = "vec", tag = "2")]
    pub json: Vec<u8>,
}

/// One finding.
#[derive(Clone, PartialEq, Message)]
pub struct Diagnostic {
    /// Its severity.
    #[prost(enumeration = "Severity", tag = "1")]
    pub severity: i32,
    /// The summary, on one line.
    #[prost(string, tag = "2")]
    pub summary: String,
    /// The rest of the text.
    #[prost(string, tag = "3")]
    pub detail: String,
    /// The place that it is about.
    #[prost(message, optional, tag = "4")]
    pub attribute: Option<AttributePath>,
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum Severity {
    /// Not used.
    Invalid = 0,
    /// An error: the operation cannot go on.
    Error = 1,
    /// A warning: worth knowing.
    Warning = 2,
}

/// A place in a value.
#[derive(Clone, PartialEq, Message)]
pub struct AttributePath {
    /// The steps, from the outside in.
    #[prost(message, repeated, tag = "1")]
    pub steps: Vec<Step>,
}

/// One step of an [`AttributePath`].
#[derive(Clone, PartialEq, Message)]
pub struct Step {
    /// What it selects.
    #[prost(oneof = "Selector", tags = "1, 2, 3")]
    pub selector: Option<Selector>,
}

/// What a [`Step`] selects.
#[derive(Clone, PartialEq, Oneof)]
pub enum Selector {
    /// An attribute of an object.
    #[prost(string, tag = "1")]
    AttributeName(String),
    /// An element of a map.
    #[prost(string, tag = "2")]
    ElementKeyString(String),
    /// An element of a list.
    #[prost(int64, tag = "3")]
    ElementKeyInt(i64),
}

/// A schema.
#[derive(Clone, PartialEq, Message)]
pub struct Schema {
    /// The version of the state.
    #[prost(int64, tag = "1")]
    pub version: i64,
    /// Its attributes and blocks.
    #[prost(message, optional, tag = "2")]
    pub block: Option<Block>,
}

/// A block of attributes.
#[derive(Clone, PartialEq, Message)]
pub struct Block {
    /// The version, as in [`Schema::version`].
    #[prost(int64, tag = "1")]
    pub version: i64,
    /// Attributes.
    #[prost(message, repeated, tag = "2")]
    pub attributes: Vec<Attribute>,
    /// Blocks within.
    #[prost(message, repeated, tag = "3")]
    pub block_types: Vec<NestedBlock>,
    /// Its description.
    #[prost(string, tag = "4")]
    pub description: String,
    /// How the description is written: [`MARKDOWN`].
    #[prost(int32, tag = "5")]
    pub description_kind: i32,
}

/// Descriptions are Markdown.
pub const MARKDOWN: i32 = 1;

/// An attribute.
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its type as JSON; empty if it has a nested type.
    #[prost(bytes = "vec", tag = "2")]
    pub r#type: Vec<u8>,
    /// Attributes within.
    #[prost(message, optional, tag = "10")]
    pub nested_type: Option<Object>,
    /// Its description.
    #[prost(string, tag = "3")]
    pub description: String,
    /// Whether it must be set.
    #[prost(bool, tag = "4")]
    pub required: bool,
    /// Whether it may be set.
    #[prost(bool, tag = "5")]
    pub optional: bool,
    /// Whether the provider sets it.
    #[prost(bool, tag = "6")]
    pub computed: bool,
    /// Whether its value is kept out of output.
    #[prost(bool, tag = "7")]
    pub sensitive: bool,
    /// How the description is written: [`MARKDOWN`].
    #[prost(int32, tag = "8")]
    pub description_kind: i32,
}

/// Attributes within an attribute.
#[derive(Clone, PartialEq, Message)]
pub struct Object {
    /// The attributes.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<Attribute>,
    /// How many there may be: [`SINGLE`] or [`LIST`].
    #[prost(int32, tag = "3")]
    pub nesting: i32,
}

/// A block within a block.
#[derive(Clone, PartialEq, Message)]
pub struct NestedBlock {
    /// Its name.
    #[prost(string, tag = "1")]
    pub type_name: String,
    /// Its attributes and blocks.
    #[prost(message, optional, tag = "2")]
    pub block: Option<Block>,
    /// How many there may be: [`SINGLE`] or [`LIST`].
    #[prost(int32, tag = "3")]
    pub nesting: i32,
    /// How many there must be.
    #[prost(int64, tag = "4")]
    pub min_items: i64,
    /// How many there may be; 0 for any number.
    #[prost(int64, tag = "5")]
    pub max_items: i64,
}

/// At most one.
pub const SINGLE: i32 = 1;
/// Any number, in order.
pub const LIST: i32 = 2;

/// The optional capabilities of this server.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct ServerCapabilities {
    /// Whether the host plans a destruction too.
    #[prost(bool, tag = "1")]
    pub plan_destroy: bool,
    /// Whether the server works without a request for its schema first.
    #[prost(bool, tag = "2")]
    pub get_provider_schema_optional: bool,
}

/// Answer to `GetMetadata`.
#[derive(Clone, PartialEq, Message)]
pub struct Metadata {
    /// What this server can do.
    #[prost(message, optional, tag = "1")]
    pub server_capabilities: Option<ServerCapabilities>,
    /// Its resources.
    #[prost(message, repeated, tag = "4")]
    pub resources: Vec<ResourceMetadata>,
}

/// A resource, by name.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceMetadata {
    /// Its name.
    #[prost(string, tag = "1")]
    pub type_name: String,
}

/// Answer to `GetProviderSchema`.
#[derive(Clone, PartialEq, Message)]
pub struct ProviderSchema {
    /// The schema of the provider's own configuration.
    #[prost(message, optional, tag = "1")]
    pub provider: Option<Schema>,
    /// The schemas of its resources, by type name.
    #[prost(btree_map = "string, message", tag = "2")]
    pub resource_schemas: BTreeMap<String, Schema>,
    /// What this server can do.
    #[prost(message, optional, tag = "6")]
    pub server_capabilities: Option<ServerCapabilities>,
}

/// Request of `ValidateProviderConfig`.
#[derive(Clone, PartialEq, Message)]
pub struct ProviderConfigRequest {
    /// The provider's configuration.
    #[prost(message, optional, tag = "1")]
    pub config: Option<DynamicValue>,
}

/// Answer to `ValidateProviderConfig`.
#[derive(Clone, PartialEq, Message)]
pub struct ProviderConfigResponse {
    /// Findings.
    #[prost(message, repeated, tag = "2")]
    pub diagnostics: Vec<Diagnostic>,
}

/// Request of `ConfigureProvider`.
#[derive(Clone, PartialEq, Message)]
pub struct ConfigureRequest {
    /// The host's version.
    #[prost(string, tag = "1")]
    pub terraform_version: String,
    /// The provider's configuration.
    #[prost(message, optional, tag = "2")]
    pub config: Option<DynamicValue>,
}

/// Answer to `ConfigureProvider` and `ValidateResourceConfig`.
#[derive(Clone, PartialEq, Message)]
pub struct Diagnostics {
    /// Findings.
    #[prost(message, repeated, tag = "1")]
    pub diagnostics: Vec<Diagnostic>,
}

/// Request of `ValidateResourceConfig`.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceConfigRequest {
    /// The resource type.
    #[prost(string, tag = "1")]
    pub type_name: String,
    /// Its configuration.
    #[prost(message, optional, tag = "2")]
    pub config: Option<DynamicValue>,
}

/// Request of `UpgradeResourceState`.
#[derive(Clone, PartialEq, Message)]
pub struct UpgradeRequest {
    /// The resource type.
    #[prost(string, tag = "1")]
    pub type_name: String,
    /// The schema version that the state was written with.
    #[prost(int64, tag = "2")]
    pub version: i64,
    /// The state.
    #[prost(message, optional, tag = "3")]
    pub raw_state: Option<RawState>,
}

/// A state as the host keeps it.
#[derive(Clone, PartialEq, Message)]
pub struct RawState {
    /// JSON.
    #[prost(bytes = "vec", tag = "1")]
    pub json: Vec<u8>,
}

/// Answer to `UpgradeResourceState`.
#[derive(Clone, PartialEq, Message)]
pub struct UpgradeResponse {
    /// The state in the current version of the schema.
    #[prost(message, optional, tag = "1")]
    pub upgraded_state: Option<DynamicValue>,
    /// Findings.
    #[prost(message, repeated, tag = "2")]
    pub diagnostics: Vec<Diagnostic>,
}

/// Request of `ReadResource`.
#[derive(Clone, PartialEq, Message)]
pub struct ReadRequest {
    /// The resource type.
    #[prost(string, tag = "1")]
    pub type_name: String,
    /// The state before the refresh.
    #[prost(message, optional, tag = "2")]
    pub current_state: Option<DynamicValue>,
    /// What the provider keeps beside the state.
    #[prost(bytes = "vec", tag = "3")]
    pub private: Vec<u8>,
}

/// Answer to `ReadResource`.
#[derive(Clone, PartialEq, Message)]
pub struct ReadResponse {
    /// The current state.
    #[prost(message, optional, tag = "1")]
    pub new_state: Option<DynamicValue>,
    /// Findings.
    #[prost(message, repeated, tag = "2")]
    pub diagnostics: Vec<Diagnostic>,
    /// What the provider keeps beside the state.
    #[prost(bytes = "vec", tag = "3")]
    pub private: Vec<u8>,
}

/// Request of `PlanResourceChange`.
#[derive(Clone, PartialEq, Message)]
pub struct PlanRequest {
    /// The resource type.
    #[prost(string, tag = "1")]
    pub type_name: String,
    /// The current state.
    #[prost(message, optional, tag = "2")]
    pub prior_state: Option<DynamicValue>,
    /// The configuration merged into that state; null to destroy.
    #[prost(message, optional, tag = "3")]
    pub proposed_new_state: Option<DynamicValue>,
    /// The configuration.
    #[prost(message, optional, tag = "4")]
    pub config: Option<DynamicValue>,
    /// What the provider keeps beside the state.
    #[prost(bytes = "vec", tag = "5")]
    pub prior_private: Vec<u8>,
}

/// Answer to `PlanResourceChange`.
#[derive(Clone, PartialEq, Message)]
pub struct PlanResponse {
    /// The state that the change is planned to lead to.
    #[prost(message, optional, tag = "1")]
    pub planned_state: Option<DynamicValue>,
    /// The attributes whose change requires another resource.
    #[prost(message, repeated, tag = "2")]
    pub requires_replace: Vec<AttributePath>,
    /// What the provider keeps beside the plan.
    #[prost(bytes = "vec", tag = "3")]
    pub planned_private: Vec<u8>,
    /// Findings.
    #[prost(message, repeated, tag = "4")]
    pub diagnostics: Vec<Diagnostic>,
}

/// Request of `ApplyResourceChange`.
#[derive(Clone, PartialEq, Message)]
pub struct ApplyRequest {
    /// The resource type.
    #[prost(string, tag = "1")]
    pub type_name: String,
    /// The current state; null to create.
    #[prost(message, optional, tag = "2")]
    pub prior_state: Option<DynamicValue>,
    /// The planned state; null to destroy.
    #[prost(message, optional, tag = "3")]
    pub planned_state: Option<DynamicValue>,
    /// The configuration.
    #[prost(message, optional, tag = "4")]
    pub config: Option<DynamicValue>,
    /// What the provider keeps beside the plan.
    #[prost(bytes = "vec", tag = "5")]
    pub planned_private: Vec<u8>,
}

/// Answer to `ApplyResourceChange`.
#[derive(Clone, PartialEq, Message)]
pub struct ApplyResponse {
    /// The state after the change.
    #[prost(message, optional, tag = "1")]
    pub new_state: Option<DynamicValue>,
    /// What the provider keeps beside the state.
    #[prost(bytes = "vec", tag = "2")]
    pub private: Vec<u8>,
    /// Findings.
    #[prost(message, repeated, tag = "3")]
    pub diagnostics: Vec<Diagnostic>,
}

/// Request of `ImportResourceState`.
#[derive(Clone, PartialEq, Message)]
pub struct ImportRequest {
    /// The resource type.
    #[prost(string, tag = "1")]
    pub type_name: String,
    /// The id of the resource.
    #[prost(string, tag = "2")]
    pub id: String,
}

/// Answer to `ImportResourceState`.
#[derive(Clone, PartialEq, Message)]
pub struct ImportResponse {
    /// The resources that were found.
    #[prost(message, repeated, tag = "1")]
    pub imported_resources: Vec<ImportedResource>,
    /// Findings.
    #[prost(message, repeated, tag = "2")]
    pub diagnostics: Vec<Diagnostic>,
}

/// A resource that existed already.
#[derive(Clone, PartialEq, Message)]
pub struct ImportedResource {
    /// The resource type.
    #[prost(string, tag = "1")]
    pub type_name: String,
    /// Its state.
    #[prost(message, optional, tag = "2")]
    pub state: Option<DynamicValue>,
    /// What the provider keeps beside the state.
    #[prost(bytes = "vec", tag = "3")]
    pub private: Vec<u8>,
}

/// Answer to `StopProvider`.
#[derive(Clone, PartialEq, Message)]
pub struct StopResponse {
    /// Why the provider does not stop; empty if it does.
    #[prost(string, tag = "1")]
    pub error: String,
}

/// Request of `grpc.health.v1.Health/Check`.
#[derive(Clone, PartialEq, Message)]
pub struct HealthRequest {
    /// The service to check.
    #[prost(string, tag = "1")]
    pub service: String,
}

/// Answer to `grpc.health.v1.Health/Check`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct HealthResponse {
    /// The status: [`SERVING`].
    #[prost(int32, tag = "1")]
    pub status: i32,
}

/// The service is serving.
pub const SERVING: i32 = 1;
