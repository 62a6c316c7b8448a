//! The record of a rollout by a controller.

use rolling_provider::{ControllerSettings, ControllerStatus};

use super::super::input::Input;
use super::super::{Plan, Step, View, borrow, hook, pace};
use super::phase::phase;
use super::step::{self, ControllerPhase};
use crate::record::command::Command;
use crate::record::{BorrowedSettings, Record};

/// Plans the record that must stand before anything else, and what comes before it. Returns the record
/// that stands after this plan.
pub(super) fn note(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    plan: &mut Plan,
) -> Record {
    let mut record = borrow::standing(input, view);
    record.hooks = hook::standing(input, record.hooks.take());
    if hook::before_rollout(input, &record) {
        hook::ask_before_rollout(input, &record, plan);
        return record;
    }
    borrow::count_failed(input, &mut record);
    let mut record = past_checkpoint(input, view, status, record);
    record.size = input.state.size(input.look);
    let turns = input.state.record.as_ref().is_some_and(|found| {
        found.rolls_back != record.rolls_back || found.generation != record.generation
    });
    if turns {
        record.released = None;
    }
    let borrowed = record.borrowed.controller.unwrap_or(BorrowedSettings {
        found: status.settings,
        before: status.settings,
        ours: status.settings,
    });
    record.borrowed.controller = Some(borrowed);
    if input.state.record.as_ref() != Some(&record) {
        plan.actions.push(Step::record(record.clone()));
    }
    record
}

/// Passes the checkpoint when its time is over, or when somebody resumes the rollout.
fn past_checkpoint(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    record: Record,
) -> Record {
    let resumed =
        input.state.control.as_ref().is_some_and(|control| control.command == Command::Resume);
    // Whoever resumes a rollout before that approves of nothing.
    let is_over = phase(input, view, status, &record) == ControllerPhase::StepDone;
    let reached = step::checkpoint_reached(input, view, status).is_some() && is_over;
    let expired = pace::expired(input).is_some_and(|expiry| !expiry.rolls_back) && reached;
    let at_checkpoint = reached || record.reached_at().is_some();
    match pace::checkpoint(input).is_some() && (expired || (resumed && at_checkpoint)) {
        true => record.past_checkpoint(),
        false => record,
    }
}

/// Returns `record` before the controller is given `settings`.
pub(super) fn with_settings(
    record: &Record,
    status: &ControllerStatus,
    settings: ControllerSettings,
) -> Record {
    let mut record = record.clone();
    let known = record.borrowed.controller;
    // What somebody has set since, for instance during a pause, is theirs from here on.
    let found = restored(&record, status.settings);
    let before = known.map_or(status.settings, |known| match known.ours == settings {
        true => known.before,
        // What the record says last need never have been set.
        false => status.settings,
    });
    record.borrowed.controller = Some(BorrowedSettings { found, before, ours: settings });
    record
}

/// Returns the settings with everything put back that still is as the rollout has set it.
pub(super) fn restored(record: &Record, now: ControllerSettings) -> ControllerSettings {
    let Some(BorrowedSettings { found, before, ours }) = record.borrowed.controller else {
        return now;
    };
    fn back<T: Copy + PartialEq>(now: T, found: T, ours: [T; 2]) -> T {
        if ours.contains(&now) { found } else { now }
    }
    let surge = back(now.surge, found.surge, [before.surge, ours.surge]);
    let unavailable =
        back(now.unavailable, found.unavailable, [before.unavailable, ours.unavailable]);
    let min_ready_seconds = back(
        now.min_ready_seconds,
        found.min_ready_seconds,
        [before.min_ready_seconds, ours.min_ready_seconds],
    );
    let deadline_seconds = back(
        now.deadline_seconds,
        found.deadline_seconds,
        [before.deadline_seconds, ours.deadline_seconds],
    );
    ControllerSettings { surge, unavailable, min_ready_seconds, deadline_seconds }
}
