//! An independent judge of plans.
//!
//! It counts for itself, from the observation: it uses neither `View`, in which the planner counts,
//! nor any of the planner's decisions. It shares with them the input: `RolloutState` with its
//! derived values (`size`, `desired`, `may_be_out`, `is_protected`), and `Window::resolve`. A fault in
//! these deceives both; the witness of the tests, which knows the true state, shows it. The engine
//! asks it before every tick and refuses a plan with violations. Tests use it to check every plan.

mod hooks;
mod serving;
mod sizes;

use std::collections::BTreeSet;

use rolling_provider::{Action, Instance, InstanceId, TargetState};

use self::hooks::check_hooks;
use self::serving::{check_drained, check_floor, touched};
use self::sizes::{check_capacity, check_launches, check_meant, check_reasons, check_window};
use super::Plan;
use super::input::Input;
use crate::model::spec::{SetAside, Window, Zones};

/// Returns every promise that carrying out `plan` now would break, as sentences.
///
/// Empty for a good plan.
pub fn violations(input: &Input<'_>, plan: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    let window = Window::resolve(input.spec.policy, input.state.size(input.look));
    check_ownership(input, plan, &mut found);
    check_once(plan, &mut found);
    check_record_first(input, plan, &mut found);
    check_hooks(input, plan, &mut found);
    check_zones(input, plan, &mut found);
    check_floor(input, plan, window, &mut found);
    check_drained(input, plan, &mut found);
    check_capacity(input, plan, window, &mut found);
    check_meant(input, plan, &mut found);
    check_window(input, plan, window, &mut found);
    check_launches(input, plan, window, &mut found);
    check_reasons(input, plan, window, &mut found);
    check_controller(input, plan, window, &mut found);
    found
}

/// Promises 1 and 2 where the platform's controller replaces the instances: it is given no bounds
/// beyond those of the policy, but those that others had set; and it rolls to nothing but what the
/// rollout leads to.
fn check_controller(input: &Input<'_>, plan: &Plan, window: Window, found: &mut Vec<String>) {
    let borrowed = input.state.record.as_ref().and_then(|record| record.borrowed.controller);
    for step in &plan.actions {
        let Action::SetRollout { to, settings, .. } = &step.action else { continue };
        if to.as_ref().is_some_and(|to| *to != input.target.revision) {
            found.push(format!("would {}, not to {}", step.action, input.target.revision));
        }
        let Some(settings) = settings else { continue };
        let (surge, unavailable) =
            (settings.surge_of(window.size), settings.unavailable_of(window.size));
        // What others want, or have set meanwhile, is theirs, each for itself.
        let of_others = [
            borrowed.map(|borrowed| borrowed.found),
            input.look.controller.as_ref().map(|status| status.settings),
        ];
        let of_others = || of_others.iter().flatten();
        let is_surge_theirs = of_others().any(|theirs| theirs.surge == settings.surge);
        let is_share_theirs = of_others().any(|theirs| theirs.unavailable == settings.unavailable);
        if (surge > window.surge && !is_surge_theirs)
            || (unavailable > window.unavailable && !is_share_theirs)
        {
            found.push(format!(
                "would {}: {surge} beyond the size and {unavailable} unavailable, of {} and {}",
                step.action, window.surge, window.unavailable
            ));
        }
    }
}

/// Returns the instances that `action` takes out, puts back, updates or ends.
pub(super) fn instances_of(action: &Action) -> Vec<InstanceId> {
    touched(action)
}

/// Promise 25: no plan touches what the rollout does not own, or takes out a protected instance.
fn check_ownership(input: &Input<'_>, plan: &Plan, found: &mut Vec<String>) {
    for step in &plan.actions {
        for id in touched(&step.action) {
            match input.look.instances.get(&id) {
                None => found.push(format!("{id} is not an instance of this fleet")),
                Some(instance) if instance.ignored => found.push(format!("{id} is to be ignored")),
                Some(instance)
                    if matches!(step.action, Action::Register { .. })
                        && is_not_ours_to_register(input, &id, instance) =>
                {
                    found.push(format!("{id} was not taken out of rotation by this rollout"));
                }
                Some(instance)
                    if input.state.is_protected(input.target, &id, instance)
                        && takes_out(input, &step.action, instance)
                        && input.spec.replacement.within().is_none()
                        && input.spec.protected != SetAside::Refresh
                        && input.state.direction.halt.is_none()
                        && !input.state.rotation.victims.contains(&id) =>
                {
                    found.push(format!("{id} is protected from scale-in"));
                }
                Some(_) => {}
            }
        }
    }
}

