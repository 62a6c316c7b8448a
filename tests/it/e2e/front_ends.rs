//! The same deployment through every front-end.

use serde_json::{Value, json};

use super::ansible::node::Node;
use crate::process::{rolling, run, run_with};

/// What every front-end plans and leaves: the sizes of the batches, and the revision of each
/// instance.
pub(super) type Done = (Vec<usize>, Value);

/// Rolls the same fixture through the command line, JSON-RPC, Ansible and Terraform's protocol: the
/// plan and the end are the same.
#[test]
fn every_front_end_makes_the_same_plan_and_leaves_the_same_state() {
    let config = json!({
        "policy": "rolling", "batch_size_type": "percentage", "batch_size": 40,
        "health": { "min_healthy_time": "5s", "healthy_timeout": "1h" },
        "simulated_fleet": { "name": "web", "revision": "v2", "instances": 7, "seed": 5 },
    });
    let provider = json!({ "simulator": { "speed": 300 } });
    let all = [
        by_the_command_line(&config, &provider),
        by_json_rpc(&config, &provider),
        by_ansible(&config, &provider),
        by_terraform(&config, &provider),
    ];
    assert_eq!(all[0].0, [2, 2, 2, 1]);
    assert_eq!(all[0].1["instances"].as_array().map(Vec::len), Some(7));
    assert_eq!(all[0].1["previous"], "v1", "what a rollback after the end goes to");
    assert_eq!(all[0], all[1], "the command line and JSON-RPC");
    assert_eq!(all[0], all[2], "the command line and Ansible");
    assert_eq!(all[0], all[3], "the command line and Terraform");
}

/// What a state says of a rollout.
const STATE: [&str; 4] = ["status", "target_revision", "completed_revision", "previous_revision"];

/// Returns what a state or a report has in common, whichever front-end asked.
fn essence(result: &Value, [status, target, completed, previous]: [&str; 4]) -> Value {
    json!({
        "status": result[status], "target": result[target], "completed": result[completed],
        "previous": result[previous], "instances": result["instances"],
    })
}

pub(super) fn by_the_command_line(config: &Value, provider: &Value) -> Done {
    let folder = tempfile::tempdir().expect("a folder");
    let document = json!({
        "provider": { "rolling": provider },
        "resource": { "rolling_deployment": { "web": config } },
    });
    let file = crate::process::write(folder.path(), &document);
    let lines = |command: &str| {
        let mut rolling = rolling();
        rolling.current_dir(folder.path()).args([command, "--output", "json"]).arg(&file);
        run(&mut rolling).lines()
    };
    let plan = lines("plan")[0]["resources"][0].clone();
    let plan = if plan["plan"].is_object() { plan["plan"].clone() } else { plan };
    let batches = plan["batches"].as_array().unwrap_or_else(|| panic!("no batches: {plan}"));
    let named = |batch: &Value| batch["replaces"].as_array().map_or(0, Vec::len);
    // The platform's own controller chooses the instances.
    let sizes = batches
        .iter()
        .map(|batch| batch["at_most"].as_u64().map_or_else(|| named(batch), |size| size as usize));
    let events = lines("apply");
    let report = &events.last().expect("an end")["event"]["report"];
    (sizes.collect(), essence(report, ["outcome", "to", "completed", "previous"]))
}

pub(super) fn by_json_rpc(config: &Value, provider: &Value) -> Done {
    let folder = tempfile::tempdir().expect("a folder");
    let params = json!({ "type": "rolling_deployment", "config": config });
    let requests = [
        ("initialize", json!({ "protocol_versions": [1] })),
        ("provider.configure", json!({ "config": provider })),
        ("resource.plan", params.clone()),
    ];
    let line = |(id, (method, params)): (usize, &(&str, Value))| {
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
    };
    let talk = |requests: &[(&str, Value)]| {
        let lines: Vec<String> = requests.iter().enumerate().map(line).collect();
        let ran = run_with(rolling().arg("serve").current_dir(folder.path()), &lines.join("\n"));
        let last = requests.len() - 1;
        let found = ran.lines().into_iter().find(|line| line["id"] == last);
        found.unwrap_or_else(|| panic!("{ran:?}"))["result"].clone()
    };
    let plan = talk(&requests);
    let sizes = plan["batches"].as_array().expect("batches").iter();
    let sizes = sizes.map(|batch| batch["replaces"].as_u64().expect("a size") as usize);
    let mut apply = requests.clone();
    apply[2] = ("resource.apply", params);
    let state = talk(&apply)["state"].clone();
    (sizes.collect(), essence(&state, STATE))
}

pub(super) fn by_ansible(config: &Value, provider: &Value) -> Done {
    let node = Node::new();
    let mut arguments = config.clone();
    arguments["provider"] = provider.clone();
    let planned = node.task(&arguments, &["--check"]);
    let sizes = planned["batches"].as_array().unwrap_or_else(|| panic!("{planned}")).iter();
    let sizes = sizes.map(|batch| batch["replaces"].as_u64().expect("a size") as usize);
    let result = node.task(&arguments, &[]);
    (sizes.collect(), essence(&result, STATE))
}

pub(super) fn by_terraform(config: &Value, provider: &Value) -> Done {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = crate::terraform_host::Plugin::start(folder.path());
    assert_eq!(plugin.configure(provider), []);
    let plan = plugin.plan(None, config);
    let applied = plugin.apply(None, &plan, config);
    // A plan to create has no figures; those of the apply are used.
    let sizes = applied.value["batches"].as_array().expect("batches").iter();
    let sizes = sizes.map(|batch| batch["replaces"].as_u64().expect("a size") as usize).collect();
    plugin.shut_down();
    // Terraform's state does not list the instances.
    let document = json!({
        "provider": { "rolling": provider },
        "resource": { "rolling_deployment": { "web": config } },
    });
    let file = crate::process::write(folder.path(), &document);
    let mut status = rolling();
    status.current_dir(folder.path()).args(["status", "--output", "json"]).arg(file);
    let mut result = applied.value;
    result["instances"] = run(&mut status).lines()[0]["resources"][0]["instances"].clone();
    (sizes, essence(&result, STATE))
}
