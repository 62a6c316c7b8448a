//! The record and the lease in an S3 object, on LocalStack: two engines never overlap.

use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::emulator::{Account, account, three_at_once};
use crate::lab::localstack::{
    LOOK, assert_as_before, ids, least_serving, report, resource, ten, times,
};
use crate::lab::promises::{killed_at, start};
use crate::process::{self, end, signal};

const KEY: &str = "rolling/web.json";
/// Calls that would change the target's tags.
const TAGGING: [&str; 4] = [
    "autoscaling.CreateOrUpdateTags",
    "autoscaling.DeleteTags",
    "elbv2.AddTags",
    "elbv2.RemoveTags",
];

/// Sends a request to S3, as somebody else would, and returns the answer.
fn s3(account: &Account, method: &str, path: &str, body: &str) -> (u16, String) {
    let credential = format!("{}/20260101/us-east-1/s3/aws4_request", account.id);
    let signed =
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0000");
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{}/{path}", account.endpoint))
        .header("Authorization", signed)
        .body(body.to_owned())
        .expect("a request");
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = agent.run(request).expect("S3 answers");
    let reply = answer.body_mut().read_to_string().expect("text");
    (answer.status().as_u16(), reply)
}

/// Makes a bucket of this account's own; all accounts share one set of names.
pub fn bucket(account: &Account) -> String {
    let name = format!("rolling-{}", account.id);
    assert_eq!(s3(account, "PUT", &name, "").0, 200);
    name
}

fn object(account: &Account) -> Option<Value> {
    let (status, reply) = s3(account, "GET", &format!("rolling-{}/{KEY}", account.id), "");
    (status == 200).then(|| serde_json::from_str(&reply).expect("JSON"))
}

/// Waits until `fact` holds for the object.
fn until(account: &Account, what: &str, fact: impl Fn(Option<Value>) -> bool) {
    process::until(what, || fact(object(account)));
}

/// Returns `wanted` with its record in the object.
pub fn recorded(account: &Account, mut wanted: Value) -> Value {
    let bucket = format!("rolling-{}", account.id);
    wanted["record"] = json!({ "s3": { "bucket": bucket, "key": KEY } });
    wanted
}

/// Makes a group of `size`, and returns it with its deployment, in batches of 30 percent.
fn group(account: &Account, size: u32, times: Value) -> (Value, Value) {
    bucket(account);
    let fleet = json!({ "name": "web", "size": size, "max": size });
    let template = account.fleet(fleet, times);
    // The test reads the object, too.
    account.shared();
    (account.get("groups/web"), recorded(account, resource(&template, "2")))
}

fn revision(wanted: &Value) -> String {
    let template = wanted["auto_scaling_group"]["launch_template"]["id"].as_str();
    format!("{}:2", template.expect("a template"))
}

fn assert_untagged(account: &Account) {
    for action in TAGGING {
        assert_eq!(account.count(action), 0, "{action}");
    }
    assert_eq!(object(account), None, "a finished rollout leaves nothing behind");
}

fn slow() -> Value {
    json!({ "boot": 3.0, "register": 1.0 })
}

#[test]
fn a_group_is_rolled_without_a_tag_on_it_and_the_object_is_gone_afterwards() {
    let Some(account) = account() else { return };
    bucket(&account);
    let template = account.fleet(ten(), times());
    let before = account.get("groups/web");
    let wanted = recorded(&account, resource(&template, "2"));
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_as_before(&account, &before, 10, &format!("{template}:2"));
    let timeline = account.timeline();
    assert_eq!(ids(&timeline, "launched").len(), 10);
    assert!(least_serving(&before, &timeline) >= 7);
    // A look makes one call more than with tags, whatever the size.
    let ticks = report(&ran)["ticks"].as_u64().expect("ticks");
    assert_eq!(account.count("s3.GetObject"), ticks);
    let called = account.called();
    for action in ["GetObject", "PutObject", "DeleteObject"] {
        assert!(called.contains(&format!("s3:{action}")), "{called:?}");
    }
    account.shared();
    assert_untagged(&account);
    let again = account.run("apply", &wanted);
    assert_eq!((again.code, account.count("s3.DeleteObject")), (0, 1), "{again:?}");
}

