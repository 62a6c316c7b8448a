//! The types of the wire: what a document may say. Their JSON Schema, descriptions included, is
//! generated from here; [`super::check`] checks documents against it.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

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
    /// `rolling:kept`, to be looked at. Default 0.
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
    /// How long the rollout may go without a new maximum of updated and serving instances.
    /// Default: the target groups' deregistration delay plus 30 s plus twice `healthy_timeout`.
    pub progress_deadline: Option<DurationText>,
    /// The longest time between two looks at the fleet. From 100ms to 1m, default `10s`.
    pub poll_interval: Option<DurationText>,
    /// Processes of the Auto Scaling group that are suspended during the rollout, where they are
    /// not already. Default: all of `AZRebalance`, `AlarmNotification`, `ScheduledActions`.
    pub suspend_processes: Option<Vec<ProcessName>>,
    /// Where and how requests are shifted. For the policies `traffic_splitting` and `blue_green`.
    pub traffic: Option<TrafficConfig>,
    /// What must hold for the rollout to go on, besides the health of its instances. A gate that
    /// does not pass is a failure of the new revision. A rollout that goes back asks none.
    pub gates: Option<GatesConfig>,
    /// Where the record of a rollout and its lease are kept. Default: as tags on the target.
    pub record: Option<RecordConfig>,
}

/// How the fleet is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyName {
    /// Every instance in one batch: an outage.
    #[serde(alias = "AllAtOnce")]
    AllAtOnce,
    /// Batch by batch, with that much less capacity meanwhile.
    #[serde(alias = "Rolling")]
    Rolling,
    /// Batch by batch with one batch launched beforehand: capacity never drops.
    #[serde(alias = "RollingWithAdditionalBatch")]
    RollingWithAdditionalBatch,
    /// A whole new set beside the old.
    #[serde(alias = "Immutable")]
    Immutable,
    /// A whole new set, which gets a share of the requests first.
    #[serde(alias = "TrafficSplitting")]
    TrafficSplitting,
    /// A whole new set, to which all requests move at once.
    #[serde(alias = "BlueGreen")]
    BlueGreen,
}

impl JsonSchema for PolicyName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PolicyName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "enum": [
                "all_at_once", "rolling", "rolling_with_additional_batch", "immutable",
                "traffic_splitting", "blue_green", "AllAtOnce", "Rolling",
                "RollingWithAdditionalBatch", "Immutable", "TrafficSplitting", "BlueGreen",
            ],
            "description": "How the fleet is replaced. `all_at_once`: every instance in one \
                batch, an outage. `rolling`: batch by batch, with that much less capacity \
                meanwhile. `rolling_with_additional_batch`: batch by batch with one batch \
                launched beforehand, so that capacity never drops. `immutable`: one new instance, \
                then a whole new set beside the old, which goes when all new ones serve. \
                `traffic_splitting`: a whole new set in a second target group, which gets a share \
                of the requests for a while, then all. `blue_green`: the same, where all requests \
                move at once and the old set is kept for a while. Elastic Beanstalk's spellings \
                are accepted as written.",
        })
    }
}

/// Who replaces the instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineName {
    /// This program.
    Rolling,
    /// EC2 Auto Scaling.
    InstanceRefresh,
}

impl JsonSchema for EngineName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EngineName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["rolling", "instance_refresh"] })
    }
}

/// How `batch_size` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchSizeType {
    /// Percent of the fleet.
    #[serde(alias = "Percentage")]
    Percentage,
    /// Instances.
    #[serde(alias = "Fixed")]
    Fixed,
}

impl JsonSchema for BatchSizeType {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "BatchSizeType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "enum": ["percentage", "fixed", "Percentage", "Fixed"],
            "description": "`percentage` of the fleet, or a `fixed` number of instances.",
        })
    }
}

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
            "enum": ["unhealthy", "flap", "slow", "hang", "fail_launch", "half_unhealthy", "alarm"],
            "description": "How a bad revision is bad: fails its health checks, is healthy and \
                unhealthy by turns, boots five times as slowly, never comes into service, cannot \
                be launched, fails its health checks every second time, or is healthy and raises \
                every alarm.",
        })
    }
}

