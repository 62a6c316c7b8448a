//! Carries a rollout out in this program, by the planner.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rolling_provider::{
    Clock, Fleet, InstanceId, Observation, ProviderError, Revision, Target, Timestamp,
};
use tokio::sync::Notify;

use super::context::RolloutContext;
use super::control_outcome::ControlOutcome;
use super::executor::{RolloutExecutor, UnderWay};
use super::gate_runner::GateRunner;
use super::hook_runner::HookRunner;
use super::lease_keeper::LeaseKeeper;
use super::session::Session;
use super::start_error::StartError;
use super::unstartable::unstartable;
use crate::model::event::{Event, Outcome, Report};
use crate::model::preview::Preview;
use crate::model::spec::RollingDeployment;
use crate::model::wait::{Wait, WaitKind};
use crate::record::command::{Command, Control};
use crate::record::{Phase, Record, RecordError};
use crate::rollout::conditions;
use crate::rollout::control::{CommandReply, no_op};
use crate::rollout::planner::{self, Input, Plan, Preflight, RejectedPlans, View};
use crate::rollout::recovery::RestoreInput;
use crate::rollout::state::Halt;

/// See the module.
pub(super) struct RollingExecutor {
    pub(super) fleet: Arc<dyn Fleet>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) context: RolloutContext,
    /// What the document says. What applies now differs from it while the rollout goes back.
    asked: RollingDeployment,
    /// This process's own command for a rollout found on the target.
    pub(super) command: Option<Control>,
    pub(super) lease: LeaseKeeper,
    pub(super) gate_runner: GateRunner,
    pub(super) hook_runner: HookRunner,
    /// Notified when a gate has answered, or a hook has ended.
    pub(super) answered: Arc<Notify>,
    /// The history of plans that broke a promise.
    pub(super) rejected: RejectedPlans,
}

impl RollingExecutor {
    /// Begins with what `context` has just looked up.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub(super) async fn new(
        fleet: Arc<dyn Fleet>,
        context: RolloutContext,
    ) -> Result<Self, ProviderError> {
        let clock = Arc::clone(&context.clock);
        let answered = Arc::<Notify>::default();
        let (shared, time) = (|| Arc::clone(&fleet), || Arc::clone(&clock));
        let hook_driver = context.caller.hook_driver.clone();
        let mut executor = Self {
            lease: LeaseKeeper::new(shared(), time(), &context.caller),
            gate_runner: GateRunner::new(shared(), time(), Arc::clone(&answered)),
            hook_runner: HookRunner::new(shared(), time(), hook_driver, Arc::clone(&answered)),
            answered,
            asked: context.spec.clone(),
            command: None,
            rejected: RejectedPlans::default(),
            context,
            clock,
            fleet,
        };
        executor.restore_from_last_look().map_err(|why| {
            ProviderError::invalid("read the rollout record", "", why.to_string()).with_remedy(
                "finish the rollout with the version of rolling that began it; or, if nothing is \
                 borrowed any more, remove the tags that start with rolling:",
            )
        })?;
        executor.context.note_what_ran();
        executor.ask_why_missing().await;
        Ok(executor)
    }

    /// Asks the fleet, which itself knows why an instance is missing.
    async fn ask_why_missing(&mut self) {
        if View::new(&self.input(self.context.look.at)).missing > 0 {
            self.context.ask_why_missing().await;
        }
    }

    /// Starts over from `look`.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub(super) fn restore_from_record(&mut self, look: Observation) -> Result<(), RecordError> {
        let context = &mut self.context;
        let wanted = context.goal();
        let known = RestoreInput {
            asked: &self.asked,
            target: &context.target,
            wanted: &wanted,
            rollout_id: &context.caller.rollout_id,
            completed: context.caller.completed.as_ref(),
            lease: self.lease.first(),
            command: self.command.as_ref(),
        };
        let restored = known.restore(look)?;
        (context.spec, context.target) = (restored.spec, restored.target);
        (context.look, context.state) = (restored.look, restored.state);
        Ok(())
    }

    /// Begins anew from the last look.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub(super) fn restore_from_last_look(&mut self) -> Result<(), RecordError> {
        Record::from_tags(&self.context.look.record)?;
        // A look at a large fleet is not copied.
        let look = std::mem::take(&mut self.context.look);
        self.restore_from_record(look)
    }

    /// Creates the wanted revision, if it is only described yet.
    ///
    /// # Errors
    /// When it cannot be created, or the record cannot be read.
    pub(super) async fn make_revision(
        &mut self,
        session: &mut Session<'_>,
    ) -> Result<(), StartError> {
        let made = self.context.make_revision(Some(&mut self.lease), session).await?;
        if made != self.context.wanted {
            self.context.wanted = made;
            self.restore_from_last_look()?;
        }
        Ok(())
    }

    /// Takes a fresh look, and renews the lease meanwhile. Returns whether the fleet changed since
    /// the last one.
    ///
    /// # Errors
    /// The error of the cloud, once another try is not worth it.
    pub(super) async fn observe(
        &mut self,
        session: &mut Session<'_>,
    ) -> Result<bool, ProviderError> {
        self.context.observe(Some(&mut self.lease), session).await
    }

    pub(super) fn halt(&mut self, halt: Halt, session: &mut Session<'_>) {
        self.context.halt(halt, session);
    }

    pub(super) fn input(&self, now: Timestamp) -> Input<'_> {
        self.context.input(now)
    }

    /// Plans this tick.
    pub(super) fn plan(&self, now: Timestamp) -> Plan {
        planner::plan(&self.input(now))
    }

    /// Plans this tick, and judges the plan; see [`planner::judge`].
    pub(super) fn plan_judged(&mut self, now: Timestamp, session: &mut Session<'_>) -> Plan {
        let plan = self.plan(now);
        let input = self.context.input(now);
        let (plan, objection) = planner::judge(&input, plan, &mut self.rejected);
        if let Some(objection) = objection {
            let message = objection.message;
            tracing::error!(message, plan = objection.planned, "a plan breaks a promise");
            if objection.is_first {
                let warning =
                    format!("no action now: the planned actions fail the safety check: {message}");
                session.send(now, Event::Warned { warning });
            }
        }
        plan
    }

    /// The command that this process has for the rollout found on the target.
    pub(super) fn own_command(&self) -> Option<Command> {
        self.command.as_ref().map(|control| control.command)
    }
}

