//! The same environment from converted options, from Terraform, over JSON-RPC and from Ansible.

use serde_json::{Value, json};

use super::interrupted::spawn;
use super::{UPDATE, environment, sizes, thirty_percent, versions, wanted};
use crate::emulator::{Account, account, three_at_once};
use crate::lab::localstack;
use crate::process;
use crate::terraform_host::Plugin;

/// The option settings that the pattern itself shows.
const OPTIONS: &str = r#"[
  {"Namespace": "aws:elasticbeanstalk:command", "OptionName": "DeploymentPolicy", "Value": "Rolling"},
  {"Namespace": "aws:elasticbeanstalk:command", "OptionName": "BatchSizeType", "Value": "Percentage"},
  {"Namespace": "aws:elasticbeanstalk:command", "OptionName": "BatchSize", "Value": "30"}
]"#;

/// Converts the options for a target, and returns the deployment.
fn converted(account: &Account, target: &str) -> Value {
    let mut command = account.rolling();
    let ran = process::run_with(command.args(["convert", "-", "--target", target]), OPTIONS);
    assert_eq!(ran.code, 0, "{ran:?}");
    let document: Value = serde_json::from_str(&ran.stdout).expect("a document");
    let deployments = document["resource"]["rolling_deployment"].as_object().expect("deployments");
    deployments.values().next().expect("a deployment").clone()
}

fn batches(plan: &Value) -> Vec<u64> {
    let all = plan["batches"].as_array().expect("batches").iter();
    let size = |batch: &Value| {
        batch["at_most"].as_u64().unwrap_or(batch["replaces"].as_array().map_or(0, Vec::len) as u64)
    };
    all.map(size).collect()
}

#[test]
fn the_same_options_roll_an_environment_and_a_plain_group_alike() {
    let Some(account) = account() else { return };
    environment(&account, 10, &json!([]));
    let template = account
        .fleet(json!({ "name": "web", "size": 10, "min": 0, "max": 20 }), localstack::times());
    let mut of_environment = converted(&account, "elastic_beanstalk_environment/web-prod");
    of_environment["elastic_beanstalk_environment"]["version_label"] = json!("v2");
    of_environment["poll_interval"] = json!("500ms");
    let mut of_group = converted(&account, "auto_scaling_group/web");
    let launch_template = json!({ "id": template, "version": "2" });
    of_group["auto_scaling_group"]["launch_template"] = launch_template;
    of_group["poll_interval"] = json!("500ms");
    of_group["health"] = json!({ "min_healthy_time": "300ms" });

    for name in ["policy", "batch_size_type", "batch_size"] {
        assert_eq!(of_environment[name], of_group[name], "{name}");
    }
    let plans = [&of_environment, &of_group].map(|wanted| {
        let planned = account.run("plan", wanted);
        assert_eq!(planned.code, 0, "{planned:?}");
        planned.lines()[0]["resources"][0]["plan"].clone()
    });
    assert_eq!(batches(&plans[0]), [3, 3, 3, 1]);
    assert_eq!(batches(&plans[1]), [3, 3, 3, 1]);
    for name in ["policy", "size", "floor", "ceiling"] {
        assert_eq!(plans[0][name], plans[1][name], "{name}");
    }
    let running = spawn(&account, &of_environment);
    let ran = account.run("apply", &of_group);
    assert_eq!(ran.code, 0, "{ran:?}");
    let deployed = process::end(running);
    assert_eq!(deployed.code, 0, "{deployed:?}");
    assert_eq!(sizes(&account), [3, 3, 3, 1]);
    let started = super::events(&ran, "batch_started");
    let sizes: Vec<usize> =
        started.iter().map(|it| it["instances"].as_array().expect("instances").len()).collect();
    assert_eq!(sizes, [3, 3, 3, 1], "{ran:?}");
}

#[test]
fn terraform_json_rpc_and_ansible_deploy_what_the_command_line_plans() {
    if account().is_some() {
        three_at_once([terraform as fn(), ansible_and_json_rpc], |it| it());
    }
}

fn terraform() {
    let Some(account) = account() else { return };
    environment(&account, 4, &json!([]));
    let config = wanted(&thirty_percent(), "v2");
    let plugin = Plugin::start_as(account.rolling().env("TMPDIR", account.folder.path()));
    assert_eq!(plugin.configure(&json!({})), []);
    let planned = plugin.plan(None, &config);
    let created = plugin.apply(None, &planned, &config);
    assert!(created.found.is_empty(), "{created:?}");
    assert_eq!(created.value["deployed_revision"], "v2");
    assert_eq!(versions(&account), [("v2".to_owned(), 4)].into());
    // A bad version: Terraform's state knows where to go back to.
    let state = plugin.read(&created.state.expect("a state")).state.expect("a state");
    let bad = wanted(&thirty_percent(), "v2-bad");
    let planned = plugin.plan(Some(&state), &bad);
    let failed = plugin.apply(Some(&state), &planned, &bad);
    assert!(format!("{:?}", failed.found).contains("Command failed on instance"), "{failed:?}");
    assert_eq!(versions(&account), [("v2".to_owned(), 4)].into());
    plugin.shut_down();
}

fn ansible_and_json_rpc() {
    let Some(account) = account() else { return };
    environment(&account, 4, &json!([]));
    let config = wanted(&thirty_percent(), "v3");
    let planned = account.run("plan", &config);
    let shown = planned.lines()[0]["resources"][0]["plan"].clone();

    let talk = |method: &str, params: Value| account.call(method, params);
    let told = talk("resource.plan", json!({ "prior": null, "config": config }));
    let replaced: Vec<u64> = told["batches"]
        .as_array()
        .expect("batches")
        .iter()
        .filter_map(|batch| batch["replaces"].as_u64())
        .collect();
    assert_eq!(replaced, batches(&shown), "{told}");

    let mut arguments = wanted(&thirty_percent(), "v3");
    arguments["_ansible_module_name"] = json!("rolling_deployment");
    let file = account.folder.path().join("arguments.json");
    for changed in [true, false] {
        std::fs::write(&file, arguments.to_string()).expect("arguments");
        let ran = process::run(account.rolling().arg(&file));
        let answer = ran.lines().remove(0);
        assert_eq!((ran.code, &answer["changed"]), (0, &json!(changed)), "{answer}");
    }
    assert_eq!(account.count(UPDATE), 2, "the options, and the version");
    assert_eq!(versions(&account), [("v3".to_owned(), 4)].into());

    let id = json!({ "id": "elastic_beanstalk_environment/web-prod" });
    let imported = talk("resource.import", id);
    let label = "/state/elastic_beanstalk_environment/version_label";
    assert_eq!(imported.pointer(label), Some(&json!("v3")), "{imported}");
    let doctor = account.run("doctor", &config);
    assert_eq!(doctor.code, 0, "{doctor:?}");
    assert!(doctor.stdout.contains("UpdateEnvironment"), "{doctor:?}");
}
