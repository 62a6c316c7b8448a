//! Plans a rollout, or a rollback to the completed revision: the order of everything in a tick, and the
//! end.

use std::collections::BTreeSet;

use rolling_provider::{Action, InstanceId, ScheduledAction, TargetState, Timestamp};

use super::deadlines::{self, SET_ASIDE_FOR, UNLAUNCHED_AFTER};
use super::input::Input;
use super::{
    BatchStart, Plan, Step, Verdict, View, batch, between_batches, borrow, gate, halt, hook,
    in_place, launch, pace, restart, retire, set_aside, shift, stop_conditions, termination, zones,
};
use crate::model::spec::{Pacing, RollingDeployment, SetAside};
use crate::model::wait::{Wait, WaitKind};
use crate::record::Record;

pub(super) fn plan(input: &Input<'_>, view: &View<'_>) -> Plan {
    let mut plan = Plan::waiting();
    if input.state.over || (input.state.record.is_none() && super::is_converged(input)) {
        plan.verdict = Verdict::Converged;
        return plan;
    }
    if let Some(verdict) = stop_conditions::apply_command(input)
        .or_else(|| stop_conditions::check_failure(input, view))
    {
        plan.verdict = verdict;
        return plan;
    }
    if let Some(wait) = restart::wait_for_clocks(input) {
        plan.wake_at(Some(wait.deadline), input.now);
        plan.wait(wait);
        return plan;
    }
    if input.state.standing(input.target).is_none() && gate::is_closed(input, view) {
        // The rollout begins nothing that the gates would end at once.
        gate::ask(input, view, &mut plan);
        return plan;
    }
    let record = borrow::borrow(input, view, &mut plan);
    gate::watch_continuously(input, &mut plan);
    if !plan.actions.is_empty() || hook::before_rollout(input, &record) {
        return plan;
    }
    if hook::before_rollback(input, &record) {
        restore_first(input, view, &mut plan);
        return plan;
    }
    watch_newcomers(input, view, &mut plan);
    let mut chosen = start_next(input, view, &record, &mut plan);
    if shift::makes_way(input, view, &chosen, &mut plan) {
        chosen.clear();
    }
    plan.actions.splice(0..0, retire::register_again(input, &chosen));
    retire::retire(input, view, &chosen, &mut plan);
    termination::wait(input, &view.terminating, &mut plan);
    plan.actions.extend(release(input));
    in_place::follow(input, &mut plan);
    in_place::wait(input, view, &mut plan);
    plan.actions.extend(launch::register_newcomers(input, view, &chosen));
    launch::launch(input, view, &record, &mut plan);
    if !chosen.is_empty() {
        let number = hook::batch_number(input, plan.record(input));
        let removed = retire::are_removed(input, view, &chosen);
        plan.begins = Some(BatchStart { removed, ..BatchStart::of(input, number, chosen, 0) });
    }
    if input.bakes() && plan.actions.is_empty() && !plan.bakes() && view.old().next().is_none() {
        // What scaling launches or removes meanwhile is not a reason to start the bake time over.
        gate::bake(input, &mut plan);
    }
    plan
}

/// Plans what only restores: it comes before `before_rollback`, and while that is run. What replaces
/// instances, or launches them, waits for it.
fn restore_first(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) {
    plan.actions.extend(retire::register_again(input, &BTreeSet::new()));
    plan.actions.extend(release(input));
    in_place::confirm(input, plan);
    in_place::wait(input, view, plan);
    hook::ask_before_rollback(input, plan);
}

/// Releases instances that hooks hold: new ones on their way in and victims on their way out.
fn release(input: &Input<'_>) -> Vec<Step> {
    let Input { spec, target, look, state, .. } = *input;
    if !spec.completes_hooks {
        return Vec::new();
    }
    let in_hooks = look.instances.iter().filter(|(id, instance)| {
        let goes = state.removed.terminated.contains(*id);
        let ours = !instance.ignored && (goes || target.wants(instance));
        let done = state.rotation.released.contains(&((*id).clone(), goes));
        instance.in_lifecycle_hook && ours && !done
    });
    in_hooks.map(|(id, _)| Step::new(Action::Release { instance: id.clone() })).collect()
}

