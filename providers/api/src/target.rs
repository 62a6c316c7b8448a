//! A deployment's target, resolved once before planning.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::{ProviderError, Revision, TargetGroupId, Timestamp};

/// What the document's target turned out to be in the cloud. Everything here is read once a
/// rollout; what changes while it runs is in [`crate::Observation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The cloud's own id of the fleet (on AWS the group's ARN); two deployments with one id
    /// are two deployments on one target.
    pub id: String,
    /// What a person calls it.
    pub name: String,
    /// What sort of fleet it is, to speak of it: `auto scaling group`.
    pub kind: &'static str,
    /// The revision that is wanted, aliases resolved to a number.
    pub revision: Revision,
    /// The groups an instance must be healthy in to serve. May be empty: then serving means
    /// in service and healthy by the fleet's own check.
    pub target_groups: Vec<TargetGroup>,
    /// Where new instances take their first requests, beside the others. Nothing registers there
    /// but we.
    pub second: Option<TargetGroup>,
    /// What sends requests to the second target group: on AWS the ARNs of listener rules.
    pub shifted_by: BTreeSet<String>,
    /// Aliases that the fleet's own template may carry, resolved (`lt-1:$Latest` to `lt-1:7`).
    pub aliases: BTreeMap<Revision, Revision>,
    /// Median time from launch to in service of the fleet's latest launches; `None` when it
    /// has none to tell from.
    pub boot: Option<Duration>,
    /// What the fleet's schedule has in store: the next time of each entry.
    pub scheduled: Vec<ScheduledAction>,
    /// Why nothing can be launched beside this fleet, if so.
    pub no_surge: Option<String>,
    /// What keeps a rollout from beginning or going forward, and not from being told, put back or
    /// gone back on: a listener rule that is gone, say.
    pub hindrances: Vec<ProviderError>,
    /// Why no refresh that the fleet carries out by itself can go back by itself, if so.
    pub no_auto_rollback: Option<String>,
    /// What a reader of the plan should know: a weak health check, a stopped listener.
    pub warnings: Vec<String>,
    /// The same of rollouts that take longer than so.
    pub warnings_of_long: Vec<(Duration, String)>,
}

impl Target {
    /// `revision` with the fleet's aliases resolved.
    pub fn resolve<'a>(&'a self, revision: &'a Revision) -> &'a Revision {
        self.aliases.get(revision).unwrap_or(revision)
    }

    /// Every target group that an instance may be registered in.
    pub fn rotation(&self) -> impl Iterator<Item = &TargetGroup> {
        self.target_groups.iter().chain(&self.second)
    }

    /// The longest drain of all target groups; zero without any.
    pub fn drain(&self) -> Duration {
        self.rotation().map(|group| group.drain).max().unwrap_or_default()
    }

    /// The longest slow start of all target groups; zero without any.
    pub fn slow_start(&self) -> Duration {
        self.rotation().map(|group| group.slow_start).max().unwrap_or_default()
    }

    /// The longest time that a target group takes to call a target healthy; zero without any.
    pub fn register(&self) -> Duration {
        self.rotation().map(|group| group.register).max().unwrap_or_default()
    }
}

/// A change of the fleet's sizes that the cloud will make by its own schedule. What is `None`
/// stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledAction {
    /// Its name.
    pub name: String,
    /// When it is due, on the cloud's clock.
    pub at: Timestamp,
    /// The lower limit then.
    pub min: Option<u32>,
    /// The upper limit then.
    pub max: Option<u32>,
    /// How many to keep running then.
    pub desired: Option<u32>,
}

/// One target group of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroup {
    /// The cloud's own id.
    pub id: TargetGroupId,
    /// What a person calls it.
    pub name: String,
    /// How long a deregistered target keeps serving open requests: the group's own
    /// `deregistration_delay.timeout_seconds`, never a constant of ours.
    pub drain: Duration,
    /// The least time a registered target takes to be called healthy: the group's own health
    /// check interval times its threshold.
    pub register: Duration,
    /// How long a target that is healthy for the first time gets fewer requests than the others.
    pub slow_start: Duration,
    /// What a reader of the plan should know of it.
    pub warnings: Vec<String>,
}
