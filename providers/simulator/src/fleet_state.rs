//! The fleet's state, and how time and requests change it.

mod advance;
mod instance;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rolling_provider::{Capacity, InstanceId, Revision, Tags, Timestamp};
use serde::{Deserialize, Serialize};

use self::instance::SimulatedUpdate;
pub(crate) use self::instance::{Registration, SimulatedInstance};
use crate::config::{Behaviour, FleetConfig};

/// How long a drained instance takes to be gone.
pub(crate) const SHUTDOWN: Duration = Duration::from_secs(1);

/// The fleet's state. All times are absolute, so that looks have no side effects except launches
/// that are due and instances that are gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FleetState {
    pub name: String,
    pub now: Timestamp,
    /// When the fleet was created.
    #[serde(default)]
    pub made_at: Timestamp,
    /// The time up to which its events have happened.
    #[serde(default)]
    pub events_until: Timestamp,
    /// Until when every call is throttled.
    #[serde(default)]
    pub throttled_until: Timestamp,
    /// Whether every alarm is raised, whatever the instances do.
    #[serde(default)]
    pub alarm: bool,
    pub capacity: CapacityState,
    pub template: Revision,
    /// When the template was last changed.
    #[serde(default)]
    pub template_at: Timestamp,
    pub suspended: BTreeSet<String>,
    pub tags: Tags,
    pub instances: BTreeMap<InstanceId, SimulatedInstance>,
    pub launched: u64,
    /// How many updates in place were begun.
    #[serde(default)]
    pub updates: u64,
    pub failures: Vec<(Timestamp, String)>,
    /// Instances that the fleet has removed as unhealthy, and when.
    #[serde(default)]
    pub removed: Vec<(Timestamp, InstanceId)>,
    /// What this process has launched, in order.
    #[serde(skip)]
    pub launches: Vec<Revision>,
    /// The percentage of the requests that go to the second target group.
    #[serde(default)]
    pub shifted: u32,
    /// The instance that each token launched.
    #[serde(default)]
    pub tokens: BTreeMap<String, InstanceId>,
    /// Scheduled actions that have fallen due.
    #[serde(default)]
    pub scheduled: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CapacityState {
    pub min: u32,
    pub max: u32,
    pub desired: u32,
}

impl FleetState {
    /// Creates a fleet that has been running for a while.
    pub fn new(config: &FleetConfig, now: Timestamp) -> Self {
        let mut state = FleetState {
            name: config.name.clone(),
            now,
            made_at: now,
            // Events at this very time have not happened yet.
            events_until: Timestamp(now.0.saturating_sub(1)),
            throttled_until: now,
            alarm: false,
            capacity: CapacityState { min: 0, max: config.instances, desired: config.instances },
            template: config.initial_revision.clone(),
            template_at: now,
            suspended: BTreeSet::new(),
            tags: Tags::new(),
            instances: BTreeMap::new(),
            launched: 0,
            updates: 0,
            failures: Vec::new(),
            removed: Vec::new(),
            launches: Vec::new(),
            shifted: 0,
            tokens: BTreeMap::new(),
            scheduled: BTreeSet::new(),
        };
        let long_ago = Timestamp(now.0.saturating_sub(86_400_000));
        let mut crowds = Crowds::of(&state, config);
        for _ in 0..config.instances {
            let id = state.launch(config, long_ago, crowds.emptiest(), None);
            if let Some(instance) = state.instances.get_mut(&id) {
                (instance.in_service_at, instance.protected) = (Some(long_ago), false);
                for registration in instance.targets.values_mut() {
                    registration.since = long_ago;
                }
            }
        }
        state
    }

    /// Returns how many instances count towards the desired size.
    pub fn live(&self) -> usize {
        let live = self.instances.values();
        live.filter(|instance| instance.gone_at.is_none() && !instance.standby).count()
    }

    /// Sets the desired size. Below the number of live instances, the fleet picks its own victims.
    pub fn resize(&mut self, config: &FleetConfig, desired: u32) {
        self.capacity.desired = desired;
        let excess = self.live().saturating_sub(desired as usize);
        let live = self.instances.iter().filter(|(_, i)| i.gone_at.is_none() && !i.standby);
        let mut live: Vec<(u64, InstanceId)> = live.map(|(id, i)| (i.number, id.clone())).collect();
        live.sort();
        if config.scales_in_newest {
            live.reverse();
        }
        for (_, id) in live.iter().take(excess) {
            self.terminate(config, id);
        }
    }

    pub fn capacity(&self) -> Capacity {
        let CapacityState { min, max, desired } = self.capacity;
        Capacity { min, max, desired, units: None }
    }

