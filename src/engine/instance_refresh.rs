//! Instance refreshes, which the cloud carries out: looks at them and gives them commands.
//! [`crate::rollout::instance_refresh`] decides what the refresh that is found means.

use std::sync::Arc;

use rolling_provider::{
    Fleet, InstanceRefresh, InstanceRefreshState, InstanceRefreshes, Observation, ProviderError,
    Revision,
};
use tokio::sync::watch;

use super::command::ControlOutcome;
use super::look_up::with_retries;
use super::{Rollout, Stop};
use crate::model::event::Envelope;
use crate::model::preview::Preview;
use crate::model::spec::Executor;
use crate::record::Record;
use crate::record::command::{Command, Control};
use crate::rollout::control::{Answer, no_op};
use crate::rollout::instance_refresh::{self, Idle, Next, next};
use crate::rollout::state::RolloutState;

/// How to proceed with a refresh that another document has begun.
const ITS_OWN_DOCUMENT: &str = "wait for it to end, use the document that it was begun with, or \
                                cancel it with CancelInstanceRefresh";

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

impl Rollout {
    /// The latest refresh of the fleet, where the cloud replaces its instances on its own.
    pub fn instance_refresh(&self) -> Option<&InstanceRefresh> {
        self.instance_refresh.as_ref()
    }

    /// Returns the rollout to `self.wanted()` that is under way, or any that the record shows.
    pub fn under_way(&self) -> Option<UnderWay> {
        if let Some(record) = self.record().filter(|record| !record.is_over()) {
            let (id, to) = (record.id.clone(), record.to.to_string());
            return Some(UnderWay { id, to, status: record.status() });
        }
        match self.next() {
            Next::Join(instance_refresh) if self.is_instance_refresh() => {
                let (id, to) = (instance_refresh.id.clone(), self.wanted.to_string());
                Some(UnderWay { id, to, status: instance_refresh::status(instance_refresh) })
            }
            _ => None,
        }
    }

    /// Returns a sentence about a refresh of another configuration that is under way, if there is
    /// one.
    pub(crate) fn foreign_instance_refresh(&self) -> Option<String> {
        match self.next() {
            Next::Foreign(instance_refresh) if self.is_instance_refresh() => {
                Some(foreign(instance_refresh))
            }
            _ => None,
        }
    }

    /// Returns the phase of the rollout on the target, or how the last one ended if that still
    /// matters, and why. `None` when the fleet itself shows it.
    pub fn status(&self) -> Option<(&'static str, Option<String>)> {
        if let Some(record) = self.record() {
            return Some((record.status(), record.reason.clone()));
        }
        let latest = self.instance_refresh.as_ref()?;
        let is_ours = instance_refresh::leads_there(latest, &self.target);
        match self.next() {
            Next::Nothing => None,
            _ if is_ours && latest.state == InstanceRefreshState::Succeeded => None,
            _ if is_ours => {
                let reason = latest.rollback_reason.clone().or(latest.reason.clone());
                Some((instance_refresh::status(latest), reason))
            }
            _ => None,
        }
    }

    /// Whether the cloud is to replace the instances on its own.
    pub(super) fn is_instance_refresh(&self) -> bool {
        matches!(self.spec.engine, Executor::InstanceRefresh { .. })
    }

