//! Ends a rollout by a controller early: after a failure, at a pause, or because somebody asks.

use rolling_provider::{Action, ControllerStatus, Extent};

use super::super::halt::{is_halted, is_refused, noted, outcome};
use super::super::input::Input;
use super::super::view::has_replaced_all;
use super::super::{Plan, Step, Verdict, View, hook, launch};
use super::conclude::{put_back, wait_for_change};
use super::phase;
use super::step::{self, ControllerPhase};
use crate::model::event::Outcome;
use crate::record::{Ending, HookRecord, Phase, Record};
use crate::rollout::state::Halt;

/// The input of every step of an early end.
struct EndingContext<'a> {
    input: &'a Input<'a>,
    view: &'a View<'a>,
    status: &'a ControllerStatus,
    halt: &'a Halt,
    record: &'a Record,
    /// Whether the time limit of a stop has passed.
    out_of_time: bool,
}

/// What the controller is still to be told, or to show.
enum BeforeEnd {
    Step(Box<Step>),
    Wait(&'static str),
    Nothing,
}

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
    let context = EndingContext { input, view, status, halt, record, out_of_time };
    plan.actions.extend(noted(input, record, halt, false).map(Step::record));
    match context.before_end() {
        BeforeEnd::Step(step) if !is_refused(input, &step.action) => plan.actions.push(*step),
        BeforeEnd::Wait(what) if !out_of_time => {
            wait_for_change(input, what, &mut plan);
            step::look_soon(input, &mut plan);
        }
        _ => {}
    }
    plan.wake_at(halt.until, input.now);
    if plan.actions.is_empty() && plan.waiting_on.is_empty() {
        context.end(&mut plan);
    }
    plan
}

impl EndingContext<'_> {
    /// Returns what comes before the end.
    fn before_end(&self) -> BeforeEnd {
        let EndingContext { input, status, record, .. } = *self;
        let has_begun = input.look.template.as_ref() == Some(&record.to)
            || (record.rolls_back && input.look.template == record.completed);
        let continues = has_begun && !has_replaced_all(input, status);
        match self.halt.ending {
            Ending::Paused | Ending::Aborted if continues => self.stop(),
            // What a gate or a hook has refused must not reach the others by itself.
            Ending::Failed if continues && step::is_stepped(input) => self.stop(),
            // What goes on by itself goes on. A step ends where it was to end.
            Ending::Interrupted if continues && self.is_running_ahead() => {
                let phase = phase::phase(input, self.view, status, record);
                let is_unready = matches!(phase, ControllerPhase::InStep | ControllerPhase::Unseen);
                match is_unready && !self.out_of_time {
                    true => BeforeEnd::Wait("the controller's step"),
                    false => self.stop(),
                }
            }
            Ending::Interrupted => BeforeEnd::Nothing,
            // The controller goes on trying, within the owner's own bounds.
            Ending::Paused | Ending::Aborted | Ending::Failed | Ending::Unrestored => {
                match put_back(status, record) {
                    Some(step) => BeforeEnd::Step(Box::new(step)),
                    None if !status.observed => BeforeEnd::Wait("what is put back"),
                    None => BeforeEnd::Nothing,
                }
            }
        }
    }

    /// Whether the controller would go on beyond the step, with nobody there to pause it.
    fn is_running_ahead(&self) -> bool {
        step::is_stepped(self.input) && self.status.partition.is_none() && !self.status.paused
    }

    /// Has the controller replace nothing more.
    fn stop(&self) -> BeforeEnd {
        let extent = phase::stop(self.input, self.view, self.status);
        let stops = match (self.status.partition, extent) {
            (Some(now), Extent::AllBut(unchanged)) => now >= unchanged,
            (Some(_), _) => true,
            (None, _) => self.status.paused,
        };
        match (stops, self.status.observed) {
            (false, _) => BeforeEnd::Step(Box::new(Step::new(Action::SetRollout {
                to: None,
                settings: None,
                extent: Some(extent),
            }))),
            (true, false) => BeforeEnd::Wait("the controller's pause"),
            (true, true) => BeforeEnd::Nothing,
        }
    }

    /// Ends where nothing is left to do or to wait for.
    fn end(&self, plan: &mut Plan) {
        let is_settled = self.input.state.failures.refused.is_empty();
        let outcome: Option<Outcome> = outcome(self.input, self.halt.ending, is_settled);
        let outcome = outcome.filter(|_| !self.out_of_time);
        if outcome.is_some_and(|outcome| hook::after_rollout(self.input, outcome, plan)) {
            return;
        }
        match is_settled {
            true => plan.actions.extend(self.last()),
            false => plan.verdict = Verdict::Halted,
        }
    }

    /// Returns the last step: the final record, or its removal when it has nothing left to say.
    fn last(&self) -> Vec<Step> {
        let EndingContext { input, status, halt, record, .. } = *self;
        let phase = Phase::Halted(halt.ending);
        if halt.ending == Ending::Paused {
            let pause_changed_at = Some(input.now);
            return vec![Step::record(Record { phase, pause_changed_at, ..record.clone() })];
        }
        // A fleet that runs only the completed revision, and is to, is as it was before.
        let is_as_before = record.completed.is_some()
            && input.look.template == record.completed
            && has_replaced_all(input, status)
            && !status.is_stopped();
        if is_as_before || halt.is_unrestored() {
            return launch::erase(input, record);
        }
        let hooks = record.hooks.clone().map(HookRecord::next);
        // Its bounds are put back where the controller goes on: a controller that is stopped keeps
        // them, and the record what they were.
        let mut borrowed = record.borrowed.clone();
        if !status.is_stopped() && halt.ending == Ending::Failed {
            borrowed.controller = None;
        }
        vec![Step::record(Record { phase, borrowed, hooks, ..record.clone() })]
    }
}
