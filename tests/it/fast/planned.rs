//! What Terraform shows of a fleet: plans that say what they roll, and states that are true
//! whatever others have done, without drift where nothing has changed.

use std::path::Path;

use rolling::frontends::terraform::proto as p;
use serde_json::{Value, json};

use crate::fast::plugin::{config, created, fast, sizes, with};
use crate::process::{Ran, rolling, run, until, write};
use crate::terraform_host::{Plugin, unknown};

/// A document of somebody else with the same fleet.
fn document(config: &Value, speed: u32) -> Value {
    json!({
        "provider": { "rolling": { "simulator": { "speed": speed } } },
        "resource": { "rolling_deployment": { "web": config } },
    })
}

/// Runs a command as somebody does beside Terraform.
fn outside(folder: &Path, command: &str, config: &Value) -> Ran {
    let file = write(folder, &document(config, 500));
    run(rolling().current_dir(folder).arg(command).arg(file))
}

/// Returns a fleet on v2 of which an apply has rolled 3 of 10 to v4 and waits at a checkpoint, with
/// the configuration that asks for that.
fn paused(plugin: &Plugin) -> (p::DynamicValue, Value) {
    let state = created(plugin, &config("v2"));
    let four = with(&config("v4"), &json!({ "checkpoints": [{ "percentage": 30 }] }));
    let plan = plugin.plan(Some(&state), &four);
    let applied = plugin.apply(Some(&state), &plan, &four);
    assert!(applied.found[0].summary.contains("is paused"), "{applied:?}");
    assert_eq!(applied.value["status"], "paused");
    let state = applied.state.expect("a state");
    assert_eq!(plugin.read(&state).state, Some(state.clone()), "a pause is no drift");
    (state, four)
}

/// Changes the simulated fleet as its cloud would.
fn change(folder: &Path, how: impl FnOnce(&mut Value)) {
    let file = folder.join(".rolling/web.json");
    let text = std::fs::read_to_string(&file).expect("the fleet");
    let mut fleet: Value = serde_json::from_str(&text).expect("JSON");
    how(&mut fleet);
    std::fs::write(&file, fleet.to_string()).expect("a fleet");
}

#[test]
fn a_pause_that_is_ended_outside_is_no_pause_any_more() {
    for (command, status, deployed, left) in [
        ("resume", "succeeded", json!("v4"), 0),
        ("rollback", "rolled_back", json!("v2"), 10),
        ("abort", "aborted", Value::Null, 7),
    ] {
        let whose = match command {
            "resume" => "",
            "rollback" => "somebody else has rolled it back",
            _ => "aborted by ",
        };
        let folder = tempfile::tempdir().expect("a folder");
        let plugin = fast(folder.path(), 500);
        let (state, four) = paused(&plugin);
        let ran = outside(folder.path(), command, &four);
        assert!([0, 3].contains(&ran.code), "{ran:?}");
        let now = plugin.read(&state);
        assert_eq!(now.found, []);
        assert_eq!(now.value["status"], status, "{command}: {}", now.value);
        assert_eq!(now.value["deployed_revision"], deployed, "{command}");
        match command {
            // The record has the reason.
            "abort" => {
                assert!(now.value["last_error"].as_str().is_some_and(|it| it.starts_with(whose)))
            }
            _ => {
                assert_eq!(now.value["last_error"].as_str().unwrap_or_default(), whose, "{command}")
            }
        }
        assert_eq!(
            now.value["target_revision"], "v4",
            "{command}: what the last apply was to bring"
        );
        let state = now.state.expect("a state");
        assert_eq!(plugin.read(&state).state, Some(state.clone()), "{command}: it stays so");
        // The next apply does what is left, and then there is nothing to do.
        let plan = plugin.plan(Some(&state), &four);
        let reply = &plan.found[0].summary;
        match left {
            0 => {
                assert_eq!((reply.as_str(), plan.unknown.len()), ("This plan rolls nothing", 0));
            }
            _ => assert!(reply.starts_with(&format!("This plan rolls {left} of 10")), "{reply}"),
        }
        let without_checkpoint = with(&four, &json!({ "checkpoints": null }));
        let wanted = if left == 0 { &four } else { &without_checkpoint };
        let plan = plugin.plan(Some(&state), wanted);
        let applied = plugin.apply(Some(&state), &plan, wanted);
        assert_eq!(applied.found, []);
        assert_eq!(
            (&applied.value["status"], &applied.value["last_error"]),
            (&json!("succeeded"), &Value::Null)
        );
        let state = applied.state.expect("a state");
        assert_eq!(plugin.read(&state).state, Some(state.clone()));
        let plan = plugin.plan(Some(&state), wanted);
        assert_eq!((plan.state, plan.found), (Some(state), vec![]), "{command}");
        plugin.shut_down();
    }
}

