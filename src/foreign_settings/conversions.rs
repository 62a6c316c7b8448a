//! Settings of other tools from end to end: each row of the tables, and what the tools print.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Conversion, TargetId, convert};
use crate::document::config::TARGET_KINDS;
use crate::document::{Document, deployment};

mod groups;
mod workloads;

const COMMAND: &str = "aws:elasticbeanstalk:command";
const UPDATES: &str = "aws:autoscaling:updatepolicy:rollingupdate";
const TRAFFIC: &str = "aws:elasticbeanstalk:trafficsplitting";

fn converted(text: &str, target: Option<&str>) -> Result<Conversion, String> {
    let target = target.map(|id| TargetId::parse(id).expect("a target"));
    convert(text, target.as_ref())
        .map_err(|found| found.iter().map(|it| format!("{it}\n")).collect())
}

/// Converts settings for `target`, fills in what is to be filled in, and checks the document.
/// Returns the deployment without its target, and the warnings.
fn deployed(text: &str, target: Option<&str>) -> (Value, Vec<String>) {
    let conversion = converted(text, target).unwrap_or_else(|found| panic!("{found}"));
    let filled = filled(conversion.document.to_string());
    Document::parse(&filled).unwrap_or_else(|found| panic!("{filled}: {found:?}"));
    let resources = conversion.document["resource"]["rolling_deployment"].as_object();
    let resource = resources.and_then(|all| all.values().next()).expect("a deployment");
    let mut config = resource.clone();
    let attributes = config.as_object_mut().expect("attributes");
    attributes.retain(|name, _| TARGET_KINDS.iter().all(|kind| kind.attribute != name));
    let warnings = conversion.warnings.iter().map(ToString::to_string).collect();
    (config, warnings)
}

/// Fills in placeholders as a person would.
fn filled(document: String) -> String {
    let arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123";
    let document = document.replace("lt-...", "lt-1").replace("\"...\"", "\"1\"");
    let document = document.replace("\"NAME\"", "\"web-prod\"").replace("VERSION_LABEL", "v1");
    document.replace("arn:aws:elasticloadbalancing:...:targetgroup/...", arn)
}

fn options(all: &[(&str, &str, Value)]) -> String {
    let item = |(namespace, name, value): &(&str, &str, Value)| json!({ "Namespace": namespace, "OptionName": name, "Value": value });
    Value::Array(all.iter().map(item).collect()).to_string()
}

fn warned(warnings: &[String], text: &str) -> bool {
    warnings.iter().any(|warning| warning.contains(text))
}

#[test]
fn options_of_a_rolling_policy_roll_any_target() {
    let text = options(&[
        (COMMAND, "DeploymentPolicy", json!("Rolling")),
        (COMMAND, "BatchSizeType", json!("Percentage")),
        (COMMAND, "BatchSize", json!("30")),
    ]);
    let wanted = json!({ "policy": "rolling", "batch_size_type": "percentage", "batch_size": 30 });
    let (config, warnings) = deployed(&text, Some("auto_scaling_group/web"));
    assert_eq!(config, wanted);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let place = "help: fill in /resource/rolling_deployment/web/auto_scaling_group/launch_template";
    assert!(warnings[0].contains(place), "{warnings:?}");
    let (config, warnings) = deployed(&text, None);
    assert_eq!((config, warnings.len()), (wanted.clone(), 2));
    assert!(warned(&warnings, "which target it is for"), "{warnings:?}");
    for target in ["simulated_fleet/web", "kubernetes_deployment/shop/web"] {
        let (config, _) = deployed(&text, Some(target));
        assert_eq!(config, wanted, "{target}");
    }
    let conversion = converted(&text, Some("kubernetes_deployment/shop/web")).expect("a document");
    let target =
        &conversion.document["resource"]["rolling_deployment"]["web"]["kubernetes_deployment"];
    let images = json!({ "CONTAINER": "IMAGE" });
    assert_eq!(*target, json!({ "namespace": "shop", "name": "web", "images": images }));
}

