//! What Terraform, JSON-RPC and Ansible report of a refresh.

use serde_json::{Value, json};

use super::{START, four, until_it_replaces, wanted};
use crate::emulator::account;
use crate::lab::localstack::times;
use crate::lab::promises::start;
use crate::process::{self, end};
use crate::terraform_host::Plugin;

#[test]
fn terraform_creates_updates_and_gives_up_a_rollout_that_the_group_carries_out() {
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

    // The host asks to stop: the refresh goes on, and the state says so.
    let back = wanted(&template, "1");
    let planned = plugin.plan(Some(&state), &back);
    let applying = plugin.begin(Some(&state), planned.state.as_ref(), &back);
    account.until_called(START, 2);
    plugin.stop();
    let left = plugin.end(applying);
    let reply = format!("{:?}", left.found);
    assert!(reply.contains("continues without this program"), "{reply}");
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
    let talk = |method: &str, params: Value| account.call(method, params);
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
    assert!(paused["diagnostics"].to_string().contains("AWS cannot pause"), "{paused}");

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
    assert!(answer["msg"].to_string().contains("checkpoints pause it for a set time"), "{answer}");
    let (code, answer) = module("aborted");
    assert_eq!((code, &answer["changed"]), (0, &json!(true)), "{answer}");
    let (code, answer) = module("aborted");
    assert_eq!((code, &answer["changed"]), (0, &json!(false)), "{answer}");
    assert_eq!(end(child).code, 4);
}