#[test]
fn changes_by_others_show_and_figures_of_plans_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let state = created(&plugin, &config("v2"));
    let before = plugin.read(&state).value;
    assert_eq!(before["instance_ids"].as_array().map(Vec::len), Some(10));
    // Twelve instances instead of ten, one of them a replacement.
    let name = before["instance_ids"][0].as_str().expect("a name").to_owned();
    change(folder.path(), |fleet| {
        fleet["capacity"] = json!({ "min": 0, "max": 20, "desired": 12 });
    });
    let ran = outside(folder.path(), "apply", &config("v2"));
    assert_eq!(ran.code, 0, "{ran:?}");
    change(folder.path(), |fleet| {
        let instances = fleet["instances"].as_object_mut().expect("instances");
        let mut other = instances.remove(&name).expect("an instance");
        other["id"] = json!("i-other");
        instances.insert("i-other".into(), other);
    });
    let now = plugin.read(&state).value;
    let mut expected = before.clone();
    for shown in ["fleet", "instance_ids"] {
        assert_ne!(now[shown], before[shown]);
        expected[shown] = now[shown].clone();
    }
    assert_eq!(now, expected, "nothing else");
    assert!(now["instance_ids"].to_string().contains("i-other"), "{now}");
    assert!(!now["instance_ids"].to_string().contains(&name), "{now}");
    plugin.shut_down();
}

#[test]
fn a_plan_says_what_it_rolls_as_far_as_that_is_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let two = config("v2");
    let state = created(&plugin, &two);
    let planned = |config: &Value| {
        let plan = plugin.plan(Some(&state), config);
        assert_eq!(plan.found.len(), 1, "{plan:?}");
        assert!(!plan.found[0].is_error);
        (plan.found[0].summary.clone(), plan)
    };
    let figures =
        "(rolling): batches of 3, 3, 3, 1, at least 7 serve, at most 10 live, about 4m 40s";

    let (reply, _) = planned(&config("v4"));
    assert_eq!(reply, format!("This plan rolls 10 of 10 instances of web from v2 to v4 {figures}"));
    let (reply, _) = planned(&with(&two, &json!({ "batch_size": 10 })));
    assert_eq!(reply, "This plan rolls nothing");
    // The same apply changes the version.
    let mut later = two.clone();
    later["simulated_fleet"]["revision"] = unknown();
    let (reply, plan) = planned(&later);
    let message = "If the version changes, this plan rolls 10 of 10 instances of web";
    assert_eq!(reply, format!("{message} {figures}"));
    assert_eq!(sizes(&json!({ "batches": [] })), Vec::<u64>::new());
    assert!(plan.unknown.contains(&"/batches".to_owned()), "they stay if it does not: {plan:?}");
    // Another attribute is not known.
    let (reply, _) = planned(&with(&two, &json!({ "batch_size": unknown() })));
    assert_eq!(reply, "What this plan rolls is known only when batch_size is");
    // Where nothing is planned, nothing is reported.
    let plan = plugin.plan(Some(&state), &two);
    assert_eq!((plan.found, plan.state), (vec![], Some(state.clone())));
    plugin.shut_down();
}

#[test]
fn a_plan_tells_who_is_at_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let state = created(&plugin, &config("v2"));
    let five = config("v5");
    let file = write(folder.path(), &document(&five, 1));
    let mut engine = rolling()
        .current_dir(folder.path())
        .arg("apply")
        .arg(file)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("a start");
    let record = folder.path().join(".rolling/web.json");
    until("a rollout is recorded", || {
        std::fs::read_to_string(&record).is_ok_and(|text| text.contains("rolling:rollout"))
    });
    let plan = plugin.plan(Some(&state), &config("v4"));
    let mut later = config("v2");
    later["simulated_fleet"]["revision"] = unknown();
    let unknown_target = plugin.plan(Some(&state), &later);
    engine.kill().expect("an end");
    engine.wait().expect("an end");
    for plan in [plan, unknown_target] {
        assert_eq!(plan.found.len(), 2, "{plan:?}");
        let warning = &plan.found[1];
        assert!(warning.summary.starts_with("Rollout "), "{warning:?}");
        assert!(warning.summary.contains(" to v5 is "), "{warning:?}");
        assert!(warning.summary.contains(&format!("{}", engine.id())), "who: {warning:?}");
        assert!(
            warning.detail.contains("An apply waits for a sign of life, for 30s"),
            "{warning:?}"
        );
    }
    plugin.shut_down();
}

/// A plan that rolls nothing does not promise that there is nothing to roll when it is applied.
#[test]
fn a_plan_that_rolls_nothing_is_refused_where_the_fleet_has_changed_since() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let state = created(&plugin, &config("v2"));
    let smaller = with(&config("v2"), &json!({ "batch_size": 10 }));
    let plan = plugin.plan(Some(&state), &smaller);
    assert_eq!(plan.found[0].summary, "This plan rolls nothing");
    assert_eq!(outside(folder.path(), "apply", &config("v9")).code, 0);
    let applied = plugin.apply(Some(&state), &plan, &smaller);
    let found = &applied.found[0];
    assert!(found.is_error, "{found:?}");
    let message = "The plan rolls nothing, but web has changed since: now 10 of 10 on v9 serve";
    assert_eq!(
        (found.summary.as_str(), found.detail.as_str()),
        (message, "Nothing was done. Plan again.")
    );
    assert_eq!(applied.state, Some(state.clone()));
    // Without a refresh in between a plan knows it, and says so.
    let plan = plugin.plan(Some(&state), &smaller);
    let message =
        "This plan rolls nothing, and is refused when it is applied: web has changed since";
    assert!(plan.found[0].summary.starts_with(message), "{plan:?}");
    let state = plugin.read(&state).state.expect("a state");
    let plan = plugin.plan(Some(&state), &smaller);
    assert!(plan.found[0].summary.starts_with("This plan rolls 10 of 10"), "{plan:?}");
    plugin.shut_down();
}

