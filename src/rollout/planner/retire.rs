//! Takes instances out: out of rotation, drained, then terminated or kept for debugging.

use std::collections::{BTreeMap, BTreeSet};

use rolling_provider::{Action, InstanceId, Lifecycle, TargetGroupId, TargetState, Timestamp};

use super::input::Input;
use super::{Member, Plan, Step, View, batch, hook, in_place};
use crate::model::spec::RollingDeployment;
use crate::model::wait::{Wait, WaitKind};
use crate::record::{InstanceSet, Phase, RETAINED, Record};

/// Registers instances of the wanted revision again that were taken out of rotation.
///
/// An earlier engine took them out, or we did before the rollback. Those `chosen` to go stay out.
pub(crate) fn register_again(input: &Input<'_>, chosen: &BTreeSet<InstanceId>) -> Vec<Step> {
    let mut out: BTreeMap<&TargetGroupId, BTreeSet<InstanceId>> = BTreeMap::new();
    for (id, group) in input
        .state
        .rotation
        .deregistered_by_predecessor
        .iter()
        .filter(|(id, _)| !chosen.contains(id))
    {
        out.entry(group).or_default().insert(id.clone());
    }
    let register = |(group, instances): (&TargetGroupId, _)| {
        Step::new(Action::Register { target_group: group.clone(), instances })
    };
    out.into_iter().map(register).collect()
}

/// Takes victims out of rotation, and removes those that are drained or past their drain deadline.
///
/// Makes one call per target group. `chosen` are victims as of this plan.
pub(crate) fn retire(
    input: &Input<'_>,
    view: &View<'_>,
    chosen: &BTreeSet<InstanceId>,
    plan: &mut Plan,
) {
    let victims = view.members.iter().filter(|m| m.is_victim || chosen.contains(m.id));
    // Somebody protects it since it was chosen: it goes back into rotation.
    let stays = |m: &&Member<'_>| m.is_victim && m.instance.protected && m.not_surplus;
    let may_stay = input.state.direction.halt.is_none() && !input.is_in_place();
    let (staying, victims): (Vec<&Member<'_>>, Vec<&Member<'_>>) =
        victims.partition(|member| may_stay && stays(member));
    plan.released.extend(staying.into_iter().map(|member| member.id.clone()));
    let victims = hook::prepared(input, view, victims, chosen, plan);
    note(input, view, &victims, plan);
    if victims.is_empty() {
        return;
    }
    let direct = goes_directly(input, view, &victims);
    deregister(input, &victims, &direct, plan);
    let gone = remove_drained(input, view, &victims, &direct, plan);
    wait_for_drains(input, &victims, &gone, plan);
}

/// Writes into the record who is taken out of rotation, before that is done, and who no longer is
/// once it serves again.
///
/// An engine that takes over thus puts back only those, and takes nobody for its victim whom
/// somebody else took out.
fn note(input: &Input<'_>, view: &View<'_>, victims: &[&Member<'_>], plan: &mut Plan) {
    let Some(record) = plan.record(input) else { return };
    if victims.is_empty() && record.victims.is_empty() {
        return;
    }
    let rotation = &input.state.rotation;
    let by_predecessor = rotation.deregistered_by_predecessor.iter().map(|(id, _)| id);
    let out = rotation.deregistered.keys().chain(&rotation.victims).chain(by_predecessor);
    let group = InstanceSet::of(out.chain(victims.iter().map(|member| member.id)));
    // On most ticks nothing is new, and to look for each instance of a large fleet takes long.
    if record.victims == group {
        return;
    }
    let is_named = |member: &&Member<'_>| record.victims.has(member.id) != Some(false);
    let may_be_named = record.victims.is_large() && !group.is_large();
    let is_back = |member: &Member<'_>| {
        member.serves
            && record.victims.has(member.id) == Some(true)
            && group.has(member.id) == Some(false)
    };
    if !victims.iter().all(is_named) || may_be_named || view.members.iter().any(is_back) {
        plan.actions.push(Step::record(Record { victims: group, ..record.clone() }));
    }
}

