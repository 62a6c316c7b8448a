//! Shifts requests to new instances and back.
//!
//! New instances serve in a second target group first, which gets a share of the requests, then
//! all. Once they serve in the first one, too, the old ones go, and the requests come back to it.
//! Every decision follows from the weights that the load balancer reports, so that a crash anywhere
//! leaves nothing to remember.

use std::collections::BTreeSet;
use std::time::Duration;

use rolling_provider::{Action, InstanceId, Lifecycle, Observation, TargetGroup, TargetState};

use super::input::Input;
use super::{Member, Plan, Step, View, deadlines, gate};
use crate::model::spec::{Policy, TrafficStep};
use crate::model::wait::{Wait, WaitKind};
use crate::record::Ending;
use crate::rollout::serving::{is_healthy_in, is_healthy_in_primary};
use crate::rollout::state::Halt;

/// Plans the next step, with the whole new set in the second target group.
///
/// Returns whether the old instances have to stay meanwhile.
pub(crate) fn forward(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) -> bool {
    let Input { spec, target, look, state, .. } = *input;
    let (Some(shifted), Some(second)) = (&look.shifted, &target.second) else { return false };
    if state.direction.rolls_back.is_some() || view.updated() < view.window.size as usize {
        return false;
    }
    let most = shifted.last().copied().unwrap_or_default();
    if is_promoted(input, view) {
        return false;
    }
    if !fill_secondary(input, view, plan) {
        return true;
    }
    let was_promoted = state.record.as_ref().is_some_and(|record| record.promoted);
    if !was_promoted && most < 100 && leave_primary(input, view, plan) {
        return true;
    }
    // Once the new instances join the first target group, all waits are over.
    let listed = |member: &Member<'_>| is_listed_in_primary(input, member);
    let joins = is_at(look, 100) && view.members.iter().filter(|m| m.is_new).all(listed);
    if spec.policy == Policy::TrafficSplitting
        && most < 100
        && !joins
        && evaluate(input, view, plan)
    {
        return true;
    }
    if !is_at(look, 100) {
        plan.actions.push(Step::new(Action::Shift { percent: 100 }));
        return true;
    }
    if let Policy::BlueGreen { terminate_after } = spec.policy
        && !joins
    {
        let message = format!("all requests go to target group {}", second.name);
        if hold_for(input, WaitKind::OldSetRetained, terminate_after, message, plan) {
            return true;
        }
    }
    join(input, view, plan)
}

/// Gives the second target group the share of the current step, and evaluates it there.
///
/// The current step follows from the share that the load balancer shows. A share beyond all steps
/// is from another document, and returns to the last one. Returns whether the last step is not over.
fn evaluate(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) -> bool {
    let Input { target, look, .. } = *input;
    let steps = &input.spec.traffic_steps;
    let (Some(shifted), Some(second)) = (&look.shifted, &target.second) else { return false };
    let most = shifted.last().copied().unwrap_or_default();
    let reached = steps.iter().position(|step| step.percent >= most);
    let Some(index) = reached.or(steps.len().checked_sub(1)) else { return false };
    let TrafficStep { percent, evaluation_time } = steps[index];
    if !is_at(look, percent) {
        plan.actions.push(Step::new(Action::Shift { percent }));
        return true;
    }
    let number = match steps.len() {
        1 => String::new(),
        count => format!(", step {} of {count}", index + 1),
    };
    let message = format!("{percent} % of the requests go to target group {}{number}", second.name);
    if hold_for(input, WaitKind::Evaluation, evaluation_time, message, plan) {
        return true;
    }
    if gate::is_closed_at_share(input, view, percent) {
        gate::ask_at_share(input, view, percent, plan);
        return true;
    }
    let next = steps.get(index + 1).map(|step| Step::new(Action::Shift { percent: step.percent }));
    let is_last = next.is_none();
    plan.actions.extend(next);
    !is_last
}

/// Whether the old instances are no longer needed.
///
/// They are not when the new ones can take all requests where the old ones did, and get them there
/// or in the second target group.
pub(crate) fn is_promoted(input: &Input<'_>, view: &View<'_>) -> bool {
    let state = input.state;
    // An instance that another process put there before any request was shifted has proved nothing.
    let was =
        state.direction.rolls_back.is_some() || state.record.as_ref().is_some_and(|r| r.promoted);
    let settled = is_at(input.look, 100) || (is_back(input) && was);
    settled && in_primary(view, true) >= view.window.size as usize
}

