//! Has the cloud carry a rollout out as an instance refresh, and gives it commands.
//! [`crate::rollout::delegated`] decides what the refresh that is found means.

use std::sync::Arc;

use async_trait::async_trait;
use rolling_provider::{
    DelegatedRollout, DelegatedRolloutState, Fleet, Observation, ProviderError, Revision,
    RolloutController, Timestamp,
};

use super::context::RolloutContext;
use super::control_outcome::ControlOutcome;
use super::executor::{RolloutExecutor, UnderWay};
use super::look_up::with_retries;
use super::session::Session;
use crate::model::event::{Outcome, Report};
use crate::model::preview::Preview;
use crate::model::wait::Wait;
use crate::record::Record;
use crate::record::command::Command;
use crate::rollout::control::CommandReply;
use crate::rollout::delegated::{
    self, DelegatedContext, DelegatedDecision, Idle, as_rollout_of, can_redeploy,
};
use crate::rollout::planner::{self, Preflight};
use crate::rollout::state::RolloutState;

/// See the module. It takes no lease: a group has one refresh at a time.
pub(super) struct DelegatedExecutor {
    pub(super) fleet: Arc<dyn Fleet>,
    pub(super) context: RolloutContext,
    /// The latest rollout of the platform's own.
    pub(super) latest: Option<DelegatedRollout>,
    /// What the whole fleet ran before this process started a rollout.
    pub(super) ran_before: Option<Revision>,
    /// This process's own command for the rollout under way.
    pub(super) command: Option<Command>,
    /// Whether the platform has accepted that.
    pub(super) is_accepted: bool,
    /// Whether instances did not serve in time after a rollout that the platform has completed.
    pub(super) has_not_served: bool,
}

impl DelegatedExecutor {
    /// Looks up the latest refresh of what `context` has just looked up.
    ///
    /// # Errors
    /// The error of the cloud. A rollout of the engine `rolling` has to end first.
    pub(super) async fn new(
        fleet: Arc<dyn Fleet>,
        context: RolloutContext,
    ) -> Result<Self, ProviderError> {
        let (latest, ran_before, command) = (None, None, None);
        let (is_accepted, has_not_served) = (false, false);
        let mut executor =
            Self { fleet, context, latest, ran_before, command, is_accepted, has_not_served };
        executor.latest = executor.look_up_latest().await?;
        executor.restore(executor.context.look.clone());
        executor.context.note_what_ran();
        let record = Record::from_tags(&executor.context.look.record).map_err(|why| {
            ProviderError::invalid("read the rollout record", "", why.to_string())
        })?;
        if let Some(record) = record.filter(|record| !record.is_over()) {
            let message = format!("rollout {} is {} on the group", record.id, record.status());
            let error = ProviderError::invalid("check the group", "engine", message).as_conflict();
            return Err(error.with_remedy("finish or abort it with engine rolling first"));
        }
        Ok(executor)
    }

    /// What the platform calls its rollouts.
    pub(super) fn kind(&self) -> &'static str {
        self.fleet.rollout_controller().map_or("rollout", RolloutController::kind)
    }

    async fn look_up_latest(&self) -> Result<Option<DelegatedRollout>, ProviderError> {
        let (clock, jitter) = (&*self.context.clock, self.context.caller.jitter);
        let found = with_retries(clock, jitter, || latest(Arc::clone(&self.fleet), None)).await?;
        Ok(found.map(|found| as_rollout_of(&self.context.target, found)))
    }

    /// Starts over from `look`: nothing of ours is on the group, so the look is all that is known.
    pub(super) fn restore(&mut self, look: Observation) {
        let context = &mut self.context;
        let mut state = RolloutState::new(context.caller.rollout_id.as_str(), look.at);
        state.known_completed.clone_from(&context.caller.completed);
        state.observe(&context.target, &context.spec.health, &look);
        (context.state, context.look) = (state, look);
    }

    /// The group and its latest refresh.
    pub(super) fn found(&self) -> DelegatedContext<'_> {
        let RolloutContext { spec, target, look, state, .. } = &self.context;
        let known_completed = state.known_completed.as_ref();
        DelegatedContext {
            kind: self.kind(),
            latest: self.latest.as_ref(),
            spec,
            target,
            look,
            known_completed,
        }
    }
}

#[async_trait]
impl RolloutExecutor for DelegatedExecutor {
    fn context(&self) -> &RolloutContext {
        &self.context
    }

    fn context_mut(&mut self) -> &mut RolloutContext {
        &mut self.context
    }