    pub(super) fn next(&self) -> Next<'_> {
        next(self.instance_refresh.as_ref(), &self.spec, &self.target, &self.look)
    }

    /// Looks up the latest refresh. A rollout of the engine `rolling` has to end first.
    pub(super) async fn look_up_instance_refresh(&mut self) -> Result<(), ProviderError> {
        let (fleet, clock) = (Arc::clone(&self.fleet), Arc::clone(&self.clock));
        self.instance_refresh =
            with_retries(&*clock, self.caller.jitter, || latest(Arc::clone(&fleet), None)).await?;
        self.restore_instance_refresh(self.look.clone());
        let record = Record::from_tags(&self.look.record).map_err(|why| {
            ProviderError::invalid("read the rollout record", "", why.to_string())
        })?;
        if let Some(record) = record.filter(|record| !record.is_over()) {
            let message = format!("rollout {} is {} on the group", record.id, record.status());
            let error = ProviderError::invalid("check the group", "engine", message).as_conflict();
            return Err(error.with_remedy("finish or abort it with engine rolling first"));
        }
        Ok(())
    }

    /// Starts over from `look`: nothing of ours is on the group, so the look is all that is known.
    pub(super) fn restore_instance_refresh(&mut self, look: Observation) {
        let mut state = RolloutState::new(self.caller.rollout_id.as_str(), look.at);
        state.known_completed.clone_from(&self.caller.completed);
        state.observe(&self.target, &self.spec.health, &look);
        self.state = state;
        self.look = look;
    }

    /// See [`Rollout::look_again`].
    pub(super) async fn look_at_instance_refresh_again(&mut self) -> Result<(), ProviderError> {
        let (fleet, clock) = (Arc::clone(&self.fleet), Arc::clone(&self.clock));
        self.instance_refresh =
            with_retries(&*clock, self.caller.jitter, || latest(Arc::clone(&fleet), None)).await?;
        let look = self.look_with_retries().await?;
        self.restore_instance_refresh(look);
        Ok(())
    }

    /// See [`Rollout::completed`]. There is no record, so the fleet shows it, or the caller that
    /// stores state.
    pub(super) fn completed_by_instance_refresh(&self) -> Option<Revision> {
        let live = self.look.instances.values().filter(|instance| instance.lifecycle.is_live());
        let mut revisions = live.map(|instance| instance.revision.as_ref());
        let only = revisions.next().flatten();
        let only = only.filter(|only| revisions.all(|revision| revision == Some(*only)));
        let is_over = self
            .instance_refresh
            .as_ref()
            .is_none_or(|instance_refresh| instance_refresh.state.is_over());
        let is_served = |only: &Revision| *only != self.wanted || self.unproven().is_none();
        let only = only.filter(|only| is_over && is_served(only));
        only.or(self.state.known_completed.as_ref()).cloned()
    }

    /// Returns the instances that do not serve in a fleet where the cloud has nothing left to
    /// replace, unless the fleet is known to have served so before.
    pub(crate) fn unproven(&self) -> Option<Idle> {
        let is_rolled = self.is_instance_refresh() && self.next() == Next::Nothing;
        let has_served = self.state.known_completed.as_ref() == Some(&self.wanted);
        instance_refresh::idle(&self.spec, &self.target, &self.look)
            .filter(|_| is_rolled && !has_served)
    }

    /// Adds to a preview what only the refresh under way tells.
    pub(super) fn preview_instance_refresh(&self, preview: &mut Preview) {
        match self.next() {
            Next::Nothing => {
                let Some(idle) = self.unproven() else { return };
                preview.changes = true;
                let message = format!("nothing is left to replace, and {}", idle.message);
                preview.warnings.insert(0, format!("{message}: an apply waits until they do"));
            }
            Next::Start => {}
            Next::Join(instance_refresh) => {
                preview.changes = true;
                let summary = instance_refresh::summary(instance_refresh);
                let message = format!(
                    "instance refresh {} is under way and is followed",
                    instance_refresh.id
                );
                preview.warnings.insert(0, format!("{message} ({summary})"));
            }
            Next::Foreign(instance_refresh) => {
                preview.changes = true;
                preview
                    .warnings
                    .insert(0, format!("{}: nothing is done now", foreign(instance_refresh)));
            }
        }
    }

    /// Refuses what only the platform could do, and cannot.
    ///
    /// # Errors
    /// Says what cannot be done, and what can.
    pub fn allow(&self, command: Command) -> Result<(), ProviderError> {
        if !self.is_instance_refresh() {
            return Ok(());
        }
        let name = command.name();
        if matches!(command, Command::Pause | Command::Resume) {
            let message = format!("an instance refresh cannot be told to {name}");
            let error = ProviderError::invalid(name, "engine", message);
            return Err(error.with_remedy(
                "checkpoints hold it for a time; rolling abort ends it where it is, and rolling \
                 rollback has it go back",
            ));
        }
        match self.next() {
            Next::Foreign(instance_refresh) => {
                let error = ProviderError::invalid(name, "engine", foreign(instance_refresh));
                Err(error.with_remedy(ITS_OWN_DOCUMENT))
            }
            _ => Ok(()),
        }
    }

    /// Returns why `command` could change nothing, if so.
    pub(super) fn no_op_on_instance_refresh(&self, command: Command) -> Option<Answer> {
        let is_there = matches!(self.next(), Next::Join(_) | Next::Foreign(_));
        let is_idle = !is_there && matches!(command, Command::Abort | Command::Rollback);
        no_op(command, None, false).filter(|_| is_idle)
    }

    /// Cancels the refresh under way, or rolls it back, and follows it to its end.
    pub(super) async fn command_instance_refresh(
        mut self,
        command: Command,
        stop: watch::Receiver<Stop>,
        emit: &mut (dyn FnMut(Envelope) + Send),
    ) -> Result<ControlOutcome, ProviderError> {
        self.allow(command)?;
        if let Some(message) = self.idle(command) {
            return Ok(ControlOutcome::NoOp(message));
        }
        let rollout = self
            .instance_refresh
            .as_ref()
            .map(|instance_refresh| instance_refresh.id.clone())
            .unwrap_or_default();
        let (id, by) = (self.caller.rollout_id.clone(), self.caller.owner.clone());
        self.command = Some(Control { command, id, rollout, by });
        Ok(ControlOutcome::RanHere(Box::new(self.run(stop, emit).await)))
    }
}

pub(super) fn foreign(instance_refresh: &InstanceRefresh) -> String {
    let to = instance_refresh.to.as_ref().map_or("another configuration", |to| to.as_str());
    format!(
        "instance refresh {} to {to} is under way ({})",
        instance_refresh.id,
        instance_refresh::summary(instance_refresh)
    )
}

pub(super) fn instance_refreshes(
    fleet: &dyn Fleet,
) -> Result<&dyn InstanceRefreshes, ProviderError> {
    fleet.instance_refreshes().ok_or_else(|| {
        let message = "this fleet does not roll by itself";
        let error = ProviderError::invalid("open the fleet", "engine", message);
        error.with_remedy("roll with engine rolling")
    })
}

pub(super) async fn latest(
    fleet: Arc<dyn Fleet>,
    id: Option<String>,
) -> Result<Option<InstanceRefresh>, ProviderError> {
    instance_refreshes(&*fleet)?.instance_refresh(id.as_deref()).await
}
