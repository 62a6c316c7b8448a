//! How long is waited for what a rollout cannot bring about by itself.

use std::time::Duration;

use rolling_provider::Timestamp;

use super::input::Input;

/// How long a rollout waits for somebody to end what sets instances aside.
pub(crate) const SET_ASIDE_FOR: Duration = Duration::from_secs(3600);

/// How long a launch must be missing before the size may be lowered by it. Looks lag: were the
/// instance there after all, the cloud would choose who goes instead.
pub(crate) const UNLAUNCHED_AFTER: Duration = Duration::from_secs(15);

/// Until when less must be left to do than ever before.
pub fn progress_deadline(input: &Input<'_>) -> Timestamp {
    let since = input.state.best.map_or(input.state.started, |best| best.at);
    since + input.spec.progress_deadline(input.target.drain())
}

/// Until when what is missing must have been launched. A rollout that turned back begins anew.
pub fn launch_deadline(input: &Input<'_>) -> Timestamp {
    let since = input.state.missing.oldest().unwrap_or(input.now);
    since.max(input.state.turned_back_at) + input.spec.health.healthy_timeout
}

/// Until when a launch must have succeeded.
pub fn launch_deadline_since(input: &Input<'_>, since: Timestamp) -> Timestamp {
    since.max(input.state.turned_back_at) + input.spec.health.healthy_timeout
}

/// Boot time that is assumed of a fleet whose launches tell none.
pub const ASSUMED_BOOT: Duration = Duration::from_secs(60);
