//! A deployment that was looked up in the cloud. What carries it out is chosen here, and nowhere
//! else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rolling_provider::{
    Clock, DelegatedRollout, ErrorKind, Fleet, InstanceId, ProviderError, Revision, Target,
    Timestamp,
};
use tokio::sync::watch;

use super::caller::{Caller, Stop};
use super::context::RolloutContext;
use super::control_outcome::ControlOutcome;
use super::delegated_executor::DelegatedExecutor;
use super::executor::{RolloutExecutor, UnderWay};
use super::predecessor;
use super::rolling::RollingExecutor;
use super::session::Session;
use crate::model::event::{Envelope, InstanceReport, Report};
use crate::model::preview::Preview;
use crate::model::spec::{Executor, RollingDeployment};
use crate::model::wait::Wait;
use crate::record::Record;
use crate::record::command::Command;
use crate::record::lease::Lease;
use crate::rollout::control::CommandReply;
use crate::rollout::delegated::Idle;
use crate::rollout::planner::Preflight;
use crate::rollout::rollback_target::RollbackTarget;

/// A deployment that was looked up in the cloud, and may be previewed or run.
pub struct Rollout {
    executor: Box<dyn RolloutExecutor>,
}

impl Rollout {
    /// Looks the target up and looks at it once, for a rollout that may begin now. Reads only.
    ///
    /// # Errors
    /// The error of the cloud, which names the attribute of a document that asks for what is not
    /// there, or what would keep a rollout from beginning.
    pub async fn prepare(
        fleet: Arc<dyn Fleet>,
        spec: RollingDeployment,
        caller: &Caller,
    ) -> Result<Rollout, ProviderError> {
        let rollout = Rollout::look_up(fleet, spec, caller).await?;
        rollout.may_begin().await?;
        Ok(rollout)
    }

    /// Looks the target up and looks at it once, to show its rollout or to end it. Ignores what
    /// would only keep a rollout from beginning. Reads only.
    ///
    /// # Errors
    /// The error of the cloud, which names the attribute of a document that asks for what is not
    /// there.
    pub async fn look_up(
        fleet: Arc<dyn Fleet>,
        spec: RollingDeployment,
        caller: &Caller,
    ) -> Result<Rollout, ProviderError> {
        let context = RolloutContext::look_up(Arc::clone(&fleet), spec, caller).await?;
        let executor: Box<dyn RolloutExecutor> = match context.spec.engine {
            Executor::Rolling | Executor::Controller { .. } => {
                Box::new(RollingExecutor::new(fleet, context).await?)
            }
            Executor::InstanceRefresh { .. } | Executor::Environment { .. } => {
                Box::new(DelegatedExecutor::new(fleet, context).await?)
            }
        };
        Ok(Rollout { executor })
    }

    /// Looks again, to show what has changed since.
    ///
    /// # Errors
    /// The error of the cloud.
    pub async fn look_again(&mut self) -> Result<(), ProviderError> {
        self.executor.look_again().await
    }

    /// Checks that nothing stands in the way of the rollout that this document would begin or
    /// continue now.
    ///
    /// # Errors
    /// What stands in the way, or why the cloud could not be asked.
    pub async fn may_begin(&self) -> Result<(), ProviderError> {
        self.executor.may_begin().await
    }

    /// Returns the conflict that keeps any rollout from beginning on the fleet now, if the cloud
    /// reports one.
    pub async fn conflict(&self) -> Option<ProviderError> {
        let refused = self.context().may_roll(false).await.err();
        refused.filter(|error| error.kind == ErrorKind::Conflict)
    }

    /// Runs the rollout to its end. Never fails: how it ended is in the report, which is also
    /// the last event.
    pub async fn run(
        mut self,
        stop: watch::Receiver<Stop>,
        emit: &mut (dyn FnMut(Envelope) + Send),
    ) -> Report {
        let mut session = Session::new(&self.context().caller.rollout_id, stop, emit);
        self.executor.run(&mut session).await
    }

