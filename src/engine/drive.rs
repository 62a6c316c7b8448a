//! The loop: look, plan, judge, act, report. It decides nothing: what to do comes from the planner,
//! what is allowed from [`crate::rollout::planner::check`], who may act from
//! [`crate::rollout::ownership`].

use std::ops::ControlFlow;
use std::time::Duration;

use rolling_provider::{ProviderError, Timestamp};
use tokio::sync::watch;

use super::Rollout;
use super::act::Acted;
use super::caller::{SOON, STOP_WITHIN, Stop};
use super::emitter::{Emitter, Shown};
use super::held_lease::LeaseCheck;
use super::schedule::Schedule;
use super::tick::{Done, Go, Next, Obstacles, Then, Tick};
use crate::model::event::{Event, Outcome};
use crate::record::Ending;
use crate::rollout::ownership::LATE;
use crate::rollout::planner::{Plan, Verdict, due};

/// Whether to look before the next tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Yes,
    No,
}

impl Rollout {
    pub(super) async fn drive(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Outcome {
        let mut retries = Schedule::retrying(self.caller.jitter);
        let (mut tick, mut shown) = (Tick::default(), Shown::default());
        loop {
            match self.tick(&mut tick, &mut retries, &mut shown, stop, emit).await {
                ControlFlow::Break(outcome) => return outcome,
                ControlFlow::Continue(Look::No) => {}
                ControlFlow::Continue(Look::Yes) => {
                    if let Err(error) = self.observe_with_retries(stop, emit).await {
                        return self.lost_sight(&error);
                    }
                }
            }
        }
    }

    /// Plans, judges, acts and waits once, by the look that there is.
    async fn tick(
        &mut self,
        tick: &mut Tick,
        retries: &mut Schedule,
        shown: &mut Shown,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> ControlFlow<Outcome, Look> {
        if let Some(outcome) = self.heed_stop(stop, emit) {
            return ControlFlow::Break(outcome);
        }
        match self.renew_lease(stop, emit).await {
            LeaseCheck::Ours => {}
            LeaseCheck::Doubtful => return ControlFlow::Continue(Look::No),
            LeaseCheck::Lost(outcome) => return ControlFlow::Break(outcome),
        }
        let now = self.clock.now();
        let mut plan = self.plan_judged(now, emit);
        shown.counts(&self.input(now), emit);
        shown.warnings(&self.input(now), emit);
        self.report_batches(&plan, emit);
        let verdict = std::mem::replace(&mut plan.verdict, Verdict::Continue);
        match Next::from(verdict) {
            Next::Act => {}
            Next::Converged if self.is_overtaken() => return ControlFlow::Break(Outcome::Locked),
            Next::Converged => {
                let is_back = self.state.rolls_back.is_some();
                let outcome = if is_back { Outcome::RolledBack } else { Outcome::Succeeded };
                return ControlFlow::Break(outcome);
            }
            Next::Halted => return ControlFlow::Break(self.ending(Ending::Failed)),
            other => {
                self.turn(other, emit);
                return ControlFlow::Continue(Look::No);
            }
        }
        shown.waits(&plan, now, emit);
        if self.ask_gates(&plan, emit) {
            return ControlFlow::Continue(Look::No);
        }
        let (done, error) = self.act_all(&mut plan, tick, now, stop, emit).await;
        let stopping = self.state.halt.as_ref().is_some_and(|halt| halt.until.is_some());
        let then = tick.then(&done, stopping, self.clock.now());
        match (then, done, error) {
            (Then::GiveUp, Done::Failed(action, _), Some(error)) => {
                self.refused(action, &error, emit);
            }
            (_, Done::Failed(..), Some(error)) => {
                emit.send(self.clock.now(), Event::Retrying { error: error.to_string() });
                self.pause(retries.pause(), stop).await;
            }
            (Then::Plan, ..) => {
                retries.start_over();
                return self.plan_again(tick, shown, stop, emit).await;
            }
            (Then::Wait, ..) => self.pause_until_due(&plan, stop).await,
            _ => self.pause(retries.pause(), stop).await,
        }
        ControlFlow::Continue(Look::Yes)
    }

    /// Ends the loop where the process was told to end at once, or where the time that a stop
    /// leaves is over; else begins to stop where that was asked for.
    fn heed_stop(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Option<Outcome> {
        let urgency = *stop.borrow_and_update();
        // Waits end at the bound; what is left to do then has the same time again.
        let last = self.state.halt.as_ref().and_then(|h| h.until).map(|t| t + STOP_WITHIN);
        if urgency == Stop::Now || last.is_some_and(|last| self.clock.now() >= last) {
            return Some(self.ending(Ending::Interrupted));
        }
        if urgency == Stop::Gracefully {
            self.stop_gracefully(emit);
        }
        None
    }

    fn turn(&mut self, next: Next, emit: &mut Emitter<'_>) {
        match next {
            Next::Halt(halt) => self.halt(halt, emit),
            Next::RollBack { reason, asked } => self.start_rollback(reason, asked, emit),
            Next::Resume => self.resume(),
            Next::Act | Next::Converged | Next::Halted => {}
        }
    }

    /// Carries out the actions of a plan made at `planned`, until one fails or cannot be next.
    async fn act_all(
        &mut self,
        plan: &mut Plan,
        tick: &mut Tick,
        planned: Timestamp,
        stop: &watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> (Done, Option<ProviderError>) {
        tick.planned(plan.actions.iter().map(|step| step.action.clone()).collect());
        let mut done = Done::Nothing;
        for (index, step) in std::mem::take(&mut plan.actions).into_iter().enumerate() {
            let obstacles = Obstacles {
                stopped: *stop.borrow() == Stop::Now || !self.is_believed(),
                old_look: self.looked.age(self.moment()) >= LATE,
                out_of_time: self.is_out_of_time(planned),
                late_to_renew: self.is_late_to_renew(),
            };
            match tick.may_act(index, obstacles) {
                Go::Yes => {}
                Go::No => break,
                Go::Again => return (Done::Changed, None),
            }
            let action = step.action.clone();
            match self.act(step, emit).await {
                Ok(acted) => {
                    done = Done::Changed;
                    tick.accepted(&action);
                    if matches!(acted, Acted::Refused | Acted::Resized) {
                        break;
                    }
                }
                Err(error) => return (Done::Failed(action, error.kind), Some(error)),
            }
        }
        (done, None)
    }

    /// Plans once more by the same look, and waits where that only waits: the actions are accepted
    /// but not complete, and no look could show anything yet.
    async fn plan_again(
        &mut self,
        tick: &mut Tick,
        shown: &mut Shown,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> ControlFlow<Outcome, Look> {
        let now = self.clock.now();
        let next = self.plan(now);
        if due::waits(&next) {
            tick.waits();
            shown.waits(&next, now, emit);
            self.pause_until_due(&next, stop).await;
        } else if self.is_over(&next) {
            return ControlFlow::Continue(Look::No);
        }
        ControlFlow::Continue(Look::Yes)
    }

    fn report_batches(&mut self, plan: &Plan, emit: &mut Emitter<'_>) {
        let now = self.clock.now();
        let state = &mut self.state;
        if plan.batch_ends {
            state.batch_open = false;
            state.batch_ended = Some(now);
            emit.send(now, Event::BatchFinished { number: state.batch });
        }
        if let Some(begins) = &plan.begins {
            // Victims count as out of rotation from here on, whatever the calls return.
            state.choose(&begins.victims);
            let instances = begins.victims.iter().cloned().collect();
            let launches = begins.launches;
            match begins.number {
                Some(number) => {
                    state.batch = number;
                    state.batch_open = true;
                    emit.send(now, Event::BatchStarted { number, launches, instances });
                }
                None => emit.send(now, Event::Replacing { launches, instances }),
            }
        }
        state.choose(&plan.chosen);
        if plan.rests() {
            state.wait_deliberately(now);
        }
        let since =
            |is_there: bool, since: Option<Timestamp>| is_there.then(|| since.unwrap_or(now));
        // The record that passes a checkpoint is written in the same tick. The actions after an
        // evaluation may need retries, so they do not restart it.
        if plan.evaluates() || plan.actions.is_empty() {
            state.evaluating = since(plan.evaluates(), state.evaluating);
        }
        state.at_checkpoint = since(plan.stands_at_checkpoint(), state.at_checkpoint);
        state.set_aside_since = since(plan.waits_for_set_aside(), state.set_aside_since);
    }

    /// Whether the bound of a stop has passed since the plan was made at `planned`. What can wait
    /// is then left to the next run, and the rest is planned again.
    fn is_out_of_time(&self, planned: Timestamp) -> bool {
        let until = self.state.halt.as_ref().and_then(|halt| halt.until);
        let now = self.clock.now();
        let passed = |at: Timestamp| planned < at && now >= at;
        until.is_some_and(|until| passed(until) || passed(until + STOP_WITHIN))
    }

    /// Whether all is done, the record is erased, and the look that shows this is recent.
    fn is_over(&self, next: &Plan) -> bool {
        let is_fresh = self.looked.age(self.moment()) < SOON;
        is_fresh && self.state.over && next.verdict == Verdict::Converged
    }

    /// Waits until something is likely to have changed, or is due by `plan`.
    async fn pause_until_due(&self, plan: &Plan, stop: &mut watch::Receiver<Stop>) {
        let now = self.clock.now();
        let spread = |guessed| Schedule::spread(guessed, self.caller.jitter);
        let pause = due::pause(&self.input(now), plan, spread);
        let renewal = self.renewal_due(now);
        self.pause(pause.min(if renewal.is_zero() { SOON } else { renewal }), stop).await;
    }

    /// Waits, unless a (more) urgent request to stop comes first.
    pub(super) async fn pause(&self, duration: Duration, stop: &mut watch::Receiver<Stop>) {
        // Gives the task that asks the gates its turn, also in virtual time, where waits take none.
        tokio::task::yield_now().await;
        tokio::select! {
            biased;
            () = self.asking.answered.notified() => {}
            // Before the wait, which takes no time in virtual time.
            Ok(()) = stop.changed() => stop.mark_changed(),
            () = self.clock.sleep(duration) => {}
        }
    }
}
