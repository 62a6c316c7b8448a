//! Starts or joins an instance refresh, and follows it to its end.

use std::time::Duration;

use rolling_provider::{Effect, InstanceRefresh, InstanceRefreshState, ProviderError};

use super::caller::RETRY_BUDGET;
use super::instance_refresh::{foreign, instance_refreshes, latest};
use super::look_up::with_retries;
use super::message::with_remedy;
use super::retry::Retry;
use super::session::Session;
use super::shown::Shown;
use super::start_error::StartError;
use super::{NOTHING_DONE, Rollout, Stop};
use crate::engine::schedule::Schedule;
use crate::model::event::{Event, InstanceRefreshStep, Outcome};
use crate::model::wait::{Wait, WaitKind};
use crate::record::command::Command;
use crate::rollout::instance_refresh::{self, Next};
use crate::rollout::state::Halt;

/// How long a refresh's last instances may still show after it is over, since reads lag.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

impl Rollout {
    /// Starts or joins the refresh, or carries out `self.command` on it, and follows it.
    pub(super) async fn run_instance_refresh(&mut self, session: &mut Session<'_>) -> Outcome {
        // Other refreshes may have been followed since the target was looked up.
        if let Err(error) = self.observe_instance_refresh(session).await {
            return self.fail(StartError::GroupUnseen(error).to_string());
        }
        let command = self.command.as_ref().map(|control| control.command);
        if let (Some(command), Next::Nothing | Next::Start) = (command, self.next()) {
            let name = command.name();
            return self.fail(format!("the instance refresh was over before it could {name}"));
        }
        let id = match self.next() {
            Next::Nothing => {
                let to = self.wanted.clone();
                let message = |left| format!("there is nothing to replace for {to}, and {left}");
                return self.conclude_served(message, Shown::default(), session).await;
            }
            Next::Foreign(instance_refresh) => {
                let reason = foreign(instance_refresh);
                return self.leave_alone(reason);
            }
            Next::Join(instance_refresh) => {
                let id = instance_refresh.id.clone();
                self.report_step(&id, InstanceRefreshStep::Joined, session);
                id
            }
            Next::Start => match self.start_instance_refresh(session).await {
                Ok(id) => id,
                Err(outcome) => return outcome,
            },
        };
        if let Some(command) = command
            && let Err(error) = self.pass_on(command, &id, session).await
            && !self.is_obeyed(command, &id, session).await
        {
            let why = with_remedy(&error);
            let reason = format!("cannot {} instance refresh {id}: {why}", command.name());
            return self.fail(reason);
        }
        self.follow(&id, session).await
    }

    /// Looks at the latest refresh and at the fleet once more.
    async fn observe_instance_refresh(
        &mut self,
        session: &mut Session<'_>,
    ) -> Result<(), ProviderError> {
        self.instance_refresh = self.ask(session, |fleet| latest(fleet, None)).await?;
        let look = self.observer.look(&mut self.lease, &self.look.record, session).await?;
        self.restore_instance_refresh(look);
        Ok(())
    }

    /// Whether the refresh does what `command` asks for although the call failed: an answer may
    /// have been lost.
    async fn is_obeyed(&mut self, command: Command, id: &str, session: &mut Session<'_>) -> bool {
        let ask = |fleet| latest(fleet, Some(id.to_owned()));
        let found = self.ask(session, ask).await.ok().flatten();
        let state = found.map(|instance_refresh| instance_refresh.state);
        match command {
            Command::Abort => state == Some(InstanceRefreshState::Cancelling),
            _ => state == Some(InstanceRefreshState::RollingBack),
        }
    }

    async fn start_instance_refresh(
        &mut self,
        session: &mut Session<'_>,
    ) -> Result<String, Outcome> {
        if let Err(error) = self.make_revision(session).await {
            return Err(self.fail(error.to_string()));
        }
        let mut retry = Retry::new(self.caller.jitter).since(self.clock.now());
        let mut doubtful = false;
        loop {
            if session.heed() != Stop::No {
                let message = "nobody knows whether an instance refresh was started: the next run \
                             finds it if so";
                return Err(self.interrupted(if doubtful { message } else { NOTHING_DONE }));
            }
            let error = match self.ask_to_start().await {
                Ok(id) => {
                    self.report_step(&id, InstanceRefreshStep::Started, session);
                    self.instance_refresh =
                        Some(InstanceRefresh::started(id.clone(), self.wanted.clone()));
                    return Ok(id);
                }
                Err(error) => error,
            };
            doubtful |= error.effect == Effect::Unknown;
            // The answer may be lost, or another process may have been faster.
            match self.ask(session, |fleet| latest(fleet, None)).await {
                Ok(latest) => self.instance_refresh = latest,
                Err(error) => return Err(self.fail(StartError::GroupUnseen(error).to_string())),
            }
            match self.next() {
                Next::Join(instance_refresh) => {
                    let id = instance_refresh.id.clone();
                    let is_ours = error.effect == Effect::Unknown;
                    let step = if is_ours {
                        InstanceRefreshStep::Started
                    } else {
                        InstanceRefreshStep::Joined
                    };
                    self.report_step(&id, step, session);
                    return Ok(id);
                }
                Next::Foreign(instance_refresh) => {
                    let reason = foreign(instance_refresh);
                    return Err(self.leave_alone(reason));
                }
                Next::Nothing | Next::Start => {}
            }
            let is_hopeless = !error.is_retryable() && error.effect != Effect::Unknown;
            let now = self.clock.now();
            let Some(pause) = retry.failed(now, RETRY_BUDGET).filter(|_| !is_hopeless) else {
                let why = with_remedy(&error);
                return Err(self.fail(format!("cannot start an instance refresh: {why}")));
            };
            session.send(now, Event::Retrying { error: error.to_string() });
            self.pause(pause, session).await;
        }
    }

