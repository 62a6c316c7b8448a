//! The simulated fleet behind the port.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rolling_provider::{
    Action, Activity, Clock, Effect, ErrorKind, Fleet, Instance, InstanceId, Observation,
    ProviderError, Target, TargetGroup, Timestamp,
};

use crate::config::FleetConfig;
use crate::state::{Registration, SimulatedInstance, State};

/// When a simulated world begins: 2026-01-01 00:00 UTC.
pub const EPOCH: Timestamp = Timestamp(1_767_225_600_000);

/// A simulated fleet, in memory or in a file.
pub struct Simulator {
    config: FleetConfig,
    clock: Arc<dyn Clock>,
    file: Option<PathBuf>,
    state: Mutex<State>,
}

impl Simulator {
    /// A fleet in memory, gone with this value.
    pub fn in_memory(config: FleetConfig, clock: Arc<dyn Clock>) -> Self {
        let state = Mutex::new(State::new(&config, clock.now()));
        Self { config, clock, file: None, state }
    }

    /// A fleet that is kept in `file`, made there on first use. Its time stands still while
    /// nobody runs it: `clock` is made to start where it stopped.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or holds something else.
    pub fn in_file(
        config: FleetConfig,
        file: PathBuf,
        clock: impl FnOnce(Timestamp) -> Arc<dyn Clock>,
    ) -> Result<Self, ProviderError> {
        let found = match std::fs::read(&file) {
            Ok(bytes) => Some(serde_json::from_slice::<State>(&bytes).map_err(|error| {
                broken("read the simulator's state", &file, &error.to_string())
            })?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(broken("read the simulator's state", &file, &error.to_string()));
            }
        };
        let clock = clock(found.as_ref().map_or(EPOCH, |state| state.now));
        let state = found.unwrap_or_else(|| State::new(&config, clock.now()));
        Ok(Self { config, clock, file: Some(file), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        state.advance(&self.config, now);
        state
    }

    /// Keeps the state, so that another process, or the next run, sees it. Written beside and
    /// renamed, so that nobody ever reads half of it.
    fn save(&self, state: &State) -> Result<(), ProviderError> {
        let Some(file) = &self.file else { return Ok(()) };
        let write = || -> std::io::Result<()> {
            let folder = match file.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => std::path::Path::new("."),
            };
            std::fs::create_dir_all(folder)?;
            let mut beside = tempfile::NamedTempFile::new_in(folder)?;
            beside.write_all(&serde_json::to_vec(state)?)?;
            beside.persist(file)?;
            Ok(())
        };
        write().map_err(|error| broken("keep the simulator's state", file, &error.to_string()))
    }

    fn describe(&self, instance: &SimulatedInstance, now: Timestamp) -> Instance {
        let groups = &self.config.target_groups;
        let targets = groups
            .iter()
            .filter_map(|group| Some((group.id(), instance.health(&self.config, group, now)?)));
        Instance {
            revision: Some(instance.revision.clone()),
            zone: instance.zone.clone(),
            lifecycle: instance.lifecycle(now),
            healthy: true,
            launched_at: Some(instance.launched_at),
            protected: false,
            ignored: false,
            targets: targets.collect(),
        }
    }
}

#[async_trait]
impl Fleet for Simulator {
    async fn resolve(&self) -> Result<Target, ProviderError> {
        let groups = self.config.target_groups.iter();
        let mut warnings = Vec::new();
        if self.config.target_groups.is_empty() {
            let words = "the fleet has no target group: serving means in service and healthy";
            warnings.push(words.into());
        }
        Ok(Target {
            id: format!("simulated:{}", self.config.name),
            name: self.config.name.clone(),
            kind: "simulated fleet",
            revision: self.config.revision.clone(),
            target_groups: groups
                .map(|group| TargetGroup {
                    id: group.id(),
                    name: group.name.clone(),
                    drain: group.drain,
                    register: group.register,
                })
                .collect(),
            aliases: Default::default(),
            boot: Some(self.config.boot),
            warnings,
        })
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let state = self.state();
        let now = state.now;
        let instances = state.instances.iter();
        let look = Observation {
            at: now,
            instances: instances.map(|(id, i)| (id.clone(), self.describe(i, now))).collect(),
            capacity: state.capacity(),
            template: Some(state.template.clone()),
            suspended: state.suspended.clone(),
            record: state.tags.clone(),
        };
        Ok(look)
    }

