//! Starts or joins an instance refresh, and follows it to its end.

use std::sync::Arc;

use rolling_provider::{DelegatedRollout, Effect, ProviderError};

use super::caller::{NOTHING_DONE, RETRY_BUDGET, Stop};
use super::instance_refresh::{InstanceRefreshExecutor, latest, rollout_controller};
use super::look_up::with_retries;
use super::message::with_remedy;
use super::retry::Retry;
use super::schedule::Schedule;
use super::session::Session;
use super::shown::LastReported;
use super::start_error::StartError;
use crate::model::event::{Event, InstanceRefreshStep, Outcome};
use crate::record::command::Command;
use crate::rollout::instance_refresh::{
    self, FollowOutcome, Following, RefreshDecision, foreign, is_obeyed, unsettled,
};

impl InstanceRefreshExecutor {
    /// Starts or joins the refresh, or carries out `self.command` on it, and follows it.
    pub(super) async fn start_and_follow(&mut self, session: &mut Session<'_>) -> Outcome {
        // Other refreshes may have been followed since the target was looked up.
        if let Err(error) = self.begin_anew(session).await {
            return self.context.fail(StartError::GroupUnseen(error).to_string());
        }
        let command = self.command;
        if let (Some(command), RefreshDecision::Nothing | RefreshDecision::Start) =
            (command, self.found().next())
        {
            let name = command.name();
            return self
                .context
                .fail(format!("the instance refresh was over before it could {name}"));
        }
        let id = match self.found().next() {
            RefreshDecision::Nothing => {
                let to = self.context.wanted.clone();
                let message = |left| format!("no instance has to be replaced for {to}, but {left}");
                return self.conclude_served(message, LastReported::default(), session).await;
            }
            RefreshDecision::Foreign(found) => {
                let reason = foreign(found);
                return self.leave_alone(reason);
            }
            RefreshDecision::Join(found) => {
                let id = found.id.clone();
                self.report_step(&id, InstanceRefreshStep::Joined, session);
                id
            }
            RefreshDecision::Start => match self.start(session).await {
                Ok(id) => id,
                Err(outcome) => return outcome,
            },
        };
        if let Some(command) = command
            && let Err(error) = self.pass_on(command, &id, session).await
            && !self.is_obeyed(command, &id, session).await
        {
            let (name, why) = (command.name(), with_remedy(&error));
            return self.context.fail(format!("cannot {name} instance refresh {id}: {why}"));
        }
        self.follow(&id, session).await
    }

    /// Looks at the latest refresh and at the fleet once more.
    async fn begin_anew(&mut self, session: &mut Session<'_>) -> Result<(), ProviderError> {
        self.latest = self.ask(None, session).await?;
        let context = &mut self.context;
        let look = context.observer.look(None, &context.look.record, session).await?;
        self.restore(look);
        Ok(())
    }

    /// Asks for the refresh of this id, or for the latest one, with retries.
    async fn ask(
        &self,
        id: Option<&str>,
        session: &mut Session<'_>,
    ) -> Result<Option<DelegatedRollout>, ProviderError> {
        self.context.ask(None, session, |fleet| latest(fleet, id.map(str::to_owned))).await
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
        let clock = Arc::clone(&self.context.clock);
        let mut retry = Retry::new(self.context.caller.jitter).since(clock.now());
        let mut doubtful = false;
        loop {
            if session.heed() != Stop::No {
                let message = "it is unknown whether an instance refresh was started; if so, the \
                               next run finds it";
                let message = if doubtful { message } else { NOTHING_DONE };
                return Err(self.context.interrupted(message));
            }
            let error = match self.ask_to_start().await {
                Ok(id) => {
                    self.report_step(&id, InstanceRefreshStep::Started, session);
                    let wanted = self.context.wanted.clone();
                    self.latest = Some(DelegatedRollout::started(id.clone(), wanted));
                    return Ok(id);
                }
                Err(error) => error,
            };
            doubtful |= error.effect == Effect::Unknown;
            if let Some(id) = self.join_another(&error, session).await? {
                return Ok(id);
            }
            let is_hopeless = !error.is_retryable() && error.effect != Effect::Unknown;
            let now = clock.now();
            let Some(pause) = retry.failed(now, RETRY_BUDGET).filter(|_| !is_hopeless) else {
                let why = with_remedy(&error);
                return Err(self.context.fail(format!("cannot start an instance refresh: {why}")));
            };
            session.send(now, Event::Retrying { error: error.to_string() });
            session.pause(&*clock, pause).await;
        }
    }

