//! Groups as users have them: a choice of instance types, weights, warm pools, hooks, zones without
//! capacity. On LocalStack.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::emulator::{Account, account};
use crate::lab::localstack::{
    LOOK, assert_drained_before_terminated, bad, ids, least_serving, least_units, report, resource,
    times,
};
use crate::lab::promises::start;
use crate::process;

/// Returns the instances that the group has in service.
fn live(account: &Account) -> Vec<Value> {
    let group = account.get("groups/web");
    let instances = group["instances"].as_object().expect("instances").values();
    instances.filter(|instance| instance["lifecycle"] == "InService").cloned().collect()
}

pub fn assert_all_on(account: &Account, size: usize, revision: &str) {
    let live = live(account);
    assert_eq!(live.len(), size, "{live:?}");
    assert!(live.iter().all(|instance| instance["revision"] == revision), "{live:?}");
}

fn policy(resource: &mut Value, policy: &str) {
    resource["policy"] = json!(policy);
}

#[test]
fn a_mixed_instances_policy_is_moved_to_the_new_version_and_keeps_its_types() {
    for (name, version, code) in [("rolling_with_additional_batch", "2", 0), ("rolling", "3", 3)] {
        let Some(account) = account() else { return };
        let types = json!([{ "InstanceType": "t3.micro" }, { "InstanceType": "m5.large" }]);
        let fleet = json!({
            "name": "web", "size": 6, "max": 8, "mixed_instances": types,
            "versions": [null, null, "unhealthy"],
        });
        let template = account.fleet(fleet, times());
        let before = account.get("groups/web");
        let mut wanted = resource(&template, version);
        if code != 0 {
            wanted = bad(wanted);
        }
        policy(&mut wanted, name);
        let ran = account.run("apply", &wanted);
        assert_eq!(ran.code, code, "{ran:?}");
        let runs = if code == 0 { version } else { "1" };
        assert_all_on(&account, 6, &format!("{template}:{runs}"));
        let policies = account.parameters("UpdateAutoScalingGroup");
        let policies = policies.iter().filter(|call| call["MixedInstancesPolicy"].is_object());
        let policies: Vec<&Value> = policies.map(|call| &call["MixedInstancesPolicy"]).collect();
        assert!(!policies.is_empty());
        for policy in policies {
            assert_eq!(policy["LaunchTemplate"]["Overrides"], types);
        }
        let timeline = account.timeline();
        assert!(least_serving(&before, &timeline) >= if code == 0 { 6 } else { 5 });
        assert_drained_before_terminated(&timeline);
    }
}