    async fn activities(&self, since: Timestamp) -> Result<Vec<Activity>, ProviderError> {
        let state = self.state();
        let failures = state.failures.iter().rev().filter(|(at, _)| *at >= since);
        Ok(failures
            .map(|(at, cause)| Activity {
                at: *at,
                instance: None,
                failed: true,
                cause: cause.clone(),
            })
            .collect())
    }

    async fn act(&self, action: &Action) -> Result<(), ProviderError> {
        let mut state = self.state();
        self.perform(&mut state, action)?;
        // What the action makes due, a launch say, happens at once and not at the next look.
        let now = state.now;
        state.advance(&self.config, now);
        self.save(&state)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }
}

impl Simulator {
    fn perform(&self, state: &mut State, action: &Action) -> Result<(), ProviderError> {
        let now = state.now;
        match action {
            Action::WriteRecord { tags } => state.tags.extend(tags.clone()),
            Action::EraseRecord { keys } => state.tags.retain(|key, _| !keys.contains(key)),
            Action::SuspendProcesses { processes } => {
                state.suspended.extend(processes.iter().cloned());
            }
            Action::ResumeProcesses { processes } => {
                state.suspended.retain(|process| !processes.contains(process));
            }
            Action::MoveTemplate { to } => state.template = to.clone(),
            Action::SetCapacity { desired, max } => {
                if *desired > *max || *desired < state.capacity.min {
                    let min = state.capacity.min;
                    let words = format!("desired size {desired} is outside {min} to {max}");
                    return Err(refused("set the size", words));
                }
                state.capacity.max = *max;
                state.capacity.desired = *desired;
                // A size below what lives: the fleet picks its own victims, the oldest.
                let excess = state.live().saturating_sub(*desired as usize);
                let oldest: Vec<InstanceId> = state
                    .instances
                    .iter()
                    .filter(|(_, instance)| instance.gone_at.is_none())
                    .map(|(id, _)| id.clone())
                    .take(excess)
                    .collect();
                for id in &oldest {
                    state.terminate(&self.config, id);
                }
            }
            Action::Deregister { target_group, instances } => {
                for id in instances {
                    let target = state.instances.get_mut(id).map(|i| &mut i.targets);
                    if let Some(target) = target.and_then(|targets| targets.get_mut(target_group)) {
                        target.deregistered_at.get_or_insert(now);
                    }
                }
            }
            Action::Register { target_group, instances } => {
                for id in instances {
                    let Some(instance) = state.instances.get_mut(id) else {
                        return Err(refused("register", format!("{id} is not running")));
                    };
                    let fresh = Registration { since: now, deregistered_at: None };
                    instance.targets.insert(target_group.clone(), fresh);
                }
            }
            Action::Terminate { instance, decrement } => {
                let live = state.instances.get(instance).is_some_and(|i| i.gone_at.is_none());
                if live && *decrement {
                    if state.capacity.desired <= state.capacity.min {
                        let words = "terminating it would go below the minimum size".to_owned();
                        return Err(refused("terminate", words));
                    }
                    state.capacity.desired -= 1;
                }
                state.terminate(&self.config, instance);
            }
        }
        Ok(())
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

fn broken(operation: &str, file: &std::path::Path, why: &str) -> ProviderError {
    let message = format!("{}: {why}", file.display());
    ProviderError::invalid(operation, "simulated_fleet", message)
        .with_remedy("remove the file to start with a fresh fleet")
}
