//! The state of a fleet at one moment, in the engine's terms.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{ControllerStatus, InstanceId, Revision, Tags, TargetGroupId, Timestamp};

/// One look at the fleet. Reads may lag behind what was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// When the look began.
    pub at: Timestamp,
    /// Every instance that belongs to the fleet, terminating ones included.
    pub instances: BTreeMap<InstanceId, Instance>,
    /// Instances that the fleet keeps in reserve to launch quickly, and what they run. They are not
    /// part of the capacity.
    pub reserve: BTreeMap<InstanceId, Option<Revision>>,
    /// The fleet's sizes; `None` for a fleet that launches nothing on its own, and has no set size.
    pub capacity: Option<Capacity>,
    /// What the fleet launches next, as the cloud reports it: possibly an alias. `None` where it
    /// launches nothing on its own.
    pub template: Option<Revision>,
    /// The percentages of the requests that the second target group gets, by every rule that
    /// forwards to both; `None` where there is no second target group.
    pub shifted: Option<BTreeSet<u32>>,
    /// Suspended processes of the fleet (`AZRebalance`, ...), by this program or by others.
    pub suspended: BTreeSet<String>,
    /// What the platform's controller shows that replaces the instances; `None` where the engine
    /// itself does.
    pub controller: Option<Box<ControllerStatus>>,
    /// The rollout record found on the target: every tag whose key starts with `rolling:`.
    pub record: Tags,
}

impl Observation {
    /// Whether these are unmanaged instances: nothing launches, replaces or counts them on its own.
    pub fn is_unmanaged(&self) -> bool {
        self.capacity.is_none()
    }

    /// Returns the size that the cloud keeps; for unmanaged instances, how many live.
    pub fn desired(&self) -> u32 {
        let live = || self.instances.values().filter(|i| i.lifecycle.is_live()).count();
        self.capacity.map_or_else(|| u32::try_from(live()).unwrap_or(u32::MAX), |c| c.desired)
    }

    /// Returns the upper limit of the size.
    pub fn max(&self) -> u32 {
        self.capacity.map_or(u32::MAX, |capacity| capacity.max)
    }

    /// Returns the size in units, where instances count by weights.
    pub fn units(&self) -> Option<Units> {
        self.capacity.and_then(|capacity| capacity.units)
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
    /// The size in units, where instances count by weights.
    pub units: Option<Units>,
}

/// The size of a fleet whose instances count by weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units {
    /// How many units the fleet keeps running.
    pub desired: u32,
    /// The weight of its heaviest instance, or of the heaviest that it may launch.
    pub heaviest: u32,
}

/// One instance of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// What it runs; `None` when the cloud does not report it, which counts as another revision.
    pub revision: Option<Revision>,
    /// Where it runs.
    pub zone: String,
    /// For how many units it counts: its weight, or 1 where [`Capacity::units`] is `None`.
    pub units: u32,
    /// Its lifecycle state in the fleet.
    pub lifecycle: Lifecycle,
    /// The cloud's own name of that state, which may say more: `ReplacingRootVolume`.
    pub lifecycle_name: Option<String>,
    /// Whether a lifecycle hook of the fleet holds it while it launches or terminates.
    pub in_lifecycle_hook: bool,
    /// Whether the fleet's own check finds it healthy, apart from any target group's check.
    pub healthy: bool,
    /// When it was launched, on the cloud's clock; `None` until that is read.
    pub launched_at: Option<Timestamp>,
    /// Whether it is protected from scale-in.
    pub protected: bool,
    /// Whether it is tagged `rolling:ignore`: to be left alone.
    pub ignored: bool,
    /// The rollout that counted it as failed, from its tag `rolling:failed`.
    pub failed_in: Option<String>,
    /// Whether it is marked as the fleet's. Always true where the cloud itself tracks its
    /// instances.
    pub owned: bool,
    /// The instance that it was launched in place of, by [`crate::Action::Launch`].
    pub stands_for: Option<InstanceId>,
    /// Why it terminated unexpectedly, in the cloud's own text.
    pub ended: Option<String>,
    /// Why it does not serve, where the platform itself says so.
    pub trouble: Option<InstanceTrouble>,
    /// Its current update in place. Until that is over, what it runs is unknown.
    pub update: Option<Update>,
    /// Its health in each target group that lists it. A group that does not list it is absent.
    pub targets: BTreeMap<TargetGroupId, TargetHealth>,
}

impl Instance {
    /// Returns an instance of `revision` that is in service and healthy in each of these target
    /// groups.
    pub fn serving(
        revision: Option<Revision>,
        target_groups: impl IntoIterator<Item = TargetGroupId>,
    ) -> Self {
        let health = TargetHealth { state: TargetState::Healthy, reason: None, description: None };
        Instance {
            revision,
            zone: String::new(),
            units: 1,
            lifecycle: Lifecycle::InService,
            in_lifecycle_hook: false,
            lifecycle_name: None,
            healthy: true,
            launched_at: None,
            protected: false,
            ignored: false,
            failed_in: None,
            owned: true,
            stands_for: None,
            ended: None,
            trouble: None,
            update: None,
            targets: target_groups.into_iter().map(|group| (group, health.clone())).collect(),
        }
    }
}

/// Why an instance does not serve, as the platform says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceTrouble {
    /// The platform's own words.
    pub message: String,
    /// Whether it never will: waiting does not help.
    pub is_final: bool,
}

/// An update in place, by [`crate::Action::Update`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// What the instance is to run.
    pub to: Revision,
    /// Identifies the update.
    pub token: String,
    /// Its progress.
    pub state: UpdateState,
}

/// The progress of an update in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateState {
    /// The instance is marked for the update; whether it has begun does not show.
    Marked,
    /// Under way.
    Running,
    /// Done, and to be confirmed.
    Done,
    /// It failed: the reason, in the cloud's own text and with the instance's output.
    Failed(String),
}

/// The lifecycle state of an instance in its fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// Launching, or held by a launch hook.
    Pending,
    /// Counted by the fleet as running.
    InService,
    /// In standby, and so set aside.
    Standby,
    /// Terminating, possibly held by a hook for hours, or detaching.
    Terminating,
}

impl Lifecycle {
    /// Whether it counts towards the fleet's desired capacity.
    pub fn is_live(self) -> bool {
        matches!(self, Lifecycle::Pending | Lifecycle::InService)
    }
}

/// Health of one instance in one target group, in the cloud's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetHealth {
    /// The load balancer's verdict.
    pub state: TargetState,
    /// The cloud's reason code, for instance `Target.ResponseCodeMismatch`.
    pub reason: Option<String>,
    /// The cloud's description, for instance `Health checks failed with these codes: [502]`.
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
    /// The load balancer does not check its health.
    Unavailable,
}
