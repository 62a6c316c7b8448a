//! The state itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rolling_provider::{
    Action, Activity, Instance, InstanceId, Lifecycle, Observation, Revision, Target,
    TargetGroupId, Timestamp,
};

use super::{GateState, Halt, LOOKS_LAG, Missing};
use crate::record::command::{Command, Control};
use crate::record::lease::Lease;
use crate::record::{Phase, Record};
use crate::rollout::control::{Effect, Work};
use crate::rollout::serving::{is_healthy_in, is_healthy_in_primary};
use crate::rollout::state::departed::Departed;
use crate::rollout::state::sizes::Sizes;
use crate::rollout::state::written::Written;
use crate::rollout::state::{
    Best, InPlace, InstanceHistory, Launched, Replaces, Stages, Unmanaged,
};

/// What one engine knows of its rollout; see the module `state`.
#[derive(Clone, Debug, Default)]
pub struct RolloutState {
    /// Names this rollout in the record and the events; from the front-end.
    pub rollout_id: String,
    /// When this engine first looked.
    pub started: Timestamp,
    /// The record as we last wrote it or found it; `None` when there is none on the target.
    pub record: Option<Record>,
    /// Number of the current or last batch; 0 before the first.
    pub batch: u32,
    /// Whether that batch is still under way.
    pub batch_open: bool,
    /// Instances chosen to go and not gone yet.
    pub victims: BTreeSet<InstanceId>,
    /// When the cloud accepted to take a victim out of a target group.
    pub deregistered: BTreeMap<InstanceId, BTreeMap<TargetGroupId, Timestamp>>,
    /// Target groups that have shown a victim draining since it was deregistered there. Looks lag,
    /// and a look that does not list it may be from before it was listed.
    pub drains: BTreeSet<(InstanceId, TargetGroupId)>,
    /// Instances of the new revision that an engine before this one took out of a target group, to
    /// give surge back. They are good, and go back in.
    pub deregistered_by_predecessor: BTreeSet<(InstanceId, TargetGroupId)>,
    /// Whether the fleet by itself replaces instances that are out of rotation.
    pub replaces: Replaces,
    /// Victims that were put back into every target group, and when.
    pub returned: BTreeMap<InstanceId, Timestamp>,
    /// Instances that we put back into rotation, and when they had been taken out. A late look may
    /// show them as they were before that.
    pub(super) put_back: BTreeMap<InstanceId, Timestamp>,
    /// When the cloud accepted a registration by us.
    pub(super) registered: BTreeMap<(InstanceId, TargetGroupId), Timestamp>,
    /// Instances that we released from lifecycle hooks, and whether they were on their way out.
    pub released: BTreeSet<(InstanceId, bool)>,
    /// Reserves whose termination the cloud accepted.
    pub discarded: BTreeSet<InstanceId>,
    /// Instances whose termination the cloud accepted.
    pub terminated: BTreeSet<InstanceId>,
    /// The sizes of a fleet whose size the cloud keeps.
    pub(super) sizes: Sizes,
    /// Instances that were seen terminating.
    pub(super) departed: Departed,
    /// Our other recent writes.
    pub(super) written: Written,
    /// What is known of unmanaged instances.
    pub unmanaged: Unmanaged,
    /// What is known of updates in place.
    pub in_place: InPlace,
    /// What was seen of each instance.
    pub history: BTreeMap<InstanceId, InstanceHistory>,
    /// Since when each place without an instance has been empty.
    pub missing: Missing,
    /// Instances that came and went since the way to this revision began.
    pub launched: Launched,
    /// Every instance that was ever seen alive. In a late look none of them counts as new.
    pub(super) known: BTreeSet<InstanceId>,
    /// Instances of the new revision that failed, with the cloud's reason; also those that
    /// failed before a rollout turned back.
    pub failed: BTreeMap<InstanceId, String>,
    /// Failed instances that the record counts.
    pub counted: BTreeSet<InstanceId>,
    /// Failed instances that an earlier rollout counted.
    pub earlier: BTreeSet<InstanceId>,
    /// Instances that were taken out of the fleet for debugging.
    pub retained_failed: BTreeSet<InstanceId>,
    /// Those of [`RolloutState::strangers`] that the cloud was asked about.
    pub asked_about: BTreeSet<InstanceId>,
    /// How long instances that this engine saw launched took until they served.
    pub boots: Vec<Duration>,
    /// The stage of each instance that does not serve.
    pub stages: Stages,
    /// When anything was last done, or seen to change.
    pub changed_at: Timestamp,
    /// What the fleet reported that it did by itself, newest first.
    pub activities: Vec<Activity>,
    /// When the fleet was last asked for that.
    pub activities_asked: Option<Timestamp>,
    /// How many launches were under way then whose instances looks did not show.
    pub coming: usize,
    /// The least that was left to do so far.
    pub best: Option<Best>,
    /// Set once the rollout is to end early.
    pub halt: Option<Halt>,
    /// The last revision that the whole fleet is known to have run, where no record says so: from
    /// a front-end that keeps state, or from a record that is erased by now.
    pub known_completed: Option<Revision>,
    /// Why the rollout goes back to the completed revision, once it does.
    pub rolls_back: Option<String>,
    /// Since when it goes back.
    pub rolls_back_since: Timestamp,
    /// The lease with which this engine began, if it holds one.
    pub lease: Option<Lease>,
    /// The command that another process has given for this rollout.
    pub control: Option<Control>,
    /// Whether a rollout found paused is to go on.
    pub resume: bool,
    /// When the last batch ended.
    pub batch_ended: Option<Timestamp>,
    /// Since when the rollout has stood at a checkpoint.
    pub at_checkpoint: Option<Timestamp>,
    /// Since when only instances are left that are set aside.
    pub set_aside_since: Option<Timestamp>,
    /// Whether this engine has suspended the processes to suspend once. If they run again
    /// meanwhile, somebody wants them to.
    pub suspended: bool,
    /// Since when the second target group has had to stay healthy with its shifted requests.
    pub evaluating: Option<Timestamp>,
    /// The answers of the gates.
    pub gates: GateState,
    /// Actions that the cloud refused for good while we were putting things back.
    pub refused: Vec<(Action, String)>,
    /// Calls without an answer that changed the size, or would have. Each is counted once the fleet
    /// shows it, or once it is repeated and accepted.
    pub(super) unsure: Vec<Action>,
    /// A record that was written without an answer.
    pub(super) unsure_record: Option<Record>,
    /// Whether a call to erase the record got no answer.
    pub(super) erasing: bool,
    /// Whether this engine has erased the record: its rollout is over, whatever a late look says.
    pub over: bool,
    pub(super) observed_once: bool,
}