/// Makes the whole new set serve in the second target group. Returns whether it does.
///
/// Another process may have launched an instance into the first one, or an earlier engine may have
/// taken some out.
fn fill_secondary(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) -> bool {
    let Some(second) = &input.target.second else { return true };
    let new = || view.members.iter().filter(|member| is_good(member));
    let serving = new().filter(|member| is_healthy_in(member.instance, second)).count();
    if serving >= view.window.size as usize {
        return true;
    }
    let out = new().filter(|member| !member.instance.targets.contains_key(&second.id));
    let out = out.filter(|member| member.may_be_registered());
    let instances: BTreeSet<InstanceId> = out.map(|member| member.id.clone()).collect();
    if !instances.is_empty() {
        let target_group = second.id.clone();
        plan.actions.push(Step::new(Action::Register { target_group, instances }));
    }
    let idle = new().filter(|member| !is_healthy_in(member.instance, second));
    let instances: Vec<InstanceId> = idle.map(|member| member.id.clone()).collect();
    let detail = Some(format!("in target group {}", second.name));
    let deadline = deadlines::progress_deadline(input);
    plan.wait(Wait { kind: WaitKind::Health, instances, detail, deadline });
    false
}

/// Takes new instances out of the first target group that were registered there too early.
///
/// Does so only if the others suffice. Returns whether they are still on their way out.
fn leave_primary(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) -> bool {
    let early = || view.members.iter().filter(|m| is_good(m) && is_listed_in_primary(input, m));
    let going = early().filter(|member| member.serves && member.in_primary).count();
    if early().next().is_none() || in_primary(view, false) - going < view.window.floor() as usize {
        return false;
    }
    for group in &input.target.target_groups {
        let is_in = |member: &&Member<'_>| {
            let health = member.instance.targets.get(&group.id);
            health.is_some_and(|health| health.state != TargetState::Draining)
        };
        let instances: BTreeSet<InstanceId> =
            early().filter(is_in).map(|member| member.id.clone()).collect();
        if !instances.is_empty() {
            let target_group = group.id.clone();
            plan.actions.push(Step::new(Action::Deregister { target_group, instances }));
        }
    }
    let instances = early().map(|member| member.id.clone()).collect();
    let detail = Some("registered before any request was shifted".into());
    let deadline = deadlines::progress_deadline(input);
    plan.wait(Wait { kind: WaitKind::Drain, instances, detail, deadline });
    true
}

/// Whether the second target group gets all requests of a rollout that goes forward.
pub(crate) fn has_all(input: &Input<'_>) -> bool {
    let shifted = input.look.shifted.as_ref().is_some_and(|shares| !shares.is_empty());
    shifted && is_at(input.look, 100) && input.state.direction.rolls_back.is_none()
}

/// Whether `member` is a new instance that runs and is to stay.
fn is_good(member: &Member<'_>) -> bool {
    let runs = member.instance.lifecycle == Lifecycle::InService;
    let is_new = member.is_new && !member.failed && !member.not_blamed;
    is_new && !member.is_victim && !member.instance.ignored && runs
}

/// Plans the end of a forward rollout: all requests go to the first target group again.
///
/// All instances serve there, get the requests there again, and leave the second target group.
/// Returns whether there is something to do or to wait for.
pub(crate) fn finish(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) -> bool {
    if input.target.second.is_none() {
        return false;
    }
    // A fleet of size zero has only the weights left.
    if !view.members.is_empty() && join(input, view, plan) {
        return true;
    }
    if !is_at(input.look, 0) {
        plan.actions.push(Step::new(Action::Shift { percent: 0 }));
        return true;
    }
    let leaves = leave(input, view, &BTreeSet::new());
    let some = leaves.is_some();
    plan.actions.extend(leaves);
    some
}

