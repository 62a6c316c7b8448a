//! A validated rolling deployment, and the arithmetic from percentages to instances.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

pub use rolling_provider::SetAside;

/// What the user wants, validated and with every default filled in. [`crate::document`] makes it
/// from a document; the planner reads nothing else of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollingDeployment {
    /// Who replaces the instances.
    pub engine: Executor,
    /// How the fleet is replaced.
    pub policy: Policy,
    /// How an instance comes to run the revision.
    pub replacement: Replacement,
    /// When a free place in the window is used again.
    pub pacing: Pacing,
    /// How long to wait after a batch before the next one begins.
    pub pause_between_batches: Duration,
    /// Where the rollout waits, in ascending order of percentages.
    pub checkpoints: Vec<Checkpoint>,
    /// When a new instance counts as healthy.
    pub health: Health,
    /// How many instances of the new revision must fail to trip the breaker. At least 1.
    pub failure_threshold: u32,
    /// What happens when the breaker trips.
    pub on_failure: OnFailure,
    /// How many failed instances are taken out of the fleet and kept for debugging.
    pub keep_failed_instances: u32,
    /// Whether the rollout completes the lifecycle hooks that hold its instances.
    pub completes_hooks: bool,
    /// What to do about instances to replace that are protected from scale-in.
    pub protected: SetAside,
    /// What to do about instances to replace that are in standby.
    pub standby: SetAside,
    /// How long the rollout may go without progress (see [`crate::rollout::state::Best`]); `None`
    /// is the drain deadline plus twice [`Health::healthy_timeout`].
    pub progress_deadline: Option<Duration>,
    /// The longest time between two looks at the fleet.
    pub poll_interval: Duration,
    /// Processes of the fleet that are suspended while the rollout runs.
    pub suspend_processes: BTreeSet<String>,
    /// What must hold for the rollout to go on, besides the health of its instances.
    pub gates: Gates,
}

/// Who replaces the instances of a fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Executor {
    /// This program, action by action.
    #[default]
    Rolling,
    /// EC2 Auto Scaling, with an instance refresh: [`crate::rollout::instance_refresh`].
    InstanceRefresh {
        /// How long a new instance must be in service before it counts. `None`: as long as the
        /// group itself says.
        warmup: Option<Duration>,
    },
}

/// What must hold for a rollout to go on, besides the health of its instances. A rollout that goes
/// back has no gates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// Alarms of the cloud: none may be raised before a batch begins, nor while the rollout bakes.
    pub alarms: BTreeSet<String>,
    /// Checks after each batch, in order.
    pub probes: Vec<Probe>,
    /// How long everything must stay healthy at the end before the rollout is over.
    pub bake_time: Duration,
}

impl Gates {
    /// How long reading the alarms may take.
    pub const ALARMS_WITHIN: Duration = Duration::from_secs(60);

    /// Returns how long all gates together may take, with or without the probes.
    pub fn longest_answer(&self, probes: bool) -> Duration {
        let alarms = if self.alarms.is_empty() { Duration::ZERO } else { Self::ALARMS_WITHIN };
        let probes = self.probes.iter().filter(|_| probes).map(Probe::timeout);
        alarms + probes.sum::<Duration>()
    }

    /// Returns what is checked and when, one phrase each.
    pub fn phrases(&self) -> Vec<String> {
        let alarms = (!self.alarms.is_empty()).then(|| match self.bake_time.is_zero() {
            true => format!("{} before each batch", self.alarm_names()),
            false => format!("{} before each batch and while it bakes", self.alarm_names()),
        });
        let probes = self.probes.iter().map(|probe| format!("{probe} after each batch"));
        let bake = (!self.bake_time.is_zero())
            .then(|| format!("bakes for {}", humantime::format_duration(self.bake_time)));
        alarms.into_iter().chain(probes).chain(bake).collect()
    }

    /// Returns the alarms as part of a sentence: `alarms web-5xx, web-slow`.
    pub fn alarm_names(&self) -> String {
        let names: Vec<&str> = self.alarms.iter().map(String::as_str).collect();
        format!("alarms {}", names.join(", "))
    }
}

