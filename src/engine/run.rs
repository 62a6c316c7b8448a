//! Takes the lease, drives the rollout, and changes its direction: to a halt, back, forward again.

use rolling_provider::Observation;

use super::caller::{STOP_WITHIN, Stop};
use super::command_sender::CommandSender;
use super::executor::RolloutExecutor;
use super::rolling::RollingExecutor;
use super::session::Session;
use crate::model::event::{Cause, Event, Outcome, Report};
use crate::record::{Ending, LEASE};
use crate::rollout::planner::Verdict;
use crate::rollout::recovery::retarget;
use crate::rollout::rollback_reason;
use crate::rollout::state::Halt;

impl RollingExecutor {
    /// Runs to the end to carry a command out, unless another engine takes the lease first, or has
    /// finished by then: then it does nothing.
    pub(super) async fn run_unless_late(
        &mut self,
        sender: &CommandSender,
        session: &mut Session<'_>,
    ) -> Option<Report> {
        let started = self.begin(session);
        let is_wanted = |look: &Observation| sender.is_to_be_carried_out(look);
        let outcome = self.run_with_lease(is_wanted, session).await;
        let is_late = outcome == Outcome::Locked && !self.lease.holds();
        (!is_late).then(|| self.finish(outcome, started, session))
    }

    /// Takes the lease and drives the rollout, if `is_wanted` still holds once the lease is taken.
    pub(super) async fn run_with_lease(
        &mut self,
        is_wanted: impl Fn(&Observation) -> bool,
        session: &mut Session<'_>,
    ) -> Outcome {
        if let Some(record) =
            self.context.state.record.as_ref().filter(|_| self.waits_for_operator())
        {
            // The pause or checkpoint needs a decision; another run is not one.
            let why = record.reason.clone().unwrap_or_else(|| "paused".into());
            let (ending, fault, at) = (Ending::Paused, record.fault, self.clock.now());
            self.context.state.direction.halt =
                Some(Halt { ending, fault, ..Halt::failed(why, at) });
            return Outcome::Paused;
        }
        // With nothing to do there is no need for a lease.
        if self.plan(self.clock.now()).verdict == Verdict::Converged {
            return Outcome::Succeeded;
        }
        match self.acquire_lease(session).await {
            Ok(None) if is_wanted(&self.context.look) => {}
            Ok(None) => {
                self.release().await;
                return Outcome::Locked;
            }
            Ok(Some(outcome)) => {
                if session.urgency() != Stop::Now {
                    self.lease.delete_tags([LEASE]).await;
                }
                return outcome;
            }
            Err(error) => {
                self.context.fail(error.to_string());
                // A pending command stays for the engine that continues.
                self.lease.delete_tags([LEASE]).await;
                return Outcome::Failed;
            }
        }
        let outcome = match self.make_revision(session).await {
            Ok(()) => self.drive(session).await,
            Err(error) => self.context.fail(error.to_string()),
        };
        // Whoever has the lease next may run the same hook.
        self.hook_runner.stop_and_wait().await;
        let urgency = session.urgency();
        self.release_lease(outcome, urgency).await;
        outcome
    }

    pub(super) fn stop_gracefully(&mut self, session: &mut Session<'_>) {
        let at = self.clock.now();
        let until = Some(at + STOP_WITHIN);
        match &mut self.context.state.direction.halt {
            // The engine already halts after a failure: from now on within the time of a stop.
            Some(halt) => halt.until = halt.until.or(until),
            None => {
                let (reason, ending) = ("asked to stop".to_owned(), Ending::Interrupted);
                self.halt(
                    Halt { ending, fault: false, until, ..Halt::failed(reason, at) },
                    session,
                );
            }
        }
    }

    pub(super) fn start_rollback(
        &mut self,
        reason: String,
        cause: Option<Cause>,
        asked: bool,
        session: &mut Session<'_>,
    ) {
        let completed =
            self.context.state.record.as_ref().and_then(|record| record.completed.clone());
        let Some(completed) = completed else { return };
        let to = completed.clone();
        session.send(self.clock.now(), Event::RollingBack { reason: reason.clone(), to, asked });
        retarget(&mut self.context.spec, &mut self.context.target, completed);
        if self.context.state.direction.halt.is_some() {
            self.context.state.resume();
        }
        let now = self.clock.now();
        self.context.state.start_rollback(&self.context.target, reason, now);
        self.context.state.direction.cause = cause;
    }

    /// Continues in the same direction: back, if the rollout was rolling back.
    pub(super) fn resume(&mut self) {
        self.context.state.resume();
        let record = self.context.state.record.as_ref().filter(|record| record.rolls_back);
        if let Some(record) = record.filter(|_| self.context.state.direction.rolls_back.is_none()) {
            let (completed, reason) = (record.completed.clone(), rollback_reason::recorded(record));
            if let Some(completed) = completed {
                retarget(&mut self.context.spec, &mut self.context.target, completed);
            }
            self.context.state.start_rollback(&self.context.target, reason, self.clock.now());
        }
    }

    /// Returns the outcome of a halted rollout.
    pub(super) fn ending(&self, otherwise: Ending) -> Outcome {
        let state = &self.context.state;
        let halt = state.direction.halt.as_ref();
        if state.over && halt.is_some_and(Halt::is_unrestored) {
            // In the end the calls were taken.
            return self.input(self.clock.now()).outcome_when_done();
        }
        match halt.map_or(otherwise, |halt| halt.ending) {
            Ending::Failed | Ending::Unrestored => Outcome::Failed,
            Ending::Paused => Outcome::Paused,
            Ending::Aborted | Ending::Interrupted => Outcome::Aborted,
        }
    }
}
