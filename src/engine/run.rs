//! Runs a rollout from its first event to its last.

use rolling_provider::{Observation, Timestamp};
use tokio::sync::watch;

use super::caller::{STOP_WITHIN, Stop};
use super::rollout::Rollout;
use super::session::Session;
use crate::model::event::{Envelope, Event, Outcome, Report};
use crate::model::spec::Executor;
use crate::record::{Ending, LEASE};
use crate::rollout::control::Waiting;
use crate::rollout::planner::Verdict;
use crate::rollout::restore::retarget;
use crate::rollout::state::Halt;

impl Rollout {
    /// Runs the rollout to its end. Never fails: how it ended is in the report, which is also
    /// the last event.
    pub async fn run(
        mut self,
        stop: watch::Receiver<Stop>,
        emit: &mut (dyn FnMut(Envelope) + Send),
    ) -> Report {
        let mut session = Session::new(&self.caller.rollout_id, stop, emit);
        let started = self.begin(&mut session);
        let outcome = match self.spec.engine {
            Executor::Rolling => self.run_with_lease(|_| true, &mut session).await,
            Executor::InstanceRefresh { .. } => self.run_instance_refresh(&mut session).await,
        };
        self.finish(outcome, started, &mut session)
    }

    /// Does the same as [`Rollout::run`], unless another engine takes the lease first, or has
    /// finished by then: then it does nothing.
    pub(super) async fn run_unless_late(
        &mut self,
        waiting: &Waiting,
        session: &mut Session<'_>,
    ) -> Option<Report> {
        let started = self.begin(session);
        let is_wanted = |look: &Observation| waiting.is_to_be_carried_out(&look.record);
        let outcome = self.run_with_lease(is_wanted, session).await;
        let is_late = outcome == Outcome::Locked && !self.lease.holds();
        (!is_late).then(|| self.finish(outcome, started, session))
    }

    fn begin(&self, session: &mut Session<'_>) -> Timestamp {
        let started = self.clock.now();
        session.send(started, Event::Started { preview: self.preview() });
        started
    }

    fn finish(&self, outcome: Outcome, started: Timestamp, session: &mut Session<'_>) -> Report {
        let report = self.report(outcome, started);
        session.send(self.clock.now(), Event::Finished { report: report.clone() });
        report
    }

    /// Takes the lease and drives the rollout, if `is_wanted` still holds once the lease is taken.
    async fn run_with_lease(
        &mut self,
        is_wanted: impl Fn(&Observation) -> bool,
        session: &mut Session<'_>,
    ) -> Outcome {
        if let Some(record) = self.state.record.as_ref().filter(|_| self.waits_for_operator()) {
            // The pause or checkpoint needs a decision; another run is not one.
            let why = record.reason.clone().unwrap_or_else(|| "paused".into());
            let (ending, fault, at) = (Ending::Paused, record.fault, self.clock.now());
            self.state.direction.halt =
                Some(Halt { reason: why, ending, fault, at_checkpoint: false, at, until: None });
            return Outcome::Paused;
        }
        // With nothing to do there is no need for a lease.
        if self.plan(self.clock.now()).verdict == Verdict::Converged {
            return Outcome::Succeeded;
        }
        match self.acquire_lease(session).await {
            Ok(None) if is_wanted(&self.look) => {}
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
                self.fail(error.to_string());
                // A pending command stays for the engine that continues.
                self.lease.delete_tags([LEASE]).await;
                return Outcome::Failed;
            }
        }
        let outcome = match self.make_revision(session).await {
            Ok(()) => self.drive(session).await,
            Err(error) => self.fail(error.to_string()),
        };
        let urgency = session.urgency();
        self.release_lease(outcome, urgency).await;
        outcome
    }

    pub(super) fn stop_gracefully(&mut self, session: &mut Session<'_>) {
        let at = self.clock.now();
        let until = Some(at + STOP_WITHIN);
        match &mut self.state.direction.halt {
            // The engine already halts after a failure: from now on within the time of a stop.
            Some(halt) => halt.until = halt.until.or(until),
            None => {
                let (reason, ending) = ("asked to stop".to_owned(), Ending::Interrupted);
                self.halt(
                    Halt { reason, ending, fault: false, at_checkpoint: false, at, until },
                    session,
                );
            }
        }
    }

    pub(super) fn halt(&mut self, halt: Halt, session: &mut Session<'_>) {
        let (reason, until) = (halt.reason.clone(), halt.until);
        session.send(self.clock.now(), Event::Halting { reason, until });
        self.state.begin_halt(halt);
    }

    pub(super) fn start_rollback(
        &mut self,
        reason: String,
        asked: bool,
        session: &mut Session<'_>,
    ) {
        let completed = self.state.record.as_ref().and_then(|record| record.completed.clone());
        let Some(completed) = completed else { return };
        let to = completed.clone();
        session.send(self.clock.now(), Event::RollingBack { reason: reason.clone(), to, asked });
        retarget(&mut self.spec, &mut self.target, completed);
        if self.state.direction.halt.is_some() {
            self.state.resume();
        }
        let now = self.clock.now();
        self.state.start_rollback(&self.target, reason, now);
    }

    /// Continues in the same direction: back, if the rollout was rolling back.
    pub(super) fn resume(&mut self) {
        self.state.resume();
        let record = self.state.record.as_ref().filter(|record| record.rolls_back);
        if let Some(record) = record.filter(|_| self.state.direction.rolls_back.is_none()) {
            let (completed, reason) = (record.completed.clone(), record.reason.clone());
            if let Some(completed) = completed {
                retarget(&mut self.spec, &mut self.target, completed);
            }
            let reason = reason.unwrap_or_else(|| "it was rolling back".into());
            self.state.start_rollback(&self.target, reason, self.clock.now());
        }
    }

    /// Returns the outcome of a halted rollout.
    pub(super) fn ending(&self, otherwise: Ending) -> Outcome {
        match self.state.direction.halt.as_ref().map_or(otherwise, |halt| halt.ending) {
            Ending::Failed => Outcome::Failed,
            Ending::Paused => Outcome::Paused,
            Ending::Aborted | Ending::Interrupted => Outcome::Aborted,
        }
    }
}
