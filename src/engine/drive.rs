//! The loop: look, plan, judge, act, report. What to do with the fleet comes from the planner,
//! what is allowed from [`crate::rollout::planner::check`], who may act from
//! [`crate::rollout::ownership`].

use std::ops::ControlFlow;
use std::time::Duration;

use rolling_provider::{Action, ProviderError, Timestamp};

use super::act::ActionOutcome;
use super::caller::{SOON, STOP_RETRY_BUDGET, Stop};
use super::lease::LeaseCheck;
use super::rolling::RollingExecutor;
use super::schedule::Schedule;
use super::session::Session;
use super::shown::LastReported;
use super::tick::{ActionsResult, Go, Obstacles, Then, Tick, TickDecision};
use crate::model::event::{Event, Outcome};
use crate::record::Ending;
use crate::rollout::begun;
use crate::rollout::planner::{self, Plan, Verdict, due, waits_of};

/// Whether to look before the next tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Yes,
    No,
}

impl RollingExecutor {
    pub(super) async fn drive(&mut self, session: &mut Session<'_>) -> Outcome {
        let (mut tick, mut shown) =
            (Tick::new(self.context.caller.jitter), LastReported::default());
        loop {
            match self.tick(&mut tick, &mut shown, session).await {
                ControlFlow::Break(outcome) => return outcome,
                ControlFlow::Continue(Look::No) => {}
                ControlFlow::Continue(Look::Yes) => {
                    if let Err(error) = self.observe(session).await {
                        return self.lost_sight(&error);
                    }
                }
            }
        }
    }

    /// Plans, judges, acts and waits once, by the current look.
    async fn tick(
        &mut self,
        tick: &mut Tick,
        shown: &mut LastReported,
        session: &mut Session<'_>,
    ) -> ControlFlow<Outcome, Look> {
        if let Some(outcome) = self.heed_stop(session) {
            return ControlFlow::Break(outcome);
        }
        match self.renew_lease(session).await {
            LeaseCheck::Ours => {}
            LeaseCheck::Doubtful => {
                if !self.lease.is_believed() {
                    // Another engine may be at work, and run the same hook.
                    self.stop_hook();
                }
                return ControlFlow::Continue(Look::No);
            }
            LeaseCheck::Lost(outcome) => return ControlFlow::Break(outcome),
        }
        let now = self.clock.now();
        let mut plan = self.plan_judged(now, session);
        shown.counts(&self.input(now), session);
        shown.warnings(&self.input(now), session);
        let begun_at = self.clock.now();
        for event in begun::begin(&mut self.context.state, &plan, begun_at) {
            session.send(begun_at, event);
        }
        let verdict = std::mem::replace(&mut plan.verdict, Verdict::Continue);
        match TickDecision::from(verdict) {
            TickDecision::Act => {}
            TickDecision::Converged if self.is_overtaken() => {
                return ControlFlow::Break(Outcome::Locked);
            }
            TickDecision::Converged => {
                let is_back = self.context.state.direction.rolls_back.is_some();
                let outcome = if is_back { Outcome::RolledBack } else { Outcome::Succeeded };
                return ControlFlow::Break(outcome);
            }
            TickDecision::Halted => return ControlFlow::Break(self.ending(Ending::Failed)),
            other => {
                self.turn(other, session);
                return ControlFlow::Continue(Look::No);
            }
        }
        self.lease.waits_for(waits_of(&self.input(now), &plan));
        shown.waits(&plan, now, session);
        if self.ask_gates(&plan, session) {
            return ControlFlow::Continue(Look::No);
        }
        if self.run_hook(&plan, session) {
            return ControlFlow::Continue(Look::Yes);
        }
        self.act_and_wait(plan, now, tick, shown, session).await
    }

    /// Carries out a plan made at `planned`, and waits for what it leads to.
    async fn act_and_wait(
        &mut self,
        mut plan: Plan,
        planned: Timestamp,
        tick: &mut Tick,
        shown: &mut LastReported,
        session: &mut Session<'_>,
    ) -> ControlFlow<Outcome, Look> {
        let (done, error) = self.act_all(&mut plan, tick, planned, session).await;
        let stopping =
            self.context.state.direction.halt.as_ref().is_some_and(|halt| halt.until.is_some());
        match (tick.then(&done, stopping, self.clock.now()), done, error) {
            (Then::GiveUp, ActionsResult::Failed(action, _), Some(error)) => {
                self.refused(action, &error, session);
            }
            (Then::Retry(pause), ActionsResult::Failed(..), Some(error)) => {
                let error = error.to_string();
                session.send(self.clock.now(), Event::Retrying { error });
                self.pause(pause, session).await;
            }
            (Then::Retry(pause) | Then::Pause(pause), ..) => self.pause(pause, session).await,
            (Then::Plan, ..) => return self.plan_again(tick, shown, session).await,
            (Then::Wait | Then::GiveUp, ..) => self.pause_until_due(&plan, session).await,
        }
        ControlFlow::Continue(Look::Yes)
    }

