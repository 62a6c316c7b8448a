//! Starts or joins an instance refresh, and follows it to its end.

use std::sync::Arc;

use rolling_provider::{
    DelegatedRollout, DelegatedRolloutState, Effect, ErrorKind, ProviderError, Revision,
};

use super::caller::{NOTHING_DONE, RETRY_BUDGET, Stop};
use super::delegated_executor::{DelegatedExecutor, latest, rollout_controller};
use super::message::with_remedy;
use super::retry::Retry;
use super::schedule::Schedule;
use super::session::Session;
use super::shown::LastReported;
use super::start_error::StartError;
use crate::model::event::{Cause, DelegatedRolloutStep, Event, Outcome};
use crate::record::command::Command;
use crate::rollout::delegated::{
    self, DelegatedDecision, FollowOutcome, Following, after_command, as_rollout_of, foreign,
    unsettled,
};

impl DelegatedExecutor {
    /// Starts or joins the refresh, or carries out `self.command` on it, and follows it.
    pub(super) async fn start_and_follow(&mut self, session: &mut Session<'_>) -> Outcome {
        // Other refreshes may have been followed since the target was looked up.
        if let Err(error) = self.begin_anew(session).await {
            return self.context.fail(StartError::FleetUnseen(error).to_string());
        }
        if let (Some(command), DelegatedDecision::Nothing | DelegatedDecision::Start) =
            (self.command, self.found().next())
        {
            if self.may_redeploy(command) {
                return self.redeploy(session).await;
            }
            let (name, kind) = (command.name(), self.kind());
            return self.context.fail(format!("the {kind} was over before {name} could reach it"));
        }
        let id = match self.found_to_follow(session).await {
            Ok(Some(id)) => id,
            Ok(None) => match self.start(session).await {
                Ok(id) => id,
                Err(outcome) => return outcome,
            },
            Err(outcome) => return outcome,
        };
        let mut outcome = self.follow(&id, session).await;
        if let Some(id) = self.taken_back_by(session).await {
            self.context.state.direction.halt = None;
            self.report_step(&id, DelegatedRolloutStep::Joined, session);
            outcome = self.follow(&id, session).await;
        }
        if self.goes_back_after(outcome) {
            return self.redeploy(session).await;
        }
        outcome
    }

    /// Returns the id of the rollout by which another process takes the one back that was followed.
    async fn taken_back_by(&mut self, session: &mut Session<'_>) -> Option<String> {
        let state = self.latest.as_ref().map(|latest| latest.state);
        if state != Some(DelegatedRolloutState::Superseded) || session.is_stopping() {
            return None;
        }
        let found = self.ask(None, session).await.ok().flatten()?;
        let is_it = delegated::taken_back(&found, &self.context.target).is_some();
        is_it.then_some(found.id)
    }

    /// Looks at the latest refresh and at the fleet once more.
    pub(super) async fn begin_anew(
        &mut self,
        session: &mut Session<'_>,
    ) -> Result<(), ProviderError> {
        self.latest = self.ask(None, session).await?;
        let context = &mut self.context;
        let look = context.observer.look(None, &context.look.record, session).await?;
        self.restore(look);
        Ok(())
    }

    /// Asks for the refresh of this id, or for the latest one, with retries.
    pub(super) async fn ask(
        &self,
        id: Option<&str>,
        session: &mut Session<'_>,
    ) -> Result<Option<DelegatedRollout>, ProviderError> {
        let ask = |fleet| latest(fleet, id.map(str::to_owned));
        let found = self.context.ask(None, session, ask).await?;
        Ok(found.map(|found| as_rollout_of(&self.context.target, found)))
    }

    /// Starts a refresh, or joins the one that another process was faster to start. Returns its id,
    /// or the outcome of a run in which there is none to follow.
    async fn start(&mut self, session: &mut Session<'_>) -> Result<String, Outcome> {
        match self.context.make_revision(None, session).await {
            Ok(made) if made == self.context.wanted => {}
            Ok(made) => {
                self.context.target.revision = made.clone();
                self.context.wanted = made;
                self.restore(self.context.look.clone());
            }
            Err(error) => return Err(self.context.fail(error.to_string())),
        }
        if let Some(id) = self.prepare(session).await? {
            return Ok(id);
        }
        self.ran_before = self.found().completed().cloned();
        self.start_to(&self.context.wanted.clone(), session).await
    }

