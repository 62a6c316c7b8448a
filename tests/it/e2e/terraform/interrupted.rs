//! Ctrl-C, `kill -9` of Terraform, and `kill -9` of everything, under each Terraform there is.

use std::time::Duration;

use serde_json::Value;

use super::workspace::{Running, Workspace, terraforms};
use crate::process::until_within;

const FLEET: &str = r#"
terraform {
  required_providers {
    rolling = { source = "rolling/rolling" }
  }
}

variable "speed" {
  default = 500
}

variable "revision" {
  default = "v2"
}

provider "rolling" {
  simulator {
    speed = var.speed
  }
}

resource "rolling_deployment" "web" {
  policy          = "rolling"
  batch_size_type = "fixed"
  batch_size      = 3
  simulated_fleet {
    name     = "web"
    revision = var.revision
  }
}
"#;

/// Begins to roll to `revision`, and waits until a batch is under way.
fn begin(workspace: &Workspace, revision: &str) -> Running {
    let revision = format!("revision={revision}");
    let running = workspace.begin(&["-var", &revision, "-var", "speed=20"]);
    let file = workspace.path().join(".rolling/web.json");
    until_within(Duration::from_secs(60), "a batch begins", || {
        std::fs::read_to_string(&file).is_ok_and(|text| text.contains("\"deregistered_at\":1"))
    });
    running
}

fn is_over(running: &mut Running) -> bool {
    running.0.try_wait().expect("a status").is_some()
}

/// Applies what was begun until it ends.
fn finish(workspace: &Workspace, revision: &str) {
    let revision = format!("revision={revision}");
    let ran = workspace.apply(&["-var", &revision]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(workspace.plan(&["-var", &revision]).code, 0);
}

#[test]
fn an_apply_that_is_interrupted_or_killed_is_finished_by_the_next() {
    for program in terraforms() {
        let workspace = Workspace::new(program, None);
        workspace.write("main.tf", FLEET);
        workspace.init();
        assert_eq!(workspace.apply(&[]).code, 0);

        // As a terminal does it: every process gets the signal, and Terraform asks the provider to
        // stop.
        let mut running = begin(&workspace, "v3");
        running.signal("-INT", true);
        until_within(Duration::from_secs(60), "it ends", || is_over(&mut running));
        assert_eq!(running.0.wait().expect("an end").code(), Some(1), "{program:?}");
        assert_eq!(running.plugins(), Vec::<String>::new());
        assert_eq!(workspace.state()["status"], "aborted", "{program:?}");
        finish(&workspace, "v3");

        // Nobody waits for the rollout any more: it stops at a safe point, and the provider ends.
        let mut running = begin(&workspace, "v4");
        assert_ne!(running.plugins(), Vec::<String>::new());
        running.signal("-KILL", false);
        until_within(Duration::from_secs(30), "the provider is gone", || {
            is_over(&mut running) && running.plugins().is_empty()
        });
        finish(&workspace, "v4");

        // The provider is killed, too: the next apply puts back what it had borrowed.
        let running = begin(&workspace, "v5");
        running.signal("-KILL", true);
        drop(running);
        let fleet = std::fs::read_to_string(workspace.path().join(".rolling/web.json"));
        let fleet: Value = serde_json::from_str(&fleet.expect("the fleet")).expect("JSON");
        assert!(fleet.to_string().contains("rolling:rollout"), "{fleet}");
        finish(&workspace, "v5");
    }
}
