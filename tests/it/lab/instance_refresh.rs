//! Rollouts that EC2 Auto Scaling carries out by itself, on LocalStack: started, followed, left,
//! joined, cancelled, turned back.

use serde_json::{Value, json};

use crate::emulator::{Account, account};
use crate::lab::localstack::{assert_as_before, ids, least_serving, report, times};
use crate::lab::promises::{kill, start};
use crate::process::{self, Ran, end, signal};
use crate::terraform_host::Plugin;

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

/// A group of `size` that leaves its zones as they are: in the lab, unlike AWS, one is taken away
/// first, which is no doing of the refresh.
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
fn slow() -> Value {
    let mut times = times();
    times["boot"] = json!(15);
    times
}

fn events(ran: &Ran, kind: &str) -> Vec<Value> {
    let events = ran.lines().into_iter().map(|line| line["event"].clone());
    events.filter(|event| event["type"] == kind).collect()
}

fn steps(ran: &Ran) -> Vec<Value> {
    events(ran, "instance_refresh").iter().map(|event| event["step"].clone()).collect()
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
    assert_eq!(plan["instance_refresh"][0], "min 50 %, max 100 % healthy", "{plan}");
    assert_eq!((&plan["borrows"], &plan["batches"]), (&json!([]), &json!([])));
    assert!(plan["warnings"][0].as_str().expect("words").contains("by its own rules"), "{plan}");
    assert_eq!(account.mutations(), Vec::<String>::new());

    let ran = account.run("apply", &wanted(&template, "2"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(steps(&ran), ["started"]);
    let waits = events(&ran, "waiting");
    assert!(waits.iter().any(|wait| wait["on"][0]["kind"] == "instance_refresh"), "{waits:?}");
    assert!(ran.stdout.contains("InProgress, "), "{ran:?}");
    assert!(!events(&ran, "progressed").is_empty());
    let told = report(&ran);
    let new = json!(format!("{template}:2"));
    let instances = told["instances"].as_array().expect("instances");
    assert_eq!(instances.len(), 6, "{told}");
    assert!(instances.iter().all(|i| i["revision"] == new && i["serves"] == true), "{told}");
    assert_eq!(told["instance_refresh"]["status"], "Successful");
    assert_eq!(told["instance_refresh"]["still_running"], false);
    assert_eq!(told["completed"], format!("{template}:2"));
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
    // As AWS, Terraform and most groups have it: what target groups say is not asked for.
    group["health_check_type"] = json!("EC2");
    let template = account.fleet(group, times());
    let mut wanted = wanted(&template, "3");
    wanted["health"]["healthy_timeout"] = json!("20s");
    let planned = account.run("plan", &wanted);
    let plan = &planned.lines()[0]["resources"][0]["plan"];
    assert!(plan["warnings"].to_string().contains("set the type to ELB"), "{planned:?}");
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 1, "{ran:?}");
    let told = report(&ran);
    assert_eq!(
        (&told["outcome"], &told["instance_refresh"]["status"]),
        (&json!("failed"), &json!("Successful"))
    );
    let message = why(&ran);
    assert!(message.contains("is Successful, and 4 of 4 instances do not serve"), "{message}");
    assert!(message.contains("Health checks failed with these codes: [502]"), "{message}");
    let waits = events(&ran, "waiting");
    assert!(waits.iter().any(|wait| wait["on"][0]["kind"] == "health"), "{waits:?}");
    // Once more: nothing is left to replace, and it is no success all the same.
    let again = account.run("apply", &wanted);
    assert_eq!((again.code, account.count(START)), (1, 1), "{again:?}");
    assert!(why(&again).contains("4 of 4 instances do not serve"), "{again:?}");
    // One that serves ends as ever, and later than AWS says.
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
        let told = report(&ran);
        assert_eq!(told["outcome"], outcome);
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
            assert_eq!(told["completed"], format!("{template}:1"));
            assert_as_before(&account, &before, 4, &format!("{template}:1"));
        } else {
            // What failed is not forgotten.
            let status = account.run("status", &wanted);
            assert_eq!(status.lines()[0]["resources"][0]["status"], "failed", "{status:?}");
        }
        assert!(least_serving(&before, &account.timeline()) >= 2);
    }
}

