//! What a document may roll.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::word::{BehaviourName, DurationText};

/// An EC2 Auto Scaling group and what it is to run.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutoScalingGroupConfig {
    /// The group's name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The launch template version that every instance is to run. Needed unless `image_id` is given or
    /// `replacement` updates instances in place.
    pub launch_template: Option<LaunchTemplateConfig>,
    /// Instead of `launch_template`: the image that every instance is to run. A version of the group's
    /// own launch template is made with it, unless there is one.
    #[schemars(regex(pattern = "^ami-[0-9a-f]+$"))]
    pub image_id: Option<String>,
    /// The attached target groups that an instance must be healthy in. Default: all of them.
    pub target_group_arns: Option<Vec<String>>,
}

/// Instances that are registered in a target group and belong to no Auto Scaling group, and what
/// they are to run. Each is replaced by one in the same subnet, with the same tags, on the same
/// ports. One that is tagged `rolling:ignore` is left alone.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetGroupConfig {
    /// The target group's ARN.
    #[schemars(regex(pattern = "^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]+:targetgroup/.+$"))]
    pub arn: String,
    /// The launch template version that every instance is to run. Needed unless `replacement` updates
    /// instances in place.
    pub launch_template: Option<LaunchTemplateConfig>,
}

/// A launch template version. Exactly one of `id` and `name` must be given.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LaunchTemplateConfig {
    /// The template's id, `lt-...`.
    pub id: Option<String>,
    /// The template's name.
    pub name: Option<String>,
    /// A version number, `$Latest` or `$Default`; the latter two are resolved when planning.
    #[schemars(regex(pattern = r"^([0-9]+|\$Latest|\$Default)$"))]
    pub version: String,
}

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
