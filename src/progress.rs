//! What one engine has seen and done so far: a fold over observations and accepted actions.
//!
//! Reads of a cloud lag behind its writes, so what we did counts from the moment the cloud
//! accepted it, whatever the next observation says. All of this is rebuilt after a crash from
//! the record and a fresh look; only soak and drain times start over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rolling_provider::{
    Action, Activity, Instance, InstanceId, Lifecycle, Observation, Target, TargetGroupId,
    TargetState, Timestamp,
};

use crate::record::Record;

/// How long a desired size that we wrote is believed over an observation that lacks it.
const WRITE_SETTLES_IN: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Progress {
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
    pub deregistered: BTreeMap<(InstanceId, TargetGroupId), Timestamp>,
    /// Instances of the new revision that an engine before this one took out of a target group,
    /// to give surge back: they are good, and go back in.
    pub strays: BTreeSet<(InstanceId, TargetGroupId)>,
    /// Victims that were put back into every target group, and when.
    pub returned: BTreeMap<InstanceId, Timestamp>,
    /// Instances whose termination the cloud accepted.
    pub terminated: BTreeSet<InstanceId>,
    /// How many of the live or missing instances are surge of ours.
    pub surge: u32,
    /// What was seen of each instance.
    pub seen: BTreeMap<InstanceId, Seen>,
    /// Since when there are fewer instances than desired.
    pub missing_since: Option<Timestamp>,
    /// Instances of the new revision that failed, with the cloud's reason.
    pub failed: BTreeMap<InstanceId, String>,
    /// What the fleet said it did by itself, newest first.
    pub activities: Vec<Activity>,
    /// When it was last asked for that.
    pub activities_asked: Option<Timestamp>,
    /// The highest count of updated plus serving instances, and when it was reached.
    pub best: Option<(usize, Timestamp)>,
    /// Set once the rollout is to end early.
    pub halt: Option<Halt>,
    /// Whether the processes to suspend have been suspended once by this engine; resuming them
    /// meanwhile is then somebody's wish.
    pub suspended: bool,
    /// Actions that the cloud refused for good while we were putting things back.
    pub refused: Vec<(Action, String)>,
    /// Calls that changed the size, or would have, without an answer. See [`Unsure`].
    unsure: Vec<Unsure>,
    desired_written: Option<(u32, Timestamp)>,
    observed_once: bool,
}

/// A change of the size of which nobody knows whether it took effect: it is counted once the
/// fleet shows it, or once it is asked for again and accepted.
#[derive(Clone, Debug)]
struct Unsure {
    action: Action,
    /// How much of the size is surge afterwards; `None` for one less.
    surge: Option<u32>,
}

/// What was seen of one instance.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Whether it runs the wanted revision.
    pub is_new: bool,
    /// From when its time to become healthy runs.
    pub since: Timestamp,
    /// Since when it serves without a break.
    pub serving_since: Option<Timestamp>,
    /// Since when it does not serve.
    pub lost_at: Option<Timestamp>,
    /// Whether it has served for the whole soak once.
    pub soaked: bool,
    /// Why it did not serve when it last did not.
    pub trouble: Option<String>,
    /// Whether the cloud itself had called it unhealthy when last looked at.
    pub called_unhealthy: bool,
}

/// Why a rollout ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// What brings it to an end, as a sentence.
    pub reason: String,
    /// Whether somebody asked for it, as against a failure.
    pub requested: bool,
    /// When it was decided.
    pub at: Timestamp,
    /// When to stop waiting for things to settle; `None` to wait as long as each may take.
    pub until: Option<Timestamp>,
}

impl Progress {
    /// The state of an engine that has done nothing yet.
    pub fn new(rollout_id: impl Into<String>, started: Timestamp) -> Self {
        Self { rollout_id: rollout_id.into(), started, ..Self::default() }
    }

    /// Takes in one look at the fleet. `soak` is [`crate::spec::Health::min_healthy_time`].
    pub fn observe(&mut self, target: &Target, soak: Duration, look: &Observation) {
        let now = look.at;
        self.settle_unsure(look);
        self.settle_desired(look);
        let desired = self.desired(look);
        if !self.observed_once {
            self.adopt_victims(target, look);
        }
        self.note_draining(look);
        let mut live = 0;
        for (id, instance) in &look.instances {
            if instance.lifecycle.is_live() && !self.terminated.contains(id) {
                live += 1;
            }
            self.observe_instance(target, soak, now, id, instance);
        }
        self.forget_gone(look);
        if live >= desired {
            self.missing_since = None;
        } else {
            self.missing_since.get_or_insert(now);
        }
        self.observed_once = true;
    }

    /// Takes in that nobody knows whether `action` took effect; see [`Self::accepted`].
    pub fn unsure(&mut self, action: &Action, surge: Option<u32>) {
        let resizes = matches!(
            action,
            Action::SetCapacity { .. } | Action::Terminate { decrement: true, .. }
        );
        if resizes && self.unsure.iter().all(|unsure| unsure.action != *action) {
            self.unsure.push(Unsure { action: action.clone(), surge });
        }
    }

