//! Requests shifted by the weights of listener rules, and the gates that alarms, addresses and
//! commands are, on LocalStack.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::emulator::{Account, account};
use crate::lab::localstack::{LOOK, assert_as_before, bad, ids, report, resource, times};
use crate::lab::promises::{kill, start};
use crate::process::{self, Ran, end};

const SECOND: &str = "web-second";

/// A fleet of four whose requests can be shifted, by the default rule and by one more.
fn fleet(versions: Value) -> Value {
    json!({
        "name": "web", "size": 4, "min": 4, "max": 4, "versions": versions,
        "second_target_group": true, "rules": 1,
    })
}

/// What a user writes of it. `made` is what the lab has made.
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

/// The weights of each rule in the order in which they came to be.
fn weights(timeline: &[Value]) -> BTreeMap<String, Vec<(u64, u64)>> {
    let mut weights: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    for event in timeline.iter().filter(|event| event["kind"] == "weights") {
        let weight = |name: &str| event["weights"][name].as_u64().expect("a weight");
        let rule = event["rule"].as_str().expect("a rule").to_owned();
        weights.entry(rule).or_default().push((weight("web"), weight(SECOND)));
    }
    weights
}

/// Whoever gets requests by some rule has always had at least one to answer them, and whoever gets
/// them all had the whole fleet. Returns what came to pass.
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

