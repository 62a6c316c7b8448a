//! Unmanaged instances that are in other target groups, too, or have what no template gives them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::emulator::{Account, account};
use crate::lab::instances::{WEB, assert_as_before, resource};
use crate::lab::localstack::{bad, ids, least_serving, times};
use crate::lab::promises::{killed_at, start};
use crate::process::end;

/// Six instances in `web` on a port of their own, of which `in_admin` are in `admin`, too.
fn six(in_admin: u32, versions: Value) -> Value {
    json!({
        "name": "web", "size": 6, "port": 8080, "versions": versions,
        "target_groups": [{ "name": "web" }, { "name": "admin" }], "also_in": [in_admin],
    })
}

/// Checks that every terminated instance had left every target group before, and that every live
/// one is healthy in both.
fn assert_kept_in_both(account: &Account, before: &Value, floor: usize) {
    let timeline = account.timeline();
    let left = |id: &str, group: &str, before: f64| {
        timeline.iter().any(|event| {
            event["kind"] == "deregistered"
                && event["instance"] == id
                && event["target_group"] == group
                && event["at"].as_f64() <= Some(before)
        })
    };
    for event in timeline.iter().filter(|event| event["kind"] == "terminating") {
        let (id, at) = (event["instance"].as_str().expect("an id"), event["at"].as_f64());
        for group in ["web", "admin"] {
            // An instance that still booted when its version was given up was in none.
            let served = timeline.iter().any(|event| {
                event["kind"] == "healthy"
                    && event["instance"] == id
                    && event["target_group"] == group
            });
            let was_in = served || before["targets"][group].get(id).is_some();
            let has_left = !was_in || left(id, group, at.expect("a time"));
            assert!(has_left, "{id} had not left {group}");
        }
    }
    assert!(least_serving(before, &timeline) >= floor);
    let after = account.get(WEB);
    let live: BTreeSet<&String> =
        after["instances"].as_object().expect("instances").keys().collect();
    for group in ["web", "admin"] {
        let targets = after["targets"][group].as_object().expect("targets");
        assert!(targets.values().all(|state| state == "healthy"), "{group}: {targets:?}");
        assert_eq!(targets.keys().collect::<BTreeSet<_>>(), live, "{group}");
    }
}

