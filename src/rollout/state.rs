//! What one engine has seen and done so far: a fold over observations and accepted actions.
//!
//! Reads of a cloud lag behind its writes, so what we did counts from the moment the cloud
//! accepted it, whatever the next observation says. All of this is rebuilt after a crash from
//! the record and a fresh look; only soak and drain times start over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rolling_provider::{
    Action, Activity, ActivityKind, Instance, InstanceId, Lifecycle, Observation, Revision, Target,
    TargetGroupId, TargetState, Timestamp,
};

mod accepted;
mod adopt;
mod best;
mod departed;
mod history;
mod in_place;
mod launched;
mod missing;
mod replaces;
mod sizes;
mod stages;
mod strangers;
mod unmanaged;
mod written;

pub use best::Best;
pub use in_place::InPlace;
pub use launched::Launched;

use history::Out;
pub use history::{InstanceHistory, trouble};
pub use missing::Missing;
pub use replaces::Replaces;
pub use stages::{Stage, Stages};
pub use unmanaged::{LaunchTrouble, Unmanaged, members};

use self::departed::Departed;
use self::missing::Fate;
pub use self::sizes::LOOKS_LAG;
use self::sizes::Sizes;
use self::written::Written;
use crate::model::spec::Health;
use crate::record::command::{Command, Control};
use crate::record::lease::Lease;
use crate::record::{Ending, Phase, ROLLOUT, Record};
use crate::rollout::control::{Effect, Work};
use crate::rollout::planner::shift;

/// See the module.
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
    /// and one that does not list it may be from before it was listed.
    pub drains: BTreeSet<(InstanceId, TargetGroupId)>,
    /// Instances of the new revision that an engine before this one took out of a target group,
    /// to give surge back: they are good, and go back in.
    pub deregistered_by_predecessor: BTreeSet<(InstanceId, TargetGroupId)>,
    /// Whether the fleet replaces by itself whoever is out of rotation.
    pub replaces: Replaces,
    /// Victims that were put back into every target group, and when.
    pub returned: BTreeMap<InstanceId, Timestamp>,
    /// Who was put back into rotation by us, and when they had been taken out: a look that is late
    /// may show them as they were before that.
    put_back: BTreeMap<InstanceId, Timestamp>,
    /// When a registration by us was accepted.
    registered: BTreeMap<(InstanceId, TargetGroupId), Timestamp>,
    /// Instances that hooks hold no more by our doing, on their way in or out.
    pub released: BTreeSet<(InstanceId, bool)>,
    /// Reserves whose termination the cloud accepted.
    pub discarded: BTreeSet<InstanceId>,
    /// Instances whose termination the cloud accepted.
    pub terminated: BTreeSet<InstanceId>,
    /// The sizes of a fleet that has some.
    sizes: Sizes,
    /// Who was seen on its way out.
    departed: Departed,
    /// What else we wrote.
    written: Written,
    /// What is known of unmanaged instances.
    pub unmanaged: Unmanaged,
    /// What is known of updates in place.
    pub in_place: InPlace,
    /// What was seen of each instance.
    pub history: BTreeMap<InstanceId, InstanceHistory>,
    /// Since when each place has been empty that lacks an instance.
    pub missing: Missing,
    /// What came and went since the way to this revision began.
    pub launched: Launched,
    /// Every instance that was ever seen alive: a look that is late brings no newcomers.
    known: BTreeSet<InstanceId>,
    /// Instances of the new revision that failed, with the cloud's reason; also those that
    /// failed before a rollout turned back.
    pub failed: BTreeMap<InstanceId, String>,
    /// Those of them that the record counts.
    pub counted: BTreeSet<InstanceId>,
    /// Those that an earlier rollout counted.
    pub earlier: BTreeSet<InstanceId>,
    /// Instances that were taken out of the fleet to be looked at.
    pub retained_failed: BTreeSet<InstanceId>,
    /// Those of [`Progress::strangers`] that the cloud was asked about.
    pub asked_about: BTreeSet<InstanceId>,
    /// How long instances that this engine saw launched took until they served.
    pub boots: Vec<Duration>,
    /// What each instance that does not serve is at.
    pub stages: Stages,
    /// When anything was last done, or seen to be different.
    pub changed_at: Timestamp,
    /// What the fleet said it did by itself, newest first.
    pub activities: Vec<Activity>,
    /// When it was last asked for that.
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
    /// Set once the rollout goes back to the completed revision: why.
    pub rolls_back: Option<String>,
    /// When that was.
    pub turned_back_at: Timestamp,
    /// The lease with which this engine began, if it holds one.
    pub lease: Option<Lease>,
    /// What somebody else wants of this rollout.
    pub control: Option<Control>,
    /// Whether a rollout found paused is to go on.
    pub resume: bool,
    /// When the last batch ended.
    pub batch_ended: Option<Timestamp>,
    /// Since when the rollout has stood at a checkpoint.
    pub at_checkpoint: Option<Timestamp>,
    /// Since when only instances are left that somebody has set aside.
    pub set_aside_since: Option<Timestamp>,
    /// Whether the processes to suspend have been suspended once by this engine; resuming them
    /// meanwhile is then somebody's wish.
    pub suspended: bool,
    /// Since when shifted requests have had to stay well.
    pub evaluating: Option<Timestamp>,
    /// What the gates have said.
    pub gates: GateState,
    /// Actions that the cloud refused for good while we were putting things back.
    pub refused: Vec<(Action, String)>,
    /// Calls that changed the size, or would have, without an answer: each is counted once the
    /// fleet shows it, or once it is asked for again and accepted.
    unsure: Vec<Action>,
    /// A record that was written without an answer.
    unsure_record: Option<Record>,
    /// Whether the record was to be erased, without an answer.
    erasing: bool,
    /// Whether this engine has erased the record: its rollout is over, whatever a late look says.
    pub over: bool,
    observed_once: bool,
}