#[test]
fn each_policy_has_its_name_and_missing_options_their_defaults() {
    let group = Some("auto_scaling_group/web");
    let policy =
        |name: &str| deployed(&options(&[(COMMAND, "DeploymentPolicy", json!(name))]), group);
    let batches =
        |name: &str| json!({ "policy": name, "batch_size_type": "percentage", "batch_size": 100 });
    assert_eq!(policy("AllAtOnce").0, json!({ "policy": "all_at_once" }));
    assert_eq!(policy("Rolling").0, batches("rolling"));
    assert_eq!(policy("RollingWithAdditionalBatch").0, batches("rolling_with_additional_batch"));
    assert_eq!(policy("Immutable").0, json!({ "policy": "immutable" }));
    let (split, warnings) = policy("TrafficSplitting");
    assert_eq!(split["policy"], "traffic_splitting");
    assert!(warned(&warnings, "which listener rules forward to both"), "{warnings:?}");
    let (config, warnings) = deployed(&options(&[(COMMAND, "BatchSize", json!(50))]), group);
    assert_eq!(config, json!({ "policy": "all_at_once" }));
    assert!(warned(&warnings, "warning at /0/Value: the size of a batch has no effect"));
    let missing = options(&[
        (COMMAND, "DeploymentPolicy", json!("Rolling")),
        (COMMAND, "BatchSizeType", json!("Fixed")),
    ]);
    let refused = converted(&missing, group).expect_err("no size");
    assert!(refused.contains("at /1/Value: BatchSizeType is Fixed, and its BatchSize is missing"));
}

#[test]
fn times_and_shares_are_converted() {
    let split = |percent: u32| {
        options(&[
            (COMMAND, "DeploymentPolicy", json!("TrafficSplitting")),
            (COMMAND, "Timeout", json!("600")),
            (TRAFFIC, "NewVersionPercent", json!(percent.to_string())),
            (TRAFFIC, "EvaluationTime", json!("10")),
        ])
    };
    let (config, _) = deployed(&split(15), Some("simulated_fleet/web"));
    assert_eq!(config["health"], json!({ "healthy_timeout": "14m" }));
    assert_eq!(config["traffic"], json!({ "new_version_percent": 15, "evaluation_time": "10m" }));
    let (config, _) = deployed(&split(100), Some("simulated_fleet/web"));
    assert_eq!(config["policy"], "blue_green");
    assert_eq!(config["traffic"], json!({ "terminate_after": "10m" }));
    let (config, warnings) = deployed(&split(15), Some("kubernetes_deployment/shop/web"));
    assert_eq!(config["policy"], "immutable");
    let sentence = "warning at /0/Value: the policy traffic_splitting becomes immutable: \
                    Kubernetes' controllers shift no requests";
    assert!(warned(&warnings, sentence), "{warnings:?}");
    assert!(warned(&warnings, "traffic is left out: this policy shifts no requests"));
    let (config, _) = deployed(&split(15), Some("kubernetes_stateful_set/shop/db"));
    assert_eq!((&config["policy"], &config["max_unavailable"]), (&json!("rolling"), &json!(1)));
}

#[test]
fn options_of_updates_count_where_no_version_is_deployed() {
    let updates = [
        (UPDATES, "RollingUpdateType", json!("Time")),
        (UPDATES, "MaxBatchSize", json!("2")),
        (UPDATES, "PauseTime", json!("PT5M")),
        (UPDATES, "Timeout", json!("PT30M")),
        (UPDATES, "MinInstancesInService", json!("4")),
    ];
    let group = Some("auto_scaling_group/web");
    let (config, warnings) = deployed(&options(&updates), group);
    assert_eq!(
        config,
        json!({
            "policy": "rolling", "batch_size_type": "fixed", "batch_size": 2,
            "pause_between_batches": "5m", "health": { "healthy_timeout": "30m" },
        })
    );
    assert!(warned(&warnings, "at /4/Value: MinInstancesInService has no equivalent"));
    let mut both = updates.to_vec();
    both.push((COMMAND, "DeploymentPolicy", json!("Immutable")));
    let (config, warnings) = deployed(&options(&both), group);
    assert_eq!(config, json!({ "policy": "immutable" }));
    assert!(warned(&warnings, "4 settings are left to Elastic Beanstalk"), "{warnings:?}");
    for (more, wanted, warning) in [
        (
            vec![(UPDATES, "RollingUpdateEnabled", json!("false")), updates[1].clone()],
            json!({ "policy": "all_at_once" }),
            "RollingUpdateEnabled is false",
        ),
        (
            vec![(UPDATES, "RollingUpdateType", json!("Immutable"))],
            json!({ "policy": "immutable" }),
            "what the target is to run",
        ),
        (
            vec![(UPDATES, "RollingUpdateType", json!("Health")), updates[2].clone()],
            json!({ "policy": "rolling", "batch_size_type": "percentage", "batch_size": 33 }),
            "PauseTime is left out",
        ),
        (
            vec![(UPDATES, "PauseTime", json!("Automatic")), updates[1].clone()],
            json!({ "policy": "rolling", "batch_size_type": "fixed", "batch_size": 2 }),
            "what the target is to run",
        ),
    ] {
        let (config, warnings) = deployed(&options(&more), group);
        assert_eq!(config, wanted);
        assert!(warned(&warnings, warning), "{warnings:?}");
    }
    for bad in ["5M", "PT2H", "300"] {
        let refused = converted(&options(&[(UPDATES, "PauseTime", json!(bad))]), group);
        let refused = refused.expect_err("no time span");
        assert!(refused.contains("PauseTime must be a time span in ISO 8601"), "{refused}");
    }
}

