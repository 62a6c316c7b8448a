//! The steps of a rollout by a controller: how far each goes.

use std::time::Duration;

use rolling_provider::ControllerStatus;

use super::super::input::Input;
use super::super::{Member, Plan, View, pace};
use crate::model::spec::{Checkpoint, Executor, HookPoint, Policy};
use crate::record::Record;

/// How soon to look again while the controller is about to be paused. It asks for more than the step
/// as soon as one of the new instances is available.
const SOON: Duration = Duration::from_millis(200);

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RolloutStep {
    /// How many instances of the revision there are at its end.
    pub(super) goal: u32,
    /// How many of them it replaces; `None` where the rollout is one step.
    pub(super) size: Option<u32>,
}

/// How far the controller is with what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ControllerPhase {
    /// It does not roll to the revision yet.
    Begin,
    /// It has not seen yet what it was told.
    Unseen,
    /// It is paused in the middle of a step.
    GoOn,
    /// Somebody else has stopped it.
    StoppedByOthers,
    /// It has not asked yet for all instances of the step.
    InStep,
    /// It has asked for all instances of the step, and is to be stopped.
    ToStop,
    /// Instances of the step are not available yet.
    Waiting,
    /// All instances of the step are available, and others are left to replace.
    StepDone,
    /// Every instance runs the revision and is available.
    Complete,
}

/// Whether the rollout has to wait somewhere on its way forward, where a controller does not.
pub(super) fn is_stepped(input: &Input<'_>) -> bool {
    let spec = input.spec;
    let runs = |point| spec.hooks.at(point).is_some();
    let is_forward = input.state.direction.rolls_back.is_none();
    let in_batches = matches!(spec.engine, Executor::Controller { in_batches: true });
    is_forward
        && (in_batches
            || spec.policy == Policy::Immutable
            || !spec.checkpoints.is_empty()
            || !spec.pause_between_batches.is_zero()
            || !spec.gates.probes.is_empty()
            || runs(HookPoint::AfterHealthy)
            || runs(HookPoint::AfterBatch))
}

/// How many instances of the revision there are, or are asked for.
pub(super) fn there(input: &Input<'_>, view: &View<'_>, status: &ControllerStatus) -> u32 {
    let is_template = input.look.template.as_ref() == Some(&input.target.revision);
    if is_template && status.partition.is_none() {
        return status.asked;
    }
    // There are some of another template where the controller has rolled to it before.
    let stays = |member: &&Member<'_>| {
        status.places.get(member.id).is_none_or(|place| *place < view.window.size)
    };
    let new = view.members.iter().filter(|member| member.is_new).filter(stays).count();
    u32::try_from(new).unwrap_or(u32::MAX)
}

/// Returns the next step of the rollout that stands as `record` says.
pub(super) fn next(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    record: &Record,
) -> RolloutStep {
    let size = view.window.size;
    if !is_stepped(input) {
        return RolloutStep { goal: size, size: None };
    }
    let there = there(input, view, status).min(size);
    let goal = goal(input, view, there, record.checkpoints_passed);
    RolloutStep { goal, size: Some(goal.saturating_sub(there)) }
}

/// Returns how many instances of the revision there are at the end of a step that begins with `there`.
fn goal(input: &Input<'_>, view: &View<'_>, there: u32, checkpoints_passed: u32) -> u32 {
    let size = view.window.size;
    let ahead = input.spec.checkpoints.get(checkpoints_passed as usize);
    let quota = ahead.map_or(size, |ahead| ahead.quota(size)).max(there);
    let goal = match input.spec.policy {
        Policy::Immutable if there == 0 => 1,
        // The controller removes the old instances as soon as the new set is complete and available:
        // the gates are asked with one missing.
        Policy::Immutable if there + 1 < size && !input.spec.gates.probes.is_empty() => size - 1,
        Policy::Immutable => size,
        _ => there.saturating_add(view.window.slots()),
    };
    goal.min(quota).min(size)
}

/// Returns the sizes of the steps that are left; none where the rollout is one step.
pub(super) fn sizes(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    checkpoints_passed: u32,
) -> Vec<u32> {
    let size = view.window.size;
    let (mut there, mut passed) = (there(input, view, status).min(size), checkpoints_passed);
    let mut sizes = Vec::new();
    while is_stepped(input) && there < size {
        let ahead = input.spec.checkpoints.get(passed as usize);
        if ahead.is_some_and(|ahead| there >= ahead.quota(size)) {
            passed += 1;
            continue;
        }
        let goal = goal(input, view, there, passed).max(there + 1);
        sizes.push(goal - there);
        there = goal;
    }
    sizes
}

/// Returns where the step ends that `record` has released. In a fleet that is scaled meanwhile it ends
/// where it is: what is left to replace is counted anew.
pub(super) fn goal_of(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    record: &Record,
) -> u32 {
    let size = view.window.size;
    match record.released.filter(|step| is_stepped(input) && step.goal < step.size) {
        None => size,
        Some(step) if step.size == size => step.goal,
        Some(step) => step.goal.min(there(input, view, status)).min(size),
    }
}

/// Returns the checkpoint that is reached, with a step over.
pub(super) fn checkpoint_reached(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
) -> Option<Checkpoint> {
    let size = view.window.size;
    pace::checkpoint(input).filter(|ahead| there(input, view, status) >= ahead.quota(size))
}

/// Says that the controller has asked for more than the step. Without a partition that only happens
/// where an instance is available before the controller could be paused.
pub(super) fn overtaken(status: &ControllerStatus, record: &Record) -> Option<String> {
    let goal = record.released?.goal;
    let asked = status.asked;
    (asked > goal).then(|| match status.partition {
        Some(_) => format!(
            "somebody has lowered the partition, so that {asked} instances may be replaced, {goal} were \
             to be"
        ),
        None => format!(
            "the controller has gone on to {asked} instances of the revision, {goal} were to be replaced \
             before it was paused: an instance was available before that"
        ),
    })
}

/// Has the engine look again soon.
pub(super) fn look_soon(input: &Input<'_>, plan: &mut Plan) {
    plan.wake_at(Some(input.now + SOON), input.now);
}
