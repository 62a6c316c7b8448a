//! What a document may roll.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An EC2 Auto Scaling group and what it is to run.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = super::support::of_group)]
pub(crate) struct AutoScalingGroupConfig {
    /// The group's name.
    #[schemars(length(min = 1))]
    pub(crate) name: String,
    /// The launch template version that every instance is to run. Needed unless `image_id` is given
    /// or `replacement` updates instances in place.
    pub(crate) launch_template: Option<LaunchTemplateConfig>,
    /// Instead of `launch_template`: the image that every instance is to run. A version of the
    /// group's own launch template is created with it, unless one exists.
    #[schemars(regex(pattern = "^ami-[0-9a-f]+$"))]
    pub(crate) image_id: Option<String>,
    /// The attached target groups that an instance must be healthy in. Default: all of them.
    pub(crate) target_group_arns: Option<Vec<String>>,
}

/// Instances that are registered in a target group and belong to no Auto Scaling group, and what
/// they are to run.
///
/// Each is replaced by an instance in the same subnet, with the same tags, on the same ports.
/// Instances that are tagged `rolling:ignore` are left alone.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = super::support::of_target_group)]
pub(crate) struct TargetGroupConfig {
    /// The target group's ARN.
    #[schemars(regex(pattern = "^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]+:targetgroup/.+$"))]
    pub(crate) arn: String,
    /// The launch template version that every instance is to run. Needed unless `replacement`
    /// updates instances in place.
    pub(crate) launch_template: Option<LaunchTemplateConfig>,
}

/// A Kubernetes Deployment or StatefulSet, and what its pods are to run.
///
/// It must be there. Its own controller replaces the pods, within the bounds of the policy. At least
/// one of `images` and `annotations` must be given.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KubernetesWorkloadConfig {
    /// Its namespace. Default: that of the context.
    #[schemars(length(min = 1))]
    pub(crate) namespace: Option<String>,
    /// Its name.
    #[schemars(length(min = 1))]
    pub(crate) name: String,
    /// The image of each container, by the container's name; init containers, too. Containers that
    /// are not named stay as they are.
    pub(crate) images: Option<BTreeMap<String, String>>,
    /// Annotations of the pod template, which make a revision of the same images: a checksum of a
    /// ConfigMap, for instance.
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

/// A launch template version.
///
/// Exactly one of `id` and `name` must be given.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LaunchTemplateConfig {
    /// The template's id, `lt-...`.
    pub(crate) id: Option<String>,
    /// The template's name.
    pub(crate) name: Option<String>,
    /// A version number, `$Latest` or `$Default`; the latter two are resolved when planning.
    #[schemars(regex(pattern = r"^([0-9]+|\$Latest|\$Default)$"))]
    pub(crate) version: String,
}

/// An Elastic Beanstalk environment, and the application version that it is to run. Elastic Beanstalk
/// itself deploys the version, by the policy of this document: its options are set first, and stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = super::support::of_environment)]
pub(crate) struct ElasticBeanstalkEnvironmentConfig {
    /// The environment's name. It must exist, and have enhanced health reporting.
    pub(crate) name: String,
    /// The label of the application version that every instance is to run. It must exist.
    pub(crate) version_label: String,
}
