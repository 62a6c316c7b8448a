//! What one engine knows of its rollout.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rolling_provider::{
    Extent, Instance, InstanceId, Lifecycle, Observation, Revision, Target, TargetGroupId,
    Timestamp,
};

use super::parts::{Batch, Direction, Failures, Launches, Removed, Rotation, Unanswered, Waits};
use super::{GateState, Halt, HookState, LOOKS_LAG};
use crate::record::command::{Command, Control};
use crate::record::lease::Lease;
use crate::record::{Phase, Record};
use crate::rollout::control::{CommandEffect, EngineActivity};
use crate::rollout::serving::{is_healthy_in, is_healthy_in_primary, trouble};
use crate::rollout::state::sizes::Sizes;
use crate::rollout::state::written::RecentWrites;
use crate::rollout::state::{InPlaceState, InstanceHistory, Stages, Unmanaged};

/// What one engine knows of its rollout; see the module `state`.
#[derive(Clone, Debug, Default)]
pub struct RolloutState {
    /// Names this rollout in the record and the events; from the front-end.
    pub(crate) rollout_id: String,
    /// When this engine first looked.
    pub(crate) started: Timestamp,
    /// The record as we last wrote it or found it; `None` when there is none on the target.
    pub record: Option<Record>,
    /// The lease with which this engine began, if it holds one.
    pub(crate) lease: Option<Lease>,
    /// The command that another process has given for this rollout.
    pub(crate) control: Option<Control>,
    /// The last revision that the whole fleet is known to have run, where no record says so: from
    /// a front-end that keeps state, or from a record that is erased by now.
    pub(crate) known_completed: Option<Revision>,
    /// Whether the rollout goes forward, rolls back, or halts.
    pub(crate) direction: Direction,
    /// The current or last batch.
    pub(crate) batch: Batch,
    /// What was seen of each instance.
    pub(crate) history: BTreeMap<InstanceId, InstanceHistory>,
    /// The stage of each instance that does not serve.
    pub(crate) stages: Stages,
    /// Instances out of rotation, and back in it.
    pub(crate) rotation: Rotation,
    /// Instances that left the fleet by our action, or were seen to leave it.
    pub(crate) removed: Removed,
    /// What failed.
    pub failures: Failures,
    /// What was launched, or is missing.
    pub(crate) launches: Launches,
    /// The sizes of a fleet whose size the cloud keeps.
    pub(super) sizes: Sizes,
    /// What is known of unmanaged instances.
    pub(crate) unmanaged: Unmanaged,
    /// What is known of updates in place.
    pub(crate) in_place: InPlaceState,
    /// Whether this rollout takes out no instance that is protected from scale-in.
    pub(crate) spares_protected: bool,
    /// Since when the rollout waits for what it waits for.
    pub(crate) waits: Waits,
    /// The answers of the gates.
    pub(crate) gates: GateState,
    /// What is known of hooks beyond the record.
    pub(crate) hooks: HookState,
    /// Our other recent writes.
    pub(super) written: RecentWrites,
    /// Calls without an answer.
    pub(super) unanswered: Unanswered,
    /// Whether this engine has suspended the processes to suspend once. If they run again
    /// meanwhile, somebody wants them to.
    pub(crate) suspended: bool,
    /// What this engine has had the platform's controller roll to, last.
    pub(crate) rolled_to: Option<Revision>,
    /// How far this engine has had that controller go, last, and when.
    pub(crate) extent: Option<(Extent, Timestamp)>,
    /// Whether this engine has erased the record: its rollout is over, whatever a late look says.
    pub(crate) over: bool,
    pub(super) observed_once: bool,
}

impl RolloutState {
    /// Returns the state of an engine that has done nothing yet.
    pub fn new(rollout_id: impl Into<String>, started: Timestamp) -> Self {
        let rollout_id = rollout_id.into();
        let waits = Waits { changed_at: started, ..Waits::default() };
        Self { rollout_id, started, waits, ..Self::default() }
    }

    /// Notes that `record` is on the target.
    pub(crate) fn recorded(&mut self, record: Record) {
        if self.record.as_ref().is_some_and(|found| found.generation != record.generation) {
            self.failures.earlier.clone_from(&self.failures.counted);
        }
        self.failures.counted.extend(record.last_failed.clone());
        let is_open = |record: &Record| record.hooks.as_ref().is_some_and(|hooks| hooks.open);
        if self.record.as_ref().is_some_and(is_open) && !is_open(&record) {
            self.hooks.batch = None;
        }
        (self.record, self.unanswered.record) = (Some(record), None);
        // A command that the record acknowledges is obeyed.
        if let (Some(record), Some(control)) = (&self.record, &self.control)
            && record.acknowledged.contains(&control.id)
        {
            self.control = None;
        }
    }

    /// Returns `look` without instances that an earlier look showed on their way out.
    pub(crate) fn without_departed(&mut self, look: Observation) -> Observation {
        self.removed.departed.without(look)
    }

    /// Whether `id` serves by what the cloud says: in service, healthy, and healthy in every target
    /// group (or in the second one, where requests are shifted), and not on its way out by our
    /// action.
    pub(crate) fn serves(&self, target: &Target, id: &InstanceId, instance: &Instance) -> bool {
        !self.rotation.victims.contains(id) && self.still_serves(target, id, instance)
    }

