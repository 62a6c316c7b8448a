//! What a document may roll.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the rest of the program has to know of a kind of target.
#[derive(Debug)]
pub struct TargetKind {
    /// The attribute of a deployment that configures it.
    pub attribute: &'static str,
    /// The place of its name, as a JSON Pointer: a change means another deployment.
    pub name: &'static str,
    /// The place of its launch template, where it has one.
    pub launch_template: Option<&'static str>,
    /// The places that say which revision is wanted, and nothing else.
    pub revision: &'static [&'static str],
    /// Whether EC2 Auto Scaling can roll it by itself.
    pub instance_refresh: bool,
    /// The places that cannot be given beside it, each with the reason.
    pub excludes: &'static [(&'static str, &'static str)],
}

/// Every kind of target. What is refused, planned and imported goes by this table.
pub const TARGET_KINDS: &[TargetKind] = &[
    TargetKind {
        attribute: "auto_scaling_group",
        name: "/auto_scaling_group/name",
        launch_template: Some("/auto_scaling_group/launch_template"),
        revision: &["/auto_scaling_group/launch_template", "/auto_scaling_group/image_id"],
        instance_refresh: true,
        excludes: &[],
    },
    TargetKind {
        attribute: "target_group",
        name: "/target_group/arn",
        launch_template: Some("/target_group/launch_template"),
        revision: &["/target_group/launch_template"],
        instance_refresh: false,
        excludes: &[("/suspend_processes", "unmanaged instances have no processes to suspend")],
    },
    TargetKind {
        attribute: "simulated_fleet",
        name: "/simulated_fleet/name",
        launch_template: None,
        revision: &["/simulated_fleet/revision"],
        instance_refresh: false,
        excludes: &[
            ("/record", "a simulated fleet keeps its record itself"),
            ("/replacement", "simulated instances are not updated in place"),
            ("/traffic/second_target_group_arn", ITS_OWN),
            ("/traffic/listener_rule_arns", ITS_OWN),
        ],
    },
];

const ITS_OWN: &str = "a simulated fleet has its own second target group";

impl TargetKind {
    /// Whether `config`, a deployment, has a target of this kind.
    pub fn is_given(&self, config: &Value) -> bool {
        !config[self.attribute].is_null()
    }
}

/// An EC2 Auto Scaling group and what it is to run.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutoScalingGroupConfig {
    /// The group's name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The launch template version that every instance is to run. Needed unless `image_id` is given
    /// or `replacement` updates instances in place.
    pub launch_template: Option<LaunchTemplateConfig>,
    /// Instead of `launch_template`: the image that every instance is to run. A version of the
    /// group's own launch template is created with it, unless one exists.
    #[schemars(regex(pattern = "^ami-[0-9a-f]+$"))]
    pub image_id: Option<String>,
    /// The attached target groups that an instance must be healthy in. Default: all of them.
    pub target_group_arns: Option<Vec<String>>,
}

/// Instances that are registered in a target group and belong to no Auto Scaling group, and what
/// they are to run. Each is replaced by an instance in the same subnet, with the same tags, on the
/// same ports. Instances that are tagged `rolling:ignore` are left alone.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetGroupConfig {
    /// The target group's ARN.
    #[schemars(regex(pattern = "^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]+:targetgroup/.+$"))]
    pub arn: String,
    /// The launch template version that every instance is to run. Needed unless `replacement`
    /// updates instances in place.
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
