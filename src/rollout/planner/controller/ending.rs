//! Ends a rollout by a controller early: after a failure, at a pause, or because somebody asks.

use rolling_provider::{Action, ControllerStatus};

use super::super::input::Input;
use super::super::{Plan, Step, Verdict, View, hook, launch};
use super::conclude::{put_back, wait_for_change};
use super::step::{self, ControllerPhase};
use crate::model::event::Outcome;
use crate::record::{Ending, HookRecord, Phase, Record};
use crate::rollout::control::CommandEffect;
use crate::rollout::state::Halt;

/// Plans one tick of the way to an early end.
pub(super) fn plan(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    halt: &Halt,
) -> Plan {
    let mut plan = Plan::waiting();
    let record = input.state.record.as_ref().filter(|record| !is_halted(record, halt));
    let Some(record) = record else {
        plan.verdict = Verdict::Halted;
        return plan;
    };
    let out_of_time = halt.until.is_some_and(|until| input.now >= until);
    note(input, record, halt, &mut plan);
    match before_end(input, view, status, record, halt, out_of_time) {
        BeforeEnd::Step(step) if !is_refused(input, &step.action) => plan.actions.push(*step),
        BeforeEnd::Wait(what) if !out_of_time => wait_for_change(input, what, &mut plan),
        BeforeEnd::Step(_) | BeforeEnd::Wait(_) | BeforeEnd::Nothing => {}
    }
    if matches!(before_end(input, view, status, record, halt, out_of_time), BeforeEnd::Wait(_)) {
        step::look_soon(input, &mut plan);
    }
    plan.wake_at(halt.until, input.now);
    if plan.actions.is_empty() && plan.waiting_on.is_empty() {
        end(input, view, status, record, halt, out_of_time, &mut plan);
    }
    plan
}

/// What the controller is still to be told, or to show.
enum BeforeEnd {
    Step(Box<Step>),
    Wait(&'static str),
    Nothing,
}

/// Returns what comes before the end.
fn before_end(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    record: &Record,
    halt: &Halt,
    out_of_time: bool,
) -> BeforeEnd {
    let has_begun = input.look.template.as_ref() == Some(&record.to)
        || (record.rolls_back && input.look.template == record.completed);
    let pauses = has_begun && !status.complete;
    let pause = || Step::new(Action::SetRollout { to: None, settings: None, paused: Some(true) });
    let stops = match halt.ending {
        Ending::Paused | Ending::Aborted => pauses,
        // What goes on by itself goes on. A step ends where it was to end.
        Ending::Interrupted if pauses && step::is_stepped(input) && !status.paused => {
            let phase = step::phase(input, view, status, record);
            if matches!(phase, ControllerPhase::InStep | ControllerPhase::Unseen) && !out_of_time {
                return BeforeEnd::Wait("the controller's step");
            }
            true
        }
        Ending::Interrupted => return BeforeEnd::Nothing,
        // Kubernetes goes on trying, within the owner's own bounds.
        Ending::Failed | Ending::Unrestored => false,
    };
    match stops {
        true if !status.paused => BeforeEnd::Step(Box::new(pause())),
        true if !status.observed => BeforeEnd::Wait("the controller's pause"),
        true => BeforeEnd::Nothing,
        false => match put_back(status, record) {
            Some(step) => BeforeEnd::Step(Box::new(step)),
            None if !status.observed => BeforeEnd::Wait("what is put back"),
            None => BeforeEnd::Nothing,
        },
    }
}

fn is_refused(input: &Input<'_>, action: &Action) -> bool {
    input.state.failures.refused.iter().any(|(refused, _)| refused == action)
}

/// Whether `record` says that this halt is over.
fn is_halted(record: &Record, halt: &Halt) -> bool {
    let over = matches!(record.phase, Phase::Halted(ending) if ending != Ending::Paused);
    over || record.phase == Phase::Halted(halt.ending)
}

/// Writes the halt, and the command that it acknowledges, into the record.
fn note(input: &Input<'_>, record: &Record, halt: &Halt, plan: &mut Plan) {
    let state = input.state;
    let phase = Phase::Halting(halt.ending);
    let control = state.control.as_ref();
    let control = control.filter(|it| state.effect(it.command) != CommandEffect::Later);
    let unanswered = control.is_some_and(|control| !control.is_acknowledged(Some(record)));
    if record.phase == phase && !unanswered {
        return;
    }
    let passes = halt.at_checkpoint && record.phase != phase;
    let record = if passes { record.clone().past_checkpoint() } else { record.clone() };
    plan.actions.push(Step::record(Record {
        phase,
        fault: halt.fault,
        acknowledged: record.acknowledge(control.map(|control| control.id.as_str())),
        reason: Some(halt.reason.clone()),
        hooks: record.hooks.clone().map(HookRecord::unprepared),
        ..record
    }));
}

/// Ends where nothing is left to do or to wait for.
fn end(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    record: &Record,
    halt: &Halt,
    out_of_time: bool,
    plan: &mut Plan,
) {
    let outcome = match halt.ending {
        Ending::Failed => Some(Outcome::Failed),
        Ending::Aborted => Some(Outcome::Aborted),
        Ending::Unrestored if input.state.failures.refused.is_empty() => {
            Some(input.outcome_when_done())
        }
        Ending::Paused | Ending::Interrupted | Ending::Unrestored => None,
    };
    let outcome = outcome.filter(|_| !out_of_time);
    if outcome.is_some_and(|outcome| hook::after_rollout(input, outcome, plan)) {
        return;
    }
    if !input.state.failures.refused.is_empty() {
        plan.verdict = Verdict::Halted;
        return;
    }
    plan.actions.extend(last(input, view, status, record, halt));
}

/// Returns the last step: the final record, or its removal when it has nothing left to say.
fn last(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    record: &Record,
    halt: &Halt,
) -> Vec<Step> {
    let phase = Phase::Halted(halt.ending);
    if halt.ending == Ending::Paused {
        let pause_changed_at = Some(input.now);
        return vec![Step::record(Record { phase, pause_changed_at, ..record.clone() })];
    }
    // A fleet that runs only the completed revision, and is to, is as it was before.
    let is_as_before = record.completed.is_some()
        && input.look.template == record.completed
        && !status.paused
        && view.members.iter().all(|member| member.instance.revision == record.completed);
    if is_as_before || halt.is_unrestored() {
        return launch::erase(input, record);
    }
    let hooks = record.hooks.clone().map(HookRecord::next);
    // Its bounds are put back where the controller goes on: a controller that stays paused keeps
    // them, and the record what they were.
    let mut borrowed = record.borrowed.clone();
    if !status.paused && halt.ending == Ending::Failed {
        borrowed.controller = None;
    }
    vec![Step::record(Record { phase, borrowed, hooks, ..record.clone() })]
}
