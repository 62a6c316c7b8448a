//! Hooks of the user's: which one is due.
//!
//! This module decides when each is run, and the engine runs it. The record says what is done, and
//! is written before what waits for it: an engine that is killed in between has the same hook run
//! again, with the same id.

mod batch;
mod prepare;

use std::collections::BTreeSet;

use rolling_provider::{InstanceId, Timestamp};

pub(crate) use self::batch::{closes_batch, is_due_in_batch};
pub(crate) use self::prepare::{begin_launches, prepared};
use super::input::Input;
use super::{Plan, Step};
use crate::model::event::Outcome;
use crate::model::spec::{HookPoint, Hooks, Pacing};
use crate::model::wait::{Wait, WaitKind};
use crate::record::hooks::fingerprint;
use crate::record::{HookRecord, Record};
use crate::rollout::state::HookRun;

/// Returns what the record of a rollout that begins says of hooks.
///
/// A rollout without any says nothing, unless the one before it did: its tag would stay.
pub(crate) fn begin(input: &Input<'_>, previous: Option<&Record>) -> Option<HookRecord> {
    let before = previous.is_some_and(|record| record.hooks.is_some());
    let some = before || input.spec.hooks != Hooks::default();
    some.then(|| HookRecord { since: latest_launch(input), ..HookRecord::default() })
}

/// Brings what the record of a rollout under way says of hooks up to date, as `hooks`.
///
/// A document that has hooks only now has them from here on.
pub(crate) fn standing(input: &Input<'_>, hooks: Option<HookRecord>) -> Option<HookRecord> {
    hooks.or_else(|| begin(input, None).map(|hooks| HookRecord { began: true, ..hooks }))
}

/// Returns what stands once the rollout has turned back.
pub(crate) fn turned(hooks: HookRecord) -> HookRecord {
    let open = HookRecord { open: false, healthy: false, turned: false, ..hooks };
    open.unprepared()
}

/// Runs `before_rollout`, once the record stands and before anything else does.
///
/// Returns whether the rollout waits for it.
pub(crate) fn before_rollout(input: &Input<'_>, record: &mut Record, plan: &mut Plan) -> bool {
    let Some(hooks) = &mut record.hooks else { return false };
    let forward = input.state.direction.rolls_back.is_none();
    if hooks.began || !forward || input.spec.hooks.at(HookPoint::BeforeRollout).is_none() {
        return false;
    }
    if is_done(input, hooks, HookPoint::BeforeRollout) {
        *hooks = HookRecord { began: true, ..hooks.clone() }.next();
        return false;
    }
    if input.state.record.as_ref() == Some(record) {
        ask(input, HookPoint::BeforeRollout, BTreeSet::new(), None, plan);
    } else {
        plan.actions.push(Step::record(record.clone()));
    }
    true
}

/// Whether `before_rollback` is due, and has to be over before anything but requests goes back.
///
/// Notes in `record` that it is done.
pub(crate) fn before_rollback(input: &Input<'_>, record: &mut Record) -> bool {
    let Some(hooks) = &mut record.hooks else { return false };
    let back = input.state.direction.rolls_back.is_some();
    if hooks.turned || !back || input.spec.hooks.at(HookPoint::BeforeRollback).is_none() {
        return false;
    }
    if is_done(input, hooks, HookPoint::BeforeRollback) {
        *hooks = HookRecord { turned: true, ..hooks.clone() }.next();
        return false;
    }
    true
}

/// Runs `before_rollback`, once the record that says where the rollout goes is there.
pub(crate) fn ask_before_rollback(input: &Input<'_>, plan: &mut Plan) {
    if plan.actions.is_empty() {
        ask(input, HookPoint::BeforeRollback, BTreeSet::new(), None, plan);
    }
}

/// Runs `after_rollout`, with everything done that leads to `outcome`, but before the record says so.
///
/// Returns whether the end waits for it.
pub(crate) fn after_rollout(input: &Input<'_>, outcome: Outcome, plan: &mut Plan) -> bool {
    let hooks = input.state.record.as_ref().and_then(|record| record.hooks.as_ref());
    let Some(hooks) = hooks else { return false };
    let there = input.spec.hooks.at(HookPoint::AfterRollout).is_some();
    if !there || is_done(input, hooks, HookPoint::AfterRollout) {
        return false;
    }
    ask(input, HookPoint::AfterRollout, BTreeSet::new(), Some(outcome), plan);
    true
}

/// Whether the hook at `point` has been run since the record was last written.
fn is_done(input: &Input<'_>, hooks: &HookRecord, point: HookPoint) -> bool {
    input.state.hooks.done == Some((point, hooks.number))
}

/// Has the hook at `point` run, and waits for it. The record must be there.
fn ask(
    input: &Input<'_>,
    point: HookPoint,
    instances: BTreeSet<InstanceId>,
    outcome: Option<Outcome>,
    plan: &mut Plan,
) {
    let Input { spec, look, state, now, .. } = *input;
    let Some(hook) = spec.hooks.at(point) else { return };
    let Some(record) = &state.record else { return };
    let Some(hooks) = &record.hooks else { return };
    let mut id = format!("{}.{}.{}", record.id, point.name(), hooks.number);
    if !instances.is_empty() {
        id = format!("{id}.{}", fingerprint(&instances));
    }
    plan.wait(Wait {
        kind: WaitKind::Hook,
        instances: instances.iter().cloned().collect(),
        detail: Some(format!("{}: {hook}", point.name())),
        deadline: state.hooks.asked.unwrap_or(now) + hook.longest(),
    });
    let zone = |id: &InstanceId| look.instances.get(id).map(|instance| instance.zone.clone());
    let zoned = instances.into_iter().map(|id| {
        let zone = zone(&id).unwrap_or_default();
        (id, zone)
    });
    plan.hook = Some(HookRun {
        point,
        id,
        number: hooks.number,
        rollout: record.id.clone(),
        batch: hooks.batch,
        instances: zoned.collect(),
        outcome,
    });
}

/// Returns when the newest instance of the fleet was launched, by the cloud's clock.
fn latest_launch(input: &Input<'_>) -> Option<Timestamp> {
    input.look.instances.values().filter_map(|instance| instance.launched_at).max()
}

/// Whether hooks go by batches here.
fn has_batches(input: &Input<'_>) -> bool {
    input.spec.pacing == Pacing::Batch && input.spec.hooks.follow_batches()
}
