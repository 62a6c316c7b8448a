//! The simulated fleet a document may roll: what it is made of, what does not work in it, and what
//! others do to it meanwhile.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::word::DurationText;

/// A fleet of the built-in simulator: no account, no network. Its state is kept in a file, so
/// that plan, apply and status see the same fleet; its time stands still between runs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulatedFleetConfig {
    /// The fleet's name, which also names its state file.
    #[schemars(regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub name: String,
    /// The revision that every instance is to run.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.:-]+$"))]
    pub revision: String,
    /// What the fleet runs when it is first made. Default `v1`.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.:-]+$"))]
    pub initial_revision: Option<String>,
    /// How many instances it has when it is first made. Default 10.
    #[schemars(range(max = 100_000))]
    pub instances: Option<u32>,
    /// How many zones it is spread over. Default 3.
    #[schemars(range(min = 1, max = 26))]
    pub zones: Option<u32>,
    /// Median time from launch to in service. Default `30s`.
    pub boot: Option<DurationText>,
    /// How far boot times differ: sigma of a lognormal distribution. Default 0.2.
    #[schemars(range(min = 0, max = 3))]
    pub boot_sigma: Option<f64>,
    /// Seeds the boot times. Default 1.
    pub seed: Option<u64>,
    /// The load balancer's target groups. Default: one, `web`.
    pub target_groups: Option<Vec<SimulatedTargetGroupConfig>>,
    /// Revisions that do not work, and how.
    pub bad_revisions: Option<BTreeMap<String, BehaviourName>>,
    /// The longest that a launch takes to be listed; each takes its own time up to that, drawn from
    /// the seed. Default `0s`.
    pub launch_lag: Option<DurationText>,
    /// A revision that it launches whatever its template says, as an override of an Auto Scaling
    /// group does. Default: what the template says.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.:-]+$"))]
    pub launches_instead: Option<String>,
    /// Something sets the template back to `initial_revision` so long after each change, as a tool
    /// does that runs with an old file again and again. Default: nothing does.
    pub template_set_back_after: Option<DurationText>,
    /// Which instances it terminates when it is made smaller. Default `oldest_instance`.
    pub termination_policy: Option<TerminationPolicyName>,
    /// Whether it takes an instance that leaves a target group for unhealthy and replaces it, as an
    /// Auto Scaling group does whose health check type is `ELB`. Default false.
    pub replaces_deregistered: Option<bool>,
    /// How long a lifecycle hook holds a new instance before it is in service, unless the rollout
    /// completes it. Default: no hook does.
    pub launching_hook: Option<DurationText>,
    /// How long a lifecycle hook holds an instance that has drained before it is gone, unless the
    /// rollout completes it. Default: no hook does.
    pub terminating_hook: Option<DurationText>,
    /// How many percent of all calls are refused with "Rate exceeded", drawn from the seed.
    /// Default 0.
    #[schemars(range(max = 90))]
    pub throttled_percent: Option<u32>,
    /// What others do to it meanwhile.
    pub events: Option<Vec<SimulatedEventConfig>>,
}

/// What others do to a simulated fleet at one time. At least one thing must be given.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulatedEventConfig {
    /// How long after the fleet was first made, by its own clock: that runs `speed` times as fast as
    /// real time, and stands still while nothing runs the fleet.
    pub after: DurationText,
    /// Somebody sets its minimum size; the desired capacity is raised to it.
    #[schemars(range(max = 100_000))]
    pub min_size: Option<u32>,
    /// Somebody sets its maximum size; the desired capacity is lowered to it.
    #[schemars(range(max = 100_000))]
    pub max_size: Option<u32>,
    /// Somebody sets its desired capacity; the minimum and the maximum make way.
    #[schemars(range(max = 100_000))]
    pub desired_capacity: Option<u32>,
    /// Somebody sets the revision that its template launches.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.:-]+$"))]
    pub template_revision: Option<String>,
    /// So many of its instances are reclaimed as Spot Instances are: they are gone without having
    /// drained. Which ones is drawn from the seed.
    #[schemars(range(min = 1))]
    pub reclaim: Option<u32>,
    /// Somebody terminates these instances, `i-0001` and so on in the order of their launch.
    pub terminate: Option<Vec<String>>,
    /// Somebody takes these instances out of every target group.
    pub deregister: Option<Vec<String>>,
    /// Somebody protects these instances from scale-in.
    pub protect: Option<Vec<String>>,
    /// Whether every alarm is raised from now on, whatever the instances do.
    pub alarm: Option<bool>,
    /// Every call is refused with "Rate exceeded" for so long.
    pub throttle: Option<DurationText>,
}

impl SimulatedEventConfig {
    /// Whether nothing happens.
    pub fn is_empty(&self) -> bool {
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
pub struct SimulatedTargetGroupConfig {
    /// The target group's name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// From registered to healthy. Default `10s`.
    pub register: Option<DurationText>,
    /// From deregistered to drained. Default `20s`.
    pub drain: Option<DurationText>,
}

/// How a bad revision of a simulated fleet is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BehaviourName {
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
            "description": "How a bad revision is bad: fails its health checks, is healthy and \
                unhealthy by turns, boots five times as slowly, never comes into service, is \
                gone again before it is, cannot be launched, fails its health checks every second time, or is healthy and raises \
                every alarm.",
        })
    }
}

/// Which instances a smaller fleet goes without: termination policies of an Auto Scaling group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TerminationPolicyName {
    /// The one that was launched first.
    OldestInstance,
    /// The one that was launched last.
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
