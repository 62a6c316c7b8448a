//! Unmanaged instances behind a target group, without an Auto Scaling group, on LocalStack.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::emulator::{Account, account, three_at_once};
use crate::lab::localstack::{
    assert_drained_before_terminated, bad, ids, least_serving, report, times,
};
use crate::lab::promises::{Moment, killed_at};
use crate::process::Ran;

pub const WEB: &str = "plain/web";

/// Instances on a port other than their target group's, in three subnets.
pub fn instances(size: u32, versions: Value) -> Value {
    json!({ "name": "web", "size": size, "port": 8080, "versions": versions })
}

/// Returns the deployment that rolls what was `made` to `version`.
pub fn resource(made: &Value, version: &str) -> Value {
    json!({
        "policy": "rolling", "batch_size_type": "percentage", "batch_size": 30,
        "poll_interval": "500ms",
        "health": { "min_healthy_time": "300ms", "healthy_timeout": "60s" },
        "target_group": {
            "arn": made["target_group_arns"][0],
            "launch_template": { "id": made["launch_template"], "version": version },
        },
    })
}

fn live(fleet: &Value) -> BTreeMap<String, Value> {
    let instances = fleet["instances"].as_object().expect("instances").clone();
    instances.into_iter().collect()
}

/// How many instances are in each subnet.
fn spread(fleet: &Value) -> BTreeMap<String, usize> {
    let mut spread = BTreeMap::new();
    for instance in live(fleet).values() {
        *spread.entry(instance["subnet"].as_str().expect("a subnet").to_owned()).or_default() += 1;
    }
    spread
}

/// Returns the names that the owner gave the instances.
fn names(fleet: &Value) -> BTreeSet<String> {
    let instances = live(fleet).into_values();
    instances.map(|i| i["tags"]["Name"].as_str().expect("a name").to_owned()).collect()
}

/// Checks that every instance is on `version` and healthy, and that nothing else differs from
/// `before`.
pub fn assert_as_before(account: &Account, before: &Value, version: &str) {
    let after = account.get(WEB);
    assert_eq!(after["tags"], before["tags"], "the target group's tags");
    assert_eq!(spread(&after), spread(before));
    assert_eq!(names(&after), names(before), "each has the tags of the one it replaced");
    let instances = live(&after);
    for (id, instance) in &instances {
        assert_eq!(after["targets"]["web"][id], "healthy", "{id}");
        assert_eq!(after["ports"][id], json!([8080]), "{id}");
        let tags = instance["tags"].as_object().expect("tags");
        let ours: Vec<&String> = tags.keys().filter(|key| key.starts_with("rolling:")).collect();
        assert!(ours.is_empty(), "{id} has {ours:?}");
        assert_eq!(instance["tags"]["version"], version, "{id}: the template's tag comes first");
        let revision = instance["revision"].as_str().expect("a revision");
        assert!(revision.ends_with(&format!(":{version}")), "{id} runs {revision}");
    }
    let listed = after["targets"]["web"].as_object().expect("targets").len();
    assert_eq!(listed, instances.len(), "no instance drains, and none is lost");
}

fn apply(account: &Account, mut wanted: Value, policy: &str) -> Ran {
    wanted["policy"] = json!(policy);
    if !policy.starts_with("rolling") {
        wanted.as_object_mut().expect("attributes").remove("batch_size");
        wanted.as_object_mut().expect("attributes").remove("batch_size_type");
    }
    account.run("apply", &wanted)
}

#[test]
fn unmanaged_instances_are_replaced_batch_by_batch_each_by_one_like_it() {
    for (policy, floor, ceiling) in
        [("rolling", 7, 10), ("rolling_with_additional_batch", 10, 13), ("immutable", 10, 20)]
    {
        let Some(account) = account() else { return };
        let made = account.make("plain", instances(10, json!([null, null])), times());
        let before = account.get(WEB);
        let ran = apply(&account, resource(&made, "2"), policy);
        assert_eq!(ran.code, 0, "{policy}: {ran:?}");
        assert_as_before(&account, &before, "2");
        let timeline = account.timeline();
        assert_eq!(ids(&timeline, "launched").len(), 10, "{policy}");
        assert_eq!(ids(&timeline, "terminating").len(), 10, "{policy}");
        assert_drained_before_terminated(&timeline);
        assert!(least_serving(&before, &timeline) >= floor, "{policy}");
        assert!(most_serving(&before, &timeline) <= ceiling, "{policy}");
        assert_every_target_has_its_port(&account);
        // Applied again there is nothing to do.
        let again = apply(&account, resource(&made, "2"), policy);
        assert_eq!(again.code, 0, "{again:?}");
        assert_eq!(account.count("ec2.RunInstances"), 10, "{policy}");
    }
}

