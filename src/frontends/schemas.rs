//! The published JSON Schemas, generated from the types.

use serde_json::Value;

use super::cli::answers::{
    ApplyLine, CommandAnswer, ConvertAnswer, DoctorAnswer, OrRefused, PlanAnswer, StatusAnswer,
    ValidateAnswer,
};
use crate::deployment::schema::{DeploymentState, of};
use crate::document::config::{ProviderConfig, RollingDeploymentConfig};
use crate::engine::HookMessage;
use crate::model::event::Envelope;

/// Returns every schema with its name, which its file below `schemas/` also has.
pub fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("provider", of::<ProviderConfig>()),
        ("rolling_deployment", of::<RollingDeploymentConfig>()),
        ("state", of::<DeploymentState>()),
        ("event", of::<Envelope>()),
        ("hook_message", of::<HookMessage>()),
        ("cli_validate", of::<ValidateAnswer>()),
        ("cli_plan", of::<OrRefused<PlanAnswer>>()),
        ("cli_apply", of::<OrRefused<ApplyLine>>()),
        ("cli_status", of::<OrRefused<StatusAnswer>>()),
        ("cli_doctor", of::<OrRefused<DoctorAnswer>>()),
        ("cli_command", of::<OrRefused<CommandAnswer>>()),
        ("cli_convert", of::<OrRefused<ConvertAnswer>>()),
        ("openrpc", crate::frontends::json_rpc::openrpc()),
    ]
}
