//! The lease that an engine holds.

use rolling_provider::Timestamp;

use crate::model::event::Outcome;
use crate::record::lease::Lease;
use crate::rollout::ownership::Ownership;

/// What this engine holds.
#[derive(Debug)]
pub(super) struct Hold {
    /// Whether the rollout is ours.
    pub(super) own: Ownership,
    /// The lease with which this engine began.
    pub(super) first: Option<Lease>,
    /// Since when the lease cannot be renewed.
    pub(super) unrenewed: Option<Timestamp>,
}

/// What became of the lease.
pub(super) enum LeaseCheck {
    /// It is ours, as far as that can be known.
    Ours,
    /// It could not be renewed, and was looked at again: begin the tick anew.
    Doubtful,
    /// The run ends, since somebody else is at work or since nobody can know.
    Lost(Outcome),
}

impl Hold {
    /// Of an engine that holds nothing yet.
    pub(super) fn new(me: &str, guards: bool) -> Self {
        Self { own: Ownership::new(me, guards), first: None, unrenewed: None }
    }

    /// The lease with which this engine began, once it holds one.
    pub(super) fn first(&self) -> Option<Lease> {
        self.first.clone()
    }
}
