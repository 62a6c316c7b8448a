//! What cannot be shifted, or not any more: each is named.

use serde_json::{Value, json};

use super::{fleet, made, shifting, weights};
use crate::emulator::account;
use crate::lab::localstack::times;
use crate::lab::promises::{kill, start};

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
        account.assert_refused(wanted, place, message);
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
    assert_eq!(account.run("plan", &wanted).code, 0, "33 of 100 can be made");
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
fn a_rollout_one_of_whose_rules_is_gone_is_shown_and_put_back_but_not_resumed() {
    for command in ["abort", "rollback"] {
        let Some(account) = account() else { return };
        let (made, before) = made(&account, json!([null, null]));
        account.shared();
        let wanted = shifting(&made, "traffic_splitting", "2");
        let engine = start(&account, &wanted);
        // Both rules are shifted by then: a listener's default, and one of its own.
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
        // The other rule has its weights again.
        let shown = weights(&account.timeline());
        let back = shown.values().filter(|weights| weights.last() == Some(&(100, 0)));
        assert_eq!((back.count(), shown.len()), (1, 2), "{command}: {shown:?}");
    }
}

#[test]
fn a_second_target_group_that_others_are_in_is_refused_by_name() {
    let Some(account) = account() else { return };
    let made = account.make("fleet", fleet(json!([null, null])), times());
    // An instance of another fleet.
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
