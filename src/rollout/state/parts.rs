//! The parts of the state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rolling_provider::{Action, Activity, Done, InstanceId, TargetGroupId, Timestamp};

use super::departed::Departed;
use super::{Halt, LaunchHistory, LeastRemaining, Missing, Replaces};
use crate::model::event::Cause;
use crate::record::Record;

/// Whether the rollout goes forward, rolls back, or halts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Direction {
    /// Set once the rollout is to end early.
    pub(crate) halt: Option<Halt>,
    /// Why the rollout rolls back to the completed revision, once it does.
    pub(crate) rolls_back: Option<String>,
    /// What the failure comes from that it rolls back for, where that is known.
    pub(crate) cause: Option<Cause>,
    /// Since when it rolls back.
    pub(crate) rolls_back_since: Timestamp,
    /// Whether a paused rollout that was found is to continue.
    pub(crate) resume: bool,
}

/// The current or last batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    /// Its number; 0 before the first.
    pub(crate) number: u32,
    /// Whether it is still under way.
    pub(crate) open: bool,
    /// When the last batch ended.
    pub(crate) ended: Option<Timestamp>,
    /// How many have ended. One that a rollback breaks off never does.
    pub(crate) finished: u32,
}

/// Instances out of rotation, and back in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rotation {
    /// Victims that are not gone yet.
    pub(crate) victims: BTreeSet<InstanceId>,
    /// When the cloud accepted to take a victim out of a target group.
    pub(crate) deregistered: BTreeMap<InstanceId, BTreeMap<TargetGroupId, Timestamp>>,
    /// Target groups that have shown a victim draining since it was deregistered there. Looks lag,
    /// and a look that does not list it may be from before it was listed.
    pub(crate) drains: BTreeSet<(InstanceId, TargetGroupId)>,
    /// Instances of the new revision that an engine before this one took out of a target group, to
    /// remove surge. They are good, and go back in.
    pub(crate) deregistered_by_predecessor: BTreeSet<(InstanceId, TargetGroupId)>,
    /// Whether the fleet on its own replaces instances that are out of rotation.
    pub(crate) replaces: Replaces,
    /// Victims that were put back into every target group, and when.
    pub(crate) returned: BTreeMap<InstanceId, Timestamp>,
    /// Instances that we put back into rotation, and when they had been taken out. A late look may
    /// show them as they were before that.
    pub(super) put_back: BTreeMap<InstanceId, Timestamp>,
    /// When the cloud accepted a registration by us.
    pub(super) registered: BTreeMap<(InstanceId, TargetGroupId), Timestamp>,
    /// Instances that we released from lifecycle hooks, and whether they were on their way out.
    pub(crate) released: BTreeSet<(InstanceId, bool)>,
}

/// Instances that left the fleet by our action, or were seen to leave it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Removed {
    /// Reserves whose termination the cloud accepted.
    pub(crate) discarded: BTreeSet<InstanceId>,
    /// Instances whose termination the cloud accepted.
    pub(crate) terminated: BTreeSet<InstanceId>,
    /// Instances that were taken out of the fleet for debugging.
    pub(crate) retained_failed: BTreeSet<InstanceId>,
    /// Instances that were seen terminating.
    pub(super) departed: Departed,
    /// Instances that were terminating when this engine continued a rollout: the engine before it
    /// may have terminated them.
    pub(crate) found_terminating: BTreeSet<InstanceId>,
    /// Since when each instance that a look shows terminating has been.
    pub(crate) terminating: BTreeMap<InstanceId, Timestamp>,
}

/// What failed.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    /// Instances of the new revision that failed, with the cloud's reason; also those that
    /// failed before the rollout began to roll back.
    pub failed: BTreeMap<InstanceId, String>,
    /// Failed instances that the record counts.
    pub(crate) counted: BTreeSet<InstanceId>,
    /// Failed instances that an earlier rollout counted.
    pub(crate) earlier: BTreeSet<InstanceId>,
    /// Failed instances whose own reason this engine does not know: what is said of them is why the
    /// rollout ended before.
    pub(crate) adopted: BTreeSet<InstanceId>,
    /// Hooks of the document that failed although the rollout went on, each with why.
    pub(crate) hooks: Vec<String>,
    /// The calls that the cloud does not take at present, and why.
    pub(crate) calls: Vec<(Action, String)>,
    /// When the cloud last did not take a call, and which one and why.
    pub(crate) last_call: Option<(Timestamp, Action, String)>,
    /// Actions that the cloud refused permanently while we were restoring.
    pub(crate) refused: Vec<(Action, String)>,
}

/// What was launched, or is missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Launches {
    /// Since when each place without an instance has been empty.
    pub(crate) missing: Missing,
    /// Instances that came and went since the rollout to this revision began.
    pub(crate) launched: LaunchHistory,
    /// Every instance that was ever seen alive. In a late look none of them counts as new.
    pub(super) known: BTreeSet<InstanceId>,
    /// How long instances that this engine saw launched took until they served.
    pub(crate) boots: Vec<Duration>,
    /// How many launches were under way, when the fleet was last asked for its activities, whose
    /// instances looks did not show.
    pub(crate) coming: usize,
    /// Those of [`super::RolloutState::unexplained_launches`] that the cloud was asked about.
    pub(crate) asked_about: BTreeSet<InstanceId>,
    /// What the fleet reported that it did on its own, newest first.
    pub(crate) activities: Vec<Activity>,
    /// When the fleet was last asked for that.
    pub(crate) activities_asked: Option<Timestamp>,
}

/// Since when the rollout waits for what it waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waits {
    /// Since when only instances are left that are set aside.
    pub(crate) set_aside_since: Option<Timestamp>,
    /// Since when the second target group has had to stay healthy with its shifted requests.
    pub(crate) evaluating: Option<Timestamp>,
    /// The shares of the requests that the last look showed.
    pub(super) shifted: Option<BTreeSet<u32>>,
    /// When anything was last done, or seen to change.
    pub(crate) changed_at: Timestamp,
    /// The least that was left to do so far.
    pub(crate) least_remaining: Option<LeastRemaining>,
}

/// Calls without an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Unanswered {
    /// Calls that changed the size, or would have. Each is counted once the fleet shows it, or once
    /// it is repeated and accepted.
    pub(super) actions: Vec<Action>,
    /// A record that was written.
    pub(super) record: Option<Record>,
    /// Whether the record was erased.
    pub(super) erasing: bool,
    /// Tokens of updates in place that may have begun.
    pub(super) updates: BTreeSet<String>,
}

impl Unanswered {
    /// Notes that `action` got an answer.
    pub(super) fn answered(&mut self, action: &Action, done: &Done) {
        // The same call without an answer may have removed what is gone: the next look shows it.
        if !(done.was_gone && self.actions.contains(action)) {
            self.actions.retain(|unsure| unsure != action);
        }
    }
}
