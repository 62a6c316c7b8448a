//! Settings for Auto Scaling groups: of an instance refresh, of Terraform, of CodeDeploy.

use serde_json::{Value, json};

use super::{converted, deployed, warned};

const ENGINE: &str = "instance_refresh";

fn preferences(given: Value) -> (Value, Vec<String>) {
    deployed(&given.to_string(), Some("auto_scaling_group/web"))
}

fn refused(given: Value) -> String {
    converted(&given.to_string(), Some("auto_scaling_group/web")).expect_err("a bad value")
}

#[test]
fn percentages_become_bounds() {
    for (given, unavailable, surge) in [
        (json!({ "MinHealthyPercentage": 80 }), json!("20%"), Value::Null),
        (
            json!({ "MinHealthyPercentage": 90, "MaxHealthyPercentage": 110 }),
            json!("10%"),
            json!("10%"),
        ),
        (json!({ "MaxHealthyPercentage": 120 }), json!("10%"), json!("20%")),
        (
            json!({ "MinHealthyPercentage": 100, "MaxHealthyPercentage": 200 }),
            Value::Null,
            json!("100%"),
        ),
        (json!({ "MinHealthyPercentage": 100 }), json!(1), Value::Null),
        (
            json!({ "MinHealthyPercentage": 0, "MaxHealthyPercentage": 100 }),
            json!("100%"),
            Value::Null,
        ),
        (json!({ "SkipMatching": true }), json!("10%"), Value::Null),
    ] {
        let (config, _) = preferences(given.clone());
        assert_eq!((&config["policy"], &config["engine"]), (&json!("rolling"), &json!(ENGINE)));
        assert_eq!(
            (&config["max_unavailable"], &config["max_surge"]),
            (&unavailable, &surge),
            "{given}"
        );
        assert_eq!(config["on_failure"], "stop");
    }
    let far = refused(json!({ "MinHealthyPercentage": 50, "MaxHealthyPercentage": 200 }));
    assert!(far.starts_with("error at /MaxHealthyPercentage: "), "{far}");
    assert!(refused(json!({ "MinHealthyPercentage": 101 })).contains("from 0 to 100, is 101"));
}

#[test]
fn each_preference_has_its_attribute() {
    let (config, warnings) = preferences(json!({
        "InstanceWarmup": 120, "CheckpointPercentages": [20, 50, 100], "CheckpointDelay": 600,
        "BakeTime": 300, "AutoRollback": true, "AlarmSpecification": { "Alarms": ["web-5xx"] },
        "ScaleInProtectedInstances": "Ignore", "StandbyInstances": "Terminate",
        "SkipMatching": true,
    }));
    let checkpoint = |percentage: u32| json!({ "percentage": percentage, "pause": "10m" });
    assert_eq!(
        config,
        json!({
            "policy": "rolling", "engine": ENGINE, "max_unavailable": "10%",
            "health": { "min_healthy_time": "2m" }, "checkpoints": [checkpoint(20), checkpoint(50)],
            "gates": { "bake_time": "5m", "alarms": ["web-5xx"] }, "on_failure": "rollback",
            "scale_in_protected_instances": "ignore", "standby_instances": "refresh",
        })
    );
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let (config, warnings) = preferences(json!({ "CheckpointPercentages": [50] }));
    assert_eq!(config["checkpoints"], json!([{ "percentage": 50, "pause": "1h" }]));
    assert!(warned(&warnings, "would end at its last checkpoint, with 50 percent"), "{warnings:?}");
    let (_, warnings) = preferences(json!({
        "CheckpointDelay": 60, "SkipMatching": false, "Other": 1,
    }));
    for warning in ["CheckpointDelay is left out", "SkipMatching false has", "Other has no equiv"] {
        assert!(warned(&warnings, warning), "{warnings:?}");
    }
    for (given, place) in [
        (json!({ "CheckpointPercentages": [50, 20] }), "/CheckpointPercentages/1"),
        (json!({ "CheckpointPercentages": "50" }), "/CheckpointPercentages"),
        (json!({ "CheckpointPercentages": [20], "CheckpointDelay": 999_999 }), "/CheckpointDelay"),
        (json!({ "BakeTime": -1 }), "/BakeTime"),
        (json!({ "AlarmSpecification": { "Alarms": "x" } }), "/AlarmSpecification/Alarms"),
        (json!({ "StandbyInstances": "Keep" }), "/StandbyInstances"),
        (
            json!({ "AlarmSpecification": { "Alarms": vec!["x"; 11] } }),
            "/AlarmSpecification/Alarms",
        ),
    ] {
        let refused = refused(given);
        assert!(refused.starts_with(&format!("error at {place}: ")), "{refused}");
    }
}