/// What the gates have said so far. None of it survives a crash: they are asked again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateState {
    /// What they passed last.
    pub passed: Option<Question>,
    /// Why they did not pass, as a sentence.
    pub failed: Option<String>,
    /// Since when they have been asked what they are asked now.
    pub asked: Option<Timestamp>,
    /// Since when everything is done and has to stay well.
    pub baking: Option<Timestamp>,
}

/// What gates are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The number of the batch that was finished last; 0 before the first.
    pub after: u32,
    /// How many checkpoints have been passed.
    pub checkpoints: u32,
    /// Whether the probes are tried, too, or only the alarms read.
    pub probes: bool,
}

impl Question {
    /// Whether what passed this needs not be asked `other`.
    pub fn covers(self, other: Question) -> bool {
        (self.after, self.checkpoints) == (other.after, other.checkpoints)
            && (self.probes || !other.probes)
    }
}

/// Why a rollout ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// What brings it to an end, as a sentence.
    pub reason: String,
    /// As what it ends.
    pub ending: Ending,
    /// Whether a failure led here: the fleet's template then goes back, also for a pause.
    pub fault: bool,
    /// Whether it is a checkpoint that pauses the rollout: it is passed once that is resumed.
    pub at_checkpoint: bool,
    /// When it was decided.
    pub at: Timestamp,
    /// When to stop waiting for things to settle; `None` to wait as long as each may take.
    pub until: Option<Timestamp>,
}

impl Halt {
    /// A failure that the rollout does not survive.
    pub fn failed(reason: String, at: Timestamp) -> Self {
        let (ending, until) = (Ending::Failed, None);
        Halt { reason, ending, fault: true, at_checkpoint: false, at, until }
    }
}

