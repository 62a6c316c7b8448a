//! Requests shifted by the weights of listener rules, on LocalStack.

mod gates;
mod refusals;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::emulator::{Account, account};
use crate::lab::localstack::{assert_as_before, bad, ids, report, resource, times};
use crate::lab::promises::start;
use crate::process::{self, Ran, end};

const SECOND: &str = "web-second";

/// A fleet of four whose requests can be shifted, by the default rule and by one more.
fn fleet(versions: Value) -> Value {
    json!({
        "name": "web", "size": 4, "min": 4, "max": 4, "versions": versions,
        "second_target_group": true, "rules": 1,
    })
}

/// Returns the deployment of what the lab has `made`.
fn shifting(made: &Value, policy: &str, version: &str) -> Value {
    let template = made["launch_template"].as_str().expect("a template");
    let mut wanted = resource(template, version);
    let attributes = wanted.as_object_mut().expect("attributes");
    attributes.remove("batch_size");
    attributes.remove("batch_size_type");
    wanted["policy"] = json!(policy);
    wanted["traffic"] = json!({
        "second_target_group_arn": made["second_target_group_arn"],
        "listener_rule_arns": made["rule_arns"],
    });
    match policy {
        "traffic_splitting" => wanted["traffic"]["evaluation_time"] = json!("2s"),
        _ => wanted["traffic"]["terminate_after"] = json!("2s"),
    }
    wanted
}

/// Returns the weights of each rule, in the order in which they were set.
fn weights(timeline: &[Value]) -> BTreeMap<String, Vec<(u64, u64)>> {
    let mut weights: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    for event in timeline.iter().filter(|event| event["kind"] == "weights") {
        let weight = |name: &str| event["weights"][name].as_u64().expect("a weight");
        let rule = event["rule"].as_str().expect("a rule").to_owned();
        weights.entry(rule).or_default().push((weight("web"), weight(SECOND)));
    }
    weights
}

/// Checks that a target group that got requests by some rule always had an instance to answer them,
/// and that one that got them all had the whole fleet.
fn assert_answered(before: &Value, timeline: &[Value], size: usize) {
    let mut healthy: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let listed = before["targets"]["web"].as_object().expect("targets");
    healthy.entry("web").or_default().extend(listed.keys().cloned());
    let mut shares: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for event in timeline {
        let kind = event["kind"].as_str().expect("a kind");
        if kind == "weights" {
            let weight = |name: &str| event["weights"][name].as_u64().expect("a weight");
            let rule = event["rule"].as_str().expect("a rule").to_owned();
            shares.insert(rule, (weight("web"), weight(SECOND)));
        }
        let id = event["instance"].as_str().unwrap_or_default().to_owned();
        let group = event["target_group"].as_str().unwrap_or_default();
        match kind {
            "healthy" => drop(healthy.entry(group).or_default().insert(id)),
            "unhealthy" | "draining" => {
                healthy.entry(group).or_default().remove(&id);
            }
            "terminating" => healthy.values_mut().for_each(|ids| ids.retain(|other| *other != id)),
            _ => {}
        }
        let first = shares.values().map(|(first, _)| *first).max().unwrap_or(100);
        let second = shares.values().map(|(_, second)| *second).max().unwrap_or(0);
        for (group, weight) in [("web", first), (SECOND, second)] {
            let serving = healthy.get(group).map_or(0, BTreeSet::len);
            let least = (size * usize::try_from(weight).expect("small")).div_ceil(100);
            assert!(serving >= least, "{serving} in {group}, weight {weight}: {event}");
        }
    }
}

/// Checks that no instance is left in the second target group, and that each rule has its weights
/// again.
fn assert_back(account: &Account, made: &Value) {
    let after = account.get("groups/web");
    let second = after["targets"].get(SECOND).and_then(Value::as_object);
    let left = second.into_iter().flatten().filter(|(_, state)| *state != "draining");
    assert_eq!(left.count(), 0, "{}", after["targets"]);
    let last: Vec<(u64, u64)> =
        weights(&account.timeline()).into_values().filter_map(|w| w.last().copied()).collect();
    assert!(last.iter().all(|weights| *weights == (100, 0)), "{last:?} of {made}");
}

fn made(account: &Account, versions: Value) -> (Value, Value) {
    let made = account.make("fleet", fleet(versions), times());
    (made, account.get("groups/web"))
}

#[test]
fn a_share_of_the_requests_or_all_go_to_a_new_set_and_come_back_with_it() {
    for (policy, way) in [
        ("traffic_splitting", vec![(90, 10), (70, 30), (40, 60), (0, 100), (100, 0)]),
        ("blue_green", vec![(0, 100), (100, 0)]),
    ] {
        let Some(account) = account() else { return };
        let (made, before) = made(&account, json!([null, null]));
        let mut wanted = shifting(&made, policy, "2");
        if policy == "traffic_splitting" {
            wanted["traffic"]["steps"] = steps(None);
        }
        let ran = account.run("apply", &wanted);
        assert_eq!(ran.code, 0, "{policy}: {ran:?}");
        let template = made["launch_template"].as_str().expect("a template");
        assert_as_before(&account, &before, 4, &format!("{template}:2"));
        assert_back(&account, &made);
        let timeline = account.timeline();
        assert_answered(&before, &timeline, 4);
        let weights = weights(&timeline);
        assert_eq!(weights.len(), 2, "the default rule, and the other: {weights:?}");
        assert!(weights.values().all(|found| *found == way), "{weights:?}");
        assert_eq!(ids(&timeline, "launched").len(), 4, "{policy}");
        // The default rule is set with its listener, the other one by itself.
        let steps = u64::try_from(way.len()).expect("few");
        assert_eq!(account.count("elbv2.ModifyListener"), steps);
        assert_eq!(account.count("elbv2.ModifyRule"), steps);
        // New instances were in the second target group before they were in the first.
        let joined = |id: &String, group: &str| {
            let event = timeline.iter().find(|event| {
                event["instance"] == json!(id)
                    && event["kind"] == "healthy"
                    && event["target_group"] == group
            });
            event.unwrap_or_else(|| panic!("{id} never in {group}"))["at"].as_f64().expect("a time")
        };
        for id in ids(&timeline, "launched") {
            assert!(joined(&id, SECOND) < joined(&id, "web"), "{id}");
        }
        let again = account.run("apply", &wanted);
        assert_eq!(again.code, 0, "{again:?}");
        assert_eq!(ids(&account.timeline(), "launched").len(), 4, "nothing more to do");
    }
}

