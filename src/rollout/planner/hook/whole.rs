//! The hooks of a whole rollout: `before_rollout`, `before_rollback` and `after_rollout`.

use std::collections::BTreeSet;

use rolling_provider::Timestamp;

use super::super::input::Input;
use super::super::{Plan, Step};
use super::ask::ask;
use super::noted::noted;
use super::open_batch::catch_up;
use crate::model::event::Outcome;
use crate::model::spec::{HookPoint, Hooks};
use crate::record::{HookRecord, Record};

/// Returns what the record of a rollout that begins says of hooks.
///
/// A rollout without any says nothing, unless the one before it did: its tag would stay.
pub(crate) fn begin(input: &Input<'_>, previous: Option<&Record>) -> Option<HookRecord> {
    let before = previous.is_some_and(|record| record.hooks.is_some());
    let some = before || input.spec.hooks != Hooks::default();
    some.then(|| HookRecord { since: newest_of_revision(input), ..HookRecord::default() })
}

/// Brings what the record of a rollout under way says of hooks up to date, as `hooks`.
///
/// A document that has hooks only now has them from here on.
pub(crate) fn standing(input: &Input<'_>, hooks: Option<HookRecord>) -> Option<HookRecord> {
    let hooks = hooks.map(|hooks| noted(input, hooks));
    let late = || begin(input, None).map(|hooks| HookRecord { began: true, ..hooks });
    hooks.or_else(late).map(|hooks| catch_up(input, hooks))
}

/// Returns what stands once the rollout has turned back.
pub(crate) fn going_back(input: &Input<'_>, hooks: HookRecord) -> HookRecord {
    let (open, after_healthy_done, point) = (false, None, None);
    let since = hooks.since.max(newest_of_revision(input));
    HookRecord {
        open,
        after_healthy_done,
        point,
        since,
        went_back: false,
        prepared: false,
        ..hooks
    }
    .next()
}

/// Returns when the newest instance of the revision was launched, by the cloud's clock.
///
/// Others do not count: clouds tell whole seconds, and one that is replaced may have been launched in
/// the same second as the first that replaces it.
fn newest_of_revision(input: &Input<'_>) -> Option<Timestamp> {
    let of_revision = input.look.instances.values().filter(|it| input.target.wants(it));
    of_revision.filter_map(|instance| instance.launched_at).max()
}

/// Whether `before_rollout` is due, by what `record` says: nothing else comes before it.
pub(crate) fn before_rollout(input: &Input<'_>, record: &Record) -> bool {
    let Some(hooks) = &record.hooks else { return false };
    let forward = input.state.direction.rolls_back.is_none();
    forward && !hooks.began && input.spec.hooks.at(HookPoint::BeforeRollout).is_some()
}

/// Runs `before_rollout`, once the record stands.
pub(crate) fn ask_before_rollout(input: &Input<'_>, record: &Record, plan: &mut Plan) {
    if input.state.record.as_ref() == Some(record) {
        ask(input, HookPoint::BeforeRollout, BTreeSet::new(), None, plan);
    } else {
        plan.actions.push(Step::record(record.clone()));
    }
}

/// Whether `before_rollback` is due, by what `record` says. What only restores may come before it.
pub(crate) fn before_rollback(input: &Input<'_>, record: &Record) -> bool {
    let Some(hooks) = &record.hooks else { return false };
    let back = input.state.direction.rolls_back.is_some();
    back && !hooks.went_back && input.spec.hooks.at(HookPoint::BeforeRollback).is_some()
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
    let is_done = input.state.hooks.done.as_ref().is_some_and(|done| {
        done.point == HookPoint::AfterRollout
            && (done.number, done.outcome) == (hooks.number, Some(outcome))
    });
    if !there || is_done {
        return false;
    }
    ask(input, HookPoint::AfterRollout, BTreeSet::new(), Some(outcome), plan);
    true
}