#[test]
fn a_request_names_its_group_and_its_template() {
    let request = json!({
        "AutoScalingGroupName": "web", "Strategy": "Rolling",
        "DesiredConfiguration": { "LaunchTemplate": { "LaunchTemplateId": "lt-0123", "Version": "7" } },
        "Preferences": { "MinHealthyPercentage": 90, "BakeTime": 60 },
    });
    let (_, warnings) = deployed(&request.to_string(), None);
    assert_eq!(warnings, Vec::<String>::new());
    let conversion = converted(&request.to_string(), None).expect("a document");
    let target =
        &conversion.document["resource"]["rolling_deployment"]["web"]["auto_scaling_group"];
    let template = json!({ "id": "lt-0123", "version": "7" });
    assert_eq!(*target, json!({ "name": "web", "launch_template": template }));
    let volumes = json!({ "AutoScalingGroupName": "web", "Strategy": "ReplaceRootVolume" });
    assert!(warned(&deployed(&volumes.to_string(), None).1, "set replacement.replace_root_volume"));
}

#[test]
fn a_target_without_the_engine_loses_it_with_the_sentence_of_the_table() {
    let given = json!({ "MinHealthyPercentage": 80, "ScaleInProtectedInstances": "Ignore",
        "AlarmSpecification": { "Alarms": ["a"] } });
    let (config, warnings) = deployed(&given.to_string(), Some("simulated_fleet/web"));
    assert_eq!(config["engine"], Value::Null);
    assert!(warned(
        &warnings,
        "engine is left out: only Auto Scaling groups have instance refreshes"
    ));
    let (config, warnings) = deployed(&given.to_string(), Some("kubernetes_deployment/shop/web"));
    assert_eq!(
        config,
        json!({
            "policy": "rolling", "max_unavailable": "20%", "on_failure": "stop",
        })
    );
    let sentence = "warning at /ScaleInProtectedInstances: scale_in_protected_instances is left out: \
                    pods have no protection from scale-in\n  help: see that";
    assert!(warned(&warnings, sentence), "{warnings:?}");
    assert!(warned(
        &warnings,
        "gates.alarms is left out: alarms are CloudWatch's\n  help: use http"
    ));
    let surge = json!({ "MinHealthyPercentage": 100, "MaxHealthyPercentage": 150 });
    let (config, warnings) = deployed(&surge.to_string(), Some("kubernetes_stateful_set/db"));
    assert_eq!((&config["max_surge"], &config["max_unavailable"]), (&Value::Null, &json!(1)));
    assert!(warned(&warnings, "max_unavailable becomes 1"), "{warnings:?}");
}

/// As Terraform's JSON syntax has a whole group.
#[test]
fn a_group_of_terraform_is_converted() {
    let document = json!({ "resource": { "aws_autoscaling_group": { "web": {
        "name": "web-prod", "max_size": 8, "min_size": 2, "desired_capacity": 4,
        "vpc_zone_identifier": ["${aws_subnet.a.id}"],
        "instance_maintenance_policy": [{ "min_healthy_percentage": 90, "max_healthy_percentage": 120 }],
        "launch_template": [{ "id": "${aws_launch_template.web.id}", "version": "$Latest" }],
        "instance_refresh": [{
            "strategy": "Rolling", "triggers": ["tag"],
            "preferences": [{
                "min_healthy_percentage": 50, "checkpoint_delay": "600", "instance_warmup": "",
                "checkpoint_percentages": [35, 70, 100], "auto_rollback": true,
                "alarm_specification": [{ "alarms": ["web-5xx"] }],
            }],
        }],
    } } } });
    let (config, warnings) = deployed(&document.to_string(), None);
    let checkpoint = |percentage: u32| json!({ "percentage": percentage, "pause": "10m" });
    assert_eq!(
        config,
        json!({
            "policy": "rolling", "engine": ENGINE, "max_unavailable": "50%",
            "checkpoints": [checkpoint(35), checkpoint(70)], "gates": { "alarms": ["web-5xx"] },
            "on_failure": "rollback", "scale_in_protected_instances": "ignore",
            "standby_instances": "ignore",
        })
    );
    let place = "at /resource/aws_autoscaling_group/web/instance_refresh/0/triggers: ";
    assert!(warned(&warnings, place) && warned(&warnings, "what the target is to run"));
    let plain_objects = json!({ "instance_refresh": { "strategy": "Rolling", "preferences": {
        "min_healthy_percentage": "${var.min}" } } });
    let found = refused(plain_objects);
    let place = "error at /instance_refresh/preferences/min_healthy_percentage: ";
    assert!(found.starts_with(place) && found.contains("this expression"), "{found}");
    let empty = json!({ "instance_refresh": [{ "strategy": "Rolling" }], "name": "web" });
    assert_eq!(deployed(&empty.to_string(), None).0["max_unavailable"], "10%");
}

