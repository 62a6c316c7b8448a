//! `rolling rollback` once a rollout is over: it says where it could go, and goes where it is told.

use serde_json::{Value, json};

use crate::process::{Ran, rolling, run};

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
