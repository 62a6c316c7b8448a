//! The types of a document. Their JSON Schema, descriptions included, is generated from here;
//! `document::schema_check` checks documents against it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) mod aws;
mod choices;
mod hooks;
mod simulated;
mod support;
pub(crate) mod target;
mod target_kind;
mod times;

pub(crate) use self::aws::{AwsProviderConfig, SecretText};
pub(crate) use self::choices::{
    BatchSizeType, BoundConfig, CheckpointDefaultName, EngineName, LifecycleHooksName,
    OnFailureName, PacingName, PolicyName, ProcessName, SetAsideName, ZonesName,
};
pub(crate) use self::hooks::{HookConfig, HookFailureName, HooksConfig};
pub(crate) use self::simulated::{
    BehaviourName, SimulatedEventConfig, SimulatedFleetConfig, TerminationPolicyName,
};
pub use self::support::{RolloutMode, UNSUPPORTED, Unsupported, Values};
pub(crate) use self::target::{
    AutoScalingGroupConfig, ElasticBeanstalkEnvironmentConfig, KubernetesWorkloadConfig,
    TargetGroupConfig,
};
pub(crate) use self::target_kind::{NOT_ROLLED, TARGET_KINDS, TargetKind};
pub(crate) use self::times::{DurationText, TimeText, seconds_or};

