//! The JSON Schemas that are handed out, generated from the types.

use serde_json::Value;

use crate::deployment::schema::{State, of};
use crate::document::config::{ProviderConfig, RollingDeploymentConfig};
use crate::model::event::Envelope;

/// Every schema under its name, which is that of its file below `schemas/`.
pub fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("provider", of::<ProviderConfig>()),
        ("rolling_deployment", of::<RollingDeploymentConfig>()),
        ("state", of::<State>()),
        ("event", of::<Envelope>()),
        ("openrpc", crate::frontends::json_rpc::openrpc()),
    ]
}
