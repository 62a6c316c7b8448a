//! The configuration of a simulated fleet.

use std::collections::BTreeMap;
use std::time::Duration;

use rolling_provider::{LifecycleHook, Revision, ScheduledAction};
use serde::{Deserialize, Serialize};

use crate::intervention::Intervention;

/// A simulated fleet. `instances`, `initial_revision` and `zones` shape it when it is first
/// created. The times and behaviours hold from then on for every run that sets them.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// Its name, which also names its state file.
    pub name: String,
    /// How many instances it starts with.
    pub instances: u32,
    /// The revision that these run.
    pub initial_revision: Revision,
    /// The revision that it is to run.
    pub revision: Revision,
    /// How many zones it is spread over; at least 1.
    pub zones: u32,
    /// The load balancer's target groups; may be empty.
    pub target_groups: Vec<SimulatedTargetGroup>,
    /// The second target group, which requests can be shifted to. Nothing registers there by
    /// itself.
    pub second: Option<SimulatedTargetGroup>,
    /// How long an update in place takes; `None` where instances are replaced.
    pub update: Option<Duration>,
    /// Median time from launch to in service.
    pub boot: Duration,
    /// How much boot times vary: sigma of a lognormal distribution; 0 for no variation.
    pub boot_sigma: f64,
    /// Whether the fleet reports how long its launches take.
    pub publishes_boot: bool,
    /// Seeds the boot times.
    pub seed: u64,
    /// Revisions that do not work, and how they fail.
    pub bad_revisions: BTreeMap<Revision, Behaviour>,
    /// Whether the fleet treats a deregistered instance as unhealthy and replaces it by itself.
    pub replaces_deregistered: bool,
    /// Whether the fleet protects from scale-in what it launches, apart from its first instances.
    pub protects_new: bool,
    /// Launches that take long, drawn from the seed.
    pub hangs: Option<Hangs>,
    /// The longest time until a launched instance is listed. Each launch takes a time up to that,
    /// drawn from the seed. (Auto Scaling's launches take some seconds.)
    pub launch_lag: Duration,
    /// The revision that the fleet launches by itself, regardless of its template.
    pub launches_instead: Option<Revision>,
    /// How long after each change the template is set back to `initial_revision`, as by a tool that
    /// runs repeatedly with an old configuration.
    pub template_set_back: Option<Duration>,
    /// Whether a smaller size terminates the newest instances, as Auto Scaling's policy
    /// `NewestInstance` does, and not the oldest.
    pub scales_in_newest: bool,
    /// Whether these are unmanaged instances, which nothing launches, registers or counts by
    /// itself.
    pub unmanaged: bool,
    /// How long hooks hold instances that are not released.
    pub hooks: LifecycleHooks,
    /// The share of the calls that are throttled, drawn from the seed; from 0 to 1.
    pub throttled: f64,
    /// What others do, and how long after the fleet is created.
    pub events: Vec<(Duration, Intervention)>,
    /// The fleet's scheduled actions. They happen unless scheduled actions are suspended.
    pub schedule: Vec<ScheduledAction>,
}

impl Default for FleetConfig {
    /// Returns ten instances `web` on `v1` in three zones and one target group, to run `v2`,
    /// without faults. Documents that leave everything out get this fleet.
    fn default() -> Self {
        FleetConfig {
            name: "web".into(),
            instances: 10,
            initial_revision: "v1".into(),
            revision: "v2".into(),
            zones: 3,
            target_groups: vec![SimulatedTargetGroup {
                name: "web".into(),
                register: Duration::from_secs(10),
                drain: Duration::from_secs(20),
            }],
            second: None,
            update: None,
            boot: Duration::from_secs(30),
            boot_sigma: 0.2,
            publishes_boot: true,
            seed: 1,
            bad_revisions: BTreeMap::new(),
            replaces_deregistered: false,
            protects_new: false,
            hangs: None,
            launch_lag: Duration::ZERO,
            launches_instead: None,
            template_set_back: None,
            scales_in_newest: false,
            unmanaged: false,
            hooks: LifecycleHooks::default(),
            throttled: 0.0,
            events: Vec::new(),
            schedule: Vec::new(),
        }
    }
}

impl FleetConfig {
    /// Returns every target group of the fleet.
    pub(crate) fn rotation(&self) -> impl Iterator<Item = &SimulatedTargetGroup> {
        self.target_groups.iter().chain(&self.second)
    }

    /// Returns the boot time of the `number`th launch, the first instances included: lognormal
    /// around the median, from the seed; or that of a hanging launch.
    pub fn boot_of(&self, number: u64) -> Duration {
        if let Some(hangs) = self.hangs
            && self.random(number, 1).f64() < hangs.share
        {
            return hangs.boot;
        }
        let mut random = self.random(number, 0);
        // Box-Muller transform: two uniform draws give a normal one.
        let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * random.f64()).cos();
        self.boot.mul_f64((self.boot_sigma * normal).exp())
    }

    /// Returns how long the `number`th launch takes to be listed.
    pub(crate) fn lag_of(&self, number: u64) -> Duration {
        self.launch_lag.mul_f64(self.random(number, 2).f64())
    }

    /// Whether the `number`th call is throttled.
    pub(crate) fn throttles(&self, number: u64) -> bool {
        self.throttled > 0.0 && self.random(number, 3).f64() < self.throttled
    }

    pub(crate) fn random(&self, number: u64, what: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed.wrapping_add(number << 20).wrapping_add(what << 50))
    }
}

/// Lifecycle hooks. The recipient of a hook's notification completes it after a while.
#[derive(Clone, Copy, Debug, Default)]
pub struct LifecycleHooks {
    /// How long a hook holds a booted instance before it is in service.
    pub launching: Duration,
    /// How long a hook holds a drained instance before it is gone.
    pub terminating: Duration,
}

impl LifecycleHooks {
    /// Returns the hooks that hold anything, as the port describes them.
    pub(crate) fn described(&self) -> Vec<LifecycleHook> {
        let both = [("launch", true, self.launching), ("terminate", false, self.terminating)];
        let there = both.into_iter().filter(|(_, _, holds)| !holds.is_zero());
        there
            .map(|(name, launches, heartbeat)| LifecycleHook {
                name: name.into(),
                launches,
                heartbeat,
                longest: heartbeat * 100,
            })
            .collect()
    }
}

/// Launches that take long.
#[derive(Clone, Copy, Debug)]
pub struct Hangs {
    /// The share of all launches, from 0 to 1.
    pub share: f64,
    /// How long these take from launch to in service.
    pub boot: Duration,
}

/// One target group of a simulated fleet.
#[derive(Clone, Debug)]
pub struct SimulatedTargetGroup {
    /// Its name and id.
    pub name: String,
    /// The time from registered to healthy.
    pub register: Duration,
    /// The time from deregistered to drained.
    pub drain: Duration,
}

/// How a bad revision fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// Registers and fails its health checks.
    Unhealthy,
    /// Is healthy and unhealthy by turns of 5 s.
    Flap,
    /// Boots five times as slowly.
    Slow,
    /// Every second launch fails its health checks.
    HalfUnhealthy,
    /// Never comes into service.
    Hang,
    /// Is gone again before it is in service.
    Die,
    /// Cannot be launched at all.
    FailLaunch,
    /// Is healthy, and raises every alarm.
    Alarm,
    /// Like `Alarm`, but only once requests are shifted to it.
    AlarmOnRequests,
}