impl RollingExecutor {
    /// Returns what is left of a wait that another engine has noted a moment ago: instances that
    /// serve by now are no longer waited for.
    fn still_waited_for(&self, wait: Wait) -> Option<Wait> {
        if !matches!(wait.kind, WaitKind::Health | WaitKind::Return) {
            return Some(wait);
        }
        let Wait { instances, .. } = &wait;
        let serves = |id: &InstanceId| {
            let context = &self.context;
            let instance = context.look.instances.get(id);
            instance.is_some_and(|it| context.state.serves(&context.target, id, it))
        };
        let left: Vec<InstanceId> = instances.iter().filter(|id| !serves(id)).cloned().collect();
        (instances.is_empty() || !left.is_empty()).then_some(Wait { instances: left, ..wait })
    }

    /// Warns of an engine that is at work on a rollout to another revision.
    fn at_work_elsewhere(&self) -> Option<String> {
        let (context, wall) = (&self.context, self.clock.wall());
        let lease = context.lease().filter(|lease| lease.is_recent(wall))?;
        let record = context.record().filter(|record| !record.leads_to(&context.goal()))?;
        Some(format!(
            "{} is at work on the rollout to {}: while it is, apply changes nothing, and \
             apply --supersede stops that rollout first",
            lease.owner, record.to
        ))
    }
}

#[async_trait]
impl RolloutExecutor for RollingExecutor {
    fn context(&self) -> &RolloutContext {
        &self.context
    }

    fn context_mut(&mut self) -> &mut RolloutContext {
        &mut self.context
    }

    async fn look_again(&mut self) -> Result<(), ProviderError> {
        let look = self.context.look_with_retries().await?;
        self.restore_from_record(look)
            .map_err(|why| ProviderError::invalid("read the record", "", why.to_string()))?;
        self.ask_why_missing().await;
        Ok(())
    }

    async fn may_begin(&self) -> Result<(), ProviderError> {
        let (input, command) = (self.input(self.context.look.at), self.own_command());
        conditions::refuse(&input, command)?;
        let wanted = self.context.goal();
        if let Some(begins) = conditions::asks_whether_it_may(&input, &wanted, command) {
            self.context.may_roll(begins).await?;
        }
        conditions::refuse_shifted_requests(&input)
    }

