//! The simulated fleet as an implementation of the port.

mod perform;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rolling_provider::{
    Action, Activity, ActivityKind, Alarm, Clock, Done, Effect, ErrorKind, Fleet, Instance,
    InstanceId, Lifecycle, Observation, Processes, ProviderError, Revision, Target, TargetGroup,
    Timestamp, Update, UpdateState,
};

use crate::config::{Behaviour, FleetConfig, SimulatedTargetGroup};
use crate::fleet_state::{FleetState, SimulatedInstance};
use crate::intervention::Intervention;
use crate::state_file::{self, FlushPolicy, StateFile};

/// The processes of a simulated fleet have the names that they have on AWS.
const PROCESSES: Processes = Processes {
    launches: Some("Launch"),
    registers: Some("AddToLoadBalancer"),
    scales: Some("AlarmNotification"),
    schedules: Some("ScheduledActions"),
};

/// How long the activities still report a launch after it is listed.
const LAUNCHED_TOLD: Duration = Duration::from_secs(120);

/// The tag that marks instances of an unmanaged fleet.
const OWNED: &str = "rolling:owned";

/// When a simulated fleet's time begins: 2026-01-01 00:00 UTC.
pub const EPOCH: Timestamp = Timestamp(1_767_225_600_000);

/// A simulated fleet, in memory or in a file.
pub struct Simulator {
    config: FleetConfig,
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<StateFile>>,
    wanted: Mutex<Revision>,
    /// The number of calls so far, from which the throttled ones are drawn.
    calls: AtomicU64,
}

impl Simulator {
    /// Creates a fleet in memory, which is gone with this value.
    pub fn in_memory(config: FleetConfig, clock: Arc<dyn Clock>) -> Self {
        let state =
            Arc::new(Mutex::new(StateFile::new(FleetState::new(&config, clock.now()), None)));
        let wanted = Mutex::new(config.revision.clone());
        Self { config, clock, state, wanted, calls: AtomicU64::new(0) }
    }

    /// Opens the fleet that is kept in `file`, and creates it there on first use. Its time stands
    /// still while no process runs it: `clock` starts where it stopped. Other processes may run it
    /// at the same time.
    ///
    /// # Errors
    /// When the file exists and cannot be read, or holds something else.
    pub fn in_file(
        config: FleetConfig,
        file: PathBuf,
        clock: impl FnOnce(Timestamp) -> Arc<dyn Clock>,
    ) -> Result<Self, ProviderError> {
        let found = state_file::read(&file)?;
        let clock = clock(found.as_ref().map_or(EPOCH, |state| state.now));
        let state = found.unwrap_or_else(|| FleetState::new(&config, clock.now()));
        let state = Arc::new(Mutex::new(StateFile::new(state, Some(file))));
        let wanted = Mutex::new(config.revision.clone());
        Ok(Self { config, clock, state, wanted, calls: AtomicU64::new(0) })
    }

    /// Looks at the fleet as it is now. Saves what fell due meanwhile, where it may.
    fn look<T>(&self, look: impl FnOnce(&FleetState) -> T) -> Result<T, ProviderError> {
        let mut stored = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        stored.open_to_look()?;
        let changed = stored.state.advance(&self.config, self.clock.now());
        let look = look(&stored.state);
        // A look that changes only the time saves nothing new. Earlier changes are saved now.
        stored.close(if changed { FlushPolicy::Now } else { FlushPolicy::IfDue })?;
        Ok(look)
    }

    /// Changes the fleet as it is now, atomically: other processes see it before or after. What
    /// becomes due by that, a launch for example, happens at once and not at the next look.
    fn change<T>(
        &self,
        write: FlushPolicy,
        change: impl FnOnce(&mut FleetState) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let mut stored = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        stored.open()?;
        stored.state.advance(&self.config, self.clock.now());
        let done = change(&mut stored.state);
        let now = stored.state.now;
        stored.state.advance(&self.config, now);
        stored.close(write)?;
        stored.write_soon(&self.state);
        done
    }

    /// Answers a call of the engine. Some calls are throttled.
    fn ask<T>(
        &self,
        operation: &str,
        look: impl FnOnce(&FleetState) -> T,
    ) -> Result<T, ProviderError> {
        self.look(|state| self.admit(operation, state).map(|()| look(state)))?
    }

