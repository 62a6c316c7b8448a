//! Holds the calls that a witness has kept against the promises of `docs/SEMANTICS.md`, by what was
//! true and not by what the engine was shown.

mod facts;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rolling::model::spec::{HookPoint, Policy, RollingDeployment, Window, Zones};
use rolling::record::{Phase, Record};
use rolling_provider::{
    Action, Goal, Instance, InstanceId, Lifecycle, Observation, Target, TargetState, Timestamp,
};
use rolling_testing::{Call, RecordedAction};

pub use self::facts::{count_serving, serves};
use self::facts::{drains, is_in, is_out, makes_room, named, removed, serves_in};

/// The name of the second target group, where requests are shifted.
pub const SECOND: &str = "second";

/// A promise by its number, and how it was broken.
pub type Broken = (u8, String);

/// Goes through the calls of a witness, in order.
#[derive(Clone)]
pub struct Judge {
    spec: RollingDeployment,
    /// Instances that were there before the rollout.
    first: BTreeSet<InstanceId>,
    /// How many target groups there are, without a second one to which requests are shifted.
    groups: usize,
    drain: Duration,
    /// The size the fleet is meant to have.
    pub size: u32,
    asked: BTreeMap<(InstanceId, String), Timestamp>,
    has_served: BTreeSet<InstanceId>,
    /// Instances that a target group has listed, or that were there before the rollout.
    listed: BTreeSet<InstanceId>,
    /// Instances for which the hook before they are deregistered is over.
    pub prepared: BTreeSet<InstanceId>,
    /// The zone in which an instance that served was taken out last.
    zone: Option<String>,
    /// The share of the requests that was set last, and when.
    shifted: Option<(u32, Timestamp)>,
    /// The processes of the fleet that the rollout should suspend and that run, others' acts apart.
    running: BTreeSet<String>,
    pub broken: Vec<Broken>,
}

impl Judge {
    /// Begins before the rollout of `spec`, with this target as `look` shows it.
    pub fn new(spec: RollingDeployment, target: &Target, look: &Observation) -> Self {
        let running = spec.suspend_processes.difference(&look.suspended).cloned().collect();
        Self {
            running,
            spec,
            first: look.instances.keys().cloned().collect(),
            groups: target.target_groups.len(),
            drain: target.drain(),
            size: look.desired(),
            asked: BTreeMap::new(),
            has_served: BTreeSet::new(),
            listed: look.instances.keys().cloned().collect(),
            prepared: BTreeSet::new(),
            zone: None,
            shifted: None,
            broken: Vec::new(),
        }
    }

    pub fn judge(&mut self, call: &Call) {
        match call {
            Call::Look(truth) => self.meet(truth),
            Call::Action(acted) => self.judge_action(acted),
        }
    }

    /// Remembers which instances have served.
    fn meet(&mut self, look: &Observation) {
        let serving = look.instances.iter().filter(|(_, instance)| serves(instance));
        self.has_served.extend(serving.map(|(id, _)| id.clone()));
        let listed = look.instances.iter().filter(|(_, instance)| !instance.targets.is_empty());
        self.listed.extend(listed.map(|(id, _)| id.clone()));
    }

    /// Returns the instances that were taken out of a target group, or have a replacement.
    fn leaving(&self, look: &Observation) -> BTreeSet<InstanceId> {
        let replaced = look.instances.values().filter_map(|instance| instance.stands_for.clone());
        self.asked.keys().map(|(id, _)| id.clone()).chain(replaced).collect()
    }

    fn judge_action(&mut self, acted: &RecordedAction) {
        let RecordedAction { action, before, after, .. } = acted;
        let window = Window::resolve(self.spec.policy, self.size);
        let mut found: Vec<Broken> = self.below_the_floor(acted, window).into_iter().collect();
        found.extend(lost_requests(action, before, after, window, self.groups));
        found.extend(self.above_the_ceiling(acted, window));
        self.meet(before);
        found.extend(self.too_many_at_once(acted, window));
        found.extend(not_ours(acted));
        found.extend(self.taken_out_by_somebody(acted));
        found.extend(self.not_drained(acted));
        found.extend(self.not_prepared(acted));
        found.extend(self.in_two_zones(acted));
        found.extend(self.skipped_step(acted));
        found.extend(self.beside_processes(acted));
        self.broken.extend(found);
        if let Action::Deregister { target_group, instances } = action {
            for id in instances {
                let key = (id.clone(), target_group.to_string());
                self.asked.entry(key).or_insert(after.at);
            }
        }
        self.broken.extend(self.past_a_checkpoint(action, after));
    }