    /// Takes in that the cloud accepted `action` at `now`. `surge` is how much of the size is
    /// surge afterwards, where the action sets it; `desired` is the size that held before.
    pub fn accepted(&mut self, action: &Action, surge: Option<u32>, desired: u32, now: Timestamp) {
        self.unsure.retain(|unsure| unsure.action != *action);
        if let Some(surge) = surge {
            self.surge = surge;
        }
        match action {
            Action::Deregister { target_group, instances } => {
                for id in instances {
                    let key = (id.clone(), target_group.clone());
                    self.deregistered.entry(key).or_insert(now);
                }
            }
            Action::Register { target_group, instances } => {
                for id in instances {
                    let key = (id.clone(), target_group.clone());
                    self.strays.remove(&key);
                    self.deregistered.remove(&key);
                    if !self.was_deregistered(id) {
                        self.victims.remove(id);
                        self.returned.insert(id.clone(), now);
                    }
                }
            }
            Action::Terminate { instance, decrement } => {
                self.victims.remove(instance);
                self.terminated.insert(instance.clone());
                if *decrement {
                    self.surge = self.surge.saturating_sub(1);
                    self.desired_written = Some((desired.saturating_sub(1), now));
                }
            }
            Action::SetCapacity { desired, .. } => self.desired_written = Some((*desired, now)),
            Action::WriteRecord { .. } => {}
            Action::EraseRecord { .. } => self.record = None,
            Action::SuspendProcesses { .. } => self.suspended = true,
            Action::ResumeProcesses { .. } | Action::MoveTemplate { .. } => {}
        }
    }

    /// The desired size, where a size of ours that reads do not show yet counts.
    pub fn desired(&self, look: &Observation) -> u32 {
        self.desired_written.map_or(look.capacity.desired, |(written, _)| written)
    }

    /// The size the fleet is meant to have, without surge of ours.
    pub fn size(&self, look: &Observation) -> u32 {
        self.desired(look).saturating_sub(self.surge)
    }

    /// Whether the cloud takes `id` for serving: in service, healthy, and healthy in every
    /// target group, and not on its way out by our doing.
    pub fn serves(&self, target: &Target, id: &InstanceId, instance: &Instance) -> bool {
        instance.lifecycle == Lifecycle::InService
            && instance.healthy
            && !self.victims.contains(id)
            && !self.terminated.contains(id)
            && target.target_groups.iter().all(|group| {
                let health = instance.targets.get(&group.id);
                health.is_some_and(|health| health.state == TargetState::Healthy)
            })
    }

    /// Whether `id` is out of some target group by our doing.
    pub fn was_deregistered(&self, id: &InstanceId) -> bool {
        self.deregistered.keys().any(|(victim, _)| victim == id)
    }