    fn preview(&self) -> Preview {
        let is_back = self.own_command() == Some(Command::Rollback);
        let back = self.context.record().filter(|_| is_back);
        let back = back.and_then(|record| record.completed.clone());
        // The preview of a rollback shows where it leads, not where it comes from.
        let target =
            back.map(|revision| Target { revision, restart: None, ..self.context.target.clone() });
        let input = self.input(self.context.look.at);
        let target = target.as_ref().unwrap_or(input.target);
        let mut preview = planner::preview(&Input { target, ..input });
        preview.command = self.own_command().map(Command::name);
        self.context.warn_of_alarms(&mut preview);
        if preview.changes {
            let lease = self.context.lease();
            let lease = lease.filter(|lease| lease.is_recent(self.clock.wall()));
            preview.at_work = lease.filter(|_| !is_back).map(|lease| lease.owner.clone());
            preview.warnings.extend(self.at_work_elsewhere());
            let programs = unstartable(&self.context.spec, &self.context.caller);
            preview.warnings.extend(programs.into_iter().map(|found| found.message));
        }
        preview
    }

    fn preflight(&self) -> Vec<Preflight> {
        let mut found = planner::preflight(&self.input(self.context.look.at));
        found.extend(unstartable(&self.context.spec, &self.context.caller));
        found
    }

    fn completed(&self) -> Option<Revision> {
        let context = &self.context;
        let input = self.input(context.look.at);
        if planner::is_converged(&input) {
            return match context.left_alone().is_empty() {
                true => Some(context.target.revision.clone()),
                // The whole fleet does not run it.
                false => planner::run_by_all(&input)
                    .or_else(|| context.state.known_completed.clone())
                    .or_else(|| context.caller.completed.clone()),
            };
        }
        let is_done = context.record().is_some_and(Record::only_restores);
        if let Some(revision) = planner::run_by_all(&input).filter(|_| is_done) {
            return Some(revision);
        }
        let recorded = context.record().and_then(|record| record.completed.clone());
        recorded.or_else(|| context.state.known_completed.clone())
    }

    fn waits(&self) -> Vec<Wait> {
        let wall = self.clock.wall();
        if let Some(lease) = self.context.lease().filter(|lease| lease.is_recent(wall))
            && let Some(waits) = &lease.waits
        {
            let age = wall.since(lease.at.unwrap_or(wall));
            let waits = waits.iter().map(|wait| wait.at(self.context.look.at, age));
            return waits.filter_map(|wait| self.still_waited_for(wait)).collect();
        }
        let record = self.context.record();
        let is_rolling = record
            .is_some_and(|record| !record.is_over() && !matches!(record.phase, Phase::Halted(_)));
        match is_rolling {
            true => self.plan(self.context.look.at).waiting_on,
            false => Vec::new(),
        }
    }

    fn waits_noted(&self) -> Option<Duration> {
        let wall = self.clock.wall();
        let lease = self.context.lease().filter(|lease| lease.is_recent(wall))?;
        lease.waits.as_ref()?;
        lease.at.map(|at| wall.since(at))
    }

    fn waits_for_operator(&self) -> bool {
        let context = &self.context;
        conditions::waits_for_operator(context.record(), &context.goal(), self.own_command())
    }

    fn under_way(&self) -> Option<UnderWay> {
        let record = self.context.record().filter(|record| !record.is_over())?;
        let (id, to) = (record.id.clone(), record.to.to_string());
        Some(UnderWay { id, to, status: record.status() })
    }

    fn status(&self) -> Option<(&'static str, Option<String>)> {
        let record = self.context.record()?;
        Some((record.status(), record.reason.clone()))
    }

    fn idle(&self, command: Command) -> Option<CommandReply> {
        no_op(command, self.context.record(), self.context.lease().is_some())
    }

    async fn command(
        &mut self,
        command: Command,
        session: &mut Session<'_>,
    ) -> Result<ControlOutcome, ProviderError> {
        self.give_command(command, session).await
    }

    async fn roll(&mut self, session: &mut Session<'_>) -> Outcome {
        self.run_with_lease(|_| true, session).await
    }

    fn report(&self, outcome: Outcome, started: Timestamp) -> Report {
        let context = &self.context;
        let completed = match outcome {
            Outcome::Succeeded | Outcome::RolledBack if context.left_alone().is_empty() => {
                Some(context.target.revision.clone())
            }
            _ => self.completed(),
        };
        // The engine at work reports on a rollout that was never ours.
        let is_locked = outcome == Outcome::Locked;
        let borrowed = match is_locked && !self.lease.holds() {
            true => Vec::new(),
            false => context.still_borrowed(),
        };
        let overtaken = is_locked && self.lease.holds();
        let restored = (outcome == Outcome::RolledBack).then(|| context.target.revision.clone());
        Report { borrowed, overtaken, restored, ..context.report(outcome, completed, started) }
    }
}
