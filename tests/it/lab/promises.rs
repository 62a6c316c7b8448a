//! The promises against AWS's APIs: rollback, kill -9, two engines, commands from outside, faults.

use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::emulator::{Account, account, three_at_once};
use crate::lab::localstack::{
    assert_as_before, assert_drained_before_terminated, bad, ids, least_serving, report, resource,
    ten, times,
};
use crate::process::{self, Ran, end};

fn lasting(kind: &str, action: &str, every: u32) -> Value {
    json!({ "kind": kind, "action": action, "count": null, "every": every })
}

/// Starts the program in the background, its events on a pipe.
pub fn start(account: &Account, resource: &Value) -> Child {
    let document = json!({ "resource": { "rolling_deployment": { "web": resource } } });
    let file = process::write(account.folder.path(), &document);
    account
        .rolling()
        .args(["apply", "--output", "json"])
        .arg(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

fn updated(group: &Value, revision: &str) -> usize {
    let instances = group["instances"].as_object().expect("instances").values();
    instances.filter(|i| i["revision"] == revision && i["lifecycle"] == "InService").count()
}

/// Kills a program with SIGKILL, and waits for it.
pub fn kill(mut child: Child) -> Ran {
    child.kill().expect("SIGKILL");
    end(child)
}

#[test]
fn a_bad_revision_rolls_back_to_the_last_completed_one_by_itself() {
    for (policy, floor) in
        [("rolling", 7), ("rolling_with_additional_batch", 10), ("immutable", 10)]
    {
        let Some(account) = account() else { return };
        let mut fleet = ten();
        fleet["max"] = json!(20);
        fleet["versions"] = json!([null, "unhealthy"]);
        let template = account.fleet(fleet, times());
        let before = account.get("groups/web");
        let mut wanted = bad(resource(&template, "2"));
        wanted["policy"] = json!(policy);
        if policy == "immutable" {
            for name in ["batch_size", "batch_size_type"] {
                wanted.as_object_mut().expect("attributes").remove(name);
            }
        }
        let ran = account.run("apply", &wanted);
        assert_eq!(ran.code, 3, "{ran:?}");
        let report = report(&ran);
        assert_eq!(report["outcome"], "rolled_back");
        let why = report["reason"].as_str().expect("a reason");
        assert!(why.contains("Health checks failed with these codes: [502]"), "{why}");
        assert_as_before(&account, &before, 10, &format!("{template}:1"));
        assert_eq!(account.get("groups/web")["template"], before["template"]);
        let timeline = account.timeline();
        assert!(least_serving(&before, &timeline) >= floor, "{policy}");
        assert_drained_before_terminated(&timeline);
    }
}

#[test]
fn a_failed_instance_is_kept_outside_the_group_to_be_looked_at() {
    let Some(account) = account() else { return };
    let mut fleet = ten();
    fleet["versions"] = json!([null, "unhealthy"]);
    let template = account.fleet(fleet, times());
    let before = account.get("groups/web");
    let mut wanted = bad(resource(&template, "2"));
    wanted["keep_failed_instances"] = json!(1);
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 3, "{ran:?}");
    let report = report(&ran);
    let retained = report["retained_failed"].as_array().expect("instances");
    assert_eq!(retained.len(), 1, "{report}");
    assert_as_before(&account, &before, 10, &format!("{template}:1"));
    let calls = account.calls();
    let named = |action: &str| {
        let call = calls.iter().rfind(|call| call["action"] == action);
        call.unwrap_or_else(|| panic!("no {action}"))["parameters"].to_string()
    };
    let id = retained[0].as_str().expect("an id");
    assert!(named("DetachInstances").contains(id));
    assert!(named("CreateTags").contains(id));
    assert!(account.get("groups/web")["instances"].get(id).is_none());
}

/// Where in a rollout to kill: once `action` has been called so many times.
pub type Moment = (&'static str, u64);

#[test]
fn kills_in_each_phase_each_followed_by_an_apply_leave_a_whole_fleet() {
    // After the lease and the record: surge is on its way, the first of the old are taken out, one
    // of a batch is gone, the last batch is under way, everything is put back, the record is
    // removed. (`fast::crash` kills at every mutation, on virtual time; here the system kills a
    // process.)
    let moments: [Moment; 7] = [
        ("autoscaling.CreateOrUpdateTags", 2),
        ("autoscaling.UpdateAutoScalingGroup", 1),
        ("elbv2.DeregisterTargets", 1),
        ("autoscaling.TerminateInstanceInAutoScalingGroup", 2),
        ("autoscaling.TerminateInstanceInAutoScalingGroup", 9),
        ("autoscaling.ResumeProcesses", 1),
        ("autoscaling.DeleteTags", 1),
    ];
    three_at_once(moments, kill_and_apply);
}

/// Starts a rollout, kills it at this moment, and returns a description. Only a rollout that erases
/// its record may have ended before.
pub fn killed_at(account: &Account, wanted: &Value, moment: Moment) -> String {
    if moment.0 == "autoscaling.ResumeProcesses" {
        // It would be over a moment later: what erases the record has to be retried.
        let throttled = |action| json!({ "kind": "throttle", "action": action, "count": null });
        account.put(
            "faults",
            json!([throttled("autoscaling.DeleteTags"), throttled("s3.DeleteObject")]),
        );
    }
    let child = start(account, wanted);
    account.until_called(moment.0, moment.1);
    let code = kill(child).code;
    account.put("faults", json!([]));
    let ends = ["autoscaling.DeleteTags", "elbv2.RemoveTags", "s3.DeleteObject"];
    assert!(code == -1 || ends.contains(&moment.0), "{moment:?}: it had ended with {code}");
    format!("killed after {moment:?} ({code})")
}

fn kill_and_apply(moment: Moment) {
    let Some(account) = account() else { return };
    let fleet = json!({ "name": "web", "size": 12, "min": 2, "max": 12 });
    let template = account.fleet(fleet, times());
    let before = account.get("groups/web");
    let mut wanted = resource(&template, "2");
    wanted["policy"] = json!("rolling_with_additional_batch");
    wanted["batch_size_type"] = json!("fixed");
    wanted["batch_size"] = json!(4);
    let when = killed_at(&account, &wanted, moment);
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{when}: {ran:?}");
    assert_as_before(&account, &before, 12, &format!("{template}:2"));
    let group = account.get("groups/web");
    assert_eq!(updated(&group, &format!("{template}:2")), 12, "{when}");
    let healthy = group["targets"]["web"].as_object().expect("targets").values();
    assert_eq!(healthy.filter(|state| *state == "healthy").count(), 12, "{when}");
    let timeline = account.timeline();
    assert_eq!(ids(&timeline, "launched").len(), 12, "{when}: no launch too many");
    assert!(least_serving(&before, &timeline) >= 12, "{when}");
}

#[test]
fn of_two_engines_at_once_the_second_leaves_and_names_the_first() {
    let Some(account) = account() else { return };
    let slow = json!({ "boot": 3.0, "register": 1.0 });
    let template = account.fleet(json!({ "name": "web", "size": 4, "max": 4 }), slow);
    let before = account.get("groups/web");
    let wanted = resource(&template, "2");
    let first = start(&account, &wanted);
    account.until_called("elbv2.DeregisterTargets", 1);
    let second = account.run("apply", &wanted);
    assert_eq!(second.code, 5, "{second:?}");
    let report = report(&second);
    assert_eq!(report["outcome"], "locked");
    let why = report["reason"].as_str().expect("a reason");
    let owner = format!("/{}.", first.id());
    assert!(why.contains(&owner), "{why} names {owner}");
    let first = end(first);
    assert_eq!(first.code, 0, "{first:?}");
    assert_as_before(&account, &before, 4, &format!("{template}:2"));
}

#[test]
fn an_apply_that_supersedes_stops_the_engine_at_work_and_takes_its_place() {
    let Some(account) = account() else { return };
    let fleet = json!({ "name": "web", "size": 4, "max": 4, "versions": [null, null, null] });
    let template = account.fleet(fleet, times());
    let before = account.get("groups/web");
    let first = start(&account, &resource(&template, "2"));
    account.until_called("elbv2.DeregisterTargets", 1);
    let wanted = resource(&template, "3");
    let document = json!({ "resource": { "rolling_deployment": { "web": wanted } } });
    let file = account.folder.path().join("third.json");
    std::fs::write(&file, document.to_string()).expect("a document");
    let mut apply = account.rolling();
    let second = process::run(apply.args(["apply", "--supersede", "--output", "json"]).arg(file));
    assert_eq!(second.code, 0, "{second:?}");
    let first = end(first);
    assert_ne!(first.code, 0, "{first:?}");
    assert_eq!(report(&first)["cause"], "superseded");
    assert_as_before(&account, &before, 4, &format!("{template}:3"));
    let timeline = account.timeline();
    assert_drained_before_terminated(&timeline);
    assert!(least_serving(&before, &timeline) >= 3, "across both rollouts");
}

/// Writes a tag of the group, as somebody else would.
fn tag(account: &Account, key: &str, value: &str) {
    let credential = format!("{}/20260101/us-east-1/autoscaling/aws4_request", account.id);
    let signed =
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0000");
    let form = [
        ("Action", "CreateOrUpdateTags"),
        ("Version", "2011-01-01"),
        ("Tags.member.1.ResourceId", "web"),
        ("Tags.member.1.ResourceType", "auto-scaling-group"),
        ("Tags.member.1.Key", key),
        ("Tags.member.1.Value", value),
        ("Tags.member.1.PropagateAtLaunch", "false"),
    ];
    ureq::post(account.endpoint)
        .header("Authorization", signed)
        .send_form(form)
        .expect("the tag is written");
}

#[test]
fn a_dead_engine_is_succeeded_at_once_on_its_host_and_after_a_watch_elsewhere() {
    for elsewhere in [false, true] {
        let Some(account) = account() else { return };
        let template = account.fleet(json!({ "name": "web", "size": 4, "max": 4 }), times());
        let before = account.get("groups/web");
        let wanted = resource(&template, "2");
        let child = start(&account, &wanted);
        account.until_called("elbv2.DeregisterTargets", 1);
        kill(child);
        if elsewhere {
            let lease = account.get("groups/web")["tags"]["rolling:lease"].to_string();
            assert!(lease.contains("owner="), "{lease}");
            tag(&account, "rolling:lease", "v=2 owner=another-host/7.1.00000000 counter=3");
        }
        let begin = account.now();
        let ran = account.run("apply", &wanted);
        let took = account.now() - begin;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(!elsewhere || took >= Duration::from_secs(35), "{took:?}");
        assert_as_before(&account, &before, 4, &format!("{template}:2"));
        let waited = ran.stdout.contains("another-host/7.1.00000000");
        assert_eq!(waited, elsewhere, "it names the owner that it watches: {}", ran.stdout);
    }
}

/// Long enough for a signal or a command to come before an instance is terminated.
fn slow_drain() -> Value {
    let mut times = times();
    times["drain"] = json!(20);
    times
}

#[test]
fn status_and_abort_work_while_somebody_has_suspended_launches() {
    let Some(account) = account() else { return };
    let template = account.fleet(json!({ "name": "web", "size": 4, "max": 4 }), slow_drain());
    let before = account.get("groups/web");
    let wanted = resource(&template, "2");
    let child = start(&account, &wanted);
    account.until_called("elbv2.DeregisterTargets", 1);
    kill(child);
    account.query(
        "autoscaling",
        "Version=2011-01-01&Action=SuspendProcesses&AutoScalingGroupName=web\
         &ScalingProcesses.member.1=Launch",
    );
    let refused = account.run("apply", &wanted);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stdout.contains("has suspended Launch, without which"), "{refused:?}");
    let status = account.run("status", &wanted);
    assert_eq!(status.lines()[0]["resources"][0]["status"], "rolling", "{status:?}");
    let paused = account.run("pause", &wanted);
    assert_eq!(paused.code, 0, "{paused:?}");
    assert_eq!(account.run("apply", &wanted).code, 4, "to apply again does not resume it");
    let refused = account.run("resume", &wanted);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stdout.contains("has suspended Launch, without which"), "{refused:?}");
    let aborted = account.run("abort", &wanted);
    assert_eq!(aborted.code, 0, "{aborted:?}");
    let after = account.get("groups/web");
    assert_eq!(after["suspended"], json!(["Launch"]), "what is not ours stays");
    assert_eq!(after["template"], before["template"]);
    let targets = after["targets"]["web"].as_object().expect("targets");
    assert_eq!(targets.len(), 4, "{after}");
    assert!(targets.values().all(|state| state != "draining"), "{after}");
}