/// A check after a batch, made by this program and not by the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A GET request that must be answered with this status; repeated until it is.
    Http {
        /// The address.
        url: String,
        /// The status that passes.
        status: u16,
        /// How long the probe may take until an answer passes.
        timeout: Duration,
    },
    /// A command that must exit with code 0; run once.
    Command {
        /// The program and its arguments. No shell is involved.
        run: Vec<String>,
        /// Additional environment variables.
        environment: BTreeMap<String, Secret>,
        /// How long it may take.
        timeout: Duration,
    },
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(sensitive)")
    }
}

impl Probe {
    /// Returns how long the probe may take to pass.
    pub fn timeout(&self) -> Duration {
        match self {
            Probe::Http { timeout, .. } | Probe::Command { timeout, .. } => *timeout,
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Without query and arguments: this text ends up in logs and tags.
            Probe::Http { url, .. } => {
                let url = url.split(['?', '#']).next().unwrap_or_default();
                let (scheme, remaining) = url.split_once("://").unwrap_or(("http", url));
                let (host, path) = remaining.split_once('/').unwrap_or((remaining, ""));
                let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
                write!(f, "GET {scheme}://{host}/{path}")
            }
            Probe::Command { run, .. } => {
                write!(f, "command {}", run.first().map_or("", String::as_str))
            }
        }
    }
}

/// How the fleet is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Every instance in one batch: an outage.
    AllAtOnce,
    /// Batch by batch in place, with that much less capacity.
    Rolling(BatchSize),
    /// Batch by batch with one batch launched beforehand: capacity never drops.
    RollingWithAdditionalBatch(BatchSize),
    /// In place within Kubernetes' bounds: surge rounds up, unavailable rounds down, and where both
    /// are 0 one instance may be unavailable.
    RollingWithin {
        /// How many instances beyond the fleet's size may live.
        surge: Bound,
        /// By how many the serving instances may fall below the fleet's size.
        unavailable: Bound,
    },
    /// One new instance in addition to the old ones, then as many as the fleet has. The old ones go
    /// only when all new ones serve.
    Immutable,
    /// As many new instances as the fleet has, in a second target group. That group gets a share of
    /// the requests for a while, and then all of them.
    TrafficSplitting {
        /// The share in percent, from 1 to 99.
        percent: u32,
        /// How long the second target group gets the share.
        evaluation_time: Duration,
    },
    /// Like traffic splitting, but all requests move at once, and the old instances are kept for a
    /// while.
    BlueGreen {
        /// How long the old instances are kept to take the requests back.
        terminate_after: Duration,
    },
}

impl Policy {
    /// Returns the spelling in documents.
    pub fn name(self) -> &'static str {
        match self {
            Policy::AllAtOnce => "all_at_once",
            Policy::Rolling(_) | Policy::RollingWithin { .. } => "rolling",
            Policy::RollingWithAdditionalBatch(_) => "rolling_with_additional_batch",
            Policy::Immutable => "immutable",
            Policy::TrafficSplitting { .. } => "traffic_splitting",
            Policy::BlueGreen { .. } => "blue_green",
        }
    }

    /// Whether requests are shifted from one target group to a second one.
    pub fn shifts(self) -> bool {
        matches!(self, Policy::TrafficSplitting { .. } | Policy::BlueGreen { .. })
    }

    /// Whether the old instances stay until the whole new set is there.
    pub fn keeps_old(self) -> bool {
        self == Policy::Immutable || self.shifts()
    }

    /// Returns how long shifting the requests takes when nothing goes wrong.
    pub fn shift_time(self) -> Duration {
        match self {
            Policy::TrafficSplitting { evaluation_time, .. } => evaluation_time,
            Policy::BlueGreen { terminate_after } => terminate_after,
            _ => Duration::ZERO,
        }
    }
}

/// How an instance comes to run the revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// A new instance is launched in its place.
    Launch,
    /// The instance itself is updated, out of rotation.
    InPlace {
        /// How long the update may take.
        within: Duration,
    },
}

impl Replacement {
    /// Returns how long an update in place may take; `None` where instances are replaced.
    pub fn within(self) -> Option<Duration> {
        match self {
            Replacement::Launch => None,
            Replacement::InPlace { within } => Some(within),
        }
    }
}

