//! What every executor of a rollout knows of the fleet, and how it looks again.

mod look;
mod past;

use std::collections::BTreeSet;
use std::sync::Arc;

use rolling_provider::{
    Activity, Alarm, Clock, Fleet, Goal, InstanceId, Observation, ProviderError, Restart, Revision,
    Target, Timestamp,
};

use super::caller::Caller;
use super::look_up::{self, with_retries};
use super::observer::Observer;
use super::session::Session;
use crate::model::event::{Event, Outcome};
use crate::model::preview::Preview;
use crate::model::spec::RollingDeployment;
use crate::record::lease::Lease;
use crate::record::{Ending, KEYS, Record};
use crate::rollout::gate_failure::raised;
use crate::rollout::ownership::Moment;
use crate::rollout::planner::{self, Input};
use crate::rollout::state::{Halt, RolloutState};

/// A target that was looked up, and what is known of its rollout.
pub(super) struct RolloutContext {
    fleet: Arc<dyn Fleet>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) caller: Caller,
    pub(super) wanted: Revision,
    /// Which instances are to be replaced although they run it.
    pub(super) restart: Option<Restart>,
    /// The effective spec: a rollback overrides parts of the document's.
    pub(super) spec: RollingDeployment,
    pub(super) target: Target,
    pub(super) look: Observation,
    pub(super) state: RolloutState,
    pub(super) observer: Observer,
    /// The revision that the whole fleet ran when this process first looked at it, where it ran one.
    ran: Option<Revision>,
    /// The alarms among the gates, as they were when the target was looked up.
    alarms: Vec<Alarm>,
}

impl RolloutContext {
    /// Looks the target up, and looks at it once. Reads only.
    ///
    /// # Errors
    /// The error of the cloud.
    pub(super) async fn look_up(
        fleet: Arc<dyn Fleet>,
        mut spec: RollingDeployment,
        caller: &Caller,
    ) -> Result<Self, ProviderError> {
        let clock = fleet.clock();
        let (target, look) = look_up::look_up(&*fleet, &*clock, caller).await?;
        let alarms = look_up::alarms(&*fleet, &*clock, &spec.gates.alarms, caller.jitter).await?;
        let looked = Moment { now: look.at, wall: clock.wall() };
        // An instance in slow start gets few requests, and has shown little.
        let health = &mut spec.health;
        if !health.soak_is_given {
            health.min_healthy_time = target.slow_start().max(health.min_healthy_time);
        }
        Ok(Self {
            observer: Observer::new(Arc::clone(&fleet), Arc::clone(&clock), caller.jitter, looked),
            caller: caller.clone(),
            wanted: target.revision.clone(),
            restart: spec.restart.map(Restart::before),
            state: RolloutState::new(caller.rollout_id.as_str(), look.at),
            ran: None,
            alarms,
            look,
            spec,
            target,
            clock,
            fleet,
        })
    }

    /// Looks, and retries that a few times: one throttled call is not a reason to give up watching.
    ///
    /// # Errors
    /// The error of the cloud.
    pub(super) async fn look_with_retries(&self) -> Result<Observation, ProviderError> {
        with_retries(&*self.clock, self.caller.jitter, || self.fleet.observe()).await
    }

    /// Asks the cloud whether a rollout may begin, or with `begins` off whether one may go on.
    ///
    /// # Errors
    /// The error of the cloud, which says what stands in the way.
    pub(super) async fn may_roll(&self, begins: bool) -> Result<(), ProviderError> {
        with_retries(&*self.clock, self.caller.jitter, || self.fleet.may_roll(begins)).await
    }

    /// Asks the fleet what it did by itself since `since`. An error loses only an explanation, and
    /// is returned for what it says of launches on their way.
    pub(super) async fn activities(
        &self,
        since: Timestamp,
    ) -> Result<Vec<Activity>, ProviderError> {
        let asked = self.fleet.activities(since).await;
        asked.inspect_err(
            |error| tracing::warn!(%error, "cannot read the scaling activities of the fleet"),
        )
    }

    /// Removes from the target what an ended rollout left there to be read. Touches nothing else.
    ///
    /// # Errors
    /// The error of the cloud, or that the rollout has not ended.
    pub(super) async fn forget(&self) -> Result<(), ProviderError> {
        if let Some(record) = self.record().filter(|record| !record.is_over()) {
            let message = format!(
                "rollout {} is {}, and its record is needed to restore what is borrowed",
                record.id,
                record.status()
            );
            return Err(ProviderError::invalid("remove the rollout record", "", message));
        }
        if !KEYS.iter().any(|key| self.look.record.contains_key(*key)) {
            return Ok(());
        }
        for step in planner::erase(&self.input(self.look.at)) {
            self.fleet.act(&step.action).await?;
        }
        Ok(())
    }

