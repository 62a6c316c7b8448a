//! The lease that an engine holds.

use rolling_provider::Timestamp;

use crate::model::event::Outcome;
use crate::record::lease::Lease;
use crate::rollout::ownership::Ownership;

/// The lease of this engine, and its ownership of the rollout.
#[derive(Debug)]
pub(super) struct Hold {
    /// Whether the rollout is ours.
    pub(super) own: Ownership,
    /// The lease with which this engine began.
    pub(super) first: Option<Lease>,
    /// Since when renewals of the lease fail.
    pub(super) unrenewed: Option<Timestamp>,
}

/// The result of a check of the lease.
pub(super) enum LeaseCheck {
    /// It is ours, as far as that can be known.
    Ours,
    /// It could not be renewed or confirmed, and the engine has looked again: begin the tick anew.
    Doubtful,
    /// The run ends, since another engine is at work or nobody can know.
    Lost(Outcome),
}

impl Hold {
    /// Returns the state of an engine that holds nothing yet.
    pub(super) fn new(me: &str, guards: bool) -> Self {
        Self { own: Ownership::new(me, guards), first: None, unrenewed: None }
    }

    /// The lease with which this engine began, once it holds one.
    pub(super) fn first(&self) -> Option<Lease> {
        self.first.clone()
    }
}