    async fn ask_to_start(&self) -> Result<String, ProviderError> {
        let preferences = instance_refresh::preferences(&self.spec, self.size())?;
        instance_refreshes(&*self.fleet)?.start(&self.wanted, &preferences).await
    }

    /// Makes the cloud carry out `command`, unless it already does.
    async fn pass_on(
        &self,
        command: Command,
        id: &str,
        session: &mut Session<'_>,
    ) -> Result<(), ProviderError> {
        let state = self.instance_refresh.as_ref().map(|instance_refresh| instance_refresh.state);
        let instance_refreshes = instance_refreshes(&*self.fleet)?;
        let step = match command {
            Command::Abort if state != Some(InstanceRefreshState::Cancelling) => {
                with_retries(&*self.clock, self.caller.jitter, || instance_refreshes.cancel())
                    .await?;
                InstanceRefreshStep::Cancelled
            }
            Command::Rollback if state != Some(InstanceRefreshState::RollingBack) => {
                with_retries(&*self.clock, self.caller.jitter, || instance_refreshes.roll_back())
                    .await?;
                InstanceRefreshStep::RolledBack
            }
            _ => return Ok(()),
        };
        self.report_step(id, step, session);
        Ok(())
    }

    /// Looks at the refresh and at the fleet until the refresh is over.
    async fn follow(&mut self, id: &str, session: &mut Session<'_>) -> Outcome {
        let mut polls = Schedule::polling(self.spec.poll_interval, self.caller.jitter);
        let gives_up_after = instance_refresh::gives_up_after(&self.spec, &self.target);
        let mut shown = Shown::default();
        let begin = self.clock.now();
        let mut progressed_at = begin;
        let mut unhealthy = None;
        let mut goes_back = false;
        loop {
            if session.heed() != Stop::No {
                let reason = format!("instance refresh {id} goes on, and is not followed any more");
                return self.interrupted(&reason);
            }
            let (found, fleet_changed) = match self.look_at_both(id, session).await {
                Ok(Some(found)) => found,
                // Reads lag.
                Ok(None) if self.clock.now().since(begin) <= RETRY_BUDGET => {
                    self.pause(polls.pause(), session).await;
                    continue;
                }
                Ok(None) => return self.fail(format!("instance refresh {id} does not show")),
                Err(error) => {
                    return self
                        .fail(format!("cannot see instance refresh {id} any more: {error}"));
                }
            };
            let now = self.clock.now();
            let changed = fleet_changed || self.instance_refresh.as_ref() != Some(&found);
            self.instance_refresh = Some(found.clone());
            if changed {
                progressed_at = now;
                polls.start_over();
            }
            unhealthy = instance_refresh::unhealthy(&self.target, &self.look).or(unhealthy);
            shown.counts(&self.input(now), session);
            if found.state == InstanceRefreshState::RollingBack && !goes_back {
                goes_back = true;
                self.report_rollback(&found, unhealthy.as_deref(), session).await;
            }
            if let Some(outcome) = instance_refresh::verdict(&found) {
                let why = unhealthy.as_deref();
                return self.conclude(outcome, &found, why, shown, session).await;
            }
            if now.since(progressed_at) > gives_up_after {
                return self.fail(stuck(&found, gives_up_after));
            }
            let (kind, instances) = (WaitKind::InstanceRefresh, Vec::new());
            let (detail, deadline) =
                (Some(instance_refresh::summary(&found)), progressed_at + gives_up_after);
            shown.wait_for(vec![Wait { kind, instances, detail, deadline }], now, session);
            self.pause(polls.pause(), session).await;
        }
    }

    /// Looks at the refresh first: a fleet looked at after its end is in the final state.
    async fn look_at_both(
        &mut self,
        id: &str,
        session: &mut Session<'_>,
    ) -> Result<Option<(InstanceRefresh, bool)>, ProviderError> {
        let ask = |fleet| latest(fleet, Some(id.to_owned()));
        let Some(found) = self.ask(session, ask).await? else { return Ok(None) };
        let changed = self.observe(session).await?;
        Ok(Some((found, changed)))
    }