#[test]
fn unmanaged_instances_are_rolled_without_a_tag_on_their_target_group() {
    let Some(account) = account() else { return };
    bucket(&account);
    let fleet = json!({ "name": "web", "size": 4, "versions": [null, null] });
    let made = account.make("plain", fleet, times());
    let mut wanted = resource("-", "2");
    wanted.as_object_mut().expect("attributes").remove("auto_scaling_group");
    wanted["target_group"] = json!({
        "arn": made["target_group_arns"][0],
        "launch_template": { "id": made["launch_template"], "version": "2" },
    });
    let before = account.get("plain/web")["tags"].clone();
    let ran = account.run("apply", &recorded(&account, wanted));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ids(&account.timeline(), "launched").len(), 4);
    assert_eq!(account.get("plain/web")["tags"], before);
    account.shared();
    assert_untagged(&account);
}

#[test]
fn of_two_engines_started_at_the_same_moment_exactly_one_wins_ten_times() {
    three_at_once(0..10, |_| two_at_once());
}

fn two_at_once() {
    let Some(account) = account() else { return };
    let (before, wanted) = group(&account, 4, slow());
    let document = json!({ "resource": { "rolling_deployment": { "web": wanted } } });
    let file = process::write(account.folder.path(), &document);
    let start = || {
        let mut command = account.rolling();
        let command = command.args(["apply", "--output", "json"]).arg(&file);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a start")
    };
    let both: [Child; 2] = [start(), start()];
    let pids = both.each_ref().map(Child::id);
    let [one, two] = both.map(end);
    let (winner, loser, pid) =
        if one.code == 0 { (one, two, pids[0]) } else { (two, one, pids[1]) };
    assert_eq!((winner.code, loser.code), (0, 5), "{winner:?} {loser:?}");
    let why = report(&loser)["reason"].as_str().expect("a reason").to_owned();
    assert!(why.contains(&format!("/{pid}.")), "{why} names {pid}");
    let acted = loser.lines().iter().any(|line| line["event"]["type"] == "acted");
    assert!(!acted, "the loser does nothing: {loser:?}");
    assert_as_before(&account, &before, 4, &revision(&wanted));
    assert_eq!(ids(&account.timeline(), "launched").len(), 4);
    assert_eq!(account.count("elbv2.DeregisterTargets"), 4, "each batch once");
    assert_untagged(&account);
}

#[test]
fn killed_in_the_middle_and_applied_again_it_ends_the_same() {
    // After the lease and the record: surge is on its way, an instance is taken out, is gone, the
    // last is gone, everything is put back, the object is deleted.
    let moments = [
        ("s3.PutObject", 2),
        ("autoscaling.UpdateAutoScalingGroup", 1),
        ("elbv2.DeregisterTargets", 1),
        ("autoscaling.TerminateInstanceInAutoScalingGroup", 3),
        ("autoscaling.ResumeProcesses", 1),
        ("s3.DeleteObject", 1),
    ];
    three_at_once(moments, |moment| {
        let Some(account) = account() else { return };
        let (before, mut wanted) = group(&account, 6, times());
        wanted["policy"] = json!("rolling_with_additional_batch");
        let when = killed_at(&account, &wanted, moment);
        let ran = account.run("apply", &wanted);
        assert_eq!(ran.code, 0, "{when}: {ran:?}");
        assert_as_before(&account, &before, 6, &revision(&wanted));
        assert_eq!(ids(&account.timeline(), "launched").len(), 6, "{when}");
        assert_untagged(&account);
    });
}

