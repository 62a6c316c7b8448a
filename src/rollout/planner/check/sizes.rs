//! Judges the sizes that a plan sets, what it launches, and how much it begins at once.

use std::collections::BTreeSet;

use rolling_provider::{Action, InstanceId, TargetState};

use super::super::Plan;
use super::super::input::Input;
use super::serving::serves;
use crate::model::spec::Window;

/// Promise 2, and "victims are always named": no size below what lives, none above the ceiling.
pub(super) fn check_capacity(
    input: &Input<'_>,
    plan: &Plan,
    window: Window,
    found: &mut Vec<String>,
) {
    let live = input.look.instances.iter().filter(|(id, instance)| {
        instance.lifecycle.is_live() && !input.state.removed.terminated.contains(id)
    });
    // A fleet that another process scales in lives above its size for a while. That is not caused
    // by us.
    let live = live.count().min(input.look.desired() as usize);
    for step in &plan.actions {
        let Action::SetCapacity { desired, max } = step.action else { continue };
        if desired.or(max).is_some_and(|size| (size as usize) < live) {
            found.push(format!("would {} and cost some of {live} instances", step.action));
        }
        let Some(desired) = desired else { continue };
        if max.is_some_and(|max| max < desired) {
            found.push(format!("would {}, a maximum below that", step.action));
        }
        if desired > window.ceiling() {
            found.push(format!("size {desired} is above the ceiling of {}", window.ceiling()));
        }
    }
}

/// Promise 21: no action of ours leaves a size below the one the fleet is meant to have.
///
/// The record says what size that is. The lesser of the size that a look shows and the size that we
/// believe counts: otherwise more instances would go without a replacement than were launched
/// beside the fleet.
pub(super) fn check_meant(input: &Input<'_>, plan: &Plan, found: &mut Vec<String>) {
    let Input { look, state, .. } = *input;
    if look.is_unmanaged() || input.spec.replacement.within().is_some() {
        return;
    }
    let mut meant = state.record.as_ref().map_or(0, |record| record.size);
    let mut desired = look.desired().min(state.desired(look));
    for step in &plan.actions {
        let before = desired;
        match step.action {
            Action::WriteRecord { .. } => {
                meant = step.record.as_ref().map_or(meant, |record| record.size);
            }
            Action::SetCapacity { desired: Some(to), .. } => desired = to,
            Action::Terminate { decrement: true, .. } | Action::Detach { decrement: true, .. } => {
                desired = desired.saturating_sub(1);
            }
            _ => {}
        }
        if desired < before && desired < meant {
            found.push(format!(
                "would {} and leave a size of {desired}, of {meant} that it is meant to have",
                step.action
            ));
        }
    }
}

/// Promise 3: a plan makes no more instances drain, boot or soak than the window has places.
///
/// A failed instance holds its place until it is gone.
pub(super) fn check_window(
    input: &Input<'_>,
    plan: &Plan,
    window: Window,
    found: &mut Vec<String>,
) {
    let Some(begins) = &plan.begins else { return };
    let Input { spec, target, look, state, now } = *input;
    let mut busy: BTreeSet<&InstanceId> = BTreeSet::new();
    let mut live = 0;
    for (id, instance) in &look.instances {
        if !instance.lifecycle.is_live() || state.removed.terminated.contains(id) {
            continue;
        }
        live += 1;
        let since = state.history.get(id).and_then(|history| history.serving_since);
        let soak = spec.health.min_healthy_time;
        let soaked = serves(input, id) && since.is_some_and(|since| now.since(since) >= soak);
        // A rollback does not wait for what did not serve before it either.
        let rolls_back = state.direction.rolls_back.is_some();
        let predates = state.history.get(id).is_some_and(|history| history.predates);
        let is_not_blamed = rolls_back && predates && !serves(input, id);
        let is_new = target.wants(instance) && !is_not_blamed;
        if state.rotation.victims.contains(id) || (is_new && !soaked) {
            busy.insert(id);
        }
    }
    let missing = (state.desired(look) as usize).saturating_sub(live);
    let before = busy.len() + missing;
    busy.extend(&begins.victims);
    let after = busy.len() + missing + begins.launches as usize;
    if after > before && after > window.slots() as usize {
        let slots = window.slots();
        found.push(format!("would have {after} draining, booting or soaking, with {slots} places"));
    }
}

/// Promise 2 for unmanaged instances: launches stay within the ceiling.
///
/// Instances that have drained, or that this plan removes, do not count.
pub(super) fn check_launches(
    input: &Input<'_>,
    plan: &Plan,
    window: Window,
    found: &mut Vec<String>,
) {
    let mut launches = 0;
    let mut removed = BTreeSet::new();
    for step in &plan.actions {
        match &step.action {
            Action::Launch { .. } => launches += 1,
            Action::Terminate { instance, .. } | Action::Detach { instance, .. } => {
                removed.insert(instance);
            }
            _ => {}
        }
    }
    let live = input.look.instances.iter().filter(|(id, instance)| {
        let mut states = instance.targets.values().map(|health| health.state);
        let drained =
            input.state.rotation.victims.contains(id) && states.all(|s| s == TargetState::Unused);
        let gone = drained || removed.contains(id) || input.state.removed.terminated.contains(id);
        instance.lifecycle.is_live() && !gone
    });
    let live = live.count() + input.state.unmanaged.on_their_way as usize;
    if launches > 0 && live + launches > window.ceiling() as usize {
        let ceiling = window.ceiling();
        found
            .push(format!("would launch {launches} beside {live}, above the ceiling of {ceiling}"));
    }
    if launches > 0 && !input.look.is_unmanaged() {
        found.push("would launch into a fleet that launches by itself".into());
    }
}

/// Every launch has a reason.
///
/// Reasons are a place of the fleet or of surge, a failure, and what others took or added. More
/// than a batch beyond those would never end.
pub(super) fn check_reasons(
    input: &Input<'_>,
    plan: &Plan,
    window: Window,
    found: &mut Vec<String>,
) {
    let Input { look, state, .. } = *input;
    // A rollout that halts puts back what it borrowed in any case.
    let is_halting = state.direction.halt.is_some();
    if look.is_unmanaged() || input.spec.replacement.within().is_some() || is_halting {
        return;
    }
    let desired = state.desired(look);
    let mut more = 0;
    for step in &plan.actions {
        match &step.action {
            Action::SetCapacity { desired: Some(to), .. } => more += to.saturating_sub(desired),
            Action::Terminate { instance, decrement: false }
            | Action::Detach { instance, decrement: false } => {
                let lives = look.instances.get(instance).is_some_and(|i| i.lifecycle.is_live());
                more += u32::from(lives);
            }
            _ => {}
        }
    }
    let is_live = |(id, instance): &(&InstanceId, &rolling_provider::Instance)| {
        instance.lifecycle.is_live() && !state.removed.terminated.contains(*id)
    };
    let live = look.instances.iter().filter(is_live).count();
    let live = u32::try_from(live).unwrap_or(u32::MAX);
    let (missing, extra) = (desired.saturating_sub(live), live.saturating_sub(desired));
    let failed = u32::try_from(state.failures.failed.len()).unwrap_or(u32::MAX);
    // One batch beyond the known reasons is not a loop yet.
    let slack = window.slots();
    let reasons = state.launches.launched.reasons() + window.surge + failed + extra + slack;
    let launches = state.launches.launched.came + missing + more;
    if more > 0 && launches > reasons {
        found.push(format!(
            "would have {launches} instances launched for {}, with reasons for {reasons}",
            input.target.revision
        ));
    }
}