impl RolloutState {
    /// The state of an engine that has done nothing yet.
    pub fn new(rollout_id: impl Into<String>, started: Timestamp) -> Self {
        let rollout_id = rollout_id.into();
        Self { rollout_id, started, changed_at: started, ..Self::default() }
    }

    /// Takes in one look at the fleet.
    pub fn observe(&mut self, target: &Target, health: &Health, look: &Observation) {
        let now = look.at;
        self.written.look(look);
        self.look_at_sizes(look, target.no_surge.is_none());
        self.note_updates(look);
        if !self.observed_once {
            self.adopt_failed(target, look);
            self.adopt_victims(target, look);
        }
        self.note_draining(look);
        let (mut live, mut arrived) = (0u32, Vec::new());
        for (id, instance) in &look.instances {
            if instance.lifecycle.is_live() && !self.terminated.contains(id) {
                live += 1;
                if !self.history.contains_key(id) && self.known.insert(id.clone()) {
                    arrived.push((id.clone(), instance.revision.clone()));
                }
            }
            self.observe_instance(target, health, now, id, instance);
        }
        self.forget_gone(look);
        if look.is_unmanaged() {
            self.count_plain(target, look);
        }
        if self.erasing && !look.record.contains_key(ROLLOUT) {
            self.erased();
        }
        if self.unsure_record.is_some()
            && Record::from_tags(&look.record) == Ok(self.unsure_record.clone())
        {
            // What it says is heard would else be forgotten by the next one that is written.
            self.unsure_record.take().into_iter().for_each(|record| self.recorded(record));
        }
        if let Some(record) = &self.record {
            // The call may have got no answer.
            let ours = &record.borrowed.suspended;
            self.suspended |= !ours.is_empty() && ours.is_subset(&look.suspended);
        }
        let empty = self.desired(look).saturating_sub(live);
        let came: Vec<InstanceId> = arrived.iter().map(|(id, _)| id.clone()).collect();
        if self.observed_once {
            let to_come = if look.is_unmanaged() { self.unmanaged.on_their_way } else { empty };
            self.stages.look(&came, to_come as usize, now);
        }
        self.follow_newcomers(look);
        self.missing.absorb(&came, empty as usize, now);
        self.note_launches(target, look, &arrived);
        let (record, lease) = (self.record.as_ref(), self.lease.as_ref());
        self.control = Control::pending(&look.record, record, lease);
        self.observed_once = true;
    }

    /// Nobody has looked for `unseen` longer than looks take: this process stood still, say. Who had
    /// that much time to become healthy, and soaks, has it again, and so has the rollout to get on.
    pub fn not_looked(&mut self, unseen: Duration) {
        for history in self.history.values_mut() {
            history.since = history.since + unseen;
            let times = [&mut history.serving_since, &mut history.lost_at];
            times.into_iter().flatten().for_each(|time| *time = *time + unseen);
        }
        self.missing.not_looked(unseen);
        if let Some(best) = &mut self.best {
            best.at = best.at + unseen;
        }
    }

    /// Takes in that `record` stands on the target.
    pub fn recorded(&mut self, record: Record) {
        if self.record.as_ref().is_some_and(|found| found.generation != record.generation) {
            self.earlier.clone_from(&self.counted);
        }
        self.counted.extend(record.last_failed.clone());
        (self.record, self.unsure_record) = (Some(record), None);
        // What it says it has heard is obeyed.
        if let (Some(record), Some(control)) = (&self.record, &self.control)
            && record.acknowledged.contains(&control.id)
        {
            self.control = None;
        }
    }

    /// Whether the cloud takes `id` for serving: in service, healthy, and healthy in every
    /// target group (or in the second one, where requests are shifted), and not on its way out by
    /// our doing.
    pub fn serves(&self, target: &Target, id: &InstanceId, instance: &Instance) -> bool {
        instance.lifecycle == Lifecycle::InService
            && instance.healthy
            && !self.victims.contains(id)
            && !self.terminated.contains(id)
            && (shift::is_healthy_in_primary(target, instance)
                || target.second.iter().any(|group| shift::is_healthy_in(instance, group)))
    }