#[test]
fn an_address_that_a_replacement_does_not_get_is_named_before_anything_goes() {
    let Some(account) = account() else { return };
    let made = account.make("plain", instances(3, json!([null, null])), times());
    let plan = || account.run("plan", &resource(&made, "2")).stdout;
    assert!(!plan().contains("Elastic IP"), "{}", plan());
    let id = live(&account.get(WEB)).into_keys().next().expect("an instance");
    let allocate = "Version=2016-11-15&Action=AllocateAddress&Domain=vpc&Address=198.51.100.7";
    account.query("ec2", allocate);
    let associate = "Version=2016-11-15&Action=AssociateAddress&PublicIp=198.51.100.7";
    account.query("ec2", &format!("{associate}&InstanceId={id}"));
    account.foreign();
    let planned = plan();
    assert!(planned.contains(&format!("have for themselves: {id} (Elastic IP ")), "{planned}");
}

/// The most instances that were healthy at any moment.
fn most_serving(before: &Value, timeline: &[Value]) -> usize {
    let mut healthy: BTreeSet<String> = live(before).into_keys().collect();
    let mut most = healthy.len();
    for event in timeline {
        let id = event["instance"].as_str().expect("an id").to_owned();
        match event["kind"].as_str().expect("a kind") {
            "healthy" => drop(healthy.insert(id)),
            "unhealthy" | "draining" | "terminating" => drop(healthy.remove(&id)),
            _ => {}
        }
        most = most.max(healthy.len());
    }
    most
}

fn assert_every_target_has_its_port(account: &Account) {
    let calls = account.calls();
    let mut seen = 0;
    for call in &calls {
        let action = call["action"].as_str().unwrap_or_default();
        if !["RegisterTargets", "DeregisterTargets"].contains(&action) {
            continue;
        }
        for target in call["parameters"]["Targets"].as_array().expect("targets") {
            assert_eq!(target["Port"], 8080, "{action} {target}");
            seen += 1;
        }
    }
    assert!(seen >= 20, "{seen}");
}

#[test]
fn a_bad_revision_of_unmanaged_instances_is_rolled_back_and_its_cause_is_reported() {
    for (behaviour, message) in [
        ("unhealthy", "Health checks failed with these codes: [502]"),
        ("fail-launch", "InsufficientInstanceCapacity"),
    ] {
        for policy in ["rolling", "rolling_with_additional_batch"] {
            let Some(account) = account() else { return };
            let made = account.make("plain", instances(6, json!([null, behaviour])), times());
            let before = account.get(WEB);
            let ran = apply(&account, bad(resource(&made, "2")), policy);
            assert_eq!(ran.code, 3, "{behaviour} {policy}: {ran:?}");
            let why = report(&ran)["reason"].as_str().expect("a reason").to_owned();
            assert!(why.contains(message), "{why}");
            assert_as_before(&account, &before, "1");
            let timeline = account.timeline();
            assert_drained_before_terminated(&timeline);
            assert!(least_serving(&before, &timeline) >= if policy == "rolling" { 5 } else { 6 });
        }
    }
}

#[test]
fn kills_in_each_phase_lose_no_unmanaged_instance_and_leave_none_over() {
    // After the lease and the record: an instance is launched, is registered, one of the old
    // drains, most of it is over, the record is removed.
    let moments = [
        ("elbv2.AddTags", 2),
        ("ec2.RunInstances", 1),
        ("elbv2.RegisterTargets", 1),
        ("elbv2.DeregisterTargets", 1),
        ("ec2.TerminateInstances", 3),
        ("elbv2.RemoveTags", 1),
    ];
    let kinds = moments.into_iter().flat_map(|moment| [(moment, false), (moment, true)]);
    three_at_once(kinds, |(moment, has_surge)| kill_and_apply(moment, has_surge));
}

fn kill_and_apply(moment: Moment, has_surge: bool) {
    let Some(account) = account() else { return };
    let made = account.make("plain", instances(9, json!([null, null])), times());
    let before = account.get(WEB);
    let mut wanted = resource(&made, "2");
    if has_surge {
        wanted["policy"] = json!("rolling_with_additional_batch");
    }
    let when = killed_at(&account, &wanted, moment);
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{when}: {ran:?}");
    assert_as_before(&account, &before, "2");
    let timeline = account.timeline();
    assert_eq!(ids(&timeline, "launched").len(), 9, "{when}: no launch too many");
    assert_eq!(ids(&timeline, "terminating").len(), 9, "{when}");
    let floor = if has_surge { 9 } else { 7 };
    assert!(least_serving(&before, &timeline) >= floor, "{when}");
}
