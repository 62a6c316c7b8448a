//! Notes in the record which batch begins, before anything of it is done.

use std::collections::BTreeSet;

use rolling_provider::InstanceId;

use super::super::input::Input;
use super::ask::has_batches;
use crate::model::spec::HookPoint;
use crate::record::{HookRecord, InstanceSet, Record};

/// Whether a hook is run at the end of a batch.
fn has_end(input: &Input<'_>) -> bool {
    let ends = [HookPoint::AfterHealthy, HookPoint::AfterBatch];
    ends.into_iter().any(|point| input.spec.hooks.at(point).is_some())
}

/// Returns the number that `record` has for the batch that begins, where hooks go by batches.
pub(crate) fn batch_number(input: &Input<'_>, record: Option<&Record>) -> Option<u32> {
    let hooks = record.and_then(|record| record.hooks.as_ref());
    hooks.filter(|_| has_batches(input)).map(|hooks| hooks.batch)
}

/// Notes that a batch begins that only launches instances.
pub(crate) fn begin_launches(input: &Input<'_>, hooks: Option<&mut HookRecord>) {
    if let Some(hooks) = hooks.filter(|_| has_batches(input)) {
        begin(input, &BTreeSet::new(), hooks);
    }
}

/// Notes that a batch begins with those `chosen`.
pub(super) fn begin_batch(
    input: &Input<'_>,
    chosen: &BTreeSet<InstanceId>,
    hooks: &mut HookRecord,
) {
    let is_forward = input.state.direction.halt.is_none();
    if !chosen.is_empty() && is_forward && has_batches(input) {
        begin(input, chosen, hooks);
    }
}

/// Notes the batch under way, where the record that was to say so was not written.
pub(super) fn catch_up(input: &Input<'_>, mut hooks: HookRecord) -> HookRecord {
    let Some(batch) = &input.state.hooks.batch else { return hooks };
    let recorded = input.state.record.as_ref().and_then(|record| record.hooks.as_ref());
    // A batch that is open in the stored record, but not in `hooks`, has just ended.
    let is_there = |it: &HookRecord| it.batch >= batch.number && (it.open || !has_end(input));
    let is_named = |id| hooks.members.has(id).unwrap_or(true);
    if !recorded.is_some_and(is_there) {
        hooks.batch = batch.number;
        put(input, InstanceSet::of(&batch.victims), &mut hooks);
    } else if hooks.open && !batch.victims.iter().all(is_named) {
        let members = hooks.members.with(&batch.victims);
        put(input, members, &mut hooks);
    }
    hooks
}

/// A batch that an engine before this one had begun is the same batch.
fn begin(input: &Input<'_>, chosen: &BTreeSet<InstanceId>, hooks: &mut HookRecord) {
    let is_first = input.state.batch.number == 0;
    let repeats = is_first && !chosen.is_empty() && hooks.members == InstanceSet::of(chosen);
    if hooks.open || (repeats && !has_end(input)) {
        put(input, hooks.members.with(chosen), hooks);
    } else {
        hooks.batch += 1;
        put(input, InstanceSet::of(chosen), hooks);
    }
}

fn put(input: &Input<'_>, members: InstanceSet, hooks: &mut HookRecord) {
    if input.is_in_place() && members != hooks.members {
        hooks.after_healthy_done = None;
    }
    hooks.open = has_end(input);
    *hooks = hooks.clone().with_members(members);
}
