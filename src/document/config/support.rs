//! Unsupported combinations of attributes: the one table from which refusals, the schemas and the
//! documentation come.

use serde_json::Value;

use super::times::DurationText;

/// A way of rolling that does not support some attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutMode {
    /// EC2 Auto Scaling's own, with the engine `instance_refresh`.
    InstanceRefresh,
    /// Instances are updated in place, with `replacement`.
    InPlace,
    /// Without batches, with continuous pacing.
    Continuous,
    /// A target of one of these kinds, by its attribute.
    Target(&'static [&'static str]),
    /// One of these policies.
    Policies(&'static [&'static str]),
    /// Another policy than these.
    PoliciesBut(&'static [&'static str]),
}

/// The values of an attribute that are refused.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// Every one.
    Any,
    /// Every one that asks for something: a list that is not empty, a time that is not zero.
    NonEmpty,
    /// Numbers above this one.
    Above(u64),
    /// These names.
    OneOf(&'static [&'static str]),
    /// All names but these.
    AllBut(&'static [&'static str]),
}

/// An attribute that means nothing to a way of rolling, with these values.
#[derive(Debug)]
pub struct Unsupported {
    /// Its place in a deployment, as a JSON Pointer.
    pub place: &'static str,
    /// What it means nothing to.
    pub by: RolloutMode,
    /// The values that it is refused with.
    pub values: Values,
    /// Why, as a sentence.
    pub why: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

const fn refused(
    place: &'static str,
    by: RolloutMode,
    values: Values,
    why: &'static str,
    remedy: &'static str,
) -> Unsupported {
    Unsupported { place, by, values, why, remedy }
}

const LEAVE_OUT: &str = "remove it, or roll with engine rolling";
const REMOVE: &str = "remove it";
const NOT_LAUNCHED: &str = "nothing is launched where instances are updated in place";
const ONLY_GROUPS: &str = "only Auto Scaling groups have instance refreshes";
const ITS_OWN: &str = "a simulated fleet has its own second target group";
const INSTANCE_REFRESH: RolloutMode = RolloutMode::InstanceRefresh;
const SIMULATED: RolloutMode = RolloutMode::Target(&["simulated_fleet"]);
const KUBERNETES: RolloutMode =
    RolloutMode::Target(&["kubernetes_deployment", "kubernetes_stateful_set"]);
const STATEFUL_SET: RolloutMode = RolloutMode::Target(&["kubernetes_stateful_set"]);
const ITS_CONTROLLER: &str = "Kubernetes' own controller replaces the pods";
const ENVIRONMENT: RolloutMode = RolloutMode::Target(&["elastic_beanstalk_environment"]);
const BEANSTALK_DEPLOYS: &str = "Elastic Beanstalk itself deploys the version";
const NO_STOP: &str = "Elastic Beanstalk does not stop on its way";
const NO_GATES: &str = "Elastic Beanstalk checks the health of its instances, and nothing else";
const ITS_OWN_SECOND: &str = "Elastic Beanstalk has its own second target group";
const ONE_STEP: &str = "Elastic Beanstalk splits the requests once";
const USE_PERCENT: &str = "remove it, and set new_version_percent and evaluation_time";
const UNMANAGED: RolloutMode = RolloutMode::Target(&["target_group"]);
const SHIFTS: &[&str] = &["traffic_splitting", "blue_green"];
const HAS_BATCHES: &[&str] = &["rolling", "rolling_with_additional_batch"];
const CHOOSE_BATCHES: &str = "remove it, or choose rolling or rolling_with_additional_batch";

/// The table.
#[rustfmt::skip]
pub const UNSUPPORTED: &[Unsupported] = &[
    refused("/policy", INSTANCE_REFRESH, Values::OneOf(SHIFTS),
        "an instance refresh shifts no requests",
        "choose immutable, or roll with engine rolling"),
    refused("/policy", RolloutMode::InPlace, Values::AllBut(&["rolling", "all_at_once"]),
        "this policy launches instances, but `replacement` updates them in place",
        "choose rolling or all_at_once"),
    refused("/policy", UNMANAGED, Values::OneOf(SHIFTS),
        "requests of unmanaged instances cannot be shifted yet",
        "choose immutable, or roll an auto_scaling_group"),
    refused("/engine", UNMANAGED, Values::OneOf(&["instance_refresh"]),
        ONLY_GROUPS, "roll with engine rolling"),
    refused("/engine", SIMULATED, Values::OneOf(&["instance_refresh"]),
        ONLY_GROUPS, "roll with engine rolling"),
    refused("/batch_size_type", RolloutMode::PoliciesBut(HAS_BATCHES), Values::Any,
        "this policy has no batches", CHOOSE_BATCHES),
    refused("/batch_size", RolloutMode::PoliciesBut(HAS_BATCHES), Values::Any,
        "this policy has no batches", CHOOSE_BATCHES),
    refused("/max_surge", RolloutMode::PoliciesBut(&["rolling"]), Values::Any,
        "this policy sets its own bounds", "remove it, or choose the policy rolling"),
    refused("/max_unavailable", RolloutMode::PoliciesBut(&["rolling"]), Values::Any,
        "this policy sets its own bounds", "remove it, or choose the policy rolling"),
    refused("/auto_scaling_group/launch_template", RolloutMode::InPlace, Values::Any,
        NOT_LAUNCHED, "remove it, or replacement"),
    refused("/auto_scaling_group/image_id", RolloutMode::InPlace, Values::Any,
        NOT_LAUNCHED, "remove it, or replacement"),
    refused("/auto_scaling_group/target_group_arns", INSTANCE_REFRESH, Values::Any,
        "an instance refresh uses the group's own health checks, in every target group",
        LEAVE_OUT),
    refused("/target_group/launch_template", RolloutMode::InPlace, Values::Any,
        NOT_LAUNCHED, "remove it, or replacement"),
    refused("/replacement", INSTANCE_REFRESH, Values::Any,
        "an instance refresh replaces instances", LEAVE_OUT),
    refused("/replacement", SIMULATED, Values::Any,
        "simulated instances are not updated in place", REMOVE),
    refused("/restart", INSTANCE_REFRESH, Values::Any,
        "an instance refresh replaces no instance that matches the template already", LEAVE_OUT),
    refused("/restart", RolloutMode::InPlace, Values::Any,
        "an instance that is updated in place is not launched anew", REMOVE),
    refused("/max_surge", RolloutMode::InPlace, Values::Any,
        "surge has to be launched, but `replacement` updates instances in place",
        "remove it, and set max_unavailable"),
    refused("/pacing", RolloutMode::PoliciesBut(HAS_BATCHES), Values::OneOf(&["continuous"]),
        "continuous pacing is for the rolling policies", CHOOSE_BATCHES),
    refused("/zones", INSTANCE_REFRESH, Values::OneOf(&["one_by_one"]),
        "an instance refresh itself chooses the instances, in all zones", LEAVE_OUT),
    refused("/zones", RolloutMode::PoliciesBut(HAS_BATCHES), Values::OneOf(&["one_by_one"]),
        "this policy replaces the instances of all zones at once", CHOOSE_BATCHES),
    refused("/zones", RolloutMode::Continuous, Values::OneOf(&["one_by_one"]),
        "continuous pacing fills each free place at once, so that zones overlap",
        "remove it, or set pacing to batch"),
    refused("/pause_between_batches", RolloutMode::Continuous, Values::Any,
        "continuous pacing has no batches to pause between",
        "remove it, set pacing to batch, or use checkpoints"),
    refused("/checkpoints", RolloutMode::Policies(&["all_at_once"]), Values::NonEmpty,
        "the policy all_at_once has one batch, so it cannot wait at a checkpoint",
        "remove them, or choose another policy"),
    refused("/pacing", INSTANCE_REFRESH, Values::OneOf(&["continuous"]),
        "an instance refresh sets its own pace, within its percentages", LEAVE_OUT),
    refused("/pause_between_batches", INSTANCE_REFRESH, Values::NonEmpty,
        "an instance refresh does not pause between batches",
        "use checkpoints with a pause, or roll with engine rolling"),
    refused("/failure_threshold", INSTANCE_REFRESH, Values::Above(1),
        "an instance refresh does not count failures", LEAVE_OUT),
    refused("/on_failure", INSTANCE_REFRESH, Values::OneOf(&["pause"]),
        "an instance refresh cannot be paused",
        "choose rollback or stop, or roll with engine rolling"),
    refused("/keep_failed_instances", INSTANCE_REFRESH, Values::Above(0),
        "an instance refresh keeps none of them", LEAVE_OUT),
    refused("/keep_failed_instances", RolloutMode::InPlace, Values::Above(0),
        "an instance that is updated in place stays where it is", REMOVE),
    refused("/lifecycle_hooks", INSTANCE_REFRESH, Values::OneOf(&["complete"]),
        "an instance refresh waits for lifecycle hooks",
        "choose wait, or roll with engine rolling"),
    refused("/lifecycle_hooks", UNMANAGED, Values::Any,
        "unmanaged instances have no lifecycle hooks", REMOVE),
    refused("/scale_in_protected_instances", UNMANAGED, Values::Any,
        "unmanaged instances have no protection from scale-in", REMOVE),
    refused("/lifecycle_hooks", RolloutMode::InPlace, Values::Any,
        "no hook holds an instance that is updated in place", REMOVE),
    refused("/wait_for_termination", INSTANCE_REFRESH, Values::Any,
        "an instance refresh waits for hooks by its own rules", LEAVE_OUT),
    refused("/wait_for_termination", RolloutMode::InPlace, Values::Any,
        "nothing is terminated where instances are updated in place", REMOVE),
    refused("/health/min_drain_time", INSTANCE_REFRESH, Values::NonEmpty,
        "an instance refresh drains for the deregistration delay of the target groups", LEAVE_OUT),
    refused("/scale_in_protected_instances", RolloutMode::InPlace, Values::Any,
        "an instance that is updated in place is not scaled in", REMOVE),
    refused("/standby_instances", RolloutMode::InPlace, Values::OneOf(&["refresh"]),
        "an instance in standby is not updated in place", REMOVE),
    refused("/progress_deadline", INSTANCE_REFRESH, Values::Any,
        "an instance refresh gives up by its own rule: after an hour without progress", LEAVE_OUT),
    refused("/suspend_processes", INSTANCE_REFRESH, Values::NonEmpty,
        "an instance refresh suspends nothing", LEAVE_OUT),
    refused("/suspend_processes", UNMANAGED, Values::Any,
        "unmanaged instances have no processes to suspend", REMOVE),
    refused("/traffic", RolloutMode::PoliciesBut(SHIFTS), Values::Any,
        "this policy shifts no requests", "remove it, or choose traffic_splitting or blue_green"),
    refused("/traffic/new_version_percent", RolloutMode::Policies(&["blue_green"]), Values::Any,
        "blue_green shifts all requests at once", REMOVE),
    refused("/traffic/step_percent", RolloutMode::Policies(&["blue_green"]), Values::Any,
        "blue_green shifts all requests at once", REMOVE),
    refused("/traffic/steps", RolloutMode::Policies(&["blue_green"]), Values::Any,
        "blue_green shifts all requests at once", REMOVE),
    refused("/traffic/evaluation_time", RolloutMode::Policies(&["blue_green"]), Values::Any,
        "blue_green shifts all requests at once", REMOVE),
    refused("/traffic/terminate_after", RolloutMode::Policies(&["traffic_splitting"]), Values::Any,
        "traffic_splitting terminates the old instances as soon as they have drained", REMOVE),
    refused("/traffic/second_target_group_arn", SIMULATED, Values::Any, ITS_OWN, REMOVE),
    refused("/traffic/listener_rule_arns", SIMULATED, Values::Any, ITS_OWN, REMOVE),
    refused("/gates/http", RolloutMode::Continuous, Values::Any,
        "it is checked after each batch, and continuous pacing has no batches",
        "remove it, set pacing to batch, or use alarms"),
    refused("/gates/command", RolloutMode::Continuous, Values::Any,
        "it runs after each batch, and continuous pacing has no batches",
        "remove it, set pacing to batch, or use alarms"),
    refused("/gates/http", INSTANCE_REFRESH, Values::Any,
        "an instance refresh does not request URLs",
        "remove it, use alarms, or roll with engine rolling"),
    refused("/gates/command", INSTANCE_REFRESH, Values::Any,
        "an instance refresh runs no command",
        "remove it, use alarms, or roll with engine rolling"),
    refused("/hooks/after_healthy", RolloutMode::Continuous, Values::Any,
        "it runs after each batch, and continuous pacing has no batches",
        "remove it, or set pacing to batch"),
    refused("/hooks/after_batch", RolloutMode::Continuous, Values::Any,
        "it runs after each batch, and continuous pacing has no batches",
        "remove it, or set pacing to batch"),
    refused("/hooks", INSTANCE_REFRESH, Values::Any,
        "an instance refresh waits for no hook",
        "remove it, use lifecycle hooks of the group, or roll with engine rolling"),
    refused("/record", INSTANCE_REFRESH, Values::Any,
        "an instance refresh is recorded by EC2 Auto Scaling itself", LEAVE_OUT),
    refused("/record", SIMULATED, Values::Any,
        "a simulated fleet keeps its record itself", REMOVE),
    refused("/engine", KUBERNETES, Values::Any, ITS_CONTROLLER, REMOVE),
    refused("/policy", KUBERNETES, Values::OneOf(SHIFTS),
        "Kubernetes' controllers shift no requests",
        "choose another policy, or shift them with a service mesh"),
    refused("/policy", STATEFUL_SET, Values::AllBut(&["rolling", "all_at_once"]),
        "this policy creates pods beside the old ones, but each pod of a StatefulSet has its own name",
        "choose rolling or all_at_once"),
    refused("/max_surge", STATEFUL_SET, Values::Any,
        "no pod is created beside the old ones: each pod of a StatefulSet has its own name",
        "remove it, and set max_unavailable"),
    refused("/zones", KUBERNETES, Values::OneOf(&["one_by_one"]), ITS_CONTROLLER, REMOVE),
    refused("/replacement", KUBERNETES, Values::Any,
        "pods are not updated in place", REMOVE),
    refused("/restart", KUBERNETES, Values::Any,
        "a new annotation of the pod template replaces all pods",
        "remove it, and give the target an annotation with the time"),
    refused("/keep_failed_instances", STATEFUL_SET, Values::Above(0),
        "a pod that is kept keeps its name, and no other can be created in its place",
        "remove it; a failed pod's last words are in the report"),
    refused("/lifecycle_hooks", KUBERNETES, Values::Any,
        "pods have no lifecycle hooks of a group", "remove it; preStop and readiness gates hold pods"),
    refused("/wait_for_termination", KUBERNETES, Values::Any,
        "Kubernetes' controllers do not wait for pods that end", REMOVE),
    refused("/scale_in_protected_instances", KUBERNETES, Values::Any,
        "pods have no protection from scale-in", REMOVE),
    refused("/standby_instances", KUBERNETES, Values::Any,
        "pods have no standby", REMOVE),
    refused("/suspend_processes", KUBERNETES, Values::Any,
        "Kubernetes' controllers have no processes to suspend", REMOVE),
    refused("/health/min_drain_time", KUBERNETES, Values::NonEmpty,
        "pods drain for terminationGracePeriodSeconds, with preStop", REMOVE),
    refused("/gates/alarms", KUBERNETES, Values::NonEmpty,
        "alarms are CloudWatch's", "remove them, or use http or command"),
    refused("/hooks/before_deregister", KUBERNETES, Values::Any,
        "the controller chooses the pods", "remove it, or use preStop of the containers"),
    refused("/record", KUBERNETES, Values::Any,
        "it is kept in a Lease beside the workload", REMOVE),
    refused("/engine", ENVIRONMENT, Values::Any, BEANSTALK_DEPLOYS, REMOVE),
    refused("/policy", ENVIRONMENT, Values::OneOf(&["blue_green"]),
        "that takes a second environment and a swap of their names",
        "choose immutable or traffic_splitting"),
    refused("/max_surge", ENVIRONMENT, Values::Any,
        "Elastic Beanstalk has batches in its place", "remove it, and set batch_size"),
    refused("/max_unavailable", ENVIRONMENT, Values::Any,
        "Elastic Beanstalk has batches in its place", "remove it, and set batch_size"),
    refused("/pacing", ENVIRONMENT, Values::OneOf(&["continuous"]),
        "Elastic Beanstalk deploys in batches", REMOVE),
    refused("/zones", ENVIRONMENT, Values::OneOf(&["one_by_one"]), BEANSTALK_DEPLOYS, REMOVE),
    refused("/pause_between_batches", ENVIRONMENT, Values::NonEmpty, NO_STOP, REMOVE),
    refused("/checkpoints", ENVIRONMENT, Values::NonEmpty, NO_STOP, REMOVE),
    refused("/health/min_healthy_time", ENVIRONMENT, Values::Any,
        "Elastic Beanstalk counts an instance after 12 checks in a row that pass, or three for workers",
        REMOVE),
    refused("/health/min_drain_time", ENVIRONMENT, Values::NonEmpty,
        "instances drain for the deregistration delay of the environment", REMOVE),
    refused("/failure_threshold", ENVIRONMENT, Values::Above(1),
        "Elastic Beanstalk ends a deployment at the first batch that fails", REMOVE),
    refused("/on_failure", ENVIRONMENT, Values::OneOf(&["pause"]), NO_STOP,
        "choose rollback or stop"),
    refused("/keep_failed_instances", ENVIRONMENT, Values::Above(0),
        "Elastic Beanstalk keeps none of them", REMOVE),
    refused("/progress_deadline", ENVIRONMENT, Values::Any,
        "Elastic Beanstalk has a timeout of a command on an instance",
        "remove it, and set health.healthy_timeout"),
    refused("/replacement", ENVIRONMENT, Values::Any, BEANSTALK_DEPLOYS, REMOVE),
    refused("/restart", ENVIRONMENT, Values::Any,
        "a version is deployed only where it does not run", REMOVE),
    refused("/lifecycle_hooks", ENVIRONMENT, Values::Any, BEANSTALK_DEPLOYS, REMOVE),
    refused("/wait_for_termination", ENVIRONMENT, Values::Any, BEANSTALK_DEPLOYS, REMOVE),
    refused("/scale_in_protected_instances", ENVIRONMENT, Values::Any, BEANSTALK_DEPLOYS, REMOVE),
    refused("/standby_instances", ENVIRONMENT, Values::Any, BEANSTALK_DEPLOYS, REMOVE),
    refused("/suspend_processes", ENVIRONMENT, Values::Any,
        "Elastic Beanstalk suspends them itself where it has to", REMOVE),
    refused("/gates/alarms", ENVIRONMENT, Values::NonEmpty, NO_GATES, REMOVE),
    refused("/gates/http", ENVIRONMENT, Values::Any, NO_GATES, REMOVE),
    refused("/gates/command", ENVIRONMENT, Values::Any, NO_GATES, REMOVE),
    refused("/gates/bake_time", ENVIRONMENT, Values::NonEmpty, NO_GATES, REMOVE),
    refused("/hooks", ENVIRONMENT, Values::Any,
        "Elastic Beanstalk waits for no hook of this program",
        "remove it, and use the platform hooks of the application"),
    refused("/record", ENVIRONMENT, Values::Any,
        "Elastic Beanstalk itself keeps the state of a deployment", REMOVE),
    refused("/traffic/second_target_group_arn", ENVIRONMENT, Values::Any, ITS_OWN_SECOND, REMOVE),
    refused("/traffic/listener_rule_arns", ENVIRONMENT, Values::Any, ITS_OWN_SECOND, REMOVE),
    refused("/traffic/steps", ENVIRONMENT, Values::Any, ONE_STEP, USE_PERCENT),
    refused("/traffic/step_percent", ENVIRONMENT, Values::Any, ONE_STEP, USE_PERCENT),
];

impl RolloutMode {
    /// Whether `config`, a deployment, rolls this way.
    pub(crate) fn is_chosen(self, config: &Value) -> bool {
        match self {
            RolloutMode::InstanceRefresh => config["engine"] == "instance_refresh",
            RolloutMode::InPlace => !config["replacement"].is_null(),
            RolloutMode::Continuous => config["pacing"] == "continuous",
            RolloutMode::Target(kinds) => kinds.iter().any(|kind| !config[*kind].is_null()),
            RolloutMode::Policies(names) => is_among(&config["policy"], names),
            RolloutMode::PoliciesBut(names) => !is_among(&config["policy"], names),
        }
    }

