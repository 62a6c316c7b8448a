//! Rollouts that end early: bad revisions, and an interrupt.

use serde_json::{Value, json};

use super::{assert_as_before, bad, least_serving, report, resource, ten, times};
use crate::emulator::account;
use crate::process;

/// Checks that a rollout of a bad revision ends in time with exit code 1, keeps the floor, puts
/// everything back and reports `reason`.
fn assert_fails(behaviour: &str, fleet: Value, policy: &str, floor: usize, reason: &str) {
    let Some(account) = account() else { return };
    let mut fleet = fleet;
    fleet["versions"] = json!([null, behaviour]);
    let mut times = times();
    // Slow enough for every look to notice it, and shorter than the soak.
    times["flap"] = json!(2.5);
    let template = account.fleet(fleet, times);
    let before = account.get("groups/web");
    let mut wanted = bad(resource(&template, "2"));
    wanted["health"]["min_healthy_time"] = json!("5s");
    wanted["policy"] = json!(policy);
    wanted["on_failure"] = json!("stop");
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 1, "{ran:?}");
    let report = report(&ran);
    assert_eq!(report["outcome"], "failed");
    let why = report["reason"].as_str().expect("a reason");
    assert!(why.contains(reason), "{why}");
    assert!(report["elapsed_ms"].as_u64().expect("a time") < 80_000, "{report}");
    assert_eq!(report["borrowed"], json!([]));
    assert!(least_serving(&before, &account.timeline()) >= floor);
    let after = account.get("groups/web");
    for what in ["min", "max", "desired", "suspended"] {
        assert_eq!(after[what], before[what], "{what}");
    }
    assert_eq!(
        after["template"]["Version"], "1",
        "the group's own replacements run the old version"
    );
    let targets = after["targets"]["web"].as_object().expect("targets");
    let old = after["instances"].as_object().expect("instances").iter();
    for (id, _) in old.filter(|(_, i)| i["revision"] == json!(format!("{template}:1"))) {
        assert_ne!(targets.get(id), Some(&json!("draining")), "{id}");
    }
}

#[test]
fn a_revision_that_never_becomes_healthy_fails_in_time_with_the_load_balancers_reason() {
    let message = "Target.ResponseCodeMismatch: Health checks failed with these codes: [502]";
    assert_fails("unhealthy", ten(), "rolling", 7, message);
    assert_fails("unhealthy", ten(), "rolling_with_additional_batch", 10, message);
}

#[test]
fn a_revision_that_its_own_group_removes_fails_with_the_groups_reason() {
    let mut fleet = ten();
    fleet["health_check_type"] = json!("ELB");
    assert_fails("unhealthy", fleet, "rolling", 7, "ELB system health check failure");
}

#[test]
fn a_revision_that_hangs_or_flaps_fails_in_time() {
    assert_fails("hang", ten(), "rolling", 7, "still pending");
    assert_fails("flap", ten(), "rolling", 7, "Target.ResponseCodeMismatch");
}

#[test]
fn a_revision_that_cannot_be_launched_fails_with_the_scaling_activitys_cause() {
    assert_fails("fail-launch", ten(), "rolling", 7, "InsufficientInstanceCapacity");
}

#[test]
fn an_interrupt_leaves_nothing_suspended_or_draining_and_a_later_apply_finishes() {
    let Some(account) = account() else { return };
    let template = account.fleet(ten(), json!({ "boot": 0.5, "register": 0.3, "drain": 20 }));
    let before = account.get("groups/web");
    let document =
        json!({ "resource": { "rolling_deployment": { "web": resource(&template, "2") } } });
    let file = process::write(account.folder.path(), &document);
    let child = account
        .rolling()
        .arg("apply")
        .arg(file)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    // The first batch is draining by the time its deregistration is in the log.
    account.until_called("elbv2.DeregisterTargets", 1);
    process::signal(child.id(), "-INT");
    let done = child.wait_with_output().expect("an end");
    assert_eq!(done.status.code(), Some(130));
    let reply = String::from_utf8(done.stdout).expect("UTF-8");
    assert!(reply.contains("run apply again to finish"), "{reply}");
    let after = account.get("groups/web");
    assert_eq!(after["suspended"], json!([]));
    assert_eq!(after["template"]["Version"], "1");
    let targets = after["targets"]["web"].as_object().expect("targets");
    assert_eq!(targets.len(), 10);
    assert!(targets.values().all(|state| state == "healthy"), "{targets:?}");

    account.put("times", json!({ "drain": 1 }));
    let ran = account.run("apply", &resource(&template, "2"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_as_before(&account, &before, 10, &format!("{template}:2"));
}