    async fn report_rollback(
        &mut self,
        found: &InstanceRefresh,
        unhealthy: Option<&str>,
        session: &mut Session<'_>,
    ) {
        let reason = self.explain_instance_refresh(found, unhealthy).await;
        let back = self.look.template.as_ref().map(|found| self.target.resolve(found).clone());
        if let Some(to) = back {
            let asked =
                self.command.as_ref().is_some_and(|command| command.command == Command::Rollback);
            session.send(self.clock.now(), Event::RollingBack { reason, to, asked });
        }
    }

    async fn conclude(
        &mut self,
        outcome: Outcome,
        found: &InstanceRefresh,
        unhealthy: Option<&str>,
        shown: Shown,
        session: &mut Session<'_>,
    ) -> Outcome {
        if outcome == Outcome::Succeeded {
            let message =
                |left| format!("instance refresh {} is {}, and {left}", found.id, found.status);
            return self.conclude_served(message, shown, session).await;
        }
        let mut reason = self.explain_instance_refresh(found, unhealthy).await;
        if outcome == Outcome::RolledBack {
            let left = self.settle(false, shown, session).await;
            reason.extend(left.map(|left| format!("; {left}")));
            self.state.direction.rolls_back = Some(reason);
            return outcome;
        }
        self.state.direction.halt = Some(Halt::failed(reason, self.clock.now()));
        outcome
    }

    /// Ends a run in which AWS has nothing left to do: as a success when the fleet serves, else
    /// with `message` about what does not.
    async fn conclude_served(
        &mut self,
        message: impl Fn(String) -> String,
        shown: Shown,
        session: &mut Session<'_>,
    ) -> Outcome {
        match self.settle(true, shown, session).await {
            None => Outcome::Succeeded,
            Some(left) if session.is_stopping() => self.interrupted(&message(left)),
            Some(left) => self.fail(message(left)),
        }
    }

    /// Waits until looks show that the fleet serves and, with `rolled`, that the refresh has done
    /// its work. Returns what is missing: a refresh that is Successful proves none of this.
    async fn settle(
        &mut self,
        rolled: bool,
        mut shown: Shown,
        session: &mut Session<'_>,
    ) -> Option<String> {
        let mut polls = Schedule::polling(self.spec.poll_interval, self.caller.jitter);
        let begin = self.clock.now();
        loop {
            let (left, deadline) = match self.not_rolled().filter(|_| rolled) {
                Some(left) => (left, begin + SETTLES_WITHIN),
                None => {
                    let idle = instance_refresh::idle(&self.spec, &self.target, &self.look)?;
                    let launched_at = idle.launched_at.unwrap_or(begin);
                    let deadline = launched_at + self.spec.health.healthy_timeout;
                    let deadline = deadline.max(begin + SETTLES_WITHIN);
                    let (kind, instances) = (WaitKind::Health, idle.instances);
                    let detail = Some(idle.message.clone());
                    let wait = Wait { kind, instances, detail, deadline };
                    shown.wait_for(vec![wait], self.clock.now(), session);
                    (idle.message, deadline)
                }
            };
            if self.clock.now() > deadline || session.is_stopping() {
                return Some(left);
            }
            self.pause(polls.pause(), session).await;
            match self.observe(session).await {
                Ok(true) => polls.start_over(),
                Ok(false) => {}
                Err(error) => return Some(format!("{left} ({error})")),
            }
        }
    }

    /// Returns what a refresh to the revision has not done, if anything.
    fn not_rolled(&self) -> Option<String> {
        if instance_refresh::is_done(&self.spec, &self.target, &self.look) {
            return None;
        }
        let old = instance_refresh::old(&self.spec, &self.target, &self.look).next();
        Some(match old {
            Some((id, instance)) => {
                let runs = instance.revision.as_ref().map_or("something else", |r| r.as_str());
                format!("{id} runs {runs} all the same")
            }
            None => format!("the group does not launch {} yet", self.target.revision),
        })
    }

    /// Returns why the refresh did not succeed, with what the group itself reports.
    async fn explain_instance_refresh(
        &mut self,
        found: &InstanceRefresh,
        unhealthy: Option<&str>,
    ) -> String {
        let activities = match self.fleet.activities(found.started).await {
            Ok(activities) => activities,
            Err(error) => {
                // This loses only an explanation.
                tracing::warn!(%error, "cannot read the fleet's activities");
                Vec::new()
            }
        };
        instance_refresh::cause(found, unhealthy, &activities)
    }

    fn report_step(&self, id: &str, step: InstanceRefreshStep, session: &mut Session<'_>) {
        session.send(self.clock.now(), Event::InstanceRefresh { id: id.to_owned(), step });
    }

    fn leave_alone(&mut self, reason: String) -> Outcome {
        self.state.direction.halt = Some(Halt::failed(reason, self.clock.now()));
        Outcome::Locked
    }
}

/// Says that a refresh makes no progress.
fn stuck(found: &InstanceRefresh, gives_up_after: Duration) -> String {
    let limit = humantime::format_duration(gives_up_after);
    let summary = instance_refresh::summary(found);
    format!(
        "instance refresh {} has not got any further for {limit} ({summary}), and still runs",
        found.id
    )
}
