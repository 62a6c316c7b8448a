//! Plans a rollout that the platform's own controller carries out, within bounds that this program
//! gives it.
//!
//! The controller knows neither checkpoints nor gates. Where a rollout has to wait somewhere, it goes
//! in steps: the controller may replace the instances of one step, and goes on once they are available
//! and nothing else is waited for. A controller with a partition ends a step by itself; another one is
//! paused as soon as it has asked for all instances of the step. A rollout that waits nowhere is one
//! step, which goes on whether or not anybody watches it.

mod conclude;
mod ending;
mod failed;
mod obstacle;
mod partition;
mod phase;
mod preview;
mod settings;
mod standing;
mod step;

use std::collections::BTreeSet;

use rolling_provider::{Action, ControllerSettings, ControllerStatus, Extent, Revision};

pub(super) use self::preview::preview;
use self::settings::released_settings;
use self::standing::{note, with_settings};
use self::step::ControllerPhase;
use super::input::Input;
use super::{
    BatchStart, Plan, Step, Verdict, View, between_batches, gate, hook, is_converged,
    stop_conditions,
};
use crate::record::Record;

/// Plans one tick of a fleet with a controller.
pub(super) fn plan(input: &Input<'_>, view: &View<'_>, status: &ControllerStatus) -> Plan {
    match &input.state.direction.halt {
        Some(halt) => match stop_conditions::apply_command(input) {
            Some(verdict) => Plan { verdict, ..Plan::waiting() },
            None => ending::plan(input, view, status, halt),
        },
        None => rolling(input, view, status),
    }
}

/// Plans a rollout that goes forward, or back.
fn rolling(input: &Input<'_>, view: &View<'_>, status: &ControllerStatus) -> Plan {
    let mut plan = Plan::waiting();
    if input.state.over || (input.state.record.is_none() && is_converged(input)) {
        plan.verdict = Verdict::Converged;
        return plan;
    }
    let verdict = stop_conditions::apply_command(input);
    if let Some(verdict) = verdict.or_else(|| obstacle::check(input, view, status)) {
        plan.verdict = verdict;
        return plan;
    }
    failed::retire(input, view, &mut plan);
    if !plan.actions.is_empty() {
        return plan;
    }
    if input.state.standing(input.target).is_none() && gate::is_closed(input, view) {
        gate::ask(input, view, &mut plan);
        return plan;
    }
    let record = note(input, view, status, &mut plan);
    if !plan.actions.is_empty() || hook::before_rollout(input, &record) {
        return plan;
    }
    if hook::before_rollback(input, &record) {
        hook::ask_before_rollback(input, &mut plan);
        return plan;
    }
    advance(input, view, status, &record, &mut plan);
    plan
}

/// Has the controller do the next thing, or waits for it.
fn advance(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    record: &Record,
    plan: &mut Plan,
) {
    match phase::phase(input, view, status, record) {
        ControllerPhase::Begin => release(input, view, status, record, plan),
        ControllerPhase::Unseen => {
            conclude::wait_for_change(input, "what the controller was told", plan)
        }
        ControllerPhase::GoOn => {
            let settings = released_settings(input, view, record, status);
            let extent = partition::released(view, status, record);
            let record = with_settings(record, status, settings);
            set(input, record, None, settings, extent, plan);
        }
        ControllerPhase::StoppedByOthers => conclude::wait_for_others(input, plan),
        ControllerPhase::InStep => {
            conclude::wait_for_new(input, view, status, plan);
            step::look_soon(input, plan);
        }
        ControllerPhase::ToStop => {
            plan.warning = step::overtaken(status, record);
            let extent = Some(phase::stop(input, view, status));
            plan.actions.push(Step::new(Action::SetRollout { to: None, settings: None, extent }));
        }
        ControllerPhase::Waiting => {
            // Numbers are of the size: a fleet that is scaled meanwhile has others.
            let settings = released_settings(input, view, record, status);
            let ours = record.borrowed.controller.map(|borrowed| borrowed.ours);
            if !step::is_stepped(input) && ours != Some(settings) {
                let record = with_settings(record, status, settings);
                set(input, record, None, settings, Extent::All, plan);
                return;
            }
            failed::unblock(input, view, status, record, plan);
            conclude::wait_for_new(input, view, status, plan);
        }
        // What the fleet misses by somebody else's doing comes first, and may be of the step.
        ControllerPhase::StepDone if view.missing > 0 => {
            conclude::wait_for_new(input, view, status, plan)
        }
        ControllerPhase::StepDone | ControllerPhase::Complete
            if hook::closes_batch(input, view, plan) => {}
        ControllerPhase::StepDone => {
            plan.batch_ends = input.state.batch.open;
            let reached = step::checkpoint_reached(input, view, status);
            if !between_batches::wait_after_batch(input, view, reached, plan) {
                release(input, view, status, record, plan);
            }
        }
        ControllerPhase::Complete => {
            plan.batch_ends = input.state.batch.open;
            conclude::finish(input, view, status, record, plan);
        }
    }
}

/// Lets the controller go for the next step.
fn release(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    record: &Record,
    plan: &mut Plan,
) {
    let next = step::next(input, view, status, record);
    let (step, extent) = partition::release(view, status, next);
    let mut released = Record { released: Some(step), ..record.clone() };
    hook::begin_launches(input, released.hooks.as_mut());
    let number = hook::batch_number(input, Some(&released));
    let settings = released_settings(input, view, &released, status);
    let released = with_settings(&released, status, settings);
    let moves = input.look.template.as_ref() != Some(&input.target.revision);
    let to = moves.then(|| input.target.revision.clone());
    set(input, released, to, settings, extent, plan);
    plan.begins = next.size.filter(|size| *size > 0).map(|size| {
        let begins = BatchStart::of(input, number, BTreeSet::new(), 0);
        BatchStart { at_most: Some(size), ..begins }
    });
}

/// Writes `record`, and has the controller go on as far as `extent`, within `settings`.
fn set(
    input: &Input<'_>,
    record: Record,
    to: Option<Revision>,
    settings: ControllerSettings,
    extent: Extent,
    plan: &mut Plan,
) {
    if input.state.record.as_ref() != Some(&record) {
        plan.actions.push(Step::record(record));
    }
    plan.actions.push(Step::new(Action::SetRollout {
        to,
        settings: Some(settings),
        extent: Some(extent),
    }));
}
