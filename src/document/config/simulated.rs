//! The simulated fleet that a document may roll: its parts, its faults, and what others do to it.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::times::DurationText;

/// A fleet of the built-in simulator.
///
/// It needs no account and no network. Its state is kept in a file, so that plan, apply and status
/// see the same fleet; its time stands still between runs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulatedFleetConfig {
    /// The fleet's name, which also names its state file.
    #[schemars(regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub(crate) name: String,
    /// The revision that every instance is to run.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.:-]+$"))]
    pub(crate) revision: String,
    /// The revision that the fleet runs when it is first created. Default `v1`.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.:-]+$"))]
    pub(crate) initial_revision: Option<String>,
    /// How many instances it has when it is first created. Default 10.
    #[schemars(range(max = 100_000))]
    pub(crate) instances: Option<u32>,
    /// How many zones it is spread over. Default 3.
    #[schemars(range(min = 1, max = 26))]
    pub(crate) zones: Option<u32>,
    /// Median time from launch to in service. Default `30s`.
    pub(crate) boot: Option<DurationText>,
    /// How much boot times vary: sigma of a lognormal distribution. Default 0.2.
    #[schemars(range(min = 0, max = 3))]
    pub(crate) boot_sigma: Option<f64>,
    /// Seeds the boot times. Default 1.
    pub(crate) seed: Option<u64>,
    /// The load balancer's target groups. Default: one, `web`.
    pub(crate) target_groups: Option<Vec<SimulatedTargetGroupConfig>>,
    /// Revisions that do not work, and how they fail.
    pub(crate) bad_revisions: Option<BTreeMap<String, BehaviourName>>,
    /// The longest time until a launched instance is listed. Each launch takes a time up to that,
    /// drawn from the seed. Default `0s`.
    pub(crate) launch_lag: Option<DurationText>,
    /// A revision that the fleet launches regardless of its template, as an override of an Auto
    /// Scaling group does. Default: the template's revision.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.:-]+$"))]
    pub(crate) launches_instead: Option<String>,
    /// How long after each change the template is set back to `initial_revision`, as by a tool that
    /// runs repeatedly with an old file. Default: never.
    pub(crate) template_set_back_after: Option<DurationText>,
    /// Which instances the fleet terminates when it shrinks. Default `oldest_instance`.
    pub(crate) termination_policy: Option<TerminationPolicyName>,
    /// Whether the fleet treats an instance that leaves a target group as unhealthy and replaces
    /// it, like an Auto Scaling group with the health check type `ELB`. Default false.
    pub(crate) replaces_deregistered: Option<bool>,
    /// How long a lifecycle hook holds a new instance before it is in service, unless the rollout
    /// completes the hook. Default: there is no hook.
    pub(crate) launching_hook: Option<DurationText>,
    /// How long a lifecycle hook holds a drained instance before it is gone, unless the rollout
    /// completes the hook. Default: there is no hook.
    pub(crate) terminating_hook: Option<DurationText>,
    /// The percentage of calls refused with "Rate exceeded", drawn from the seed. Default 0.
    #[schemars(range(max = 90))]
    pub(crate) throttled_percent: Option<u32>,
    /// What others do to the fleet.
    pub(crate) events: Option<Vec<SimulatedEventConfig>>,
}

/// What others do to a simulated fleet at one time. At least one thing must be given.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SimulatedEventConfig {
    /// How long after the fleet is first created, by its own clock. That clock runs `speed` times
    /// as fast as real time, and stands still while nothing runs the fleet.
    pub(crate) after: DurationText,
    /// Sets the minimum size; the desired capacity is raised to it.
    #[schemars(range(max = 100_000))]
    pub(crate) min_size: Option<u32>,
    /// Sets the maximum size; the desired capacity is lowered to it.
    #[schemars(range(max = 100_000))]
    pub(crate) max_size: Option<u32>,
    /// Sets the desired capacity; the minimum and the maximum are adapted to it.
    #[schemars(range(max = 100_000))]
    pub(crate) desired_capacity: Option<u32>,
    /// Sets the revision that the template launches.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.:-]+$"))]
    pub(crate) template_revision: Option<String>,
    /// Reclaims this many instances like Spot Instances: they are gone without having drained.
    /// Which ones is drawn from the seed.
    #[schemars(range(min = 1))]
    pub(crate) reclaim: Option<u32>,
    /// Terminates these instances, `i-0001` and so on in the order of their launch.
    pub(crate) terminate: Option<Vec<String>>,
    /// Takes these instances out of every target group.
    pub(crate) deregister: Option<Vec<String>>,
    /// Protects these instances from scale-in.
    pub(crate) protect: Option<Vec<String>>,
    /// Whether every alarm is raised from then on, whatever the instances do.
    pub(crate) alarm: Option<bool>,
    /// Refuses every call with "Rate exceeded" for this long.
    pub(crate) throttle: Option<DurationText>,
}

impl SimulatedEventConfig {
    /// Whether nothing happens.
    pub(crate) fn is_empty(&self) -> bool {
        let sizes = [self.min_size, self.max_size, self.desired_capacity, self.reclaim];
        let named = [&self.terminate, &self.deregister, &self.protect];
        sizes.iter().all(Option::is_none)
            && named.into_iter().flatten().all(Vec::is_empty)
            && self.template_revision.is_none()
            && self.alarm.is_none()
            && self.throttle.is_none()
    }
}

/// A target group of a simulated fleet.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SimulatedTargetGroupConfig {
    /// The target group's name.
    #[schemars(length(min = 1))]
    pub(crate) name: String,
    /// The time from registered to healthy. Default `10s`.
    pub(crate) register: Option<DurationText>,
    /// The time from deregistered to drained. Default `20s`.
    pub(crate) drain: Option<DurationText>,
}

/// How a bad revision of a simulated fleet fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BehaviourName {
    /// Fails its health checks.
    Unhealthy,
    /// Is healthy and unhealthy by turns.
    Flap,
    /// Boots five times as slowly.
    Slow,
    /// Never comes into service.
    Hang,
    /// Is gone again before it is in service.
    Die,
    /// Cannot be launched.
    FailLaunch,
    /// Every second launch fails its health checks.
    HalfUnhealthy,
    /// Is healthy, and raises every alarm.
    Alarm,
}

impl JsonSchema for BehaviourName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "BehaviourName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "enum": ["unhealthy", "flap", "slow", "hang", "die", "fail_launch", "half_unhealthy", "alarm"],
            "description": "How a bad revision fails: its health checks fail, they alternate \
                between healthy and unhealthy, it boots five times as slowly, it never comes into \
                service, it terminates before that, it cannot be launched, every second instance \
                fails its health checks, or it is healthy and raises every alarm.",
        })
    }
}

/// Which instances a shrinking fleet terminates: termination policies of an Auto Scaling group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TerminationPolicyName {
    /// The instance that was launched first.
    OldestInstance,
    /// The instance that was launched last.
    NewestInstance,
}

impl JsonSchema for TerminationPolicyName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TerminationPolicyName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["oldest_instance", "newest_instance"] })
    }
}
