//! The hooks of a whole rollout: `before_rollout`, `before_rollback` and `after_rollout`.

use std::collections::BTreeSet;

use super::super::input::Input;
use super::super::{Plan, Step};
use super::ask::{ask, is_done, latest_launch};
use crate::model::event::Outcome;
use crate::model::spec::{HookPoint, Hooks};
use crate::record::{HookRecord, Record};

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
pub(crate) fn going_back(hooks: HookRecord) -> HookRecord {
    let open = HookRecord { open: false, healthy: false, went_back: false, ..hooks };
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
    if hooks.went_back || !back || input.spec.hooks.at(HookPoint::BeforeRollback).is_none() {
        return false;
    }
    if is_done(input, hooks, HookPoint::BeforeRollback) {
        *hooks = HookRecord { went_back: true, ..hooks.clone() }.next();
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