/// A number of instances, or a share of the fleet in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// This many, but no more than the fleet has.
    Count(u32),
    /// This many percent of the fleet.
    Percent(u32),
}

impl Bound {
    fn of(self, n: u32, round_up: bool) -> u32 {
        match self {
            Bound::Count(count) => count.min(n),
            Bound::Percent(percent) => {
                let hundredths = u64::from(n) * u64::from(percent);
                let share = if round_up { hundredths.div_ceil(100) } else { hundredths / 100 };
                u32::try_from(share).unwrap_or(n).min(n)
            }
        }
    }
}

/// When a free place in the window is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// When the whole batch is done.
    Batch,
    /// At once.
    Continuous,
}

/// A point at which the rollout waits on the way to the new revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Reached when this many percent of the fleet are updated. From 1 to 99.
    pub percentage: u32,
    /// How long to wait there; `None` until the rollout is resumed.
    pub pause: Option<Duration>,
}

impl Checkpoint {
    /// Returns how many of `n` instances may be new before this checkpoint is passed: rounded down,
    /// but at least one, like a batch.
    pub fn quota(self, n: u32) -> u32 {
        BatchSize::Percentage(self.percentage).of(n)
    }
}

/// How many instances a batch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSize {
    /// This many percent of the fleet, rounded down, but at least 1. From 1 to 100.
    Percentage(u32),
    /// This many instances, but no more than the fleet has. At least 1.
    Fixed(u32),
}

impl BatchSize {
    /// Returns the batch size for a fleet of `n`, by the rules of Elastic Beanstalk.
    ///
    /// 30 percent of 10 are 3; 30 percent of 5 are 1.5, so 1; 30 percent of 2 are 0.6, but still 1,
    /// since an empty batch would never end.
    pub fn of(self, n: u32) -> u32 {
        match self {
            _ if n == 0 => 0,
            BatchSize::Percentage(percent) => {
                let share = u64::from(n) * u64::from(percent) / 100;
                u32::try_from(share).unwrap_or(n).clamp(1, n)
            }
            BatchSize::Fixed(size) => size.clamp(1, n),
        }
    }
}

/// When a new instance counts as healthy, and when it is too late for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Soak: how long an instance must serve without a break before it counts. A break starts
    /// it over.
    pub min_healthy_time: Duration,
    /// How long after its launch an instance may take to serve. Never extended.
    pub healthy_timeout: Duration,
}

/// What a failure of the new revision leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Roll back to the last completed revision.
    Rollback,
    /// Put victims back into rotation and the template back, and wait for a decision.
    Pause,
    /// Put back what was borrowed, leave the instances as they are, and report it.
    Stop,
}

/// The bounds of a rollout for a fleet of a certain size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The intended size of the fleet.
    pub size: u32,
    /// How many instances beyond that size may live.
    pub surge: u32,
    /// By how many the serving instances may fall below that size.
    pub unavailable: u32,
}

impl Window {
    /// Returns the bounds that `policy` sets for a fleet of `size`.
    pub fn resolve(policy: Policy, size: u32) -> Window {
        let (surge, unavailable) = match policy {
            Policy::AllAtOnce => (0, size),
            Policy::Rolling(batch) => (0, batch.of(size)),
            Policy::RollingWithAdditionalBatch(batch) => (batch.of(size), 0),
            Policy::RollingWithin { surge, unavailable } => {
                match (surge.of(size, true), unavailable.of(size, false)) {
                    (0, 0) => (0, size.min(1)),
                    bounds => bounds,
                }
            }
            Policy::Immutable | Policy::TrafficSplitting { .. } | Policy::BlueGreen { .. } => {
                (size, 0)
            }
        };
        Window { size, surge, unavailable }
    }

    /// Returns how many instances must serve at least.
    pub fn floor(self) -> u32 {
        self.size - self.unavailable
    }

    /// Returns how many instances may live at most.
    pub fn ceiling(self) -> u32 {
        self.size.saturating_add(self.surge)
    }

    /// Returns how many instances may drain or boot at once.
    pub fn slots(self) -> u32 {
        self.surge.saturating_add(self.unavailable)
    }
}

