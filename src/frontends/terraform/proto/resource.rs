//! Requests about resources, and the answers.

use prost::Message;

use super::value::{AttributePath, Diagnostic, DynamicValue, RawState};

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