/// Rolls a fleet of instances to a new revision, batch by batch.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = self::support::of_deployment)]
pub struct RollingDeploymentConfig {
    /// The policy of the rollout.
    pub(crate) policy: PolicyName,
    /// Who replaces the instances. `rolling`: this program, action by action. `instance_refresh`:
    /// EC2 Auto Scaling, by an instance refresh with the same settings. It continues even when
    /// nothing waits for it. Attributes that it has no setting for are refused. Default `rolling`.
    pub(crate) engine: Option<EngineName>,
    /// How `batch_size` counts. Needed by the policies `rolling` and
    /// `rolling_with_additional_batch`.
    pub(crate) batch_size_type: Option<BatchSizeType>,
    /// The size of a batch: a percentage from 1 to 100, rounded down but at least one instance, or
    /// a fixed number of instances, limited to the whole fleet.
    #[schemars(range(min = 1))]
    pub(crate) batch_size: Option<u32>,
    /// Rolls an EC2 Auto Scaling group. Exactly one target must be given.
    pub(crate) auto_scaling_group: Option<AutoScalingGroupConfig>,
    /// Rolls the instances that are registered in a target group, without an Auto Scaling group.
    /// Exactly one target must be given.
    pub(crate) target_group: Option<TargetGroupConfig>,
    /// Rolls a Kubernetes Deployment. Exactly one target must be given.
    pub(crate) kubernetes_deployment: Option<KubernetesWorkloadConfig>,
    /// Rolls a Kubernetes StatefulSet, by its partition. Exactly one target must be given.
    pub(crate) kubernetes_stateful_set: Option<KubernetesWorkloadConfig>,
    /// Rolls an Elastic Beanstalk environment. Exactly one target must be given.
    pub(crate) elastic_beanstalk_environment: Option<ElasticBeanstalkEnvironmentConfig>,
    /// Rolls a fleet of the built-in simulator. Exactly one target must be given.
    pub simulated_fleet: Option<SimulatedFleetConfig>,
    /// How an instance comes to run the revision. Default: a new instance replaces it. Updates in
    /// place launch nothing, so `launch_template` must not be given, and the policy must be
    /// `all_at_once` or `rolling` without surge.
    pub(crate) replacement: Option<ReplacementConfig>,
    /// Replaces every instance that was launched before this time, also where it runs the revision
    /// already: the template is the same, and what an instance fetches when it boots is not. A time
    /// such as `2026-07-01T12:00:00Z`, which must not lie ahead. Instances launched since are left
    /// as they are, so the same time replaces nothing more. Default: an instance that runs the
    /// revision stays.
    pub(crate) restart: Option<TimeText>,
    /// How many instances may live beyond the fleet's size: a number, or a percentage such as
    /// `"25%"`, rounded up. For the policy `rolling`, instead of a batch size. Default 0.
    pub(crate) max_surge: Option<BoundConfig>,
    /// How far the number of serving instances may fall below the fleet's size: a number, or a
    /// percentage such as `"25%"`, rounded down. For the policy `rolling`, instead of a batch size.
    /// Default 0. A percentage that rounds down to 0 is 1 where nothing is launched beside the
    /// fleet. 0 for this and for `max_surge` is refused: nothing could ever be replaced.
    pub(crate) max_unavailable: Option<BoundConfig>,
    /// `spread`: each batch is spread over the zones of the fleet. `one_by_one`: all instances of one
    /// zone are replaced before the next zone begins, in the order of their names. Default `spread`.
    pub(crate) zones: Option<ZonesName>,
    /// `batch`: a batch ends before the next begins. `continuous`: each free place is filled at
    /// once; for the rolling policies. Default `batch`; on Kubernetes, whose
    /// controller keeps its own pace, `continuous` unless the rollout has to wait somewhere.
    pub(crate) pacing: Option<PacingName>,
    /// How long to wait after a batch before the next one begins. Default `0s`.
    pub(crate) pause_between_batches: Option<DurationText>,
    /// Where the rollout waits on the way, in order of increasing percentage.
    pub(crate) checkpoints: Option<Vec<CheckpointConfig>>,
    /// When a new instance counts as healthy.
    pub(crate) health: Option<HealthConfig>,
    /// How many instances of the new revision must fail before `on_failure` applies. Instances that
    /// fail before that are replaced. Default 1.
    #[schemars(range(min = 1))]
    pub(crate) failure_threshold: Option<u32>,
    /// What to do when the new revision fails. `rollback`: roll back to the last completed
    /// revision. `pause`: register victims again and wait for `rolling resume`, `rollback` or
    /// `abort`. `stop`: restore what the rollout borrowed and leave the instances as they are.
    /// Default `rollback`.
    pub(crate) on_failure: Option<OnFailureName>,
    /// How many failed instances are detached from the fleet and left running, tagged
    /// `rolling:retained`, for inspection. Default 0.
    pub(crate) keep_failed_instances: Option<u32>,
    /// What to do about lifecycle hooks of the Auto Scaling group that hold an instance of the
    /// rollout. `wait`: the recipient of the hook's notification completes it. `complete`: the
    /// rollout completes it, with the result CONTINUE. Default `wait`.
    pub(crate) lifecycle_hooks: Option<LifecycleHooksName>,
    /// Whether a batch, and the rollout, end only once the instances that go are gone. Default: yes
    /// where a lifecycle hook of the Auto Scaling group holds terminations, so that no more are
    /// drained by it at a time than a batch has.
    pub(crate) wait_for_termination: Option<bool>,
    /// What to do about instances to replace that are protected from scale-in. `refresh`: replace
    /// them anyway. `ignore`: leave them as they are. `wait`: replace the others, then wait up to
    /// an hour for the protection to end. Default `wait`.
    pub(crate) scale_in_protected_instances: Option<SetAsideName>,
    /// Like `scale_in_protected_instances`, for instances in standby.
    pub(crate) standby_instances: Option<SetAsideName>,
    /// How long the rollout may go without progress. Progress is a fall in the number of instances
    /// that are not updated or do not serve. Default, for each failure up to
    /// `failure_threshold`: the target groups' deregistration delay plus 30 s plus
    /// `healthy_timeout`; and once more `healthy_timeout` plus the soak.
    pub(crate) progress_deadline: Option<DurationText>,
    /// The longest time between two looks at the fleet. From 100ms to 1m, default `10s`.
    pub(crate) poll_interval: Option<DurationText>,
    /// Processes of the Auto Scaling group to suspend during the rollout, where they are not
    /// already. Default: all of `AZRebalance`, `AlarmNotification`, `InstanceRefresh`,
    /// `ScheduledActions`.
    pub(crate) suspend_processes: Option<Vec<ProcessName>>,
    /// Where and how requests are shifted. For the policies `traffic_splitting` and `blue_green`.
    pub(crate) traffic: Option<TrafficConfig>,
    /// Conditions for the rollout to continue, besides the health of its instances. A gate that does
    /// not pass is a failure of the new revision. A rollback checks no gates.
    pub(crate) gates: Option<GatesConfig>,
    /// Commands and requests that are made at points of the rollout. Hooks act; gates only check.
    pub(crate) hooks: Option<HooksConfig>,
    /// Where the record of a rollout and its lease are kept. Default: as tags on the target.
    pub(crate) record: Option<RecordConfig>,
}

impl RollingDeploymentConfig {
    /// Returns the workload of Kubernetes that it rolls, with the attribute that names it.
    pub(crate) fn workload(&self) -> Option<(&'static str, &KubernetesWorkloadConfig)> {
        let deployment = self.kubernetes_deployment.as_ref();
        let set = self.kubernetes_stateful_set.as_ref();
        deployment
            .map(|it| ("kubernetes_deployment", it))
            .or(set.map(|it| ("kubernetes_stateful_set", it)))
    }
}