/// Takes the instances that serve in the first target group out of the second, except `leaving`.
pub(crate) fn leave(
    input: &Input<'_>,
    view: &View<'_>,
    leaving: &BTreeSet<InstanceId>,
) -> Option<Step> {
    let second = input.target.second.as_ref()?;
    let is_in = |member: &&Member<'_>| {
        let health = member.instance.targets.get(&second.id);
        let out = |state| matches!(state, TargetState::Draining | TargetState::Unused);
        health.is_some_and(|health| !out(health.state))
            && is_healthy_in_primary(input.target, member.instance)
            && !leaving.contains(member.id)
    };
    let instances: BTreeSet<InstanceId> =
        view.members.iter().filter(is_in).map(|member| member.id.clone()).collect();
    let target_group = second.id.clone();
    (!instances.is_empty()).then(|| Step::new(Action::Deregister { target_group, instances }))
}

/// Sends the requests back to the first target group, if an instance there can take them.
///
/// Does so when the new revision has failed, or the requests went to one that is no longer wanted.
pub(crate) fn back(input: &Input<'_>, view: &View<'_>) -> Option<Step> {
    let is_begun = view.members.iter().any(|m| m.is_new && !m.instance.targets.is_empty());
    let goes_back = input.state.direction.rolls_back.is_some() || !is_begun;
    back_to(input, goes_back && in_primary(view, false) > 0)
}

/// Sends the requests back if those `chosen` to go would leave too few in the second target group.
///
/// Its share of the requests says how many it needs. The requests go to the first target group,
/// where the old instances still are. Returns whether no instance may go for now.
pub(crate) fn makes_way(
    input: &Input<'_>,
    view: &View<'_>,
    chosen: &BTreeSet<InstanceId>,
    plan: &mut Plan,
) -> bool {
    let (Some(second), Some(shifted)) = (&input.target.second, &input.look.shifted) else {
        return false;
    };
    let share = shifted.last().copied().unwrap_or_default() as usize;
    let serves = |member: &&Member<'_>| member.serves && is_healthy_in(member.instance, second);
    let serving = view.members.iter().filter(serves);
    let (going, staying): (Vec<&Member<'_>>, Vec<&Member<'_>>) =
        serving.partition(|m| chosen.contains(m.id));
    let least = (view.window.floor() as usize * share).div_ceil(100);
    if share == 0 || going.is_empty() || staying.len() >= least {
        return false;
    }
    if in_primary(view, false) >= view.window.floor() as usize {
        plan.actions.push(Step::new(Action::Shift { percent: 0 }));
    } else {
        let detail = "requests return when enough instances serve in the first target group";
        let (kind, instances, detail) = (WaitKind::Floor, Vec::new(), Some(detail.into()));
        plan.wait(Wait { kind, instances, detail, deadline: deadlines::progress_deadline(input) });
    }
    true
}

/// Sends the requests back for a rollout that ends early.
///
/// If the new revision is not at fault, the first target group must be whole, unless it is too
/// `late` for that. `None` with [`is_back`] false means not yet.
pub(crate) fn halt(input: &Input<'_>, view: &View<'_>, halt: &Halt, late: bool) -> Option<Step> {
    let primary = in_primary(view, false);
    let enough = if halt.fault || late { 1 } else { view.window.size as usize };
    back_to(input, primary >= enough.max(1))
}

/// Registers in the first target group the instances that serve only in the second.
///
/// Leaves out those `leaving`. The requests go to the first target group, or can then come back to
/// it.
pub(crate) fn register_in_primary(
    input: &Input<'_>,
    view: &View<'_>,
    leaving: &BTreeSet<InstanceId>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    // Only this rollout registers instances in the second one. Whatever else is out of the first
    // was taken out by somebody, or is registered again.
    let Some(second) = &input.target.second else { return steps };
    for group in &input.target.target_groups {
        let away = view.members.iter().filter(|member| {
            let health = member.instance.targets.get(&second.id);
            let serves = health.is_some_and(|health| {
                !matches!(health.state, TargetState::Draining | TargetState::Unused)
            });
            let runs = member.instance.lifecycle == Lifecycle::InService;
            let knows = member.history.is_some_and(|history| history.has_served);
            let stays = !leaving.contains(member.id);
            let is_there = member.instance.targets.contains_key(&group.id);
            let comes = input.state.was_registered(member.id, &group.id, input.now);
            let ours = serves && knows && member.may_be_registered();
            runs && stays && ours && !member.failed && !member.is_victim && !is_there && !comes
        });
        let away = away.filter(|m| !m.instance.ignored && !input.state.was_deregistered(m.id));
        let instances: BTreeSet<InstanceId> = away.map(|member| member.id.clone()).collect();
        if !instances.is_empty() {
            let target_group = group.id.clone();
            steps.push(Step::new(Action::Register { target_group, instances }));
        }
    }
    steps
}

