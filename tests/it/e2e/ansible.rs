//! The module as its users run it: under the real Ansible.

pub(super) mod node;

use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use self::node::{COLLECTION, MODULE, Node, example, programs, result};
use crate::e2e::ansible_docs;
use crate::process::{self, rolling, run, run_with};

/// The module as Ansible starts it: with one file as its argument and nothing on standard input.
fn module(folder: &Path, arguments: &Value) -> Command {
    let mut arguments = arguments.clone();
    arguments["_ansible_module_name"] = json!(MODULE);
    let file = folder.join("args");
    std::fs::write(&file, arguments.to_string()).expect("arguments");
    let mut command = rolling();
    command.current_dir(folder).arg(&file);
    command
}

/// Returns the one line that the module answers.
fn answer(command: &mut Command) -> Value {
    let ran = run(command);
    let lines = ran.lines();
    assert_eq!(lines.len(), 1, "{ran:?}");
    assert_eq!(ran.code == 1, lines[0]["failed"] == true, "{ran:?}");
    lines[0].clone()
}

fn msg(result: &Value) -> &str {
    result["msg"].as_str().unwrap_or_else(|| panic!("no message: {result}"))
}

fn simulated(revision: &str) -> Value {
    json!({
        "policy": "rolling", "batch_size_type": "fixed", "batch_size": 2,
        "health": { "healthy_timeout": "1h" },
        "simulated_fleet": { "name": "web", "revision": revision, "instances": 4 },
        "provider": { "simulator": { "speed": 300 } },
    })
}

fn fleet(folder: &Path) -> String {
    std::fs::read_to_string(folder.join(".rolling/web.json")).unwrap_or_default()
}

#[test]
fn the_example_changes_once_and_the_second_run_has_nothing_to_do() {
    let node = Node::new();
    let site = node.path().join("site.yml");
    std::fs::copy(example("site.yml"), &site).expect("a copy");
    let first = node.play(&site, &[]);
    assert_eq!(first.code, 0, "{first:?}");
    let answer = result(&first, 0);
    assert_eq!(answer["changed"], true, "{answer}");
    assert_eq!(
        (&answer["status"], &answer["deployed_revision"]),
        (&json!("succeeded"), &json!("v2"))
    );
    assert_eq!(answer["batches"].as_array().map(Vec::len), Some(4), "{answer}");
    assert_eq!(answer["instances"].as_array().map(Vec::len), Some(10), "{answer}");
    assert!(msg(&result(&first, 1)).starts_with("rolled web to v2: 10 instances, 4 batches"));

    let again = node.play(&site, &[]);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(result(&again, 0)["changed"], false);
    assert_eq!(msg(&result(&again, 1)), "nothing to do, web of 10 instances runs v2");
}

#[test]
fn check_mode_says_what_would_change_and_changes_nothing() {
    let node = Node::new();
    node.task(&simulated("v1"), &[]);
    let before = fleet(node.path());
    let answer = node.task(&simulated("v2"), &["--check", "--diff"]);
    assert_eq!((&answer["changed"], &answer["failed"]), (&json!(true), &json!(false)), "{answer}");
    let message = "would roll web from v1 to v2 (rolling): batches of 2, 2, at least 2 serve";
    assert!(msg(&answer).starts_with(message), "{answer}");
    assert_eq!(answer["status"], Value::Null);
    let (old, new) = (&answer["diff"]["before"], &answer["diff"]["after"]);
    assert_eq!(old.as_str().map(|text| text.matches("on v1").count()), Some(4), "{old}");
    assert_eq!(*new, json!("a new instance on v2\n".repeat(4)));
    assert_eq!(fleet(node.path()), before);
    let answer = node.task(&simulated("v1"), &["--check"]);
    assert_eq!((&answer["changed"], &answer["diff"]), (&json!(false), &Value::Null), "{answer}");
}

#[test]
fn a_difference_is_shown_as_people_read_it() {
    let node = Node::new();
    let file = node.path().join("task.yml");
    let play = json!([{
        "hosts": "localhost", "gather_facts": false, "tasks": [{ MODULE: simulated("v2") }],
    }]);
    std::fs::write(&file, play.to_string()).expect("a playbook");
    let ran = run(node.command("ansible-playbook").arg(file).arg("--diff"));
    assert_eq!(ran.code, 0, "{ran:?}");
    for line in ["--- before", "-i-0001 on v1 in a, serves", "+i-0005 on v2 in a, serves"] {
        assert!(ran.stdout.lines().any(|shown| shown == line), "{line}: {}", ran.stdout);
    }
}