    /// Whether a registration by us was accepted so lately that a look need not show it: it is not
    /// asked for again.
    pub fn was_registered(&self, id: &InstanceId, group: &TargetGroupId, now: Timestamp) -> bool {
        let at = self.registered.get(&(id.clone(), group.clone()));
        at.is_some_and(|at| now.since(*at) < LOOKS_LAG)
    }

    /// Whether `id` may not serve although a look says so: it was taken out of rotation so lately,
    /// and put back since, that the look may be from before.
    pub fn may_be_out(&self, id: &InstanceId, now: Timestamp) -> bool {
        self.put_back.get(id).is_some_and(|out| now.since(*out) <= LOOKS_LAG)
    }

    /// When the first of those counts again for which [`Self::may_be_out`] holds.
    pub fn put_back_until(&self) -> Option<Timestamp> {
        let moment = Duration::from_millis(1);
        self.put_back.values().min().map(|out| *out + LOOKS_LAG + moment)
    }

    /// Whether `id` is out of some target group by our doing.
    pub fn was_deregistered(&self, id: &InstanceId) -> bool {
        self.deregistered.contains_key(id)
    }

    /// Takes in what the fleet says it did by itself: the cause of a removal joins the reason of
    /// the failure.
    pub fn explain(&mut self, activities: Vec<Activity>, now: Timestamp) {
        let is_known = |id: &InstanceId| self.known.contains(id);
        let is_coming = |kind: ActivityKind| match kind {
            ActivityKind::Launching => true,
            ActivityKind::Launched(at) => now.since(at) <= LOOKS_LAG,
            _ => false,
        };
        let coming = activities.iter().filter(|activity| is_coming(activity.kind));
        self.coming = coming.filter(|a| !a.instance.as_ref().is_some_and(is_known)).count();
        self.replaces.explain(&activities);
        for (id, reason) in &mut self.failed {
            let launches =
                |kind| !matches!(kind, ActivityKind::Other | ActivityKind::RemovedUnhealthy);
            let of = |a: &&Activity| a.instance.as_ref() == Some(id) && !launches(a.kind);
            let activity = activities.iter().find(of);
            if let Some(activity) = activity
                && !reason.contains(&activity.cause)
            {
                reason.push_str(": ");
                reason.push_str(&activity.cause);
            }
        }
        self.activities = activities;
    }

    /// From now on the rollout is put back. Victims that are still in rotation stay there.
    pub fn begin_halt(&mut self, halt: Halt) {
        self.halt = Some(halt);
        self.victims.retain(|id| self.deregistered.contains_key(id));
    }

    /// The rollout goes on that was being put back. What a pause has resumed is suspended again.
    pub fn go_on(&mut self) {
        (self.halt, self.resume, self.suspended) = (None, true, false);
        self.refused.clear();
    }

    /// What `command` is to do here and now, by the table of [`crate::rollout::control`].
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

    /// The record, where it is of what this engine does now and not of what came before.
    pub fn standing(&self, target: &Target) -> Option<&Record> {
        let is_back = self.rolls_back.is_some();
        self.record.as_ref().filter(|record| {
            record.phase == Phase::Rolling
                && record.rolls_back == is_back
                && (is_back || record.to == target.revision)
        })
    }

    /// Takes in that the rollout is waiting on purpose, which is no lack of progress.
    pub fn rest(&mut self, now: Timestamp) {
        if let Some(best) = &mut self.best {
            best.at = now;
        }
    }

    /// Chooses victims: from now on they count as out of rotation, before any call is made.
    pub fn choose(&mut self, victims: &BTreeSet<InstanceId>) {
        self.victims.extend(victims.iter().cloned());
    }