    /// Returns instances that are registered although somebody else took them out.
    fn taken_out_by_somebody(&self, acted: &RecordedAction) -> Vec<Broken> {
        let Action::Register { instances, .. } = &acted.action else { return Vec::new() };
        let out = |id: &&InstanceId| acted.before.instances.get(*id).is_some_and(is_out);
        let ours = |id: &InstanceId| self.asked.keys().any(|(asked, _)| asked == id);
        let taken = instances.iter().filter(|id| self.listed.contains(*id) && !ours(id));
        let taken = taken.filter(out);
        taken.map(|id| (25, format!("{}: somebody took {id} out", acted.action))).collect()
    }

    /// Returns a share of the requests that rises by more than a step, or too early.
    fn skipped_step(&mut self, acted: &RecordedAction) -> Option<Broken> {
        let Action::Shift { percent } = acted.action else { return None };
        let before = self.shifted;
        let shown = acted.before.shifted.iter().flatten().next_back().copied().unwrap_or_default();
        if acted.before.shifted != acted.after.shifted {
            self.shifted = Some((percent, acted.after.at));
        }
        if self.spec.policy != Policy::TrafficSplitting || percent <= shown {
            return None;
        }
        let steps = &self.spec.traffic_steps;
        let next = steps.iter().map(|step| step.percent).find(|step| *step > shown);
        if percent != next.unwrap_or(100) {
            return Some((27, format!("{} after {shown} %", acted.action)));
        }
        let step = steps.iter().find(|step| step.percent == shown)?;
        let took = before.map(|(_, at)| acted.before.at.since(at));
        let early = took.is_none_or(|took| took < step.evaluation_time);
        early.then(|| (27, format!("{} after {took:?} of {step:?}", acted.action)))
    }

    /// Returns an instance that goes without a replacement while the fleet could launch another, or
    /// remove one more, on its own.
    fn beside_processes(&mut self, acted: &RecordedAction) -> Option<Broken> {
        match &acted.action {
            Action::SuspendProcesses { processes } => {
                self.running.retain(|process| !processes.contains(process));
            }
            Action::ResumeProcesses { processes } => {
                self.running.extend(self.spec.suspend_processes.intersection(processes).cloned());
            }
            _ => {}
        }
        let running: Vec<_> = self.running.difference(&acted.before.suspended).collect();
        let decrements = matches!(acted.action, Action::Terminate { decrement: true, .. });
        let is_broken = decrements && !running.is_empty() && !acted.before.is_unmanaged();
        is_broken.then(|| (29, format!("{} while {running:?} run", acted.action)))
    }

    /// Where zones are rolled one after the other: returns instances that are taken out while one of
    /// another zone is on its way out, or before the zone that was begun is finished. What ends early
    /// only gives back what is beyond the fleet.
    fn in_two_zones(&mut self, acted: &RecordedAction) -> Option<Broken> {
        let record = Record::from_tags(&acted.before.record).ok().flatten()?;
        let is_rolled = self.spec.zones == Zones::OneByOne && record.phase == Phase::Rolling;
        let taken = match &acted.action {
            Action::Deregister { instances, .. } => instances.clone(),
            action => removed(action),
        };
        if !is_rolled || taken.is_empty() {
            return None;
        }
        let before = &acted.before.instances;
        let lives = |id: &&InstanceId| before.get(*id).is_some_and(|i| i.lifecycle.is_live());
        let asked = self.asked.keys().map(|(id, _)| id);
        let goes = asked.filter(|id| before.get(*id).is_some_and(|i| drains(i) || is_out(i)));
        let zones: BTreeSet<&str> =
            taken.iter().chain(goes).filter(lives).map(|id| before[id].zone.as_str()).collect();
        if zones.len() > 1 {
            return Some((28, format!("{} with instances of {zones:?} out", acted.action)));
        }
        let served = taken.iter().filter_map(|id| before.get(id)).find(|instance| serves(instance));
        let zone = served?.zone.clone();
        let goal = Goal { revision: record.to.clone(), restart: record.restart };
        let left = before.iter().filter(|(id, i)| {
            Some(&i.zone) == self.zone.as_ref()
                && serves(i)
                && !goal.is_met_by(i)
                && !taken.contains(*id)
        });
        let left = left.filter(|_| self.zone.as_ref() != Some(&zone) && !record.rolls_back).count();
        self.zone = Some(zone);
        (left > 0).then(|| (28, format!("{} with {left} left in the zone begun", acted.action)))
    }

