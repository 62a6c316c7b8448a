//! `rolling rollback` once a rollout is over: it says where it could go, and goes where it is told.

use serde_json::{Value, json};

use crate::process::{Ran, rolling, run, run_with};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(revision: &str, more: Value) -> Self {
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        folder.write(revision, more);
        folder
    }

    fn write(&self, revision: &str, more: Value) {
        let mut resource = json!({
            "policy": "rolling", "batch_size_type": "fixed", "batch_size": 3,
            "simulated_fleet": { "name": "web", "revision": revision, "instances": 6 },
        });
        let all = resource.as_object_mut().expect("a resource");
        all.extend(more.as_object().expect("more").clone());
        let document = json!({
            "provider": { "rolling": { "simulator": { "speed": 1000 } } },
            "resource": { "rolling_deployment": { "web": resource } },
        });
        std::fs::write(self.0.path().join("web.tf.json"), document.to_string())
            .expect("a document");
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        run(rolling().current_dir(self.0.path()).args(arguments).arg("web.tf.json"))
    }
}

#[test]
fn without_a_rollout_it_fails_and_names_another_revision_only_where_the_fleet_shows_one() {
    let folder = Folder::new("v2", json!({}));
    assert_eq!(folder.run(&["apply"]).code, 0);
    let ran = folder.run(&["rollback"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("no rollout to roll back"), "{ran:?}");
    assert!(ran.stderr.contains("rolling rollback --to REVISION"), "{ran:?}");
    assert!(ran.stderr.contains("(nothing at the target shows another one)"), "{ran:?}");
    assert!(ran.stderr.contains("--state FILE"), "{ran:?}");
    // The document names another revision by now: the whole fleet still runs what it runs.
    folder.write("v3", json!({}));
    let ran = folder.run(&["rollback"]);
    assert!(ran.stderr.contains("(nothing at the target shows another one)"), "{ran:?}");
}

#[test]
fn where_no_way_back_is_known_nothing_begins_and_the_first_reason_stays() {
    let bad = json!({ "on_failure": "rollback", "simulated_fleet": {
        "name": "web", "revision": "v2", "instances": 6,
        "bad_revisions": { "v1": "unhealthy", "v2": "unhealthy" },
    } });
    let folder = Folder::new("v2", bad);
    assert_eq!(folder.run(&["apply"]).code, 1);
    let status = folder.run(&["status"]).stdout;
    assert!(status.contains("  why "), "{status}");
    let ran = folder.run(&["rollback"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("no way back"), "{ran:?}");
    assert_eq!(folder.run(&["status"]).stdout, status);
}

#[test]
fn it_goes_to_the_revision_that_it_is_told_without_the_waits_of_a_rollout_forward() {
    let gate = json!({
        "gates": { "command": { "run": ["false"] } }, "checkpoints": [{ "percentage": 50 }],
    });
    let folder = Folder::new("v2", json!({}));
    assert_eq!(folder.run(&["apply"]).code, 0);
    folder.write("v2", gate);
    let ran = folder.run(&["rollback", "--to", "v1"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("succeeded, 6 instances on v1"), "{ran:?}");
    let again = folder.run(&["rollback", "--to", "v1"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stdout.contains("nothing to do"), "{again:?}");
    // Programs get the answer of a command, as for a rollout that is there.
    for (to, told) in [("v2", "succeeded, 6 instances on v2"), ("v2", "nothing to do")] {
        let ran = folder.run(&["rollback", "--to", to, "--output", "json"]);
        let last = ran.lines().pop().expect("a last line");
        assert_eq!((&last["command"], &last["as_asked"]), (&json!("rollback"), &json!(true)));
        assert!(last["message"].as_str().is_some_and(|it| it.contains(told)), "{last}");
    }
}

#[test]
fn what_is_no_revision_of_the_deployment_is_refused() {
    let folder = Folder::new("v2", json!({}));
    let template = json!({ "id": "lt-1", "version": "2" });
    for (changes, to, message) in [
        (
            json!({ "simulated_fleet": null,
                "auto_scaling_group": { "name": "web", "launch_template": template } }),
            "v1",
            "\"v1\" is no version of a launch template",
        ),
        (
            json!({ "simulated_fleet": null,
                "auto_scaling_group": { "name": "web", "image_id": "ami-1" } }),
            "7",
            "--to needs a deployment with a launch template",
        ),
    ] {
        folder.write("v2", changes);
        let ran = folder.run(&["rollback", "--to", to]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(message), "{ran:?}");
    }
}

/// Returns the state of the fleet as Terraform keeps it.
fn stored(id: &str, completed: &str, previous: &str) -> Value {
    let state = json!({ "id": id, "completed_revision": completed, "previous_revision": previous });
    json!({ "version": 4, "resources": [
        { "type": "rolling_deployment", "instances": [{ "attributes": state }] },
    ] })
}

#[test]
fn a_state_that_a_front_end_keeps_says_where_it_goes() {
    let folder = Folder::new("v2", json!({}));
    assert_eq!(folder.run(&["apply"]).code, 0);
    let write = |name: &str, state: &Value| {
        std::fs::write(folder.0.path().join(name), state.to_string()).expect("a state");
    };
    write("other.json", &stored("simulated:db", "v2", "v1"));
    write("no.json", &json!({ "completed": "v1" }));
    write("same.json", &stored("simulated:web", "v2", "v2"));
    let twice = stored("simulated:web", "v2", "v1").to_string();
    let twice = twice.replace("\"id\"", "\"previous_revision\":\"v0\",\"id\"");
    std::fs::write(folder.0.path().join("twice.json"), twice).expect("a state");
    for (file, message) in [
        ("absent.json", "failed to read absent.json"),
        ("other.json", "it has the state of simulated:db, not of simulated:web"),
        ("no.json", "terraform show -json"),
        ("same.json", "no rollout to roll back"),
        ("twice.json", "the key \"previous_revision\" is there twice"),
    ] {
        let ran = folder.run(&["rollback", "--state", file]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(message), "{ran:?}");
    }
    assert!(folder.run(&["status"]).stdout.contains("6 of 6 on v2 serve"));

    // As PowerShell redirects it.
    let text = format!("\u{feff}{}", stored("simulated:web", "v2", "v1"));
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(folder.0.path().join("terraform.tfstate"), bytes).expect("a state");
    let ran = folder.run(&["rollback", "--state", "terraform.tfstate"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("rolling back to v1, by the stored state"), "{ran:?}");
    assert!(ran.stdout.contains("succeeded, 6 instances on v1"), "{ran:?}");
    // It is gone back to already: the state names v2 as the one that ran before.
    let status = folder.run(&["status"]).stdout;
    assert!(
        status.contains("6 of 6 on v1 serve") && status.contains("rollout    none"),
        "{status}"
    );
}

/// Asks a server for one thing, and returns its answer.
fn ask(folder: &Folder, method: &str, params: &Value) -> Value {
    let call = |id: u32, method: &str, params: &Value| {
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
    };
    let lines = [
        call(0, "initialize", &json!({ "protocol_versions": [1] })),
        call(1, "provider.configure", &json!({ "config": { "simulator": { "speed": 1000 } } })),
        call(2, method, params),
    ];
    let mut serve = rolling();
    let ran = run_with(serve.arg("serve").current_dir(folder.0.path()), &lines.join("\n"));
    let answer = ran.lines().into_iter().find(|line| line["id"] == 2);
    answer.unwrap_or_else(|| panic!("no answer: {ran:?}"))["result"].clone()
}

#[test]
fn over_json_rpc_it_goes_by_the_state_that_the_peer_gives_and_only_then() {
    let folder = Folder::new("v2", json!({}));
    let config = json!({
        "policy": "rolling", "batch_size_type": "fixed", "batch_size": 3,
        "simulated_fleet": { "name": "web", "revision": "v2", "instances": 6 },
    });
    let params = json!({ "type": "rolling_deployment", "config": config });
    let applied = ask(&folder, "resource.apply", &params);
    let state = &applied["state"];
    assert_eq!(
        (&state["completed_revision"], &state["previous_revision"]),
        (&json!("v2"), &json!("v1"))
    );
    // What a rollout on its way is told may be told twice.
    let mut params =
        json!({ "type": "rolling_deployment", "config": config, "action": "rollback" });
    let nothing = ask(&folder, "resource.control", &params);
    assert_eq!(nothing["message"], "there is no rollout to rollback", "{nothing}");
    assert!(folder.run(&["status"]).stdout.contains("6 of 6 on v2 serve"));

    let mut unknown = state.clone();
    unknown["previous_revision"] = Value::Null;
    params["prior"] = unknown;
    let refused = ask(&folder, "resource.control", &params);
    assert_eq!(refused["diagnostics"][0]["pointer"], "/prior", "{refused}");
    params["prior"] = state.clone();
    let done = ask(&folder, "resource.control", &params);
    assert_eq!(done["status"], "succeeded", "{done}");
    assert_eq!(done["message"], "rolled back to v1, by the stored state: succeeded");
    let state = &done["state"];
    assert_eq!(
        (&state["completed_revision"], &state["previous_revision"]),
        (&json!("v1"), &json!("v2"))
    );
    assert_eq!(state["simulated_fleet"], config["simulated_fleet"], "the configuration stays");
    assert!(folder.run(&["status"]).stdout.contains("6 of 6 on v1 serve"));
}
