//! Plans for unmanaged instances what a group would do on its own.
//!
//! They are marked as ours, launched in place of others, and registered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rolling_provider::{Action, InstanceId, Lifecycle, TargetGroupId, Timestamp};
use sha2::{Digest as _, Sha256};

use super::deadlines::{self, UNLAUNCHED_AFTER};
use super::input::Input;
use super::{Member, Plan, Step, View, shift};
use crate::model::wait::{Wait, WaitKind};
use crate::record::{KEYS, Record};
use crate::rollout::state::LaunchTrouble;

/// Says that the fleet launches nothing because somebody has suspended that.
pub(super) fn suspended(input: &Input<'_>) -> Option<String> {
    let process = input.target.processes.launches?;
    let is_ours = input.state.record.iter().any(|it| it.borrowed.suspended.contains(process));
    (input.look.suspended.contains(process) && !is_ours)
        .then(|| format!("somebody has suspended {process}: resume it"))
}

/// How long after a failed launch the next one is tried.
const LAUNCH_AGAIN: Duration = Duration::from_secs(10);

/// Marks the instances that the fleet has when a rollout begins.
///
/// The record comes first, and says afterwards that all are marked. From then on no other instance
/// belongs to the fleet.
pub(crate) fn mark(input: &Input<'_>, record: &Record, plan: &mut Plan) {
    let instances: BTreeSet<InstanceId> = input
        .look
        .instances
        .iter()
        .filter(|(_, instance)| instance.lifecycle != Lifecycle::Terminating)
        .map(|(id, _)| id.clone())
        .collect();
    plan.actions.push(Step::record(record.clone()));
    plan.actions.push(Step::new(Action::TagMember { instances }));
    plan.actions.push(Step::record(Record { owned: true, ..record.clone() }));
}

/// Removes the record from the target, and before that the marks from unmanaged instances.
pub(crate) fn erase(input: &Input<'_>, record: &Record) -> Vec<Step> {
    let mut steps = Vec::new();
    let marked = input.look.instances.iter().filter(|(id, instance)| {
        let lives = instance.lifecycle != Lifecycle::Terminating;
        instance.owned && lives && !input.state.removed.terminated.contains(*id)
    });
    let instances: BTreeSet<InstanceId> = marked.map(|(id, _)| id.clone()).collect();
    if input.look.is_unmanaged() && !instances.is_empty() {
        // While the record says that all are marked, an instance without a mark is not in the
        // fleet.
        if record.owned {
            steps.push(Step::record(Record { owned: false, ..record.clone() }));
        }
        steps.push(Step::new(Action::UntagMember { instances }));
    }
    let keys = KEYS.into_iter().map(String::from).collect();
    steps.push(Step::new(Action::EraseRecord { keys }));
    steps
}

/// Launches what will be missing after the removals in `plan`, before those removals.
///
/// A drained instance is the source of its replacement, and can go back into rotation if the launch
/// fails.
pub(crate) fn launch(input: &Input<'_>, view: &View<'_>, record: &Record, plan: &mut Plan) {
    let Input { state, now, .. } = *input;
    if !input.look.is_unmanaged() || input.is_in_place() {
        return;
    }
    let leaving: BTreeSet<InstanceId> = plan
        .actions
        .iter()
        .filter_map(|step| match &step.action {
            Action::Terminate { instance, .. } | Action::Detach { instance, .. } => Some(instance),
            _ => None,
        })
        .cloned()
        .collect();
    let live = view.members.len().saturating_sub(leaving.len());
    let old = view.old().filter(|member| !leaving.contains(member.id)).count();
    let size = state.size(input.look) as usize;
    let wanted = size + (record.surge as usize).min(old);
    let on_their_way = state.unmanaged.on_their_way as usize;
    let mut missing = wanted.saturating_sub(live + on_their_way);

    // Instances that are gone may only be late to show.
    let lost = size.saturating_sub(view.members.len() + on_their_way).min(missing);
    let unsure = lost.saturating_sub(state.unmanaged.lost.late(UNLAUNCHED_AFTER, now));
    if unsure > 0 {
        missing -= unsure;
        plan.wake_at(state.unmanaged.lost.next_late(UNLAUNCHED_AFTER, now), now);
    }
    if missing == 0 {
        return;
    }
    if may_not_show(input, plan) {
        return;
    }
    if let Some(trouble) = &state.unmanaged.trouble {
        if !may_try_again(input, trouble, plan) {
            return;
        }
        // One launch is enough to see whether launches work again.
        missing = 1;
    }
    let source_instances = source_instances(input, view, &leaving);
    if source_instances.len() < missing {
        hold_back(plan);
    }
    let launches = source_instances.into_iter().take(missing).map(|(source_instance, attempt)| {
        let token = token(input, record, &source_instance, attempt);
        Step::new(Action::Launch {
            revision: input.target.revision.clone(),
            source_instance,
            token,
        })
    });
    plan.actions.splice(0..0, launches);
}

/// Waits where an earlier launch may not show yet. Returns whether that is so.
fn may_not_show(input: &Input<'_>, plan: &mut Plan) -> bool {
    let Some(deadline) = input.state.unmanaged.unsure_until(input.now) else { return false };
    plan.wait(Wait {
        kind: WaitKind::Launch,
        instances: Vec::new(),
        detail: Some("what was launched before may not show yet".into()),
        deadline,
    });
    hold_back(plan);
    true
}