/// Plans what may begin now. Returns the instances to take out.
fn start_next(
    input: &Input<'_>,
    view: &View<'_>,
    record: &Record,
    plan: &mut Plan,
) -> BTreeSet<InstanceId> {
    let is_continuous = input.spec.pacing == Pacing::Continuous;
    if view.busy() > 0 && !is_continuous {
        return BTreeSet::new();
    }
    // In batches, nothing drains, boots or soaks here, so one is over and the next may begin.
    if hook::closes_batch(input, view, plan) {
        return BTreeSet::new();
    }
    plan.batch_ends = input.state.batch.open;
    plan.wake_at(pace::straggles_at(input, view), input.now);
    if view.candidates().next().is_some() {
        return replace_more(input, view, plan);
    }
    let complete = view.is_complete();
    let settled = view.busy() == 0
        || (complete && view.victims().next().is_none() && view.terminating.is_empty());
    if !settled || view.missing > 0 {
        let late = input.state.launches.missing.next_late(UNLAUNCHED_AFTER, input.now);
        plan.wake_at(late, input.now);
        return BTreeSet::new();
    }
    // While an instance to replace is set aside, no other instance goes in its place.
    let waits = view.old().any(|member| member.set_aside);
    let surplus = if waits { BTreeSet::new() } else { surplus(input, view) };
    if surplus.is_empty() && input.state.surge() > 0 && !waits {
        // Instances that still boot or soak may make room, and those that go back into rotation.
        if view.busy() == 0 && !wait_for_returning(input, view, plan) {
            plan.verdict = stop_conditions::surge_stays(input, view);
        }
    } else if surplus.is_empty() {
        finish(input, view, record, plan);
    }
    surplus
}

/// Waits for instances that are to stay and that we have put back into rotation, until they serve
/// for sure. Returns whether it does.
fn wait_for_returning(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) -> bool {
    let doubtful =
        view.members.iter().filter(|member| member.gets_requests && !member.surely_serves);
    let doubtful: Vec<InstanceId> = doubtful.map(|member| member.id.clone()).collect();
    if let Some(deadline) = input.state.put_back_until().filter(|_| !doubtful.is_empty()) {
        plan.wake_at(Some(deadline), input.now);
        let (kind, detail) = (WaitKind::Return, Some(halt::NOT_YET_SURE.into()));
        plan.wait(Wait { kind, instances: doubtful, detail, deadline });
        return true;
    }
    let returns = view.members.iter().filter(|member| member.not_surplus && !member.serves);
    let returns = returns.filter_map(|m| Some((m.id, m.history?)));
    let returns = returns.filter(|(id, history)| {
        let is_ours = input.state.was_put_back(id) && !history.taken_out;
        is_ours && input.now < history.deadline(&input.spec.health)
    });
    let Some((id, history)) = returns.min_by_key(|(_, it)| it.deadline(&input.spec.health)) else {
        return false;
    };
    let (instances, detail) = (vec![id.clone()], history.trouble.clone());
    let deadline = history.deadline(&input.spec.health);
    plan.wait(Wait { kind: WaitKind::Return, instances, detail, deadline });
    true
}

/// Takes the next instances out, or says what they wait for.
fn replace_more(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) -> BTreeSet<InstanceId> {
    if between_batches::wait(input, view, plan)
        || (view.busy() == 0 && shift::forward(input, view, plan))
    {
        return BTreeSet::new();
    }
    let most = (view.window.slots() as usize).saturating_sub(view.busy());
    let within = zones::within(input.spec.zones, zones::begun(input), view.candidates());
    let (policy, is_weighted) = (input.spec.policy, view.floor.desired.is_some());
    let in_zone = zones::spare(policy, within, view.members.iter(), is_weighted);
    let spare = view.spare().and(in_zone);
    let victims = batch::next(view, within, spare, pace::victims(input, view), most);
    if !victims.is_empty() {
        plan.actions.extend(zones::begin(within, plan.record(input)));
    }
    if victims.is_empty() && view.busy() == 0 {
        let blocking = view.idle_set_aside();
        if !blocking.is_empty() {
            plan.wait(wait_for_set_aside(input, view, blocking.into_iter().cloned().collect()));
            return victims;
        }
        plan.wait(Wait {
            kind: WaitKind::Floor,
            instances: Vec::new(),
            detail: Some(match within.begins().filter(|_| !view.spare().is_none()) {
                Some(zone) => format!("zone {zone} keeps its floor"),
                None => view.at_floor(),
            }),
            deadline: deadlines::progress_deadline(input),
        });
    }
    victims
}

