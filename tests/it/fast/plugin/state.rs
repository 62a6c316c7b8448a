//! What the state keeps: after a failure, after changes by others, and of other versions.

use rolling::frontends::terraform::proto as p;
use serde_json::{Value, json};

use super::{assert_outcome_unknown, config, created, fast, status, with};
use crate::process::{rolling, run, write};
use crate::terraform_host::{Plugin, TYPE};

#[test]
fn a_failed_update_keeps_what_is_true_and_a_failed_creation_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let (two, bad) = (config("v2"), config("v3"));
    let state = created(&plugin, &two);
    let plan = plugin.plan(Some(&state), &bad);
    let applied = plugin.apply(Some(&state), &plan, &bad);
    let found = &applied.found[0];
    assert!(
        found.summary.starts_with("web was rolled back from v3 to v2: instance i-"),
        "{found:?}"
    );
    assert!(found.summary.contains("Health checks failed with these codes: [502]"), "{found:?}");
    assert!(found.detail.contains("All temporary changes are undone"), "{found:?}");
    let value = &applied.value;
    assert_eq!(value["simulated_fleet"]["revision"], "v2", "as it was before");
    assert_eq!(value["status"], "rolled_back");
    assert_eq!(
        (&value["target_revision"], &value["deployed_revision"]),
        (&json!("v3"), &json!("v2"))
    );
    assert!(value["last_error"].as_str().expect("an error").contains("502"));

    // It stays so until somebody changes it, and the next plan shows the change again.
    let state = applied.state.expect("a state");
    let refreshed = plugin.read(&state);
    assert_eq!(refreshed.value["status"], "rolled_back");
    let plan = plugin.plan(refreshed.state.as_ref(), &bad);
    assert_outcome_unknown(&plan);
    let four = config("v4");
    let plan = plugin.plan(refreshed.state.as_ref(), &four);
    let applied = plugin.apply(refreshed.state.as_ref(), &plan, &four);
    assert_eq!((applied.found, &applied.value["last_error"]), (vec![], &Value::Null));

    let mut other = bad;
    other["simulated_fleet"]["name"] = json!("other");
    let plan = plugin.plan(None, &other);
    let applied = plugin.apply(None, &plan, &other);
    assert_eq!((applied.value, applied.found.len()), (Value::Null, 1), "nothing is saved");
    plugin.shut_down();
}

#[test]
fn a_success_that_leaves_some_alone_warns_of_them_and_completes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let mut some = with(&config("v2"), &json!({ "scale_in_protected_instances": "ignore" }));
    some["simulated_fleet"]["events"] = json!([{ "after": "0s", "protect": ["i-0001"] }]);
    let plan = plugin.plan(None, &some);
    let applied = plugin.apply(None, &plan, &some);
    let [warning] = applied.found.as_slice() else { panic!("{:?}", applied.found) };
    let begins = "Rolled web to v2: 9 of 10 instances, 1 left alone (i-0001)";
    assert!(!warning.is_error && warning.summary.starts_with(begins), "{warning:?}");
    assert!(warning.detail.contains("completed_revision stays as it was"), "{warning:?}");
    assert_eq!(applied.value["status"], "succeeded");
    assert_ne!(applied.value["completed_revision"], "v2", "{}", applied.value);
    let of = |revision: &str, count| json!({ "revision": revision, "instances": count, "serving": count });
    assert_eq!(applied.value["fleet"], json!([of("v1", 1), of("v2", 9)]));
    plugin.shut_down();
}

