//! The provider under the real Terraform: that of the machine (or OpenTofu), and a current one that
//! the tests install. `fast/plugin.rs` tests the protocol itself and needs neither.

#[cfg(feature = "aws")]
mod accounts;
mod configurations;
mod drift;
mod interrupted;
#[cfg(feature = "aws")]
mod migration;
mod misspelt;
#[cfg(feature = "aws")]
mod on_localstack;
#[cfg(feature = "aws")]
mod secrets;
mod workspace;

use std::process::Stdio;

use serde_json::{Value, json};

use self::workspace::{Workspace, terraform};
use crate::process::{rolling, signal};

const SIMULATED: &str = r#"
terraform {
  required_providers {
    rolling = { source = "rolling/rolling" }
  }
}

provider "rolling" {
  simulator {
    speed = 400
  }
}

variable "revision" {
  default = "v2"
}

variable "timeout" {
  default = "2h"
}

resource "rolling_deployment" "web" {
  policy          = "Rolling"
  max_surge       = 2
  simulated_fleet {
    name          = "web"
    revision      = var.revision
    boot_sigma    = 0.3
    bad_revisions = { v3 = "unhealthy" }
  }
  health {
    healthy_timeout = "1h"
  }
  timeouts {
    update = var.timeout
  }
}

output "status" {
  value = rolling_deployment.web.status
}
"#;

