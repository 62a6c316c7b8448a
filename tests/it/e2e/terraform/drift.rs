//! What Terraform calls drift: nothing that a rollout has done, and everything that others have.

use serde_json::Value;

use super::workspace::{Workspace, terraforms};
use crate::process::{Ran, rolling, run};

const FLEET: &str = r#"
terraform {
  required_providers {
    rolling = { source = "rolling/rolling" }
  }
}

provider "rolling" {
  simulator {
    speed = 500
  }
}

variable "revision" {
  default = "v2"
}

variable "checkpoints" {
  type    = list(number)
  default = []
}

variable "batch_size" {
  default = 1
}

resource "rolling_deployment" "web" {
  policy          = "rolling"
  batch_size_type = "fixed"
  batch_size      = var.batch_size
  dynamic "checkpoints" {
    for_each = var.checkpoints
    content {
      percentage = checkpoints.value
    }
  }
  simulated_fleet {
    name     = "web"
    revision = var.revision
  }
}
"#;

/// Runs a plan that only refreshes: it exits with 0 if there is no drift, and with 2 if there is.
fn drift(workspace: &Workspace, more: &[&str]) -> Ran {
    workspace.plan(&[&["-refresh-only"], more].concat())
}

/// Returns the output as one line, since Terraform breaks lines anywhere.
fn message(ran: &Ran) -> String {
    ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn fleet(workspace: &Workspace, change: impl FnOnce(&mut Value)) {
    let file = workspace.path().join(".rolling/web.json");
    let text = std::fs::read_to_string(&file).expect("the fleet");
    let mut fleet: Value = serde_json::from_str(&text).expect("JSON");
    change(&mut fleet);
    std::fs::write(&file, fleet.to_string()).expect("a fleet");
}

#[test]
fn only_what_others_have_done_is_drift() {
    for program in terraforms() {
        let mut workspace = Workspace::new(program, None);
        let progress = workspace.path().join("progress");
        let file = progress.join("web.jsonl");
        let folder = progress.to_string_lossy().into_owned();
        workspace.variables.push(("ROLLING_PROGRESS_DIR".into(), folder));
        workspace.write("main.tf", FLEET);
        workspace.init();
        let outside = |command: &str| {
            let ran = run(rolling().current_dir(workspace.path()).arg(command).arg(&file));
            assert!([0, 3].contains(&ran.code), "{ran:?}");
        };
        assert_eq!(workspace.apply(&[]).code, 0);
        let ran = drift(&workspace, &[]);
        assert_eq!(ran.code, 0, "after a rollout: {ran:?}");

        // Paused by an apply, then resumed by somebody.
        let four = ["-var", "revision=v4", "-var", "checkpoints=[30]", "-var", "batch_size=3"];
        let ran = workspace.apply(&four);
        assert!(ran.stderr.contains("is paused: checkpoint at 30 percent"), "{ran:?}");
        assert_eq!(drift(&workspace, &four).code, 0, "a pause is no drift");
        outside("resume");
        let ran = drift(&workspace, &four);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(message(&ran).contains(r#"~ status = "paused" -> "succeeded""#), "{ran:?}");
        let ran = workspace.apply(&four);
        assert!(message(&ran).contains("This plan rolls nothing"), "{ran:?}");
        assert!(message(&ran).contains("0 added, 1 changed, 0 destroyed"), "{ran:?}");
        let ran = drift(&workspace, &four);
        assert_eq!(ran.code, 0, "after a resume outside: {ran:?}");
        assert_eq!(workspace.plan(&four).code, 0);

        // The same, then rolled back.
        let five = ["-var", "revision=v5", "-var", "checkpoints=[30]", "-var", "batch_size=3"];
        assert_eq!(workspace.apply(&five).code, 1);
        outside("rollback");
        let ran = drift(&workspace, &five);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(message(&ran).contains(r#"~ status = "paused" -> "rolled_back""#), "{ran:?}");
        let ran = workspace.apply(&[&four[..], &["-refresh-only"]].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        let ran = drift(&workspace, &four);
        assert_eq!(ran.code, 0, "after a rollback outside: {ran:?}");

        // Everything is as before: one more apply stores that.
        let ran = workspace.apply(&four);
        assert!(message(&ran).contains("This plan rolls nothing"), "{ran:?}");
        assert_eq!(workspace.plan(&four).code, 0);

        // Two instances are added, and one is replaced by another.
        fleet(&workspace, |fleet| {
            fleet["capacity"]["max"] = 20.into();
            fleet["capacity"]["desired"] = 12.into();
        });
        let document = workspace.path().join("document.json");
        let text = r#"{"provider": {"rolling": {"simulator": {"speed": 500}}}, "resource":
            {"rolling_deployment": {"web": {"policy": "immutable",
            "simulated_fleet": {"name": "web", "revision": "v4"}}}}}"#;
        std::fs::write(&document, text).expect("a document");
        run(rolling().current_dir(workspace.path()).arg("apply").arg(&document));
        let ids = workspace.state()["instance_ids"].clone();
        let gone = ids[0].as_str().expect("an id").to_owned();
        fleet(&workspace, |fleet| {
            let instances = fleet["instances"].as_object_mut().expect("instances");
            let instance = instances.remove(&gone).expect("an instance");
            instances.insert("i-other".into(), instance);
        });
        let ran = drift(&workspace, &four);
        assert_eq!(ran.code, 2, "{ran:?}");
        let reply = message(&ran);
        assert!(reply.contains("~ instances = 10 -> 12"), "{ran:?}");
        assert!(reply.contains(&format!(r#"- "{gone}""#)), "{ran:?}");
        assert!(reply.contains(r#"+ "i-other""#), "{ran:?}");
        for stays in ["batches", "floor", "ceiling", "expected_duration"] {
            assert!(!reply.contains(&format!("~ {stays}")), "{stays}: {ran:?}");
        }

        // Imported, with a configuration that matches the import.
        assert_eq!(workspace.run(&["state", "rm", "rolling_deployment.web"]).code, 0);
        let source_instance = ["-var", "revision=v4"];
        let id = ["rolling_deployment.web", "simulated_fleet/web"];
        let ran = workspace.run(&[&["import", "-no-color"], &source_instance[..], &id].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        let ran = drift(&workspace, &source_instance);
        assert_eq!(ran.code, 0, "after an import: {ran:?}");
        assert_eq!(workspace.plan(&source_instance).code, 0);
    }
}