impl Default for RollingDeployment {
    /// Returns the defaults of a document: one instance after another, each healthy for 10 seconds
    /// before the next, and back to the completed revision at the first failure. Nothing is
    /// suspended: which processes a fleet has depends on its cloud.
    fn default() -> Self {
        RollingDeployment {
            engine: Executor::Rolling,
            policy: Policy::Rolling(BatchSize::Fixed(1)),
            replacement: Replacement::Launch,
            pacing: Pacing::Batch,
            pause_between_batches: Duration::ZERO,
            checkpoints: Vec::new(),
            health: Health {
                min_healthy_time: Duration::from_secs(10),
                healthy_timeout: Duration::from_secs(600),
            },
            failure_threshold: 1,
            on_failure: OnFailure::Rollback,
            keep_failed_instances: 0,
            completes_hooks: false,
            protected: SetAside::Wait,
            standby: SetAside::Wait,
            progress_deadline: None,
            poll_interval: Duration::from_secs(10),
            suspend_processes: BTreeSet::new(),
            gates: Gates::default(),
        }
    }
}

impl RollingDeployment {
    /// Returns how long a drain may take before its victim is terminated anyway.
    pub fn drain_deadline(drain: Duration) -> Duration {
        drain + Duration::from_secs(30)
    }

    /// See [`RollingDeployment::progress_deadline`].
    pub fn progress_deadline(&self, drain: Duration) -> Duration {
        self.progress_deadline.unwrap_or_else(|| {
            let update = self.replacement.within().unwrap_or_default();
            Self::drain_deadline(drain) + update + self.health.healthy_timeout * 2
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_rounds_down_but_never_to_nothing() {
        let sizes = |percent| [0, 1, 2, 5, 10, 11].map(|n| BatchSize::Percentage(percent).of(n));
        assert_eq!(sizes(30), [0, 1, 1, 1, 3, 3]);
        assert_eq!(sizes(1), [0, 1, 1, 1, 1, 1]);
        assert_eq!(sizes(100), [0, 1, 2, 5, 10, 11]);
    }

    #[test]
    fn a_fixed_batch_is_capped_by_the_fleet() {
        assert_eq!([0, 1, 4, 9].map(|n| BatchSize::Fixed(4).of(n)), [0, 1, 4, 4]);
    }

    #[test]
    fn every_policy_has_a_slot_as_soon_as_there_is_an_instance() {
        let batches = [BatchSize::Percentage(1), BatchSize::Fixed(1)];
        let policies = batches
            .into_iter()
            .flat_map(|b| [Policy::Rolling(b), Policy::RollingWithAdditionalBatch(b)])
            .chain([Policy::AllAtOnce, Policy::Immutable])
            .chain([Policy::BlueGreen { terminate_after: Duration::ZERO }])
            .chain([(0, 0), (1, 1), (25, 0), (0, 25), (100, 100)].into_iter().flat_map(
                |(s, u)| {
                    let (surge, unavailable) = (Bound::Percent(s), Bound::Percent(u));
                    let counted = (Bound::Count(s), Bound::Count(u));
                    [(surge, unavailable), counted]
                        .map(|(surge, unavailable)| Policy::RollingWithin { surge, unavailable })
                },
            ));
        for policy in policies {
            for n in 1..200 {
                let window = Window::resolve(policy, n);
                assert!(window.slots() >= 1, "{policy:?} of {n}");
                assert!(window.floor() <= n && n <= window.ceiling());
            }
        }
    }

    #[test]
    fn surge_rounds_up_and_unavailable_down_as_kubernetes_has_it() {
        let bounds = |surge, unavailable, n| {
            let window = Window::resolve(Policy::RollingWithin { surge, unavailable }, n);
            (window.surge, window.unavailable)
        };
        assert_eq!(bounds(Bound::Percent(25), Bound::Percent(25), 10), (3, 2));
        assert_eq!(bounds(Bound::Percent(0), Bound::Percent(25), 3), (0, 1), "0.75 is none, so 1");
        assert_eq!(bounds(Bound::Count(0), Bound::Count(0), 5), (0, 1));
        assert_eq!(bounds(Bound::Count(7), Bound::Count(9), 5), (5, 5), "capped by the fleet");
    }
}
