//! `before_deregister`: victims stay in rotation until it is done for them.

use std::collections::BTreeSet;

use rolling_provider::{Instance, InstanceId, Lifecycle, TargetState};

use super::super::input::Input;
use super::super::{Member, Plan, Step, View};
use super::ask::{ask, group_for};
use super::noted::noted;
use super::open_batch::begin_batch;
use crate::model::spec::HookPoint;
use crate::record::{HookRecord, InstanceSet, Record};
use crate::rollout::serving::{is_healthy_in, is_healthy_in_primary};

/// Returns the victims that may be taken out now, those `chosen` by this plan among them.
///
/// Has the hook run for the others, one group after the other, and notes in the record which batch
/// this is.
pub(crate) fn prepared<'v, 'a>(
    input: &Input<'_>,
    view: &View<'_>,
    victims: Vec<&'v Member<'a>>,
    chosen: &BTreeSet<InstanceId>,
    plan: &mut Plan,
) -> Vec<&'v Member<'a>> {
    let record = plan.record(input).filter(|_| input.spec.hooks.follow_batches()).cloned();
    let Some((record, hooks)) = record.and_then(|it| it.hooks.clone().map(|hooks| (it, hooks)))
    else {
        return victims;
    };
    let mut now = noted(input, hooks.clone());
    let is_noted = now.number == hooks.number;
    begin_batch(input, chosen, &mut now);
    let waits = |member: &&Member<'_>| needs_hook(input, member.id, member.instance);
    // The record comes before what waits for the hook, and before the next group.
    let due = match is_noted && input.state.hooks.running.is_none() {
        true => due(victims.iter().copied().filter(waits), &mut now, plan),
        false => BTreeSet::new(),
    };
    let mut ready: Vec<&Member<'_>> = victims.into_iter().filter(|m| !waits(m)).collect();
    plan.released.extend(needed(input, view, &ready, chosen));
    ready.retain(|member| !plan.released.contains(member.id));
    if now.prepared && !plan.released.is_empty() {
        now.group = now.group.without(&plan.released);
        now.prepared = !now.group.is_empty();
    }
    if now != hooks {
        // Before the actions for which it stands.
        plan.actions.push(Step::record(Record { hooks: Some(now), ..record }));
    } else if !due.is_empty() && plan.actions.iter().all(|step| step.record.is_none()) {
        ask(input, HookPoint::BeforeDeregister, due, None, plan);
    }
    ready
}

/// Whether `id`, should it be chosen to go, has to wait for its hook.
fn needs_hook(input: &Input<'_>, id: &InstanceId, instance: &Instance) -> bool {
    input.spec.hooks.at(HookPoint::BeforeDeregister).is_some()
        && !input.state.hooks.prepared.contains(id)
        && is_in_rotation(input, id, instance)
}

/// Whether we have not taken `id` out of every target group that lists it.
fn is_in_rotation(input: &Input<'_>, id: &InstanceId, instance: &Instance) -> bool {
    let Some(out) = input.state.rotation.deregistered.get(id) else { return true };
    input.target.rotation().any(|group| {
        let health = instance.targets.get(&group.id);
        let listed = health.is_some_and(|health| {
            !matches!(health.state, TargetState::Draining | TargetState::Unused)
        });
        listed && !out.contains_key(&group.id)
    })
}

/// Returns the group for which the hook is due, and notes it in the record where that is another.
fn due<'v>(
    waiting: impl Iterator<Item = &'v Member<'v>>,
    hooks: &mut HookRecord,
    plan: &mut Plan,
) -> BTreeSet<InstanceId> {
    let waiting: BTreeSet<InstanceId> = waiting.map(|member| member.id.clone()).collect();
    if waiting.is_empty() {
        return waiting;
    }
    if hooks.prepared && hooks.group.is_large() && hooks.group == InstanceSet::of(&waiting) {
        // The engine before this one was killed after it had written that.
        plan.prepared = waiting;
        return BTreeSet::new();
    }
    group_for(hooks, HookPoint::BeforeDeregister, waiting)
}

/// Returns those of the `ready` victims that are to stay: while the hook was run, others have
/// failed, and the floor needs them; or somebody protects them now.
fn needed(
    input: &Input<'_>,
    view: &View<'_>,
    ready: &[&Member<'_>],
    chosen: &BTreeSet<InstanceId>,
) -> BTreeSet<InstanceId> {
    let still_in = |member: &&Member<'_>| {
        !chosen.contains(member.id) && !input.state.was_deregistered(member.id)
    };
    let in_rotation = || ready.iter().copied().filter(|member| still_in(member));
    let mut spare = view.spare_with(in_rotation().filter(|member| would_serve(input, member)));
    let mut needed = BTreeSet::new();
    for member in in_rotation() {
        let serves = would_serve(input, member);
        if member.set_aside || member.left_alone || (serves && !spare.allows(member.instance.units))
        {
            needed.insert(member.id.clone());
        } else if serves {
            spare.take(member.instance.units);
        }
    }
    needed
}

/// Whether `member` serves if it is not taken out.
fn would_serve(input: &Input<'_>, member: &Member<'_>) -> bool {
    let Input { target, .. } = *input;
    member.instance.lifecycle == Lifecycle::InService
        && member.instance.healthy
        && (is_healthy_in_primary(target, member.instance)
            || target.second.iter().any(|group| is_healthy_in(member.instance, group)))
}
