//! What a platform is told, by the engine of the deployment.

use rolling_provider::{DelegatedSettings, ProviderError};

use super::environment_settings::environment_settings;
use super::instance_refresh::preferences;
use crate::model::spec::{Executor, OnFailure, RollingDeployment};

/// Returns what the platform goes by for a fleet of `size`.
///
/// # Errors
/// When it cannot be told that.
pub(crate) fn settings(
    spec: &RollingDeployment,
    size: u32,
) -> Result<DelegatedSettings, ProviderError> {
    Ok(match spec.engine {
        Executor::Environment { .. } => DelegatedSettings::Environment(environment_settings(spec)?),
        Executor::Rolling | Executor::Controller { .. } | Executor::InstanceRefresh { .. } => {
            DelegatedSettings::InstanceRefresh(preferences(spec, size)?)
        }
    })
}

/// Whether this program has to start another rollout for the way back: the platform does not go back
/// by itself.
pub(crate) fn redeploys(spec: &RollingDeployment) -> bool {
    match spec.engine {
        Executor::Environment { .. } => {
            environment_settings(spec).is_ok_and(|settings| !settings.policy.goes_back_by_itself())
        }
        Executor::Rolling | Executor::Controller { .. } | Executor::InstanceRefresh { .. } => false,
    }
}

/// Whether a failure is followed by a rollback that this program starts.
pub(crate) fn rolls_back_here(spec: &RollingDeployment) -> bool {
    spec.on_failure == OnFailure::Rollback && redeploys(spec)
}