#[test]
fn storms_of_faults_and_lagging_reads_change_nothing_about_the_outcome() {
    let storms = [
        ("throttling", json!([lasting("throttle", "*", 5)])),
        ("errors", json!([lasting("error", "*", 5)])),
        ("lost requests", json!([lasting("drop_before", "*", 5)])),
        ("lost answers", json!([lasting("drop_after", "*", 5)])),
        ("lag", json!([{ "kind": "lag", "seconds": 3 }])),
    ];
    std::thread::scope(|scope| {
        for (name, faults) in storms {
            scope.spawn(move || {
                let Some(account) = account() else { return };
                let template = account.fleet(ten(), times());
                let before = account.get("groups/web");
                let mut wanted = resource(&template, "2");
                wanted["policy"] = json!("rolling_with_additional_batch");
                wanted["health"]["healthy_timeout"] = json!("120s");
                account.put("faults", faults);
                let ran = account.run("apply", &wanted);
                assert_eq!(ran.code, 0, "{name}: {ran:?}");
                assert_as_before(&account, &before, 10, &format!("{template}:2"));
                let timeline = account.timeline();
                assert_eq!(ids(&timeline, "launched").len(), 10, "{name}");
                assert!(least_serving(&before, &timeline) >= 10, "{name}");
            });
        }
    });
}

