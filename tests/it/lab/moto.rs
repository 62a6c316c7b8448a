//! The program on an unmodified moto: an emulator that knows nothing of the lab, has no instance
//! refreshes, and reports a wrong version for what a group has launched.

mod group;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};

use self::group::Group;
use crate::lab::between::between;
use crate::process;

/// moto, shared by all tests of this process.
struct Moto {
    endpoint: String,
    door: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _server: Child,
}

/// Returns the Python that has moto and boto3, which are installed if they are missing.
pub fn python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let installed = Command::new("python3")
            .arg(root.join("tests/localstack/environment.py"))
            .arg("moto")
            .args(["tests/moto/requirements.txt", "target/moto"].map(|path| root.join(path)))
            .stderr(Stdio::inherit())
            .output()
            .expect("Python 3.11 or newer as `python3`, with its venv module");
        String::from_utf8(installed.stdout).expect("UTF-8").trim().to_owned()
    })
}

fn moto() -> &'static Moto {
    static MOTO: OnceLock<Moto> = OnceLock::new();
    MOTO.get_or_init(|| {
        let mut server = Command::new(python())
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/moto/serve.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("moto was not installed; the reason is above");
        let mut answers = BufReader::new(server.stdout.take().expect("a pipe"));
        let mut line = String::new();
        answers.read_line(&mut line).expect("an answer");
        let line_read: Value = serde_json::from_str(&line).expect("moto did not start");
        Moto {
            endpoint: line_read["endpoint"].as_str().expect("an endpoint").to_owned(),
            door: Mutex::new((server.stdin.take().expect("a pipe"), answers)),
            _server: server,
        }
    })
}

impl Moto {
    /// Returns what boto3's `method` of `service` answers.
    fn call(&self, service: &str, method: &str, arguments: Value) -> Value {
        let mut door = self.door.lock().expect("the door");
        let (requests, answers) = &mut *door;
        writeln!(requests, "{}", json!([service, method, arguments])).expect("a request");
        let mut line = String::new();
        answers.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).expect("boto3 says above why it is refused")
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

fn image(number: usize) -> String {
    let owners = json!({ "Owners": ["amazon"] });
    let images = moto().call("ec2", "describe_images", owners);
    text(&images["Images"][number]["ImageId"])
}

fn version(image_id: &str) -> Value {
    json!({ "ImageId": image_id, "InstanceType": "t3.micro" })
}

#[test]
fn a_fleet_on_moto_is_rolled_once_within_its_floor_and_given_back() {
    let (old, new) = (image(0), image(1));
    let group = Group::new(&[version(&old), version(&new)]);
    let before = group.look();
    let planned = group.run("plan", 2);
    assert_eq!(planned.code, 0, "{planned:?}");
    let plan = &planned.lines()[0]["resources"][0]["plan"];
    assert_eq!((&plan["floor"], &plan["ceiling"]), (&json!(2), &json!(4)), "{plan}");
    let warnings = plan["warnings"].to_string();
    assert!(warnings.contains("does not know DescribeInstanceRefreshes (HTTP 500: "), "{plan}");
    assert!(warnings.contains("the template's default version for every instance"), "{plan}");
    assert_eq!(group.look().instances, before.instances, "a plan touches nothing");

    let (ran, seen) = group.watched("apply", 2);
    assert_eq!(ran.code, 0, "{ran:?}");
    let batches =
        ran.lines().iter().filter(|line| line["event"]["type"] == "batch_started").count();
    assert_eq!(batches, 2, "{ran:?}");
    for sight in &seen {
        assert!(sight.serving >= 2 && sight.instances.len() <= 4, "{sight:?}");
        assert_eq!(sight.sizes, before.sizes, "{sight:?}");
    }
    assert!(seen.iter().any(|sight| sight.record && !sight.suspended.is_empty()), "{seen:?}");
    let after = group.look();
    assert!(after.suspended.is_empty() && !after.record, "{after:?}");
    assert_eq!((after.serving, group.images()), (4, BTreeSet::from([new])));
    assert!(before.instances.iter().all(|id| !after.instances.contains(id)), "{after:?}");

    let again = group.run("apply", 2);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stdout.contains("\"changes\":false"), "{again:?}");
    assert_eq!(group.look().instances, after.instances, "nothing to do");
}

#[test]
fn a_rollout_on_moto_that_was_killed_is_ended_by_the_next() {
    let (old, new) = (image(0), image(1));
    let group = Group::new(&[version(&old), version(&new)]);
    let before = group.look();
    let mut killed = group.command("apply", 2).stdout(Stdio::null()).spawn().expect("a start");
    process::until("a batch is under way", || {
        let look = group.look();
        look.instances != before.instances || look.serving < 4
    });
    killed.kill().expect("a process");
    killed.wait().expect("an end");
    assert!(group.look().record);

    let (ran, seen) = group.watched("apply", 2);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(seen.iter().all(|sight| sight.serving >= 2), "{seen:?}");
    let after = group.look();
    assert_eq!(after.sizes, before.sizes);
    assert!(after.suspended.is_empty() && !after.record, "{after:?}");
    assert_eq!((after.serving, group.images()), (4, BTreeSet::from([new])));
}