/// Chooses the surplus, once everything is new: what exceeds the size of the fleet.
fn surplus(input: &Input<'_>, view: &View<'_>) -> BTreeSet<InstanceId> {
    let surge = input.state.surge();
    // A booting or soaking instance holds a place already. Any other takes a free one.
    let mut free = view.free();
    let mut spare = view.spare();
    let mut victims = batch::surplus(view, surge as usize);
    zones::keep_first(input, &mut victims);
    victims.retain(|id| {
        let unsoaked = view.unsoaked().any(|member| member.id == id);
        let counts = view.members.iter().find(|m| m.id == id && m.gets_requests);
        // An instance that stays and does not serve leaves the floor to the others.
        let may_go = counts.is_none_or(|member| spare.allows(member.instance.units));
        let fits = (unsoaked || free > 0) && may_go;
        free -= usize::from(fits && !unsoaked);
        if let Some(member) = counts.filter(|_| fits) {
            spare.take(member.instance.units);
        }
        fits
    });
    victims
}

/// Plans the end, when only instances that are set aside, and what is borrowed, are left.
fn finish(input: &Input<'_>, view: &View<'_>, record: &Record, plan: &mut Plan) {
    let spec = input.spec;
    if wait_for_not_blamed(input, view, plan) {
        return;
    }
    if spec.standby == SetAside::Refresh && !view.standby.is_empty() {
        retire_standby(input, view, plan);
        return;
    }
    let set_aside = view.old().filter(|member| member.set_aside).map(|member| member.id.clone());
    let set_aside: Vec<InstanceId> =
        set_aside.chain(view.standby.iter().map(|id| (*id).clone())).collect();
    if !set_aside.is_empty() {
        plan.wait(wait_for_set_aside(input, view, set_aside));
        return;
    }
    if gate::is_closed(input, view) {
        gate::ask(input, view, plan);
        return;
    }
    if shift::finish(input, view, plan) {
        return;
    }
    if gate::bake(input, plan) {
        plan.actions.extend(halt::resume_scaling(input, record));
        return;
    }
    if let Some(wait) = halt::unsettled(input) {
        plan.wait(wait);
        return;
    }
    plan.actions.extend(halt::give_back(input, record, false));
    if !plan.actions.is_empty() {
        // The rollout is done only when a look shows the fleet complete with everything restored.
        return;
    }
    if hook::after_rollout(input, input.outcome_when_done(), plan) {
        return;
    }
    plan.actions.extend(missed_scheduled_action(input, record).map(|due| {
        Step::new(Action::ApplyScheduledAction {
            schedule: due.name.clone(),
            min: due.min,
            max: due.max,
            desired: due.desired,
        })
    }));
    plan.actions.extend(launch::erase(input, record));
}

/// Waits for instances that a rollback does not answer for, as long as they may come to serve.
///
/// Returns whether one still has time. What does not serve by then stays as it is, and is reported.
fn wait_for_not_blamed(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) -> bool {
    let not_blamed =
        view.members.iter().filter(|m| m.not_blamed && !m.is_victim && !m.is_taken_out());
    let histories = not_blamed.filter_map(|member| Some((member.id, member.history?)));
    let due = histories.map(|(id, history)| (id, history, history.deadline(&input.spec.health)));
    let coming: Vec<_> = due.filter(|(.., deadline)| input.now < *deadline).collect();
    let Some(deadline) = coming.iter().map(|(.., deadline)| *deadline).min() else { return false };
    let instances = coming.iter().map(|(id, ..)| (*id).clone()).collect();
    let detail = coming.first().and_then(|(_, history, _)| history.trouble.clone());
    plan.wait(Wait { kind: WaitKind::Health, instances, detail, deadline });
    true
}

