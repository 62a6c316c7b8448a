//! The main rollouts over JSON-RPC.

use serde_json::{Value, json};

use super::{assert_as_before, resource, ten, times};
use crate::emulator::account;
use crate::process;

#[test]
fn one_shot_json_rpc_does_the_same_job_and_prints_nothing_but_protocol() {
    let Some(account) = account() else { return };
    let template = account.fleet(json!({ "name": "web", "size": 4 }), times());
    let before = account.get("groups/web");
    let apply = json!({
        "type": "rolling_deployment", "prior": null, "config": resource(&template, "2"),
        "operation_id": "deploy-7", "progress_token": "t",
    });
    let input = [
        json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize",
                "params": { "protocol_versions": [1] } }),
        json!({ "jsonrpc": "2.0", "id": 2, "method": "resource.apply", "params": apply }),
        json!({ "jsonrpc": "2.0", "id": 3, "method": "shutdown" }),
        json!({ "jsonrpc": "2.0", "method": "exit" }),
    ]
    .map(|message| message.to_string() + "\n")
    .concat();
    let ran = process::run_with(account.rolling().arg("serve"), &input);
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines = ran.lines();
    assert!(lines.iter().all(|line| line["jsonrpc"] == "2.0"));
    let answer = lines.iter().find(|line| line["id"] == 2).expect("an answer");
    assert_eq!(answer["result"]["status"], "succeeded", "{answer}");
    assert_eq!(answer["result"]["state"]["deployed_revision"], format!("{template}:2"));
    let progress: Vec<&Value> =
        lines.iter().filter(|line| line["method"] == "$/progress").collect();
    assert!(!progress.is_empty());
    for (index, progress) in progress.iter().enumerate() {
        assert_eq!(progress["params"]["sequence"], index);
        assert_eq!(progress["params"]["token"], "t");
    }
    let last = lines.iter().rposition(|line| line["method"] == "$/progress");
    let answered = lines.iter().position(|line| line["id"] == 2);
    assert!(last < answered, "no progress after the response");
    assert_as_before(&account, &before, 4, &format!("{template}:2"));
}

#[test]
fn another_program_imports_rolls_reads_and_deletes_a_group_over_json_rpc() {
    let Some(account) = account() else { return };
    let template = account.fleet(ten(), times());
    let before = account.get("groups/web");
    let talk = |requests: &[(&str, Value)]| -> Vec<Value> {
        let first = ("initialize", json!({ "protocol_versions": [1] }));
        let lines: Vec<String> = std::iter::once(&first)
            .chain(requests)
            .enumerate()
            .map(|(id, (method, params))| {
                let mut params = params.clone();
                if id > 0 {
                    params["type"] = json!("rolling_deployment");
                }
                json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
                    .to_string()
            })
            .collect();
        let ran = process::run_with(account.rolling().arg("serve"), &lines.join("\n"));
        let mut answers = ran.lines();
        answers.retain(|answer| answer.get("id").is_some());
        answers.sort_by_key(|answer| answer["id"].as_u64());
        answers.into_iter().skip(1).map(|answer| answer["result"].clone()).collect()
    };

    let imported = talk(&[
        ("resource.import", json!({ "id": "auto_scaling_group/web" })),
        ("resource.import", json!({ "id": "auto_scaling_group/wbe" })),
    ]);
    let state = imported[0]["state"].clone();
    assert_eq!(
        state["auto_scaling_group"],
        json!({ "name": "web", "launch_template": { "id": template, "version": "1" } }),
        "{imported:?}"
    );
    assert_eq!(state["deployed_revision"], json!(format!("{template}:1")));
    assert_eq!(imported[1]["state"], Value::Null);
    let made = account.mutations();
    let config = resource(&template, "2");
    let planned = talk(&[("resource.plan", json!({ "prior": state, "config": config }))]);
    assert_eq!(planned[0]["action"], "update");
    assert_eq!(account.mutations(), made, "importing and planning change nothing");
    let applied = talk(&[(
        "resource.apply",
        json!({
            "prior": state, "config": config, "planned": planned[0]["planned"],
            "private": planned[0]["private"], "operation_id": "deploy-2",
        }),
    )]);
    assert_eq!(applied[0]["status"], "succeeded", "{applied:?}");
    let state = applied[0]["state"].clone();
    let seen = talk(&[
        ("resource.read", json!({ "prior": state })),
        ("resource.status", json!({ "config": config })),
        ("resource.plan", json!({ "prior": state, "config": config })),
    ]);
    assert_eq!(seen[0]["state"], state);
    assert_eq!(seen[1]["record"], Value::Null);
    assert_eq!(seen[2]["action"], "none");
    assert_as_before(&account, &before, 10, &format!("{template}:2"));

    // A rollout that was killed is given up: what is borrowed is given back, instances stay.
    let document =
        json!({ "resource": { "rolling_deployment": { "web": resource(&template, "1") } } });
    let file = process::write(account.folder.path(), &document);
    let child = account.rolling().arg("apply").arg(file).spawn().expect("the program starts");
    account.until("groups/web", "something is borrowed", |group| {
        group["suspended"].as_array().is_some_and(|processes| !processes.is_empty())
    });
    crate::lab::promises::kill(child);
    let gone = talk(&[("resource.delete", json!({ "prior": state }))]);
    assert_eq!(gone[0], json!({ "status": "succeeded", "state": null, "diagnostics": [] }));
    let after = account.get("groups/web");
    for what in ["min", "max", "desired", "suspended", "tags"] {
        assert_eq!(after[what], before[what], "{what}");
    }
}
