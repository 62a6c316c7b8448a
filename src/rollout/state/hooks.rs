//! What is known of hooks beyond the record.

use std::collections::BTreeSet;

use rolling_provider::{InstanceId, Timestamp};

use crate::model::event::Outcome;
use crate::model::spec::{HookPoint, OnHookFailure};

/// What this engine knows of hooks beyond the record: what has ended since it was last written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HookState {
    /// Since when the current hook has been run.
    pub(crate) asked: Option<Timestamp>,
    /// The last hook that needs not be run again, with its number in the record.
    pub(crate) done: Option<(HookPoint, u32)>,
    /// Instances for which `before_deregister` is done.
    pub(crate) prepared: BTreeSet<InstanceId>,
    /// The hook that ends the way forward.
    pub(crate) failed: Option<FailedHook>,
}

/// A hook that ends the way forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedHook {
    /// The point at which it was run.
    pub(crate) point: HookPoint,
    /// What its failure means.
    pub(crate) meaning: OnHookFailure,
    /// Why it failed, as a sentence.
    pub(crate) reason: String,
}

/// A hook to run: what it is about, and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HookRun {
    /// The point of the rollout.
    pub(crate) point: HookPoint,
    /// The id, by which a repetition is known.
    pub(crate) id: String,
    /// Its number in the record.
    pub(crate) number: u32,
    /// The id of the rollout.
    pub(crate) rollout: String,
    /// The number of the batch; 0 before the first.
    pub(crate) batch: u32,
    /// The instances that it is about, each with its zone.
    pub(crate) instances: Vec<(InstanceId, String)>,
    /// How the rollout is about to end.
    pub(crate) outcome: Option<Outcome>,
}