    fn admit(&self, operation: &str, state: &FleetState) -> Result<(), ProviderError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if state.now >= state.throttled_until && !self.config.throttles(call) {
            return Ok(());
        }
        let error = refused(operation, "Rate exceeded".into());
        Err(ProviderError { kind: ErrorKind::Throttled, code: Some("Throttling".into()), ..error })
    }

    /// Returns the true state now, launches that are not listed yet included.
    ///
    /// # Errors
    /// When the fleet's file cannot be read or written.
    pub fn truth(&self) -> Result<Observation, ProviderError> {
        self.look(|state| self.see(state, |_| true))
    }

    /// Returns when looks begin to show `instance`.
    fn listed(&self, instance: &SimulatedInstance) -> Timestamp {
        instance.launched_at + self.config.lag_of(instance.number)
    }

    fn see(&self, state: &FleetState, lists: impl Fn(&SimulatedInstance) -> bool) -> Observation {
        let instances = state.instances.iter().filter(|(_, instance)| lists(instance));
        let described = instances.map(|(id, i)| (id.clone(), self.describe(i, state.now)));
        Observation {
            controller: None,
            at: state.now,
            instances: described.collect(),
            reserve: Default::default(),
            capacity: (!self.config.unmanaged).then(|| state.capacity()),
            template: (!self.config.unmanaged).then(|| state.template.clone()),
            shifted: self.config.second.is_some().then(|| [state.shifted].into()),
            suspended: state.suspended.clone(),
            record: state.tags.clone(),
        }
    }

    fn describe(&self, instance: &SimulatedInstance, now: Timestamp) -> Instance {
        let groups = self.config.rotation();
        let targets = groups
            .filter_map(|group| Some((group.id(), instance.health(&self.config, group, now)?)));
        Instance {
            revision: Some(instance.revision.clone()),
            zone: instance.zone.clone(),
            units: 1,
            lifecycle: instance.lifecycle(now),
            in_lifecycle_hook: instance.is_held(now),
            lifecycle_name: None,
            healthy: true,
            launched_at: Some(whole_second(instance.launched_at)),
            protected: instance.protected,
            ignored: instance.tags.contains_key("rolling:ignore"),
            failed_in: instance.tags.get("rolling:failed").cloned(),
            owned: !self.config.unmanaged || instance.tags.contains_key(OWNED),
            stands_for: instance.stands_for.clone(),
            ended: None,
            trouble: None,
            update: instance.update.as_ref().map(|update| Update {
                to: update.to.clone(),
                token: update.token.clone(),
                state: match update.ends_at {
                    Some(at) if at <= now && update.fails => {
                        UpdateState::Failed("exit code 1: it does not start".into())
                    }
                    Some(at) if at <= now => UpdateState::Done,
                    _ => UpdateState::Running,
                },
            }),
            targets: targets.collect(),
        }
    }
}

impl Simulator {
    /// Changes the fleet as others might.
    ///
    /// # Errors
    /// When the fleet's file cannot be read or written.
    pub fn intervene(&self, intervention: Intervention) -> Result<(), ProviderError> {
        self.change(FlushPolicy::Now, |state| {
            state.intervene(&self.config, intervention);
            Ok(())
        })
    }

    /// Sets the revision that the deployment wants from now on.
    pub fn retarget(&self, revision: Revision) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = revision;
    }

    /// Returns what this process has launched, in order, the first instances included.
    pub fn launches(&self) -> Vec<Revision> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).state.launches.clone()
    }

    /// Returns how many updates in place were ever begun.
    pub fn updated(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).state.updates
    }

    /// Returns how many instances were ever launched, the first ones included.
    pub fn launched(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).state.launched
    }
}

#[async_trait]
impl Fleet for Simulator {
    async fn resolve(&self) -> Result<Target, ProviderError> {
        let describe = |group: &SimulatedTargetGroup| TargetGroup {
            id: group.id(),
            name: group.name.clone(),
            drain: group.drain,
            register: group.register,
            slow_start: Duration::ZERO,
            stops_routing: Duration::ZERO,
            warnings: Vec::new(),
        };
        self.ask("resolve the fleet", |_| ())?;
        let mut warnings = Vec::new();
        if self.config.target_groups.is_empty() {
            let message = "the fleet has no target group: serving means in service and healthy";
            warnings.push(message.into());
        }
        Ok(Target {
            id: format!("simulated:{}", self.config.name),
            name: self.config.name.clone(),
            kind: if self.config.unmanaged { "simulated instances" } else { "simulated fleet" },
            revision: self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            restart: None,
            target_groups: self.config.target_groups.iter().map(describe).collect(),
            second: self.config.second.as_ref().map(describe),
            shifted_by: self.config.second.iter().map(|second| second.name.clone()).collect(),
            aliases: Default::default(),
            boot: self.config.publishes_boot.then_some(self.config.boot),
            scheduled: self.config.schedule.clone(),
            hooks: self.config.hooks.described(),
            processes: PROCESSES,
            protects_new: self.config.protects_new,
            no_surge: None,
            blockers: Vec::new(),
            no_auto_rollback: None,
            controller: None,
            options: BTreeMap::new(),
            protected_by: None,
            warnings_of_long: Vec::new(),
            warnings,
        })
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        self.ask("observe", |state| self.see(state, |instance| state.now >= self.listed(instance)))
    }

