//! Instances that are updated in place, by commands and by root volumes, on LocalStack.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::emulator::{Account, account, three_at_once};
use crate::lab::localstack::{bad, ids, least_serving, report, times};
use crate::lab::promises::{kill, killed_at, start};
use crate::process::end;

/// Makes a Systems Manager document, one version for each of these behaviours.
fn document(account: &Account, behaviours: &[Option<&str>]) {
    let content = |behaviour: Option<&str>| {
        let message = behaviour.map_or("deploys".to_owned(), |how| format!("lab:behaviour={how}"));
        json!({
            "schemaVersion": "2.2", "description": message,
            "parameters": {
                "Release": { "type": "String", "default": "1" },
                "Flags": { "type": "StringList", "default": [] },
            },
            "mainSteps": [{
                "action": "aws:runShellScript", "name": "deploy",
                "inputs": { "runCommand": ["deploy {{ Release }}"] },
            }],
        })
        .to_string()
    };
    let first = json!({
        "Name": "deploy", "DocumentType": "Command", "Content": content(behaviours[0]),
    });
    account.json("ssm", "AmazonSSM.CreateDocument", &first);
    for (index, behaviour) in behaviours.iter().enumerate().skip(1) {
        // Two versions must not have the same content.
        let content = content(*behaviour).replace("deploys", &format!("deploys, version {index}"));
        let next = json!({ "Name": "deploy", "Content": content, "DocumentVersion": "$LATEST" });
        account.json("ssm", "AmazonSSM.UpdateDocument", &next);
    }
}

pub fn base(document_version: &str) -> Value {
    json!({
        "policy": "rolling", "batch_size_type": "percentage", "batch_size": 50,
        "poll_interval": "500ms",
        "health": { "min_healthy_time": "300ms", "healthy_timeout": "60s" },
        "replacement": { "run_command": {
            "document": "deploy", "version": document_version,
            "parameters": { "Release": ["2.1"], "Flags": ["a,b", "c"] }, "timeout": "30s",
        }},
    })
}

/// A group of four, or four unmanaged instances, that `document_version` is run on.
pub struct Fleet {
    pub account: Account,
    pub path: &'static str,
    before: Value,
    target: Value,
}

pub fn fleet(is_unmanaged: bool, behaviours: &[Option<&str>]) -> Option<Fleet> {
    let account = account()?;
    let mut times = times();
    times["command"] = json!(0.5);
    times["root_volume"] = json!(0.8);
    let (path, target) = if is_unmanaged {
        let fleet = json!({ "name": "web", "size": 4, "port": 8080 });
        let made = account.make("plain", fleet, times);
        ("plain/web", json!({ "target_group": { "arn": made["target_group_arns"][0] } }))
    } else {
        let fleet = json!({ "name": "web", "size": 4, "health_check_type": "ELB" });
        account.make("fleet", fleet, times);
        ("groups/web", json!({ "auto_scaling_group": { "name": "web" } }))
    };
    account.shared();
    document(&account, behaviours);
    let before = account.get(path);
    Some(Fleet { account, path, before, target })
}

impl Fleet {
    pub fn of(&self, mut wanted: Value) -> Value {
        let target = self.target.as_object().expect("a target");
        wanted.as_object_mut().expect("attributes").extend(target.clone());
        wanted
    }

    /// Checks that every instance is there, healthy, and has run this version last.
    fn assert_all_ran(&self, version: Option<&str>) {
        let after = self.account.get(self.path);
        let known = self.before["instances"].as_object().expect("instances");
        let found = after["instances"].as_object().expect("instances");
        assert!(known.keys().eq(found.keys()), "no instance comes or goes: {found:?}");
        for (id, instance) in found {
            assert_eq!(after["targets"]["web"][id], "healthy", "{id}");
            if let Some(version) = version {
                assert_eq!(instance["command"]["version"], version, "{id}: {instance}");
                let ran_with = &instance["command"]["parameters"];
                assert_eq!(ran_with["Release"], json!(["2.1"]), "{id}");
                assert_eq!(ran_with["Flags"], json!(["a,b", "c"]), "{id}");
            }
        }
        assert_eq!(after["tags"], self.before["tags"]);
        assert_eq!(after["suspended"], self.before["suspended"]);
    }

    fn assert_no_instance_is_out(&self) {
        let after = self.account.get(self.path);
        let found = after["instances"].as_object().expect("instances");
        for id in found.keys() {
            assert_eq!(after["targets"]["web"][id], "healthy", "{id}");
        }
        assert_eq!(after["suspended"], self.before["suspended"]);
    }
}

