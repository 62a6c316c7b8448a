//! What a platform does not do by itself, where it carries a rollout out: its settings are brought to
//! what the rollout needs beforehand, and the completed revision is deployed again after a failure.

use std::sync::Arc;
use std::time::Duration;

use rolling_provider::{DelegatedRolloutState, ErrorKind, Fleet, Preparation, Revision};

use super::caller::Stop;
use super::delegated_executor::{DelegatedExecutor, rollout_controller};
use super::message::with_remedy;
use super::schedule::Schedule;
use super::session::Session;
use super::shown::LastReported;
use super::start_error::StartError;
use crate::model::event::{DelegatedRolloutStep, Event, Outcome};
use crate::model::wait::{Wait, WaitKind};
use crate::record::command::Command;
use crate::rollout::delegated::{
    self, DelegatedDecision, can_redeploy, foreign, rolls_back_here, rolls_back_where_completed,
};

/// How long a change of the platform's settings may take.
const PREPARED_WITHIN: Duration = Duration::from_secs(1800);

/// How long a change of them may not show, since reads lag.
const SHOWS_WITHIN: Duration = Duration::from_secs(60);

impl DelegatedExecutor {
    /// Brings the platform's settings to what the rollout needs, and waits for that. Returns the id of a
    /// rollout that somebody else has started meanwhile, to be followed.
    pub(super) async fn prepare(
        &mut self,
        session: &mut Session<'_>,
    ) -> Result<Option<String>, Outcome> {
        let clock = Arc::clone(&self.context.clock);
        let jitter = self.context.caller.jitter;
        let mut polls = Schedule::polling(self.context.spec.poll_interval, jitter);
        let (mut shown, mut changed) = (LastReported::default(), Vec::new());
        let (mut changed_at, mut busy) = (None, None);
        let deadline = clock.now() + PREPARED_WITHIN;
        let mut has_waited = false;
        loop {
            if session.heed() != Stop::No {
                let message = match changed.is_empty() {
                    true => super::caller::NOTHING_DONE,
                    false => "the platform completes the change of its settings by itself",
                };
                return Err(self.context.interrupted(message));
            }
            // While it is busy somebody else may have been faster.
            if has_waited && let Some(id) = self.look_for_another(session).await? {
                return Ok(Some(id));
            }
            let now = clock.now();
            match self.ask_to_prepare(&changed, session).await? {
                Preparation::Done => return Ok(None),
                Preparation::Changed(phrases) if changed.is_empty() => {
                    (changed, changed_at) = (phrases, Some(now));
                }
                Preparation::Changed(phrases)
                    if changed_at.is_some_and(|at| now.since(at) > SHOWS_WITHIN) =>
                {
                    let others = phrases.join("; ");
                    let message = format!(
                        "the platform's settings did not stay as they were set, and would have to \
                         be set again: {others}"
                    );
                    return Err(self.context.fail(message));
                }
                Preparation::Changed(_) => {}
                Preparation::Busy(with) => busy = Some(with),
            }
            has_waited = true;
            let what = (!changed.is_empty()).then(|| changed.join("; "));
            let detail = what.or(busy.take());
            if now > deadline {
                let what = detail.map_or(String::new(), |what| format!(": {what}"));
                let message = format!("the platform is still busy after 30m{what}");
                return Err(self.context.fail(message));
            }
            let (kind, instances) = (WaitKind::Change, Vec::new());
            shown.wait_for(vec![Wait { kind, instances, detail, deadline }], now, session);
            session.pause(&*clock, polls.pause()).await;
        }
    }

    /// Asks the platform to set what is not so yet. `changed` is what was set before.
    async fn ask_to_prepare(
        &mut self,
        changed: &[String],
        session: &mut Session<'_>,
    ) -> Result<Preparation, Outcome> {
        let settings = match delegated::settings(&self.context.spec, self.context.size()) {
            Ok(settings) => settings,
            Err(error) => return Err(self.context.fail(with_remedy(&error))),
        };
        // What somebody sets back meanwhile is theirs.
        let may_change = changed.is_empty();
        let prepare = |fleet: Arc<dyn Fleet>| {
            let settings = settings.clone();
            async move { rollout_controller(&*fleet)?.prepare(&settings, may_change).await }
        };
        match self.context.ask(None, session, prepare).await {
            Ok(preparation) => Ok(preparation),
            // It is busy with what was set a moment ago.
            Err(error) if error.kind == ErrorKind::Conflict && !changed.is_empty() => {
                Ok(Preparation::Busy(error.message))
            }
            Err(error) if error.kind == ErrorKind::Conflict => {
                Err(self.leave_alone(with_remedy(&error)))
            }
            Err(error) => {
                let why = with_remedy(&error);
                Err(self.context.fail(format!("cannot set the platform's settings: {why}")))
            }
        }
    }