#[test]
fn a_launch_that_fails_is_told_with_the_scaling_activitys_words() {
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
fn an_interrupt_leaves_it_going_on_and_a_later_apply_follows_it_to_its_end() {
    let Some(account) = account() else { return };
    let template = account.fleet(four(), slow());
    let before = account.get("groups/web");
    let child = start(&account, &wanted(&template, "2"));
    until_it_replaces(&account);
    signal(child.id(), "-INT");
    let ran = end(child);
    assert_eq!(ran.code, 130, "{ran:?}");
    let told = report(&ran);
    assert_eq!(
        (&told["outcome"], &told["instance_refresh"]["still_running"]),
        (&json!("aborted"), &json!(true))
    );
    assert!(why(&ran).contains("goes on, and is not followed any more"), "{}", why(&ran));
    assert_eq!(account.mutations(), [START]);

    let status = account.run("status", &wanted(&template, "2"));
    let shown = &status.lines()[0]["resources"][0];
    assert_eq!(
        (&shown["status"], &shown["instance_refresh"]["still_running"]),
        (&json!("rolling"), &json!(true))
    );
    // As people see it, and as they are told to go on.
    let document =
        json!({ "resource": { "rolling_deployment": { "web": wanted(&template, "2") } } });
    let file = process::write(account.folder.path(), &document);
    let again = process::run(account.rolling().arg("apply").arg(file));
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stdout.contains("is under way, and is followed"), "{again:?}");
    assert!(again.stdout.contains("4 instances on"), "{again:?}");
    assert!(again.stdout.contains("by instance refresh"), "{again:?}");
    assert_eq!(account.count(START), 1, "one start in all");
    assert_as_before(&account, &before, 4, &format!("{template}:2"));
}

#[test]
fn it_goes_on_when_the_program_is_killed() {
    let Some(account) = account() else { return };
    let template = account.fleet(four(), times());
    let before = account.get("groups/web");
    let child = start(&account, &wanted(&template, "2"));
    until_it_replaces(&account);
    kill(child);
    account
        .until("groups/web", "it goes on to its end", |group| group["template"]["Version"] == "2");
    assert_as_before(&account, &before, 4, &format!("{template}:2"));
    assert_eq!(account.mutations(), [START]);
    let again = account.run("apply", &wanted(&template, "2"));
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(account.count(START), 1);
}

#[test]
fn abort_ends_it_where_it_is_and_rollback_has_it_go_back_and_the_one_who_follows_is_told() {
    for (command, action, outcome, code) in [
        ("abort", "autoscaling.CancelInstanceRefresh", "aborted", 4),
        ("rollback", "autoscaling.RollbackInstanceRefresh", "rolled_back", 3),
    ] {
        let Some(account) = account() else { return };
        let template = account.fleet(four(), slow());
        let before = account.get("groups/web");
        let child = start(&account, &wanted(&template, "2"));
        until_it_replaces(&account);
        for command in ["pause", "resume"] {
            let refused = account.run(command, &wanted(&template, "2"));
            assert_eq!(refused.code, 2, "{refused:?}");
            let message = format!("an instance refresh cannot be told to {command}");
            assert!(refused.stdout.contains(&message), "{refused:?}");
            assert!(refused.stdout.contains("checkpoints hold it"), "{refused:?}");
        }
        let reply = account.run(command, &wanted(&template, "2"));
        assert_eq!(reply.code, 0, "{reply:?}");
        let followed = end(child);
        assert_eq!(followed.code, code, "{followed:?}");
        assert_eq!(report(&followed)["outcome"], outcome);
        assert_eq!(account.mutations(), [action, START].map(str::to_owned));
        assert_eq!(account.count(action), 1);
        let after = account.get("groups/web");
        assert_eq!(after["template"], before["template"]);
        if command == "rollback" {
            assert_as_before(&account, &before, 4, &format!("{template}:1"));
            assert!(why(&followed).contains("requested by a user"), "{}", why(&followed));
        }
        // Not done, so it is to do again.
        let planned = account.run("plan", &wanted(&template, "2"));
        assert_eq!(planned.lines()[0]["changes"], true);
    }
}

#[test]
fn a_refresh_to_something_else_is_left_alone_and_named() {
    let Some(account) = account() else { return };
    let mut slow = times();
    slow["boot"] = json!(150);
    let template = account.fleet(four(), slow);
    let child = start(&account, &wanted(&template, "2"));
    until_it_replaces(&account);
    signal(child.id(), "-TERM");
    assert_eq!(end(child).code, 143);
    let other = wanted(&template, "1");
    let message = format!("to {template}:2 is under way (InProgress, 0 %)");
    let planned = account.run("plan", &other);
    assert!(planned.stdout.contains(&message), "{planned:?}");
    let refused = account.run("apply", &other);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(why(&refused).contains(&message), "{}", why(&refused));
    for command in ["abort", "rollback"] {
        let refused = account.run(command, &other);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stdout.contains(&message), "{refused:?}");
    }
    // The other engine cannot roll beside it either.
    let mut rolling = other.clone();
    rolling["engine"] = json!("rolling");
    let refused = account.run("apply", &rolling);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stdout.contains("has an instance refresh running"), "{refused:?}");
    assert_eq!(account.mutations(), [START]);
    assert_eq!(account.run("abort", &wanted(&template, "2")).code, 0);
}