    /// Starts a rollout to `to`, or joins the one that another process was faster to start.
    pub(super) async fn start_to(
        &mut self,
        to: &Revision,
        session: &mut Session<'_>,
    ) -> Result<String, Outcome> {
        let kind = self.kind();
        let clock = Arc::clone(&self.context.clock);
        let mut retry = Retry::new(self.context.caller.jitter).since(clock.now());
        let mut doubtful = false;
        loop {
            if session.heed() != Stop::No {
                let message = format!(
                    "it is unknown whether an {kind} was started; if so, the next run finds it"
                );
                let message = if doubtful { message.as_str() } else { NOTHING_DONE };
                return Err(self.context.interrupted(message));
            }
            let error = match self.ask_to_start(to).await {
                Ok(id) => {
                    self.report_step(&id, DelegatedRolloutStep::Started, session);
                    self.latest = Some(DelegatedRollout::started(kind, id.clone(), to.clone()));
                    return Ok(id);
                }
                Err(error) => error,
            };
            doubtful |= error.effect == Effect::Unknown;
            if let Some(id) = self.join_another(&error, session).await? {
                return Ok(id);
            }
            // It is still busy, perhaps with its settings.
            let is_busy = error.kind == ErrorKind::Conflict;
            let is_hopeless = !error.is_retryable() && !doubtful && !is_busy;
            let now = clock.now();
            let Some(pause) = retry.failed(now, RETRY_BUDGET).filter(|_| !is_hopeless) else {
                let why = with_remedy(&error);
                return Err(self.context.fail(format!("cannot start an {kind}: {why}")));
            };
            session.send(now, Event::Retrying { error: error.to_string() });
            session.pause(&*clock, pause).await;
        }
    }

    async fn ask_to_start(&self, to: &Revision) -> Result<String, ProviderError> {
        let settings = delegated::settings(&self.context.spec, self.context.size())?;
        rollout_controller(&*self.fleet)?.start(to, &settings).await
    }

    /// Looks for a refresh after a start that failed with `error`: the answer may be lost, or
    /// another process may have been faster. Returns the id of the one to follow, or the outcome of
    /// a run that can start none.
    async fn join_another(
        &mut self,
        error: &ProviderError,
        session: &mut Session<'_>,
    ) -> Result<Option<String>, Outcome> {
        match self.ask(None, session).await {
            Ok(latest) => self.latest = latest,
            Err(error) => {
                return Err(self.context.fail(StartError::FleetUnseen(error).to_string()));
            }
        }
        match self.found().next() {
            DelegatedDecision::Join(found) => {
                let id = found.id.clone();
                let step = match error.effect {
                    Effect::Unknown => DelegatedRolloutStep::Started,
                    Effect::Applied | Effect::NotApplied => DelegatedRolloutStep::Joined,
                };
                self.report_step(&id, step, session);
                Ok(Some(id))
            }
            DelegatedDecision::Foreign(found) => {
                let reason = foreign(found);
                Err(self.leave_alone(reason))
            }
            DelegatedDecision::Nothing | DelegatedDecision::Start => Ok(None),
        }
    }

    /// Looks at the refresh and at the fleet until the refresh is over.
    pub(super) async fn follow(&mut self, id: &str, session: &mut Session<'_>) -> Outcome {
        let clock = Arc::clone(&self.context.clock);
        let (spec, target) = (&self.context.spec, &self.context.target);
        let mut polls = Schedule::polling(spec.poll_interval, self.context.caller.jitter);
        let mut following = Following::new(clock.now(), spec, target);
        let mut shown = LastReported::default();
        loop {
            if session.heed() != Stop::No {
                let reason = format!("{} {id} continues without this program", self.kind());
                return self.context.interrupted(&reason);
            }
            let (found, fleet_changed) = match self.look_at_both(id, session).await {
                Ok(Some(found)) => found,
                Ok(None) if following.may_lag(clock.now()) => {
                    session.pause(&*clock, polls.pause()).await;
                    continue;
                }
                Ok(None) => {
                    return self.context.fail(format!("{} {id} is not listed", self.kind()));
                }
                Err(error) => {
                    let kind = self.kind();
                    return self
                        .context
                        .fail(format!("{kind} {id} can no longer be read: {error}"));
                }
            };
            let now = clock.now();
            let changed = fleet_changed || self.latest.as_ref() != Some(&found);
            if changed {
                polls.start_over();
            }
            self.latest = Some(found.clone());
            if let Err(outcome) = self.pass_on(&found, session).await {
                return outcome;
            }
            let unhealthy = delegated::unhealthy(&self.context.target, &self.context.look);
            let begins_rollback = following.observe(&found, changed, unhealthy, now);
            shown.counts(&self.context.input(now), session);
            // Whoever ends it does not tell of it as if it went on.
            if begins_rollback && self.command != Some(Command::Abort) {
                self.report_rollback(&found, following.unhealthy(), session).await;
            }
            match following.next(&found, now) {
                FollowOutcome::Over(outcome) => {
                    let why = following.unhealthy();
                    return self.conclude(outcome, &found, why, shown, session).await;
                }
                FollowOutcome::Stuck(reason) => return self.context.fail(reason),
                FollowOutcome::Wait(wait) => shown.wait_for(vec![wait], now, session),
            }
            session.pause(&*clock, polls.pause()).await;
        }
    }