    fn observe_instance(
        &mut self,
        target: &Target,
        health: &Health,
        now: Timestamp,
        id: &InstanceId,
        instance: &Instance,
    ) {
        let serves = self.serves(target, id, instance);
        if !self.history.contains_key(id) {
            let mut history = self.first_sight(target, now, instance, serves);
            if self.is_stray(id) {
                // Out of rotation by our doing, it had no way to get healthy.
                history.since = now;
            }
            self.history.insert(id.clone(), history);
        }
        let is_leaving = self.victims.contains(id) || self.terminated.contains(id);
        let by_us = self.whose_doing(target, id, now);
        let update = instance.update.as_ref();
        let since = self.history.get(id).map_or(now, |history| history.since);
        let overdue = update.map(|update| self.update_failed(update, since, now));
        let evaluated = self.evaluating.is_some() || self.gates.baking.is_some();
        let Some(history) = self.history.get_mut(id) else { return };
        if serves {
            let asked = self.stages.end(id, now);
            if history.launched_here && !history.has_served {
                self.boots.push(now.since(asked.unwrap_or(history.since)));
            }
            history.has_served = true;
            let since = *history.serving_since.get_or_insert(now);
            history.lost_at = None;
            history.soaked |= now.since(since) >= health.min_healthy_time;
        } else {
            history.serving_since = None;
            history.lost_at.get_or_insert(now);
            if instance.lifecycle.is_live() {
                history.trouble = Some(trouble(target, instance));
            }
        }
        let unhealthy = !instance.healthy
            || instance.targets.values().any(|health| health.state == TargetState::Unhealthy);
        // On its way out it drains, whatever it was called before.
        let lives = instance.lifecycle.is_live();
        history.called_unhealthy = unhealthy || (history.called_unhealthy && !lives);
        history.see_rotation(target, instance, by_us, serves, now);
        let is_ours = history.is_new && !is_leaving && !instance.ignored;
        if is_ours
            && instance.lifecycle.is_live()
            && !self.failed.contains_key(id)
            && let Some(reason) = overdue.unwrap_or_else(|| {
                history.overdue(health, serves, now).or_else(|| history.became_unhealthy(evaluated))
            })
        {
            self.failed.insert(id.clone(), reason);
        }
        if self.terminated.contains(id) || !instance.lifecycle.is_live() {
            self.victims.remove(id);
        }
    }

    fn is_stray(&self, id: &InstanceId) -> bool {
        let first = (id.clone(), TargetGroupId::new(""));
        self.deregistered_by_predecessor.range(first..).next().is_some_and(|(stray, _)| stray == id)
    }

    /// By whose doing `id` is out of rotation, where it is.
    fn whose_doing(&self, target: &Target, id: &InstanceId, now: Timestamp) -> Out {
        let is_leaving = self.victims.contains(id) || self.terminated.contains(id);
        // Of what we registered a moment ago a look need not know.
        let comes = target.rotation().any(|group| self.was_registered(id, &group.id, now));
        // Whoever stays is taken out of the second target group once it serves in the first.
        let asked = self.deregistered.get(id);
        let goes = target
            .target_groups
            .iter()
            .any(|home| asked.is_some_and(|groups| groups.contains_key(&home.id)));
        if is_leaving || comes || goes || self.is_stray(id) {
            return Out::Ours;
        }
        // Where the fleet registers nothing by itself, or not where it is to serve, we do.
        let is_owned = self.record.as_ref().is_some_and(|record| record.owned);
        match self.in_place.within.is_some() || target.second.is_some() || is_owned {
            true => Out::OursAtFirst,
            false => Out::Theirs,
        }
    }

    /// Counts what came, and what the fleet is to launch. Where it launches nothing by itself, what
    /// is launched is what was asked for.
    fn note_launches(
        &mut self,
        target: &Target,
        look: &Observation,
        arrived: &[(InstanceId, Option<Revision>)],
    ) {
        if look.is_unmanaged() || self.in_place.within.is_some() {
            return;
        }
        let is_right = look.template.as_ref() == Some(&target.revision);
        self.launched.look(self.size(look), is_right);
        if self.observed_once {
            self.launched.arrived(arrived, &target.revision);
            return;
        }
        self.launched.excuse(self.missing.len());
        if self.record.as_ref().is_none_or(Record::is_over) {
            self.missing.begin();
        }
    }