#[test]
fn a_rollout_of_the_other_engine_is_finished_first() {
    let Some(account) = account() else { return };
    let template = account.fleet(four(), times());
    let mut rolling = wanted(&template, "2");
    rolling["engine"] = json!("rolling");
    let child = start(&account, &rolling);
    until_it_replaces(&account);
    kill(child);
    let refused = account.run("apply", &wanted(&template, "2"));
    assert_eq!(refused.code, 2, "{refused:?}");
    let found = &refused.lines()[0]["diagnostics"][0];
    assert_eq!(found["pointer"], "/resource/rolling_deployment/web/engine");
    assert!(found["summary"].to_string().contains("is rolling on the group"), "{found}");
    assert_eq!(account.run("apply", &rolling).code, 0);
    assert_eq!(account.run("apply", &wanted(&template, "2")).code, 0);
    assert_eq!(account.count(START), 0);
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
    let told = &calls[0]["Preferences"];
    assert_eq!(
        (&told["MinHealthyPercentage"], &told["MaxHealthyPercentage"]),
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
    let told = &calls[0]["Preferences"];
    assert_eq!(told["CheckpointPercentages"], json!([50, 100]));
    assert_eq!((&told["CheckpointDelay"], &told["BakeTime"]), (&json!(6), &json!(6)));
    let message = "Waiting 6 seconds after reaching the 50% checkpoint";
    assert!(ran.stdout.contains(message), "{ran:?}");
    assert!(ran.stdout.contains("Baking, 100 %"), "{ran:?}");
}

#[test]
fn a_lost_answer_and_a_foul_network_start_it_once_all_the_same() {
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
    assert_eq!(report(&ran)["instance_refresh"]["status"], "Successful");
}

#[test]
fn what_stands_in_the_way_is_refused_by_name_before_anything_is_started() {
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
        let told = account.run(command, &wanted(&template, "2"));
        assert_eq!(told.code, 0, "{command}: {told:?}");
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

#[test]
fn terraform_creates_updates_and_gives_up_what_the_group_does_by_itself() {
    let Some(account) = account() else { return };
    let template = account.fleet(four(), times());
    let folder = account.folder.path().to_owned();
    let plugin = Plugin::start_as(account.rolling().env("TMPDIR", &folder));
    assert_eq!(plugin.configure(&json!({})), []);
    let first = wanted(&template, "1");
    let planned = plugin.plan(None, &first);
    let created = plugin.apply(None, &planned, &first);
    assert_eq!(created.value["status"], "succeeded", "{created:?}");
    assert_eq!(account.mutations(), Vec::<String>::new());
    let state = plugin.read(&created.state.expect("a state")).state.expect("a state");

    let second = wanted(&template, "2");
    let planned = plugin.plan(Some(&state), &second);
    assert_eq!((&planned.value["floor"], &planned.value["ceiling"]), (&json!(2), &json!(4)));
    let updated = plugin.apply(Some(&state), &planned, &second);
    assert!(updated.found.is_empty(), "{updated:?}");
    assert_eq!(updated.value["deployed_revision"], format!("{template}:2"));
    let state = plugin.read(&updated.state.expect("a state")).state.expect("a state");

    // The host asks to stop: the refresh goes on, and the state says what is so.
    let back = wanted(&template, "1");
    let planned = plugin.plan(Some(&state), &back);
    let applying = plugin.begin(Some(&state), planned.state.as_ref(), &back);
    account.until_called(START, 2);
    plugin.stop();
    let left = plugin.end(applying);
    let reply = format!("{:?}", left.found);
    assert!(reply.contains("is not followed any more"), "{reply}");
    assert!(reply.contains("Apply again to follow it"), "{reply}");
    assert_eq!(left.value["status"], "aborted");
    plugin.shut_down();

    let plugin = Plugin::start_as(account.rolling().env("TMPDIR", &folder));
    assert_eq!(plugin.configure(&json!({})), []);
    let known = left.state.expect("a state");
    let refreshed = plugin.read(&known);
    let known = refreshed.state.expect("a state");
    let planned = plugin.plan(Some(&known), &back);
    let again = plugin.apply(Some(&known), &planned, &back);
    assert!(again.found.is_empty(), "{again:?}");
    assert_eq!(account.count(START), 2);
    let gone = plugin.destroy(&again.state.expect("a state"));
    assert_eq!((gone.value, gone.found), (Value::Null, Vec::new()));
    assert_eq!(account.mutations(), [START]);
    plugin.shut_down();
}

#[test]
fn json_rpc_and_ansible_say_what_a_refresh_is_at() {
    let Some(account) = account() else { return };
    let mut slow = times();
    slow["boot"] = json!(100);
    let template = account.fleet(four(), slow);
    let config = wanted(&template, "2");
    let child = start(&account, &config);
    until_it_replaces(&account);
    let talk = |method: &str, params: Value| -> Value {
        let mut params = params;
        params["type"] = json!("rolling_deployment");
        let lines = [
            json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize",
                    "params": { "protocol_versions": [1] } }),
            json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }),
        ];
        let lines = lines.map(|line| line.to_string()).join("\n");
        let ran = process::run_with(account.rolling().arg("serve"), &lines);
        let answer = ran.lines().into_iter().find(|line| line["id"] == 1);
        answer.unwrap_or_else(|| panic!("no answer: {ran:?}"))["result"].clone()
    };
    let status = talk("resource.status", json!({ "config": config }));
    let record = &status["record"];
    assert_eq!(
        (&record["status"], &record["owner"]),
        (&json!("rolling"), &json!("EC2 Auto Scaling"))
    );
    assert_eq!(record["to"], format!("{template}:2"));
    let planned = talk("resource.plan", json!({ "prior": null, "config": config }));
    assert_eq!(planned["batches"], json!([]));
    assert!(planned["diagnostics"].to_string().contains("is under way and is followed"));
    let paused = talk("resource.control", json!({ "config": config, "action": "pause" }));
    assert!(paused["diagnostics"].to_string().contains("cannot be told to pause"), "{paused}");

    let module = |state: &str| {
        let mut arguments = config.clone();
        arguments["_ansible_module_name"] = json!("rolling_deployment");
        arguments["state"] = json!(state);
        let file = account.folder.path().join("arguments.json");
        std::fs::write(&file, arguments.to_string()).expect("arguments");
        let ran = process::run(account.rolling().arg(&file));
        (ran.code, ran.lines().remove(0))
    };
    let (code, answer) = module("paused");
    assert_eq!(code, 1, "{answer}");
    assert!(answer["msg"].to_string().contains("checkpoints hold it for a time"), "{answer}");
    let (code, answer) = module("aborted");
    assert_eq!((code, &answer["changed"]), (0, &json!(true)), "{answer}");
    let (code, answer) = module("aborted");
    assert_eq!((code, &answer["changed"]), (0, &json!(false)), "{answer}");
    assert_eq!(end(child).code, 4);
}