/// The group is that of `meta/runtime.yml`.
#[test]
fn a_play_sets_defaults_for_the_group_of_the_module() {
    let node = Node::new();
    let file = node.path().join("task.yml");
    let mut defaults = simulated("v2");
    let fleet = defaults["simulated_fleet"].take();
    let play = json!([{
        "hosts": "localhost", "gather_facts": false,
        "module_defaults": { "group/rolling.rolling.rolling": defaults },
        "tasks": [{ MODULE: { "simulated_fleet": fleet } }],
    }]);
    std::fs::write(&file, play.to_string()).expect("a playbook");
    let ran = node.play(&file, &["--check"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let answer = result(&ran, 0);
    assert!(msg(&answer).contains("from v1 to v2 (rolling): batches of 2, 2"), "{answer}");
}

#[test]
fn ad_hoc_arguments_are_text_and_do() {
    let node = Node::new();
    let ran = node.adhoc(
        "policy=rolling batch_size=2 batch_size_type=fixed poll_interval=1s \
         suspend_processes=AZRebalance provider={'simulator':{'speed':'100'}} \
         simulated_fleet='{\"name\": \"web\", \"revision\": \"v2\", \"instances\": \"4\"}'",
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.starts_with("localhost | CHANGED => {"), "{ran:?}");
    assert!(ran.stdout.contains("rolled web to v2: 4 instances, 2 batches"), "{ran:?}");
    let ran = node.adhoc("policy=rolling batch_size=two batch_size_type=fixd");
    assert_ne!(ran.code, 0, "{ran:?}");
    for message in
        ["batch_size: must be a whole number", "batch_size_type: \\\"fixd\\\" is not one"]
    {
        assert!(ran.stdout.contains(message), "{ran:?}");
    }
}

#[test]
fn a_success_that_leaves_some_alone_warns_of_them_and_completes_nothing() {
    let node = Node::new();
    let mut some = simulated("v2");
    some["scale_in_protected_instances"] = json!("ignore");
    some["simulated_fleet"]["events"] = json!([{ "after": "0s", "protect": ["i-0001"] }]);
    let answer = node.task(&some, &[]);
    assert_eq!(answer["status"], "succeeded", "{answer}");
    assert_ne!(answer["completed_revision"], "v2", "{answer}");
    let told = "rolled web to v2: 3 of 4 instances, 1 left alone (i-0001)";
    assert!(msg(&answer).starts_with(told), "{answer}");
}

#[test]
fn a_bad_attribute_is_named_and_nothing_is_touched() {
    let node = Node::new();
    let mut arguments = simulated("v2");
    arguments["helth"] = json!({ "healthy_timeout": "2m" });
    let answer = node.task(&arguments, &[]);
    assert_eq!((&answer["failed"], &answer["changed"]), (&json!(true), &json!(false)), "{answer}");
    let message = "helth: there is no attribute \"helth\" here; did you mean \"health\"?";
    assert_eq!(msg(&answer), message);
    assert_eq!(fleet(node.path()), "");
}

#[test]
fn a_revision_that_fails_fails_the_task_and_says_why_what_is_left_and_what_to_do() {
    let node = Node::new();
    let mut arguments = simulated("v2");
    arguments["simulated_fleet"]["bad_revisions"] = json!({ "v2": "unhealthy" });
    arguments["health"] = json!({ "healthy_timeout": "2m" });
    let answer = node.task(&arguments, &[]);
    assert_eq!((&answer["failed"], &answer["changed"]), (&json!(true), &json!(true)), "{answer}");
    assert_eq!(
        (&answer["status"], &answer["deployed_revision"]),
        (&json!("rolled_back"), &json!("v1"))
    );
    for message in [
        "web was rolled back from v2 to v1: ",
        "Target.ResponseCodeMismatch",
        "Now 4 of 4 on v1 serve. All temporary changes are undone. Correct the revision",
    ] {
        assert!(msg(&answer).contains(message), "{answer}");
    }
    assert!(answer["last_error"].as_str().is_some_and(|why| why.contains("unhealthy")), "{answer}");
}

#[test]
fn a_paused_rollout_stays_paused_until_a_task_says_otherwise() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut arguments = simulated("v2");
    arguments["simulated_fleet"]["bad_revisions"] = json!({ "v2": "unhealthy" });
    arguments["health"] = json!({ "healthy_timeout": "2m" });
    arguments["on_failure"] = json!("pause");
    let state = |state: &str, check: bool| {
        let mut arguments = arguments.clone();
        arguments["state"] = json!(state);
        arguments["_ansible_check_mode"] = json!(check);
        let answer = answer(&mut module(folder.path(), &arguments));
        let message = msg(&answer).to_owned();
        (answer["changed"] == true, answer["failed"] == true, message, answer)
    };
    // With no rollout under way no state changes anything.
    for wanted in ["paused", "resumed", "rolled_back", "aborted"] {
        let (changed, failed, message, answer) = state(wanted, false);
        assert!(!changed && !failed && message.contains("there is no rollout to"), "{answer}");
        assert_eq!(answer["status"], "pending");
    }
    let (changed, failed, message, answer) = state("present", false);
    assert!(changed && failed && message.contains("state: resumed continues it"), "{answer}");
    for check in [true, false] {
        let (changed, failed, message, answer) = state("present", check);
        assert!(!changed && failed && message.contains("is paused: "), "{answer}");
        assert_eq!(answer["status"], "paused");
    }
    let (changed, failed, message, answer) = state("paused", false);
    assert!(!changed && !failed && message.contains("is already paused"), "{answer}");
    let before = fleet(folder.path());
    let (changed, failed, message, answer) = state("rolled_back", true);
    assert!(changed && !failed && message == "would roll back the rollout", "{answer}");
    assert_eq!(fleet(folder.path()), before);
    let (changed, failed, message, answer) = state("rolled_back", false);
    assert!(
        changed && !failed && message.starts_with("web was rolled back from v2 to v1"),
        "{answer}"
    );
    let runs = (&answer["status"], &answer["deployed_revision"]);
    assert_eq!(runs, (&json!("rolled_back"), &json!("v1")));
    let (changed, failed, _, answer) = state("rolled_back", false);
    assert!(!changed && !failed, "{answer}");
}

/// Starts the module, and returns once it has taken instances out of rotation.
fn draining(folder: &Path) -> std::process::Child {
    let mut arguments = simulated("v2");
    arguments["provider"]["simulator"]["speed"] = json!(5);
    let child = module(folder, &arguments).stdout(std::process::Stdio::piped()).spawn();
    process::until("somebody drains", || fleet(folder).contains("\"deregistered_at\":1"));
    child.expect("the program starts")
}

fn assert_as_before(folder: &Path) {
    let fleet: Value = serde_json::from_str(&fleet(folder)).expect("a fleet");
    assert_eq!((&fleet["suspended"], &fleet["template"]), (&json!([]), &json!("v1")), "{fleet}");
    let instances = fleet["instances"].as_object().expect("instances");
    assert_eq!(instances.len(), 4);
    for instance in instances.values() {
        assert_eq!(instance["targets"]["web"]["deregistered_at"], Value::Null, "{instance}");
    }
}

/// Ansible does not pass Ctrl-C on to the processes it runs; it only stops reading from them.
#[test]
fn a_task_that_nobody_waits_for_any_more_puts_everything_back_and_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = draining(folder.path());
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("an end").code(), Some(1));
    assert_as_before(folder.path());
}