    /// What has become of those that came and have not served.
    fn follow_newcomers(&mut self, look: &Observation) {
        let mut missing = std::mem::take(&mut self.missing);
        missing.follow(look.at, |id| {
            let served = self.history.get(id).is_some_and(|history| history.has_served);
            match look.instances.get(id).map(|instance| instance.lifecycle) {
                _ if served || self.terminated.contains(id) || self.victims.contains(id) => {
                    Fate::Settled
                }
                Some(Lifecycle::Standby) => Fate::Settled,
                Some(lifecycle) if lifecycle.is_live() => Fate::Boots,
                _ => Fate::Gone,
            }
        });
        self.missing = missing;
    }

    fn note_deregistered(&mut self, id: &InstanceId, group: &TargetGroupId, at: Timestamp) {
        self.deregistered.entry(id.clone()).or_default().entry(group.clone()).or_insert(at);
    }

    /// Victims that drain although their deregistration got no answer.
    fn note_draining(&mut self, look: &Observation) {
        for id in self.victims.clone() {
            let targets = look.instances.get(&id).map(|instance| &instance.targets);
            for (group, health) in targets.into_iter().flatten() {
                if health.state == TargetState::Draining {
                    self.note_deregistered(&id, group, look.at);
                    self.drains.insert((id.clone(), group.clone()));
                }
            }
        }
    }

    /// Instances that left: a victim that went by itself is a step done; one of the new revision
    /// that the fleet removed as unhealthy, or that came to an end by itself, has failed.
    fn forget_gone(&mut self, look: &Observation) {
        let going = |id: &InstanceId| {
            look.instances.get(id).is_none_or(|i| i.lifecycle == Lifecycle::Terminating)
        };
        self.victims.retain(|id| !going(id));
        let is_halting = self.halt.is_some();
        for (id, history) in &self.history {
            let ours = self.terminated.contains(id) || self.was_deregistered(id);
            if !going(id) || ours || !history.is_new || is_halting {
                continue;
            }
            let ended = look.instances.get(id).and_then(|instance| instance.ended.as_ref());
            // One that was good, and is lost, is replaced.
            let reason = match ended {
                _ if history.soaked => continue,
                Some(why) => format!("it came to an end by itself: {why}"),
                None if history.called_unhealthy && !look.is_unmanaged() => {
                    let why = history.trouble.as_deref().unwrap_or("unhealthy");
                    format!("its group removed it as unhealthy: {why}")
                }
                None => continue,
            };
            self.failed.entry(id.clone()).or_insert(reason);
        }
        // One in standby has left its place, too.
        let aside = |id: &InstanceId| {
            look.instances.get(id).is_some_and(|i| i.lifecycle == Lifecycle::Standby)
        };
        let lost = self.history.keys().filter(|id| going(id) || aside(id));
        let lost = lost.filter(|id| !self.terminated.contains(*id));
        self.launched.taken.extend(lost.cloned());
        self.replaces.look(look, self.deregistered.keys(), &self.terminated);
        self.history.retain(|id, _| look.instances.contains_key(id));
        self.stages.retain(|id| look.instances.contains_key(id));
        self.deregistered.retain(|id, _| look.instances.contains_key(id));
        self.deregistered_by_predecessor.retain(|(id, _)| !going(id));
        self.registered.retain(|(id, _), _| look.instances.contains_key(id));
        self.put_back.retain(|_, out| look.at.since(*out) <= LOOKS_LAG);
        self.drains.retain(|(id, _)| look.instances.contains_key(id));
    }
}