    /// Its name, in Markdown.
    pub(crate) fn name(self) -> String {
        match self {
            RolloutMode::InstanceRefresh => "engine `instance_refresh`".into(),
            RolloutMode::InPlace => "`replacement`".into(),
            RolloutMode::Continuous => "continuous `pacing`".into(),
            RolloutMode::Target(kinds) => {
                let has_vowel =
                    kinds.first().is_some_and(|kind| kind.starts_with(['a', 'e', 'i', 'o']));
                let article = if has_vowel { "an" } else { "a" };
                let kinds = kinds.iter().map(|kind| format!("`{kind}`"));
                format!("{article} {}", kinds.collect::<Vec<_>>().join(" or "))
            }
            RolloutMode::Policies(names) => format!("the policy {}", listed(names)),
            RolloutMode::PoliciesBut(names) => format!("all policies but {}", listed(names)),
        }
    }
}

impl Unsupported {
    /// Whether `config`, a deployment, asks for it.
    pub(crate) fn is_asked(&self, config: &Value) -> bool {
        self.by.is_chosen(config)
            && config.pointer(self.place).is_some_and(|given| self.values.have(given))
    }

    /// Says with which values it is refused, in Markdown: `x` or `y` with engine `z`.
    pub fn refusal(&self) -> String {
        let with = format!("with {}", self.by.name());
        match self.values {
            Values::Any => with,
            Values::NonEmpty => format!("when set to anything but 0 or empty, {with}"),
            Values::Above(limit) => format!("above {limit}, {with}"),
            Values::OneOf(names) => format!("{}, {with}", listed(names)),
            Values::AllBut(names) => format!("all but {}, {with}", listed(names)),
        }
    }
}

fn is_among(given: &Value, names: &[&str]) -> bool {
    given.as_str().is_some_and(|name| names.contains(&name))
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ")
}

impl Values {
    fn have(self, given: &Value) -> bool {
        match self {
            _ if given.is_null() => false,
            Values::Any => true,
            Values::NonEmpty => match given {
                Value::Array(items) => !items.is_empty(),
                Value::String(time) => DurationText::parse(time).is_some_and(|t| !t.is_zero()),
                _ => true,
            },
            Values::Above(limit) => given.as_u64().is_some_and(|number| number > limit),
            Values::OneOf(names) => is_among(given, names),
            Values::AllBut(names) => !is_among(given, names),
        }
    }
}

/// Adds to the schema of the attributes below `prefix` what they are refused with.
fn describe(schema: &mut schemars::Schema, prefix: &str) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for (name, schema) in properties {
        let place = format!("{prefix}/{name}");
        let rows = UNSUPPORTED.iter().filter(|row| row.place == place);
        let refusal: Vec<String> = rows.map(Unsupported::refusal).collect();
        if refusal.is_empty() {
            continue;
        }
        let before = schema["description"].as_str().unwrap_or_default().to_owned();
        schema["description"] = format!("{before} Refused: {}.", refusal.join("; ")).into();
    }
}

