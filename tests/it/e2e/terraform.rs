//! The provider under the real Terraform: that of the machine (or OpenTofu), and a current one that
//! the tests install. The protocol itself is in `plugin.rs`, which needs neither.

#[cfg(feature = "aws")]
mod accounts;
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

use self::workspace::{Workspace, root, terraform};
use crate::process::{rolling, signal};

/// The part of `page` that begins with the comment `name` and ends with the next one.
fn part<'a>(page: &'a str, name: &str) -> &'a str {
    let begin = page.find(&format!("<!-- {name}: ")).expect("a place for the schema");
    let after = begin + page[begin..].find("-->\n").expect("an end of the comment") + 4;
    &page[after..after + page[after..].find("<!-- end -->").expect("an end")]
}

#[test]
fn the_documentation_is_that_of_the_schema_and_its_examples_are_valid() {
    let file = root().join("docs/terraform.md");
    let page = std::fs::read_to_string(&file).expect("docs/terraform.md");
    let provider = format!("\n{}\n", rolling::frontends::terraform::docs::provider().trim_end());
    let resource = format!("\n{}\n", rolling::frontends::terraform::docs::resource().trim_end());
    let wanted = [("provider", &provider), ("resource", &resource)];
    if std::env::var("ROLLING_UPDATE").is_ok() {
        let mut page = page.clone();
        for (name, text) in wanted {
            let old = part(&page, name);
            let at = old.as_ptr() as usize - page.as_ptr() as usize;
            page = format!("{}{text}{}", &page[..at], &page[at + old.len()..]);
        }
        std::fs::write(&file, page).expect("the documentation");
        return;
    }
    for (name, text) in wanted {
        assert!(part(&page, name) == *text, "run the tests with ROLLING_UPDATE=1 to renew {name}");
    }

    let program = terraform();
    let blocks = page.split("```terraform\n").skip(1);
    let blocks: Vec<&str> =
        blocks.map(|remaining| remaining.split("```").next().expect("an end")).collect();
    let demo = blocks.iter().find(|block| block.contains("\"demo\"")).expect("an example");
    let workspace = Workspace::new(program, None);
    // The simulator needs none of AWS.
    let terraform = blocks[0].split("provider ").next().expect("a part");
    workspace.write("main.tf", &format!("{terraform}{demo}"));
    workspace.init();
    let ran = workspace.run(&["validate", "-no-color"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = workspace.apply(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    // The resource in the page is the one of the example.
    let example = std::fs::read_to_string(root().join("examples/terraform/deployment.tf"));
    let example = example.expect("the example");
    for block in &blocks {
        for line in block.lines().filter(|line| line.contains("aws_launch_template.web")) {
            assert!(example.contains(line.trim()), "{line}");
        }
    }
}

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

    // A saved plan is carried out to the letter.
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

    // Another timeout alone is stored, and rolls nothing.
    let ran = workspace.apply(&[&four[..], &["-var", "timeout=3h"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("1 changed"), "{ran:?}");
    assert_eq!(ran.stdout.matches("(known after apply)").count(), 0, "{ran:?}");
    assert!(ran.stdout.contains("This plan rolls nothing"), "{ran:?}");

    // A bad one: the apply fails, the fleet is back, and the plan shows the change again.
    let bad = ["-var", "revision=v3", "-var", "timeout=3h"];
    let ran = workspace.apply(&bad);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("web went back from v3 to v4: instance i-"), "{ran:?}");
    assert!(ran.stderr.contains("Nothing is borrowed any more."), "{ran:?}");
    let state = workspace.state();
    assert_eq!(
        (&state["status"], &state["deployed_revision"]),
        (&json!("rolled_back"), &json!("v4"))
    );
    let ran = workspace.plan(&bad);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stdout.contains(r#""v4" -> "v3""#), "{ran:?}");

    // To destroy it touches no instance; a resource like what an import finds has nothing to do.
    let fleet = || {
        let text = std::fs::read_to_string(workspace.path().join(".rolling/web.json"));
        let fleet: Value = serde_json::from_str(&text.expect("the fleet")).expect("JSON");
        let instances = fleet["instances"].as_object().expect("instances");
        // Those on their way out go when their time comes, whoever looks.
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
    // The fleet is one of ten that is made by its name: what it would be made of is not in it.
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// What another resource of the same apply makes is not known when it is planned.
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

#[test]
fn validate_names_the_attribute_of_each_of_ten_bad_configurations() {
    let workspace = Workspace::new(terraform(), None);
    workspace.write("main.tf", SIMULATED);
    workspace.init();
    let fleet = "simulated_fleet {\n    name = \"web\"\n    revision = \"v2\"\n  }";
    let sized = "batch_size_type = \"percentage\"\n  batch_size = 30";
    let cases = [
        (
            format!("policy = \"rollin\"\n  {sized}\n  {fleet}"),
            "policy: \"rollin\" is not one of",
            "rolling_deployment.web",
        ),
        (format!("{sized}\n  {fleet}"), "The argument \"policy\" is required", "main.tf line"),
        (
            format!("policy = \"rolling\"\n  batch_size_type = \"percentage\"\n  {fleet}"),
            "batch_size: the attribute \"batch_size\" is missing",
            "for instance",
        ),
        (
            format!(
                "policy = \"rolling\"\n  batch_size_type = \"percentage\"\n  batch_size = 130\n  {fleet}"
            ),
            "batch_size: a percentage is from 1 to 100",
            "batch_size = 130",
        ),
        (
            format!(
                "policy = \"rolling\"\n  batch_size_type = \"fixed\"\n  batch_size = 2.5\n  {fleet}"
            ),
            "batch_size: must be a whole number",
            "batch_size = 2.5",
        ),
        (format!("policy = \"rolling\"\n  {sized}"), "There is no target", "auto_scaling_group"),
        (
            format!(
                "policy = \"rolling\"\n  {sized}\n  {fleet}\n  health {{\n    healthy_timeout = \"soon\"\n  }}"
            ),
            "health.healthy_timeout: \"soon\" is not a time span",
            "1h30m",
        ),
        (
            format!(
                "policy = \"rolling\"\n  {sized}\n  {fleet}\n  checkpoints {{\n    percentage = 50\n  }}\n  checkpoints {{\n    percentage = 20\n  }}"
            ),
            "checkpoints[1].percentage: must be above 50",
            "checkpoints",
        ),
        (
            format!(
                "policy = \"rolling\"\n  {sized}\n  auto_scaling_group {{\n    name = \"web\"\n    launch_template {{\n      id = \"lt-1\"\n      version = \"newest\"\n    }}\n  }}"
            ),
            "auto_scaling_group.launch_template.version:",
            "newest",
        ),
        (
            format!("policy = \"rolling\"\n  {sized}\n  {fleet}\n  max_unavailable = \"lots\""),
            "max_unavailable: \"lots\" must match",
            "lots",
        ),
        (
            format!(
                "policy = \"rolling\"\n  {sized}\n  {fleet}\n  timeouts {{\n    update = \"-1s\"\n  }}"
            ),
            "timeouts.update: \"-1s\" is not a time span",
            "30s",
        ),
        (
            format!("policy = \"rolling\"\n  {sized}\n  {fleet}\n  batch = 3"),
            "Unsupported argument",
            "batch = 3",
        ),
    ];
    let head = &SIMULATED[..SIMULATED.find("resource").expect("a resource")];
    for (body, message, also) in cases {
        workspace.write(
            "main.tf",
            &format!("{head}\nresource \"rolling_deployment\" \"web\" {{\n  {body}\n}}\n"),
        );
        let ran = workspace.run(&["validate", "-no-color"]);
        assert_eq!(ran.code, 1, "{body}: {ran:?}");
        // Terraform breaks lines where it likes.
        let reply = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(reply.contains(message), "{body}: {reply}");
        assert!(reply.contains(also), "{body}: {reply}");
        assert_eq!(reply.matches("Error:").count(), 1, "{body}: {reply}");
    }
    assert!(!workspace.path().join(".rolling").exists(), "a fleet was made");
}
