//! Simulates the batches to come, with the planner's own choice of victims.
//!
//! Failures, and instances that are set aside, are left out. The cost grows with the instances and
//! the batches, not with the product of both.

use std::collections::BTreeMap;

use rolling_provider::InstanceId;

use super::batch::{self, Queue};
use super::input::Input;
use super::spare::{Floor, Spare};
use super::view::units;
use super::{Member, View, pace, zones};
use crate::model::preview::BatchPreview;
use crate::model::spec::{Policy, Window, Zones};

/// Returns the batches to come; see the module.
pub(crate) fn batches(input: &Input<'_>, view: &View<'_>) -> Vec<BatchPreview> {
    let spec = input.spec;
    let immutable = spec.policy == Policy::Immutable;
    let mut dry_run = DryRun::of(view, spec.policy);
    dry_run.begun = zones::begun(input).map(str::to_owned);
    let slots = view.window.slots() as usize;
    // Where requests are shifted, the new set is complete, even if some old ones stay beside it.
    let is_whole = spec.policy.shifts() && view.old().next().is_some();
    let surge = view.window.surge as usize;
    let surge = if is_whole { surge } else { surge.min(dry_run.old) };
    let size = pace::to_be_new(input, view);
    let mut gates = spec.checkpoints.iter().map(|checkpoint| checkpoint.quota(size) as usize);
    let mut gate = gates.next();
    let mut batches = Vec::new();
    // What a rollout under way has launched already need not be launched again.
    let mut launched = (input.state.surge() as usize).min(surge);
    let mut waited = false;
    while dry_run.old > 0 || (is_whole && launched < surge) {
        let allowed = gate.map_or(usize::MAX, |quota| quota.saturating_sub(dry_run.new));
        if allowed == 0 && dry_run.old > launched {
            gate = gates.next();
            continue;
        }
        let step = if immutable && dry_run.new == 0 { 1 } else { surge };
        let launches = step.saturating_sub(launched).min(allowed);
        if launches > 0 {
            launched += launches;
            dry_run.launch(launches);
            let launches = u32::try_from(launches).unwrap_or(u32::MAX);
            batches.push(BatchPreview { launches, replaces: Vec::new(), at_most: None });
            continue;
        }
        let limit = if dry_run.old <= launched { slots } else { slots.min(allowed) };
        let replaces = dry_run.replace(spec.zones, limit);
        // Where the floor leaves no victim, the real rollout waits until more serve.
        let waits = replaces.is_empty();
        if waits && waited {
            break;
        }
        waited = waits;
        if waits {
            dry_run.wait();
        } else {
            batches.push(BatchPreview { launches: 0, replaces, at_most: None });
        }
    }
    batches
}

/// The fleet of a dry run (not of the simulator).
struct DryRun<'a> {
    /// The instances to replace.
    queue: Queue<'a>,
    size: usize,
    floor: Floor,
    old: usize,
    new: usize,
    live: usize,
    /// How many units serve. What is launched has the weight of what it replaces.
    serving: u64,
    /// How many do not serve, and stay as they are.
    stay_idle: usize,
    /// How many the fleet has to launch before the rollout begins.
    missing: usize,
    /// How many live in each zone. The zone of an instance launched beside the fleet is unknown.
    zones: BTreeMap<&'a str, usize>,
    policy: Policy,
    /// How many of each zone serve, or will, and how many of those do not yet.
    part: BTreeMap<&'a str, usize>,
    idle: BTreeMap<&'a str, usize>,
    /// The zone that is being rolled, where they are rolled one after the other.
    begun: Option<String>,
}

impl<'a> DryRun<'a> {
    fn of(view: &View<'a>, policy: Policy) -> DryRun<'a> {
        // The rollout waits for what boots or soaks before it begins anything.
        let comes = |member: &Member<'_>| member.is_new && !member.failed;
        let members = view.members.iter().map(|member| Member {
            // Victims of an earlier engine are out of rotation, and go first.
            is_victim: false,
            left_alone: member.left_alone || member.set_aside,
            serves: member.serves || comes(member),
            gets_requests: member.gets_requests || comes(member),
            ..*member
        });
        let members: Vec<Member<'a>> = members.collect();
        let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
        for member in &members {
            *zones.entry(&member.instance.zone).or_default() += 1;
        }
        let (mut part, mut idle) = (BTreeMap::new(), BTreeMap::new());
        for member in members.iter().filter(|member| zones::takes_part(member)) {
            *part.entry(member.instance.zone.as_str()).or_default() += 1;
            *idle.entry(member.instance.zone.as_str()).or_default() += usize::from(!member.serves);
        }
        let old = members.iter().filter(|member| member.is_old()).copied();
        DryRun {
            queue: Queue::of(old.clone()),
            size: view.window.size as usize,
            floor: view.floor,
            old: old.count(),
            new: members.iter().filter(|member| member.is_new).count(),
            live: members.len(),
            serving: units(members.iter().filter(|member| member.serves)),
            stay_idle: view.stay_idle(),
            missing: view.missing as usize,
            zones,
            policy,
            part,
            idle,
            begun: None,
        }
    }

    fn launch(&mut self, count: usize) {
        self.new += count;
        self.live += count;
        self.serving += count as u64;
        *self.zones.entry("").or_default() += count;
    }

    /// Replaces the next instances, `limit` at most. Returns them in the order of their ids.
    fn replace(&mut self, zones: Zones, limit: usize) -> Vec<InstanceId> {
        let excess = if self.live > self.size {
            batch::spread(&self.zones, self.size)
        } else {
            BTreeMap::new()
        };
        let in_zone = self.queue.zone(zones, self.begun.as_deref());
        let in_zone = in_zone.and_then(|zone| self.spare_in(&zone));
        let spare = Spare::of(self.serving, self.floor).and(in_zone);
        let (chosen, begins) = self.queue.take(zones, self.begun.as_deref(), &excess, limit, spare);
        self.begun = begins.or(self.begun.take());
        self.old -= chosen.len();
        self.new += chosen.iter().filter(|member| !member.is_new).count();
        self.serving += units(chosen.iter().filter(|member| !member.serves));
        for member in chosen.iter().filter(|member| !member.serves) {
            *self.idle.entry(&member.instance.zone).or_default() -= 1;
        }
        let mut ids: Vec<InstanceId> = chosen.into_iter().map(|member| member.id.clone()).collect();
        ids.sort_unstable();
        ids
    }

    /// Returns what `zone` may spare; see [`zones::spare`]. Weights are left out.
    fn spare_in(&self, zone: &str) -> Option<Spare> {
        let all = self.part.get(zone).copied().unwrap_or_default();
        let idle = self.idle.get(zone).copied().unwrap_or_default();
        let window = Window::resolve(self.policy, u32::try_from(all).ok()?);
        let floor = Floor::of(self.policy, window, None);
        let is_bound = window.surge == 0 && self.floor.desired.is_none();
        is_bound.then(|| Spare::of(all.saturating_sub(idle) as u64, floor))
    }

    /// Marks as serving what will: everything but those that stay as they are and do not. What was
    /// missing is there by then.
    fn wait(&mut self) {
        self.live += self.missing;
        self.new += std::mem::take(&mut self.missing);
        let serving = self.live.saturating_sub(self.stay_idle) as u64;
        let size = self.size.max(1) as u64;
        self.serving = self.floor.desired.map_or(serving, |units| serving * units / size);
        self.queue.all_serve();
        self.idle.clear();
    }
}