    /// Has whatever is at work obey `command`, or carries it out when nothing is at work. When
    /// several processes begin to carry it out, one does, and the others leave the command with
    /// that one.
    ///
    /// # Errors
    /// The error of the cloud while the command was left for another engine, or what keeps the
    /// rollout from continuing here.
    pub async fn command(
        mut self,
        command: Command,
        stop: watch::Receiver<Stop>,
        emit: &mut (dyn FnMut(Envelope) + Send),
    ) -> Result<ControlOutcome, ProviderError> {
        let mut session = Session::new(&self.context().caller.rollout_id, stop, emit);
        self.executor.command(command, &mut session).await
    }

    /// Whether an engine is at work on a rollout to another revision.
    pub fn has_predecessor(&self) -> bool {
        predecessor::is_at_work(&*self.executor)
    }

    /// Waits until no engine is at work on a rollout to another revision: it has released its
    /// lease, or no longer renews it. Returns whether that is so: not when `stop` asks to end.
    ///
    /// # Errors
    /// The error of the cloud.
    pub async fn wait_for_predecessor(
        &mut self,
        stop: &watch::Receiver<Stop>,
    ) -> Result<bool, ProviderError> {
        predecessor::wait_for_end(&mut *self.executor, stop).await
    }

    /// Does the same for a command that ends the rollout under way in favor of the one to
    /// [`Self::wanted`], and says so.
    ///
    /// # Errors
    /// As for [`Self::command`].
    pub async fn supersede(
        mut self,
        command: Command,
        stop: watch::Receiver<Stop>,
        emit: &mut (dyn FnMut(Envelope) + Send),
    ) -> Result<ControlOutcome, ProviderError> {
        let wanted = self.wanted().clone();
        self.executor.context_mut().caller.supersedes_with = Some(wanted);
        self.command(command, stop, emit).await
    }

    /// Removes from the target what an ended rollout left there to be read. Touches nothing else.
    ///
    /// # Errors
    /// The error of the cloud, or that the rollout has not ended.
    pub async fn forget(&self) -> Result<(), ProviderError> {
        self.context().forget().await
    }

    /// Refuses what only the platform could do, and cannot.
    ///
    /// # Errors
    /// Says what cannot be done, and what can.
    pub fn allow(&self, command: Command) -> Result<(), ProviderError> {
        self.executor.allow(command)
    }

    /// Returns why `command` could change nothing on the target, if so.
    pub fn idle(&self, command: Command) -> Option<CommandReply> {
        self.executor.idle(command)
    }

    /// Returns what [`Rollout::run`] would do now.
    pub fn preview(&self) -> Preview {
        self.executor.preview()
    }

    /// Returns what is known beforehand to keep [`Rollout::run`] from its end.
    pub fn preflight(&self) -> Vec<Preflight> {
        self.executor.preflight()
    }

    /// Returns the phase of the rollout on the target, or how the last one ended if that still
    /// matters, and why. `None` when the fleet itself shows it.
    pub fn status(&self) -> Option<(&'static str, Option<String>)> {
        self.executor.status()
    }

    /// Returns the rollout to `self.wanted()` that is under way, or any that the record shows.
    pub fn under_way(&self) -> Option<UnderWay> {
        self.executor.under_way()
    }

    /// What the rollout under way waits for: what the engine at work has written with its lease, or
    /// with no engine at work, what the next one would wait for. None where no rollout is under way.
    pub fn waits(&self) -> Vec<Wait> {
        self.executor.waits()
    }

    /// How long ago the engine at work has noted what it waits for; `None` where none has.
    pub fn waits_noted(&self) -> Option<Duration> {
        self.executor.waits_noted()
    }

    /// When the last look was taken: what [`Self::waits`] returns counts from then.
    pub fn observed_at(&self) -> Timestamp {
        self.context().look.at
    }

    /// What the rollout on the target has changed for its time and not put back yet, as phrases.
    pub fn borrowed(&self) -> Vec<String> {
        self.context().still_borrowed()
    }

    /// Whether an engine is at work, as far as its lease shows it.
    pub fn is_at_work(&self) -> bool {
        let wall = self.clock().wall();
        self.lease().is_some_and(|lease| lease.is_recent(wall))
    }