#[test]
fn a_document_is_run_on_instances_out_of_rotation_batch_by_batch() {
    for is_unmanaged in [false, true] {
        let Some(fleet) = fleet(is_unmanaged, &[None, None]) else { return };
        let wanted = fleet.of(base("$LATEST"));
        let ran = fleet.account.run("apply", &wanted);
        assert_eq!(ran.code, 0, "{ran:?}");
        fleet.assert_all_ran(Some("2"));
        let timeline = fleet.account.timeline();
        assert!(least_serving(&fleet.before, &timeline) >= 2);
        let sent = fleet.account.parameters("SendCommand");
        assert_eq!(sent.len(), 2, "one for each batch: {sent:?}");
        for call in &sent {
            assert_eq!(
                (&call["DocumentVersion"], &call["DocumentName"]),
                (&json!("2"), &json!("deploy"))
            );
        }
        // Each had drained before the command was run on it.
        for id in ids(&timeline, "command") {
            let at = |kind: &str| {
                let of = |event: &&Value| event["instance"] == json!(id) && event["kind"] == kind;
                timeline.iter().find(of).unwrap_or_else(|| panic!("{id} never {kind}"))["at"]
                    .as_f64()
            };
            assert!(
                at("draining") < at("deregistered") && at("deregistered") < at("command"),
                "{id}"
            );
        }
        assert_eq!(ids(&timeline, "launched").len() + ids(&timeline, "terminating").len(), 0);
        let again = fleet.account.run("apply", &wanted);
        assert_eq!(again.code, 0, "{again:?}");
        assert_eq!(fleet.account.parameters("SendCommand").len(), 2, "nothing more to do");
        let status = fleet.account.run("plan", &wanted);
        assert_eq!(status.lines()[0]["changes"], false, "{status:?}");
    }
}

#[test]
fn a_command_that_fails_is_told_with_its_output_and_undone() {
    for (is_unmanaged, behaviour, message) in [
        (false, "fail", "version 2 does not start"),
        (true, "fail", "version 2 does not start"),
        (true, "unhealthy", "Target.ResponseCodeMismatch"),
        (false, "hang", "timed"),
    ] {
        let Some(fleet) = fleet(is_unmanaged, &[None, Some(behaviour)]) else { return };
        if behaviour == "hang" {
            let mut times = times();
            times["command"] = json!(0.5);
            times["command_timeout"] = json!(2);
            fleet.account.put("times", times);
        }
        let first = fleet.account.run("apply", &fleet.of(base("1")));
        assert_eq!(first.code, 0, "{first:?}");
        // The rollback needs what was run before, which no document has any more.
        let mut other = bad(fleet.of(base("2")));
        other["replacement"]["run_command"]["parameters"]["Release"] = json!(["hunter2"]);
        let ran = fleet.account.run("apply", &other);
        assert_eq!(ran.code, 3, "{behaviour}: {ran:?}");
        let everywhere = format!("{ran:?} {}", fleet.account.get(fleet.path));
        assert!(!everywhere.contains("hunter2"), "{everywhere}");
        let why = report(&ran)["reason"].as_str().expect("a reason").to_owned();
        assert!(why.to_lowercase().contains(&message.to_lowercase()), "{why}");
        fleet.assert_all_ran(Some("1"));
        assert!(least_serving(&fleet.before, &fleet.account.timeline()) >= 2);
    }
}

#[test]
fn killed_in_each_phase_no_command_is_run_twice_and_no_instance_stays_out() {
    let moments = [
        ("elbv2.DeregisterTargets", 1),
        ("ssm.SendCommand", 1),
        ("elbv2.RegisterTargets", 1),
        ("ssm.SendCommand", 2),
        ("elbv2.RegisterTargets", 2),
    ];
    let kinds = moments.into_iter().flat_map(|moment| [(moment, false), (moment, true)]);
    three_at_once(kinds, |(moment, is_unmanaged)| {
        let Some(fleet) = fleet(is_unmanaged, &[None, None]) else { return };
        let wanted = fleet.of(base("2"));
        let when = killed_at(&fleet.account, &wanted, moment);
        let ran = fleet.account.run("apply", &wanted);
        assert_eq!(ran.code, 0, "{when}: {ran:?}");
        fleet.assert_all_ran(Some("2"));
        let commanded = ids(&fleet.account.timeline(), "command");
        let each: BTreeSet<&String> = commanded.iter().collect();
        assert_eq!((each.len(), commanded.len()), (4, 4), "{when}");
    });
}