/// As `aws deploy get-deployment-config` prints it.
#[test]
fn configurations_of_code_deploy_are_converted() {
    let hosts =
        |kind: &str, value: u32| json!({ "minimumHealthyHosts": { "type": kind, "value": value } });
    let fixed = json!({ "policy": "rolling", "batch_size_type": "fixed", "batch_size": 1 });
    let out = |percent: &str| json!({ "policy": "rolling", "max_unavailable": percent });
    let all = json!({ "policy": "all_at_once" });
    let named = |name: &str| json!({ "deploymentConfigName": format!("CodeDeployDefault.{name}") });
    let answer = json!({ "deploymentConfigInfo": {
        "deploymentConfigId": "5c6b", "deploymentConfigName": "Web-75", "computePlatform": "Server",
        "minimumHealthyHosts": { "type": "FLEET_PERCENT", "value": 75 },
        "createTime": "2026-01-01T00:00:00.000000+00:00",
    } });
    for (given, wanted) in [
        (hosts("FLEET_PERCENT", 70), out("30%")),
        (hosts("FLEET_PERCENT", 0), all.clone()),
        (hosts("FLEET_PERCENT", 100), json!({ "policy": "rolling", "max_surge": 1 })),
        (hosts("HOST_COUNT", 0), all.clone()),
        (hosts("HOST_COUNT", 3), fixed.clone()),
        (hosts("MOST_CONCURRENCY", 1), fixed.clone()),
        (named("OneAtATime"), fixed.clone()),
        (named("HalfAtATime"), out("50%")),
        (named("AllAtOnce"), all),
        (answer, out("25%")),
        (
            json!({ "minimum_healthy_hosts": [{ "type": "FLEET_PERCENT", "value": "70" }] }),
            out("30%"),
        ),
    ] {
        let (config, warnings) = deployed(&given.to_string(), None);
        assert_eq!(config, wanted, "{given}");
        assert!(warned(&warnings, "CodeDeploy updates instances where they are"), "{warnings:?}");
    }
    let (_, warnings) = deployed(&hosts("HOST_COUNT", 3).to_string(), None);
    assert!(warned(&warnings, "HOST_COUNT 3 has no equivalent without the size of the fleet"));
    let mut zonal = hosts("FLEET_PERCENT", 70);
    zonal["zonalConfig"] = json!({ "monitorDurationInSeconds": 60 });
    let (config, warnings) = deployed(&zonal.to_string(), None);
    assert_eq!(config["zones"], "one_by_one");
    assert!(warned(&warnings, "monitorDurationInSeconds has no equivalent"), "{warnings:?}");
    for (given, message) in [
        (
            json!({ "deploymentConfigName": "Web-75" }),
            "names a configuration, and not what it says",
        ),
        (hosts("FLEET_PERCENT", 101), "value must be a whole number from 0 to 100"),
        (hosts("PERCENT", 1), "type must be HOST_COUNT, FLEET_PERCENT or MOST_CONCURRENCY"),
        (json!({ "minimumHealthyHosts": {} }), "must be an object with type and value"),
        (json!({ "deploymentConfigName": "x", "computePlatform": "Lambda" }), "must be Server"),
    ] {
        let found = refused(given);
        assert!(found.contains(message), "{found}");
    }
}