/// Starts a refresh to version 3, as somebody else.
fn start_another(account: &Account, template: &str) {
    let to = "DesiredConfiguration.LaunchTemplate";
    account.query(
        "autoscaling",
        &format!(
            "Version=2011-01-01&Action=StartInstanceRefresh&AutoScalingGroupName=web\
             &{to}.LaunchTemplateId={template}&{to}.Version=3\
             &Preferences.MinHealthyPercentage=50&Preferences.SkipMatching=true\
             &Preferences.InstanceWarmup=1"
        ),
    );
}

fn by_rolling(template: &str) -> Value {
    let mut wanted = wanted(template, "2");
    wanted.as_object_mut().expect("an object").remove("engine");
    wanted
}

fn six() -> Value {
    let mut group = group(6);
    group["versions"] = json!([null, null, null]);
    group
}

#[test]
fn a_refresh_that_somebody_starts_meanwhile_waits_until_the_rollout_is_over() {
    let Some(account) = account() else { return };
    let template = account.fleet(six(), times());
    let rolling = start(&account, &by_rolling(&template));
    account.until_called("elbv2.DeregisterTargets", 1);
    start_another(&account, &template);
    let ran = end(rolling);
    assert_eq!(ran.code, 0, "{ran:?}");
    let told = report(&ran);
    let two = json!(format!("{template}:2"));
    let instances = told["instances"].as_array().expect("instances");
    assert!(instances.iter().all(|instance| instance["revision"] == two), "{told}");
    assert_eq!(ids(&account.timeline(), "launched").len(), 6, "each place was filled once");
    account.until("groups/web", "the refresh goes on", |group| group["template"]["Version"] == "3");
}

#[test]
fn a_refresh_beside_a_rollout_ends_it_by_name_and_is_left_alone() {
    let Some(account) = account() else { return };
    let template = account.fleet(six(), times());
    let mut wanted = by_rolling(&template);
    wanted["suspend_processes"] = json!(["AlarmNotification"]);
    let rolling = start(&account, &wanted);
    account.until_called("elbv2.DeregisterTargets", 1);
    start_another(&account, &template);
    let ran = end(rolling);
    assert_eq!(ran.code, 1, "{ran:?}");
    let why = why(&ran);
    assert!(why.contains("than this rollout or anybody before it launches"), "{why}");
    assert!(why.contains("has an instance refresh running ("), "{why}");
    assert_eq!(account.count("autoscaling.CancelInstanceRefresh"), 0);
    let suspended = account.get("groups/web")["suspended"].clone();
    assert_eq!(suspended, json!(["AZRebalance"]), "what was there before");
}
