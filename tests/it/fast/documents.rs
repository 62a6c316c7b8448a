//! Bad documents: one clear error that names the place, exit code 2, and no call to a cloud.

mod attributes;
mod blocks;
mod hooks;
mod traffic;

use std::path::Path;

use serde_json::{Value, json};

use crate::process::{self, rolling, run};

fn simulated() -> Value {
    json!({
        "policy": "rolling", "batch_size_type": "percentage", "batch_size": 30,
        "simulated_fleet": { "name": "web", "revision": "v2" },
    })
}

fn group() -> Value {
    json!({ "name": "web", "launch_template": { "id": "lt-1", "version": "2" } })
}

/// Validates a document and returns its exit code and what was printed.
fn validated(document: &Value) -> (i32, String) {
    let folder = tempfile::tempdir().expect("a folder");
    process::write(folder.path(), document);
    let ran = run(rolling().current_dir(folder.path()).args(["validate", "web.tf.json"]));
    (ran.code, ran.stdout + &ran.stderr)
}

fn document(resource: &Value) -> Value {
    json!({ "resource": { "rolling_deployment": { "web": resource } } })
}

/// Applies `text` and returns its one error, after checking that nothing was begun.
fn refused(text: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("web.tf.json");
    std::fs::write(&file, text).expect("a document");
    let ran = run(rolling().current_dir(folder.path()).arg("apply").arg("web.tf.json"));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert_eq!(ran.stdout, "");
    assert!(!folder.path().join(".rolling").exists(), "a fleet was made");
    let errors = ran.stderr.lines().filter(|line| line.contains("error"));
    assert_eq!(errors.count(), 1, "{}", ran.stderr);
    assert_position(text, &ran.stderr);
    ran.stderr
}

/// Checks that the line and column of an error are where the last written part of its place is.
fn assert_position(text: &str, reply: &str) {
    let Some((_, after)) = reply.split_once("error at ") else { return };
    let (place, after) = after.split_once(" (web.tf.json:").expect("a position");
    let (line, after) = after.split_once(':').expect("a line");
    let (column, _) = after.split_once("): ").expect("a column");
    let [line, column] = [line, column].map(|number| number.parse::<usize>().expect("a number"));
    let line = text.lines().nth(line - 1).expect("a line of the document");
    let found: String = line.chars().skip(column - 1).collect();
    let root: Value = serde_json::from_str(text).expect("JSON");
    let is_written = |place: &&str| root.pointer(place).is_some();
    let ends = place.match_indices('/').map(|(at, _)| at).chain([place.len()]);
    let written = ends.map(|end| &place[..end]).rfind(is_written).expect("a place");
    let last = written.rsplit('/').next().expect("a step");
    let begin = match last.bytes().all(|byte| byte.is_ascii_digit()) {
        true => root.pointer(written).expect("an item").to_string().chars().take(1).collect(),
        false => json!(last).to_string(),
    };
    assert!(found.starts_with(&begin), "{reply}: {found}");
}

/// Sets attributes of the simulated deployment (null removes) and expects `place` and `message`.
fn assert_refused(changes: &Value, place: &str, message: &str) {
    let mut resource = simulated();
    for (name, value) in changes.as_object().expect("an object") {
        let attributes = resource.as_object_mut().expect("an object");
        if value.is_null() {
            attributes.remove(name);
        } else {
            attributes.insert(name.clone(), value.clone());
        }
    }
    let text = serde_json::to_string_pretty(&document(&resource)).expect("JSON");
    let reply = refused(&text);
    let place = format!("error at /resource/rolling_deployment/web{place} (web.tf.json:");
    assert!(reply.contains(&place), "{reply}");
    assert!(reply.contains(message), "{reply}");
}

#[test]
fn a_document_that_is_none_is_named_as_such() {
    assert!(refused("{\"resource\": ").contains("this is not JSON: "));
    assert!(refused("[]").contains("must be an object"));
    assert!(refused("{}").contains("there is no resource to roll"));
    let reply = refused(r#"{"resource": {"rolling_deploymnt": {"web": {}}}}"#);
    assert!(reply.contains("did you mean \"rolling_deployment\"?"), "{reply}");
    let reply = refused(r#"{"variable": {}, "resource": {"rolling_deployment": {}}}"#);
    assert!(reply.contains("error at /variable (web.tf.json:1:2): "), "{reply}");
}

#[test]
fn two_resources_on_one_target_are_refused() {
    let two = json!({ "resource": { "rolling_deployment": {
        "a": simulated(), "b": simulated(),
    }}});
    let reply = refused(&two.to_string());
    let place = "error at /resource/rolling_deployment/b/simulated_fleet/name (web.tf.json:1:";
    assert!(reply.contains(place), "{reply}");
    assert!(reply.contains("already the target of /resource/rolling_deployment/a"), "{reply}");

    let recorded = |name: &str| {
        let group = json!({ "name": name, "launch_template": { "id": "lt-1", "version": "2" } });
        let record = json!({ "s3": { "bucket": "b-1", "key": "k" } });
        json!({ "policy": "all_at_once", "auto_scaling_group": group, "record": record })
    };
    let two = json!({ "a": recorded("a"), "b": recorded("b") });
    let reply = refused(&json!({ "resource": { "rolling_deployment": two } }).to_string());
    let place = "error at /resource/rolling_deployment/b/record/s3/key (web.tf.json:1:";
    assert!(reply.contains(place) && reply.contains("choose another key"), "{reply}");
}

#[test]
fn a_file_or_a_resource_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let ran = run(rolling().args(["plan", "nothing.json"]).current_dir(folder.path()));
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("failed to read nothing.json"), "{}", ran.stderr);
    let file = process::write(folder.path(), &document(&simulated()));
    let ran = run(rolling().arg("plan").arg(file).args(["--resource", "db"]));
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("there is no rolling_deployment \"db\""), "{}", ran.stderr);
    assert!(ran.stderr.contains("the document has web"), "{}", ran.stderr);
}