    fn below_the_floor(&self, acted: &RecordedAction, window: Window) -> Option<Broken> {
        // An instance that joins or leaves its target groups one after the other serves in none of
        // them.
        // What is only in a target group that gets no requests serves nobody.
        let shifted = acted.before.shifted.iter().chain(&acted.after.shifted).flatten();
        let second_gets_some = shifted.into_iter().any(|percent| *percent > 0);
        let serving = |look: &Observation| {
            let in_second = |i: &Instance| second_gets_some && serves_in(i, true);
            let full = |i: &&Instance| in_second(i) || is_in(i, self.groups);
            look.instances.values().filter(|i| serves(i)).filter(full).count()
        };
        let (was, is) = (serving(&acted.before), serving(&acted.after));
        let message =
            || format!("{} left {is} serving of at least {}", acted.action, window.floor());
        (is < was && is < window.floor() as usize).then(|| (1, message()))
    }

    fn above_the_ceiling(&self, acted: &RecordedAction, window: Window) -> Option<Broken> {
        let leaving = self.leaving(&acted.after);
        let live = acted.after.instances.iter().filter(|(id, instance)| {
            instance.lifecycle.is_live() && !makes_room(&acted.after, &leaving, id, instance)
        });
        let live = live.count();
        let message =
            || format!("{} left {live} living of at most {}", acted.action, window.ceiling());
        (live > window.ceiling() as usize).then(|| (2, message()))
    }

    fn too_many_at_once(&self, acted: &RecordedAction, window: Window) -> Option<Broken> {
        let leaving = self.leaving(&acted.after);
        let is_busy = |(id, i): &(&InstanceId, &Instance)| {
            i.lifecycle.is_live()
                && !makes_room(&acted.after, &leaving, id, i)
                && (drains(i) || !(self.has_served.contains(*id) || serves(i)))
        };
        let known = |(id, _): &(&InstanceId, &Instance)| !self.first.contains(*id);
        let now = named(&acted.action);
        let asked =
            |id: &InstanceId| now.contains(id) || self.asked.keys().any(|(asked, _)| asked == id);
        let goes =
            |(id, i): &(&InstanceId, &Instance)| self.first.contains(*id) && drains(i) && asked(id);
        let count = |look: &Observation| {
            let new = look.instances.iter().filter(known).filter(is_busy).count();
            new + look.instances.iter().filter(goes).filter(|(_, i)| i.lifecycle.is_live()).count()
        };
        let (was, is, at_most) = (count(&acted.before), count(&acted.after), window.slots());
        let message =
            || format!("{} left {is} draining or booting of at most {at_most}", acted.action);
        (is > at_most as usize && is > was).then(|| (3, message()))
    }

    /// Instances that are to go and leave before their hook is over. (Where requests are shifted, new
    /// ones leave a target group and stay.)
    fn not_prepared(&mut self, acted: &RecordedAction) -> Vec<Broken> {
        let has_hook = self.spec.hooks.0.contains_key(&HookPoint::BeforeDeregister);
        let instances = match &acted.action {
            Action::Deregister { target_group, instances } if target_group.as_str() != SECOND => {
                instances.clone()
            }
            Action::Register { instances, .. } => {
                // Whoever is chosen again is prepared again.
                self.prepared.retain(|id| !instances.contains(id));
                return Vec::new();
            }
            action => removed(action),
        };
        let is_out = |id: &InstanceId| self.asked.keys().any(|(asked, _)| asked == id);
        let lives = |id: &InstanceId| {
            acted.before.instances.get(id).is_some_and(|i| i.lifecycle == Lifecycle::InService)
        };
        let early = instances.iter().filter(|id| !self.prepared.contains(*id) && !is_out(id));
        let early = early.filter(|id| has_hook && lives(id));
        early.map(|id| (26, format!("{} before the hook of {id} is over", acted.action))).collect()
    }