    async fn ask_to_start(&self) -> Result<String, ProviderError> {
        let preferences = instance_refresh::preferences(&self.context.spec, self.context.size())?;
        rollout_controller(&*self.fleet)?.start(&self.context.wanted, &preferences).await
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
                return Err(self.context.fail(StartError::GroupUnseen(error).to_string()));
            }
        }
        match self.found().next() {
            RefreshDecision::Join(found) => {
                let id = found.id.clone();
                let step = match error.effect {
                    Effect::Unknown => InstanceRefreshStep::Started,
                    Effect::Applied | Effect::NotApplied => InstanceRefreshStep::Joined,
                };
                self.report_step(&id, step, session);
                Ok(Some(id))
            }
            RefreshDecision::Foreign(found) => {
                let reason = foreign(found);
                Err(self.leave_alone(reason))
            }
            RefreshDecision::Nothing | RefreshDecision::Start => Ok(None),
        }
    }

    /// Makes the cloud carry out `command`, unless it already does.
    async fn pass_on(
        &self,
        command: Command,
        id: &str,
        session: &mut Session<'_>,
    ) -> Result<(), ProviderError> {
        let rollout_controller = rollout_controller(&*self.fleet)?;
        if self.latest.as_ref().is_some_and(|found| is_obeyed(command, found.state)) {
            return Ok(());
        }
        let (clock, jitter) = (&*self.context.clock, self.context.caller.jitter);
        let step = match command {
            Command::Abort => {
                with_retries(clock, jitter, || rollout_controller.cancel()).await?;
                InstanceRefreshStep::Cancelled
            }
            Command::Rollback => {
                with_retries(clock, jitter, || rollout_controller.roll_back()).await?;
                InstanceRefreshStep::RolledBack
            }
            Command::Pause | Command::Resume => return Ok(()),
        };
        self.report_step(id, step, session);
        Ok(())
    }

    /// Whether the refresh does what `command` asks for although the call failed: an answer may
    /// have been lost.
    async fn is_obeyed(&self, command: Command, id: &str, session: &mut Session<'_>) -> bool {
        let found = self.ask(Some(id), session).await.ok().flatten();
        found.is_some_and(|found| is_obeyed(command, found.state))
    }

    /// Looks at the refresh and at the fleet until the refresh is over.
    async fn follow(&mut self, id: &str, session: &mut Session<'_>) -> Outcome {
        let clock = Arc::clone(&self.context.clock);
        let (spec, target) = (&self.context.spec, &self.context.target);
        let mut polls = Schedule::polling(spec.poll_interval, self.context.caller.jitter);
        let mut following = Following::new(clock.now(), spec, target);
        let mut shown = LastReported::default();
        loop {
            if session.heed() != Stop::No {
                let reason = format!("instance refresh {id} continues without this program");
                return self.context.interrupted(&reason);
            }
            let (found, fleet_changed) = match self.look_at_both(id, session).await {
                Ok(Some(found)) => found,
                Ok(None) if following.may_lag(clock.now()) => {
                    session.pause(&*clock, polls.pause()).await;
                    continue;
                }
                Ok(None) => {
                    return self.context.fail(format!("instance refresh {id} is not listed"));
                }
                Err(error) => {
                    return self
                        .context
                        .fail(format!("instance refresh {id} can no longer be read: {error}"));
                }
            };
            let now = clock.now();
            let changed = fleet_changed || self.latest.as_ref() != Some(&found);
            if changed {
                polls.start_over();
            }
            self.latest = Some(found.clone());
            let unhealthy = instance_refresh::unhealthy(&self.context.target, &self.context.look);
            let begins_rollback = following.observe(&found, changed, unhealthy, now);
            shown.counts(&self.context.input(now), session);
            if begins_rollback {
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
        let template = self.context.look.template.as_ref();
        if let Some(to) = template.map(|found| self.context.target.resolve(found).clone()) {
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
        if outcome == Outcome::Succeeded {
            let message =
                |left| format!("instance refresh {} is {}, and {left}", found.id, found.status);
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
    async fn conclude_served(
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
            if clock.now() > left.deadline || session.is_stopping() {
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
        instance_refresh::cause(found, unhealthy, &activities)
    }

    fn report_step(&self, id: &str, step: InstanceRefreshStep, session: &mut Session<'_>) {
        session.send(self.context.clock.now(), Event::InstanceRefresh { id: id.to_owned(), step });
    }

    fn leave_alone(&mut self, reason: String) -> Outcome {
        self.context.fail(reason);
        Outcome::Locked
    }
}