#[test]
fn versions_that_moto_does_not_tell_apart_are_refused_and_nothing_is_touched() {
    let old = image(0);
    // The third version is told apart by its instance type; the second differs in nothing that is
    // looked at. (It could be told apart by user data, too, but moto fails to launch a group's
    // instances with any.)
    let second = json!({ "ImageId": old, "InstanceType": "t3.micro", "KeyName": "other" });
    let third = json!({ "ImageId": old, "InstanceType": "t3.small" });
    let group = Group::new(&[version(&old), second, third]);
    let before = group.look();
    let planned = group.run("plan", 2);
    assert_eq!(planned.code, 2, "{planned:?}");
    let message = "versions 2 and 1 of";
    assert!(planned.stdout.contains(message), "{planned:?}");
    let (ran, seen) = group.watched("apply", 2);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stdout.contains(message) && ran.stdout.contains("as moto does"), "{ran:?}");
    for sight in &seen {
        assert_eq!(sight.instances, before.instances);
        assert!(sight.suspended.is_empty(), "{sight:?}");
    }

    let ran = group.run("apply", 3);
    assert_eq!(ran.code, 0, "{ran:?}");
    let after = group.look();
    assert!(before.instances.iter().all(|id| !after.instances.contains(id)), "{after:?}");
    assert_eq!(after.serving, 4);
}

#[test]
fn launches_on_moto_that_run_another_version_end_the_rollout_after_one_batch() {
    let (old, new) = (image(0), image(1));
    let group = Group::new(&[version(&old), version(&new)]);
    let before = group.look();
    let mut rolling = group.command("apply", 2);
    let ran = between(&mut rolling, &moto().endpoint, |request| group.set_back_before(request));
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stdout.contains("the template is"), "{ran:?}");
    let after = group.look();
    assert_eq!((after.serving, group.images()), (4, BTreeSet::from([old])), "{ran:?}");
    let survivors = before.instances.iter().filter(|id| after.instances.contains(id)).count();
    assert_eq!(survivors, 2, "one batch of two was replaced: {ran:?}");
    assert!(after.suspended.is_empty() && !after.record, "{after:?}");
}

/// Instances of no group on moto: only our own record knows what they were launched from.
#[test]
fn unmanaged_instances_on_moto_are_replaced_once_each() {
    let (old, new) = (image(0), image(1));
    let group = Group::new(&[version(&old), version(&new)]);
    let none = json!({ "AutoScalingGroupName": group.name, "ForceDelete": true });
    let gone: Vec<Value> = group.look().instances.iter().map(|id| json!({ "Id": id })).collect();
    moto().call("autoscaling", "delete_auto_scaling_group", none);
    let these = json!({ "TargetGroupArn": group.target_group, "Targets": gone });
    moto().call("elbv2", "deregister_targets", these);
    let template = json!({ "LaunchTemplateId": group.template, "Version": "1" });
    let three = json!({ "MinCount": 3, "MaxCount": 3, "LaunchTemplate": template });
    let made = moto().call("ec2", "run_instances", three);
    let ids: Vec<Value> = made["Instances"]
        .as_array()
        .expect("them")
        .iter()
        .map(|instance| json!({ "Id": instance["InstanceId"] }))
        .collect();
    let these = json!({ "TargetGroupArn": group.target_group, "Targets": ids });
    moto().call("elbv2", "register_targets", these);
    let document = json!({ "resource": { "rolling_deployment": { "web": {
        "policy": "rolling", "batch_size_type": "fixed", "batch_size": 1,
        "poll_interval": "200ms",
        "health": { "min_healthy_time": "300ms" },
        "target_group": {
            "arn": group.target_group,
            "launch_template": { "id": group.template, "version": "2" },
        },
    } } } });
    let roll = || {
        let mut command = group.command("apply", 2);
        process::write(group.folder.path(), &document);
        process::run(&mut command)
    };
    let targets = || {
        let these = json!({ "TargetGroupArn": group.target_group });
        let health = moto().call("elbv2", "describe_target_health", these);
        let targets = health["TargetHealthDescriptions"].as_array().expect("targets").clone();
        targets.iter().map(|it| text(&it["Target"]["Id"])).collect::<BTreeSet<_>>()
    };
    let before = targets();
    let ran = roll();
    assert_eq!(ran.code, 0, "{ran:?}");
    let after = targets();
    assert_eq!((after.len(), before.intersection(&after).count()), (3, 0), "{ran:?}");
    let batches =
        ran.lines().iter().filter(|line| line["event"]["type"] == "batch_started").count();
    assert_eq!(batches, 3, "each once: {ran:?}");
    let again = roll();
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(targets(), after, "nothing to do");
}
