//! A validated rolling deployment, and the arithmetic from percentages to instances.

use std::collections::BTreeSet;
use std::time::Duration;

/// What a user wants done, checked and with every default filled in. Made from a document by
/// [`crate::document`]; the planner reads nothing else of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollingDeployment {
    /// How the fleet is replaced.
    pub policy: Policy,
    /// When a new instance counts.
    pub health: Health,
    /// What a failure of the new revision leads to.
    pub on_failure: OnFailure,
    /// How long the rollout may go without reaching a new maximum of updated and serving
    /// instances; `None` is the drain deadline plus twice [`Health::healthy_timeout`].
    pub progress_deadline: Option<Duration>,
    /// The longest time between two looks at the fleet.
    pub poll_interval: Duration,
    /// Processes of the fleet that are suspended while the rollout runs.
    pub suspend_processes: BTreeSet<String>,
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
}

impl Policy {
    /// The spelling of documents.
    pub fn name(self) -> &'static str {
        match self {
            Policy::AllAtOnce => "all_at_once",
            Policy::Rolling(_) => "rolling",
            Policy::RollingWithAdditionalBatch(_) => "rolling_with_additional_batch",
        }
    }
}

/// How many instances a batch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSize {
    /// That many percent of the fleet, rounded down, but at least 1. From 1 to 100.
    Percentage(u32),
    /// That many instances, but no more than the fleet has. At least 1.
    Fixed(u32),
}

impl BatchSize {
    /// The batch of a fleet of `n`, as Elastic Beanstalk has it.
    ///
    /// 30 percent of 10 are 3; 30 percent of 5 are 1.5, so 1; 30 percent of 2 are 0.6, so 1 all
    /// the same, since a batch of none would never end.
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
    /// Put back what was borrowed, leave the instances as they are, and say so.
    Stop,
}

/// The bounds of a rollout for a fleet of a certain size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many instances the fleet is meant to have.
    pub size: u32,
    /// How many more than that may live.
    pub surge: u32,
    /// How many fewer than that may serve.
    pub unavailable: u32,
}

impl Window {
    /// The bounds that `policy` sets for a fleet of `size`.
    pub fn resolve(policy: Policy, size: u32) -> Window {
        let (surge, unavailable) = match policy {
            Policy::AllAtOnce => (0, size),
            Policy::Rolling(batch) => (0, batch.of(size)),
            Policy::RollingWithAdditionalBatch(batch) => (batch.of(size), 0),
        };
        Window { size, surge, unavailable }
    }

    /// At least this many serve.
    pub fn floor(self) -> u32 {
        self.size - self.unavailable
    }

    /// At most this many live.
    pub fn ceiling(self) -> u32 {
        self.size.saturating_add(self.surge)
    }

    /// At most this many drain or boot at once.
    pub fn slots(self) -> u32 {
        self.surge.saturating_add(self.unavailable)
    }
}

impl RollingDeployment {
    /// How long a drain may take before a victim is terminated all the same.
    pub fn drain_deadline(drain: Duration) -> Duration {
        drain + Duration::from_secs(30)
    }

    /// See [`RollingDeployment::progress_deadline`].
    pub fn progress_deadline(&self, drain: Duration) -> Duration {
        self.progress_deadline
            .unwrap_or_else(|| Self::drain_deadline(drain) + self.health.healthy_timeout * 2)
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
            .chain([Policy::AllAtOnce]);
        for policy in policies {
            for n in 1..200 {
                let window = Window::resolve(policy, n);
                assert!(window.slots() >= 1, "{policy:?} of {n}");
                assert!(window.floor() <= n && n <= window.ceiling());
            }
        }
    }
}
