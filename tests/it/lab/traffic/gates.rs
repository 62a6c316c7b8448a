//! Gates on LocalStack: alarms, addresses and commands, and what they lead to.

use serde_json::{Value, json};

use super::{assert_answered, assert_back, made, shifting, until_shifted};
use crate::emulator::{Account, account};
use crate::lab::localstack::{LOOK, assert_as_before, ids, report, resource, times};
use crate::lab::promises::start;
use crate::process::end;

/// Makes an alarm, and sets its state.
fn alarm(account: &Account, name: &str, state: &str) {
    let known = "Namespace=lab&MetricName=errors&EvaluationPeriods=1&Period=60&Statistic=Sum\
                 &Threshold=1&ComparisonOperator=GreaterThanThreshold";
    let form = |action: &str| format!("Version=2010-08-01&Action={action}&AlarmName={name}");
    account.query("monitoring", &format!("{}&{known}", form("PutMetricAlarm")));
    let state = format!("StateValue={state}&StateReason=5xx%20above%201");
    account.query("monitoring", &format!("{}&{state}", form("SetAlarmState")));
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
        let message = "alarms web-5xx did not pass: web-5xx is in ALARM: 5xx above 1";
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
fn gates_are_asked_on_the_way_and_their_answers_are_in_the_events() {
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
    let replies = reply.iter().filter(|(gate, _)| gate.starts_with("command "));
    let replies: Vec<&str> = replies.map(|(_, reply)| reply.as_str()).collect();
    assert_eq!(replies, ["exit code 0: web 1", "exit code 0: web 2", "exit code 0: web 3"]);
}

#[test]
fn an_alarm_at_first_keeps_a_rollout_from_beginning_and_one_in_the_bake_time_rolls_it_back() {
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
    // The last instance soaks a little longer, which is over after so many looks.
    account.until_called(LOOK, account.count(LOOK) + 10);
    alarm(&account, "web-5xx", "ALARM");
    let ran = end(running);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_as_before(&account, &before, 2, &format!("{template}:1"));
}