#[test]
fn a_group_of_weights_is_rolled_without_surge_or_not_at_all() {
    let Some(account) = account() else { return };
    let types = json!([
        { "InstanceType": "t3.micro", "WeightedCapacity": "1" },
        { "InstanceType": "m5.large", "WeightedCapacity": "2" },
    ]);
    let fleet = json!({ "name": "web", "size": 9, "max": 12, "mixed_instances": types });
    let template = account.fleet(fleet, times());
    let before = account.get("groups/web");
    let size = live(&account).len();
    assert!(size < 9, "weights of 1 and 2 make {size} instances of 9 units");

    let mut wanted = resource(&template, "2");
    policy(&mut wanted, "rolling_with_additional_batch");
    let refused = account.run("apply", &wanted);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stdout.contains("counts its instances by weights"), "{refused:?}");
    assert_eq!(account.mutations(), Vec::<String>::new());

    policy(&mut wanted, "rolling");
    let planned = account.run("plan", &wanted);
    // Thirty percent of nine units are two, and no instance weighs more.
    assert!(planned.stdout.contains(r#""units":{"desired":9,"floor":7}"#), "{planned:?}");
    assert!(planned.stdout.contains("sizes of batches change on the way"), "{planned:?}");
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    let live = live(&account);
    let revisions: BTreeSet<&str> =
        live.iter().map(|instance| instance["revision"].as_str().expect("one")).collect();
    assert_eq!(revisions, BTreeSet::from([format!("{template}:2").as_str()]));
    let after = account.get("groups/web");
    for what in ["min", "max", "desired", "suspended", "tags"] {
        assert_eq!(after[what], before[what], "{what}");
    }
    let weight = |id: &str| {
        let known = [&before, &after].map(|group| group["instances"][id]["weight"].as_u64());
        // Zones that are out of balance at the end are balanced by the group itself, as soon as
        // AZRebalance is resumed: an instance that it ends weighs no more than the heaviest type.
        usize::try_from(known.into_iter().flatten().next().unwrap_or(2)).expect("small")
    };
    assert!(least_units(&before, &account.timeline(), weight) >= 7);
}

#[test]
fn a_warm_pool_is_refreshed_before_anything_is_launched_from_it() {
    let Some(account) = account() else { return };
    let pool = json!({ "MinSize": 3, "PoolState": "Stopped" });
    let fleet = json!({ "name": "web", "size": 4, "max": 6, "warm_pool": pool });
    let template = account.fleet(fleet, times());
    let before = account.get("groups/web");
    let ran = account.run("apply", &resource(&template, "2"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_all_on(&account, 4, &format!("{template}:2"));
    let discarded = account.parameters("TerminateInstances");
    assert_eq!(discarded.len(), 1, "one call for all of the pool: {discarded:?}");
    let timeline = account.timeline();
    let replaced = ids(&timeline, "draining");
    assert_eq!(replaced.len(), 4, "no instance is replaced twice: {replaced:?}");
    assert!(least_serving(&before, &timeline) >= 3);
}

#[test]
fn hooks_are_waited_for_or_completed_as_asked() {
    for complete in [false, true] {
        let Some(account) = account() else { return };
        let hook = |name: &str, transition: &str| {
            json!({
                "LifecycleHookName": name, "HeartbeatTimeout": 600, "DefaultResult": "CONTINUE",
                "LifecycleTransition": format!("autoscaling:EC2_INSTANCE_{transition}"),
            })
        };
        let hooks = json!([hook("up", "LAUNCHING"), hook("down", "TERMINATING")]);
        let fleet = json!({ "name": "web", "size": 3, "hooks": hooks });
        let mut times = times();
        // Hooks that nobody completes run out.
        times["hook_timeout"] = if complete { json!(null) } else { json!(0.5) };
        let template = account.fleet(fleet, times);
        let mut wanted = resource(&template, "2");
        wanted["batch_size_type"] = json!("fixed");
        wanted["batch_size"] = json!(1);
        if complete {
            wanted["lifecycle_hooks"] = json!("complete");
        }
        let ran = account.run("apply", &wanted);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_all_on(&account, 3, &format!("{template}:2"));
        let (mut at_once, mut most) = (0, 0);
        for event in account.timeline() {
            match event["kind"].as_str() {
                Some("terminating") => at_once += 1,
                Some("terminated") => at_once -= 1,
                _ => {}
            }
            most = most.max(at_once);
        }
        assert_eq!(
            (most, at_once),
            (1, 0),
            "a batch, and the end, wait until its instance is gone"
        );
        let completed = account.parameters("CompleteLifecycleAction");
        let named: BTreeSet<&str> =
            completed.iter().map(|call| call["LifecycleHookName"].as_str().expect("it")).collect();
        match complete {
            true => assert!(named.contains("up"), "{completed:?}"),
            false => assert!(named.is_empty(), "{completed:?}"),
        }
    }
}

#[test]
fn a_zone_without_capacity_is_made_up_for_and_no_capacity_at_all_is_told() {
    for (zones, code) in
        [(json!(["us-east-1a"]), 0), (json!(["us-east-1a", "us-east-1b", "us-east-1c"]), 3)]
    {
        let Some(account) = account() else { return };
        let template = account.fleet(json!({ "name": "web", "size": 3 }), times());
        let mut scarce = times();
        scarce["no_capacity"] = zones.clone();
        // Without capacity anywhere the rollback has none either: it comes back meanwhile.
        account.put("times", scarce);
        let mut wanted = resource(&template, "2");
        if code != 0 {
            wanted = bad(wanted);
        }
        let ran = std::thread::scope(|scope| {
            let ran = scope.spawn(|| account.run("apply", &wanted));
            if code == 3 {
                // The template is moved to the new version, and then back.
                process::until("it rolls back", || {
                    ran.is_finished() || account.count("autoscaling.UpdateAutoScalingGroup") >= 2
                });
                let mut plenty = times();
                plenty["no_capacity"] = json!([]);
                account.put("times", plenty);
            }
            ran.join().expect("a run")
        });
        assert_eq!(ran.code, code, "{ran:?}");
        let runs = if code == 0 { 2 } else { 1 };
        assert_all_on(&account, 3, &format!("{template}:{runs}"));
        if code == 3 {
            let why = report(&ran)["reason"].as_str().expect("a reason").to_owned();
            assert!(why.contains("InsufficientInstanceCapacity"), "{why}");
        }
    }
}

/// What a user writes who has an image and no template version for it.
fn by_image(image: &Value) -> Value {
    let mut wanted = resource("-", "-");
    wanted["auto_scaling_group"] = json!({ "name": "web", "image_id": image });
    wanted
}

#[test]
fn an_image_gets_a_version_of_the_groups_own_template_once() {
    for engine in ["rolling", "instance_refresh"] {
        let Some(account) = account() else { return };
        let fleet = json!({
            "name": "web", "size": 3, "versions": [null], "suspended": ["AZRebalance"],
        });
        let template = account.fleet(fleet, times());
        let before = account.get("groups/web");
        let images = account.put("images", json!({ "images": [null, "unhealthy"] }));
        let (good, worse) = (images["image_ids"][0].clone(), images["image_ids"][1].clone());
        let mut wanted = by_image(&good);
        if engine == "instance_refresh" {
            wanted["engine"] = json!(engine);
            wanted["health"] = json!({ "min_healthy_time": "1s" });
        }
        let plan = account.run("plan", &wanted);
        assert_eq!(plan.code, 0, "{plan:?}");
        let answer = plan.lines()[0]["resources"][0]["plan"].clone();
        let message = format!("a version of launch template {template} is made of version 1 with");
        assert!(answer["warnings"].to_string().contains(&message), "{answer}");
        assert_eq!(account.count("ec2.CreateLaunchTemplateVersion"), 0, "a plan makes nothing");

        let ran = account.run("apply", &wanted);
        assert_eq!(ran.code, 0, "{engine}: {ran:?}");
        assert_all_on(&account, 3, &format!("{template}:2"));
        assert_eq!(account.count("ec2.CreateLaunchTemplateVersion"), 1);
        let made = account.parameters("CreateLaunchTemplateVersion").remove(0);
        assert_eq!(
            (&made["SourceVersion"], &made["LaunchTemplateData"]["ImageId"]),
            (&json!("1"), &good)
        );
        assert_eq!(account.get("groups/web")["tags"], before["tags"]);
        let again = account.run("plan", &wanted);
        assert_eq!(again.lines()[0]["changes"], false, "{again:?}");
        if engine == "instance_refresh" {
            continue;
        }
        // A bad image is rolled back, and its version is found again instead of made again.
        for _ in 0..2 {
            let ran = account.run("apply", &bad(by_image(&worse)));
            assert_eq!(ran.code, 3, "{ran:?}");
            assert_all_on(&account, 3, &format!("{template}:2"));
            assert_eq!(account.count("ec2.CreateLaunchTemplateVersion"), 2);
        }
        let none = by_image(&json!("ami-00000000000000000"));
        let refused = account.run("apply", &none);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stdout.contains("does not exist in us-east-1"), "{refused:?}");
    }
}

pub fn called_for_an_image() -> BTreeSet<String> {
    let Some(account) = account() else { return BTreeSet::new() };
    let images = account.put("images", json!({ "images": [null] }));
    account.fleet(json!({ "name": "web", "size": 1, "versions": [null] }), times());
    let ran = account.run("apply", &by_image(&images["image_ids"][0]));
    assert_eq!(ran.code, 0, "{ran:?}");
    account.called()
}

/// Protects one of the group's instances from scale-in, and puts another one in standby.
fn set_aside(account: &Account) -> (String, String) {
    let group = account.get("groups/web");
    let ids: Vec<String> =
        group["instances"].as_object().expect("instances").keys().cloned().collect();
    let ask = |action: &str, id: &str, more: &str| {
        account.query(
            "autoscaling",
            &format!(
                "Version=2011-01-01&Action={action}&AutoScalingGroupName=web\
                 &InstanceIds.member.1={id}&{more}"
            ),
        );
    };
    ask("SetInstanceProtection", &ids[0], "ProtectedFromScaleIn=true");
    ask("EnterStandby", &ids[1], "ShouldDecrementDesiredCapacity=true");
    account.until("groups/web", "in standby", |group| {
        group["instances"][&ids[1]]["lifecycle"] == "Standby"
    });
    (ids[0].clone(), ids[1].clone())
}

#[test]
fn instances_that_are_protected_or_in_standby_are_replaced_or_left_as_asked() {
    for rule in ["refresh", "ignore"] {
        let Some(account) = account() else { return };
        let template = account.fleet(json!({ "name": "web", "size": 4, "min": 0 }), times());
        account.shared();
        let (protected, standby) = set_aside(&account);
        let mut wanted = resource(&template, "2");
        wanted["scale_in_protected_instances"] = json!(rule);
        wanted["standby_instances"] = json!(rule);
        let ran = account.run("apply", &wanted);
        assert_eq!(ran.code, 0, "{rule}: {ran:?}");
        let after = account.get("groups/web")["instances"].clone();
        // An instance on its way out is not waited for.
        let stays = |instance: &&Value| instance["lifecycle"] != "Terminating";
        let found = |id: &str| after.get(id).filter(stays).map(|it| it["revision"].clone());
        let old = Some(json!(format!("{template}:1")));
        let expected = if rule == "refresh" { None } else { old };
        assert_eq!((found(&protected), found(&standby)), (expected.clone(), expected), "{after}");
        let new = live(&account);
        let new = new.iter().filter(|i| i["revision"] == json!(format!("{template}:2")));
        assert_eq!(new.count(), if rule == "refresh" { 3 } else { 2 }, "{after}");
    }
}

#[test]
fn a_protected_instance_is_waited_for_until_its_protection_ends() {
    let Some(account) = account() else { return };
    let template = account.fleet(json!({ "name": "web", "size": 3, "min": 0 }), times());
    account.shared();
    let (protected, standby) = set_aside(&account);
    let running = start(&account, &resource(&template, "2"));
    let new = json!(format!("{template}:2"));
    account.until("groups/web", "the third is replaced", |group| {
        let mut instances = group["instances"].as_object().expect("instances").values();
        instances.any(|i| i["revision"] == new && i["lifecycle"] == "InService")
    });
    // Once the new instance has soaked, only those two are left.
    account.until_called(LOOK, account.count(LOOK) + 10);
    assert_eq!(account.get("groups/web")["instances"][&protected]["lifecycle"], "InService");
    let form = "Version=2011-01-01&AutoScalingGroupName=web&InstanceIds.member.1=";
    account.query(
        "autoscaling",
        &format!("{form}{protected}&Action=SetInstanceProtection&ProtectedFromScaleIn=false"),
    );
    account.query("autoscaling", &format!("{form}{standby}&Action=ExitStandby"));
    let ran = process::end(running);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_all_on(&account, 3, &format!("{template}:2"));
    let waited = ran.stdout.lines().any(|line| line.contains("\"set_aside\""));
    assert!(waited, "{ran:?}");
}

#[test]
fn a_maintenance_policy_and_capacity_rebalancing_stay_and_are_told_of() {
    let Some(account) = account() else { return };
    let policy = json!({ "MinHealthyPercentage": 100, "MaxHealthyPercentage": 110 });
    let fleet = json!({
        "name": "web", "size": 3, "max": 3, "maintenance_policy": policy,
        "capacity_rebalance": true,
        "mixed_instances": [{ "InstanceType": "t3.micro" }, { "InstanceType": "m5.large" }],
    });
    let template = account.fleet(fleet, times());
    let before = account.get("groups/web");
    let mut wanted = resource(&template, "2");
    wanted["policy"] = json!("rolling_with_additional_batch");
    let plan = account.run("plan", &wanted);
    assert!(plan.stdout.contains("the group rebalances capacity"), "{plan:?}");
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_all_on(&account, 3, &format!("{template}:2"));
    let after = account.get("groups/web");
    for what in ["min", "max", "desired", "suspended", "tags", "maintenance_policy"] {
        assert_eq!(after[what], before[what], "{what}");
    }
    assert!(least_serving(&before, &account.timeline()) >= 3);
}