#[test]
fn pause_resume_and_abort_reach_it_through_the_object() {
    let Some(account) = account() else { return };
    let (before, wanted) = group(&account, 4, slow());
    let at_work = start(&account, &wanted);
    account.until_called("elbv2.DeregisterTargets", 1);
    let reply = account.run("pause", &wanted);
    assert!(reply.code == 0 && reply.stdout.contains("acknowledged by"), "{reply:?}");
    let ended = end(at_work);
    assert_eq!((ended.code, &report(&ended)["outcome"]), (4, &json!("paused")), "{ended:?}");
    let left = object(&account).expect("the record of a paused rollout");
    assert!(left["tags"]["rolling:progress"].to_string().contains("phase=paused"), "{left}");
    assert!(left["tags"].get("rolling:lease").is_none(), "{left}");
    let status = account.run("status", &wanted);
    assert!(status.stdout.contains("\"status\":\"paused\""), "{status:?}");

    let document = json!({ "resource": { "rolling_deployment": { "web": wanted } } });
    let file = process::write(account.folder.path(), &document);
    let mut resumed = account.rolling();
    let resumed = resumed.args(["resume", "--output", "json"]).arg(&file);
    let resumed = resumed.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a start");
    let deregistered = account.count("elbv2.DeregisterTargets");
    account.until_called("elbv2.DeregisterTargets", deregistered + 1);
    let reply = account.run("abort", &wanted);
    // Where nothing was replaced yet the record is removed, too, maybe before it is looked at.
    let acknowledged = ["acknowledged by", "has ended the rollout in the meantime"];
    assert!(
        reply.code == 0 && acknowledged.iter().any(|message| reply.stdout.contains(message)),
        "{reply:?}"
    );
    let ended = end(resumed);
    assert_eq!(ended.code, 4, "{ended:?}");
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_as_before(&account, &before, 4, &revision(&wanted));
    assert_untagged(&account);
}

#[test]
fn an_engine_that_wakes_up_after_it_was_succeeded_does_nothing_more() {
    std::thread::scope(|scope| {
        for when_done in [false, true] {
            scope.spawn(move || {
                let Some(account) = account() else { return };
                let mut slow = slow();
                slow["drain"] = json!(15);
                let (before, wanted) = group(&account, 4, slow);
                let old = start(&account, &wanted);
                account.until_called("elbv2.DeregisterTargets", 2);
                // What it does at this moment is done and reported when it has looked again; while
                // they drain there is nothing more to do.
                let looks = account.count(LOOK);
                account.until_called(LOOK, looks + 2);
                signal(old.id(), "-STOP");
                account.put("times", json!({ "drain": 1 }));
                let stopped = account.now();
                let new = start(&account, &wanted);
                let mine = format!("/{}.", new.id());
                until(&account, "the lease is taken over", |object| {
                    object.is_some_and(|it| it["tags"]["rolling:lease"].to_string().contains(&mine))
                });
                let new = if when_done { Err(end(new)) } else { Ok(new) };
                signal(old.id(), "-CONT");
                let old = end(old);
                assert_eq!(old.code, 5, "{old:?}");
                let late: Vec<Value> = old
                    .lines()
                    .into_iter()
                    .filter(|line| {
                        let at = line["at"].as_u64().expect("a time");
                        line["event"]["type"] == "acted"
                            && u128::from(at) > stopped.as_millis() + 500
                    })
                    .collect();
                assert_eq!(late, Vec::<Value>::new());
                let new = new.map_or_else(|ended| ended, end);
                assert_eq!(new.code, 0, "{new:?}");
                assert_as_before(&account, &before, 4, &revision(&wanted));
                assert_eq!(ids(&account.timeline(), "launched").len(), 4);
                assert_untagged(&account);
            });
        }
    });
}

