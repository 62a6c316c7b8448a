//! The caller of a rollout, and how long a rollout retries.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use rolling_provider::Revision;

use super::hook_driver::HookDriver;

/// How long reads, and mutations that the cloud has not accepted, are retried before the rollout
/// gives up.
pub(super) const RETRY_BUDGET: Duration = Duration::from_secs(300);

/// The pause before another try to renew a lease.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// How long a requested stop may take. What is left undone by then stays in the record.
///
/// It is longer than a look may lag: only after that time an instance that was put back serves for
/// sure, and surge can leave.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(40);

/// How long a call that fails is retried during a requested stop; and how long what is left to do
/// after [`STOP_WITHIN`] may take.
pub(super) const STOP_RETRY_BUDGET: Duration = Duration::from_secs(20);

/// How long an apply waits for what may have been created a moment ago: as long as Terraform's AWS
/// provider does (`hashicorp/terraform-provider-aws#40088`).
pub const NOT_FOUND_RETRY_FOR: Duration = Duration::from_secs(120);

/// The reason of a rollout that was stopped before it touched anything, the lease included.
pub(crate) const NOTHING_DONE: &str = "asked to stop before anything was done";

/// How urgently a rollout is to end. A later request may only be more urgent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    #[default]
    No,
    /// At the next safe point: victims go back into rotation, what is borrowed is restored.
    Gracefully,
    /// After the current call.
    Now,
}

/// The caller on whose behalf a rollout runs.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The name of the rollout, if one begins.
    pub rollout_id: String,
    /// This process, as the lease names it; see [`crate::engine::owner`].
    pub owner: String,
    /// Whether an owner is known to be dead.
    pub is_gone: fn(&str) -> bool,
    /// From 0 (none) to 1: spreads polls of several engines in time.
    pub jitter: f64,
    /// How long to wait, before a rollout begins, for what may have been created a moment ago and
    /// does not show yet; zero for a caller that only looks.
    pub not_found_retry_for: Duration,
    /// Reports to the user who waits meanwhile.
    pub tell: fn(&str),
    /// The last revision that the whole fleet ran, if the caller stores state and knows it.
    pub completed: Option<Revision>,
    /// The last revision before that one, if the caller stores state and knows it.
    pub previous: Option<Revision>,
    /// Where the rollout leads in place of which this caller ends another one, if it does.
    pub supersedes_with: Option<Revision>,
    /// The folders in which programs are looked for, if they are known: the variable `PATH`.
    pub search_path: Option<OsString>,
    /// Makes the tries of hooks in place of this program; `None` for commands and requests.
    pub hook_driver: Option<Arc<dyn HookDriver>>,
}

impl Caller {
    /// Returns a caller that names its rollouts `rollout_id` and its lease `owner` (see
    /// [`crate::engine::owner::this_process`]), waits for nothing that was just created, and
    /// reports nothing but events.
    pub fn new(rollout_id: impl Into<String>, owner: impl Into<String>) -> Self {
        Caller {
            rollout_id: rollout_id.into(),
            owner: owner.into(),
            is_gone: super::owner::is_gone,
            jitter: 0.1,
            not_found_retry_for: Duration::ZERO,
            tell: |_| (),
            completed: None,
            previous: None,
            supersedes_with: None,
            search_path: None,
            hook_driver: None,
        }
    }
}
