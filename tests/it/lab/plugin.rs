//! Terraform's plugin protocol against LocalStack: versions that others make meanwhile.

use rolling::frontends::terraform::proto as p;
use serde_json::{Value, json};

use crate::emulator::{Account, account};
use crate::lab::localstack::{resource, ten, times};
use crate::terraform_host::{Planned, Plugin};

/// Makes another version of a template, as somebody else.
fn make_a_version(account: &Account, template: &str) {
    account.shared();
    // LocalStack takes the account from the key and checks no signature.
    let key = format!("Credential={}/20260101/us-east-1/ec2/aws4_request", account.id);
    let signed = format!("AWS4-HMAC-SHA256 {key}, SignedHeaders=host, Signature=0");
    let form = format!(
        "Action=CreateLaunchTemplateVersion&Version=2016-11-15&LaunchTemplateId={template}&\
         SourceVersion=1&LaunchTemplateData.InstanceType=t3.small"
    );
    ureq::post(account.endpoint)
        .header("authorization", signed)
        .content_type("application/x-www-form-urlencoded")
        .send(form)
        .expect("LocalStack makes a version");
}

fn created(plugin: &Plugin, config: &Value) -> p::DynamicValue {
    let plan = plugin.plan(None, config);
    let applied = plugin.apply(None, &plan, config);
    assert_eq!(applied.found, []);
    plugin.read(&applied.state.expect("a state")).state.expect("a state")
}

fn target(plan: &Planned) -> Option<&str> {
    let is_known = !plan.unknown.contains(&"/target_revision".to_owned());
    plan.value["target_revision"].as_str().filter(|_| is_known)
}

#[test]
fn the_latest_version_is_resolved_when_planned_and_what_was_planned_is_rolled() {
    let Some(account) = account() else { return };
    let template = account.fleet(ten(), times());
    let mut latest = resource(&template, "$Latest");
    latest["batch_size"] = json!(50);
    let mut command = account.rolling();
    let plugin = Plugin::start_as(command.env("TMPDIR", account.folder.path()));
    assert_eq!(plugin.configure(&json!({})), []);
    // Which version is the latest when this is applied is not known yet.
    assert_eq!(target(&plugin.plan(None, &latest)), None);
    let state = created(&plugin, &latest);
    let plan = plugin.plan(Some(&state), &latest);
    assert!(plan.found.iter().all(|found| !found.is_error), "{:?}", plan.found);
    assert_eq!(plan.state.as_ref(), Some(&state), "{:?}", plan.found);

    // A new version shows after a refresh.
    make_a_version(&account, &template);
    assert_eq!(plugin.plan(Some(&state), &latest).state.as_ref(), Some(&state));
    let refreshed = plugin.read(&state);
    let two = format!("{template}:2");
    assert_eq!(refreshed.value["target_revision"], two);
    assert_eq!(refreshed.value["status"], "pending", "the latest version is another one");
    let state = refreshed.state.expect("a state");
    let plan = plugin.plan(Some(&state), &latest);
    let three = format!("{template}:3");
    assert_eq!(target(&plan), Some(three.as_str()));
    assert_eq!(plan.value["batches"].as_array().map(Vec::len), Some(2));

    // A version that is made after the plan changes neither the plan nor what is rolled.
    make_a_version(&account, &template);
    let again = plugin.plan(Some(&state), &latest);
    assert_eq!((&again.state, &again.unknown), (&plan.state, &plan.unknown));
    let applied = plugin.apply(Some(&state), &again, &latest);
    assert_eq!(applied.found, []);
    assert_eq!(applied.value["deployed_revision"], three);
    assert_eq!(applied.value["auto_scaling_group"]["launch_template"]["version"], "$Latest");
    let state = plugin.read(&applied.state.expect("a state")).state.expect("a state");
    let plan = plugin.plan(Some(&state), &latest);
    assert_eq!(target(&plan), Some(format!("{template}:4").as_str()));

    // An explicit version that does not exist is an error of the plan, at its place; a refresh of a
    // state with it only warns, so that another can be chosen.
    let mut wrong = latest.clone();
    wrong["auto_scaling_group"]["launch_template"]["version"] = json!("99");
    let found = plugin.plan(Some(&state), &wrong).found;
    assert_eq!(found[0].place, ".auto_scaling_group.launch_template.version", "{found:?}");
    assert!(found[0].is_error && found[0].detail.contains("versions 1 to 4"), "{found:?}");
    plugin.shut_down();
}

#[test]
fn what_the_same_apply_may_make_is_no_error_of_a_plan() {
    let Some(account) = account() else { return };
    let template = account.fleet(ten(), times());
    let mut command = account.rolling();
    let plugin = Plugin::start_as(command.env("TMPDIR", account.folder.path()));
    assert_eq!(plugin.configure(&json!({})), []);
    let mut config = resource(&template, "2");
    config["auto_scaling_group"]["name"] = json!("to-come");
    let plan = plugin.plan(None, &config);
    assert_eq!(plan.unknown.len(), 13);
    assert_not_there_yet(&plan);
    let applied = plugin.end(plugin.begin(None, plan.state.as_ref(), &config));
    assert_eq!(applied.found[0].place, ".auto_scaling_group.name");
    assert!(applied.found[0].summary.contains("does not exist in us-east-1"), "{applied:?}");
    let mut config = resource(&template, "2");
    config["auto_scaling_group"]["launch_template"] = json!({ "name": "to-come", "version": "1" });
    let plan = plugin.plan(None, &config);
    assert_eq!(plan.unknown.len(), 13);
    assert_not_there_yet(&plan);
    plugin.shut_down();
}

/// Checks that what does not exist yet is only a warning of the plan.
fn assert_not_there_yet(plan: &Planned) {
    assert_eq!((plan.found.len(), plan.found[0].is_error), (1, false), "{plan:?}");
    let detail = &plan.found[0].detail;
    assert!(detail.starts_with("The apply fails unless it creates this first"), "{plan:?}");
}