/// Nobody is left in the second target group, and each rule has its weights again.
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
        ("traffic_splitting", vec![(90, 10), (0, 100), (100, 0)]),
        ("blue_green", vec![(0, 100), (100, 0)]),
    ] {
        let Some(account) = account() else { return };
        let (made, before) = made(&account, json!([null, null]));
        let wanted = shifting(&made, policy, "2");
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
        // The default rule with its listener, the other by itself.
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

/// Puts an alarm, or has one be in this state.
fn alarm(account: &Account, name: &str, state: &str) {
    let known = "Namespace=lab&MetricName=errors&EvaluationPeriods=1&Period=60&Statistic=Sum\
                 &Threshold=1&ComparisonOperator=GreaterThanThreshold";
    let form = |action: &str| format!("Version=2010-08-01&Action={action}&AlarmName={name}");
    account.query("monitoring", &format!("{}&{known}", form("PutMetricAlarm")));
    let told = format!("StateValue={state}&StateReason=5xx%20above%201");
    account.query("monitoring", &format!("{}&{told}", form("SetAlarmState")));
}

/// Waits until the second target group gets `percent` by every rule.
fn until_shifted(account: &Account, percent: u64) {
    process::until(&format!("at {percent} %"), || {
        let weights = weights(&account.timeline());
        weights.len() == 2 && weights.values().all(|w| w.last().is_some_and(|w| w.1 == percent))
    });
}

#[test]
fn an_alarm_while_the_new_set_is_evaluated_takes_the_requests_back() {
    for (policy, percent) in [("traffic_splitting", 10), ("blue_green", 100)] {
        let Some(account) = account() else { return };
        let (made, before) = made(&account, json!([null, null]));
        account.shared();
        alarm(&account, "web-5xx", "OK");
        let mut wanted = shifting(&made, policy, "2");
        wanted["gates"] = json!({ "alarms": ["web-5xx"] });
        let time = if percent == 10 { "evaluation_time" } else { "terminate_after" };
        wanted["traffic"][time] = json!("60s");
        let running = start(&account, &wanted);
        until_shifted(&account, percent);
        alarm(&account, "web-5xx", "ALARM");
        let ran = end(running);
        assert_eq!(ran.code, 3, "{policy}: {ran:?}");
        let why = report(&ran)["reason"].as_str().expect("a reason").to_owned();
        let message = "alarms web-5xx did not pass: web-5xx is raised: 5xx above 1";
        assert!(why.contains(message), "{why}");
        let template = made["launch_template"].as_str().expect("a template");
        assert_as_before(&account, &before, 4, &format!("{template}:1"));
        assert_back(&account, &made);
        let timeline = account.timeline();
        assert_answered(&before, &timeline, 4);
        assert_eq!(ids(&timeline, "launched").len(), 4, "the old set was never touched");
    }
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
    // Long enough to be met there.
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
        // Whoever has left a rule out meanwhile would strand its requests.
        let mut fewer = wanted.clone();
        fewer["traffic"]["listener_rule_arns"].as_array_mut().expect("rules").pop();
        for command in ["apply", "abort"] {
            let refused = account.run(command, &fewer);
            assert_eq!(refused.code, 2, "{command}: {refused:?}");
            assert!(refused.stdout.contains("shifts requests by other rules"), "{refused:?}");
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

#[test]
fn the_plan_says_what_sticks_and_refuses_by_name_what_cannot_be_shifted() {
    let Some(account) = account() else { return };
    let mut sticky = fleet(json!([null, null]));
    sticky["stickiness"] = json!(true);
    let made = account.make("fleet", sticky, times());
    let good = shifting(&made, "traffic_splitting", "2");
    let ran = account.run("plan", &good);
    assert_eq!(ran.code, 0, "{ran:?}");
    let warnings = ran.lines()[0]["resources"][0]["plan"]["warnings"].to_string();
    assert!(warnings.contains("has clients stick to a target group: for up to 60 s"), "{warnings}");

    let refused = |wanted: &Value, place: &str, message: &str| {
        let ran = account.run("apply", wanted);
        assert_eq!(ran.code, 2, "{ran:?}");
        let found = ran.lines()[0]["diagnostics"][0].clone();
        let at = format!("/resource/rolling_deployment/web{place}");
        assert_eq!(found["pointer"], json!(at), "{found}");
        assert!(found["summary"].to_string().contains(message), "{found}");
        assert!(found["remedy"].is_string(), "{found}");
    };
    let rules = "/traffic/listener_rule_arns";
    let second = "/traffic/second_target_group_arn";
    let mut wanted = good.clone();
    wanted["traffic"]["second_target_group_arn"] = made["target_group_arns"][0].clone();
    refused(&wanted, second, "is attached to the group");
    let mut wanted = good.clone();
    let none =
        "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/no/0123456789abcdef";
    wanted["traffic"]["second_target_group_arn"] = json!(none);
    refused(&wanted, second, "does not exist");
    let mut wanted = good.clone();
    wanted["traffic"]["new_version_percent"] = json!(33);
    let half = wanted.clone();
    assert_eq!(account.run("plan", &half).code, 0, "33 of 100 can be made");
    let mut wanted = good.clone();
    let rule = made["rule_arns"][1].as_str().expect("a rule");
    let other = format!("{}0000000000000000", &rule[..rule.len() - 16]);
    wanted["traffic"]["listener_rule_arns"] = json!([other]);
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 2, "{ran:?}");
    let found = ran.lines()[0]["diagnostics"][0].clone();
    assert!(found["pointer"].as_str().expect("a place").contains(rules), "{found}");
    assert_eq!(account.mutations(), Vec::<String>::new());
}

#[test]
fn gates_are_asked_on_the_way_and_what_they_said_is_in_the_events() {
    let Some(account) = account() else { return };
    let template = account.fleet(json!({ "name": "web", "size": 3 }), times());
    let before = account.get("groups/web");
    account.shared();
    alarm(&account, "quiet", "OK");
    alarm(&account, "blind", "INSUFFICIENT_DATA");
    let mut wanted = resource(&template, "2");
    wanted["gates"] = json!({
        "alarms": ["quiet", "blind"], "bake_time": "1s",
        "http": { "url": format!("{}/_localstack/health", account.endpoint) },
        "command": { "run": ["sh", "-c", "echo $ROLLING_TARGET $ROLLING_BATCH"], "timeout": "60s" },
    });
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_as_before(&account, &before, 3, &format!("{template}:2"));
    let lines = ran.lines();
    let gated = lines.iter().map(|line| &line["event"]).filter(|e| e["type"] == "gate_answered");
    let reply: Vec<(String, String)> = gated
        .map(|event| {
            assert_eq!(event["passed"], true, "{event}");
            let text = |name: &str| event[name].as_str().expect("text").to_owned();
            (text("gate"), text("message"))
        })
        .collect();
    assert_eq!(reply.iter().filter(|(gate, _)| gate == "alarms blind, quiet").count(), 4);
    assert_eq!(
        reply.iter().filter(|(gate, reply)| gate.starts_with("GET ") && reply == "200").count(),
        3
    );
    let told = reply.iter().filter(|(gate, _)| gate.starts_with("command "));
    let told: Vec<&str> = told.map(|(_, reply)| reply.as_str()).collect();
    assert_eq!(told, ["exit code 0: web 1", "exit code 0: web 2", "exit code 0: web 3"]);
}

#[test]
fn a_rollout_one_of_whose_rules_is_gone_is_told_and_put_back_and_not_gone_on_with() {
    for command in ["abort", "rollback"] {
        let Some(account) = account() else { return };
        let (made, before) = made(&account, json!([null, null]));
        account.shared();
        let wanted = shifting(&made, "traffic_splitting", "2");
        let engine = start(&account, &wanted);
        // Both rules are shifted by then: one of a listener, and its default.
        account.until_called("elbv2.ModifyRule", 1);
        account.until_called("elbv2.ModifyListener", 1);
        kill(engine);
        let rules = made["rule_arns"].as_array().expect("rules");
        let is_default = |rule: &&Value| rule.as_str().is_some_and(|arn| arn.contains("default"));
        let rule = rules.iter().rfind(|rule| !is_default(rule)).expect("a rule of its own");
        let rule = rule.as_str().expect("an ARN");
        let form = format!("Action=DeleteRule&Version=2015-12-01&RuleArn={rule}");
        account.query("elasticloadbalancing", &form);

        let status = account.run("status", &wanted);
        assert!(status.code == 0 && status.stdout.contains("\"rolling\""), "{status:?}");
        for forward in ["apply", "resume"] {
            let refused = account.run(forward, &wanted);
            let message = format!("listener rule {rule} does not exist");
            assert!(refused.code == 2 && refused.stdout.contains(&message), "{refused:?}");
        }
        let reply = account.run(command, &wanted);
        assert_eq!(reply.code, 0, "{command}: {reply:?}");
        let after = account.get("groups/web");
        for what in ["desired", "max", "suspended", "template"] {
            assert_eq!(after[what], before[what], "{command}: {what}");
        }
        // The other one has its weights again.
        let shown = weights(&account.timeline());
        let back = shown.values().filter(|weights| weights.last() == Some(&(100, 0)));
        assert_eq!((back.count(), shown.len()), (1, 2), "{command}: {shown:?}");
    }
}

#[test]
fn an_alarm_before_anything_keeps_it_from_beginning_and_one_in_the_bake_time_takes_it_back() {
    let Some(account) = account() else { return };
    let template = account.fleet(json!({ "name": "web", "size": 2 }), times());
    let before = account.get("groups/web");
    account.shared();
    let mut wanted = resource(&template, "2");
    wanted["gates"] = json!({ "alarms": ["web-5xx"], "bake_time": "300s" });
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 2, "{ran:?}");
    let found = ran.lines()[0]["diagnostics"][0].clone();
    assert_eq!(found["pointer"], "/resource/rolling_deployment/web/gates/alarms");
    assert!(found["summary"].to_string().contains("does not exist in us-east-1"), "{found}");

    alarm(&account, "web-5xx", "ALARM");
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 1, "{ran:?}");
    let why = report(&ran)["reason"].as_str().expect("a reason").to_owned();
    assert!(why.ends_with("5xx above 1, before anything was begun"), "{why}");
    assert_eq!(account.get("groups/web"), before);

    alarm(&account, "web-5xx", "OK");
    let running = start(&account, &wanted);
    account.until("groups/web", "all new", |group| {
        let instances = group["instances"].as_object().expect("instances").clone();
        let healthy = group["targets"]["web"].as_object().expect("targets").clone();
        let new = |(id, instance): (&String, &Value)| {
            instance["revision"] == json!(format!("{template}:2"))
                && healthy.get(id) == Some(&json!("healthy"))
        };
        instances.iter().filter(|(id, each)| new((id, each))).count() == 2
    });
    // The last of them soaks for a moment yet, which is over after so many looks.
    account.until_called(LOOK, account.count(LOOK) + 10);
    alarm(&account, "web-5xx", "ALARM");
    let ran = end(running);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_as_before(&account, &before, 2, &format!("{template}:1"));
}

#[test]
fn a_second_target_group_that_others_are_in_is_refused_by_name() {
    let Some(account) = account() else { return };
    let made = account.make("fleet", fleet(json!([null, null])), times());
    // One of another fleet.
    let other = account.make("plain", json!({ "name": "other", "size": 1 }), times());
    let (arn, id) = (text(&made["second_target_group_arn"]), text(&other["ids"][0]));
    let form = format!(
        "Version=2015-12-01&Action=RegisterTargets&TargetGroupArn={arn}&Targets.member.1.Id={id}"
    );
    account.query("elasticloadbalancing", &form);
    account.foreign();
    for command in ["plan", "apply"] {
        let ran = account.run(command, &shifting(&made, "traffic_splitting", "2"));
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stdout.contains("targets that are not of the group"), "{ran:?}");
        assert!(ran.stdout.contains(&id), "{ran:?}");
    }
    assert_eq!(account.get("groups/web")["suspended"], json!([]));
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}