/// When a new instance counts as healthy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = self::support::of_health)]
pub(crate) struct HealthConfig {
    /// How long an instance must serve without a break before it counts (soak). Default `10s`, or a
    /// target group's slow start where that is longer. With
    /// engine `instance_refresh` this is the refresh's warm-up; by default the group's own.
    pub(crate) min_healthy_time: Option<DurationText>,
    /// How long an instance drains at least after it is deregistered, whatever its target groups
    /// say: a Network Load Balancer may send requests for minutes after that. Default `0s`.
    pub(crate) min_drain_time: Option<DurationText>,
    /// How long after its launch an instance may take to serve. Default `10m`. With engine
    /// `instance_refresh` it applies once AWS reports the refresh as successful. Until then AWS's
    /// own rule applies: the refresh fails after an hour in which no instance becomes healthy.
    pub(crate) healthy_timeout: Option<DurationText>,
}

/// How instances are updated in place.
///
/// Each is taken out of rotation, drained, updated, and put back in. Exactly one way must be given.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplacementConfig {
    /// Runs an SSM document on each instance. The revision is the document's version with a hash of
    /// its parameters, and is kept in the instance's tag `rolling:revision`.
    pub(crate) run_command: Option<RunCommandConfig>,
    /// Has EC2 replace the root volume of each instance by a volume created from an image. The
    /// revision is the image.
    pub(crate) replace_root_volume: Option<ReplaceRootVolumeConfig>,
}

/// A Systems Manager document, and how to run it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunCommandConfig {
    /// The document's name, or the ARN of a shared document. Its type must be Command, and it must
    /// be safe to run twice.
    #[schemars(length(min = 1))]
    pub(crate) document: String,
    /// A version number, `$LATEST` or `$DEFAULT`; the latter two are resolved when planning.
    /// Default `$DEFAULT`.
    #[schemars(regex(pattern = r"^([0-9]+|\$LATEST|\$DEFAULT)$"))]
    pub(crate) version: Option<String>,
    /// The document's parameters, each with a list of values as SendCommand takes them: one value
    /// for a `String`, all values for a `StringList`. The revision contains a hash of them, from
    /// which a short or common value can be guessed. The values themselves go only to Systems
    /// Manager, which shows them to everyone who may read its commands.
    pub(crate) parameters: Option<BTreeMap<String, Vec<SecretText>>>,
    /// How long it may take on an instance before it counts as failed. Default `10m`.
    pub(crate) timeout: Option<DurationText>,
}

/// An image that root volumes are created from.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplaceRootVolumeConfig {
    /// The image's id, `ami-...`. Its architecture and similar properties must be those of the
    /// instances.
    #[schemars(regex(pattern = "^ami-[0-9a-f]+$"))]
    pub(crate) image_id: String,
    /// How long it may take on an instance before it counts as failed. Default `15m`.
    pub(crate) timeout: Option<DurationText>,
}

/// Where and how requests are shifted from the target group of an Auto Scaling group to a second
/// one.
///
/// New instances serve in the second target group first. Once all requests have moved, these
/// instances join the first target group, and the requests return to it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = self::support::of_traffic)]
pub(crate) struct TrafficConfig {
    /// The ARN of the second target group, which must be attached to no Auto Scaling group and have
    /// no targets. Needed with an `auto_scaling_group`.
    #[schemars(regex(pattern = "^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]+:targetgroup/.+$"))]
    pub(crate) second_target_group_arn: Option<String>,
    /// The ARNs of the listener rules, default rules included, that forward to both target groups,
    /// to the second with the weight 0. Needed with an `auto_scaling_group`.
    pub(crate) listener_rule_arns: Option<Vec<String>>,
    /// The percentage of the requests that the new set gets at first. For `traffic_splitting`.
    /// Default `step_percent`, or else 10.
    #[schemars(range(min = 1, max = 99))]
    pub(crate) new_version_percent: Option<u32>,
    /// By how many percent the share of the new set grows at each step until it gets all requests.
    /// Default: it gets all after the first share.
    #[schemars(range(min = 1, max = 99))]
    pub(crate) step_percent: Option<u32>,
    /// The shares that the new set gets one after the other, ascending, before it gets all requests.
    /// Instead of `new_version_percent` and `step_percent`. The gates are checked after each step.
    pub(crate) steps: Option<Vec<TrafficStepConfig>>,
    /// How long the new set gets each share, and must stay healthy, before the next. For
    /// `traffic_splitting`. Default `5m`.
    pub(crate) evaluation_time: Option<DurationText>,
    /// How long the old set is kept once all requests have moved. For `blue_green`. Default `5m`.
    pub(crate) terminate_after: Option<DurationText>,
}

