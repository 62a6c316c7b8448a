//! What a platform is told, by the engine of the deployment.

use rolling_provider::{DelegatedSettings, ProviderError};

use super::environment_settings::environment_settings;
use super::instance_refresh::preferences;
use crate::model::event::Outcome;
use crate::model::spec::{Executor, OnFailure, RollingDeployment};
use crate::record::command::Command;

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

/// Whether a revision can be deployed again by another rollout, which is the way back where the platform
/// does not go back by itself.
pub(crate) fn can_redeploy(spec: &RollingDeployment) -> bool {
    matches!(spec.engine, Executor::Environment { .. })
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

/// Returns `outcome` of a rollout after an accepted `command`: one that was aborted is that, whether it
/// had changed nothing yet or the platform has taken its own instances away.
pub(crate) fn after_command(command: Option<Command>, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::RolledBack if command == Some(Command::Abort) => Outcome::Aborted,
        outcome => outcome,
    }
}

/// Whether a revision that the platform has deployed everywhere, and that does not serve, is followed by a
/// rollback: the old instances are gone.
pub(crate) fn rolls_back_where_completed(spec: &RollingDeployment) -> bool {
    spec.on_failure == OnFailure::Rollback && can_redeploy(spec)
}

/// Whether a failure is followed by a rollback that this program starts.
pub(crate) fn rolls_back_here(spec: &RollingDeployment) -> bool {
    spec.on_failure == OnFailure::Rollback && redeploys(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_aborted_has_not_gone_back_and_what_was_rolled_back_has() {
        let (abort, back) = (Some(Command::Abort), Outcome::RolledBack);
        assert_eq!(after_command(abort, back), Outcome::Aborted);
        assert_eq!(after_command(None, back), back);
        assert_eq!(after_command(Some(Command::Rollback), back), back);
        assert_eq!(after_command(abort, Outcome::Succeeded), Outcome::Succeeded);
    }
}