    /// The record of a rollout found on the target, if any.
    pub(super) fn record(&self) -> Option<&Record> {
        self.state.record.as_ref()
    }

    /// Returns the lease that the last look shows, unless its owner is known to have ended.
    pub(super) fn lease(&self) -> Option<Lease> {
        Lease::from_tags(&self.look.record).filter(|lease| !(self.caller.is_gone)(&lease.owner))
    }

    /// Returns the owner of the lease, if it is known to have ended without releasing the lease.
    pub(super) fn ended_owner(&self) -> Option<String> {
        let lease = Lease::from_tags(&self.look.record);
        lease.map(|lease| lease.owner).filter(|owner| (self.caller.is_gone)(owner))
    }

    /// Returns what every instance is to be.
    pub(super) fn goal(&self) -> Goal {
        Goal { revision: self.wanted.clone(), restart: self.restart }
    }

    /// Returns the live instances that are to be replaced.
    pub(super) fn to_replace(&self) -> BTreeSet<InstanceId> {
        let view = planner::View::new(&self.input(self.look.at));
        view.old().map(|member| member.id.clone()).collect()
    }

    /// Returns how many instances run the wanted revision and are to be replaced all the same.
    pub(super) fn to_restart(&self) -> u32 {
        let terminated = &self.state.removed.terminated;
        let live = self.look.instances.iter().filter(|(_, instance)| instance.lifecycle.is_live());
        let old = live.filter(|(id, instance)| {
            let runs = instance.revision.as_ref() == Some(&self.wanted);
            !terminated.contains(*id) && runs && !self.target.wants(instance)
        });
        // Only a restart makes a difference.
        u32::try_from(old.filter(|_| self.target.restart.is_some()).count()).unwrap_or(u32::MAX)
    }

    /// Whether every instance is what the rollout of `record` leads to, by the last look.
    pub(super) fn has_arrived(&self, record: &Record) -> bool {
        let terminated = &self.state.removed.terminated;
        let live = self.look.instances.iter().filter(|(_, instance)| instance.lifecycle.is_live());
        live.filter(|(id, _)| !terminated.contains(*id)).all(|(_, live)| record.brings(live))
    }

    /// The size the fleet is meant to have, without surge of ours.
    pub(super) fn size(&self) -> u32 {
        self.state.size(&self.look)
    }

    /// The instances that stay as they are although they do not run the revision.
    pub(super) fn left_alone(&self) -> Vec<InstanceId> {
        planner::left_alone(&self.input(self.look.at))
    }

    /// Returns how many instances are missing, and why by the fleet's own activities.
    pub(super) fn missing(&self) -> Option<(usize, Option<String>)> {
        let live = self.look.instances.values().filter(|it| it.lifecycle.is_live()).count();
        let missing = (self.size() as usize).saturating_sub(live);
        let mut activities = self.state.launches.activities.iter();
        let failed = activities.find(|activity| activity.failed);
        (missing > 0).then(|| (missing, failed.map(|activity| activity.cause.clone())))
    }

    /// Warns of the alarms that are raised, where there is anything to do.
    pub(super) fn warn_of_alarms(&self, preview: &mut Preview) {
        let alarms = self.alarms.iter().filter(|alarm| alarm.raised && preview.changes);
        let message = alarms.map(|alarm| format!("alarm {}", raised(alarm)));
        preview.warnings.extend(message.collect::<Vec<_>>());
    }

    pub(super) fn input(&self, now: Timestamp) -> Input<'_> {
        Input { spec: &self.spec, target: &self.target, look: &self.look, state: &self.state, now }
    }

    /// Begins to put back what is borrowed.
    pub(super) fn halt(&mut self, halt: Halt, session: &mut Session<'_>) {
        let (reason, until) = (halt.reason.clone(), halt.until);
        session.send(self.clock.now(), Event::Halting { reason, until });
        self.state.begin_halt(halt);
    }

    /// Ends the run as failed for `reason`, with nothing left to restore.
    pub(super) fn fail(&mut self, reason: String) -> Outcome {
        self.state.direction.halt = Some(Halt::failed(reason, self.clock.now()));
        Outcome::Failed
    }

    /// Ends the run as interrupted for `reason`, with nothing left to restore.
    pub(super) fn interrupted(&mut self, reason: &str) -> Outcome {
        let (reason, at) = (reason.to_owned(), self.clock.now());
        let ending = Ending::Interrupted;
        self.state.direction.halt = Some(Halt { ending, fault: false, ..Halt::failed(reason, at) });
        Outcome::Aborted
    }
}