/// Returns the victims to terminate without a replacement and without deregistering them first.
///
/// Some fleets replace instances that are out of rotation. If such an instance were taken out
/// first, it would be replaced and be one too many again, for ever. It is terminated as it is, with
/// the size lowered at once. The fleet itself takes it out of the target groups that it knows, and
/// drains it there:
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/attach-load-balancer-asg.html>.
fn goes_directly(
    input: &Input<'_>,
    view: &View<'_>,
    victims: &[&Member<'_>],
) -> BTreeSet<InstanceId> {
    let surge = input.state.surge() as usize;
    if !input.state.rotation.replaces.is_seen() || input.is_in_place() {
        return BTreeSet::new();
    }
    // What is not old goes because it is one too many.
    let is_surplus = victims.iter().all(|member| !member.is_old());
    let stay = if is_surplus { 0 } else { view.old().count() + view.stay_idle() };
    let replaced = stay.saturating_sub(surge);
    let mut leaving = in_order(view, victims);
    // An instance that is out already is replaced by now.
    leaving.sort_by_key(|member| !input.state.was_deregistered(member.id));
    leaving.into_iter().skip(replaced).take(surge).map(|member| member.id.clone()).collect()
}

fn deregister(
    input: &Input<'_>,
    victims: &[&Member<'_>],
    direct: &BTreeSet<InstanceId>,
    plan: &mut Plan,
) {
    for group in input.target.rotation() {
        let knows = input.target.target_groups.iter().any(|known| known.id == group.id);
        let listed = victims.iter().filter(|m| !knows || !direct.contains(m.id)).filter(|member| {
            let asked = input.state.rotation.deregistered.get(member.id);
            let health = member.instance.targets.get(&group.id);
            let in_rotation = health.is_some_and(|health| {
                !matches!(health.state, TargetState::Draining | TargetState::Unused)
            });
            in_rotation && asked.is_none_or(|groups| !groups.contains_key(&group.id))
        });
        let instances: BTreeSet<InstanceId> = listed.map(|member| member.id.clone()).collect();
        if !instances.is_empty() {
            let action = Action::Deregister { target_group: group.id.clone(), instances };
            plan.actions.push(Step::new(action));
        }
    }
}

/// Whether all of `chosen` go without a replacement: what was launched beside the fleet takes their
/// places.
pub(super) fn are_removed(
    input: &Input<'_>,
    view: &View<'_>,
    chosen: &BTreeSet<InstanceId>,
) -> bool {
    let surge = input.state.surge() as usize;
    let is_surplus = || !view.old().any(|member| chosen.contains(member.id));
    surge > 0 && (is_surplus() || are_last(view, view.old().count(), surge))
}

/// Whether the last `old_left` old instances are no more than surge has replaced.
fn are_last(view: &View<'_>, old_left: usize, surge: usize) -> bool {
    old_left + view.stay_idle() <= surge
}

/// Removes or updates drained victims. Returns which ones.
fn remove_drained(
    input: &Input<'_>,
    view: &View<'_>,
    victims: &[&Member<'_>],
    direct: &BTreeSet<InstanceId>,
    plan: &mut Plan,
) -> BTreeSet<InstanceId> {
    let mut gone = BTreeSet::new();
    if input.is_in_place() {
        let is_due =
            |member: &&&Member<'_>| is_drained(input, member) && in_place::is_ready(input, member);
        gone.extend(victims.iter().filter(is_due).map(|member| member.id.clone()));
        plan.actions.extend(in_place::update(input, &gone));
        return gone;
    }
    let mut old_left = view.old().count();
    let mut surge = input.state.surge() as usize;
    let mut keeping = false;
    for member in in_order(view, victims) {
        let goes_directly = surge > 0 && direct.contains(member.id) && !is_in_second(input, member);
        if !is_drained(input, member) && !goes_directly {
            continue;
        }
        // As long as more old ones than surge are left, each makes room for a replacement. The last
        // ones are not replaced, so that there are exactly as many launches as instances. Nor is
        // surplus, which goes because it is one too many.
        let is_last = !member.is_old() || are_last(view, old_left, surge);
        let decrement = goes_directly || (surge > 0 && is_last);
        if decrement && size_may_be_lower(input) {
            plan.wake_at(input.state.size_is_known_at(input.look), input.now);
            continue;
        }
        if decrement {
            plan.actions.extend(begin_to_give_back(input, plan));
        }
        surge -= usize::from(decrement);
        old_left = old_left.saturating_sub(usize::from(member.is_old()));
        match keep(input, member, plan).filter(|_| !keeping) {
            Some(steps) => {
                keeping = true;
                plan.actions.extend(steps);
                let instance = member.id.clone();
                plan.actions.push(Step::new(Action::Detach { instance, decrement }));
            }
            None => {
                let instance = member.id.clone();
                plan.actions.push(Step::new(Action::Terminate { instance, decrement }));
            }
        }
        gone.insert(member.id.clone());
    }
    gone
}

/// Returns the victims in order, those of which their zone has too many last.
///
/// The last ones are removed without a replacement.
fn in_order<'v, 'a>(view: &View<'a>, victims: &[&'v Member<'a>]) -> Vec<&'v Member<'a>> {
    let excess = batch::excess(view);
    let mut leaving = victims.to_vec();
    leaving.sort_by_key(|m| excess.get(m.instance.zone.as_str()).is_some_and(|more| *more > 0));
    leaving
}

/// Whether no target group sends it requests any more, or its drain deadline has passed.
fn is_drained(input: &Input<'_>, member: &Member<'_>) -> bool {
    if drains_until(input, member).is_some_and(|until| input.now < until) {
        return false;
    }
    let due = drain_deadline(input, member);
    member.is_out_of_rotation(input) || due.is_some_and(|due| input.now >= due)
}

/// Returns until when it drains at least, whatever its target groups say.
fn drains_until(input: &Input<'_>, member: &Member<'_>) -> Option<Timestamp> {
    let groups = input.state.rotation.deregistered.get(member.id)?;
    groups.values().max().map(|at| *at + input.spec.health.min_drain_time)
}

/// Whether the second target group, which the fleet does not know, may still send requests to it.
fn is_in_second(input: &Input<'_>, member: &Member<'_>) -> bool {
    let second = input.target.second.as_ref();
    let health = second.and_then(|second| member.instance.targets.get(&second.id));
    health.is_some_and(|health| health.state != TargetState::Unused)
}

/// Whether a look shows a lower size than the one we believe.
///
/// The look may be late, or another process has just set that size. Lowering it further would take
/// instances that the fleet is meant to have.
fn size_may_be_lower(input: &Input<'_>) -> bool {
    !input.look.is_unmanaged() && input.look.desired() < input.state.desired(input.look)
}

/// Writes into the record that surge is removed one by one.
///
/// Does so before the first removal that lowers the size. An engine that takes over after a crash
/// thus knows that the sizes on the way are ours.
fn begin_to_give_back(input: &Input<'_>, plan: &Plan) -> Option<Step> {
    let record = plan.record(input).filter(|_| !input.look.is_unmanaged())?;
    let is_said = record.gives_back || record.phase != Phase::Rolling;
    (!is_said).then(|| Step::record(Record { gives_back: true, ..record.clone() }))
}

/// Plans what comes before a failed instance is detached instead of terminated.
///
/// `None` when it is not to be kept. The record counts and names it first, so that a run after a
/// crash keeps the same one and no more.
fn keep(input: &Input<'_>, member: &Member<'_>, plan: &Plan) -> Option<Vec<Step>> {
    let Input { spec, state, .. } = *input;
    let record = plan.record(input)?;
    let has_failed = state.failures.failed.contains_key(member.id)
        || member.instance.failed_in.as_ref() == Some(&record.id);
    let begun = record.last_retained.as_ref() == Some(member.id);
    let fits = begun || record.retained_failed < spec.keep_failed_instances;
    // Only an instance in service can be detached.
    if !has_failed || !fits || member.instance.lifecycle != Lifecycle::InService {
        return None;
    }
    let mut steps = Vec::new();
    if !begun {
        let (retained_failed, last_retained) =
            (record.retained_failed + 1, Some(member.id.clone()));
        steps.push(Step::record(Record { retained_failed, last_retained, ..record.clone() }));
    }
    let (instance, key, value) = (member.id.clone(), RETAINED.to_owned(), record.id.clone());
    let tag = Action::Tag { instance, key, value };
    if !state.failures.refused.iter().any(|(action, _)| *action == tag) {
        steps.push(Step::new(tag));
    }
    Some(steps)
}

fn wait_for_drains(
    input: &Input<'_>,
    victims: &[&Member<'_>],
    gone: &BTreeSet<InstanceId>,
    plan: &mut Plan,
) {
    let Input { target, state, now, .. } = *input;
    let waits = |m: &&&Member<'_>| !gone.contains(m.id) && !in_place::is_at_work(input, m);
    let draining: Vec<&&Member<'_>> = victims.iter().filter(waits).collect();
    if draining.is_empty() {
        return;
    }
    for groups in draining.iter().filter_map(|member| state.rotation.deregistered.get(member.id)) {
        for group in target.rotation() {
            plan.wake_at(groups.get(&group.id).map(|at| *at + group.drain), now);
        }
    }
    let least = draining.iter().filter_map(|member| drains_until(input, member)).max();
    plan.wake_at(least, now);
    let deadline = draining.iter().filter_map(|member| drain_deadline(input, member)).max();
    let deadline = deadline.max(least);
    plan.wait(Wait {
        kind: WaitKind::Drain,
        instances: draining.iter().map(|member| member.id.clone()).collect(),
        detail: Some(drain_told(input)),
        deadline: deadline.unwrap_or(now + RollingDeployment::drain_deadline(target.drain())),
    });
}

/// Says how long instances drain: `20s deregistration delay, at least 2m`.
fn drain_told(input: &Input<'_>) -> String {
    let delay = humantime::format_duration(input.target.drain());
    match input.spec.health.min_drain_time {
        least if least > input.target.drain() => {
            format!("{delay} deregistration delay, at least {}", humantime::format_duration(least))
        }
        _ => format!("{delay} deregistration delay"),
    }
}

/// Returns when a victim is removed even if it is still draining.
///
/// `None` before it was deregistered everywhere it is listed.
fn drain_deadline(input: &Input<'_>, member: &Member<'_>) -> Option<Timestamp> {
    let asked = input.state.rotation.deregistered.get(member.id);
    let listed = input.target.rotation().filter(|group| {
        let health = member.instance.targets.get(&group.id);
        health.is_some_and(|health| health.state != TargetState::Unused)
    });
    let mut latest = None;
    for group in listed {
        let asked = asked?.get(&group.id)?;
        latest = latest.max(Some(*asked + RollingDeployment::drain_deadline(group.drain)));
    }
    latest
}
