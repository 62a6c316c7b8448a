//! The types of the wire: what a document may say. Their JSON Schema, descriptions included, is
//! generated from here; [`super::check`] checks documents against it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod aws;
mod simulated;
mod target;
mod word;

pub use self::aws::{
    AccountId, AssumeRoleConfig, AssumeRoleWithWebIdentityConfig, AwsProviderConfig,
    DefaultTagsConfig, SecretText,
};
pub use self::simulated::{
    BehaviourName, SimulatedEventConfig, SimulatedFleetConfig, SimulatedTargetGroupConfig,
    TerminationPolicyName,
};
pub use self::target::{AutoScalingGroupConfig, LaunchTemplateConfig, TargetGroupConfig};
pub(crate) use self::word::seconds_or;
pub use self::word::{
    BatchSizeType, BoundConfig, DurationText, EngineName, LifecycleHooksName, OnFailureName,
    PacingName, PolicyName, ProcessName, SetAsideName,
};

/// Rolls a fleet of instances to a new revision, batch by batch.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollingDeploymentConfig {
    /// How the fleet is replaced.
    pub policy: PolicyName,
    /// Who replaces the instances. `rolling`: this program, action by action. `instance_refresh`:
    /// EC2 Auto Scaling, by an instance refresh with the same settings, which goes on when nobody
    /// waits for it any more; what it has no setting for is refused. Default `rolling`.
    pub engine: Option<EngineName>,
    /// How `batch_size` counts. Needed by the policies `rolling` and
    /// `rolling_with_additional_batch`.
    pub batch_size_type: Option<BatchSizeType>,
    /// Instances a batch has: a percentage from 1 to 100, rounded down but at least one instance,
    /// or a fixed number, at most the whole fleet.
    #[schemars(range(min = 1))]
    pub batch_size: Option<u32>,
    /// Rolls an EC2 Auto Scaling group. Exactly one target must be given.
    pub auto_scaling_group: Option<AutoScalingGroupConfig>,
    /// Rolls the instances that are registered in a target group, without an Auto Scaling group.
    /// Exactly one target must be given.
    pub target_group: Option<TargetGroupConfig>,
    /// Rolls a fleet of the built-in simulator. Exactly one target must be given.
    pub simulated_fleet: Option<SimulatedFleetConfig>,
    /// How an instance comes to run the revision. Default: another one is launched in its place.
    /// In place nothing is launched, so a `launch_template` is not given, and the policy is
    /// `all_at_once` or `rolling` without surge.
    pub replacement: Option<ReplacementConfig>,
    /// How many instances more than the fleet has may live: a number, or a percentage such as
    /// `"25%"`, rounded up. For the policy `rolling`, instead of a batch size. Default 0.
    pub max_surge: Option<BoundConfig>,
    /// How many instances fewer than the fleet has may serve: a number, or a percentage such as
    /// `"25%"`, rounded down. For the policy `rolling`, instead of a batch size. Default 0; where
    /// this and `max_surge` both come to nothing it is 1.
    pub max_unavailable: Option<BoundConfig>,
    /// `batch`: a batch ends before the next begins. `continuous`: each place that is free is
    /// taken again at once, for the rolling policies. Default `batch`.
    pub pacing: Option<PacingName>,
    /// How long to wait after a batch before the next one begins. Default `0s`.
    pub pause_between_batches: Option<DurationText>,
    /// Where to wait on the way, with growing percentages.
    pub checkpoints: Option<Vec<CheckpointConfig>>,
    /// When a new instance counts as healthy.
    pub health: Option<HealthConfig>,
    /// How many instances of the new revision must fail before `on_failure` takes place. Those
    /// that fail before are replaced. Default 1.
    #[schemars(range(min = 1))]
    pub failure_threshold: Option<u32>,
    /// What to do when the new revision fails. `rollback`: go back to the last completed revision.
    /// `pause`: put victims back into rotation and wait for `rolling resume`, `rollback` or
    /// `abort`. `stop`: put back what was borrowed and leave the instances as they are. Default
    /// `rollback`.
    pub on_failure: Option<OnFailureName>,
    /// How many failed instances are detached from the fleet and left running, tagged
    /// `rolling:retained`, to be looked at. Default 0.
    pub keep_failed_instances: Option<u32>,
    /// What to do about lifecycle hooks of the Auto Scaling group that hold an instance of the
    /// rollout. `wait`: whoever is told by the hook completes it. `complete`: the rollout does, with
    /// the result CONTINUE. Default `wait`.
    pub lifecycle_hooks: Option<LifecycleHooksName>,
    /// What to do about instances to replace that are protected from scale-in. `refresh`: replace
    /// them all the same. `ignore`: leave them. `wait`: replace the others, then wait for an hour
    /// for somebody to end the protection. Default `wait`.
    pub scale_in_protected_instances: Option<SetAsideName>,
    /// The same for instances in standby.
    pub standby_instances: Option<SetAsideName>,
    /// How long the rollout may go without less being left to do: instances that are not updated, and
    /// instances that do not serve.
    /// Default: the target groups' deregistration delay plus 30 s plus twice `healthy_timeout`.
    pub progress_deadline: Option<DurationText>,
    /// The longest time between two looks at the fleet. From 100ms to 1m, default `10s`.
    pub poll_interval: Option<DurationText>,
    /// Processes of the Auto Scaling group that are suspended during the rollout, where they are
    /// not already. Default: all of `AZRebalance`, `AlarmNotification`,
    /// `InstanceRefresh`, `ScheduledActions`.
    pub suspend_processes: Option<Vec<ProcessName>>,
    /// Where and how requests are shifted. For the policies `traffic_splitting` and `blue_green`.
    pub traffic: Option<TrafficConfig>,
    /// What must hold for the rollout to go on, besides the health of its instances. A gate that
    /// does not pass is a failure of the new revision. A rollout that goes back asks none.
    pub gates: Option<GatesConfig>,
    /// Where the record of a rollout and its lease are kept. Default: as tags on the target.
    pub record: Option<RecordConfig>,
}