/// Steps of 10, 30 and 60 percent; one of them is long enough to be stopped there.
fn steps(long: Option<u64>) -> Value {
    let step = |percent: u64| {
        let time = if long == Some(percent) { "60s" } else { "1s" };
        json!({ "percent": percent, "evaluation_time": time })
    };
    json!([step(10), step(30), step(60)])
}

#[test]
fn from_each_step_all_requests_go_back() {
    std::thread::scope(|scope| {
        for percent in [10, 30, 60] {
            scope.spawn(move || {
                let Some(account) = account() else { return };
                let (made, before) = made(&account, json!([null, null]));
                let mut wanted = shifting(&made, "traffic_splitting", "2");
                wanted["traffic"]["steps"] = steps(Some(percent));
                let running = start(&account, &wanted);
                until_shifted(&account, percent);
                let back = account.run("rollback", &wanted);
                assert_eq!(back.code, 0, "{percent} %: {back:?}");
                let ran = process::end(running);
                assert_eq!(ran.code, 3, "{percent} %: {ran:?}");
                let template = made["launch_template"].as_str().expect("a template");
                assert_as_before(&account, &before, 4, &format!("{template}:1"));
                assert_back(&account, &made);
                let timeline = account.timeline();
                assert_answered(&before, &timeline, 4);
                let so_far = [10, 30, 60].into_iter().take_while(|step| *step <= percent);
                let way: Vec<(u64, u64)> =
                    so_far.chain([0]).map(|share| (100 - share, share)).collect();
                let weights = weights(&timeline);
                assert!(weights.values().all(|found| *found == way), "{weights:?}");
            });
        }
    });
}

#[test]
fn a_new_set_that_fails_gets_no_request_and_is_taken_away() {
    for policy in ["traffic_splitting", "blue_green"] {
        let Some(account) = account() else { return };
        let (made, before) = made(&account, json!([null, "unhealthy"]));
        let ran = account.run("apply", &bad(shifting(&made, policy, "2")));
        assert_eq!(ran.code, 3, "{policy}: {ran:?}");
        let why = report(&ran)["reason"].as_str().expect("a reason").to_owned();
        assert!(why.contains("in target group web-second"), "{why}");
        let template = made["launch_template"].as_str().expect("a template");
        assert_as_before(&account, &before, 4, &format!("{template}:1"));
        assert_back(&account, &made);
        let timeline = account.timeline();
        assert_eq!(weights(&timeline), BTreeMap::new());
        assert_answered(&before, &timeline, 4);
    }
}

/// Waits until every rule sends `percent` of the requests to the second target group.
fn until_shifted(account: &Account, percent: u64) {
    process::until(&format!("at {percent} %"), || {
        let weights = weights(&account.timeline());
        weights.len() == 2 && weights.values().all(|w| w.last().is_some_and(|w| w.1 == percent))
    });
}

#[test]
fn killed_or_interrupted_while_requests_are_shifted_nothing_is_lost() {
    std::thread::scope(|scope| {
        for policy in ["traffic_splitting", "blue_green"] {
            for signal in ["-KILL", "-INT"] {
                scope.spawn(move || kill_and_apply(policy, signal));
            }
        }
    });
}

fn kill_and_apply(policy: &str, signal: &str) {
    let Some(account) = account() else { return };
    let (made, before) = made(&account, json!([null, null]));
    let wanted = shifting(&made, policy, "2");
    // Long enough to be stopped there.
    let mut long = wanted.clone();
    let (name, percent) = match policy {
        "blue_green" => ("terminate_after", 100),
        _ => ("evaluation_time", 10),
    };
    long["traffic"][name] = json!("60s");
    let running = start(&account, &long);
    until_shifted(&account, percent);
    process::signal(running.id(), signal);
    let ended = end(running);
    if signal == "-INT" {
        assert_eq!(ended.code, 130, "{ended:?}");
        assert_back(&account, &made);
    } else {
        // A document that leaves a rule out would strand the requests of that rule.
        let mut fewer = wanted.clone();
        fewer["traffic"]["listener_rule_arns"].as_array_mut().expect("rules").pop();
        for command in ["apply", "abort"] {
            let refused = account.run(command, &fewer);
            assert_eq!(refused.code, 2, "{command}: {refused:?}");
            assert!(refused.stdout.contains("shifts requests with other rules"), "{refused:?}");
        }
    }
    let ran: Ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{policy} {signal}: {ran:?}");
    let template = made["launch_template"].as_str().expect("a template");
    assert_as_before(&account, &before, 4, &format!("{template}:2"));
    assert_back(&account, &made);
    let timeline = account.timeline();
    assert_answered(&before, &timeline, 4);
    if signal == "-KILL" {
        assert_eq!(ids(&timeline, "launched").len(), 4, "{policy}: no launch too many");
    }
}