    /// Marks `id` as terminating; it drains first where it is still registered.
    pub fn terminate(&mut self, config: &FleetConfig, id: &InstanceId) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(id) else { return };
        if instance.gone_at.is_some() {
            return;
        }
        let mut drained = now;
        for group in config.rotation() {
            if let Some(registration) = instance.targets.get_mut(&group.id()) {
                let since = *registration.deregistered_at.get_or_insert(now);
                drained = drained.max(since + group.drain);
            }
        }
        // A hook holds it after it has drained, as
        // https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html says.
        let released = drained + config.hooks.terminating;
        instance.in_lifecycle_hook = Some((drained, released));
        instance.gone_at = Some(released + SHUTDOWN);
    }

    /// Completes the hook that holds `id`, if any does.
    pub fn release(&mut self, id: &InstanceId) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(id).filter(|i| i.is_held(now)) else { return };
        instance.in_lifecycle_hook = None;
        if instance.gone_at.is_some() {
            instance.gone_at = Some(now + SHUTDOWN);
            return;
        }
        instance.in_service_at = Some(now);
        for registration in instance.targets.values_mut() {
            registration.since = now;
        }
    }

    /// Launches one instance of the template in `zone`. An unmanaged instance in place of another
    /// is in no target group.
    pub fn launch(
        &mut self,
        config: &FleetConfig,
        at: Timestamp,
        zone: String,
        stands_for: Option<&InstanceId>,
    ) -> InstanceId {
        self.launched += 1;
        let behaviour = config.bad_revisions.get(&self.template);
        let mut boot = config.boot_of(self.launched);
        if behaviour == Some(&Behaviour::Slow) {
            boot *= 5;
        }
        let booted = at + boot;
        let in_service = booted + config.hooks.launching;
        let comes_up = !matches!(behaviour, Some(Behaviour::Hang | Behaviour::Die));
        let in_service_at = comes_up.then_some(in_service);
        let joins = stands_for.is_none() && !self.suspended.contains("AddToLoadBalancer");
        let registers = in_service_at.is_some() && joins;
        let groups = config.target_groups.iter().filter(|_| registers);
        let instance = SimulatedInstance {
            revision: self.template.clone(),
            zone,
            launched_at: at,
            in_service_at,
            in_lifecycle_hook: comes_up.then_some((booted, in_service)),
            targets: groups
                .map(|g| (g.id(), Registration { since: in_service, deregistered_at: None }))
                .collect(),
            gone_at: None,
            tags: Tags::new(),
            protected: config.protects_new,
            standby: false,
            broken: behaviour == Some(&Behaviour::HalfUnhealthy) && self.launched.is_multiple_of(2),
            number: self.launched,
            stands_for: stands_for.cloned(),
            update: None,
        };
        self.launches.push(self.template.clone());
        let id = InstanceId::new(format!("i-{:04}", self.launched));
        self.instances.insert(id.clone(), instance);
        id
    }

    /// Begins an update in place, once for each token.
    pub fn update(&mut self, config: &FleetConfig, id: &InstanceId, to: &Revision, token: &str) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(id) else { return };
        if instance.update.as_ref().is_some_and(|update| update.token == token) {
            return;
        }
        self.updates += 1;
        let behaviour = config.bad_revisions.get(to);
        let mut takes = config.update.unwrap_or_default();
        if behaviour == Some(&Behaviour::Slow) {
            takes *= 5;
        }
        instance.update = Some(SimulatedUpdate {
            to: to.clone(),
            token: token.to_owned(),
            ends_at: (behaviour != Some(&Behaviour::Hang)).then_some(now + takes),
            fails: behaviour == Some(&Behaviour::FailLaunch),
        });
    }

    /// Records what an instance runs once its update is over.
    pub fn confirm(&mut self, config: &FleetConfig, id: &InstanceId, to: Option<&Revision>) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        instance.update = None;
        if let Some(to) = to {
            instance.revision = to.clone();
            let behaviour = config.bad_revisions.get(to);
            instance.broken =
                behaviour == Some(&Behaviour::HalfUnhealthy) && instance.number.is_multiple_of(2);
            instance.tags.remove("rolling:failed");
        }
    }
}

/// How many instances each zone has: counted once, and updated as more are launched.
#[derive(Default)]
pub(crate) struct Crowds(Vec<(String, usize)>);

impl Crowds {
    pub fn of(state: &FleetState, config: &FleetConfig) -> Crowds {
        let mut crowds: Vec<(String, usize)> =
            (0..config.zones.max(1)).map(|index| (zone(index), 0)).collect();
        for instance in state.instances.values().filter(|instance| instance.gone_at.is_none()) {
            if let Some((_, crowd)) = crowds.iter_mut().find(|(zone, _)| *zone == instance.zone) {
                *crowd += 1;
            }
        }
        Crowds(crowds)
    }

    /// Returns the zone with the fewest instances, and counts one more there.
    pub fn emptiest(&mut self) -> String {
        match self.0.iter_mut().min_by_key(|(_, crowd)| *crowd) {
            Some((zone, crowd)) => {
                *crowd += 1;
                zone.clone()
            }
            None => zone(0),
        }
    }
}

/// Returns the name of a zone: `a`, `b`, ... and then numbers.
fn zone(index: u32) -> String {
    match u8::try_from(index) {
        Ok(index) if index < 26 => char::from(b'a' + index).to_string(),
        _ => index.to_string(),
    }
}