/// A share of the requests.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrafficStepConfig {
    /// The percentage of the requests that the new set gets.
    #[schemars(range(min = 1, max = 99))]
    pub(crate) percent: u32,
    /// How long the new set gets this percentage. Default: `evaluation_time` of `traffic`.
    pub(crate) evaluation_time: Option<DurationText>,
}

/// Conditions for the rollout to continue, besides the health of its instances.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = self::support::of_gates)]
pub(crate) struct GatesConfig {
    /// Names of CloudWatch alarms. None may be in the state ALARM before a batch begins or during
    /// the bake time. An alarm that lacks data is not in ALARM.
    pub(crate) alarms: Option<Vec<String>>,
    /// A URL to request after each batch.
    pub(crate) http: Option<HttpGateConfig>,
    /// A command to run after each batch, on the machine that rolling runs on.
    pub(crate) command: Option<CommandGateConfig>,
    /// How long the alarms and the instances' health are watched after every instance is replaced,
    /// before the rollout is over. Default `0s`.
    pub(crate) bake_time: Option<DurationText>,
}

/// A URL to request after each batch.
///
/// It is requested with GET, repeatedly until it returns the expected status. Redirects are not
/// followed.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpGateConfig {
    /// The URL.
    #[schemars(regex(pattern = "^https?://[^/]+"))]
    pub(crate) url: String,
    /// The HTTP status that passes. Default 200.
    #[schemars(range(min = 100, max = 599))]
    pub(crate) status: Option<u32>,
    /// How long it may take to return that status. Default `1m`.
    pub(crate) timeout: Option<DurationText>,
}

/// A command to run after each batch.
///
/// It is run repeatedly until it exits with 0. One that cannot be started is not tried again. Its
/// environment contains ROLLING_TARGET, ROLLING_REVISION and ROLLING_BATCH.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandGateConfig {
    /// The program and its arguments. No shell is involved.
    pub(crate) run: Vec<String>,
    /// Additional environment variables; the place for secrets.
    pub(crate) environment: Option<BTreeMap<String, SecretText>>,
    /// How long it may take to exit with 0 before it is killed and counts as failed. Default `5m`.
    pub(crate) timeout: Option<DurationText>,
}

/// A place for the record other than the target.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordConfig {
    /// An object in S3. It is written only if no other process has written it since it was read, so
    /// two engines never overlap.
    pub(crate) s3: S3RecordConfig,
}

/// One object in S3, for one target.
///
/// It exists while a rollout runs, is paused, or has failed with something left to report. It is for
/// one target, and every document that rolls the target must name the same object.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct S3RecordConfig {
    /// The bucket, which must exist in the provider's region.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"))]
    pub(crate) bucket: String,
    /// The object's key, for instance `rolling/web.json`.
    #[schemars(length(min = 1))]
    pub(crate) key: String,
}

/// A point at which the rollout waits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckpointConfig {
    /// The percentage of updated instances at which the checkpoint is reached.
    #[schemars(range(min = 1, max = 99))]
    pub(crate) percentage: u32,
    /// How long to wait there. Default: until `rolling resume`.
    pub(crate) pause: Option<DurationText>,
    /// How long to wait there for a decision (`rolling resume`, `rollback` or `abort`) before
    /// `default` applies. Counts from when the checkpoint was reached, also while nothing runs.
    /// Instead of `pause`.
    pub(crate) expires_after: Option<DurationText>,
    /// What happens when nobody has decided in time: `resume` or `rollback`. Needed by
    /// `expires_after`.
    pub(crate) default: Option<CheckpointDefaultName>,
}

/// How the provider reaches its clouds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderConfig {
    /// AWS. Everything left out comes from the environment, as the AWS SDK finds it; credentials
    /// then come from its default chain.
    pub(crate) aws: Option<AwsProviderConfig>,
    /// Kubernetes. What is left out comes from the environment, as kubectl finds it.
    pub(crate) kubernetes: Option<KubernetesProviderConfig>,
    /// The built-in simulator.
    pub(crate) simulator: Option<SimulatorConfig>,
}

/// How a cluster is reached.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KubernetesProviderConfig {
    /// The file that describes clusters and users. Default: that of the variable `KUBECONFIG`, else
    /// `~/.kube/config`, else the service account of the pod that rolling runs in.
    pub(crate) kubeconfig: Option<String>,
    /// The context in that file. Default: its current one.
    pub(crate) context: Option<String>,
}

/// How simulated fleets run.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SimulatorConfig {
    /// The directory of the fleets' state files, relative to the working directory. Default
    /// `.rolling`.
    pub(crate) state_directory: Option<String>,
    /// The speed of a fleet's time, as a multiple of real time. Default 20.
    #[schemars(range(min = 0.1, max = 100_000))]
    pub(crate) speed: Option<f64>,
}
