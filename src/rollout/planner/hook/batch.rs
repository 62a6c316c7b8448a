//! The hooks at the end of a batch: `after_healthy`, then `after_batch`.
//!
//! What a batch has launched is what the cloud has launched since the one before it, and what it has
//! updated in place are the instances that it chose. So an engine that comes after a crash has them
//! run for the same instances.

use std::collections::BTreeSet;

use rolling_provider::InstanceId;

use super::super::input::Input;
use super::super::{Member, Plan, Step, View};
use super::ask::{ask, has_batches, is_done, latest_launch};
use crate::model::spec::HookPoint;
use crate::record::{HookRecord, Record};

/// What is left of a batch.
enum Left {
    /// Nothing, or it is under way.
    Nothing,
    /// This hook, for these instances.
    Hook(HookPoint, BTreeSet<InstanceId>),
    /// To say that it is over.
    End,
}

/// Whether a batch is over but for its hooks: nothing more begins before they are done.
pub(crate) fn is_due_in_batch(input: &Input<'_>, view: &View<'_>) -> bool {
    !matches!(left(input, view), Left::Nothing)
}

/// Runs the hooks at the end of a batch, one after the other.
///
/// Returns whether one of them is due, or the record has yet to say that it is done.
pub(crate) fn closes_batch(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) -> bool {
    let Some(record) = &input.state.record else { return false };
    let Some(hooks) = &record.hooks else { return false };
    let (point, instances) = match left(input, view) {
        Left::Nothing => return false,
        Left::End => {
            plan.batch_ends = input.state.batch.open;
            plan.actions.push(with_hooks(record, closed(input, hooks)));
            return true;
        }
        Left::Hook(point, instances) => (point, instances),
    };
    let is_over = point == HookPoint::AfterBatch;
    plan.batch_ends = is_over && input.state.batch.open;
    if !is_done(input, hooks, point) {
        ask(input, point, instances, None, plan);
        return true;
    }
    let done = match !is_over && hooks.open {
        true => HookRecord { healthy: true, ..hooks.clone() },
        false => closed(input, hooks),
    };
    plan.actions.push(with_hooks(record, done.next()));
    true
}

fn with_hooks(record: &Record, hooks: HookRecord) -> Step {
    Step::record(Record { hooks: Some(hooks), ..record.clone() })
}

/// Returns what stands once a batch is over.
fn closed(input: &Input<'_>, hooks: &HookRecord) -> HookRecord {
    let since = hooks.since.max(latest_launch(input));
    HookRecord { open: false, healthy: false, since, ..hooks.clone() }
}

fn left(input: &Input<'_>, view: &View<'_>) -> Left {
    let hooks = input.state.record.as_ref().and_then(|record| record.hooks.as_ref());
    let Some(hooks) = hooks.filter(|_| has_batches(input) && view.busy() == 0) else {
        return Left::Nothing;
    };
    let is_there = |point| input.spec.hooks.at(point).is_some();
    let fresh = fresh(input, view, hooks);
    if hooks.open && !has_begun(input, view, hooks, &fresh) {
        return Left::Nothing;
    }
    if is_there(HookPoint::AfterHealthy) && !hooks.healthy && !fresh.is_empty() {
        return Left::Hook(HookPoint::AfterHealthy, fresh);
    }
    match hooks.open {
        true if is_there(HookPoint::AfterBatch) => Left::Hook(HookPoint::AfterBatch, fresh),
        true => Left::End,
        false => Left::Nothing,
    }
}

/// Returns the new instances of the current batch, or of others' doing since the last one.
fn fresh(input: &Input<'_>, view: &View<'_>, hooks: &HookRecord) -> BTreeSet<InstanceId> {
    let is_of_it = |member: &&Member<'_>| match input.is_in_place() {
        true => hooks.open && hooks.group.has(member.id).unwrap_or(true),
        false => member.instance.launched_at.is_none_or(|at| hooks.since.is_none_or(|s| at > s)),
    };
    let new = view.members.iter().filter(|m| m.is_new && !m.failed && m.soaked);
    new.filter(is_of_it).map(|member| member.id.clone()).collect()
}

/// Whether the batch of the record has done anything: the engine before this one may have been
/// killed between the two.
fn has_begun(
    input: &Input<'_>,
    view: &View<'_>,
    hooks: &HookRecord,
    fresh: &BTreeSet<InstanceId>,
) -> bool {
    if input.state.batch.number > 0 {
        return true;
    }
    let stay = |member: &Member<'_>| hooks.group.has(member.id) == Some(true);
    let is_known = !hooks.group.is_empty() && !hooks.group.is_large();
    !view.candidates().any(stay) && (is_known || !fresh.is_empty())
}
