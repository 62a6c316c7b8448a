//! Rollouts that EC2 Auto Scaling carries out by itself, on LocalStack: started, followed, left,
//! joined, cancelled, rolled back.

mod front_ends;
mod under_way;

use serde_json::{Value, json};

use crate::emulator::{Account, account};
use crate::lab::localstack::{assert_as_before, ids, least_serving, report, times};
use crate::process::{self, Ran};

const START: &str = "autoscaling.StartInstanceRefresh";

fn wanted(template: &str, version: &str) -> Value {
    json!({
        "engine": "instance_refresh",
        "policy": "rolling", "batch_size_type": "percentage", "batch_size": 50,
        "poll_interval": "500ms",
        "health": { "min_healthy_time": "300ms" },
        "auto_scaling_group": {
            "name": "web", "launch_template": { "id": template, "version": version },
        },
    })
}

/// A group of `size` that leaves its zones as they are: the lab, unlike AWS, would take an instance
/// away first, which is not done by the refresh.
fn group(size: u32) -> Value {
    json!({
        "name": "web", "size": size, "min": 2, "suspended": ["AZRebalance"],
        "health_check_type": "ELB", "grace": 600,
    })
}

fn four() -> Value {
    let mut group = group(4);
    group["max"] = json!(6);
    group["versions"] = json!([null, null, "unhealthy"]);
    group
}

/// Long enough for a few programs to be started meanwhile.
pub fn slow() -> Value {
    let mut times = times();
    times["boot"] = json!(15);
    times
}

fn events(ran: &Ran, kind: &str) -> Vec<Value> {
    let events = ran.lines().into_iter().map(|line| line["event"].clone());
    events.filter(|event| event["type"] == kind).collect()
}

fn steps(ran: &Ran) -> Vec<Value> {
    events(ran, "delegated_rollout").iter().map(|event| event["step"].clone()).collect()
}

/// Waits until a refresh has been started and has begun to replace.
fn until_it_replaces(account: &Account) {
    process::until("somebody is replaced", || {
        account.timeline().iter().any(|event| event["kind"] == "draining")
    });
}

fn why(ran: &Ran) -> String {
    report(ran)["reason"].as_str().unwrap_or_else(|| panic!("no reason: {ran:?}")).to_owned()
}