#[test]
fn instances_in_two_target_groups_leave_both_and_their_replacements_join_both() {
    let Some(account) = account() else { return };
    let made = account.make("plain", six(6, json!([null, null])), times());
    let before = account.get(WEB);
    let planned = account.run("plan", &resource(&made, "2"));
    let plan = &planned.lines()[0]["resources"][0]["plan"];
    assert_eq!(plan["target_groups"].as_object().expect("target groups").len(), 2, "{plan}");
    let ran = account.run("apply", &resource(&made, "2"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_as_before(&account, &before, "2");
    assert_kept_in_both(&account, &before, 5);
    assert_eq!(ids(&account.timeline(), "launched").len(), 6);
    let again = account.run("apply", &resource(&made, "2"));
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(account.count("ec2.RunInstances"), 6, "nothing to do");
}

/// In a target group of type `ip` an instance is its primary private address, in every call.
#[test]
fn in_a_target_group_of_addresses_they_are_rolled_by_their_addresses() {
    for kinds in [["ip", "instance"], ["instance", "ip"]] {
        let Some(account) = account() else { return };
        let mut wanted = six(6, json!([null, null]));
        for (group, kind) in kinds.iter().enumerate() {
            wanted["target_groups"][group]["target_type"] = json!(kind);
        }
        let made = account.make("plain", wanted, times());
        let before = account.get(WEB);
        let ran = account.run("apply", &resource(&made, "2"));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_as_before(&account, &before, "2");
        assert_kept_in_both(&account, &before, 5);
        for action in ["RegisterTargets", "DeregisterTargets"] {
            let calls = account.parameters(action);
            for (arn, kind) in made["target_group_arns"].as_array().expect("ARNs").iter().zip(kinds)
            {
                let of_group = calls.iter().filter(|call| call["TargetGroupArn"] == *arn);
                let targets: Vec<&Value> = of_group
                    .flat_map(|call| call["Targets"].as_array().expect("targets"))
                    .collect();
                assert!(targets.len() >= 6, "{action} {targets:?}");
                for target in targets {
                    let is_id = target["Id"].as_str().expect("an id").starts_with("i-");
                    assert_eq!(is_id, kind == "instance", "{action} {target}");
                }
            }
        }
        let again = account.run("apply", &resource(&made, "2"));
        assert_eq!(again.code, 0, "{again:?}");
        assert_eq!(account.count("ec2.RunInstances"), 6, "nothing to do");
    }
}

#[test]
fn a_rollback_and_a_kill_leave_them_in_both_target_groups() {
    let Some(account) = account() else { return };
    let made = account.make("plain", six(6, json!([null, "unhealthy", null])), times());
    let before = account.get(WEB);
    let ran = account.run("apply", &bad(resource(&made, "2")));
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_as_before(&account, &before, "1");
    assert_kept_in_both(&account, &before, 5);

    killed_at(&account, &resource(&made, "3"), ("elbv2.DeregisterTargets", 9));
    let ran = account.run("apply", &resource(&made, "3"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_as_before(&account, &before, "3");
    assert_kept_in_both(&account, &before, 5);
}

#[test]
fn an_instance_that_is_protected_from_termination_is_named_before_any_drains() {
    let Some(account) = account() else { return };
    let made = account.make("plain", six(6, json!([null, null])), times());
    let id = made["ids"][2].as_str().expect("an id");
    let protect = "Version=2016-11-15&Action=ModifyInstanceAttribute&DisableApiTermination.Value=";
    account.query("ec2", &format!("{protect}true&InstanceId={id}"));
    account.foreign();
    let planned = account.run("plan", &resource(&made, "2"));
    let ran = account.run("apply", &resource(&made, "2"));
    assert_eq!(ran.code, 2, "{ran:?}");
    for ran in [planned, ran] {
        assert!(ran.stdout.contains(&format!("protected from termination: {id}")), "{ran:?}");
    }
    let done = account.mutations();
    assert_eq!(done, ["ec2.ModifyInstanceAttribute"], "the rollout did nothing");
    account.query("ec2", &format!("{protect}false&InstanceId={id}"));
    account.foreign();
    assert_eq!(account.run("apply", &resource(&made, "2")).code, 0);
}

#[test]
fn a_target_group_that_holds_some_of_the_instances_is_refused_by_name() {
    let Some(account) = account() else { return };
    let made = account.make("plain", six(2, json!([null, null])), times());
    for command in ["plan", "apply"] {
        let ran = account.run(command, &resource(&made, "2"));
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stdout.contains(r#"are in target group \"admin\", too"#), "{ran:?}");
        assert!(ran.stdout.contains("/target_group/arn"), "{ran:?}");
    }
    assert_eq!(account.mutations(), Vec::<String>::new());
}

/// Returns the same fleet in a document that names `admin`.
fn through_admin(made: &Value, version: &str) -> Value {
    let mut wanted = resource(made, version);
    wanted["target_group"]["arn"] = made["target_group_arns"][1].clone();
    wanted
}

#[test]
fn through_either_target_group_it_is_one_fleet_with_one_record() {
    let Some(account) = account() else { return };
    let made = account.make("plain", six(6, json!([null, null, null])), times());
    let before = account.get(WEB);
    // A rollout through the other target group finds the one that is under way.
    let rolling = start(&account, &resource(&made, "2"));
    account.until_called("elbv2.DeregisterTargets", 2);
    let refused = account.run("apply", &through_admin(&made, "3"));
    assert_eq!(refused.code, 5, "{refused:?}");
    let ran = end(rolling);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_as_before(&account, &before, "2");
    assert_kept_in_both(&account, &before, 5);
    assert_eq!(ids(&account.timeline(), "launched").len(), 6);

    // It also continues one that was killed, to the same version and to another.
    for (first, second) in [("3", "3"), ("1", "2")] {
        let launched = ids(&account.timeline(), "launched").len();
        killed_at(
            &account,
            &resource(&made, first),
            ("ec2.TerminateInstances", launched as u64 + 1),
        );
        let planned = account.run("plan", &through_admin(&made, second));
        assert_eq!(planned.code, 0, "{planned:?}");
        let ran = account.run("apply", &through_admin(&made, second));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_as_before(&account, &before, second);
        assert_kept_in_both(&account, &before, 5);
        if first == second {
            assert_eq!(ids(&account.timeline(), "launched").len(), launched + 6);
        }
    }
}

/// `admin`, where the record might be by its ARN, also has an instance of another fleet.
#[test]
fn an_instance_that_is_only_in_another_target_group_is_of_another_fleet() {
    let Some(account) = account() else { return };
    let made = account.make("plain", six(6, json!([null, null, null])), times());
    let other = account.make("plain", json!({ "name": "other", "size": 1 }), times());
    let id = other["ids"][0].as_str().expect("an id");
    let admin = made["target_group_arns"][1].as_str().expect("an ARN");
    let form = format!(
        "Version=2015-12-01&Action=RegisterTargets&TargetGroupArn={admin}&Targets.member.1.Id={id}"
    );
    account.query("elasticloadbalancing", &form);
    account.until(WEB, "it serves there", |fleet| fleet["targets"]["admin"][id] == "healthy");
    account.foreign();
    let is_untouched = || {
        let fleet = account.get(WEB);
        assert!(fleet["instances"].get(id).is_some(), "{fleet}");
        assert_eq!(fleet["targets"]["admin"][id], "healthy", "{fleet}");
        assert!(fleet["targets"]["web"].get(id).is_none(), "{fleet}");
    };
    let ran = account.run("apply", &resource(&made, "2"));
    assert_eq!(ran.code, 0, "{ran:?}");
    is_untouched();
    assert_eq!(ids(&account.timeline(), "launched").len(), 6, "{ran:?}");
    let refused = account.run("apply", &through_admin(&made, "3"));
    assert_eq!(refused.code, 2, "some of them are in web: {refused:?}");
    killed_at(&account, &resource(&made, "3"), ("elbv2.DeregisterTargets", 13));
    let refused = account.run("apply", &through_admin(&made, "3"));
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stdout.contains("is under way, and"), "{refused:?}");
    let ran = account.run("apply", &resource(&made, "3"));
    assert_eq!(ran.code, 0, "{ran:?}");
    is_untouched();
}