#[test]
fn pause_resume_abort_and_rollback_from_another_process() {
    let Some(account) = account() else { return };
    let slow = json!({ "boot": 5, "register": 0.5 });
    let template = account.fleet(ten(), slow);
    let before = account.get("groups/web");
    let wanted = resource(&template, "2");
    let new = format!("{template}:2");
    let at_work = start(&account, &wanted);
    account.until("groups/web", "a new instance", |group| updated(group, &new) > 0);
    let reply = account.run("pause", &wanted);
    assert_eq!(reply.code, 0, "{reply:?}");
    assert!(reply.stdout.contains("acknowledged by"), "{reply:?}");
    let ended = end(at_work);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert_eq!(report(&ended)["outcome"], "paused");
    let paused = account.get("groups/web");
    assert_eq!(paused["suspended"], json!([]));
    assert!(paused["tags"].get("rolling:lease").is_none());
    let status = account.run("status", &wanted);
    assert!(status.stdout.contains("\"status\":\"paused\""), "{status:?}");
    let again = account.run("apply", &wanted);
    assert_eq!(again.code, 4, "to apply again does not resume it: {again:?}");
    let resumed = account.run("resume", &wanted);
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert_as_before(&account, &before, 10, &new);
    let idle = account.run("abort", &wanted);
    assert_eq!((idle.code, idle.stdout.contains("no rollout")), (0, true), "{idle:?}");

    // Back again, by abort and by rollback.
    for (command, code, outcome) in [("abort", 4, "aborted"), ("rollback", 3, "rolled_back")] {
        let back = resource(&template, "1");
        let at_work = start(&account, &back);
        let old = format!("{template}:1");
        account.until("groups/web", "an old instance", |group| updated(group, &old) > 0);
        let reply = account.run(command, &back);
        assert_eq!(reply.code, 0, "{reply:?}");
        let ended = end(at_work);
        assert_eq!(ended.code, code, "{ended:?}");
        assert_eq!(report(&ended)["outcome"], outcome);
        let finished = account.run("apply", &wanted);
        assert_eq!(finished.code, 0, "{finished:?}");
        assert_as_before(&account, &before, 10, &new);
    }
}