    /// Ends the loop if the process was asked to end at once, or if the time limit of a stop has
    /// passed. Otherwise begins to stop if that was requested.
    fn heed_stop(&mut self, session: &mut Session<'_>) -> Option<Outcome> {
        let urgency = session.heed();
        // Waits end at the bound; what is left to do then has the same time again.
        let last = self
            .context
            .state
            .direction
            .halt
            .as_ref()
            .and_then(|h| h.until)
            .map(|t| t + STOP_RETRY_BUDGET);
        if urgency == Stop::Now || last.is_some_and(|last| self.clock.now() >= last) {
            return Some(match self.context.state.direction.halt {
                Some(_) => self.ending(Ending::Interrupted),
                // Both requests came before this engine could begin to stop.
                None => self.context.interrupted("asked to stop at once"),
            });
        }
        if urgency == Stop::Gracefully {
            self.stop_gracefully(session);
        }
        None
    }

    pub(super) fn turn(&mut self, next: TickDecision, session: &mut Session<'_>) {
        match next {
            TickDecision::Halt(halt) => self.halt(halt, session),
            TickDecision::RollBack { reason, cause, asked } => {
                self.start_rollback(reason, cause, asked, session);
            }
            TickDecision::Resume => self.resume(),
            TickDecision::Act | TickDecision::Converged | TickDecision::Halted => {}
        }
    }

    /// Carries out the actions of a plan made at `planned`, until one cannot be next. Of those that
    /// follow a failed one, only those that do not depend on it. Returns the first failure.
    async fn act_all(
        &mut self,
        plan: &mut Plan,
        tick: &mut Tick,
        planned: Timestamp,
        session: &mut Session<'_>,
    ) -> (ActionsResult, Option<ProviderError>) {
        tick.planned(plan.actions.iter().map(|step| step.action.clone()).collect());
        let actions = || plan.actions.iter().map(|step| &step.action);
        let is_planned = |failing: &Action| actions().any(|it| it == failing);
        self.context.state.forget_calls(&self.context.look, is_planned);
        let (mut done, mut failed) = (ActionsResult::Nothing, None::<(Action, ProviderError)>);
        for (index, step) in std::mem::take(&mut plan.actions).into_iter().enumerate() {
            let obstacles = Obstacles {
                stopped: session.urgency() == Stop::Now || !self.lease.is_believed(),
                old_look: self.context.observer.is_late(),
                out_of_time: self.is_out_of_time(planned),
                late_to_renew: self.lease.is_late(),
            };
            match tick.may_act(index, obstacles) {
                Go::Yes => {}
                Go::No => break,
                Go::Again => return (ActionsResult::Changed, None),
            }
            if failed.is_some() && !planner::may_act_beside(&self.input(self.clock.now()), &step) {
                continue;
            }
            let action = step.action.clone();
            match self.act(step, session).await {
                Ok(acted) => {
                    done = ActionsResult::Changed;
                    tick.accepted(&action);
                    if matches!(acted, ActionOutcome::Refused | ActionOutcome::Resized) {
                        break;
                    }
                }
                Err(error) => {
                    let now = self.clock.now();
                    self.context.state.call_failed(&action, error.to_string(), now);
                    failed.get_or_insert((action, error));
                }
            }
        }
        match failed {
            Some((action, error)) => (ActionsResult::Failed(action, error.kind), Some(error)),
            None => (done, None),
        }
    }

    /// Plans once more by the same look, and waits where that only waits: the actions are accepted
    /// but not complete, and no look could show anything yet.
    async fn plan_again(
        &mut self,
        tick: &mut Tick,
        shown: &mut LastReported,
        session: &mut Session<'_>,
    ) -> ControlFlow<Outcome, Look> {
        let now = self.clock.now();
        let next = self.plan(now);
        if due::waits(&next) {
            tick.waits();
            shown.waits(&next, now, session);
            self.pause_until_due(&next, session).await;
        } else if self.is_over(&next) {
            return ControlFlow::Continue(Look::No);
        }
        ControlFlow::Continue(Look::Yes)
    }

    /// Whether the time limit of a stop has passed since the plan was made at `planned`, or that for
    /// what is left by then. What can wait is then left to the next run, and the rest is planned again.
    fn is_out_of_time(&self, planned: Timestamp) -> bool {
        let until = self.context.state.direction.halt.as_ref().and_then(|halt| halt.until);
        let now = self.clock.now();
        until.is_some_and(|until| {
            (planned < until && now >= until) || now >= until + STOP_RETRY_BUDGET
        })
    }

    /// Whether all is done, the record is erased, and the look that shows this is recent.
    fn is_over(&self, next: &Plan) -> bool {
        let is_fresh = self.context.observer.age() < SOON;
        is_fresh && self.context.state.over && next.verdict == Verdict::Converged
    }

    /// Waits until something is likely to have changed, or is due by `plan`.
    async fn pause_until_due(&self, plan: &Plan, session: &mut Session<'_>) {
        let now = self.clock.now();
        let spread = |guessed| Schedule::spread(guessed, self.context.caller.jitter);
        let pause = due::pause(&self.input(now), plan, spread);
        let renewal = self.lease.renewal_due(now);
        self.pause(pause.min(if renewal.is_zero() { SOON } else { renewal }), session).await;
    }

    /// Waits, unless a gate answers, a hook ends or a (more) urgent request to stop comes first.
    pub(super) async fn pause(&self, duration: Duration, session: &mut Session<'_>) {
        session.pause_until(&*self.clock, duration, &self.answered).await;
    }
}
