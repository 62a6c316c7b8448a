//! How long a rollout waits for what it cannot bring about on its own.

use std::time::Duration;

use rolling_provider::Timestamp;

use super::input::Input;

/// How long a rollout waits for the operator to end what sets instances aside.
pub(crate) const SET_ASIDE_FOR: Duration = Duration::from_secs(3600);

/// How long a launch must be missing before the engine may lower the size by it.
///
/// Looks lag: if the instance existed after all, the cloud would choose one to terminate.
pub(crate) const UNLAUNCHED_AFTER: Duration = Duration::from_secs(15);

/// By how much the cloud's clock may be behind this one without that being noticed.
pub(crate) const CLOCKS_DIFFER: Duration = Duration::from_secs(10);

/// Returns when less must be left to do than ever before.
pub(crate) fn progress_deadline(input: &Input<'_>) -> Timestamp {
    let since = input.state.waits.least_remaining.map_or(input.state.started, |least| least.at);
    since + input.spec.progress_deadline(input.drain())
}

/// Returns when the missing instances must have been launched.
///
/// A rollback starts this time over.
pub(crate) fn launch_deadline(input: &Input<'_>) -> Timestamp {
    let since = input.state.launches.missing.oldest().unwrap_or(input.now);
    since.max(input.state.direction.rolls_back_since) + input.spec.health.healthy_timeout
}

/// Returns when a launch must have succeeded.
pub(crate) fn launch_deadline_since(input: &Input<'_>, since: Timestamp) -> Timestamp {
    since.max(input.state.direction.rolls_back_since) + input.spec.health.healthy_timeout
}

/// Boot time assumed for a fleet whose launches show none.
pub(crate) const ASSUMED_BOOT: Duration = Duration::from_secs(60);
