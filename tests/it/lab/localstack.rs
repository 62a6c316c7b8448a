//! The main rollouts against AWS's APIs: LocalStack.

mod early_ends;
mod json_rpc;

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

/// A deployment whose deadline holds on a machine that is busy with other tests, too.
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

/// Returns `resource` with a deadline within which a test finds a bad revision out. The rollback
/// has the same deadline.
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
    least_units(group, timeline, |_| 1)
}

/// Returns the same in units, with the weight of each instance.
pub fn least_units(group: &Value, timeline: &[Value], weight: impl Fn(&str) -> usize) -> usize {
    let targets = group["targets"].as_object().expect("targets");
    let mut healthy: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, listed) in targets {
        for id in listed.as_object().expect("ids").keys() {
            healthy.entry(id.clone()).or_default().insert(name.clone());
        }
    }
    let serving = |healthy: &BTreeMap<String, BTreeSet<String>>| {
        let serve = healthy.iter().filter(|(_, groups)| groups.len() == targets.len());
        serve.map(|(id, _)| weight(id)).sum::<usize>()
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

/// Returns when `kind` happened to `id`, if it did.
fn moment(timeline: &[Value], id: &str, kind: &str) -> Option<f64> {
    let event = timeline.iter().find(|event| event["instance"] == id && event["kind"] == kind);
    event.and_then(|event| event["at"].as_f64())
}

pub fn ids(timeline: &[Value], kind: &str) -> Vec<String> {
    let events = timeline.iter().filter(|event| event["kind"] == kind);
    events.map(|event| event["instance"].as_str().expect("an id").to_owned()).collect()
}

/// Checks that every instance is on `revision` and in service, and that the group is as it was
/// `before`, apart from its template.
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

    // The same by the log of calls: each was deregistered at least the delay of 1 s before. (A call
    // is in the log a moment after it has begun.)
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
    // Each look makes one call for the group and one for its target group. One more resolved the
    // target, and one asked whether it may be rolled, unless these came within a second.
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
    // The group terminated them before the rollout could.
    assert_eq!(account.count("autoscaling.TerminateInstanceInAutoScalingGroup"), 0);
}

#[test]
fn it_does_not_replace_for_ever_what_goes_without_a_replacement() {
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
    // Ten surge instances, and ten that the group launched for those that were deregistered first.
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
    // A soak of the document's own would be kept, with a warning.
    let planned = account.run("plan", &wanted).stdout;
    assert!(planned.contains("but a target group's slow start takes 30s"), "{planned}");
    wanted["health"].as_object_mut().expect("health").remove("min_healthy_time");
    let planned = account.run("plan", &wanted);
    let warnings = planned.lines()[0]["resources"][0]["plan"]["warnings"].to_string();
    assert!(!warnings.contains("but a target group's slow start takes 30s"), "{warnings}");
    assert!(warnings.contains("its full share of the requests only after 30 s"), "{warnings}");
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