impl RolloutState {
    /// Returns the state of an engine that has done nothing yet.
    pub fn new(rollout_id: impl Into<String>, started: Timestamp) -> Self {
        let rollout_id = rollout_id.into();
        Self { rollout_id, started, changed_at: started, ..Self::default() }
    }

    /// Takes in that `record` is on the target.
    pub fn recorded(&mut self, record: Record) {
        if self.record.as_ref().is_some_and(|found| found.generation != record.generation) {
            self.earlier.clone_from(&self.counted);
        }
        self.counted.extend(record.last_failed.clone());
        (self.record, self.unsure_record) = (Some(record), None);
        // A command that the record acknowledges is obeyed.
        if let (Some(record), Some(control)) = (&self.record, &self.control)
            && record.acknowledged.contains(&control.id)
        {
            self.control = None;
        }
    }

    /// Returns `look` without instances that an earlier look showed on their way out.
    pub fn without_departed(&mut self, look: Observation) -> Observation {
        self.departed.without(look)
    }

    /// Whether `id` serves by what the cloud says: in service, healthy, and healthy in every target
    /// group (or in the second one, where requests are shifted), and not on its way out by our
    /// doing.
    pub fn serves(&self, target: &Target, id: &InstanceId, instance: &Instance) -> bool {
        instance.lifecycle == Lifecycle::InService
            && instance.healthy
            && !self.victims.contains(id)
            && !self.terminated.contains(id)
            && (is_healthy_in_primary(target, instance)
                || target.second.iter().any(|group| is_healthy_in(instance, group)))
    }

    /// Whether a registration by us was accepted so recently that a look need not show it. Then we
    /// do not ask for it again.
    pub fn was_registered(&self, id: &InstanceId, group: &TargetGroupId, now: Timestamp) -> bool {
        let at = self.registered.get(&(id.clone(), group.clone()));
        at.is_some_and(|at| now.since(*at) < LOOKS_LAG)
    }

    /// Whether `id` may not serve although a look says so: it was taken out of rotation so
    /// recently, and put back since, that the look may be from before.
    pub fn may_be_out(&self, id: &InstanceId, now: Timestamp) -> bool {
        self.put_back.get(id).is_some_and(|out| now.since(*out) <= LOOKS_LAG)
    }

    /// Returns when the first instance counts again for which [`Self::may_be_out`] holds.
    pub fn put_back_until(&self) -> Option<Timestamp> {
        let moment = Duration::from_millis(1);
        self.put_back.values().min().map(|out| *out + LOOKS_LAG + moment)
    }

    /// Whether `id` is out of some target group by our doing.
    pub fn was_deregistered(&self, id: &InstanceId) -> bool {
        self.deregistered.contains_key(id)
    }

    /// Begins to put the rollout back. Victims that are still in rotation stay there.
    pub fn begin_halt(&mut self, halt: Halt) {
        self.halt = Some(halt);
        self.victims.retain(|id| self.deregistered.contains_key(id));
    }

    /// Goes on with a rollout that was being put back. What a pause has resumed is suspended again.
    pub fn resume(&mut self) {
        (self.halt, self.resume, self.suspended) = (None, true, false);
        self.refused.clear();
    }

    /// Returns what `command` does here and now, by the table of [`crate::rollout::control`].
    pub fn effect(&self, command: Command) -> Effect {
        let halt = self.halt.as_ref();
        let work = Work {
            recorded: self.record.is_some(),
            back: self.rolls_back.is_some(),
            halt: halt.map(|halt| halt.ending),
            told_to_end: halt.is_some_and(|halt| halt.until.is_some()),
        };
        work.effect(command)
    }

    /// Returns the record, where it is of what this engine does now and not of what came before.
    pub fn standing(&self, target: &Target) -> Option<&Record> {
        let is_back = self.rolls_back.is_some();
        self.record.as_ref().filter(|record| {
            record.phase == Phase::Rolling
                && record.rolls_back == is_back
                && (is_back || record.to == target.revision)
        })
    }

    /// Takes in that the rollout is waiting on purpose, which is no lack of progress.
    pub fn wait_deliberately(&mut self, now: Timestamp) {
        if let Some(best) = &mut self.best {
            best.at = now;
        }
    }

    /// Chooses victims. They count as out of rotation at once, before any call is made.
    pub fn choose(&mut self, victims: &BTreeSet<InstanceId>) {
        self.victims.extend(victims.iter().cloned());
    }

    pub(super) fn note_deregistered(
        &mut self,
        id: &InstanceId,
        group: &TargetGroupId,
        at: Timestamp,
    ) {
        self.deregistered.entry(id.clone()).or_default().entry(group.clone()).or_insert(at);
    }
}
