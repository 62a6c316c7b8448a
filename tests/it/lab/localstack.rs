//! The main job on a real AWS API: LocalStack.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::emulator::{Account, account};
use crate::process::{self, Ran};

/// What every look calls.
pub const LOOK: &str = "autoscaling.DescribeAutoScalingGroups";

/// Times of the lab, in seconds.
pub fn times() -> Value {
    json!({ "boot": 0.8, "register": 0.5 })
}

/// Its deadline is one that a machine full of other tests keeps.
pub fn resource(template: &str, version: &str) -> Value {
    json!({
        "policy": "rolling", "batch_size_type": "percentage", "batch_size": 30,
        "poll_interval": "500ms",
        "health": { "min_healthy_time": "300ms", "healthy_timeout": "60s" },
        "auto_scaling_group": {
            "name": "web", "launch_template": { "id": template, "version": version },
        },
    })
}

/// `resource` where its revision is a bad one, which is found out in time for a test. What goes
/// back has the same deadline.
pub fn bad(mut resource: Value) -> Value {
    resource["health"]["healthy_timeout"] = json!("30s");
    resource
}

pub fn ten() -> Value {
    json!({ "name": "web", "size": 10, "min": 2, "max": 12 })
}

fn events(ran: &Ran) -> Vec<Value> {
    ran.lines().into_iter().map(|line| line["event"].clone()).collect()
}

fn batches(ran: &Ran) -> Vec<usize> {
    let events = events(ran);
    let begun = events.iter().filter(|event| event["type"] == "batch_started");
    begun.map(|event| event["instances"].as_array().expect("instances").len()).collect()
}

pub fn report(ran: &Ran) -> Value {
    let events = events(ran);
    let last = events.last().unwrap_or_else(|| panic!("no events: {ran:?}"));
    assert_eq!(last["type"], "finished", "{ran:?}");
    last["report"].clone()
}

/// The fewest instances that were healthy in every target group at any moment of the timeline.
/// `group` is the group before anything happened.
pub fn least_serving(group: &Value, timeline: &[Value]) -> usize {
    let targets = group["targets"].as_object().expect("targets");
    let mut healthy: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, listed) in targets {
        for id in listed.as_object().expect("ids").keys() {
            healthy.entry(id.clone()).or_default().insert(name.clone());
        }
    }
    let serving = |healthy: &BTreeMap<String, BTreeSet<String>>| {
        healthy.values().filter(|groups| groups.len() == targets.len()).count()
    };
    let mut least = serving(&healthy);
    for event in timeline {
        let id = event["instance"].as_str().expect("an id").to_owned();
        let name = event["target_group"].as_str().unwrap_or_default();
        let groups = healthy.entry(id).or_default();
        match event["kind"].as_str().expect("a kind") {
            "healthy" => drop(groups.insert(name.to_owned())),
            "unhealthy" | "draining" => drop(groups.remove(name)),
            "terminating" => groups.clear(),
            _ => {}
        }
        least = least.min(serving(&healthy));
    }
    least
}

/// When `kind` happened to `id`, if it did.
fn moment(timeline: &[Value], id: &str, kind: &str) -> Option<f64> {
    let event = timeline.iter().find(|event| event["instance"] == id && event["kind"] == kind);
    event.and_then(|event| event["at"].as_f64())
}

pub fn ids(timeline: &[Value], kind: &str) -> Vec<String> {
    let events = timeline.iter().filter(|event| event["kind"] == kind);
    events.map(|event| event["instance"].as_str().expect("an id").to_owned()).collect()
}

/// Every instance is on `revision` and in service, and the group is as it was `before`, apart
/// from its template.
pub fn assert_as_before(account: &Account, before: &Value, size: usize, revision: &str) {
    let after = account.get("groups/web");
    for what in ["min", "max", "desired", "suspended", "tags"] {
        assert_eq!(after[what], before[what], "{what}");
    }
    let instances = after["instances"].as_object().expect("instances");
    let live: Vec<&Value> =
        instances.values().filter(|instance| instance["lifecycle"] == "InService").collect();
    assert_eq!(live.len(), size, "{instances:?}");
    assert!(live.iter().all(|instance| instance["revision"] == revision), "{live:?}");
}