/// When a new instance counts as healthy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthConfig {
    /// How long an instance must serve without a break before it counts (soak). Default `10s`.
    pub min_healthy_time: Option<DurationText>,
    /// How long after its launch an instance may take to serve. Default `10m`.
    pub healthy_timeout: Option<DurationText>,
}

/// How instances are updated in place: each is taken out of rotation, drained, updated, and put back
/// in. Exactly one way must be given.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplacementConfig {
    /// Runs an SSM document on each. The revision is the document's version with its parameters, and
    /// is kept in the instance's tag `rolling:revision`.
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
    /// Values of its parameters. They are kept in tags, so no secrets: name those with
    /// `{{ssm-secure:NAME}}` in the document.
    pub parameters: Option<BTreeMap<String, String>>,
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

/// What to do when an instance of the new revision fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailureName {
    /// Go back to the last completed revision.
    Rollback,
    /// Wait for a decision.
    Pause,
    /// Put back what was borrowed and leave the instances as they are.
    Stop,
}

impl JsonSchema for OnFailureName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OnFailureName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["rollback", "pause", "stop"] })
    }
}

/// A number of instances, or a percentage of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum BoundConfig {
    /// Instances.
    Count(u32),
    /// `"25%"`.
    Percentage(String),
}

impl JsonSchema for BoundConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bound".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": "^[0-9]+%$",
            "description": "A number of instances, or a percentage of the fleet such as `25%`.",
        })
    }
}

/// When a free place is taken again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PacingName {
    /// When the whole batch is done.
    Batch,
    /// At once.
    Continuous,
}

impl JsonSchema for PacingName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PacingName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["batch", "continuous"] })
    }
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

/// What to do about instances that somebody has set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SetAsideName {
    /// Replace them all the same.
    Refresh,
    /// Leave them.
    Ignore,
    /// Wait for an hour.
    Wait,
}

impl JsonSchema for SetAsideName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SetAsideName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["refresh", "ignore", "wait"] })
    }
}

/// What to do about lifecycle hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LifecycleHooksName {
    /// Whoever is told completes them.
    Wait,
    /// The rollout completes them.
    Complete,
}

impl JsonSchema for LifecycleHooksName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LifecycleHooksName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["wait", "complete"] })
    }
}

/// A process of an Auto Scaling group that may be suspended for the while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub enum ProcessName {
    /// Evens out the zones by replacing good instances.
    #[serde(rename = "AZRebalance")]
    AzRebalance,
    /// Scaling policies.
    AlarmNotification,
    /// Scheduled scaling. What falls due while it is suspended is lost on AWS.
    ScheduledActions,
}

impl JsonSchema for ProcessName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ProcessName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "enum": ["AZRebalance", "AlarmNotification", "ScheduledActions"],
        })
    }
}

/// How the provider reaches its clouds. Credentials come from the AWS SDK's default chain only.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// AWS. Everything left out is as the AWS SDK finds it in the environment.
    pub aws: Option<AwsProviderConfig>,
    /// The built-in simulator.
    pub simulator: Option<SimulatorConfig>,
}

/// How AWS is reached.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwsProviderConfig {
    /// The region, for instance `eu-west-1`.
    pub region: Option<String>,
    /// A profile of the shared configuration files.
    pub profile: Option<String>,
    /// Another endpoint for every service, for instance LocalStack's.
    pub endpoint_url: Option<String>,
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

/// A time span as people write it: `30s`, `10m`, `1h30m`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct DurationText(pub String);

impl DurationText {
    /// The time span; `None` when the text is none.
    pub fn parse(text: &str) -> Option<Duration> {
        humantime::parse_duration(text).ok()
    }

    /// The time span. A document that was checked always has one.
    pub fn get(&self) -> Duration {
        Self::parse(&self.0).unwrap_or_default()
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "rolling-duration",
            "description": "A time span: `30s`, `10m`, `1h30m`.",
        })
    }
}