    /// Looks again, and returns what is found to follow.
    async fn look_for_another(
        &mut self,
        session: &mut Session<'_>,
    ) -> Result<Option<String>, Outcome> {
        if let Err(error) = self.begin_anew(session).await {
            return Err(self.context.fail(StartError::FleetUnseen(error).to_string()));
        }
        self.found_to_follow(session).await
    }

    /// Returns the id of a rollout to the wanted revision that is under way, `None` where one is to be
    /// started, or the outcome where nothing is left to start.
    pub(super) async fn found_to_follow(
        &mut self,
        session: &mut Session<'_>,
    ) -> Result<Option<String>, Outcome> {
        match self.found().next() {
            DelegatedDecision::Start => Ok(None),
            DelegatedDecision::Join(found) => {
                let id = found.id.clone();
                self.ran_before = self.to_go_back_to();
                self.report_step(&id, DelegatedRolloutStep::Joined, session);
                Ok(Some(id))
            }
            DelegatedDecision::Foreign(found) => {
                let reason = foreign(found);
                Err(self.leave_alone(reason))
            }
            DelegatedDecision::Nothing => {
                let to = self.context.wanted.clone();
                let message = |left| format!("no instance has to be replaced for {to}, but {left}");
                Err(self.conclude_served(message, LastReported::default(), session).await)
            }
        }
    }

    /// Whether the completed revision is to be deployed again after a rollout that came to `outcome`.
    pub(super) fn goes_back_after(&self, outcome: Outcome) -> bool {
        let Some(state) = self.latest.as_ref().map(|latest| latest.state) else { return false };
        let spec = &self.context.spec;
        let has_failed = state == DelegatedRolloutState::Failed;
        match self.command {
            _ if !state.is_over() => false,
            // What has gone back already, or belongs to somebody else by now.
            _ if matches!(outcome, Outcome::RolledBack | Outcome::Locked) => false,
            // Also one that could not be ended any more, and has succeeded.
            Some(Command::Rollback) => can_redeploy(spec),
            Some(_) => false,
            // What the platform has completed is undone only for what does not serve in time.
            None if self.has_not_served => rolls_back_where_completed(spec),
            None => outcome == Outcome::Failed && has_failed && rolls_back_here(spec),
        }
    }

    /// Whether `command` deploys the completed revision again although no rollout is under way: one that
    /// is over has left instances that do not run the wanted one, or do not serve.
    pub(super) fn may_redeploy(&self, command: Command) -> bool {
        let found = self.found();
        let is_mixed = found.next() == DelegatedDecision::Start || found.unproven().is_some();
        let back = self.to_go_back_to().filter(|_| is_mixed && can_redeploy(&self.context.spec));
        let runs = |back: Revision| {
            let mut live = self.context.look.instances.values();
            live.any(|instance| instance.revision.as_ref() != Some(&back))
        };
        command == Command::Rollback && back.is_some_and(runs)
    }

    /// Deploys the completed revision again, and follows that to its end.
    pub(super) async fn redeploy(&mut self, session: &mut Session<'_>) -> Outcome {
        let asked = self.command == Some(Command::Rollback);
        // Both are about the rollout that is over.
        (self.is_accepted, self.has_not_served) = (true, false);
        let halt = self.context.state.direction.halt.take();
        let failed = halt.map(|halt| halt.reason);
        let reason = match asked {
            true => "somebody has asked for it".to_owned(),
            false => failed.unwrap_or_else(|| "it failed".to_owned()),
        };
        let Some(to) = self.to_go_back_to() else {
            let why = "no completed revision is known, so that none can be deployed again";
            return self.context.fail(format!("{reason}; {why}"));
        };
        let (now, shown) = (self.context.clock.now(), reason.clone());
        session.send(now, Event::RollingBack { reason: shown, to: to.clone(), asked });
        self.context.target.revision = to.clone();
        let outcome = match self.start_to(&to, session).await {
            Ok(id) => self.follow(&id, session).await,
            Err(outcome) => outcome,
        };
        if outcome == Outcome::Succeeded {
            self.context.state.direction.rolls_back = Some(reason);
            return Outcome::RolledBack;
        }
        if let Some(halt) = &mut self.context.state.direction.halt {
            halt.reason = format!("{reason}; and the rollback is not complete: {}", halt.reason);
        }
        outcome
    }

    /// Returns what the fleet ran before: all of it when this process began, or else what all instances
    /// run that do not run the wanted revision yet, or what the caller or the platform knows.
    pub(super) fn to_go_back_to(&self) -> Option<Revision> {
        let wanted = &self.context.wanted;
        let is_other = |revision: &Revision| revision != wanted;
        let live = self.context.look.instances.values();
        let mut others = live.filter_map(|it| it.revision.clone()).filter(is_other);
        let first = others.next();
        let only = first.filter(|first| others.all(|other| other == *first));
        let before = self.ran_before.clone().filter(is_other);
        let known = self.context.state.known_completed.clone().filter(is_other);
        let told = self.latest.as_ref().and_then(|latest| latest.completed_before.clone());
        before.or(only).or(known).or(told.filter(is_other))
    }
}