    /// Looks at the refresh first: a fleet looked at after its end is in the final state.
    async fn look_at_both(
        &mut self,
        id: &str,
        session: &mut Session<'_>,
    ) -> Result<Option<(DelegatedRollout, bool)>, ProviderError> {
        let Some(found) = self.ask(Some(id), session).await? else { return Ok(None) };
        let changed = self.context.observe(None, session).await?;
        Ok(Some((found, changed)))
    }

    async fn report_rollback(
        &mut self,
        found: &DelegatedRollout,
        unhealthy: Option<&str>,
        session: &mut Session<'_>,
    ) {
        let reason = self.explain(found, unhealthy).await;
        let before = found.completed_before.as_ref();
        let to = before.or(self.context.look.template.as_ref());
        if let Some(to) = to.map(|to| self.context.target.resolve(to).clone()) {
            let asked = self.command == Some(Command::Rollback);
            session.send(self.context.clock.now(), Event::RollingBack { reason, to, asked });
        }
    }

    async fn conclude(
        &mut self,
        outcome: Outcome,
        found: &DelegatedRollout,
        unhealthy: Option<&str>,
        shown: LastReported,
        session: &mut Session<'_>,
    ) -> Outcome {
        let command = self.command.filter(|_| self.is_accepted);
        let outcome = after_command(command, outcome);
        if outcome == Outcome::Succeeded {
            let message =
                |left| format!("{} {} is {}, and {left}", found.kind, found.id, found.status);
            return self.conclude_served(message, shown, session).await;
        }
        let mut reason = self.explain(found, unhealthy).await;
        if outcome == Outcome::RolledBack {
            let left = self.settle(false, shown, session).await;
            reason.extend(left.map(|left| format!("; {left}")));
            self.context.state.direction.rolls_back = Some(reason);
        } else {
            self.context.fail(reason);
        }
        outcome
    }

    /// Ends a run in which AWS has nothing left to do: as a success when the fleet serves, else
    /// with `message` about what does not.
    pub(super) async fn conclude_served(
        &mut self,
        message: impl Fn(String) -> String,
        shown: LastReported,
        session: &mut Session<'_>,
    ) -> Outcome {
        match self.settle(true, shown, session).await {
            None => Outcome::Succeeded,
            Some(left) if session.is_stopping() => self.context.interrupted(&message(left)),
            Some(left) => self.context.fail(message(left)),
        }
    }

    /// Waits until looks show that the fleet serves and, with `rolled`, that the refresh has done
    /// its work. Returns what is missing.
    async fn settle(
        &mut self,
        rolled: bool,
        mut shown: LastReported,
        session: &mut Session<'_>,
    ) -> Option<String> {
        let clock = Arc::clone(&self.context.clock);
        let jitter = self.context.caller.jitter;
        let mut polls = Schedule::polling(self.context.spec.poll_interval, jitter);
        let begin = clock.now();
        loop {
            let left = unsettled(self.found(), rolled, begin)?;
            if let Some(wait) = left.wait {
                shown.wait_for(vec![wait], clock.now(), session);
            }
            let is_late = clock.now() > left.deadline;
            if is_late || session.is_stopping() {
                self.has_not_served = is_late && rolled && left.is_idle;
                return Some(left.message);
            }
            session.pause(&*clock, polls.pause()).await;
            match self.context.observe(None, session).await {
                Ok(true) => polls.start_over(),
                Ok(false) => {}
                Err(error) => return Some(format!("{} ({error})", left.message)),
            }
        }
    }

    /// Returns why the refresh did not succeed, with what the group itself reports.
    async fn explain(&self, found: &DelegatedRollout, unhealthy: Option<&str>) -> String {
        let activities = self.context.activities(found.started).await.unwrap_or_default();
        delegated::cause(found, unhealthy, &activities)
    }

    pub(super) fn report_step(
        &self,
        id: &str,
        step: DelegatedRolloutStep,
        session: &mut Session<'_>,
    ) {
        let (kind, id) = (self.kind(), id.to_owned());
        session.send(self.context.clock.now(), Event::DelegatedRollout { kind, id, step });
    }

    pub(super) fn leave_alone(&mut self, reason: String) -> Outcome {
        self.context.fail(reason);
        if let Some(halt) = &mut self.context.state.direction.halt {
            halt.cause = Some(Cause::Others);
        }
        Outcome::Locked
    }
}
