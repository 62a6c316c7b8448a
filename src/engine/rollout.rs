//! A deployment that was looked up in the cloud.

use std::collections::BTreeSet;
use std::sync::Arc;

use rolling_provider::{
    Alarm, Clock, Fleet, InstanceId, InstanceRefresh, Observation, ProviderError, Revision, Target,
    Timestamp,
};
use tokio::sync::Notify;

use super::caller::Caller;
use super::condemned::Condemned;
use super::gate_runner::GateRunner;
use super::hook_runner::HookRunner;
use super::lease_keeper::LeaseKeeper;
use super::look_up;
use super::observer::Observer;
use crate::model::preview::Preview;
use crate::model::spec::RollingDeployment;
use crate::model::wait::Wait;
use crate::record::command::{Command, Control};
use crate::record::lease::Lease;
use crate::record::{Phase, Record};
use crate::rollout::gate_failure::raised;
use crate::rollout::ownership::Moment;
use crate::rollout::planner::{self, Input, Plan, Preflight, View};
use crate::rollout::state::RolloutState;

/// A deployment that was looked up in the cloud, and may be previewed or run.
pub struct Rollout {
    pub(super) fleet: Arc<dyn Fleet>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) caller: Caller,
    /// What the document says. `spec` and `target` apply now; they differ from it while the rollout
    /// goes back.
    pub(super) asked: RollingDeployment,
    pub(super) wanted: Revision,
    pub(super) spec: RollingDeployment,
    pub(super) target: Target,
    pub(super) look: Observation,
    pub(super) state: RolloutState,
    /// This process's own command for a rollout found on the target.
    pub(super) command: Option<Control>,
    pub(super) observer: Observer,
    pub(super) lease: LeaseKeeper,
    pub(super) gate_runner: GateRunner,
    pub(super) hook_runner: HookRunner,
    /// Notified when a gate has answered, or a hook is over.
    pub(super) answered: Arc<Notify>,
    /// The history of plans that broke a promise.
    pub(super) condemned: Condemned,
    /// The fleet's latest refresh, if the cloud rolls it.
    pub(super) instance_refresh: Option<InstanceRefresh>,
    /// The alarms among the gates, as they were when the target was looked up.
    pub(super) alarms: Vec<Alarm>,
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
        mut spec: RollingDeployment,
        caller: &Caller,
    ) -> Result<Rollout, ProviderError> {
        let clock = fleet.clock();
        let (target, look) = look_up::look_up(&*fleet, &*clock, caller).await?;
        let alarms = look_up::alarms(&*fleet, &*clock, &spec.gates.alarms, caller.jitter).await?;
        let looked = Moment { now: look.at, wall: clock.wall() };
        // An instance in slow start gets few requests, and has shown little.
        let health = &mut spec.health;
        if !health.soak_is_given {
            health.min_healthy_time = target.slow_start().max(health.min_healthy_time);
        }
        let answered = Arc::<Notify>::default();
        let (shared, time) = (|| Arc::clone(&fleet), || Arc::clone(&clock));
        let mut rollout = Rollout {
            observer: Observer::new(shared(), time(), caller.jitter, looked),
            lease: LeaseKeeper::new(shared(), time(), caller),
            gate_runner: GateRunner::new(shared(), time(), Arc::clone(&answered)),
            hook_runner: HookRunner::new(
                shared(),
                time(),
                caller.hook_driver.clone(),
                Arc::clone(&answered),
            ),
            answered,
            caller: caller.clone(),
            wanted: target.revision.clone(),
            asked: spec.clone(),
            state: RolloutState::new(caller.rollout_id.as_str(), look.at),
            look: Observation { at: look.at, ..Observation::default() },
            command: None,
            condemned: Condemned::default(),
            instance_refresh: None,
            alarms,
            spec,
            target,
            clock,
            fleet,
        };
        if rollout.is_instance_refresh() {
            rollout.look = look;
            rollout.look_up_instance_refresh().await?;
            return Ok(rollout);
        }
        rollout.restore_from_record(look).map_err(|why| {
            ProviderError::invalid("read the rollout record", "", why.to_string()).with_remedy(
                "finish the rollout with the version of rolling that began it, or remove the \
                 tags that start with rolling: once nothing is borrowed any more",
            )
        })?;
        if rollout.is_short() {
            // The fleet itself knows why an instance is missing.
            rollout.ask_for_activities().await;
        }
        Ok(rollout)
    }

    /// Looks again, to show what has changed since.
    ///
    /// # Errors
    /// The error of the cloud.
    pub async fn look_again(&mut self) -> Result<(), ProviderError> {
        if self.is_instance_refresh() {
            return self.look_at_instance_refresh_again().await;
        }
        let look = self.look_with_retries().await?;
        self.restore_from_record(look)
            .map_err(|why| ProviderError::invalid("read the record", "", why.to_string()))
    }

    /// Looks, and retries that a few times: one throttled call is no reason to give up watching.
    pub(super) async fn look_with_retries(&self) -> Result<Observation, ProviderError> {
        let (fleet, clock) = (Arc::clone(&self.fleet), Arc::clone(&self.clock));
        look_up::with_retries(&*clock, self.caller.jitter, || fleet.observe()).await
    }

    /// Returns what [`Rollout::run`] would do now.
    pub fn preview(&self) -> Preview {
        let asked = self.command.as_ref().map(|command| command.command);
        let back = self.record().filter(|_| asked == Some(Command::Rollback));
        let back = back.and_then(|record| record.completed.clone());
        // The preview of a rollback shows where it leads, not where it comes from.
        let target = back.map(|revision| Target { revision, ..self.target.clone() });
        let input = self.input(self.look.at);
        let target = target.as_ref().unwrap_or(input.target);
        let mut preview = planner::preview(&Input { target, ..input });
        if self.is_instance_refresh() {
            self.preview_instance_refresh(&mut preview);
        }
        let alarms = self.alarms.iter().filter(|alarm| alarm.raised && preview.changes);
        let message = alarms.map(|alarm| format!("alarm {}", raised(alarm)));
        preview.warnings.extend(message.collect::<Vec<_>>());
        preview
    }

    /// Returns what is known beforehand to keep [`Rollout::run`] from its end.
    pub fn preflight(&self) -> Vec<Preflight> {
        if self.is_instance_refresh() {
            return Vec::new();
        }
        planner::preflight(&self.input(self.look.at))
    }

    /// The record of a rollout found on the target, if any.
    pub fn record(&self) -> Option<&Record> {
        self.state.record.as_ref()
    }

    /// Returns the lease that the last look shows, unless its owner is known to have ended.
    pub fn lease(&self) -> Option<Lease> {
        Lease::from_tags(&self.look.record).filter(|lease| !(self.caller.is_gone)(&lease.owner))
    }

    /// Returns the owner of the lease, if it is known to have ended without releasing the lease.
    pub fn ended_owner(&self) -> Option<String> {
        let lease = Lease::from_tags(&self.look.record);
        lease.map(|lease| lease.owner).filter(|owner| (self.caller.is_gone)(owner))
    }

    /// The clock of the rollout.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// The target as it was looked up.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The wanted revision.
    pub fn wanted(&self) -> &Revision {
        &self.wanted
    }

    /// The size the fleet is meant to have, without surge of ours.
    pub fn size(&self) -> u32 {
        self.state.size(&self.look)
    }

    /// The last revision that the whole fleet is known to have run.
    pub fn completed(&self) -> Option<Revision> {
        if self.is_instance_refresh() {
            return self.completed_by_instance_refresh();
        }
        if planner::is_converged(&self.input(self.look.at)) {
            return match self.left_alone().is_empty() {
                true => Some(self.target.revision.clone()),
                // The whole fleet does not run it.
                false => planner::run_by_all(&self.input(self.look.at))
                    .or_else(|| self.caller.completed.clone()),
            };
        }
        let record = self.state.record.as_ref();
        record.and_then(|record| record.completed.clone()).or(self.state.known_completed.clone())
    }

    /// What the rollout under way waits for, as far as a look from outside shows it; none where none
    /// is under way. Soaks and drains of which only the engine at work knows the beginning count
    /// from this look.
    pub fn waits(&self) -> Vec<Wait> {
        let is_rolling = self
            .record()
            .is_some_and(|record| !record.is_over() && !matches!(record.phase, Phase::Halted(_)));
        if self.is_instance_refresh() || !is_rolling {
            return Vec::new();
        }
        self.plan(self.look.at).waiting_on
    }

    /// The revisions other than the wanted one that the fleet, its template or the caller shows, and
    /// to which a rollback could go.
    pub fn other_revisions(&self) -> Vec<Revision> {
        let runs = self.look.instances.values().filter_map(|instance| instance.revision.as_ref());
        let known = runs.chain(&self.look.template).chain(&self.caller.completed);
        let resolved = known.map(|revision| self.target.resolve(revision));
        let others: BTreeSet<&Revision> = resolved.filter(|it| **it != self.wanted).collect();
        others.into_iter().cloned().collect()
    }

    /// Whether instances are missing that the fleet is meant to have.
    fn is_short(&self) -> bool {
        View::new(&self.input(self.look.at)).missing > 0
    }

    /// The instances that stay as they are although they do not run the revision.
    pub fn left_alone(&self) -> Vec<InstanceId> {
        planner::left_alone(&self.input(self.look.at))
    }

    pub(super) fn input(&self, now: Timestamp) -> Input<'_> {
        Input { spec: &self.spec, target: &self.target, look: &self.look, state: &self.state, now }
    }

    /// Plans this tick.
    pub(super) fn plan(&self, now: Timestamp) -> Plan {
        planner::plan(&self.input(now))
    }
}