/// When a new instance counts as healthy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthConfig {
    /// How long an instance must serve without a break before it counts (soak). Default `10s`. With
    /// engine `instance_refresh` it is its warm-up; by default the group's own.
    pub min_healthy_time: Option<DurationText>,
    /// How long after its launch an instance may take to serve. Default `10m`. With engine
    /// `instance_refresh` it counts once AWS calls the refresh successful; until then AWS's own rule
    /// does: an hour in which nothing gets healthy.
    pub healthy_timeout: Option<DurationText>,
}

/// How instances are updated in place: each is taken out of rotation, drained, updated, and put back
/// in. Exactly one way must be given.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplacementConfig {
    /// Runs an SSM document on each. The revision is the document's version with a hash of its
    /// parameters, and is kept in the instance's tag `rolling:revision`.
    pub run_command: Option<RunCommandConfig>,
    /// Has EC2 replace the root volume of each by one made of an image. The revision is the image.
    pub replace_root_volume: Option<ReplaceRootVolumeConfig>,
}

/// A document of the Systems Manager, and what it is run with.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunCommandConfig {
    /// The document's name, or the ARN of one that is shared. It is of the type Command, and must
    /// bear being run twice.
    #[schemars(length(min = 1))]
    pub document: String,
    /// A version number, `$LATEST` or `$DEFAULT`; the latter two are resolved when planning. Default
    /// `$DEFAULT`.
    #[schemars(regex(pattern = r"^([0-9]+|\$LATEST|\$DEFAULT)$"))]
    pub version: Option<String>,
    /// Values of its parameters, a list for each as SendCommand takes them: one value for a `String`,
    /// all of them for a `StringList`. The revision has a hash of them, by which a short or common
    /// value can be guessed; they themselves are told nowhere but to the Systems Manager, which shows
    /// them to who may read its commands.
    pub parameters: Option<BTreeMap<String, Vec<SecretText>>>,
    /// How long it may take on an instance before it has failed. Default `10m`.
    pub timeout: Option<DurationText>,
}

/// An image that root volumes are made of.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceRootVolumeConfig {
    /// The image's id, `ami-...`. Its architecture and the like must be those of the instances.
    #[schemars(regex(pattern = "^ami-[0-9a-f]+$"))]
    pub image_id: String,
    /// How long it may take on an instance before it has failed. Default `15m`.
    pub timeout: Option<DurationText>,
}