/// Waits where the last launch failed. Returns whether the next may be tried.
fn may_try_again(input: &Input<'_>, trouble: &LaunchTrouble, plan: &mut Plan) -> bool {
    let again = trouble.tried + LAUNCH_AGAIN;
    plan.wait(Wait {
        kind: WaitKind::Launch,
        instances: Vec::new(),
        detail: Some(trouble.cause.clone()),
        deadline: deadlines::launch_deadline_since(input, trouble.since),
    });
    hold_back(plan);
    if input.now < again {
        plan.wake_at(Some(again), input.now);
    }
    input.now >= again
}

/// Keeps all instances as long as nothing can be launched.
fn hold_back(plan: &mut Plan) {
    plan.actions
        .retain(|step| !matches!(step.action, Action::Terminate { .. } | Action::Detach { .. }));
}

/// Returns the source instances for new ones, each once, with how many were made like it already.
///
/// Those that leave come first, then others to be replaced, then the rest.
fn source_instances(
    input: &Input<'_>,
    view: &View<'_>,
    leaving: &BTreeSet<InstanceId>,
) -> Vec<(InstanceId, usize)> {
    let mut made: BTreeMap<&InstanceId, usize> = BTreeMap::new();
    for instance in input.look.instances.values() {
        if let Some(source_instance) =
            instance.stands_for.as_ref().filter(|_| input.target.wants(instance))
        {
            *made.entry(source_instance).or_default() += 1;
        }
    }
    let mut ranked: Vec<(bool, bool, bool, &Member<'_>)> = view
        .members
        .iter()
        .filter(|member| !input.state.is_launched(member.id))
        .map(|member| {
            let is_made = made.contains_key(member.id);
            (is_made, !leaving.contains(member.id), !member.is_old(), member)
        })
        .collect();
    ranked.sort_by_key(|(made, stays, is_good, member)| {
        (*made, *stays, *is_good, member.instance.launched_at, member.id)
    });
    let attempt = |id: &InstanceId| made.get(id).copied().unwrap_or_default();
    ranked.into_iter().map(|(.., member)| (member.id.clone(), attempt(member.id))).collect()
}

/// Returns the token of a launch: the same for every engine, before and after a crash.
fn token(
    input: &Input<'_>,
    record: &Record,
    source_instance: &InstanceId,
    attempt: usize,
) -> String {
    let revision = &input.target.revision;
    let mut attempts = attempt..;
    let mut next = || {
        let attempt = attempts.next().unwrap_or_default();
        let message = format!("{} {revision} {source_instance} {attempt}", record.id);
        let digest = Sha256::digest(message.as_bytes());
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let mut token = next();
    while input.state.unmanaged.spent.contains(&token) {
        token = next();
    }
    token
}

/// Registers new instances that run and are in no target group yet, except those `leaving`.
pub(crate) fn register_newcomers(
    input: &Input<'_>,
    view: &View<'_>,
    leaving: &BTreeSet<InstanceId>,
) -> Vec<Step> {
    let groups = match input.launches() {
        false => input.target.target_groups.iter().collect(),
        true => shift::entrance(input),
    };
    let mut steps = Vec::new();
    for group in groups {
        let newcomers = view
            .members
            .iter()
            .filter(|member| !leaving.contains(member.id) && is_newcomer(input, member, &group.id));
        let instances: BTreeSet<InstanceId> = newcomers.map(|member| member.id.clone()).collect();
        if !instances.is_empty() {
            let target_group = group.id.clone();
            steps.push(Step::new(Action::Register { target_group, instances }));
        }
    }
    steps
}

/// Whether `member` must be registered in `group`, for the first time.
fn is_newcomer(input: &Input<'_>, member: &Member<'_>, group: &TargetGroupId) -> bool {
    let state = input.state;
    // While a rollout halts, what the fleet launches is of the revision before. An instance marked
    // for an update that was never begun is, too.
    let put_back = input.target.second.is_some() || state.was_updated(member.id);
    let is_ours = member.is_new || (put_back && state.direction.halt.is_some());
    is_ours
        && member.may_be_registered()
        && !member.is_victim
        && !state.failures.failed.contains_key(member.id)
        && member.instance.lifecycle == Lifecycle::InService
        && !member.instance.targets.contains_key(group)
        && member.history.is_none_or(|history| !history.has_served)
        && !state.was_deregistered(member.id)
        && !state.rotation.deregistered_by_predecessor.contains(&(member.id.clone(), group.clone()))
        && !state.was_registered(member.id, group, input.now)
}

/// Waits for new instances that cannot be registered yet.
pub(crate) fn wait_for_newcomers(
    input: &Input<'_>,
    view: &View<'_>,
    leaving: &BTreeSet<InstanceId>,
    deadline: Timestamp,
    plan: &mut Plan,
) {
    let boots = |member: &&Member<'_>| {
        member.is_new
            && !member.failed
            && !leaving.contains(member.id)
            && member.instance.lifecycle == Lifecycle::Pending
            && member.instance.update.is_none()
    };
    let booting = view.members.iter().filter(boots);
    let instances: Vec<InstanceId> = booting.map(|member| member.id.clone()).collect();
    if input.look.is_unmanaged() && !instances.is_empty() && input.now < deadline {
        plan.wait(Wait { kind: WaitKind::Launch, instances, detail: None, deadline });
    }
}