pub fn assert_drained_before_terminated(timeline: &[Value]) {
    for id in ids(timeline, "terminating") {
        let at = |kind| moment(timeline, &id, kind).unwrap_or_else(|| panic!("{id} never {kind}"));
        assert!(at("draining") < at("deregistered"), "{id}");
        assert!(at("deregistered") <= at("terminating"), "{id}");
    }
}

#[test]
fn thirty_percent_of_ten_are_rolled_in_four_batches_and_nothing_stays_changed() {
    let Some(account) = account() else { return };
    let template = account.fleet(ten(), times());
    let before = account.get("groups/web");
    let ran = account.run("apply", &resource(&template, "2"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(batches(&ran), [3, 3, 3, 1]);

    let timeline = account.timeline();
    assert_eq!(ids(&timeline, "terminating").len(), 10);
    assert_drained_before_terminated(&timeline);
    assert!(least_serving(&before, &timeline) >= 7);
    assert_as_before(&account, &before, 10, &format!("{template}:2"));

    // The same by the log of calls: asked to deregister at least the delay of 1 s beforehand. (A
    // call is in the log a moment after it has begun.)
    let calls = account.calls();
    let at = |call: &Value| call["at"].as_f64().expect("a time");
    for id in ids(&timeline, "terminating") {
        let of = |action: &str| {
            let found = calls.iter().find(|call| {
                call["action"] == action && call["parameters"].to_string().contains(&id)
            });
            at(found.unwrap_or_else(|| panic!("no {action} of {id}")))
        };
        assert!(of("DeregisterTargets") + 0.9 <= of("TerminateInstanceInAutoScalingGroup"), "{id}");
    }

    // One call a target group for a whole batch, and one termination an instance.
    assert_eq!(account.count("elbv2.DeregisterTargets"), 4);
    assert_eq!(account.count("autoscaling.TerminateInstanceInAutoScalingGroup"), 10);
    // One call for the group and one for its target group a look. One more resolved the target, and
    // one asked whether it may be rolled, unless these came within a second.
    let ticks = report(&ran)["ticks"].as_u64().expect("ticks");
    let groups = account.count("autoscaling.DescribeAutoScalingGroups");
    assert!((ticks..=ticks + 2).contains(&groups), "{groups} in {ticks} looks");
    assert_eq!(account.count("elbv2.DescribeTargetHealth"), ticks);
    assert!(account.count("ec2.DescribeInstances") <= 1 + 10);

    // Again: nothing to do, and nothing is done.
    account.forget_calls();
    let again = account.run("apply", &resource(&template, "2"));
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(account.mutations(), Vec::<String>::new());
}

#[test]
fn an_additional_batch_keeps_ten_serving_and_gives_the_maximum_back() {
    let Some(account) = account() else { return };
    let fleet = json!({ "name": "web", "size": 10, "min": 10, "max": 10 });
    let template = account.fleet(fleet, times());
    let before = account.get("groups/web");
    let mut wanted = resource(&template, "$Latest");
    wanted["policy"] = json!("RollingWithAdditionalBatch");
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(batches(&ran), [0, 3, 3, 3, 1]);
    let timeline = account.timeline();
    assert_eq!(ids(&timeline, "launched").len(), 10);
    assert_drained_before_terminated(&timeline);
    assert!(least_serving(&before, &timeline) >= 10);
    assert_as_before(&account, &before, 10, &format!("{template}:2"));
}

#[test]
fn all_at_once_is_one_batch() {
    let Some(account) = account() else { return };
    let template = account.fleet(json!({ "name": "web", "size": 4 }), times());
    let before = account.get("groups/web");
    let mut wanted = resource(&template, "2");
    wanted["policy"] = json!("AllAtOnce");
    for name in ["batch_size", "batch_size_type"] {
        wanted.as_object_mut().expect("an object").remove(name);
    }
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(batches(&ran), [4]);
    assert_as_before(&account, &before, 4, &format!("{template}:2"));
}

#[test]
fn no_batch_ends_before_both_of_two_target_groups_agree() {
    let Some(account) = account() else { return };
    let fleet = json!({
        "name": "web", "size": 4, "max": 4,
        "target_groups": [{ "name": "fast" }, { "name": "slow", "deregistration_delay": 2 }],
    });
    let slow = json!({ "boot": 0.3, "target_groups": {
        "fast": { "register": 0.1 }, "slow": { "register": 1.5 },
    }});
    let template = account.fleet(fleet, slow);
    let before = account.get("groups/web");
    let mut wanted = resource(&template, "2");
    wanted["batch_size"] = json!(50);
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");

    let timeline = account.timeline();
    let lines = ran.lines();
    let ends: Vec<f64> = lines
        .iter()
        .filter(|line| line["event"]["type"] == "batch_finished")
        .map(|line| line["at"].as_f64().expect("a time") / 1000.0)
        .collect();
    let healthy = |group: &str| -> Vec<f64> {
        let events = timeline.iter();
        events
            .filter(|event| event["kind"] == "healthy" && event["target_group"] == group)
            .map(|event| event["at"].as_f64().expect("a time"))
            .collect()
    };
    assert_eq!((ends.len(), healthy("slow").len(), healthy("fast").len()), (2, 4, 4));
    for (index, end) in ends.iter().enumerate() {
        for group in ["fast", "slow"] {
            let agreed = healthy(group).iter().filter(|at| *at <= end).count();
            assert!(agreed >= 2 * (index + 1), "batch {index} ended before {group} agreed");
        }
    }
    assert_drained_before_terminated(&timeline);
    assert!(least_serving(&before, &timeline) >= 2);
    assert_as_before(&account, &before, 4, &format!("{template}:2"));
}

/// A rollout of a bad revision ends in time with exit 1, keeps the floor, puts everything back
/// and tells `reason`.
fn assert_fails(behaviour: &str, fleet: Value, policy: &str, floor: usize, reason: &str) {
    let Some(account) = account() else { return };
    let mut fleet = fleet;
    fleet["versions"] = json!([null, behaviour]);
    let mut times = times();
    // Slow enough for every look to find out, and shorter than what counts as serving.
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
    assert_eq!(after["template"]["Version"], "1", "the group's own replacements stay good");
    let targets = after["targets"]["web"].as_object().expect("targets");
    let old = after["instances"].as_object().expect("instances").iter();
    for (id, _) in old.filter(|(_, i)| i["revision"] == json!(format!("{template}:1"))) {
        assert_ne!(targets.get(id), Some(&json!("draining")), "{id}");
    }
}

#[test]
fn a_revision_that_never_becomes_healthy_fails_in_time_with_the_load_balancers_words() {
    let message = "Target.ResponseCodeMismatch: Health checks failed with these codes: [502]";
    assert_fails("unhealthy", ten(), "rolling", 7, message);
    assert_fails("unhealthy", ten(), "rolling_with_additional_batch", 10, message);
}

#[test]
fn a_revision_that_its_own_group_removes_fails_with_the_groups_words() {
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
fn a_revision_that_cannot_be_launched_fails_with_the_scaling_activitys_words() {
    assert_fails("fail-launch", ten(), "rolling", 7, "InsufficientInstanceCapacity");
}

fn replacing(account: &Account) -> String {
    let mut fleet = ten();
    fleet["health_check_type"] = json!("ELB");
    let mut times = times();
    times["elb_replaces_deregistered"] = json!(true);
    account.fleet(fleet, times)
}

#[test]
fn a_group_that_replaces_deregistered_victims_by_itself_is_rolled_all_the_same() {
    let Some(account) = account() else { return };
    let template = replacing(&account);
    let before = account.get("groups/web");
    let ran = account.run("apply", &resource(&template, "2"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ids(&account.timeline(), "launched").len(), 10);
    assert!(least_serving(&before, &account.timeline()) >= 7);
    assert_as_before(&account, &before, 10, &format!("{template}:2"));
    // The group was faster than any termination of ours.
    assert_eq!(account.count("autoscaling.TerminateInstanceInAutoScalingGroup"), 0);
}

#[test]
fn it_does_not_replace_what_goes_without_a_replacement_for_ever() {
    let Some(account) = account() else { return };
    let template = replacing(&account);
    let before = account.get("groups/web");
    let mut wanted = resource(&template, "2");
    wanted["policy"] = json!("immutable");
    for attribute in ["batch_size_type", "batch_size"] {
        wanted.as_object_mut().expect("attributes").remove(attribute);
    }
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(least_serving(&before, &account.timeline()) >= 10);
    assert_as_before(&account, &before, 10, &format!("{template}:2"));
    // Ten beside the fleet, and ten that it launched for those that were deregistered at first.
    let launched = ids(&account.timeline(), "launched").len();
    assert!((11..=20).contains(&launched), "{launched}");
}

#[test]
fn planning_shows_what_would_happen_and_changes_nothing() {
    let Some(account) = account() else { return };
    let template = account.fleet(ten(), times());
    let mut wanted = resource(&template, "2");
    wanted["policy"] = json!("rolling_with_additional_batch");
    wanted["batch_size"] = json!(40);
    let ran = account.run("plan", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    let plan = &ran.lines()[0]["resources"][0]["plan"];
    let shape: Vec<(u64, usize)> = plan["batches"]
        .as_array()
        .expect("batches")
        .iter()
        .map(|batch| {
            let replaces = batch["replaces"].as_array().expect("ids").len();
            (batch["launches"].as_u64().expect("a count"), replaces)
        })
        .collect();
    assert_eq!(shape, [(4, 0), (0, 4), (0, 4), (0, 2)]);
    assert_eq!((&plan["floor"], &plan["ceiling"]), (&json!(10), &json!(14)));
    let borrows = plan["borrows"].to_string();
    for message in ["suspended: AZRebalance", "14 instead of 10", "14 instead of 12"] {
        assert!(borrows.contains(message), "{borrows}");
    }
    assert!(plan["expected_seconds"].as_u64().expect("a time") > 0);
    assert_eq!(account.mutations(), Vec::<String>::new());
    // With the flag that pipelines use, changes have an exit code of their own.
    let file = account.folder.path().join("web.tf.json");
    let detailed = process::run(account.rolling().args(["plan", "--detailed-exitcode"]).arg(file));
    assert_eq!(detailed.code, 10, "{detailed:?}");
}

#[test]
fn one_shot_json_rpc_does_the_same_job_and_prints_nothing_but_protocol() {
    let Some(account) = account() else { return };
    let template = account.fleet(json!({ "name": "web", "size": 4 }), times());
    let before = account.get("groups/web");
    let apply = json!({
        "type": "rolling_deployment", "prior": null, "config": resource(&template, "2"),
        "operation_id": "deploy-7", "progress_token": "t",
    });
    let input = [
        json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize",
                "params": { "protocol_versions": [1] } }),
        json!({ "jsonrpc": "2.0", "id": 2, "method": "resource.apply", "params": apply }),
        json!({ "jsonrpc": "2.0", "id": 3, "method": "shutdown" }),
        json!({ "jsonrpc": "2.0", "method": "exit" }),
    ]
    .map(|message| message.to_string() + "\n")
    .concat();
    let ran = process::run_with(account.rolling().arg("serve"), &input);
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines = ran.lines();
    assert!(lines.iter().all(|line| line["jsonrpc"] == "2.0"));
    let answer = lines.iter().find(|line| line["id"] == 2).expect("an answer");
    assert_eq!(answer["result"]["status"], "succeeded", "{answer}");
    assert_eq!(answer["result"]["state"]["deployed_revision"], format!("{template}:2"));
    let progress: Vec<&Value> =
        lines.iter().filter(|line| line["method"] == "$/progress").collect();
    assert!(!progress.is_empty());
    for (index, told) in progress.iter().enumerate() {
        assert_eq!(told["params"]["sequence"], index);
        assert_eq!(told["params"]["token"], "t");
    }
    let last = lines.iter().rposition(|line| line["method"] == "$/progress");
    let answered = lines.iter().position(|line| line["id"] == 2);
    assert!(last < answered, "no progress after the response");
    assert_as_before(&account, &before, 4, &format!("{template}:2"));
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

#[test]
fn another_program_imports_rolls_reads_and_deletes_a_group_over_json_rpc() {
    let Some(account) = account() else { return };
    let template = account.fleet(ten(), times());
    let before = account.get("groups/web");
    let talk = |requests: &[(&str, Value)]| -> Vec<Value> {
        let first = ("initialize", json!({ "protocol_versions": [1] }));
        let lines: Vec<String> = std::iter::once(&first)
            .chain(requests)
            .enumerate()
            .map(|(id, (method, params))| {
                let mut params = params.clone();
                if id > 0 {
                    params["type"] = json!("rolling_deployment");
                }
                json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
                    .to_string()
            })
            .collect();
        let ran = process::run_with(account.rolling().arg("serve"), &lines.join("\n"));
        let mut answers = ran.lines();
        answers.retain(|answer| answer.get("id").is_some());
        answers.sort_by_key(|answer| answer["id"].as_u64());
        answers.into_iter().skip(1).map(|answer| answer["result"].clone()).collect()
    };

    let imported = talk(&[
        ("resource.import", json!({ "id": "auto_scaling_group/web" })),
        ("resource.import", json!({ "id": "auto_scaling_group/wbe" })),
    ]);
    let state = imported[0]["state"].clone();
    assert_eq!(
        state["auto_scaling_group"],
        json!({ "name": "web", "launch_template": { "id": template, "version": "1" } }),
        "{imported:?}"
    );
    assert_eq!(state["deployed_revision"], json!(format!("{template}:1")));
    assert_eq!(imported[1]["state"], Value::Null);
    let made = account.mutations();
    let config = resource(&template, "2");
    let planned = talk(&[("resource.plan", json!({ "prior": state, "config": config }))]);
    assert_eq!(planned[0]["action"], "update");
    assert_eq!(account.mutations(), made, "importing and planning change nothing");
    let applied = talk(&[(
        "resource.apply",
        json!({
            "prior": state, "config": config, "planned": planned[0]["planned"],
            "private": planned[0]["private"], "operation_id": "deploy-2",
        }),
    )]);
    assert_eq!(applied[0]["status"], "succeeded", "{applied:?}");
    let state = applied[0]["state"].clone();
    let seen = talk(&[
        ("resource.read", json!({ "prior": state })),
        ("resource.status", json!({ "config": config })),
        ("resource.plan", json!({ "prior": state, "config": config })),
    ]);
    assert_eq!(seen[0]["state"], state);
    assert_eq!(seen[1]["record"], Value::Null);
    assert_eq!(seen[2]["action"], "none");
    assert_as_before(&account, &before, 10, &format!("{template}:2"));

    // A rollout that is cut off is given up: what is borrowed comes back, instances stay.
    let document =
        json!({ "resource": { "rolling_deployment": { "web": resource(&template, "1") } } });
    let file = process::write(account.folder.path(), &document);
    let child = account.rolling().arg("apply").arg(file).spawn().expect("the program starts");
    account.until("groups/web", "something is borrowed", |group| {
        group["suspended"].as_array().is_some_and(|processes| !processes.is_empty())
    });
    crate::lab::promises::kill(child);
    let gone = talk(&[("resource.delete", json!({ "prior": state }))]);
    assert_eq!(gone[0], json!({ "status": "succeeded", "state": null, "diagnostics": [] }));
    let after = account.get("groups/web");
    for what in ["min", "max", "desired", "suspended", "tags"] {
        assert_eq!(after[what], before[what], "{what}");
    }
}

#[test]
fn a_slow_start_is_soaked_and_what_else_costs_requests_is_told() {
    let Some(account) = account() else { return };
    let group = json!({ "name": "web", "size": 4, "min": 2, "max": 4 });
    let made = account.make("fleet", group, times());
    let template = made["launch_template"].as_str().expect("a template").to_owned();
    let arn = made["target_group_arns"][0].as_str().expect("an ARN");
    let attribute = |number: u32, key: &str, value: &str| {
        format!("&Attributes.member.{number}.Key={key}&Attributes.member.{number}.Value={value}")
    };
    let form = format!(
        "Version=2015-12-01&Action=ModifyTargetGroupAttributes&TargetGroupArn={arn}{}{}",
        attribute(1, "slow_start.duration_seconds", "30"),
        attribute(2, "load_balancing.cross_zone.enabled", "false"),
    );
    account.query("elasticloadbalancing", &form);
    account.foreign();
    let mut wanted = resource(&template, "2");
    wanted["batch_size_type"] = json!("fixed");
    wanted["batch_size"] = json!(2);
    let planned = account.run("plan", &wanted);
    let warnings = planned.lines()[0]["resources"][0]["plan"]["warnings"].to_string();
    assert!(warnings.contains("healthy for 30 s at least"), "{warnings}");
    assert!(warnings.contains("cross-zone load balancing is off"), "{warnings}");
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    let timeline = account.timeline();
    let first = ids(&timeline, "launched")[..2].to_vec();
    let healthy = first.iter().filter_map(|id| moment(&timeline, id, "healthy"));
    let healthy = healthy.fold(0.0, f64::max);
    let second = timeline.iter().filter(|event| event["kind"] == "draining").nth(2);
    let second = second.and_then(|event| event["at"].as_f64()).expect("a second batch");
    assert!(second - healthy >= 30.0, "the second batch came {} s later", second - healthy);
}