#[test]
fn what_has_no_equivalent_is_warned_of() {
    let health = "aws:elasticbeanstalk:healthreporting:system";
    let all = |ignores: &str, threshold: &str| {
        options(&[
            (COMMAND, "DeploymentPolicy", json!("Immutable")),
            (COMMAND, "IgnoreHealthCheck", json!(ignores)),
            (health, "HealthCheckSuccessThreshold", json!(threshold)),
            ("aws:ec2:instances", "InstanceTypes", json!("t3.small")),
            ("aws:ec2:vpc", "Subnets", json!("subnet-1")),
            ("aws:ec2:vpc", "ELBSubnets", Value::Null),
        ])
    };
    let (_, warnings) = deployed(&all("true", "Warning"), Some("simulated_fleet/web"));
    assert!(warned(&warnings, "at /1/Value: IgnoreHealthCheck has no equivalent"), "{warnings:?}");
    assert!(warned(&warnings, "at /2/Value: HealthCheckSuccessThreshold has no equivalent"));
    let others = "2 settings are left to Elastic Beanstalk, since they do not say how a version is \
                  deployed: aws:ec2:instances, aws:ec2:vpc";
    assert!(warned(&warnings, others), "{warnings:?}");
    let (_, warnings) = deployed(&all("false", "Ok"), Some("simulated_fleet/web"));
    assert_eq!(warnings.len(), 2, "{warnings:?}");
}

#[test]
fn a_bad_value_points_at_its_option() {
    for (name, value, message) in [
        ("BatchSize", json!("0"), "BatchSize must be a whole number from 1 to 100, is \"0\""),
        ("BatchSize", json!("30%"), "help: write \"30\", without %"),
        ("BatchSize", json!({ "Ref": "Size" }), "only the tool that evaluates this expression"),
        ("BatchSizeType", json!("Percent"), "BatchSizeType must be Percentage or Fixed"),
        ("Timeout", json!("5m"), "Timeout must be a whole number from 1 to 3600"),
        ("IgnoreHealthCheck", json!("maybe"), "IgnoreHealthCheck must be true or false"),
    ] {
        let text =
            options(&[(COMMAND, "DeploymentPolicy", json!("Rolling")), (COMMAND, name, value)]);
        let refused = converted(&text, None).expect_err("a bad value");
        assert!(refused.starts_with("error at /1/Value: "), "{refused}");
        assert!(refused.contains(message), "{refused}");
    }
    let twice = options(&[(COMMAND, "BatchSize", json!("1")), (COMMAND, "BatchSize", json!("2"))]);
    let refused = converted(&twice, None).expect_err("two values");
    let message = "error at /1/Value: BatchSize of aws:elasticbeanstalk:command is given twice, first \
                   at /0/Value";
    assert!(refused.starts_with(message), "{refused}");
    let name = options(&[(COMMAND, "DeploymentPolicy", json!("Canary"))]);
    assert!(converted(&name, None).expect_err("no policy").contains("must be AllAtOnce, Rolling,"));
}