/// Where and how requests are shifted from the target group of an Auto Scaling group to a second
/// one. Its new instances serve there first; once all requests have moved they join the first, and
/// the requests come back to it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrafficConfig {
    /// The ARN of the second target group, which is attached to no Auto Scaling group and has no
    /// targets. Needed with an `auto_scaling_group`.
    #[schemars(regex(pattern = "^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]+:targetgroup/.+$"))]
    pub second_target_group_arn: Option<String>,
    /// The ARNs of the listener rules that forward to both target groups, the second with the
    /// weight 0; default rules, too. Needed with an `auto_scaling_group`.
    pub listener_rule_arns: Option<Vec<String>>,
    /// How many percent of the requests the new set gets at first. For `traffic_splitting`. Default
    /// 10.
    #[schemars(range(min = 1, max = 99))]
    pub new_version_percent: Option<u32>,
    /// For how long, before it gets all. For `traffic_splitting`. Default `5m`.
    pub evaluation_time: Option<DurationText>,
    /// How long the old set is kept once all requests have moved. For `blue_green`. Default `5m`.
    pub terminate_after: Option<DurationText>,
}

/// What must hold for the rollout to go on, besides the health of its instances.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GatesConfig {
    /// Names of CloudWatch alarms. None may be in the state ALARM before a batch begins, nor while
    /// the rollout bakes. One that lacks data is not in ALARM.
    pub alarms: Option<Vec<String>>,
    /// An address to ask after each batch.
    pub http: Option<HttpGateConfig>,
    /// A command to run after each batch, on the machine that rolling runs on.
    pub command: Option<CommandGateConfig>,
    /// How long, once every instance is replaced, the alarms and the instances' health are watched
    /// before the rollout is over. Default `0s`.
    pub bake_time: Option<DurationText>,
}

/// An address that is asked with GET after each batch, again and again until it answers as it
/// should. Redirects are not followed.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpGateConfig {
    /// The address.
    #[schemars(regex(pattern = "^https?://[^/]+"))]
    pub url: String,
    /// The status that passes. Default 200.
    #[schemars(range(min = 100, max = 599))]
    pub status: Option<u32>,
    /// How long it may take to answer so. Default `1m`.
    pub timeout: Option<DurationText>,
}

/// A command that is run once after each batch, and passes with the exit code 0. In its environment
/// are ROLLING_TARGET, ROLLING_REVISION and ROLLING_BATCH.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandGateConfig {
    /// The program and its arguments. No shell is involved.
    pub run: Vec<String>,
    /// What it finds in its environment besides; the place for secrets.
    pub environment: Option<BTreeMap<String, SecretText>>,
    /// How long it may take before it is ended, and has failed. Default `5m`.
    pub timeout: Option<DurationText>,
}

/// A place other than the target.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordConfig {
    /// An object in S3, written only where nobody has written since: two engines never overlap.
    pub s3: S3RecordConfig,
}

/// One object in S3, for one target. It is there while a rollout runs, is paused, or failed with
/// something still to say. Whoever rolls the target names the same one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3RecordConfig {
    /// The bucket, which must be there, in the provider's region.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"))]
    pub bucket: String,
    /// The object's key, for instance `rolling/web.json`.
    #[schemars(length(min = 1))]
    pub key: String,
}

/// A place to wait at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Reached when that many percent of the fleet are updated.
    #[schemars(range(min = 1, max = 99))]
    pub percentage: u32,
    /// How long to wait there. Default: until `rolling resume`.
    pub pause: Option<DurationText>,
}

/// How the provider reaches its clouds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// AWS. Everything left out is as the AWS SDK finds it in the environment; credentials come from
    /// its default chain then.
    pub aws: Option<AwsProviderConfig>,
    /// The built-in simulator.
    pub simulator: Option<SimulatorConfig>,
}

/// How simulated fleets run.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulatorConfig {
    /// The folder with the fleets' state files, from the working directory. Default `.rolling`.
    pub state_directory: Option<String>,
    /// How many times as fast as real time a fleet lives. Default 20.
    #[schemars(range(min = 0.1, max = 100_000))]
    pub speed: Option<f64>,
}
