//! What prevents a rollout is found before it begins, all of it at once, and nothing is touched.

use serde_json::{Value, json};

use crate::emulator::{Account, account};
use crate::lab::localstack::{resource, times};

/// Returns the errors and the warnings that doctor reports, each with its place.
fn examine(account: &Account, resource: &Value, code: i32) -> (Vec<Value>, Vec<Value>) {
    let ran = account.run("doctor", resource);
    assert_eq!(ran.code, code, "{ran:?}");
    let answer = ran.lines().remove(0);
    assert_eq!(answer["healthy"], code == 0, "{answer}");
    let found = answer["resources"][0]["diagnostics"].as_array().expect("findings").clone();
    found.into_iter().partition(|finding| finding["severity"] == "error")
}

fn assert_finding(findings: &[Value], place: &str, message: &str) {
    let place = format!("/resource/rolling_deployment/web{place}");
    let is_it = |finding: &&Value| {
        finding["pointer"] == place && finding["summary"].to_string().contains(message)
    };
    let found = findings.iter().find(is_it);
    assert!(found.is_some_and(|f| f["remedy"].is_string()), "{place} {message}: {findings:#?}");
}

#[test]
fn a_healthy_group_has_nothing_in_the_way_and_is_not_touched() {
    let Some(account) = account() else { return };
    let fleet = json!({ "name": "web", "size": 3, "max": 3, "health_check_type": "ELB" });
    let template = account.fleet(fleet, times());
    let before = account.get("groups/web");
    let mut wanted = resource(&template, "2");
    wanted["health"]["healthy_timeout"] = json!("60s");
    wanted["batch_size"] = json!(50);
    let (errors, warnings) = examine(&account, &wanted, 0);
    assert_eq!((errors, warnings), (Vec::new(), Vec::new()));
    assert_eq!(account.get("groups/web"), before);
    assert_eq!(account.timeline(), Vec::<Value>::new());

    // With surge the maximum is too small, which is only a warning.
    wanted["policy"] = json!("rolling_with_additional_batch");
    let (errors, warnings) = examine(&account, &wanted, 0);
    assert_eq!(errors, Vec::<Value>::new());
    assert_finding(&warnings, "", "the maximum size is too small for the surge");
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let Some(account) = account() else { return };
    let groups = json!([{ "name": "web" }, { "name": "idle", "listener": false }]);
    let fleet = json!({ "name": "web", "size": 3, "target_groups": groups });
    let template = account.fleet(fleet, times());
    account.put(
        "faults",
        json!([
            { "kind": "deny", "action": "autoscaling.UpdateAutoScalingGroup", "count": null },
            { "kind": "deny", "action": "ec2.RunInstances", "count": null },
            { "kind": "deny", "action": "elbv2.DeregisterTargets", "count": null },
        ]),
    );
    let (errors, _) = examine(&account, &resource(&template, "2"), 1);
    assert_finding(&errors, "/auto_scaling_group/name", "no listener uses target group");
    assert_finding(&errors, "", "UpdateAutoScalingGroup: AccessDenied");
    assert_finding(&errors, "", "DeregisterTargets: AccessDenied");
    assert_finding(&errors, "", "RunInstances: UnauthorizedOperation");
    let launch = errors.iter().find(|e| e["summary"].to_string().contains("RunInstances"));
    assert!(launch.expect("it")["remedy"].to_string().contains("iam:PassRole"));

    let (errors, _) = examine(&account, &resource(&template, "9"), 1);
    assert_finding(&errors, "/auto_scaling_group/launch_template/version", "has no version 9");
    assert_finding(&errors, "/auto_scaling_group/name", "no listener uses target group");
}

#[test]
fn times_that_cannot_be_kept_are_told_by_doctor_and_plan() {
    let Some(account) = account() else { return };
    let groups = json!([{ "name": "web", "deregistration_delay": 300 }]);
    let fleet = json!({ "name": "web", "size": 3, "target_groups": groups });
    let template = account.fleet(fleet, times());
    let mut wanted = resource(&template, "2");
    // The health check takes 2 x 5 s to pass.
    wanted["health"]["healthy_timeout"] = json!("8s");
    wanted["progress_deadline"] = json!("2m");
    let (errors, warnings) = examine(&account, &wanted, 1);
    assert_finding(
        &warnings,
        "/health/healthy_timeout",
        "instances may not become healthy within 8s",
    );
    assert_finding(&errors, "/progress_deadline", "the rollout ends after 2m without progress");
    // What is certain is refused; what may be is a warning.
    account.assert_refused(&wanted, "/progress_deadline", "the rollout ends after 2m");
    wanted["progress_deadline"] = json!("5m10s");
    let planned = account.run("plan", &wanted);
    assert_eq!(planned.code, 0, "{planned:?}");
    assert!(planned.stdout.contains("may not become healthy within 8s"), "{planned:?}");
}

#[test]
fn unmanaged_instances_are_examined_too() {
    let Some(account) = account() else { return };
    let made = account.make("plain", json!({ "name": "web", "size": 2 }), times());
    let mut wanted = resource("-", "2");
    let attributes = wanted.as_object_mut().expect("attributes");
    attributes.remove("auto_scaling_group");
    wanted["health"]["healthy_timeout"] = json!("60s");
    wanted["target_group"] = json!({
        "arn": made["target_group_arns"][0],
        "launch_template": { "id": made["launch_template"], "version": "2" },
    });
    let before = account.get("plain/web");
    let (errors, _) = examine(&account, &wanted, 0);
    assert_eq!(errors, Vec::<Value>::new());
    assert_eq!(account.get("plain/web"), before);
    assert_eq!(account.timeline(), Vec::<Value>::new());
    account.put("faults", json!([{ "kind": "deny", "action": "ec2.CreateTags", "count": null }]));
    let (errors, _) = examine(&account, &wanted, 1);
    assert_finding(&errors, "", "CreateTags: UnauthorizedOperation");
}