    /// Whether an instance serves by the last look, be it on its way out: until it is deregistered
    /// it gets requests.
    pub(crate) fn still_serves(
        &self,
        target: &Target,
        id: &InstanceId,
        instance: &Instance,
    ) -> bool {
        let is_out = self.rotation.victims.contains(id) && self.was_deregistered(id);
        instance.lifecycle == Lifecycle::InService
            && instance.healthy
            && !is_out
            && !self.removed.terminated.contains(id)
            && (is_healthy_in_primary(target, instance)
                || target.second.iter().any(|group| is_healthy_in(instance, group)))
    }

    /// Returns why `id` does not serve: who took it out, or the cloud's own words.
    pub(crate) fn trouble_of(&self, target: &Target, id: &InstanceId, now: &Instance) -> String {
        let history = self.history.get(id).filter(|history| history.taken_out);
        let known = history.and_then(|history| history.trouble.clone());
        known.unwrap_or_else(|| trouble(target, now))
    }

    /// Whether a registration by us was accepted so recently that a look need not show it. Then we
    /// do not ask for it again.
    pub(crate) fn was_registered(
        &self,
        id: &InstanceId,
        group: &TargetGroupId,
        now: Timestamp,
    ) -> bool {
        let at = self.rotation.registered.get(&(id.clone(), group.clone()));
        at.is_some_and(|at| now.since(*at) < LOOKS_LAG)
    }

    /// Whether `id` may not serve although a look says so: it was taken out of rotation so
    /// recently, and put back since, that the look may be from before.
    pub(crate) fn may_be_out(&self, id: &InstanceId, now: Timestamp) -> bool {
        self.rotation.put_back.get(id).is_some_and(|out| now.since(*out) <= LOOKS_LAG)
    }

    /// Returns when the first instance counts again for which [`Self::may_be_out`] holds.
    pub(crate) fn put_back_until(&self) -> Option<Timestamp> {
        let moment = Duration::from_millis(1);
        self.rotation.put_back.values().min().map(|out| *out + LOOKS_LAG + moment)
    }

    /// Whether we have registered `id`, or have yet to do so because an engine of the rollout took it
    /// out.
    pub(crate) fn was_put_back(&self, id: &InstanceId) -> bool {
        self.rotation.registered.keys().any(|(known, _)| known == id)
            || self.was_deregistered_by_predecessor(id)
    }

    /// Whether `id` is out of some target group by our action.
    pub(crate) fn was_deregistered(&self, id: &InstanceId) -> bool {
        self.rotation.deregistered.contains_key(id)
    }

    /// Begins to halt the rollout. Victims that are still in rotation stay there.
    pub(crate) fn begin_halt(&mut self, halt: Halt) {
        // A halt before this one may have resumed what the rollout had suspended.
        self.suspended &= self.direction.halt.is_none();
        self.direction.halt = Some(halt);
        // Instances go back into rotation: whoever is chosen again is prepared again.
        self.hooks = HookState::default();
        self.rotation.victims.retain(|id| self.rotation.deregistered.contains_key(id));
    }

    /// Continues a rollout that was halting. What a pause has resumed is suspended again.
    pub(crate) fn resume(&mut self) {
        self.hooks = HookState::default();
        (self.direction.halt, self.direction.resume, self.suspended) = (None, true, false);
        self.failures.refused.clear();
    }

    /// Returns what `command` does here and now, by the table of [`crate::rollout::control`].
    pub(crate) fn effect(&self, command: Command) -> CommandEffect {
        let halt = self.direction.halt.as_ref();
        let work = EngineActivity {
            recorded: self.record.is_some(),
            back: self.direction.rolls_back.is_some(),
            halt: halt.map(|halt| halt.ending),
            asked_to_end: halt.is_some_and(|halt| halt.until.is_some()),
        };
        work.effect(command)
    }

    /// Returns the record, where it is of what this engine does now and not of what came before.
    pub(crate) fn standing(&self, target: &Target) -> Option<&Record> {
        let is_back = self.direction.rolls_back.is_some();
        self.record.as_ref().filter(|record| {
            record.phase == Phase::Rolling
                && record.rolls_back == is_back
                && (is_back || record.leads_to(&target.goal()))
        })
    }

    /// Notes that the rollout is waiting deliberately, which does not count as a lack of progress.
    pub(crate) fn wait_deliberately(&mut self, now: Timestamp) {
        if let Some(least) = &mut self.waits.least_remaining {
            least.at = now;
        }
    }

    /// Chooses victims. They count as out of rotation at once, before any call is made.
    pub(crate) fn choose(&mut self, victims: &BTreeSet<InstanceId>) {
        self.rotation.victims.extend(victims.iter().cloned());
    }

    /// Drops victims that are not to go after all: those out of rotation go back into it.
    pub(crate) fn release(&mut self, victims: &BTreeSet<InstanceId>, now: Timestamp) {
        self.rotation.victims.retain(|id| !victims.contains(id));
        for (id, groups) in &self.rotation.deregistered {
            if !victims.contains(id) {
                continue;
            }
            let place = |group: &TargetGroupId| (id.clone(), group.clone());
            self.rotation.deregistered_by_predecessor.extend(groups.keys().map(place));
            let out = groups.values().max().copied();
            self.rotation.put_back.extend(out.map(|out| (id.clone(), out)));
            // We took it out of rotation, so it could not serve.
            if let Some(history) = self.history.get_mut(id) {
                (history.since, history.lost_at) = (now, Some(now));
            }
        }
        self.rotation.deregistered.retain(|id, _| !victims.contains(id));
    }

    pub(super) fn note_deregistered(
        &mut self,
        id: &InstanceId,
        group: &TargetGroupId,
        at: Timestamp,
    ) {
        self.rotation
            .deregistered
            .entry(id.clone())
            .or_default()
            .entry(group.clone())
            .or_insert(at);
    }
}