#[test]
fn faults_of_s3_change_nothing_about_the_outcome() {
    std::thread::scope(|scope| {
        // Not every second call, since looks and writes take turns.
        for (kind, action, count, every) in [
            ("throttle", "s3.*", None, 3),
            ("error", "s3.*", None, 3),
            ("drop_before", "s3.PutObject", None, 2),
            ("drop_after", "s3.PutObject", None, 2),
            ("drop_after", "s3.DeleteObject", Some(2), 1),
        ] {
            scope.spawn(move || {
                let Some(account) = account() else { return };
                let (before, mut wanted) = group(&account, 6, times());
                wanted["policy"] = json!("rolling_with_additional_batch");
                let fault =
                    json!({ "kind": kind, "action": action, "count": count, "every": every });
                account.put("faults", json!([fault]));
                let ran = account.run("apply", &wanted);
                account.put("faults", json!([]));
                assert_eq!(ran.code, 0, "{kind} {action}: {ran:?}");
                assert_as_before(&account, &before, 6, &revision(&wanted));
                assert_eq!(ids(&account.timeline(), "launched").len(), 6, "{kind} {action}");
                assert_untagged(&account);
            });
        }
    });
}

#[test]
fn what_is_no_record_of_this_target_is_refused_with_a_way_out() {
    let Some(account) = account() else { return };
    let (_, wanted) = group(&account, 1, times());
    let path = format!("rolling-{}/{KEY}", account.id);
    let refused = |wanted: &Value, place: &str, message: &str| {
        for command in ["plan", "apply", "doctor"] {
            let ran = account.run(command, wanted);
            let output = format!("{}{}", ran.stdout, ran.stderr);
            assert!(ran.code == 2 || (command == "doctor" && ran.code == 1), "{ran:?}");
            let place = format!("/resource/rolling_deployment/web/{place}\"");
            assert!(output.contains(&place) && output.contains(message), "{command}: {output}");
            assert!(output.contains("\"remedy\":\""), "{output}");
        }
    };
    for (body, place, message) in [
        ("", "record/s3/key", "it is not JSON"),
        ("{}", "record/s3/key", "its version is null"),
        (r#"{"version":2}"#, "record/s3/key", "its version is 2"),
        (r#"{"version":1,"target":"arn:other"}"#, "record/s3/key", "holds the record of arn:other"),
    ] {
        assert_eq!(s3(&account, "PUT", &path, body).0, 200);
        refused(&wanted, place, message);
    }
    s3(&account, "DELETE", &path, "");
    let mut nowhere = wanted.clone();
    nowhere["record"]["s3"]["bucket"] = json!("rolling-is-not-there");
    refused(&nowhere, "record/s3/bucket", "NoSuchBucket");
    for (action, message) in [
        ("s3.GetObject", "s3:ListBucket"),
        ("s3.PutObject", "s3:PutObject"),
        ("s3.DeleteObject", "s3:DeleteObject"),
    ] {
        let fault = json!({ "kind": "deny", "action": action, "count": null });
        account.put("faults", json!([fault]));
        let ran = account.run("doctor", &wanted);
        assert!(ran.code == 1 && ran.stdout.contains(message), "{ran:?}");
    }
    account.put("faults", json!([]));
    let healthy = account.run("doctor", &wanted);
    assert_eq!(healthy.code, 0, "{healthy:?}");
    assert!(!healthy.stdout.contains("CreateOrUpdateTags"), "{healthy:?}");
    assert_eq!(object(&account), None, "doctor writes nothing");
    assert_eq!(account.timeline(), Vec::<Value>::new());
}

#[test]
fn a_rollout_that_is_recorded_in_tags_is_not_taken_up_in_an_object() {
    let Some(account) = account() else { return };
    let (before, wanted) = group(&account, 4, slow());
    let mut tagged = wanted.clone();
    tagged.as_object_mut().expect("attributes").remove("record");
    let at_work = start(&account, &tagged);
    account.until_called("elbv2.DeregisterTargets", 1);
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 2, "{ran:?}");
    let output = format!("{}{}", ran.stdout, ran.stderr);
    assert!(output.contains("is recorded in the target's tags"), "{output}");
    assert!(output.contains("/resource/rolling_deployment/web/record\""), "{output}");
    assert_eq!(end(at_work).code, 0);
    assert_as_before(&account, &before, 4, &revision(&wanted));
}
