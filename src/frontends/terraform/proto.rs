//! The messages of Terraform's plugin protocol 6 and of the libraries below it, as far as this
//! provider needs them.
//!
//! Names and numbers are those of the protocol. A field left out here is skipped when received and
//! empty when sent.

mod resource;
mod value;

use std::collections::BTreeMap;

use prost::Message;

pub use self::resource::{
    ApplyRequest, ApplyResponse, ImportRequest, ImportResponse, ImportedResource, PlanRequest,
    PlanResponse, ReadRequest, ReadResponse, ResourceConfigRequest, UpgradeRequest,
    UpgradeResponse,
};
pub(crate) use self::value::MARKDOWN;
pub use self::value::{
    Attribute, AttributePath, Block, Diagnostic, Diagnostics, DynamicValue, LIST, NestedBlock,
    Object, RawState, SINGLE, Schema, Selector, Severity, Step,
};

/// An empty message.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Empty {}

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
pub(crate) struct ProviderConfigRequest {
    /// The provider's configuration.
    #[prost(message, optional, tag = "1")]
    pub(crate) config: Option<DynamicValue>,
}

/// Answer to `ValidateProviderConfig`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ProviderConfigResponse {
    /// Findings.
    #[prost(message, repeated, tag = "2")]
    pub(crate) diagnostics: Vec<Diagnostic>,
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
