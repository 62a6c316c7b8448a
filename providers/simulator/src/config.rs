//! What a simulated fleet is made of.

use std::collections::BTreeMap;
use std::time::Duration;

use rolling_provider::{Revision, ScheduledAction};
use serde::{Deserialize, Serialize};

use crate::intervention::Intervention;

/// A simulated fleet. `instances`, `initial_revision` and `zones` shape it when it is first made;
/// the times and behaviours hold from then on for every run that names them.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// Its name, which also names its state file.
    pub name: String,
    /// How many instances it starts with.
    pub instances: u32,
    /// What these run.
    pub initial_revision: Revision,
    /// What it is to run.
    pub revision: Revision,
    /// How many zones it is spread over; at least 1.
    pub zones: u32,
    /// The load balancer's target groups; may be empty.
    pub target_groups: Vec<TargetGroupConfig>,
    /// A target group that nothing registers in by itself, and that requests can be shifted to.
    pub second: Option<TargetGroupConfig>,
    /// How long an update in place takes; `None` where instances are replaced.
    pub update: Option<Duration>,
    /// Median time from launch to in service.
    pub boot: Duration,
    /// How far boots differ: sigma of a lognormal distribution; 0 for none.
    pub boot_sigma: f64,
    /// Whether the fleet tells how long its launches take.
    pub publishes_boot: bool,
    /// Seeds the boot times.
    pub seed: u64,
    /// Revisions that do not work, and how.
    pub bad_revisions: BTreeMap<Revision, Behaviour>,
    /// Whether the fleet takes a deregistered instance for unhealthy and replaces it by itself.
    pub replaces_deregistered: bool,
    /// Launches that take long, drawn from the seed.
    pub hangs: Option<Hangs>,
    /// The longest that a launch takes to be listed; each takes its own time up to that, drawn from
    /// the seed. (Auto Scaling's launches take some seconds.)
    pub launch_lag: Duration,
    /// What the fleet launches by itself, whatever its template says.
    pub launches_instead: Option<Revision>,
    /// Something sets the template back to `initial_revision` so long after each change, as a tool
    /// that is run again and again with what is not wanted any more.
    pub template_set_back: Option<Duration>,
    /// Whether a smaller size costs the youngest instances, as Auto Scaling's policy
    /// `NewestInstance` has it, and not the oldest.
    pub scales_in_newest: bool,
    /// Whether these are unmanaged instances, which nothing launches, registers or counts by itself.
    pub unmanaged: bool,
    /// How long hooks hold instances that are not released.
    pub hooks: Hooks,
    /// Which share of the calls is refused for coming too fast, drawn from the seed; from 0 to 1.
    pub throttled: f64,
    /// What others do, and how long after the fleet was made.
    pub events: Vec<(Duration, Intervention)>,
    /// What the fleet's schedule has in store. It happens unless scheduled actions are suspended.
    pub schedule: Vec<ScheduledAction>,
}

impl Default for FleetConfig {
    /// Ten instances `web` on `v1` in three zones and one target group, to run `v2`, that do as
    /// they should: what documents get that leave everything out.
    fn default() -> Self {
        FleetConfig {
            name: "web".into(),
            instances: 10,
            initial_revision: "v1".into(),
            revision: "v2".into(),
            zones: 3,
            target_groups: vec![TargetGroupConfig {
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
            hangs: None,
            launch_lag: Duration::ZERO,
            launches_instead: None,
            template_set_back: None,
            scales_in_newest: false,
            unmanaged: false,
            hooks: Hooks::default(),
            throttled: 0.0,
            events: Vec::new(),
            schedule: Vec::new(),
        }
    }
}

impl FleetConfig {
    /// Every target group there is.
    pub(crate) fn rotation(&self) -> impl Iterator<Item = &TargetGroupConfig> {
        self.target_groups.iter().chain(&self.second)
    }

    /// The boot time of the `number`th launch, the first instances included: lognormal around the
    /// median, from the seed; or that of a hanging one.
    pub fn boot_of(&self, number: u64) -> Duration {
        if let Some(hangs) = self.hangs
            && self.random(number, 1).f64() < hangs.share
        {
            return hangs.boot;
        }
        let mut random = self.random(number, 0);
        // Box and Muller's way from two even draws to a normal one.
        let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * random.f64()).cos();
        self.boot.mul_f64((self.boot_sigma * normal).exp())
    }

    /// How long the `number`th launch takes to be listed.
    pub(crate) fn lag_of(&self, number: u64) -> Duration {
        self.launch_lag.mul_f64(self.random(number, 2).f64())
    }

    /// Whether the `number`th call is refused for coming too fast.
    pub(crate) fn throttles(&self, number: u64) -> bool {
        self.throttled > 0.0 && self.random(number, 3).f64() < self.throttled
    }

    pub(crate) fn random(&self, number: u64, what: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed.wrapping_add(number << 20).wrapping_add(what << 50))
    }
}

/// Lifecycle hooks, each completed after a while by whoever is told of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hooks {
    /// How long one holds an instance that has booted, before it is in service.
    pub launching: Duration,
    /// How long one holds an instance that has drained, before it is gone.
    pub terminating: Duration,
}

/// Launches that take long.
#[derive(Clone, Copy, Debug)]
pub struct Hangs {
    /// How many of all, from 0 to 1.
    pub share: f64,
    /// How long these take from launch to in service.
    pub boot: Duration,
}

/// One target group of a simulated fleet.
#[derive(Clone, Debug)]
pub struct TargetGroupConfig {
    /// Its name and id.
    pub name: String,
    /// From registered to healthy.
    pub register: Duration,
    /// From deregistered to drained.
    pub drain: Duration,
}

/// How a bad revision is bad.
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
    /// The same, but only once it gets requests that are shifted to it.
    AlarmOnRequests,
}
