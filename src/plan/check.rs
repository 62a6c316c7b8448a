//! An independent judge of plans. It shares no decision with the planner: it recounts from the
//! observation. The engine asks it before every tick and refuses a plan that it condemns; tests
//! use it as their oracle.

use std::collections::BTreeSet;

use rolling_provider::{Action, InstanceId, Lifecycle, TargetState};

use super::{Input, Plan};
use crate::spec::{RollingDeployment, Window};

/// Every promise that carrying out `plan` now would break, as sentences; empty for a good plan.
pub fn violations(input: &Input<'_>, plan: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    let window = Window::resolve(input.spec.policy, input.progress.size(input.look));
    check_ownership(input, plan, &mut found);
    check_record_first(input, plan, &mut found);
    check_floor(input, plan, window, &mut found);
    check_drained(input, plan, &mut found);
    check_capacity(input, plan, window, &mut found);
    check_slots(plan, window, &mut found);
    found
}

/// Property 25: never touches what it does not own.
fn check_ownership(input: &Input<'_>, plan: &Plan, found: &mut Vec<String>) {
    for id in plan.actions.iter().flat_map(|step| touched(&step.action)) {
        match input.look.instances.get(&id) {
            None => found.push(format!("{id} is not an instance of this fleet")),
            Some(instance) if instance.ignored => found.push(format!("{id} is to be ignored")),
            Some(_) => {}
        }
    }
}

/// Invariant 5: the record stands before the first mutation.
fn check_record_first(input: &Input<'_>, plan: &Plan, found: &mut Vec<String>) {
    let mut recorded = input.progress.record.is_some();
    for step in &plan.actions {
        if matches!(step.action, Action::WriteRecord { .. }) {
            recorded = true;
        } else if !recorded {
            found.push(format!("would {} before the record is written", step.action));
        }
    }
}

/// Property 1: no action of ours lowers the serving instances below the floor.
fn check_floor(input: &Input<'_>, plan: &Plan, window: Window, found: &mut Vec<String>) {
    if input.progress.halt.is_some() {
        return;
    }
    let taken: BTreeSet<InstanceId> = plan
        .actions
        .iter()
        .filter(|step| !matches!(step.action, Action::Register { .. }))
        .flat_map(|step| touched(&step.action))
        .collect();
    let serving = |id: &&InstanceId| serves(input, id);
    let now = input.look.instances.keys().filter(serving).count();
    let lost = taken.iter().filter(serving).count();
    if lost > 0 && now - lost < window.floor() as usize {
        found.push(format!(
            "would leave {} serving, below the floor of {}",
            now - lost,
            window.floor()
        ));
    }
}

/// Property 5: terminate only after drained, or past the drain deadline, in every target group.
fn check_drained(input: &Input<'_>, plan: &Plan, found: &mut Vec<String>) {
    for step in &plan.actions {
        let Action::Terminate { instance: id, .. } = &step.action else { continue };
        let Some(instance) = input.look.instances.get(id) else { continue };
        for group in &input.target.target_groups {
            let state = instance.targets.get(&group.id).map(|health| health.state);
            let asked = input.progress.deregistered.get(&(id.clone(), group.id.clone()));
            let patience = RollingDeployment::drain_deadline(group.drain);
            let late = asked.is_some_and(|asked| input.now >= *asked + patience);
            if !matches!(state, None | Some(TargetState::Unused)) && !late {
                found.push(format!("would terminate {id} before it has drained in {}", group.name));
            }
        }
    }
}

/// Property 2, and "victims are always named": no size below what lives, none above the ceiling.
fn check_capacity(input: &Input<'_>, plan: &Plan, window: Window, found: &mut Vec<String>) {
    let live = input.look.instances.iter().filter(|(id, instance)| {
        instance.lifecycle.is_live() && !input.progress.terminated.contains(id)
    });
    // A fleet that somebody scales in lives above its size for a while; that is not our doing.
    let live = live.count().min(input.look.capacity.desired as usize);
    for step in &plan.actions {
        let Action::SetCapacity { desired, max } = step.action else { continue };
        if (desired as usize) < live || max < desired {
            found.push(format!(
                "size {desired} (maximum {max}) would cost some of {live} instances"
            ));
        }
        if desired > window.ceiling() {
            found.push(format!("size {desired} is above the ceiling of {}", window.ceiling()));
        }
    }
}

/// Property 3, where a batch begins: no more victims than slots.
fn check_slots(plan: &Plan, window: Window, found: &mut Vec<String>) {
    let size = plan.begins.as_ref().map_or(0, |batch| batch.victims.len());
    if size > window.slots() as usize {
        found.push(format!("a batch of {size} exceeds the window of {}", window.slots()));
    }
}

fn serves(input: &Input<'_>, id: &InstanceId) -> bool {
    let Some(instance) = input.look.instances.get(id) else { return false };
    let out = input.progress.victims.contains(id)
        || input.progress.terminated.contains(id)
        || input.progress.deregistered.keys().any(|(victim, _)| victim == id);
    let agreed = input.target.target_groups.iter().all(|group| {
        instance.targets.get(&group.id).is_some_and(|h| h.state == TargetState::Healthy)
    });
    instance.lifecycle == Lifecycle::InService && instance.healthy && !out && agreed
}

fn touched(action: &Action) -> Vec<InstanceId> {
    match action {
        Action::Deregister { instances, .. } | Action::Register { instances, .. } => {
            instances.iter().cloned().collect()
        }
        Action::Terminate { instance, .. } => vec![instance.clone()],
        _ => Vec::new(),
    }
}
