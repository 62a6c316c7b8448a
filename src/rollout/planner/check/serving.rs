//! Judges what a plan does to the instances that serve, and to those that drain.

use std::collections::BTreeSet;

use rolling_provider::{Action, InstanceId, Lifecycle, TargetGroup, TargetState};

use super::super::Plan;
use super::super::input::Input;
use super::super::spare::Floor;
use crate::model::spec::{RollingDeployment, Window};

/// Promise 1 where requests are shifted: each side keeps its share of the floor.
///
/// A side gets more requests only when as many instances serve there as the floor asks for.
fn check_shares(input: &Input<'_>, plan: &Plan, window: Window, found: &mut Vec<String>) {
    let Input { target, look, .. } = *input;
    let (Some(shifted), Some(second)) = (&look.shifted, &target.second) else { return };
    let (least, most) = (shifted.first().copied(), shifted.last().copied());
    let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
    let primary: Vec<&TargetGroup> = target.target_groups.iter().collect();
    let sides = [("first", primary, 100 - least.min(100)), ("second", vec![second], most)];
    for (name, groups, share) in sides {
        let serves = |id: &&InstanceId| serves_in(input, &groups, id);
        let now = look.instances.keys().filter(serves).count();
        let lost = taken_from(plan, &groups).into_iter().filter(serves).count();
        let least = (window.floor() as usize * share as usize).div_ceil(100);
        if lost > 0 && share > 0 && now - lost < least {
            let left = now - lost;
            found.push(format!(
                "would leave {left} in the {name} target group, which gets {share} % of the requests"
            ));
        }
        let gets_more = plan.actions.iter().any(|step| match step.action {
            Action::Shift { percent } if name == "second" => percent > most,
            Action::Shift { percent } => percent < least_shifted(shifted),
            _ => false,
        });
        let is_rescue = name == "first" && leaves_in_any_case(input);
        let enough = if is_rescue { window.size.min(1) } else { window.floor() };
        let enough = enough as usize;
        if gets_more && now < enough {
            found.push(format!("would send requests to {now} in the {name} target group"));
        }
    }
}

/// Whether `id` serves in each of these target groups, and no call has taken it out.
fn serves_in(input: &Input<'_>, groups: &[&TargetGroup], id: &InstanceId) -> bool {
    let Input { look, state, .. } = *input;
    let Some(instance) = look.instances.get(id) else { return false };
    let asked = state.rotation.deregistered.get(id);
    let in_rotation = groups.iter().all(|group| {
        instance.targets.get(&group.id).is_some_and(|h| h.state == TargetState::Healthy)
            && asked.is_none_or(|asked| !asked.contains_key(&group.id))
    });
    let out = state.rotation.victims.contains(id) || state.removed.terminated.contains(id);
    instance.lifecycle == Lifecycle::InService && instance.healthy && in_rotation && !out
}

/// The instances that a plan takes out of one of these target groups.
fn taken_from<'p>(plan: &'p Plan, groups: &[&TargetGroup]) -> BTreeSet<&'p InstanceId> {
    let mut taken = BTreeSet::new();
    for step in &plan.actions {
        match &step.action {
            Action::Deregister { target_group, instances }
                if groups.iter().any(|group| group.id == *target_group) =>
            {
                taken.extend(instances);
            }
            Action::Terminate { instance, .. } | Action::Detach { instance, .. } => {
                taken.insert(instance);
            }
            _ => {}
        }
    }
    taken
}

/// Whether requests leave the revision in any case: it failed, or nobody wants it any more.
fn leaves_in_any_case(input: &Input<'_>) -> bool {
    let Input { target, look, state, .. } = *input;
    let wanted = look.instances.values().any(|instance| {
        instance.lifecycle.is_live() && target.wants(instance) && !instance.targets.is_empty()
    });
    state.direction.rolls_back.is_some() || state.direction.halt.is_some() || !wanted
}

fn least_shifted(shifted: &BTreeSet<u32>) -> u32 {
    shifted.first().copied().unwrap_or_default()
}