/// Promise 28: where zones are rolled one after the other, instances are out in one of them.
fn check_zones(input: &Input<'_>, plan: &Plan, found: &mut Vec<String>) {
    let Input { spec, look, state, .. } = *input;
    let Some(begins) = plan.begins.as_ref().filter(|_| spec.zones == Zones::OneByOne) else {
        return;
    };
    if begins.victims.is_empty() || state.direction.halt.is_some() {
        return;
    }
    let out = begins.victims.iter().chain(&state.rotation.victims);
    let out = out.filter_map(|id| look.instances.get(id));
    let zones: BTreeSet<&str> = out.map(|instance| instance.zone.as_str()).collect();
    if zones.len() > 1 {
        let zones: Vec<&str> = zones.into_iter().collect();
        found.push(format!("would have instances of the zones {} out at once", zones.join(", ")));
    }
}

/// Whether `instance` is out of rotation by somebody else's doing, or is to be left alone.
fn is_not_ours_to_register(input: &Input<'_>, id: &InstanceId, instance: &Instance) -> bool {
    let Input { spec, target, state, .. } = *input;
    let rotation = &state.rotation;
    let by_predecessor = rotation.deregistered_by_predecessor.iter().any(|(known, _)| known == id);
    let taken_out = state.history.get(id).is_some_and(|history| history.taken_out);
    let left_alone = state.is_protected(target, id, instance)
        && spec.protected == SetAside::Ignore
        && spec.replacement.within().is_none()
        && !target.wants(instance);
    (taken_out || left_alone) && !rotation.deregistered.contains_key(id) && !by_predecessor
}

/// Whether `action` ends `instance`, or leaves no target group that sends it requests.
fn takes_out(input: &Input<'_>, action: &Action, instance: &Instance) -> bool {
    match action {
        Action::Register { .. } => false,
        Action::Deregister { target_group, .. } => !input.target.rotation().any(|group| {
            let health = instance.targets.get(&group.id);
            group.id != *target_group && health.is_some_and(|h| h.state == TargetState::Healthy)
        }),
        _ => true,
    }
}

/// No plan removes an instance twice, or registers and removes it at once.
///
/// Each removal may lower the size by one.
fn check_once(plan: &Plan, found: &mut Vec<String>) {
    let mut gone = BTreeSet::new();
    let mut registered = BTreeSet::new();
    for step in &plan.actions {
        match &step.action {
            Action::Register { instances, .. } => registered.extend(instances),
            Action::Terminate { instance, .. } | Action::Detach { instance, .. }
                if !gone.insert(instance) =>
            {
                found.push(format!("{instance} would be removed twice"));
            }
            Action::Update { instances, .. } => {
                for instance in instances.iter().filter(|id| !gone.insert(id)) {
                    found.push(format!("{instance} would be updated twice"));
                }
            }
            _ => {}
        }
    }
    for instance in registered.intersection(&gone) {
        found.push(format!("{instance} would be put into rotation and removed at once"));
    }
}

/// Invariant 3: the record stands before the first mutation, and nothing is done once it is erased.
fn check_record_first(input: &Input<'_>, plan: &Plan, found: &mut Vec<String>) {
    let mut recorded = input.state.record.is_some();
    let mut erased = false;
    for step in &plan.actions {
        if erased {
            found.push(format!("would {} after the record is erased", step.action));
        } else if matches!(step.action, Action::WriteRecord { .. }) {
            recorded = true;
        } else if !recorded {
            found.push(format!("would {} before the record is written", step.action));
        }
        erased |= matches!(step.action, Action::EraseRecord { .. });
    }
}