/// Waits until whoever has set `instances` aside ends that.
fn wait_for_set_aside(input: &Input<'_>, view: &View<'_>, instances: Vec<InstanceId>) -> Wait {
    let deadline = input.state.waits.set_aside_since.unwrap_or(input.now) + SET_ASIDE_FOR;
    let reasons = set_aside::reasons(view);
    let each = reasons.iter().map(|aside| {
        let set_aside::Aside { what, remedy, attribute } = aside;
        format!("{what}: {remedy}, or set {attribute} to refresh or ignore")
    });
    let detail = Some(each.collect::<Vec<_>>().join("; "));
    Wait { kind: WaitKind::SetAside, instances, detail, deadline }
}

/// Terminates instances in standby, once their target groups have released them.
///
/// They count for no size, so nothing takes their place.
fn retire_standby(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) {
    let is_out = |id: &InstanceId| {
        let targets = input.look.instances.get(id).map(|instance| &instance.targets);
        let mut states = targets.into_iter().flatten().map(|(_, health)| health.state);
        states.all(|state| state == TargetState::Unused)
    };
    let (out, draining): (Vec<&InstanceId>, Vec<&InstanceId>) =
        view.standby.iter().copied().partition(|id| is_out(id));
    for id in out {
        let action = Action::Terminate { instance: id.clone(), decrement: false };
        plan.actions.push(Step::new(action));
    }
    if !draining.is_empty() {
        let instances = draining.into_iter().cloned().collect();
        let deadline = input.now + RollingDeployment::drain_deadline(input.drain());
        plan.wait(Wait { kind: WaitKind::Drain, instances, detail: None, deadline });
    }
}

/// Returns the latest scheduled action that was due while we suspended scheduled actions.
///
/// The cloud does not catch up on it.
pub(super) fn missed_scheduled_action<'a>(
    input: &Input<'a>,
    record: &Record,
) -> Option<&'a ScheduledAction> {
    let process = input.target.processes.schedules?;
    if !record.borrowed.suspended.contains(process) {
        return None;
    }
    let due = input
        .target
        .scheduled
        .iter()
        .filter(|entry| entry.at >= record.started && entry.at <= input.now);
    let latest = due.max_by_key(|entry| entry.at)?;
    // The cloud itself does what is due in the bake time.
    let is_done = input.state.gates.baking.is_some_and(|since| latest.at > since);
    (!is_done).then_some(latest)
}

/// Waits for what is launched, boots or soaks.
fn watch_newcomers(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) {
    let Input { state, .. } = *input;
    if view.missing > 0 {
        let failure = state.launches.activities.iter().find(|activity| activity.failed);
        let count = format!("{} to go", view.missing);
        let count = match launch::suspended(input) {
            Some(why) => format!("{count}; {why}"),
            None => count,
        };
        plan.wait(Wait {
            kind: WaitKind::Launch,
            instances: Vec::new(),
            detail: Some(failure.map_or(count, |failure| failure.cause.clone())),
            deadline: deadlines::launch_deadline(input),
        });
    }
    watch_unsoaked(input, view, plan);
}

/// Waits for instances of the revision that do not serve yet, or not for long enough.
pub(super) fn watch_unsoaked(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) {
    let Input { spec, now, .. } = *input;
    for (serves, kind) in [(false, WaitKind::Health), (true, WaitKind::Soak)] {
        let mut instances = Vec::new();
        let mut due: Option<Timestamp> = None;
        let mut trouble = None;
        // `in_place` waits for instances that are being updated.
        let unsoaked = view.unsoaked().filter(|member| member.instance.update.is_none());
        for member in unsoaked.filter(|member| member.serves == serves) {
            if instances.is_empty() {
                trouble = member.history.and_then(|history| history.trouble.clone());
            }
            let deadline = member.history.map(|history| match history.serving_since {
                Some(since) => since + spec.health.min_healthy_time,
                None => history.deadline(&spec.health),
            });
            due = due.into_iter().chain(deadline).min();
            instances.push(member.id.clone());
        }
        if instances.is_empty() {
            continue;
        }
        let detail = match kind {
            WaitKind::Health => trouble,
            _ => Some(humantime::format_duration(spec.health.min_healthy_time).to_string()),
        };
        let deadline = due.unwrap_or(now + spec.health.healthy_timeout);
        plan.wait(Wait { kind, instances, detail, deadline });
    }
}