/// However an apply has failed, the next refresh finds the same.
#[test]
fn what_a_failed_apply_has_reported_is_no_drift() {
    for (how, change, message) in [
        ("pause", json!({ "on_failure": "pause" }), "[502]"),
        ("stop", json!({ "on_failure": "stop" }), "[502]"),
        ("rollback", json!({}), "[502]"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let plugin = fast(folder.path(), 500);
        let state = created(&plugin, &config("v2"));
        let bad = with(&config("v3"), &change);
        let plan = plugin.plan(Some(&state), &bad);
        let applied = plugin.apply(Some(&state), &plan, &bad);
        let error = applied.value["last_error"].as_str().expect("an error");
        assert!(error.contains(message), "{how}: {error}");
        let state = applied.state.expect("a state");
        let refreshed = plugin.read(&state);
        assert_eq!(refreshed.value, applied.value, "{how}");
        assert_eq!(refreshed.state, Some(state), "{how}");
        plugin.shut_down();
    }
    // It times out; then somebody rolls back.
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let state = created(&plugin, &config("v2"));
    plugin.shut_down();
    let plugin = fast(folder.path(), 8);
    let four = with(&config("v4"), &json!({ "timeouts": { "update": "4s" } }));
    // The error is in the state file, and comes back with it.
    let state = plugin.read(&state).state.expect("a state");
    let plan = plugin.plan(Some(&state), &four);
    let applied = plugin.apply(Some(&state), &plan, &four);
    assert_eq!(applied.value["last_error"], "timed out after 4s (timeouts.update)", "{applied:?}");
    let state = applied.state.expect("a state");
    assert_eq!(plugin.read(&state).state, Some(state.clone()));
    plugin.shut_down();
    let plugin = fast(folder.path(), 500);
    let back = outside(folder.path(), "rollback", &config("v4"));
    assert_eq!(back.code, 0, "{back:?}");
    let now = plugin.read(&state).value;
    assert_eq!((&now["status"], &now["deployed_revision"]), (&json!("rolled_back"), &json!("v2")));
    plugin.shut_down();
}

#[test]
fn what_only_the_provider_sets_is_refused_in_a_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let change = json!({ "floor": 3, "status": "x", "instance_ids": ["i-1"], "batches": [] });
    let found = plugin.validate(&with(&config("v2"), &change));
    let mut places: Vec<&str> = found.iter().map(|found| found.place.as_str()).collect();
    places.sort_unstable();
    assert_eq!(places, [".batches", ".floor", ".instance_ids", ".status"]);
    assert!(found.iter().all(|found| found.summary.ends_with("only the provider sets it")));
    plugin.shut_down();
}

/// The progress file has no secret of a command, and whoever resumes the rollout is told so.
#[test]
fn a_rollout_is_not_resumed_without_what_its_gate_or_its_hook_needs() {
    let script = "echo told $TOKEN; test -n \"$TOKEN\"";
    let command = json!({ "run": ["sh", "-c", script], "environment": { "TOKEN": "s3cret" } });
    assert_needed(&json!({ "gates": { "command": command } }));
    assert_needed(&json!({ "hooks": { "after_batch": { "command": command } } }));
}

fn assert_needed(commands: &Value) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = rolling();
    command.current_dir(folder.path()).env("ROLLING_PROGRESS_DIR", folder.path());
    let plugin = Plugin::start_as(command.env("TMPDIR", folder.path()));
    assert_eq!(plugin.configure(&json!({ "simulator": { "speed": 500 } })), []);
    let checkpoints = json!({ "checkpoints": [{ "percentage": 30 }] });
    let two = with(&with(&config("v2"), &checkpoints), commands);
    let plan = plugin.plan(None, &two);
    let applied = plugin.apply(None, &plan, &two);
    assert!(applied.found[0].summary.contains("is paused"), "{applied:?}");
    let log = plugin.shut_down();
    let file = folder.path().join("web.jsonl");
    let events = std::fs::read_to_string(&file).expect("the file");
    assert!(events.contains("told (sensitive)"), "{events}");
    assert!(!events.contains("s3cret") && !log.contains("s3cret"), "{events} {log}");
    let resume = |token: Option<&str>| {
        let mut command = rolling();
        command.current_dir(folder.path()).arg("resume").arg(&file);
        run(command.envs(token.map(|token| ("TOKEN", token))))
    };
    let ran = resume(None);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("a command of the document needs TOKEN"), "{ran:?}");
    assert_eq!(resume(Some("s3cret")).code, 0);
}