    /// Takes in what the fleet says it did by itself: the cause of a removal joins the reason of
    /// the failure.
    pub fn explain(&mut self, activities: Vec<Activity>) {
        for (id, reason) in &mut self.failed {
            let activity = activities.iter().find(|a| a.instance.as_ref() == Some(id));
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
        let out: BTreeSet<InstanceId> =
            self.deregistered.keys().map(|(id, _)| id.clone()).collect();
        self.victims.retain(|id| out.contains(id));
    }

    /// Chooses victims: from now on they count as out of rotation, before any call is made.
    pub fn choose(&mut self, victims: &BTreeSet<InstanceId>) {
        self.victims.extend(victims.iter().cloned());
    }

    /// Counts what turns out to have taken effect although nobody said so.
    fn settle_unsure(&mut self, look: &Observation) {
        let took_effect = |unsure: &Unsure| match &unsure.action {
            Action::SetCapacity { desired, .. } => look.capacity.desired == *desired,
            Action::Terminate { instance, .. } => {
                look.instances.get(instance).is_none_or(|i| !i.lifecycle.is_live())
            }
            _ => false,
        };
        let (settled, open) = std::mem::take(&mut self.unsure).into_iter().partition(took_effect);
        self.unsure = open;
        let settled: Vec<Unsure> = settled;
        for Unsure { action, surge } in settled {
            if let Action::Terminate { instance, .. } = action {
                self.victims.remove(&instance);
                self.terminated.insert(instance);
            }
            self.surge = surge.unwrap_or_else(|| self.surge.saturating_sub(1));
            // The look that shows the effect shows the size, too.
            self.desired_written = None;
        }
    }

    fn settle_desired(&mut self, look: &Observation) {
        if let Some((written, at)) = self.desired_written {
            let settled = look.capacity.desired == written;
            if settled || look.at.since(at) > WRITE_SETTLES_IN {
                self.desired_written = None;
            }
        }
    }

    fn observe_instance(
        &mut self,
        target: &Target,
        soak: Duration,
        now: Timestamp,
        id: &InstanceId,
        instance: &Instance,
    ) {
        let serves = self.serves(target, id, instance);
        // A launch time is the cloud's clock. It counts only for instances that were there
        // before us; for the others our own first look is both later and free of clock skew.
        let found = !self.observed_once;
        let launched = instance.launched_at.filter(|_| found).map_or(now, |at| at.min(now));
        let began = self.record.as_ref().map_or(self.started, |record| record.started);
        let seen = self.seen.entry(id.clone()).or_insert_with(|| Seen {
            is_new: instance.revision.as_ref() == Some(&target.revision),
            since: if found { launched.max(began) } else { now },
            ..Seen::default()
        });
        if serves {
            let since = *seen.serving_since.get_or_insert(now);
            seen.lost_at = None;
            seen.soaked |= now.since(since) >= soak;
        } else {
            seen.serving_since = None;
            seen.lost_at.get_or_insert(now);
            if instance.lifecycle.is_live() {
                seen.trouble = Some(trouble(target, instance));
            }
        }
        seen.called_unhealthy = !instance.healthy
            || instance.targets.values().any(|health| health.state == TargetState::Unhealthy);
        if self.terminated.contains(id) || !instance.lifecycle.is_live() {
            self.victims.remove(id);
        }
    }

    /// Victims that drain although their deregistration got no answer.
    fn note_draining(&mut self, look: &Observation) {
        for id in &self.victims {
            let targets = look.instances.get(id).map(|instance| &instance.targets);
            for (group, health) in targets.into_iter().flatten() {
                if health.state == TargetState::Draining {
                    let key = (id.clone(), group.clone());
                    self.deregistered.entry(key).or_insert(look.at);
                }
            }
        }
    }

    /// A rollout found half-way: instances that are out of rotation were taken out by the engine
    /// before this one. Old ones stay victims, new ones are strays.
    fn adopt_victims(&mut self, target: &Target, look: &Observation) {
        if self.record.is_none() {
            return;
        }
        for (id, instance) in &look.instances {
            if instance.ignored || instance.lifecycle != Lifecycle::InService {
                continue;
            }
            let old = instance.revision.as_ref() != Some(&target.revision);
            for group in &target.target_groups {
                let out = instance.targets.get(&group.id).is_none_or(|health| {
                    matches!(health.state, TargetState::Draining | TargetState::Unused)
                });
                let key = (id.clone(), group.id.clone());
                if out && old {
                    self.victims.insert(id.clone());
                    self.deregistered.insert(key, look.at);
                } else if out {
                    self.strays.insert(key);
                }
            }
        }
    }

    /// Instances that left: a victim that went by itself is a step done; one of the new revision
    /// that the fleet removed as unhealthy has failed.
    fn forget_gone(&mut self, look: &Observation) {
        let going = |id: &InstanceId| {
            look.instances.get(id).is_none_or(|i| i.lifecycle == Lifecycle::Terminating)
        };
        self.victims.retain(|id| !going(id));
        for (id, seen) in &self.seen {
            let ours = self.terminated.contains(id) || self.was_deregistered(id);
            if going(id) && !ours && seen.is_new && seen.called_unhealthy {
                self.failed.entry(id.clone()).or_insert_with(|| {
                    let why = seen.trouble.as_deref().unwrap_or("unhealthy");
                    format!("its group removed it as unhealthy: {why}")
                });
            }
        }
        self.seen.retain(|id, _| look.instances.contains_key(id));
        self.deregistered.retain(|(id, _), _| look.instances.contains_key(id));
        self.strays.retain(|(id, _)| !going(id));
    }
}

/// Why an instance does not serve, in the cloud's own words.
pub fn trouble(target: &Target, instance: &Instance) -> String {
    if instance.lifecycle != Lifecycle::InService {
        return match instance.lifecycle {
            Lifecycle::Pending => "still pending, not in service".into(),
            Lifecycle::Standby => "in standby".into(),
            _ => "terminating".into(),
        };
    }
    let words: Vec<String> = target
        .target_groups
        .iter()
        .filter_map(|group| match instance.targets.get(&group.id) {
            None => Some(format!("not registered in target group {}", group.name)),
            Some(health) if health.state == TargetState::Healthy => None,
            Some(health) => {
                let mut words = format!("{} in target group {}", state(health.state), group.name);
                let reasons = [&health.reason, &health.description];
                for word in reasons.into_iter().flatten().filter(|word| !word.is_empty()) {
                    words.push_str(": ");
                    words.push_str(word);
                }
                Some(words)
            }
        })
        .collect();
    match (words.is_empty(), instance.healthy) {
        (true, false) => "called unhealthy by its group".into(),
        (true, true) => "leaving the load balancer's rotation".into(),
        (false, _) => words.join("; "),
    }
}

fn state(state: TargetState) -> &'static str {
    match state {
        TargetState::Initial => "initial",
        TargetState::Healthy => "healthy",
        TargetState::Unhealthy => "unhealthy",
        TargetState::Draining => "draining",
        TargetState::Unused => "unused",
        TargetState::Unavailable => "unavailable",
    }
}