#[test]
fn findings_are_one_json_object_for_pipelines() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut resource = simulated();
    resource["batch_size"] = json!(0);
    let text = serde_json::to_string_pretty(&document(&resource)).expect("JSON");
    let file = folder.path().join("web.tf.json");
    std::fs::write(&file, &text).expect("a document");
    let ran = run(rolling().arg("validate").arg(&file).args(["--output", "json"]));
    assert_eq!(ran.code, 2);
    let found = &ran.lines()[0]["diagnostics"][0];
    let line = text.lines().position(|line| line.contains("\"batch_size\"")).expect("a line");
    assert_eq!((&found["line"], &found["column"]), (&json!(line + 1), &json!(9)), "{text}");
    assert_eq!(found["pointer"], "/resource/rolling_deployment/web/batch_size");
    assert_eq!(found["severity"], "error");
}

#[test]
fn elastic_beanstalks_spellings_are_accepted_as_written() {
    let folder = tempfile::tempdir().expect("a folder");
    for (policy, size) in [("Rolling", "Percentage"), ("RollingWithAdditionalBatch", "Fixed")] {
        let mut resource = simulated();
        resource["policy"] = json!(policy);
        resource["batch_size_type"] = json!(size);
        let file = process::write(folder.path(), &document(&resource));
        assert_eq!(run(rolling().arg("validate").arg(file)).code, 0, "{policy} {size}");
    }
}

#[test]
fn the_schemas_are_those_of_the_types() {
    let printed: Value =
        serde_json::from_str(&run(rolling().arg("schema")).stdout).expect("one JSON object");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    for name in printed.as_object().expect("schemas by name").keys() {
        let file = folder.join(format!("{name}.json"));
        let wanted = serde_json::to_string_pretty(&printed[name.as_str()]).expect("JSON") + "\n";
        if std::env::var("ROLLING_UPDATE").is_ok() {
            std::fs::write(&file, &wanted).expect("a schema");
        }
        let known = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(known, wanted, "run the tests with ROLLING_UPDATE=1 to renew {name}.json");
    }
}

#[test]
fn plan_apply_and_status_agree_between_runs_on_the_simulator() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut resource = simulated();
    resource["health"] = json!({ "healthy_timeout": "1h" });
    let mut wanted = document(&resource);
    wanted["provider"] = json!({ "rolling": { "simulator": { "speed": 500 } } });
    let file = process::write(folder.path(), &wanted);
    let at = |command: &str| {
        run(rolling().current_dir(folder.path()).args([command, "--output", "json"]).arg(&file))
    };
    assert_eq!(at("plan").lines()[0]["changes"], true);
    let applied = at("apply");
    assert_eq!(applied.code, 0, "{applied:?}");
    assert_eq!(at("plan").lines()[0]["changes"], false);
    let status = at("status").lines()[0]["resources"][0].clone();
    assert_eq!(status["completed"], "v2");
    let instances = status["instances"].as_array().expect("instances");
    assert_eq!(instances.len(), 10);
    assert!(instances.iter().all(|i| i["revision"] == "v2" && i["serves"] == true));
}

/// Exit codes are an interface.
#[test]
fn exit_codes_tell_a_rollback_a_pause_and_a_command_without_effect_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut resource = simulated();
    resource["simulated_fleet"]["bad_revisions"] = json!({ "v2": "unhealthy" });
    resource["simulated_fleet"]["instances"] = json!(3);
    resource["health"] = json!({ "healthy_timeout": "2m" });
    let run = |command: &str, on_failure: &str| {
        let mut resource = resource.clone();
        resource["on_failure"] = json!(on_failure);
        let mut document = document(&resource);
        document["provider"]["rolling"]["simulator"]["speed"] = json!(200);
        let file = process::write(folder.path(), &document);
        run(rolling().current_dir(folder.path()).arg(command).arg(file))
    };
    let ran = run("apply", "rollback");
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stdout.contains("web: rolled back from v2, 3 instances on v1"), "{}", ran.stdout);
    let ran = run("resume", "pause");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("there is no rollout to resume"), "{}", ran.stdout);
    let ran = run("apply", "pause");
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stdout.contains("`rolling resume` continues it"), "{}", ran.stdout);
    let ran = run("plan", "pause");
    assert!(ran.stdout.contains("is paused"), "{}", ran.stdout);
    let ran = run("rollback", "pause");
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = run("apply", "stop");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("Target.ResponseCodeMismatch"), "{}", ran.stdout);
}