#[test]
fn a_task_that_is_told_to_end_answers_what_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let child = draining(folder.path());
    process::signal(child.id(), "-TERM");
    let done = process::end(child);
    assert_eq!(done.code, 1, "{done:?}");
    let answer: Value = serde_json::from_str(&done.stdout).expect("one JSON object");
    assert_eq!((&answer["failed"], &answer["changed"]), (&json!(true), &json!(true)), "{answer}");
    assert_eq!(answer["status"], "aborted", "{answer}");
    assert!(
        msg(&answer).contains("Now 4 of 4 on v1 serve. All temporary changes are undone"),
        "{answer}"
    );
    assert!(msg(&answer).ends_with("Run the task again to finish"), "{answer}");
    assert_as_before(folder.path());
}

/// Against AWS's APIs, on LocalStack.
#[cfg(feature = "aws")]
#[test]
fn a_playbook_rolls_an_auto_scaling_group_once_and_looks_only_in_check_mode() {
    let Some(account) = crate::emulator::account() else { return };
    let fleet = json!({ "name": "web", "size": 4 });
    let template = account.fleet(fleet, crate::lab::localstack::times());
    let before = account.get("groups/web");
    let mut node = Node::new();
    let variables = account.environment().into_iter();
    // The task sets the region.
    let variables = variables.filter(|(name, _)| *name != "AWS_REGION");
    node.environment = variables.map(|(name, value)| (name.into(), value)).collect();

    // The playbook is beside the collection that has the program in it.
    let playbook = node.path().join("aws.yml");
    std::fs::copy(example("aws.yml"), &playbook).expect("a copy");
    let lab = json!({ "group": "web", "launch_template": template, "region": "us-east-1" });
    let ran = node.play(&playbook, &["--check", "--diff", "-e", &lab.to_string()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let answer = result(&ran, 0);
    assert_eq!((&answer["changed"], &answer["failed"]), (&json!(true), &json!(false)), "{answer}");
    assert!(msg(&answer).starts_with("would roll web from "), "{answer}");
    assert_eq!(account.mutations(), Vec::<String>::new());

    let mut arguments = crate::lab::localstack::resource(&template, "2");
    // A number in YAML, as people write it.
    arguments["auto_scaling_group"]["launch_template"]["version"] = json!(2);
    arguments["provider"] = json!({ "aws": { "region": "us-east-1" } });
    let answer = node.task(&arguments, &["--diff"]);
    assert_eq!((&answer["changed"], &answer["failed"]), (&json!(true), &json!(false)), "{answer}");
    let revision = format!("{template}:2");
    assert_eq!(answer["deployed_revision"], revision, "{answer}");
    let after = answer["diff"]["after"].as_str().unwrap_or_default();
    assert_eq!(after.matches(&format!("on {revision} in us-east-1")).count(), 4, "{answer}");
    crate::lab::localstack::assert_as_before(&account, &before, 4, &revision);

    account.forget_calls();
    let answer = node.task(&arguments, &[]);
    assert_eq!((&answer["changed"], &answer["failed"]), (&json!(false), &json!(false)), "{answer}");
    assert!(msg(&answer).starts_with("nothing to do"), "{answer}");
    assert_eq!(account.mutations(), Vec::<String>::new());

    arguments["provider"] = json!({});
    let answer = node.task(&arguments, &[]);
    assert_eq!((&answer["changed"], &answer["failed"]), (&json!(false), &json!(true)), "{answer}");
    assert!(msg(&answer).starts_with("provider.aws.region: "), "{answer}");
}

#[test]
fn only_a_file_of_ansibles_makes_the_program_a_module() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("a file");
    };
    write("args", r#"{"_ansible_module_name": "x", "policy": "rolling"}"#);
    write("plan", r#"{"_ansible_module_name": "x", "policy": "rolling"}"#);
    write("help", r#"{"_ansible_module_name": "x", "policy": "rolling"}"#);
    write("other.json", r#"{"policy": "rolling"}"#);
    write("broken.json", r#"{"_ansible_module_name": "x""#);
    let at = |args: &[&str]| run(rolling().current_dir(folder.path()).args(args));
    let ran = at(&["args"]);
    assert_eq!((ran.code, ran.lines()[0]["failed"].clone()), (1, json!(true)), "{ran:?}");
    assert_eq!(ran.lines().len(), 1, "{ran:?}");
    // Everything else goes to the command line.
    for args in [&["plan"][..], &["other.json"], &["broken.json"], &["args", "args"], &["."]] {
        let ran = at(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains("Usage: rolling"), "{args:?}: {ran:?}");
    }
    assert!(at(&["help"]).stdout.contains("Usage: rolling"));
    // Standard input is not read to find out.
    let ran = run_with(rolling().arg("/dev/stdin"), r#"{"_ansible_module_name": "x"}"#);
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[test]
fn the_documentation_is_that_of_the_schemas_and_ansible_doc_prints_it() {
    let file = example(COLLECTION).join("plugins/modules/rolling_deployment.yml");
    let wanted = ansible_docs::render();
    if std::env::var("ROLLING_UPDATE").is_ok() {
        std::fs::write(&file, &wanted).expect("the documentation");
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(known, wanted, "run the tests with ROLLING_UPDATE=1 to renew {}", file.display());

    let node = Node::new();
    let ran = run(node.command("ansible-doc").args(["--type", "module", "--json", MODULE]));
    assert_eq!(ran.code, 0, "{ran:?}");
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    let answer = &answer[MODULE];
    let options = &answer["doc"]["options"];
    assert_eq!(options["health"]["suboptions"]["healthy_timeout"]["type"], "str", "{options}");
    assert_eq!(
        (&options["policy"]["required"], &options["max_surge"]["type"]),
        (&json!(true), &json!("raw"))
    );
    assert_eq!(options["checkpoints"]["elements"], "dict");
    assert_eq!(answer["return"]["instances"]["contains"]["serves"]["type"], "bool", "{answer}");
    let ran = run(node.command("ansible-doc").arg(MODULE));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("Takes a batch of instances out of rotation"), "{ran:?}");

    // The module accepts the examples in it.
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    let python = &mut Command::new(programs().join("python"));
    let read =
        run_with(python.args(["-c", script]), answer["examples"].as_str().expect("examples"));
    let tasks: Vec<Value> = serde_json::from_str(&read.stdout).expect("tasks");
    assert_eq!(tasks.len(), 4);
    for task in tasks {
        let arguments: &Map<String, Value> = task[MODULE].as_object().expect("arguments");
        let read = rolling::frontends::ansible::arguments::read(arguments);
        assert!(read.is_ok(), "{task}: {:?}", read.err());
    }
}