    async fn activities(&self, since: Timestamp) -> Result<Vec<Activity>, ProviderError> {
        self.ask("read the activities", |state| {
            let failures = state.failures.iter().rev().filter(|(at, _)| *at >= since);
            let failed = failures.map(|(at, cause)| Activity {
                at: *at,
                instance: None,
                failed: true,
                kind: ActivityKind::Other,
                cause: cause.clone(),
            });
            let comes = |(_, i): &(&InstanceId, &SimulatedInstance)| {
                i.gone_at.is_none() && state.now.since(self.listed(i)) <= LAUNCHED_TOLD
            };
            let coming = state.instances.iter().filter(comes).map(|(id, instance)| Activity {
                at: instance.launched_at,
                instance: (state.now >= self.listed(instance)).then(|| id.clone()),
                failed: false,
                kind: match self.listed(instance) {
                    listed if state.now < listed => ActivityKind::Launching,
                    listed => ActivityKind::Launched(listed),
                },
                cause: "the size asks for another instance".into(),
            });
            let removed = state.removed.iter().rev().filter(|(at, _)| *at >= since);
            let removed = removed.map(|(at, id)| Activity {
                at: *at,
                instance: Some(id.clone()),
                failed: false,
                kind: ActivityKind::RemovedUnhealthy,
                cause: "an instance was taken out of service in response to an ELB system health \
                        check failure"
                    .into(),
            });
            failed.chain(coming).chain(removed).collect()
        })
    }

    async fn alarms(&self, names: &BTreeSet<String>) -> Result<Vec<Alarm>, ProviderError> {
        self.ask("read the alarms", |state| {
            let culprit = state.instances.iter().find(|(_, instance)| {
                let raises = match self.config.bad_revisions.get(&instance.revision) {
                    Some(Behaviour::Alarm) => true,
                    Some(Behaviour::AlarmOnRequests) => state.shifted > 0,
                    _ => false,
                };
                raises && instance.lifecycle(state.now) == Lifecycle::InService
            });
            let reason = match culprit {
                Some((id, instance)) => format!("{id} of {} makes errors", instance.revision),
                None if state.alarm => "errors of something else".to_owned(),
                None => "no errors".to_owned(),
            };
            let alarm = |name: &String| Alarm {
                name: name.clone(),
                raised: culprit.is_some() || state.alarm,
                reason: reason.clone(),
            };
            names.iter().map(alarm).collect()
        })
    }

    async fn addresses(
        &self,
        instances: &BTreeSet<InstanceId>,
    ) -> Result<BTreeMap<InstanceId, String>, ProviderError> {
        self.ask("read the addresses", |state| {
            let known = instances.iter().filter(|id| state.instances.contains_key(*id));
            known.map(|id| (id.clone(), address(id))).collect()
        })
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        // Other processes read the record and the commands.
        let write = match action {
            Action::WriteRecord { .. } | Action::EraseRecord { .. } => FlushPolicy::Now,
            _ => FlushPolicy::Soon,
        };
        self.change(write, |state| {
            self.admit("act", state)?;
            let before = state.capacity.desired;
            let was_gone = match action {
                Action::Terminate { instance, .. } | Action::Detach { instance, .. } => {
                    state.instances.get(instance).is_none_or(|found| found.gone_at.is_some())
                }
                _ => false,
            };
            self.perform(state, action)?;
            let removes = matches!(action, Action::Terminate { .. } | Action::Detach { .. });
            let lowered = removes && action.resizes() && state.capacity.desired < before;
            Ok(Done { lowered_from: lowered.then_some(before), was_gone })
        })
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }
}

fn refused(operation: &str, message: String) -> ProviderError {
    ProviderError {
        operation: operation.into(),
        kind: ErrorKind::Refused,
        effect: Effect::NotApplied,
        code: None,
        message,
        attribute: None,
        remedy: None,
    }
}

/// Returns when the cloud says that something happened at `at`: EC2 and Kubernetes tell whole seconds.
fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp(at.0 / 1000 * 1000)
}

/// Returns the made-up private address of an instance: `10.0.1.4` for the 260th that was launched.
fn address(id: &InstanceId) -> String {
    let number: u32 = id.as_str().trim_start_matches("i-").parse().unwrap_or_default();
    let [_, high, middle, low] = number.to_be_bytes();
    format!("10.{high}.{middle}.{low}")
}