    /// Whether the rollout is paused, so that another run without a command changes nothing.
    pub fn waits_for_operator(&self) -> bool {
        self.executor.waits_for_operator()
    }

    /// The last revision that the whole fleet is known to have run.
    pub fn completed(&self) -> Option<Revision> {
        self.executor.completed()
    }

    /// What the platform's controller is called, for messages.
    pub(crate) fn platform(&self) -> &'static str {
        self.context().target.controller.unwrap_or("the platform")
    }

    /// The latest rollout of the platform's own, where it replaces the instances by itself.
    pub fn delegated_rollout(&self) -> Option<&DelegatedRollout> {
        self.executor.delegated_rollout()
    }

    /// Returns a sentence about a rollout of the platform's own to another revision that is under way, if
    /// there is one.
    pub(crate) fn foreign_rollout(&self) -> Option<String> {
        self.executor.foreign_rollout()
    }

    /// Returns the instances that do not serve in a fleet where the cloud has nothing left to
    /// replace, unless the fleet is known to have served so before.
    pub(crate) fn unproven(&self) -> Option<Idle> {
        self.executor.unproven()
    }

    /// The record of a rollout found on the target, if any.
    pub fn record(&self) -> Option<&Record> {
        self.context().record()
    }

    /// Returns the lease that the last look shows, unless its owner is known to have ended.
    pub fn lease(&self) -> Option<Lease> {
        self.context().lease()
    }

    /// Returns the owner of the lease, if it is known to have ended without releasing the lease.
    pub fn ended_owner(&self) -> Option<String> {
        self.context().ended_owner()
    }

    /// Returns what every instance runs, by the last look.
    pub fn instances(&self) -> Vec<InstanceReport> {
        self.context().instances()
    }

    /// The instances that stay as they are although they do not run the revision.
    pub fn left_alone(&self) -> Vec<InstanceId> {
        self.context().left_alone()
    }

    /// Returns where a rollback goes whose rollout left no record: to the revision before the one
    /// that the fleet runs. `completed` and `previous` are those of a stored state; without
    /// them the caller's count, or else what the cloud shows of instances that are gone.
    pub async fn rollback_target(
        &self,
        completed: Option<&Revision>,
        previous: Option<&Revision>,
    ) -> RollbackTarget {
        self.context().rollback_target(completed, previous).await
    }

    /// Returns the last revision before the completed one that the whole fleet is known to have run.
    pub fn previous(&self) -> Option<Revision> {
        self.context().previous(self.executor.completed().as_ref())
    }

    /// Returns how many instances are missing, and why by the fleet's own activities.
    pub fn missing(&self) -> Option<(usize, Option<String>)> {
        self.context().missing()
    }

    /// The size the fleet is meant to have, without surge of ours.
    pub fn size(&self) -> u32 {
        self.context().size()
    }

    /// The target as it was looked up.
    pub fn target(&self) -> &Target {
        &self.context().target
    }

    /// The wanted revision.
    pub fn wanted(&self) -> &Revision {
        &self.context().wanted
    }

    /// Whether `record` is of a rollout to what is wanted.
    pub(crate) fn leads_there(&self, record: &Record) -> bool {
        record.leads_to(&self.context().goal())
    }

    /// Whether every instance is what the rollout of `record` leads to, by the last look.
    pub(crate) fn has_arrived(&self, record: &Record) -> bool {
        self.context().has_arrived(record)
    }

    /// The time before which instances were launched that are replaced although they run the wanted
    /// revision.
    pub(crate) fn restart(&self) -> Option<Timestamp> {
        self.context().restart.map(|restart| restart.before)
    }

    /// Returns the live instances that are to be replaced.
    pub(crate) fn to_replace(&self) -> BTreeSet<InstanceId> {
        self.context().to_replace()
    }

    /// Returns how many instances run the wanted revision and were launched before that.
    pub(crate) fn to_restart(&self) -> u32 {
        self.context().to_restart()
    }

    /// The clock of the rollout.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.context().clock)
    }

    fn context(&self) -> &RolloutContext {
        self.executor.context()
    }
}