#[test]
fn an_ebextensions_file_is_converted_in_both_of_its_forms() {
    let map = "# .ebextensions/deploy.config\n\
               option_settings:\n  aws:elasticbeanstalk:command:\n    DeploymentPolicy: Rolling\n    \
               BatchSizeType: Fixed\n    BatchSize: 2\n    Timeout: 900\n  \
               aws:elasticbeanstalk:application:environment:\n    MODE: production\n\
               packages:\n  yum:\n    jq: []\n";
    let list = "option_settings:\n  - namespace: aws:elasticbeanstalk:command\n    \
                option_name: DeploymentPolicy\n    value: Rolling\n  \
                - namespace: aws:elasticbeanstalk:command\n    option_name: BatchSizeType\n    \
                value: Fixed\n  - {namespace: 'aws:elasticbeanstalk:command', \
                option_name: BatchSize, value: 2}\n  \
                - namespace: aws:elasticbeanstalk:command\n    option_name: Timeout\n    value: '900'\n";
    for text in [map, list] {
        let (config, warnings) = deployed(text, None);
        assert_eq!(
            config,
            json!({
                "policy": "rolling", "batch_size_type": "fixed", "batch_size": 2,
                "health": { "healthy_timeout": "19m" },
            })
        );
        assert_eq!(warned(&warnings, "1 setting is left to Elastic Beanstalk"), text == map);
    }
    let refused = converted(&map.replace("BatchSize: 2", "BatchSize: 30%"), None);
    let place = "error at /option_settings/aws:elasticbeanstalk:command/BatchSize: ";
    assert!(refused.expect_err("no number").starts_with(place));
}

/// As `aws elasticbeanstalk describe-configuration-settings` prints it, shortened.
#[test]
fn an_answer_of_describe_configuration_settings_is_converted() {
    let option = |namespace: &str, name: &str, value: Value| json!({ "Namespace": namespace, "OptionName": name, "Value": value });
    let no_value = json!({ "Namespace": "aws:autoscaling:launchconfiguration",
        "OptionName": "EC2KeyName", "ResourceName": "AWSEBAutoScalingLaunchConfiguration" });
    let answer = json!({ "ConfigurationSettings": [{
        "SolutionStackName": "64bit Amazon Linux 2023 v4.0.0 running Docker",
        "ApplicationName": "shop", "EnvironmentName": "web-prod", "DeploymentStatus": "deployed",
        "DateCreated": "2026-01-01T00:00:00+00:00",
        "OptionSettings": [
            option("aws:autoscaling:asg", "MaxSize", json!("8")),
            no_value,
            option(UPDATES, "MaxBatchSize", json!("1")),
            option(UPDATES, "PauseTime", json!("PT0S")),
            option(UPDATES, "RollingUpdateEnabled", json!("true")),
            option(COMMAND, "BatchSize", json!("25")),
            option(COMMAND, "BatchSizeType", json!("Percentage")),
            option(COMMAND, "DeploymentPolicy", json!("RollingWithAdditionalBatch")),
            option(COMMAND, "IgnoreHealthCheck", json!("false")),
            option(COMMAND, "Timeout", json!("600")),
            option(TRAFFIC, "NewVersionPercent", json!("10")),
        ],
    }] });
    let (config, warnings) = deployed(&answer.to_string(), None);
    assert_eq!(
        config,
        json!({
            "policy": "rolling_with_additional_batch", "batch_size_type": "percentage",
            "batch_size": 25, "health": { "healthy_timeout": "14m" },
        })
    );
    assert!(warned(&warnings, "4 settings are left to Elastic Beanstalk"), "{warnings:?}");
    let conversion = converted(&answer.to_string(), None).expect("a document");
    let resource = &conversion.document["resource"]["rolling_deployment"]["web-prod"];
    let targets = resource.as_object().into_iter().flatten();
    let names: Vec<&Value> = targets.filter_map(|(_, target)| target.get("name")).collect();
    assert_eq!(names, ["web-prod"]);
}

