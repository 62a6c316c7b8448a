//! What a rollout asks of whatever carries it out.

use std::time::Duration;

use async_trait::async_trait;
use rolling_provider::{DelegatedRollout, ProviderError, Revision, Timestamp};

use super::context::RolloutContext;
use super::control_outcome::ControlOutcome;
use super::session::Session;
use crate::model::event::{Event, Outcome, Report};
use crate::model::preview::Preview;
use crate::model::wait::Wait;
use crate::record::command::Command;
use crate::rollout::control::CommandReply;
use crate::rollout::delegated::Idle;
use crate::rollout::planner::Preflight;

/// A rollout that is under way on a target, or waits for a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// Its name.
    pub id: String,
    /// The revision that it leads to.
    pub to: String,
    /// Its progress.
    pub status: &'static str,
}

/// Carries a rollout out: this program, or the cloud by itself.
///
/// [`super::Rollout`] documents each of these for its callers.
#[async_trait]
pub(super) trait RolloutExecutor: Send + Sync {
    /// What is known of the fleet.
    fn context(&self) -> &RolloutContext;

    fn context_mut(&mut self) -> &mut RolloutContext;

    async fn look_again(&mut self) -> Result<(), ProviderError>;

    async fn may_begin(&self) -> Result<(), ProviderError>;

    fn preview(&self) -> Preview;

    fn preflight(&self) -> Vec<Preflight>;

    fn completed(&self) -> Option<Revision>;

    fn waits(&self) -> Vec<Wait>;

    /// How long ago another engine has noted what it waits for; `None` where none has.
    fn waits_noted(&self) -> Option<Duration> {
        None
    }

    fn waits_for_operator(&self) -> bool;

    fn under_way(&self) -> Option<UnderWay>;

    fn status(&self) -> Option<(&'static str, Option<String>)>;

    /// The latest refresh of the fleet, where the cloud carries the rollout out.
    fn delegated_rollout(&self) -> Option<&DelegatedRollout> {
        None
    }

    /// Returns a sentence about a refresh of another configuration that is under way.
    fn foreign_rollout(&self) -> Option<String> {
        None
    }

    /// Returns the instances that do not serve although the cloud has nothing left to replace.
    fn unproven(&self) -> Option<Idle> {
        None
    }

    /// Refuses a command that nobody could obey.
    fn allow(&self, _command: Command) -> Result<(), ProviderError> {
        Ok(())
    }

    fn idle(&self, command: Command) -> Option<CommandReply>;

    async fn command(
        &mut self,
        command: Command,
        session: &mut Session<'_>,
    ) -> Result<ControlOutcome, ProviderError>;

    /// Rolls to the end, between the first event and the last.
    async fn roll(&mut self, session: &mut Session<'_>) -> Outcome;

    /// Returns the report on what began at `started` and came to `outcome`.
    fn report(&self, outcome: Outcome, started: Timestamp) -> Report;

    /// Runs from the first event to the last.
    async fn run(&mut self, session: &mut Session<'_>) -> Report {
        let started = self.begin(session);
        let outcome = self.roll(session).await;
        self.finish(outcome, started, session)
    }

    /// Sends the first event. Returns when the run began.
    fn begin(&self, session: &mut Session<'_>) -> Timestamp {
        let started = self.context().clock.now();
        session.send(started, Event::Started { preview: self.preview() });
        started
    }

    /// Sends the last event. Returns the report in it.
    fn finish(&self, outcome: Outcome, started: Timestamp, session: &mut Session<'_>) -> Report {
        let report = self.report(outcome, started);
        session.send(self.context().clock.now(), Event::Finished { report: report.clone() });
        report
    }
}