/// Promise 1: no action of ours lowers the serving instances below the floor.
pub(super) fn check_floor(input: &Input<'_>, plan: &Plan, window: Window, found: &mut Vec<String>) {
    if input.look.shifted.is_some() {
        return check_shares(input, plan, window, found);
    }
    let taken: BTreeSet<InstanceId> = plan
        .actions
        .iter()
        .filter(|step| !matches!(step.action, Action::Register { .. }))
        .flat_map(|step| touched(&step.action))
        .collect();
    let serving = |id: &&InstanceId| serves(input, id);
    let surely_serves =
        |id: &&InstanceId| serves(input, id) && !input.state.may_be_out(id, input.now);
    let lost = taken.iter().filter(serving);
    let (gone, lost) = (lost.clone().count(), units(input, lost));
    let now = units(input, input.look.instances.keys().filter(surely_serves));
    let units_wanted = input.look.units().map(|units| units.desired);
    let Floor { least, desired } = Floor::of(input.spec.policy, window, units_wanted);
    // One instance may go whatever its weight, or nothing could be replaced.
    let is_first = gone == 1 && desired.is_some_and(|all| now >= all);
    let left = now.saturating_sub(lost);
    if lost > 0 && left < least && !is_first {
        found.push(format!("would leave {left} serving, below the floor of {least}"));
    }
}

/// Counts instances by their weights.
fn units<'i>(input: &Input<'_>, ids: impl Iterator<Item = &'i InstanceId>) -> u64 {
    let instances = ids.filter_map(|id| input.look.instances.get(id));
    instances.map(|instance| u64::from(instance.units)).sum()
}

/// Promise 5: in every target group, no removal before the drain ends or its deadline passes.
///
/// A fleet that replaces what is out of rotation itself drains an instance that goes without a
/// replacement, in the target groups that the fleet knows.
pub(super) fn check_drained(input: &Input<'_>, plan: &Plan, found: &mut Vec<String>) {
    for step in &plan.actions {
        let without = matches!(step.action, Action::Terminate { decrement, .. } | Action::Detach { decrement, .. } if decrement);
        let by_fleet =
            without && input.state.rotation.replaces.is_seen() && !input.look.is_unmanaged();
        let removed = match &step.action {
            Action::Terminate { instance, .. } | Action::Detach { instance, .. } => {
                std::slice::from_ref(instance).iter().collect::<Vec<_>>()
            }
            Action::Update { instances, .. } => instances.iter().collect(),
            _ => continue,
        };
        let second = input.target.second.iter();
        let known = input.target.target_groups.iter().filter(|_| !by_fleet);
        let groups = |id| second.clone().chain(known.clone()).map(move |group| (id, group));
        for (id, group) in removed.into_iter().flat_map(groups) {
            let Some(instance) = input.look.instances.get(id) else { continue };
            let state = instance.targets.get(&group.id).map(|health| health.state);
            let asked = input.state.rotation.deregistered.get(id).and_then(|at| at.get(&group.id));
            let longest_drain = RollingDeployment::drain_deadline(group.drain);
            let late = asked.is_some_and(|asked| input.now >= *asked + longest_drain);
            if !matches!(state, None | Some(TargetState::Unused)) && !late {
                found
                    .push(format!("would {} before it has drained in {}", step.action, group.name));
            }
        }
    }
}

pub(super) fn serves(input: &Input<'_>, id: &InstanceId) -> bool {
    let Some(instance) = input.look.instances.get(id) else { return false };
    let out = input.state.rotation.victims.contains(id)
        || input.state.removed.terminated.contains(id)
        || input.state.rotation.deregistered.contains_key(id);
    let agreed = input.target.target_groups.iter().all(|group| {
        instance.targets.get(&group.id).is_some_and(|h| h.state == TargetState::Healthy)
    });
    instance.lifecycle == Lifecycle::InService && instance.healthy && !out && agreed
}

pub(super) fn touched(action: &Action) -> Vec<InstanceId> {
    match action {
        Action::Deregister { instances, .. }
        | Action::Register { instances, .. }
        | Action::Update { instances, .. } => instances.iter().cloned().collect(),
        Action::Terminate { instance, .. } | Action::Detach { instance, .. } => {
            vec![instance.clone()]
        }
        _ => Vec::new(),
    }
}