#[test]
fn settings_of_terraform_and_cloud_formation_are_found_in_their_resources() {
    let terraform = json!({ "resource": { "aws_elastic_beanstalk_environment": { "web": {
        "name": "web-prod", "application": "${aws_elastic_beanstalk_application.shop.name}",
        "setting": [{ "namespace": COMMAND, "name": "DeploymentPolicy", "value": "Immutable" }],
    } } } });
    let properties = json!({ "EnvironmentName": "web-prod", "OptionSettings": [
        { "Namespace": COMMAND, "OptionName": "DeploymentPolicy", "Value": "Immutable" },
    ] });
    let template = json!({ "Resources": { "Web": { "Type": "AWS::ElasticBeanstalk::Environment", "Properties": properties } } });
    for text in [terraform.to_string(), template.to_string()] {
        assert_eq!(deployed(&text, None).0, json!({ "policy": "immutable" }));
        let conversion = converted(&text, None).expect("a document");
        assert!(conversion.document.pointer("/resource/rolling_deployment/web-prod").is_some());
    }
}

fn a_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0_u32..130).prop_map(|number| json!(number.to_string())),
        (0_u32..130).prop_map(Value::from),
        prop::sample::select(vec![
            "Rolling",
            "RollingWithAdditionalBatch",
            "Immutable",
            "TrafficSplitting",
            "AllAtOnce",
            "Fixed",
            "Percentage",
            "PT5M",
            "PT90S",
            "true",
            "false",
            "Health",
            "Time",
            "30%",
            "",
        ])
        .prop_map(Value::from),
    ]
}

fn an_option() -> impl Strategy<Value = (&'static str, &'static str, Value)> {
    let names = vec![
        (COMMAND, "DeploymentPolicy"),
        (COMMAND, "BatchSizeType"),
        (COMMAND, "BatchSize"),
        (COMMAND, "Timeout"),
        (COMMAND, "IgnoreHealthCheck"),
        (UPDATES, "MaxBatchSize"),
        (UPDATES, "PauseTime"),
        (UPDATES, "RollingUpdateType"),
        (UPDATES, "RollingUpdateEnabled"),
        (UPDATES, "Timeout"),
        (TRAFFIC, "NewVersionPercent"),
        (TRAFFIC, "EvaluationTime"),
        ("aws:ec2:vpc", "Subnets"),
    ];
    (prop::sample::select(names), a_value()).prop_map(|((space, name), value)| (space, name, value))
}

proptest! {
    #[test]
    fn any_options_become_a_document_or_an_error_at_an_option(
        all in prop::collection::vec(an_option(), 1..6),
        target in prop::sample::select(vec![
            None, Some("auto_scaling_group/web"), Some("simulated_fleet/web"),
            Some("kubernetes_deployment/shop/web"), Some("kubernetes_stateful_set/shop/db"),
        ]),
    ) {
        let text = options(&all);
        match converted(&text, target) {
            Ok(conversion) => {
                let filled: Value = serde_json::from_str(&filled(conversion.document.to_string()))
                    .expect("JSON");
                let resources = filled["resource"]["rolling_deployment"].as_object();
                let resource = resources.and_then(|all| all.values().next()).expect("one");
                prop_assert!(deployment(resource, "").is_ok(), "{text}: {filled}");
            }
            Err(found) => {
                let input: Value = serde_json::from_str(&text).expect("JSON");
                for error in found.lines().filter(|line| line.starts_with("error")) {
                    let place = error.strip_prefix("error at ").and_then(|it| it.split(':').next());
                    let place = place.expect("a place");
                    prop_assert!(input.pointer(place).is_some(), "{error}");
                }
            }
        }
    }
}

#[test]
fn bounds_become_batches_for_an_environment() {
    let target = Some("elastic_beanstalk_environment/web-prod");
    let preferences = |least: u32, most: u32| {
        json!({ "MinHealthyPercentage": least, "MaxHealthyPercentage": most }).to_string()
    };
    for (least, most, policy, size) in [
        (70, 100, "rolling", 30),
        (100, 125, "rolling_with_additional_batch", 25),
        (90, 120, "rolling", 10),
    ] {
        let (config, warnings) = deployed(&preferences(least, most), target);
        assert_eq!(config["policy"], policy, "{config}");
        let batch = (&config["batch_size_type"], &config["batch_size"]);
        assert_eq!(batch, (&json!("percentage"), &json!(size)), "{config}");
        assert!(warned(&warnings, "becomes the size of a batch"), "{warnings:?}");
    }
}