    fn not_drained(&self, acted: &RecordedAction) -> Vec<Broken> {
        let RecordedAction { action, before, after, .. } = acted;
        let mut found = Vec::new();
        for id in removed(action) {
            let Some(instance) = before.instances.get(&id) else { continue };
            for (group, health) in &instance.targets {
                let asked = self.asked.get(&(id.clone(), group.to_string()));
                let late = asked.is_some_and(|at| {
                    after.at.since(*at) >= RollingDeployment::drain_deadline(self.drain)
                });
                let state = health.state;
                if state != TargetState::Unused && !late && instance.lifecycle.is_live() {
                    found.push((5, format!("{action} although it is {state:?} in {group}")));
                }
            }
        }
        found
    }

    /// Before a checkpoint is passed, by the record, no more are new than its quota.
    fn past_a_checkpoint(&self, action: &Action, after: &Observation) -> Option<Broken> {
        let record = Record::from_tags(&after.record).ok().flatten()?;
        let ahead = self.spec.checkpoints.get(record.checkpoints_passed as usize)?;
        let quota = ahead.quota(self.size) as usize;
        let leaving = self.leaving(after);
        let is_new = |(id, i): &(&InstanceId, &Instance)| {
            i.lifecycle.is_live()
                && !self.first.contains(*id)
                && i.revision == Some(record.to.clone())
                // An instance that failed and has a replacement goes in the same tick.
                && !(after.is_unmanaged() && leaving.contains(*id) && (is_out(i) || i.failed_in.is_some()))
        };
        let new = after.instances.iter().filter(is_new).count();
        (new > quota).then(|| (20, format!("{action} left {new} new, the quota is {quota}")))
    }
}

/// Returns what is not of this fleet, or is to be ignored.
fn not_ours(acted: &RecordedAction) -> Vec<Broken> {
    let action = &acted.action;
    let mut found = Vec::new();
    for id in named(action) {
        match acted.before.instances.get(&id) {
            None if matches!(action, Action::Terminate { .. } | Action::Tag { .. }) => {}
            None => found.push((25, format!("{action}: {id} is not of this fleet"))),
            // Somebody protects it since the rollout took it out.
            Some(i) if i.protected && matches!(action, Action::Register { .. }) => {}
            Some(i) if i.ignored || i.protected => {
                found.push((25, format!("{action}: {id} is to be left alone")));
            }
            Some(_) => {}
        }
    }
    found
}

/// Where requests are shifted: a target group that gets some keeps that share of the floor, and
/// gets them only once the whole floor serves there. A failed revision loses them in any case.
fn lost_requests(
    action: &Action,
    before: &Observation,
    after: &Observation,
    window: Window,
    groups: usize,
) -> Vec<Broken> {
    let Some(shifted) = &after.shifted else { return Vec::new() };
    let mut found = Vec::new();
    let most = shifted.last().copied().unwrap_or_default();
    for (second, share) in [(false, 100 - most), (true, most)] {
        let count = |look: &Observation| {
            let serving = look.instances.values().filter(|i| {
                let full = second || is_in(i, groups);
                i.lifecycle == Lifecycle::InService && i.healthy && serves_in(i, second) && full
            });
            serving.count()
        };
        let (was, is) = (count(before), count(after));
        let least = (window.floor() as usize * share as usize).div_ceil(100);
        if share > 0 && is < was && is < least {
            found.push((1, format!("{action} left {is} that get {share} % of the requests")));
        }
        let raises = matches!(action, Action::Shift { percent } if *percent > 0) && second;
        if raises && before.shifted != after.shifted && is < window.floor() as usize {
            found.push((1, format!("{action} although only {is} serve there")));
        }
        let somebody = window.floor() > 0;
        if matches!(action, Action::Shift { percent: 0 }) && !second && is == 0 && somebody {
            found.push((1, format!("{action} although no instance serves there")));
        }
    }
    found
}
