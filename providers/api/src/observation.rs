//! What a fleet looks like at one moment, in the engine's words.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{InstanceId, Revision, Tags, TargetGroupId, Timestamp};

/// One look at the fleet. Reads may lag behind what was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// When the look began.
    pub at: Timestamp,
    /// Every instance that belongs to the fleet, terminating ones included.
    pub instances: BTreeMap<InstanceId, Instance>,
    /// What the fleet keeps in reserve to launch quickly, and what that runs. Of no capacity.
    pub reserve: BTreeMap<InstanceId, Option<Revision>>,
    /// The fleet's sizes; `None` for one that launches nothing by itself, and is as large as it
    /// happens to be.
    pub capacity: Option<Capacity>,
    /// What the fleet launches next, as the cloud has it: possibly an alias. `None` where it
    /// launches nothing by itself.
    pub template: Option<Revision>,
    /// How many percent of the requests the second target group gets, by every rule that forwards
    /// to both; `None` where there is no second one.
    pub shifted: Option<BTreeSet<u32>>,
    /// Suspended processes of the fleet (`AZRebalance`, ...), whoever suspended them.
    pub suspended: BTreeSet<String>,
    /// The rollout record found on the target: every tag whose key starts with `rolling:`.
    pub record: Tags,
}

impl Observation {
    /// Whether these are unmanaged instances: nothing launches, replaces or counts them by itself.
    pub fn is_unmanaged(&self) -> bool {
        self.capacity.is_none()
    }

    /// The size that the cloud keeps; of unmanaged instances how many live.
    pub fn desired(&self) -> u32 {
        let live = || self.instances.values().filter(|i| i.lifecycle.is_live()).count();
        self.capacity.map_or_else(|| u32::try_from(live()).unwrap_or(u32::MAX), |c| c.desired)
    }

    /// The upper limit of the size.
    pub fn max(&self) -> u32 {
        self.capacity.map_or(u32::MAX, |capacity| capacity.max)
    }
}

/// The sizes of a fleet, in instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// The fleet's lower limit. Never borrowed.
    pub min: u32,
    /// The fleet's upper limit.
    pub max: u32,
    /// How many the fleet keeps running.
    pub desired: u32,
}

/// One instance of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// What it runs; `None` when the cloud cannot say, which counts as another revision.
    pub revision: Option<Revision>,
    /// Where it runs.
    pub zone: String,
    /// Where in its life the fleet has it.
    pub lifecycle: Lifecycle,
    /// Held on its way in or out by a hook of the fleet.
    pub in_lifecycle_hook: bool,
    /// The fleet's own verdict, apart from any target group's.
    pub healthy: bool,
    /// When it was launched, on the cloud's clock; `None` until that was read.
    pub launched_at: Option<Timestamp>,
    /// Protected from scale-in.
    pub protected: bool,
    /// Tagged `rolling:ignore`: to be left alone.
    pub ignored: bool,
    /// The rollout that counted it as failed, from its tag `rolling:failed`.
    pub failed_in: Option<String>,
    /// Marked as the fleet's. Always so where the cloud itself keeps track of its instances.
    pub owned: bool,
    /// The instance that it was launched in place of, by [`crate::Action::Launch`].
    pub stands_for: Option<InstanceId>,
    /// Why it came to an end that nobody asked for, in the cloud's own words.
    pub ended: Option<String>,
    /// The update in place that it is in. Until that is over nobody knows what it runs.
    pub update: Option<Update>,
    /// Its health in each target group that lists it. A group that does not list it is absent.
    pub targets: BTreeMap<TargetGroupId, TargetHealth>,
}

/// An update in place, by [`crate::Action::Update`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// What the instance is to run.
    pub to: Revision,
    /// Names the update.
    pub token: String,
    /// How far it is.
    pub state: UpdateState,
}

/// How far an update in place is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateState {
    /// The instance is marked for it; whether it was begun does not show.
    Marked,
    /// Under way.
    Running,
    /// Done, and to be confirmed.
    Done,
    /// It failed: why, in the cloud's own words and with what the instance said.
    Failed(String),
}

/// Where in its life the fleet has an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// Launching, or held by a launch hook.
    Pending,
    /// Counted by the fleet as running.
    InService,
    /// Set aside by someone.
    Standby,
    /// On its way out, possibly held by a hook for hours, or detaching.
    Terminating,
}

impl Lifecycle {
    /// Counts towards the fleet's desired capacity.
    pub fn is_live(self) -> bool {
        matches!(self, Lifecycle::Pending | Lifecycle::InService)
    }
}

/// Health of one instance in one target group, in the cloud's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetHealth {
    /// The load balancer's verdict.
    pub state: TargetState,
    /// The cloud's reason code, for instance `Target.ResponseCodeMismatch`.
    pub reason: Option<String>,
    /// The cloud's sentence, for instance `Health checks failed with these codes: [502]`.
    pub description: Option<String>,
}

/// The load balancer's verdict on a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    /// Registered, not yet judged.
    Initial,
    /// Takes requests.
    Healthy,
    /// Fails its health check.
    Unhealthy,
    /// Deregistered, finishing open requests.
    Draining,
    /// Gets no traffic: not registered, or its group is not in use, or it is stopped.
    Unused,
    /// The load balancer does not check.
    Unavailable,
}
