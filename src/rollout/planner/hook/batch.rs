//! The hooks at the end of a batch: `after_healthy`, then `after_batch`.
//!
//! The instances that a batch has launched are all that the cloud has launched since the batch before,
//! by its clock, and all that this engine has seen appear since it began the batch: clouds tell whole
//! seconds, and a batch may end in the second in which the next one launches. Those that a batch has updated in place are its victims. So an engine that takes over after a crash
//! has the hooks run for the same instances.

use std::collections::BTreeSet;

use rolling_provider::InstanceId;

use super::super::input::Input;
use super::super::{Member, Plan, Step, View};
use super::ask::{ask, group_for, has_batches};
use super::noted::closed;
use crate::model::spec::HookPoint;
use crate::record::{HookRecord, InstanceSet, Record};
use crate::rollout::state::OpenBatch;

/// What is left of a batch.
enum BatchRemainder {
    /// Nothing, or it is under way.
    Nothing,
    /// This hook, for these instances.
    Hook(HookPoint, BTreeSet<InstanceId>),
    /// To say that it is over.
    End,
}

/// Whether a batch is over but for its hooks: nothing more begins before they are done.
pub(crate) fn is_due_in_batch(input: &Input<'_>, view: &View<'_>) -> bool {
    input.state.hooks.ends_batch() || !matches!(left(input, view), BatchRemainder::Nothing)
}

/// Runs the hooks at the end of a batch, one after the other.
///
/// Returns whether one of them is due, or the record has yet to say that it is done.
pub(crate) fn closes_batch(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) -> bool {
    let Some(record) = &input.state.record else { return false };
    let Some(hooks) = &record.hooks else { return false };
    if input.state.hooks.ends_batch() {
        return true;
    }
    let mut now = hooks.clone();
    match left(input, view) {
        BatchRemainder::Nothing => return false,
        BatchRemainder::End => {
            plan.batch_ends = input.state.batch.open;
            now = closed(input, now, &fresh(input, view, hooks));
        }
        BatchRemainder::Hook(point, instances) => {
            plan.batch_ends = point == HookPoint::AfterBatch && input.state.batch.open;
            let instances = group_for(&mut now, point, instances);
            if now == *hooks {
                ask(input, point, instances, None, plan);
            }
        }
    }
    if now != *hooks {
        plan.actions.push(Step::record(Record { hooks: Some(now), ..record.clone() }));
    }
    true
}

fn left(input: &Input<'_>, view: &View<'_>) -> BatchRemainder {
    let hooks = input.state.record.as_ref().and_then(|record| record.hooks.as_ref());
    // Pods that end are no part of what a controller does for a batch.
    let busy = match &input.look.controller {
        Some(_) => view.unsoaked().count() + view.missing as usize,
        None => view.busy(),
    };
    let Some(hooks) = hooks.filter(|_| has_batches(input) && busy == 0) else {
        return BatchRemainder::Nothing;
    };
    let is_there = |point| input.spec.hooks.at(point).is_some();
    let fresh = fresh(input, view, hooks);
    if hooks.open && !has_begun(input, view, hooks, &fresh) {
        return BatchRemainder::Nothing;
    }
    let is_begun = hooks.open && hooks.point == Some(HookPoint::AfterBatch);
    if is_begun
        && (!hooks.group.matching(&fresh).is_empty() || hooks.group == InstanceSet::of(&fresh))
    {
        // An engine before this one was killed while it was run.
        return BatchRemainder::Hook(HookPoint::AfterBatch, fresh);
    }
    let waiting: BTreeSet<InstanceId> =
        fresh.iter().filter(|id| !is_after_healthy_done(input, hooks, id)).cloned().collect();
    if is_there(HookPoint::AfterHealthy) && !waiting.is_empty() {
        return BatchRemainder::Hook(HookPoint::AfterHealthy, waiting);
    }
    match hooks.open {
        true if is_there(HookPoint::AfterBatch) => {
            BatchRemainder::Hook(HookPoint::AfterBatch, fresh)
        }
        true => BatchRemainder::End,
        false => BatchRemainder::Nothing,
    }
}

/// Returns the new instances of the current batch, or of others' doing since the last one.
fn fresh(input: &Input<'_>, view: &View<'_>, hooks: &HookRecord) -> BTreeSet<InstanceId> {
    let is_of_it = |member: &&Member<'_>| match input.is_in_place() {
        true => hooks.open && is_member(input, hooks, member.id),
        false => {
            member.instance.launched_at.is_none_or(|at| hooks.since.is_none_or(|s| at > s))
                || begun_here(input).is_some_and(|batch| !batch.there.contains(member.id))
        }
    };
    let new = view.members.iter().filter(|m| m.is_new && !m.failed && m.soaked);
    new.filter(is_of_it).map(|member| member.id.clone()).collect()
}

/// Returns the current batch, where this engine has begun it.
fn begun_here<'a>(input: &'a Input<'_>) -> Option<&'a OpenBatch> {
    input.state.hooks.batch.as_ref().filter(|batch| !batch.continues)
}

/// Whether `id` was chosen in the current batch. Of a batch that is too large to be named in the
/// record, and that an engine before this one has begun, every instance is.
fn is_member(input: &Input<'_>, hooks: &HookRecord, id: &InstanceId) -> bool {
    match begun_here(input) {
        Some(batch) => batch.victims.contains(id),
        None => hooks.members.has(id).unwrap_or(true),
    }
}

/// Whether `after_healthy` is done for `id`.
fn is_after_healthy_done(input: &Input<'_>, hooks: &HookRecord, id: &InstanceId) -> bool {
    let launched = input.look.instances.get(id).and_then(|instance| instance.launched_at);
    let by_record = match (hooks.after_healthy_done, input.is_in_place()) {
        (None, _) => false,
        (Some(_), true) => true,
        (Some(after_healthy_done), false) => launched.is_some_and(|at| at <= after_healthy_done),
    };
    by_record || input.state.hooks.after_healthy_done.contains(id)
}

/// Whether the batch of the record has done anything: its launch may be refused, all its victims may
/// have been released, and the engine before this one may have been killed before it took one out.
fn has_begun(
    input: &Input<'_>,
    view: &View<'_>,
    hooks: &HookRecord,
    fresh: &BTreeSet<InstanceId>,
) -> bool {
    if let Some(batch) = begun_here(input) {
        return batch.has_launched || !batch.victims.is_empty() || !fresh.is_empty();
    }
    let stay = |member: &Member<'_>| hooks.members.has(member.id) == Some(true);
    let is_known = !hooks.members.is_empty() && !hooks.members.is_large();
    !view.candidates().any(stay) && (is_known || !fresh.is_empty())
}