#[test]
fn a_simulated_fleet_is_rolled_changed_imported_and_destroyed() {
    let workspace = Workspace::new(terraform(), None);
    workspace.write("main.tf", SIMULATED);
    workspace.init();
    assert_eq!(workspace.run(&["validate"]).code, 0);
    let ran = workspace.apply(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let reply =
        "This plan rolls 10 of 10 instances of web from v1 to v2 (rolling): batches of 2 extra";
    assert!(ran.stdout.contains(reply), "{ran:?}");
    assert!(ran.stdout.contains("status = \"succeeded\""), "{ran:?}");
    let ran = workspace.plan(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");

    // A saved plan is applied exactly as it was shown.
    let four = ["-var", "revision=v4"];
    let ran = workspace.plan(&[&four[..], &["-out", "plan"]].concat());
    assert_eq!(ran.code, 2, "{ran:?}");
    let message: Vec<&str> = ran.stdout.split_whitespace().collect();
    let shows = |line: &[&str]| message.windows(line.len()).any(|message| message == line);
    assert!(shows(&["This", "plan", "rolls", "10", "of", "10", "instances"]), "{ran:?}");
    assert!(ran.stdout.contains(r#""v2" -> "v4""#), "{ran:?}");
    let ran = workspace.run(&["apply", "-no-color", "plan"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(workspace.state()["deployed_revision"], "v4");

    // A change of a timeout alone is stored, and rolls nothing.
    let ran = workspace.apply(&[&four[..], &["-var", "timeout=3h"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("1 changed"), "{ran:?}");
    assert_eq!(ran.stdout.matches("(known after apply)").count(), 0, "{ran:?}");
    assert!(ran.stdout.contains("This plan rolls nothing"), "{ran:?}");

    // A bad one: the apply fails, the fleet is back, and the plan shows the change again.
    let bad = ["-var", "revision=v3", "-var", "timeout=3h"];
    let ran = workspace.apply(&bad);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("web was rolled back from v3 to v4: instance i-"), "{ran:?}");
    assert!(ran.stderr.contains("All temporary changes are undone."), "{ran:?}");
    let state = workspace.state();
    assert_eq!(
        (&state["status"], &state["deployed_revision"]),
        (&json!("rolled_back"), &json!("v4"))
    );
    let ran = workspace.plan(&bad);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stdout.contains(r#""v4" -> "v3""#), "{ran:?}");

    // Destroying the resource touches no instance; one that matches what an import finds has
    // nothing to do.
    let fleet = || {
        let text = std::fs::read_to_string(workspace.path().join(".rolling/web.json"));
        let fleet: Value = serde_json::from_str(&text.expect("the fleet")).expect("JSON");
        let instances = fleet["instances"].as_object().expect("instances");
        // Those on their way out go in their own time.
        let stay = instances.iter().filter(|(_, instance)| instance["gone_at"].is_null());
        stay.map(|(id, _)| id.clone()).collect::<Vec<_>>()
    };
    let before = fleet();
    let ran = workspace.run(&["destroy", "-auto-approve", "-no-color"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!((fleet(), workspace.state()), (before, Value::Null));
    let source_instance = SIMULATED
        .replace(
            "\"Rolling\"\n  max_surge       = 2",
            "\"rolling\"\n  batch_size_type = \"fixed\"\n  batch_size = 1",
        )
        .replace("boot_sigma    = 0.3", "")
        .replace("bad_revisions = { v3 = \"unhealthy\" }", "")
        .replace("health {\n    healthy_timeout = \"1h\"\n  }", "")
        .replace("timeouts {\n    update = var.timeout\n  }", "");
    workspace.write("main.tf", &source_instance);
    let import = ["import", "-no-color", "-var", "revision=v4", "rolling_deployment.web"];
    let ran = workspace.run(&[&import[..], &["simulated_fleet/web"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = workspace.plan(&four);
    // The fleet is found by its name: how it was made is not in this configuration.
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// The values of another resource of the same apply are not known when it is planned.
#[test]
fn values_that_are_not_known_yet_are_planned_and_applied_in_one_go() {
    let workspace = Workspace::new(terraform(), None);
    let head = &SIMULATED[..SIMULATED.find("provider \"rolling\"").expect("a provider")];
    let body = r#"
variable "revision" {
  default = "v2"
}

resource "terraform_data" "it" {
  input = {
    speed = 400, revision = var.revision, name = "web", size = 30, timeout = "1h", bad = "unhealthy"
    percentages = [20, 50], soaks = ["2s"]
  }
}

provider "rolling" {
  simulator {
    speed = terraform_data.it.output.speed
  }
}

resource "rolling_deployment" "revision" {
  policy          = "rolling"
  max_unavailable = 3
  simulated_fleet {
    name          = "revision"
    revision      = terraform_data.it.output.revision
    bad_revisions = { v9 = terraform_data.it.output.bad }
  }
  health {
    healthy_timeout = terraform_data.it.output.timeout
  }
}

resource "rolling_deployment" "all" {
  policy          = "rolling"
  batch_size_type = "percentage"
  batch_size      = terraform_data.it.output.size
  dynamic "checkpoints" {
    for_each = terraform_data.it.output.percentages
    content {
      percentage = checkpoints.value
      pause      = "1s"
    }
  }
  dynamic "health" {
    for_each = terraform_data.it.output.soaks
    content {
      min_healthy_time = health.value
    }
  }
  simulated_fleet {
    name     = terraform_data.it.output.name
    revision = terraform_data.it.output.revision
  }
}

resource "rolling_deployment" "each" {
  for_each        = toset(["a", "b", "c", "d"])
  policy          = "immutable"
  health {
    healthy_timeout = "1h"
  }
  simulated_fleet {
    name     = "each-${each.key}"
    revision = terraform_data.it.output.revision
  }
}
"#;
    workspace.write("main.tf", &format!("{head}{body}"));
    workspace.init();
    for revision in ["v2", "v4"] {
        let revision = ["-var", &format!("revision={revision}")];
        let ran = workspace.apply(&revision);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stdout.contains("(known after apply)"), "{ran:?}");
        let ran = workspace.plan(&revision);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let state = std::fs::read_to_string(workspace.path().join("terraform.tfstate"));
    assert_eq!(state.expect("a state").matches(r#""deployed_revision": "v4""#).count(), 6);
}

#[test]
fn a_provider_that_runs_already_is_used() {
    let mut workspace = Workspace::new(terraform(), None);
    workspace.write("main.tf", SIMULATED);
    workspace.init();
    let mut served = rolling()
        .arg("terraform")
        .env("TMPDIR", workspace.folder.path())
        .current_dir(workspace.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a start");
    let mut line = String::new();
    let mut out = std::io::BufReader::new(served.stdout.take().expect("a pipe"));
    std::io::BufRead::read_line(&mut out, &mut line).expect("a line");
    let (name, value) = line
        .trim()
        .strip_prefix("export ")
        .and_then(|line| line.split_once('='))
        .expect("what to export");
    let value = value.trim_matches('\'').to_owned();
    workspace.variables.push((name.to_owned(), value));
    let applied = workspace.apply(&[]);
    let planned = workspace.plan(&[]);
    let lives = served.try_wait().expect("a status").is_none();
    signal(served.id(), "-INT");
    assert_eq!(served.wait().expect("an end").code(), Some(0));
    assert_eq!((applied.code, planned.code, lives), (0, 0, true), "{applied:?} {planned:?}");
}