/// No list by instance has a command that is pending; after half a minute an update that does not
/// show is taken for one that was never begun.
#[test]
fn a_command_that_has_reached_no_instance_yet_is_not_sent_again() {
    three_at_once([false, true], |is_unmanaged| {
        let Some(fleet) = fleet(is_unmanaged, &[None]) else { return };
        let mut slow = times();
        slow["command_pending"] = json!(60);
        fleet.account.put("times", slow);
        let mut wanted = fleet.of(base("1"));
        wanted["batch_size"] = json!(100);
        wanted["replacement"]["run_command"]["timeout"] = json!("3m");
        let when = killed_at(&fleet.account, &wanted, ("ssm.SendCommand", 1));
        let ran = fleet.account.run("apply", &wanted);
        assert_eq!(ran.code, 0, "{when}: {ran:?}");
        fleet.assert_all_ran(Some("1"));
        assert_eq!(ids(&fleet.account.timeline(), "command").len(), 4, "{when}");
    });
}

#[test]
fn root_volumes_are_replaced_by_ones_of_an_image_and_a_bad_one_goes_back() {
    for is_unmanaged in [false, true] {
        let Some(fleet) = fleet(is_unmanaged, &[None]) else { return };
        let images = fleet.account.put("images", json!({ "images": [null, "unhealthy", "fail"] }));
        let image = |index: usize| images["image_ids"][index].clone();
        let wanted = |image: Value| {
            let mut wanted = fleet.of(base("1"));
            wanted["replacement"] = json!({ "replace_root_volume": { "image_id": image } });
            wanted
        };
        let ran = fleet.account.run("apply", &wanted(image(0)));
        assert_eq!(ran.code, 0, "{ran:?}");
        fleet.assert_all_ran(None);
        let tasks = fleet.account.parameters("CreateReplaceRootVolumeTask");
        assert_eq!(tasks.len(), 4);
        assert!(tasks.iter().all(|task| task["ImageId"] == image(0)), "{tasks:?}");
        assert_eq!(ids(&fleet.account.timeline(), "launched").len(), 0);
        let plan = fleet.account.run("plan", &wanted(image(0)));
        assert_eq!(plan.lines()[0]["changes"], false, "{plan:?}");

        for (index, message) in
            [(1, "Target.ResponseCodeMismatch"), (2, "could not replace its root volume")]
        {
            let ran = fleet.account.run("apply", &bad(wanted(image(index))));
            assert_eq!(ran.code, 3, "{ran:?}");
            let why = report(&ran)["reason"].as_str().expect("a reason").to_owned();
            assert!(why.contains(message), "{why}");
            fleet.assert_all_ran(None);
            let plan = fleet.account.run("plan", &wanted(image(0)));
            assert_eq!(plan.lines()[0]["changes"], false, "all on the first image: {plan:?}");
        }
    }
}

#[test]
fn an_abort_waits_for_commands_that_run_and_no_instance_stays_out() {
    for is_unmanaged in [false, true] {
        let Some(fleet) = fleet(is_unmanaged, &[None]) else { return };
        let mut slow = times();
        slow["command"] = json!(20);
        fleet.account.put("times", slow);
        let wanted = fleet.of(base("1"));
        let running = start(&fleet.account, &wanted);
        fleet.account.until_called("ssm.SendCommand", 1);
        let reply = fleet.account.run("abort", &wanted);
        assert_eq!(reply.code, 0, "{reply:?}");
        let ran = end(running);
        assert_eq!(ran.code, 4, "{ran:?}");
        fleet.assert_no_instance_is_out();
        // What had begun was done, and the group was kept from replacing the instance meanwhile.
        let timeline = fleet.account.timeline();
        assert_eq!(ids(&timeline, "command").len(), 2);
        let calls = fleet.account.calls();
        let resumed = calls.iter().find(|call| call["action"] == "ResumeProcesses");
        let ended = timeline.iter().filter(|event| event["kind"] == "command");
        let ended = ended.filter_map(|event| event["at"].as_f64()).fold(0.0, f64::max);
        assert!(is_unmanaged || resumed.expect("it is resumed")["at"].as_f64() >= Some(ended));
        let ran = fleet.account.run("apply", &wanted);
        assert_eq!(ran.code, 0, "{ran:?}");
        fleet.assert_all_ran(Some("1"));
        assert_eq!(ids(&fleet.account.timeline(), "command").len(), 4, "nothing is done twice");
    }
}