/// Describes the attributes of a deployment.
pub(crate) fn of_deployment(schema: &mut schemars::Schema) {
    describe(schema, "");
}

/// Describes the attributes of a target that is an Auto Scaling group.
pub(crate) fn of_group(schema: &mut schemars::Schema) {
    describe(schema, "/auto_scaling_group");
}

/// Describes the attributes of a target that is a target group.
pub(crate) fn of_target_group(schema: &mut schemars::Schema) {
    describe(schema, "/target_group");
}

/// Describes the attributes of a target that is an Elastic Beanstalk environment.
pub(crate) fn of_environment(schema: &mut schemars::Schema) {
    describe(schema, "/elastic_beanstalk_environment");
}

/// Describes the attributes of health.
pub(super) fn of_health(schema: &mut schemars::Schema) {
    describe(schema, "/health");
}

/// Describes the attributes of hooks.
pub(super) fn of_hooks(schema: &mut schemars::Schema) {
    describe(schema, "/hooks");
}

/// Describes the attributes of gates.
pub(crate) fn of_gates(schema: &mut schemars::Schema) {
    describe(schema, "/gates");
}

/// Describes the attributes of shifted requests.
pub(crate) fn of_traffic(schema: &mut schemars::Schema) {
    describe(schema, "/traffic");
}
