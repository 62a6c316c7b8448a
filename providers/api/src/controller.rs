//! A controller of the platform that replaces instances within bounds that it is given, and that can
//! be stopped: Kubernetes' Deployment controller by a pause, its StatefulSet controller by a partition.
//!
//! It carries a rollout out by itself, whether or not any process watches it. It knows neither
//! checkpoints nor gates, and does not roll back: the engine tells it within which bounds to go on and
//! how far, and sets what it rolls to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::InstanceId;

/// A number of instances, or a share of the fleet's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// So many instances.
    Count(u32),
    /// So many percent of the size, from 0 to 100. The controller rounds a share that may live beyond
    /// the size up, and one that may be unavailable down.
    Percent(u32),
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Share::Count(count) => write!(f, "{count}"),
            Share::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl std::str::FromStr for Share {
    type Err = std::num::ParseIntError;

    /// Reads what [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_suffix('%') {
            Some(percent) => percent.parse().map(Share::Percent),
            None => text.parse().map(Share::Count),
        }
    }
}

impl Share {
    /// Returns how many of `size` instances it is, rounded up.
    pub fn rounded_up(self, size: u32) -> u32 {
        self.of(size, u64::div_ceil)
    }

    /// Returns how many of `size` instances it is, rounded down.
    pub fn rounded_down(self, size: u32) -> u32 {
        self.of(size, |share, hundred| share / hundred)
    }

    fn of(self, size: u32, divide: impl Fn(u64, u64) -> u64) -> u32 {
        match self {
            Share::Count(count) => count,
            Share::Percent(percent) => {
                let share = divide(u64::from(size) * u64::from(percent), 100);
                u32::try_from(share).unwrap_or(u32::MAX)
            }
        }
    }
}

/// The bounds within which a controller replaces instances, and when one of them counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub struct ControllerSettings {
    /// How many instances may live beyond the size.
    pub surge: Share,
    /// How many instances may be unavailable.
    pub unavailable: Share,
    /// How long an instance must be ready without a break before it is available. In seconds.
    pub min_ready_seconds: u32,
    /// After how long without progress the controller reports that it is stuck. In seconds. `None`
    /// where it never does.
    pub deadline_seconds: Option<u32>,
}

impl ControllerSettings {
    /// How many of `size` instances may live beyond it.
    pub fn surge_of(&self, size: u32) -> u32 {
        self.surge.rounded_up(size)
    }

    /// How many of `size` instances may be unavailable. Where rounding allows neither surge nor an
    /// unavailable instance, it is one, as Kubernetes' `ResolveFenceposts` has it.
    pub fn unavailable_of(&self, size: u32) -> u32 {
        let unavailable = self.unavailable.rounded_down(size);
        if unavailable == 0 && self.surge_of(size) == 0 { 1 } else { unavailable.min(size) }
    }

    /// How many instances may be replaced at once.
    pub fn slots_of(&self, size: u32) -> u32 {
        self.surge_of(size) + self.unavailable_of(size)
    }

    /// How long an instance must be ready before it is available.
    pub fn min_ready(&self) -> Duration {
        Duration::from_secs(self.min_ready_seconds.into())
    }
}

/// How far a controller goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// To the end.
    All,
    /// No further: it is paused. For a controller without a partition.
    Paused,
    /// To all instances but so many, which keep the revision that they have. For a controller with a
    /// partition.
    AllBut(u32),
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Extent::All => f.write_str("go on"),
            Extent::Paused => f.write_str("pause"),
            Extent::AllBut(count) => write!(f, "replace all but {count}"),
        }
    }
}

/// What a controller shows of the rollout that it carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerStatus {
    /// The bounds that it is given now.
    pub settings: ControllerSettings,
    /// Whether it is paused: it then scales, and replaces nothing.
    pub paused: bool,
    /// How many instances keep the revision that they have, where a controller can be told so
    /// (`partition` of a StatefulSet); else `None`. Such a controller is never paused.
    pub partition: Option<u32>,
    /// Whether the numbers are of what it is given now, and not of what it was given before.
    pub observed: bool,
    /// How many instances it asks for of the revision that it rolls to: with a partition, all others.
    pub asked: u32,
    /// How many it asks for of all revisions.
    pub asked_in_all: u32,
    /// How many of the revision that it rolls to are available.
    pub available: u32,
    /// Whether all instances are of the revision that it rolls to, and available, and no other is
    /// left.
    pub complete: bool,
    /// Why it says that it is stuck, in its own words, once the deadline is over.
    pub exceeded: Option<String>,
    /// Why it cannot go on, in the platform's own words: mostly since it cannot create instances.
    pub refused: Option<String>,
    /// The place of each instance, from 0, where there is a partition: the highest is replaced first,
    /// and those below the partition stay as they are.
    pub places: BTreeMap<InstanceId, u32>,
    /// Instances that it is to replace, and that it waits for all the same: it goes on once they serve,
    /// or are removed.
    pub blocked_by: Vec<InstanceId>,
    /// Who else sets what it rolls to, as the platform names them.
    pub managers: Vec<String>,
}

impl ControllerStatus {
    /// Whether it does not go to the end as things are.
    pub fn is_stopped(&self) -> bool {
        self.paused || self.partition.is_some_and(|unchanged| unchanged > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(surge: Share, unavailable: Share) -> ControllerSettings {
        ControllerSettings { surge, unavailable, min_ready_seconds: 0, deadline_seconds: None }
    }

    /// The examples of the API reference of Deployments, and those of `ResolveFenceposts`' own test.
    #[test]
    fn shares_are_rounded_as_kubernetes_rounds_them() {
        let (count, percent) = (Share::Count, Share::Percent);
        for (surge, unavailable, size, bounds) in [
            (percent(30), percent(30), 10, (3, 3)),
            (percent(25), percent(25), 3, (1, 0)),
            (percent(0), percent(0), 10, (0, 1)),
            (percent(39), percent(0), 10, (4, 0)),
            (percent(0), percent(39), 10, (0, 3)),
            (count(0), percent(15), 6, (0, 1)),
            (count(0), count(9), 6, (0, 6)),
        ] {
            let settings = settings(surge, unavailable);
            assert_eq!((settings.surge_of(size), settings.unavailable_of(size)), bounds);
        }
    }

    #[test]
    fn a_share_is_read_as_it_is_written() {
        for share in [Share::Count(0), Share::Count(17), Share::Percent(25)] {
            assert_eq!(share.to_string().parse(), Ok(share));
        }
        assert!("25 %".parse::<Share>().is_err() && "".parse::<Share>().is_err());
    }
}