#[test]
fn a_throttled_command_and_an_instance_that_the_group_launches_meanwhile_are_no_trouble() {
    let Some(fleet) = fleet(false, &[None]) else { return };
    let throttle = json!([{ "kind": "throttle", "action": "ssm.SendCommand", "count": 1 }]);
    fleet.account.put("faults", throttle);
    let wanted = fleet.of(base("1"));
    let running = start(&fleet.account, &wanted);
    fleet.account.until_called("ssm.SendCommand", 1);
    let form = "Version=2011-01-01&Action=UpdateAutoScalingGroup&AutoScalingGroupName=web";
    fleet.account.query("autoscaling", &format!("{form}&DesiredCapacity=5&MaxSize=5"));
    let ran = end(running);
    assert_eq!(ran.code, 0, "{ran:?}");
    let after = fleet.account.get(fleet.path);
    let instances = after["instances"].as_object().expect("instances");
    let live = instances.values().filter(|instance| instance["lifecycle"] == "InService");
    let ran_on: Vec<&Value> = live.map(|instance| &instance["command"]["version"]).collect();
    assert_eq!(ran_on, [&json!("1"); 5]);
}

/// Returns the calls for updates in place, both ways: a command that hangs is cancelled, one that a
/// killed engine sent is looked up, and a root volume is replaced.
pub fn called() -> BTreeSet<String> {
    let Some(fleet) = fleet(true, &[None, Some("hang")]) else { return BTreeSet::new() };
    fleet.account.foreign();
    let mut wanted = fleet.of(base("1"));
    assert_eq!(fleet.account.run("apply", &wanted).code, 0);
    wanted["replacement"]["run_command"]["version"] = json!("2");
    wanted["replacement"]["run_command"]["timeout"] = json!("1s");
    let child = start(&fleet.account, &wanted);
    fleet.account.until_called("ssm.SendCommand", 3);
    kill(child);
    let ran = fleet.account.run("apply", &wanted);
    assert_eq!(ran.code, 3, "{ran:?}");
    fleet.assert_all_ran(Some("1"));
    let images = fleet.account.put("images", json!({ "images": [null] }));
    let image = images["image_ids"][0].clone();
    wanted["replacement"] = json!({ "replace_root_volume": { "image_id": image } });
    let ran = fleet.account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    fleet.account.called()
}

#[test]
fn what_cannot_be_run_is_named_before_anything_is_touched() {
    let Some(fleet) = fleet(false, &[None]) else { return };
    let before = fleet.account.get(fleet.path);
    let refused = |wanted: &Value, place: &str, message: &str| {
        fleet.account.assert_refused(wanted, place, message);
    };
    let command = "/replacement/run_command";
    refused(&fleet.of(base("9")), &format!("{command}/version"), "has no version 9");
    let mut wanted = fleet.of(base("1"));
    wanted["replacement"]["run_command"]["document"] = json!("depoly");
    refused(&wanted, &format!("{command}/document"), "does not exist in us-east-1");
    let mut wanted = fleet.of(base("1"));
    let parameters = format!("{command}/parameters");
    wanted["replacement"]["run_command"]["parameters"] = json!({ "Relaese": ["1"] });
    refused(&wanted, &parameters, "has no parameter");
    wanted["replacement"]["run_command"]["parameters"] = json!({ "Release": ["1", "2"] });
    refused(&wanted, &format!("{parameters}/Release"), "takes one value, not 2");
    wanted["replacement"]["run_command"]["parameters"] = json!({ "Release": "1" });
    refused(&wanted, &format!("{parameters}/Release"), "must be");
    let mut wanted = fleet.of(base("1"));
    wanted["replacement"] =
        json!({ "replace_root_volume": { "image_id": "ami-0123456789abcdef0" } });
    let image = "/replacement/replace_root_volume/image_id";
    refused(&wanted, image, "does not exist in us-east-1");
    let mut times = times();
    times["unmanaged"] = json!(true);
    fleet.account.put("times", times);
    refused(&fleet.of(base("1")), command, "the Systems Manager does not reach i-");
    // `status` and `abort` still work.
    for command in ["status", "abort"] {
        let ran = fleet.account.run(command, &fleet.of(base("1")));
        assert_eq!(ran.code, 0, "{command}: {ran:?}");
    }
    assert_eq!(fleet.account.get(fleet.path), before);
}
