//! How a fleet is replaced: policies, sizes of batches, and the bounds that follow from both.

use std::time::Duration;

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
    /// As many new instances as the fleet has, in a second target group. That group gets growing
    /// shares of the requests (`traffic_steps` of the deployment), and then all of them.
    TrafficSplitting,
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
            Policy::TrafficSplitting => "traffic_splitting",
            Policy::BlueGreen { .. } => "blue_green",
        }
    }

    /// Whether requests are shifted from one target group to a second one.
    pub fn shifts(self) -> bool {
        matches!(self, Policy::TrafficSplitting | Policy::BlueGreen { .. })
    }

    /// Whether the old instances stay until the whole new set is there.
    pub(crate) fn keeps_old(self) -> bool {
        self == Policy::Immutable || self.shifts()
    }
}

/// A share of the requests on the way to all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrafficStep {
    /// The share that the second target group gets, in percent, from 1 to 99.
    pub percent: u32,
    /// How long it gets this share, and must stay healthy, before the next step.
    pub evaluation_time: Duration,
}

impl TrafficStep {
    /// The step of a deployment that says nothing else: Elastic Beanstalk's default.
    pub(crate) const DEFAULT: TrafficStep =
        TrafficStep { percent: 10, evaluation_time: Duration::from_secs(300) };
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

/// A point at which the rollout waits on the way to the new revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Reached when this many percent of the fleet are updated. From 1 to 99.
    pub percentage: u32,
    /// How long to wait there; `None` until the rollout is resumed, or `expires`.
    pub pause: Option<Duration>,
    /// What happens where nobody has decided in time; only without `pause`.
    pub expires: Option<Expiry>,
}

/// What happens at a checkpoint where nobody has decided in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// How long after the checkpoint was reached, by the record.
    pub after: Duration,
    /// Whether the rollout then goes back, or else on.
    pub rolls_back: bool,
}

impl Checkpoint {
    /// Returns what ends the wait there, where that is not a decision only.
    pub(crate) fn ends(self) -> Option<Expiry> {
        let passes = self.pause.map(|after| Expiry { after, rolls_back: false });
        passes.or(self.expires)
    }

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
    pub(crate) fn of(self, n: u32) -> u32 {
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
            Policy::Immutable | Policy::TrafficSplitting | Policy::BlueGreen { .. } => (size, 0),
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