#[test]
fn a_group_rolls_by_itself_with_the_policys_percentages_and_nothing_of_ours_is_left_on_it() {
    let Some(account) = account() else { return };
    let template = account.fleet(group(6), times());
    let before = account.get("groups/web");
    let planned = account.run("plan", &wanted(&template, "2"));
    assert_eq!(planned.code, 0, "{planned:?}");
    let plan = &planned.lines()[0]["resources"][0]["plan"];
    assert_eq!((&plan["floor"], &plan["ceiling"]), (&json!(3), &json!(6)));
    assert_eq!(plan["delegated_rollout"]["settings"][0], "min 50 %, max 100 % healthy", "{plan}");
    assert_eq!((&plan["borrows"], &plan["batches"]), (&json!([]), &json!([])));
    assert!(
        plan["warnings"][0].as_str().expect("a warning").contains("by its own rules"),
        "{plan}"
    );
    assert_eq!(account.mutations(), Vec::<String>::new());

    let ran = account.run("apply", &wanted(&template, "2"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(steps(&ran), ["started"]);
    let waits = events(&ran, "waiting");
    assert!(waits.iter().any(|wait| wait["on"][0]["kind"] == "delegated_rollout"), "{waits:?}");
    assert!(ran.stdout.contains("InProgress, "), "{ran:?}");
    assert!(!events(&ran, "progressed").is_empty());
    let run = report(&ran);
    let new = json!(format!("{template}:2"));
    let instances = run["instances"].as_array().expect("instances");
    assert_eq!(instances.len(), 6, "{run}");
    assert!(instances.iter().all(|i| i["revision"] == new && i["serves"] == true), "{run}");
    assert_eq!(run["delegated_rollout"]["status"], "Successful");
    assert_eq!(run["delegated_rollout"]["still_running"], false);
    assert_eq!(run["completed"], format!("{template}:2"));
    assert_eq!(account.mutations(), [START], "nothing else is changed");
    let calls = account.parameters("StartInstanceRefresh");
    assert_eq!(calls.len(), 1);
    assert_eq!(
        calls[0],
        json!({
            "AutoScalingGroupName": "web",
            "DesiredConfiguration": {
                "LaunchTemplate": { "LaunchTemplateId": template, "Version": "2" },
            },
            "Preferences": {
                "MinHealthyPercentage": 50, "MaxHealthyPercentage": 100, "InstanceWarmup": 1,
                "SkipMatching": true, "AutoRollback": true,
                "ScaleInProtectedInstances": "Wait", "StandbyInstances": "Wait",
            },
        })
    );
    assert_as_before(&account, &before, 6, &format!("{template}:2"));
    let after = account.get("groups/web");
    assert_eq!(after["template"]["Version"], "2");
    let timeline = account.timeline();
    assert!(least_serving(&before, &timeline) >= 3);
    assert_eq!(ids(&timeline, "launched").len(), 6);

    let again = account.run("apply", &wanted(&template, "2"));
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(account.count(START), 1, "there is nothing to do");
    let idle = account.run("abort", &wanted(&template, "2"));
    assert_eq!(idle.code, 0, "{idle:?}");
    assert!(idle.stdout.contains("there is no rollout to abort"), "{idle:?}");
}

#[test]
fn a_refresh_that_aws_calls_successful_is_none_where_nothing_serves() {
    let Some(account) = account() else { return };
    let mut group = four();
    // As AWS, Terraform and most groups have it: health in target groups does not count.
    group["health_check_type"] = json!("EC2");
    let template = account.fleet(group, times());
    let mut wanted = wanted(&template, "3");
    wanted["health"]["healthy_timeout"] = json!("20s");
    let planned = account.run("plan", &wanted);
    let plan = &planned.lines()[0]["resources"][0]["plan"];
    assert!(plan["warnings"].to_string().contains("set the type to ELB"), "{planned:?}");
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 1, "{ran:?}");
    let run = report(&ran);
    assert_eq!(
        (&run["outcome"], &run["delegated_rollout"]["status"]),
        (&json!("failed"), &json!("Successful"))
    );
    let message = why(&ran);
    assert!(message.contains("is Successful, and 4 of 4 instances do not serve"), "{message}");
    assert!(message.contains("Health checks failed with these codes: [502]"), "{message}");
    let waits = events(&ran, "waiting");
    assert!(waits.iter().any(|wait| wait["on"][0]["kind"] == "health"), "{waits:?}");
    // Once more: nothing is left to replace, and it is still no success.
    let again = account.run("apply", &wanted);
    assert_eq!((again.code, account.count(START)), (1, 1), "{again:?}");
    assert!(why(&again).contains("4 of 4 instances do not serve"), "{again:?}");
    // A version that serves succeeds, later than AWS says so.
    wanted["auto_scaling_group"]["launch_template"]["version"] = json!("2");
    let good = account.run("apply", &wanted);
    assert_eq!(good.code, 0, "{good:?}");
    let instances = report(&good)["instances"].clone();
    assert!(instances.as_array().expect("them").iter().all(|i| i["serves"] == true), "{instances}");
}

#[test]
fn a_bad_revision_goes_back_by_itself_or_stays_as_asked_and_the_cause_is_told() {
    for (on_failure, code, outcome) in [("rollback", 3, "rolled_back"), ("stop", 1, "failed")] {
        let Some(account) = account() else { return };
        let mut times = times();
        times["refresh_gives_up"] = json!(6);
        times["boot"] = json!(4);
        let template = account.fleet(four(), times);
        let before = account.get("groups/web");
        let mut wanted = wanted(&template, "3");
        wanted["on_failure"] = json!(on_failure);
        let ran = account.run("apply", &wanted);
        assert_eq!(ran.code, code, "{ran:?}");
        let run = report(&ran);
        assert_eq!(run["outcome"], outcome);
        let message = why(&ran);
        assert!(message.contains("did not become healthy within the time allowed"), "{message}");
        assert!(message.contains("Health checks failed with these codes: [502]"), "{message}");
        assert_eq!(account.mutations(), [START]);
        let calls = account.parameters("StartInstanceRefresh");
        assert_eq!(calls[0]["Preferences"]["AutoRollback"], code == 3);
        let after = account.get("groups/web");
        assert_eq!((&after["template"], &after["tags"]), (&before["template"], &before["tags"]));
        let back = events(&ran, "rolling_back");
        assert_eq!(back.len(), usize::from(code == 3), "{back:?}");
        if code == 3 {
            assert_eq!(back[0]["to"], format!("{template}:1"));
            assert_eq!(run["completed"], format!("{template}:1"));
            assert_as_before(&account, &before, 4, &format!("{template}:1"));
        } else {
            // The failure is not forgotten.
            let status = account.run("status", &wanted);
            assert_eq!(status.lines()[0]["resources"][0]["status"], "failed", "{status:?}");
        }
        assert!(least_serving(&before, &account.timeline()) >= 2);
    }
}

#[test]
fn a_launch_that_fails_is_reported_with_the_scaling_activitys_cause() {
    let Some(account) = account() else { return };
    let mut fleet = four();
    fleet["versions"] = json!([null, "fail-launch"]);
    let mut times = times();
    times["refresh_gives_up"] = json!(2);
    let template = account.fleet(fleet, times);
    let ran = account.run("apply", &wanted(&template, "2"));
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(why(&ran).contains("InsufficientInstanceCapacity"), "{}", why(&ran));
}

#[test]
fn a_mixed_instances_policy_keeps_its_types() {
    let Some(account) = account() else { return };
    let types = json!([{ "InstanceType": "t3.micro" }, { "InstanceType": "m5.large" }]);
    let mut fleet = four();
    fleet["mixed_instances"] = types.clone();
    let template = account.fleet(fleet, times());
    let mut wanted = wanted(&template, "2");
    wanted["policy"] = json!("rolling_with_additional_batch");
    let before = account.get("groups/web");
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    let calls = account.parameters("StartInstanceRefresh");
    let policy = &calls[0]["DesiredConfiguration"]["MixedInstancesPolicy"]["LaunchTemplate"];
    assert_eq!(policy["Overrides"], types);
    assert_eq!(policy["LaunchTemplateSpecification"]["Version"], "2");
    let run = &calls[0]["Preferences"];
    assert_eq!(
        (&run["MinHealthyPercentage"], &run["MaxHealthyPercentage"]),
        (&json!(100), &json!(150))
    );
    assert_as_before(&account, &before, 4, &format!("{template}:2"));
    assert!(least_serving(&before, &account.timeline()) >= 4);
}

#[test]
fn checkpoints_and_a_bake_time_are_kept_by_the_group_itself() {
    let Some(account) = account() else { return };
    let template = account.fleet(four(), times());
    let mut wanted = wanted(&template, "2");
    wanted["checkpoints"] = json!([{ "percentage": 50, "pause": "6s" }]);
    wanted["gates"] = json!({ "bake_time": "6s" });
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    let calls = account.parameters("StartInstanceRefresh");
    let run = &calls[0]["Preferences"];
    assert_eq!(run["CheckpointPercentages"], json!([50, 100]));
    assert_eq!((&run["CheckpointDelay"], &run["BakeTime"]), (&json!(6), &json!(6)));
    let message = "Waiting 6 seconds after reaching the 50% checkpoint";
    assert!(ran.stdout.contains(message), "{ran:?}");
    assert!(ran.stdout.contains("Baking, 100 %"), "{ran:?}");
}

#[test]
fn a_lost_answer_and_a_faulty_network_start_it_only_once() {
    let Some(account) = account() else { return };
    let template = account.fleet(four(), times());
    account.put(
        "faults",
        json!([
            { "kind": "drop_after", "action": START },
            { "kind": "throttle", "action": "reads", "count": null, "every": 5 },
        ]),
    );
    let ran = account.run("apply", &wanted(&template, "2"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!((steps(&ran), account.count(START)), (vec![json!("started")], 1));
    assert_eq!(report(&ran)["delegated_rollout"]["status"], "Successful");
}

#[test]
fn what_prevents_a_refresh_is_refused_by_name_before_anything_is_started() {
    let Some(account) = account() else { return };
    let template = account.fleet(four(), times());
    account.put(
        "groups/web",
        json!({
            "SuspendedProcesses": [{ "ProcessName": "InstanceRefresh" }],
        }),
    );
    let refused = account.run("apply", &wanted(&template, "2"));
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stdout.contains("has suspended InstanceRefresh"), "{refused:?}");
    for command in ["status", "abort"] {
        let run = account.run(command, &wanted(&template, "2"));
        assert_eq!(run.code, 0, "{command}: {run:?}");
    }
    let latest = json!({ "LaunchTemplateId": template, "Version": "$Latest" });
    account.put("groups/web", json!({ "SuspendedProcesses": [], "LaunchTemplate": latest }));
    let refused = account.run("apply", &wanted(&template, "1"));
    assert_eq!(refused.code, 2, "{refused:?}");
    let found = &refused.lines()[0]["diagnostics"][0];
    assert_eq!(found["pointer"], "/resource/rolling_deployment/web/on_failure", "{found}");
    assert!(found["summary"].to_string().contains("$Latest"), "{found}");
    assert_eq!(account.mutations(), Vec::<String>::new());

    account.put(
        "groups/web",
        json!({ "LaunchTemplate": {
            "LaunchTemplateId": template, "Version": "1",
        }}),
    );
    let healthy = account.run("doctor", &wanted(&template, "2"));
    assert_eq!(healthy.code, 0, "{healthy:?}");
    let untried = &healthy.lines()[0]["resources"][0]["untried"];
    assert!(untried.to_string().contains("autoscaling:StartInstanceRefresh"), "{untried}");
    let calls = account.mutations();
    assert!(calls.iter().all(|call| call == "ec2.RunInstances"), "a dry run: {calls:?}");
    account.put("faults", json!([{ "kind": "deny", "action": START, "count": null }]));
    let denied = account.run("apply", &wanted(&template, "2"));
    assert_eq!(denied.code, 1, "{denied:?}");
    let message = "allow autoscaling:StartInstanceRefresh to these credentials";
    assert!(why(&denied).contains(message), "{}", why(&denied));
}
