//! From the AWS provider's `instance_refresh` block, in the steps of the guide.

use serde_json::Value;

use super::workspace::{Workspace, aws_mirror, root, terraform};
use crate::emulator::{Account, account};
use crate::lab::localstack::times;
use crate::process::{Ran, until};

const HEAD: &str = r#"
terraform {
  required_providers {
    aws     = { source = "hashicorp/aws" }
    rolling = { source = "rolling/rolling" }
  }
}

provider "aws" {
  region                      = "us-east-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true

  ignore_tags {
    key_prefixes = ["rolling:"]
  }
}

provider "rolling" {
  aws {
    region = "us-east-1"
  }
}

variable "revision" {
  default = "1"
}

resource "aws_launch_template" "web" {
  name          = "web"
  image_id      = "ami-12345678"
  instance_type = "t3.micro"

  tag_specifications {
    resource_type = "instance"
    tags          = { revision = var.revision }
  }
}
"#;

/// Returns the group, with what is `different` in each step.
fn group(different: &str) -> String {
    format!(
        r#"
resource "aws_autoscaling_group" "web" {{
  name                      = "web"
  min_size                  = 4
  max_size                  = 8
  desired_capacity          = 4
  availability_zones        = ["us-east-1a", "us-east-1b"]
  wait_for_capacity_timeout = "0"

  launch_template {{
    id      = aws_launch_template.web.id
    version = aws_launch_template.web.latest_version
  }}
{different}
}}
"#
    )
}

/// Returns the guide's blocks of Terraform, in order.
fn guide() -> Vec<String> {
    let page = std::fs::read_to_string(root().join("docs/terraform.md")).expect("the page");
    let begin = page.find("## From the AWS provider's `instance_refresh`").expect("the guide");
    let remaining = &page[begin + 2..];
    let guide = &remaining[..remaining.find("\n## ").expect("an end")];
    let blocks = guide.split("```terraform\n").skip(1);
    blocks.map(|block| block.split("```").next().expect("an end").to_owned()).collect()
}

/// Returns what a block of the guide has inside the group.
fn inside(block: &str) -> String {
    let body = block.split_once("# ...\n").expect("a place for the rest").1;
    body.trim_end().strip_suffix('}').expect("the group's end").to_owned()
}

fn message(ran: &Ran) -> String {
    format!("{} {}", ran.stdout, ran.stderr).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn refreshes(account: &Account) -> usize {
    account.parameters("StartInstanceRefresh").len()
}

fn versions(account: &Account) -> Vec<String> {
    let group = account.get("groups/web");
    let live = group["instances"].as_object().expect("instances").values();
    let live = live.filter(|instance| instance["lifecycle"] == "InService");
    let mut versions: Vec<String> = live
        .filter_map(|instance| instance["revision"].as_str())
        .map(|revision| revision.rsplit(':').next().unwrap_or_default().to_owned())
        .collect();
    versions.sort();
    versions
}

#[test]
fn an_instance_refresh_block_is_left_behind_step_by_step() {
    let Some(mirror) = aws_mirror() else { return };
    let Some(account) = account() else { return };
    account.shared();
    account.put("times", times());
    let mut workspace = Workspace::new(terraform(), Some(mirror));
    workspace.variables = account.environment().map(|(n, value)| (n.into(), value)).to_vec();
    let blocks = guide();
    let [before, after, deployment] = blocks.as_slice() else { panic!("{blocks:?}") };
    let hurried = deployment.replace(
        "min_healthy_time = \"60s\"",
        "min_healthy_time = \"1s\"\n    healthy_timeout = \"60s\"",
    );
    assert_ne!(&hurried, deployment, "a test has no minute for each batch");
    let hurried = hurried.replacen("policy ", "poll_interval = \"500ms\"\n  policy ", 1);
    workspace.write("head.tf", HEAD);

    // Before the migration the group refreshes its instances when the template changes.
    workspace.write("group.tf", &group(&inside(before)));
    workspace.init();
    let ran = workspace.apply(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    account.until("groups/web", "four run version 1", |_| versions(&account) == ["1"; 4]);

    // A rollout beside that block finds the refresh under way, and reports it.
    workspace.write("rolling.tf", &hurried);
    let two = ["-var", "revision=2"];
    let ran = workspace.apply(&two);
    assert_eq!((ran.code, refreshes(&account)), (1, 1), "{ran:?}");
    assert!(message(&ran).contains("has an instance refresh running"), "{ran:?}");
    assert!(message(&ran).contains("wait for it to end"), "{ran:?}");

    // Without the block, and once the refresh is over, nothing is rolled.
    account.until("groups/web", "four run version 2", |_| versions(&account) == ["2"; 4]);
    workspace.write("group.tf", &group(&inside(after)));
    let ran = workspace.apply(&two);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(message(&ran).contains("This plan rolls nothing: web runs lt-"), "{ran:?}");

    // From here on a changed template is rolled.
    let three = ["-var", "revision=3"];
    let still_runs = |ran: &Ran| message(ran).contains("has an instance refresh running");
    until("a plan warns of no refresh any more", || !still_runs(&workspace.plan(&three)));
    let ran = workspace.apply(&three);
    assert_eq!((ran.code, refreshes(&account)), (0, 1), "{ran:?}");
    assert!(message(&ran).contains("If the version changes, this plan rolls 4 of 4"), "{ran:?}");
    assert_eq!(versions(&account), ["3"; 4]);
    let plan = workspace.plan(&three);
    assert_eq!(plan.code, 0, "{plan:?}");
    let state: Value = workspace.state();
    assert_eq!(state["status"], "succeeded");
}
