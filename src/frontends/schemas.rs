//! The published JSON Schemas, generated from the types.

use serde_json::Value;

use crate::deployment::schema::{State, of};
use crate::document::config::{ProviderConfig, RollingDeploymentConfig};
use crate::model::event::Envelope;

/// Returns every schema with its name, which its file below `schemas/` also has.
pub fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("provider", of::<ProviderConfig>()),
        ("rolling_deployment", of::<RollingDeploymentConfig>()),
        ("state", of::<State>()),
        ("event", of::<Envelope>()),
        ("openrpc", crate::frontends::json_rpc::openrpc()),
    ]
}
