//! What the program needs to be allowed: `docs/iam-policy.json` has the calls that it makes, no
//! more and no fewer. (`emulator::Account` checks that no other test makes another one.)

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::emulator::{account, policy};
use crate::lab::instance_refresh;
use crate::lab::localstack::{bad, resource, times};
use crate::lab::promises::start;
use crate::process;

#[test]
fn the_policy_allows_what_is_called_and_nothing_else() {
    let Some(account) = account() else { return };
    let mut times = times();
    times["drain"] = json!(20);
    let fleet = json!({
        "name": "web", "size": 4, "min": 4, "max": 4, "versions": [null, "unhealthy", null],
    });
    let template = account.fleet(fleet, times);
    // A bad revision with an additional batch: borrowed, tagged, retained, and rolled back.
    let mut bad = bad(resource(&template, "2"));
    bad["policy"] = json!("RollingWithAdditionalBatch");
    bad["keep_failed_instances"] = json!(1);
    let ran = account.run("apply", &bad);
    assert_eq!(ran.code, 3, "{ran:?}");
    // Interrupted while a batch drains, which goes back into rotation.
    let document =
        json!({ "resource": { "rolling_deployment": { "web": resource(&template, "3") } } });
    let file = process::write(account.folder.path(), &document);
    let before = account.count("elbv2.DeregisterTargets");
    let mut running = account.rolling();
    let running = running.arg("apply").arg(file).stdout(Stdio::piped()).spawn().expect("a start");
    account.until_called("elbv2.DeregisterTargets", before + 1);
    process::signal(running.id(), "-INT");
    assert_eq!(running.wait_with_output().expect("an end").status.code(), Some(130));
    account.put("times", json!({ "drain": 1 }));
    let ran = account.run("apply", &resource(&template, "3"));
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut called = account.called();
    called.extend(group_with_more_to_it());
    called.extend(unmanaged_instances());
    called.extend(shifted_requests());
    called.extend(crate::lab::updates::called());
    called.extend(crate::lab::groups::called_for_an_image());
    called.extend(record_in_s3());
    called.extend(group_that_refreshes_itself());
    called.extend(crate::lab::beanstalk::called());
    assert_eq!(called, policy());
}

/// Returns the calls for a group with hooks to complete and a warm pool to refresh.
fn group_with_more_to_it() -> BTreeSet<String> {
    let Some(account) = account() else { return BTreeSet::new() };
    let hook = json!({
        "LifecycleHookName": "up", "HeartbeatTimeout": 600,
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
    });
    let pool = json!({ "MinSize": 1, "PoolState": "Running" });
    let fleet = json!({ "name": "web", "size": 1, "hooks": [hook], "warm_pool": pool });
    let mut wanted = resource(&account.fleet(fleet, times()), "2");
    wanted["lifecycle_hooks"] = json!("complete");
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    account.called()
}

/// Returns the calls for a group that carries out a refresh, which is cancelled and rolled back.
fn group_that_refreshes_itself() -> BTreeSet<String> {
    let Some(account) = account() else { return BTreeSet::new() };
    // Slow, lest it ends by itself before the command arrives, on a machine busy with other tests.
    let template = account.fleet(json!({ "name": "web", "size": 6 }), instance_refresh::slow());
    let mut wanted = resource(&template, "2");
    wanted["engine"] = json!("instance_refresh");
    wanted["health"] = json!({ "min_healthy_time": "2s" });
    for command in ["abort", "rollback"] {
        let begun = account.count("autoscaling.StartInstanceRefresh");
        let running = start(&account, &wanted);
        account.until_called("autoscaling.StartInstanceRefresh", begun + 1);
        let ran = account.run(command, &wanted);
        assert_eq!(ran.code, 0, "{ran:?}");
        process::end(running);
    }
    account.called()
}

fn unmanaged_instances() -> BTreeSet<String> {
    let Some(account) = account() else { return BTreeSet::new() };
    let made = account.make("plain", json!({ "name": "web", "size": 1 }), times());
    let template = made["launch_template"].as_str().expect("a template");
    let mut wanted = resource(template, "2");
    let group = wanted.as_object_mut().expect("attributes").remove("auto_scaling_group");
    wanted["target_group"] = json!({
        "arn": made["target_group_arns"][0],
        "launch_template": group.expect("a group")["launch_template"],
    });
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    account.called()
}

/// Returns the calls for alarms, and for requests that two kinds of rules shift.
fn shifted_requests() -> BTreeSet<String> {
    let Some(account) = account() else { return BTreeSet::new() };
    let fleet = json!({ "name": "web", "size": 1, "second_target_group": true, "rules": 1 });
    let made = account.make("fleet", fleet, times());
    let mut wanted = resource(made["launch_template"].as_str().expect("a template"), "2");
    let attributes = wanted.as_object_mut().expect("attributes");
    attributes.remove("batch_size");
    attributes.remove("batch_size_type");
    wanted["policy"] = json!("blue_green");
    wanted["traffic"] = json!({
        "second_target_group_arn": made["second_target_group_arn"],
        "listener_rule_arns": made["rule_arns"], "terminate_after": "0s",
    });
    wanted["gates"] = json!({ "alarms": ["none"] });
    // The call that would read the alarm reports that there is none.
    assert_eq!(account.run("apply", &wanted).code, 2);
    wanted.as_object_mut().expect("attributes").remove("gates");
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    account.called()
}

#[cfg(feature = "s3")]
fn record_in_s3() -> BTreeSet<String> {
    let Some(account) = account() else { return BTreeSet::new() };
    crate::lab::object::bucket(&account);
    let template = account.fleet(json!({ "name": "web", "size": 1 }), times());
    let wanted = crate::lab::object::recorded(&account, resource(&template, "2"));
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    account.called()
}

#[cfg(not(feature = "s3"))]
fn record_in_s3() -> BTreeSet<String> {
    BTreeSet::new()
}

#[test]
fn what_aws_asks_for_besides_has_its_source_and_is_told_when_it_is_missing() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect(path);
    let implied: Value = serde_json::from_str(&read("docs/iam-implied.json")).expect("JSON");
    let message = read("providers/aws/src/error.rs");
    for entry in implied["implied"].as_array().expect("entries") {
        let text = |name: &str| entry[name].as_str().expect("text").to_owned();
        assert!(policy().contains(&text("by")), "{entry}");
        assert!(text("source").starts_with("https://docs.aws.amazon.com/"), "{entry}");
        assert!(message.contains(&text("action")), "no remedy names {}", text("action"));
        assert!(!text("when").is_empty());
    }
    let actions: BTreeSet<String> = policy();
    assert!(actions.iter().all(|action| !action.contains('*')), "{actions:?}");
}