    async fn look_again(&mut self) -> Result<(), ProviderError> {
        self.latest = self.look_up_latest().await?;
        let look = self.context.look_with_retries().await?;
        self.restore(look);
        Ok(())
    }

    async fn may_begin(&self) -> Result<(), ProviderError> {
        let RolloutContext { spec, target, look, .. } = &self.context;
        match self.found().next() {
            DelegatedDecision::Nothing | DelegatedDecision::Foreign(_) => Ok(()),
            DelegatedDecision::Join(_) => self.context.may_roll(false).await,
            DelegatedDecision::Start => {
                let size = self.context.size();
                delegated::refuse(spec, target, look, size)?;
                self.context.may_roll(true).await?;
                let settings = delegated::settings(spec, size)?;
                rollout_controller(&*self.fleet)?.check(&settings).await
            }
        }
    }

    fn preview(&self) -> Preview {
        let mut preview = planner::preview(&self.context.input(self.context.look.at));
        self.found().add_to(&mut preview);
        self.context.warn_of_alarms(&mut preview);
        preview
    }

    fn preflight(&self) -> Vec<Preflight> {
        Vec::new()
    }

    fn completed(&self) -> Option<Revision> {
        self.found().completed().cloned()
    }

    /// The cloud does not tell what it waits for.
    fn waits(&self) -> Vec<Wait> {
        Vec::new()
    }

    fn waits_for_operator(&self) -> bool {
        false
    }

    fn under_way(&self) -> Option<UnderWay> {
        let found = self.found().under_way()?;
        let (id, to) = (found.id.clone(), self.context.wanted.to_string());
        Some(UnderWay { id, to, status: delegated::status(found) })
    }

    fn status(&self) -> Option<(&'static str, Option<String>)> {
        self.found().status()
    }

    fn delegated_rollout(&self) -> Option<&DelegatedRollout> {
        self.latest.as_ref()
    }

    fn foreign_rollout(&self) -> Option<String> {
        self.found().foreign()
    }

    fn unproven(&self) -> Option<Idle> {
        self.found().unproven()
    }

    fn allow(&self, command: Command) -> Result<(), ProviderError> {
        self.found().allow(command)
    }

    fn idle(&self, command: Command) -> Option<CommandReply> {
        self.found().idle(command).filter(|_| !self.may_redeploy(command))
    }

    /// Cancels the rollout under way, or rolls it back, and follows it to its end.
    async fn command(
        &mut self,
        command: Command,
        session: &mut Session<'_>,
    ) -> Result<ControlOutcome, ProviderError> {
        self.allow(command)?;
        if let Some(answer) = self.idle(command) {
            return Ok(ControlOutcome::NoOp(answer));
        }
        self.command = Some(command);
        Ok(ControlOutcome::RanHere(Box::new(self.run(session).await)))
    }

    async fn roll(&mut self, session: &mut Session<'_>) -> Outcome {
        self.start_and_follow(session).await
    }

    fn report(&self, outcome: Outcome, started: Timestamp) -> Report {
        let report = self.context.report(outcome, self.completed(), started);
        let state = self.latest.as_ref().map(|latest| latest.state);
        // Something was done before somebody else began something.
        let overtaken =
            outcome == Outcome::Locked && state == Some(DelegatedRolloutState::Superseded);
        let delegated_rollout = self.latest.as_ref().map(Into::into);
        let report = Report { delegated_rollout, overtaken, ..report };
        if !can_redeploy(&self.context.spec) {
            return report;
        }
        // The platform sizes the environment, and its label is no template that somebody else sets.
        let desired = self.context.look.capacity.map(|capacity| capacity.desired);
        Report { size: desired.unwrap_or(report.size), changed_by_others: Vec::new(), ..report }
    }
}

/// Returns the controller of a fleet that the cloud rolls.
///
/// # Errors
/// Says that this fleet does not.
pub(super) fn rollout_controller(
    fleet: &dyn Fleet,
) -> Result<&dyn RolloutController, ProviderError> {
    fleet.rollout_controller().ok_or_else(|| {
        let message = "nothing but this program rolls this fleet";
        let error = ProviderError::invalid("open the fleet", "engine", message);
        error.with_remedy("roll with engine rolling")
    })
}

/// Asks for the refresh of this id, or for the latest one.
///
/// # Errors
/// The error of the cloud.
pub(super) async fn latest(
    fleet: Arc<dyn Fleet>,
    id: Option<String>,
) -> Result<Option<DelegatedRollout>, ProviderError> {
    rollout_controller(&*fleet)?.current(id.as_deref()).await
}