#[test]
fn drift_and_what_others_have_done_show_when_it_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let two = config("v2");
    let state = created(&plugin, &two);
    // Another process rolls the fleet, and waits at a checkpoint.
    let other = with(&config("v4"), &json!({ "checkpoints": [{ "percentage": 30 }] }));
    let document = json!({
        "provider": { "rolling": { "simulator": { "speed": 500 } } },
        "resource": { "rolling_deployment": { "web": other } },
    });
    let file = write(folder.path(), &document);
    assert_eq!(run(rolling().current_dir(folder.path()).arg("apply").arg(&file)).code, 4);
    let refreshed = plugin.read(&state);
    assert_eq!(refreshed.value["status"], "paused");
    assert_eq!(refreshed.value["last_error"], "checkpoint at 30 percent");
    assert_eq!(refreshed.value["deployed_revision"], Value::Null);
    let fleet = [("v2", 7), ("v4", 3)].map(
        |(revision, count)| json!({ "revision": revision, "instances": count, "serving": count }),
    );
    assert_eq!(refreshed.value["fleet"], json!(fleet));

    // The same configuration plans to roll back, and names the rollout that it replaces; the paused
    // one is reported.
    let plan = plugin.plan(refreshed.state.as_ref(), &two);
    assert_outcome_unknown(&plan);
    assert!(plan.found[0].summary.starts_with("This plan rolls 3 of 10"), "{:?}", plan.found);
    assert!(plan.found[0].detail.contains("eplaces rollout"), "{:?}", plan.found);
    assert!(!plan.found[0].is_error);
    let waiting = plugin.plan(refreshed.state.as_ref(), &other);
    let warning = &waiting.found[0];
    assert!(warning.summary.starts_with("This plan rolls nothing: rollout"), "{warning:?}");
    assert!(warning.summary.ends_with("is paused (checkpoint at 30 percent)"), "{warning:?}");
    assert!(warning.detail.contains("An apply fails and leaves it paused"), "{warning:?}");
    let applied = plugin.apply(refreshed.state.as_ref(), &waiting, &other);
    assert!(applied.found[0].summary.contains("is paused: checkpoint"), "{:?}", applied.found);
    assert!(applied.found[0].detail.contains("rolling resume"), "{:?}", applied.found);

    // To destroy the resource gives the rollout up, as the plan says, and touches no instance.
    let before = status(folder.path(), &other)["instances"].clone();
    let asked = p::PlanRequest {
        type_name: TYPE.into(),
        prior_state: refreshed.state.clone(),
        ..p::PlanRequest::default()
    };
    let plan: p::PlanResponse = plugin.call("tfplugin6.Provider/PlanResourceChange", asked);
    assert!(plan.diagnostics[0].summary.contains("is paused on web"), "{plan:?}");
    let gone = plugin.destroy(&refreshed.state.expect("a state"));
    assert_eq!((gone.value, gone.found), (Value::Null, vec![]));
    let now = status(folder.path(), &other);
    assert_eq!((&now["instances"], &now["record"]), (&before, &Value::Null));
    plugin.shut_down();
}

#[test]
fn a_target_that_is_gone_is_gone_from_the_state_and_nothing_to_destroy() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let found = plugin.import("simulated_fleet/web");
    assert!(found.found[0].summary.contains("does not exist"), "{found:?}");
    let state = created(&plugin, &config("v2"));
    let imported = plugin.import("simulated_fleet/web");
    assert_eq!(imported.found, []);
    assert_eq!(imported.value["policy"], "rolling");
    assert_eq!(imported.value["deployed_revision"], "v2");
    // A configuration that matches it has nothing to do.
    let source_instance = json!({
        "policy": "rolling", "batch_size_type": "fixed", "batch_size": 1,
        "simulated_fleet": { "name": "web", "revision": "v2" },
    });
    let plan = plugin.plan(imported.state.as_ref(), &source_instance);
    assert_eq!((plan.state, plan.found), (imported.state, vec![]));
    assert_eq!(plugin.destroy(&state).found, []);
    plugin.shut_down();
}

#[test]
fn states_of_other_versions_are_upgraded_or_refused_with_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = Plugin::start(folder.path());
    let upgrade = |version, state: &Value| -> p::UpgradeResponse {
        let raw_state = Some(p::RawState { json: state.to_string().into_bytes() });
        let asked = p::UpgradeRequest { type_name: TYPE.into(), version, raw_state };
        plugin.call("tfplugin6.Provider/UpgradeResourceState", asked)
    };
    let saved = json!({
        "policy": "rolling", "max_surge": "2", "batch_size": null,
        "simulated_fleet": { "name": "web", "revision": "v2", "boot_sigma": 0.3 },
        "timeouts": { "create": null, "delete": null, "update": "2h" },
        "id": "simulated:web", "status": "succeeded", "batches": [],
    });
    let answer = upgrade(1, &saved);
    assert_eq!(answer.diagnostics, []);
    let state = answer.upgraded_state.expect("a state");
    let plan = plugin.plan(Some(&state), &Value::Null);
    assert_eq!(plan.found, [], "it can be read");
    let more = with(&saved, &json!({ "colour": "red" }));
    let answer = upgrade(1, &more);
    assert_eq!(answer.upgraded_state, Some(state));
    assert_eq!(answer.diagnostics[0].summary, "colour: unknown attribute; it is removed");
    let answer = upgrade(7, &saved);
    assert!(answer.diagnostics[0].summary.contains("The state has version 7"), "{answer:?}");
    plugin.shut_down();
}