fn back_to(input: &Input<'_>, can: bool) -> Option<Step> {
    (can && !is_back(input)).then(|| Step::new(Action::Shift { percent: 0 }))
}

/// Whether all requests go to the first target group.
pub(crate) fn is_back(input: &Input<'_>) -> bool {
    is_at(input.look, 0)
}

/// Whether a rollout that ends with `halt` leaves the requests where they are.
pub(crate) fn stays(halt: &Halt) -> bool {
    (halt.ending == Ending::Paused && !halt.fault) || halt.is_unrestored()
}

/// Returns the target groups in which we register instances that run for the first time.
pub(crate) fn entrance<'a>(input: &Input<'a>) -> Vec<&'a TargetGroup> {
    let Input { target, state, .. } = *input;
    let forward =
        state.direction.rolls_back.is_none() && state.direction.halt.as_ref().is_none_or(stays);
    match &target.second {
        Some(second) if forward => vec![second],
        Some(_) => target.target_groups.iter().collect(),
        None => Vec::new(),
    }
}

fn is_at(look: &Observation, percent: u32) -> bool {
    look.shifted.iter().flatten().all(|found| *found == percent)
}

fn is_listed_in_primary(input: &Input<'_>, member: &Member<'_>) -> bool {
    let mut groups = input.target.target_groups.iter();
    groups.any(|group| member.instance.targets.contains_key(&group.id))
}

/// Returns how many instances serve in the first target group.
fn in_primary(view: &View<'_>, only_new: bool) -> usize {
    let serves =
        |member: &&Member<'_>| member.serves && (member.is_new || !only_new) && member.in_primary;
    view.members.iter().filter(serves).count()
}

/// Registers new instances in the first target group, and waits until all serve there.
///
/// Returns whether some do not serve there yet.
fn join(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) -> bool {
    let Input { target, .. } = *input;
    let new = |member: &&Member<'_>| is_good(member);
    for group in &target.target_groups {
        let out = view.members.iter().filter(new);
        let out = out.filter(|member| !member.instance.targets.contains_key(&group.id));
        let out = out.filter(|member| member.may_be_registered());
        // An instance that is registered again might have to become healthy again.
        let out = out.filter(|m| !input.state.was_registered(m.id, &group.id, input.now));
        let instances: BTreeSet<InstanceId> = out.map(|member| member.id.clone()).collect();
        if !instances.is_empty() {
            let target_group = group.id.clone();
            plan.actions.push(Step::new(Action::Register { target_group, instances }));
        }
    }
    let waits = view.members.iter().filter(new);
    let waits = waits.filter(|member| !is_healthy_in_primary(target, member.instance));
    let instances: Vec<InstanceId> = waits.map(|member| member.id.clone()).collect();
    if instances.is_empty() {
        return false;
    }
    let names: Vec<&str> = target.target_groups.iter().map(|group| group.name.as_str()).collect();
    let detail = Some(format!("in target group {}", names.join(" and ")));
    let deadline = deadlines::progress_deadline(input);
    plan.wait(Wait { kind: WaitKind::Health, instances, detail, deadline });
    true
}

/// Waits deliberately, with the alarms watched. Returns whether the wait is not over yet.
fn hold_for(
    input: &Input<'_>,
    kind: WaitKind,
    time: Duration,
    message: String,
    plan: &mut Plan,
) -> bool {
    let deadline = input.state.waits.evaluating.unwrap_or(input.now) + time;
    if input.now >= deadline {
        return false;
    }
    plan.wait(Wait { kind, instances: Vec::new(), detail: Some(message), deadline });
    gate::watch(input, plan);
    true
}
