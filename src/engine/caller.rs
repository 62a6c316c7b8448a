//! On whose behalf a rollout runs, and how long it tries.

use std::time::Duration;

use rolling_provider::Revision;

/// How long reads and accepted-by-nobody mutations are tried again before the rollout gives up.
pub(super) const RETRY_BUDGET: Duration = Duration::from_secs(300);

/// A lease that could not be renewed is tried again after this.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// What is left undone after a request to stop for this long stays in the record.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(20);

/// What an apply waits for what may have been made a moment ago: as long as Terraform's AWS provider
/// does (`hashicorp/terraform-provider-aws#40088`).
pub const UNSEEN_FOR: Duration = Duration::from_secs(120);

/// The reason of a rollout that was stopped before it had touched anything, its lease included.
pub const NOTHING_DONE: &str = "asked to stop before anything was done";

/// How urgently a rollout is to end. A later request may only be more urgent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    #[default]
    No,
    /// At the next safe point: victims go back into rotation, what is borrowed is put back.
    Gracefully,
    /// After the current call.
    Now,
}

/// On whose behalf a rollout runs.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Names the rollout, should one begin.
    pub rollout_id: String,
    /// This process, as the lease names it; see [`crate::engine::owner`].
    pub owner: String,
    /// Whether an owner is known to be dead.
    pub is_gone: fn(&str) -> bool,
    /// From 0 (none) to 1: spreads polls of several engines in time.
    pub jitter: f64,
    /// How long to wait, before a rollout begins, for what may have been made a moment ago and does
    /// not show yet; nothing for whoever only looks.
    pub unseen_for: Duration,
    /// Tells whoever waits meanwhile.
    pub tell: fn(&str),
    /// The last revision that the whole fleet ran, where the caller keeps state and knows it.
    pub completed: Option<Revision>,
}
