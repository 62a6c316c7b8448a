//! The example stack with the AWS provider beside ours, on LocalStack.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::workspace::{Running, Workspace, aws_mirror, root, terraform};
use crate::emulator::{Account, account};
use crate::lab::localstack::least_serving;
use crate::process::{Ran, until_within};

/// The example with short times, and the AWS provider beside ours.
struct Stack {
    account: Account,
    workspace: Workspace,
}

/// What the tests change in the example: its times, and the policy.
fn skip_waits(policy: &str, healthy_timeout: &str) -> String {
    format!(
        "resource \"rolling_deployment\" \"web\" {{\n  policy = \"{policy}\"\n  \
         poll_interval = \"500ms\"\n  \
         health {{\n    min_healthy_time = \"1s\"\n    healthy_timeout = \"{healthy_timeout}\"\n  }}\n}}\n"
    )
}

impl Stack {
    /// Returns `None` after reporting what is missing.
    fn new() -> Option<Stack> {
        Stack::seen_after(0.0)
    }

    /// The same where changes show only after so many of the lab's seconds, apart from groups and
    /// health: the AWS provider gives up on a group that it has made and does not see.
    fn seen_after(unseen: f64) -> Option<Stack> {
        let program = terraform();
        let mirror = aws_mirror()?;
        let account = account()?;
        let mut workspace = Workspace::new(program, Some(mirror));
        let example = root().join("examples/terraform");
        for folder in [example.clone(), example.join("localstack")] {
            for entry in std::fs::read_dir(folder).expect("the example") {
                let path = entry.expect("an entry").path();
                if path.extension().is_some_and(|extension| extension == "tf") {
                    let name = path.file_name().expect("a name");
                    std::fs::copy(&path, workspace.path().join(name)).expect("a copy");
                }
            }
        }
        workspace.write("zz_override.tf", &skip_waits("rolling", "60s"));
        let own = [("TF_VAR_ami", "ami-12345678"), ("TF_VAR_deregistration_delay", "1")];
        workspace.variables = own.map(|(name, value)| (name.into(), value.into())).to_vec();
        // The configuration sets the region.
        let of_account = account.environment().into_iter();
        let of_account = of_account.filter(|(name, _)| *name != "AWS_REGION");
        workspace.variables.extend(of_account.map(|(name, value)| (name.into(), value)));
        account.shared();
        account.put("times", json!({ "boot": 0.5, "register": 0.3, "unseen": unseen }));
        workspace.init();
        let stack = Stack { account, workspace };
        let ran = stack.workspace.apply(&[]);
        assert_eq!(ran.code, 0, "{ran:?}");
        // A rollout is still under way when a signal comes, on a busy machine, too.
        stack.account.put("times", json!({ "boot": 4, "register": 0.3 }));
        Some(stack)
    }

    fn group(&self) -> Value {
        self.account.get("groups/web")
    }

    /// Returns the one revision that all instances run in service, or the group if there is none.
    fn revision(&self) -> Result<String, Value> {
        let group = self.group();
        let instances = group["instances"].as_object().expect("instances");
        let live: Vec<&Value> =
            instances.values().filter(|i| i["lifecycle"] != "Terminating").collect();
        let runs: BTreeSet<&str> = live.iter().filter_map(|i| i["revision"].as_str()).collect();
        let in_service = live.iter().all(|i| i["lifecycle"] == "InService");
        match runs.first() {
            Some(one) if runs.len() == 1 && in_service && live.len() == 6 => {
                Ok(one.rsplit(':').next().expect("a version").to_owned())
            }
            _ => Err(group),
        }
    }

    fn ids(&self) -> Vec<String> {
        let group = self.group();
        group["instances"].as_object().expect("instances").keys().cloned().collect()
    }

    /// Applies, expects success, and then a plan without changes.
    fn finishes(&self, more: &[&str]) -> Ran {
        let ran = self.workspace.apply(more);
        assert_eq!(ran.code, 0, "{ran:?}");
        let plan = self.workspace.plan(more);
        assert_eq!(plan.code, 0, "{plan:?}");
        assert!(plan.stdout.contains("No changes."), "{plan:?}");
        ran
    }

    /// Begins an apply, and waits until it has taken an instance out of rotation.
    fn begin(&self, more: &[&str]) -> Running {
        const OUT: &str = "elbv2.DeregisterTargets";
        let before = self.account.count(OUT);
        let running = self.workspace.begin(more);
        self.account.until_called(OUT, before + 1);
        running
    }

    /// Clears the timeline, and returns the group as it is.
    fn forget_the_past(&self) -> Value {
        let timeline = format!("{}/_lab/{}/timeline", self.account.endpoint, self.account.id);
        ureq::delete(timeline).call().expect("the door answers");
        self.group()
    }

    fn assert_kept(&self, before: &Value, floor: usize) {
        let least = least_serving(before, &self.account.timeline());
        assert!(least >= floor, "only {least} have served");
        let after = self.group();
        for what in ["min", "max", "desired", "suspended", "tags"] {
            assert_eq!(after[what], before[what], "{what}");
        }
    }
}

/// Returns the exit code of a program that must end by itself within a minute.
fn ends(running: &mut Running) -> i32 {
    let mut status = None;
    until_within(Duration::from_secs(60), "it ends", || {
        status = running.0.try_wait().expect("a status");
        status.is_some()
    });
    status.and_then(|status| status.code()).unwrap_or(-1)
}

#[test]
fn the_example_is_made_and_rolled_where_nothing_shows_at_once() {
    let Some(stack) = Stack::seen_after(2.0) else { return };
    assert_eq!(stack.revision(), Ok("1".into()));
    let before = stack.forget_the_past();
    stack.account.put("times", json!({ "boot": 0.5, "register": 0.3, "unseen": 2 }));
    stack.account.put("faults", json!([{ "kind": "lag", "seconds": 2 }]));
    let ran = stack.workspace.apply(&["-var", "revision=2"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(stack.revision(), Ok("2".into()));
    stack.assert_kept(&before, 4);
    stack.account.put("faults", json!([]));
    stack.account.put("times", json!({ "unseen": 0 }));
    let plan = stack.workspace.plan(&["-var", "revision=2"]);
    assert_eq!(plan.code, 0, "{plan:?}");
}

#[test]
fn the_example_is_rolled_killed_and_broken() {
    let Some(stack) = Stack::new() else { return };
    assert_eq!(stack.revision(), Ok("1".into()));
    template_and_fleet_change_in_one_apply(&stack);
    killed_while_surge_is_up_the_next_apply_goes_on(&stack);
    a_bad_revision_fails_the_apply_and_stays_planned(&stack);
}

#[test]
fn the_example_is_interrupted_left_alone_and_imported() {
    let Some(stack) = Stack::new() else { return };
    assert_eq!(stack.revision(), Ok("1".into()));
    ctrl_c_stops_at_a_safe_point(&stack);
    the_provider_ends_when_terraform_is_killed(&stack);
    it_is_destroyed_and_imported_without_touching_an_instance(&stack);
}

/// The version of the template is not known when it is planned.
fn template_and_fleet_change_in_one_apply(stack: &Stack) {
    let workspace = &stack.workspace;
    let before = stack.forget_the_past();
    let two = "revision=2";
    let plan = workspace.plan(&["-var", two]);
    assert_eq!(plan.code, 2, "{plan:?}");
    assert!(plan.stdout.contains("version = \"1\" -> (known after apply)"), "{plan:?}");
    let ran = stack.finishes(&["-var", two]);
    assert!(ran.stdout.contains("0 added, 2 changed, 0 destroyed"), "{ran:?}");
    assert_eq!(stack.revision(), Ok("2".into()));
    assert_eq!(stack.account.count("elbv2.DeregisterTargets"), 3);
    stack.assert_kept(&before, 4);
}

/// Terraform and all of its processes are killed.
fn killed_while_surge_is_up_the_next_apply_goes_on(stack: &Stack) {
    let workspace = &stack.workspace;
    workspace.write("zz_override.tf", &skip_waits("rolling_with_additional_batch", "60s"));
    let three = "revision=3";
    let before = stack.forget_the_past();
    let running = stack.begin(&["-var", three]);
    assert_eq!(stack.group()["desired"], 8, "surge is up");
    running.signal("-KILL", true);
    drop(running);
    let group = stack.group();
    assert!(group["tags"].to_string().contains("rolling:rollout"), "{group}");
    let plan = workspace.plan(&["-var", three]);
    assert_eq!(plan.code, 2, "{plan:?}");
    assert!(plan.stdout.contains("Continues rollout"), "{plan:?}");
    assert!(stack.group()["tags"].to_string().contains("rolling:rollout"), "the plan removed it");
    stack.finishes(&["-var", three]);
    assert_eq!(stack.revision(), Ok("3".into()));
    stack.assert_kept(&before, 6);
    // The next revision is bad, and must be found out in time.
    workspace.write("zz_override.tf", &skip_waits("rolling", "40s"));
    stack.finishes(&["-var", three]);
}

/// The fleet is back on the revision that served before, and the next plan shows the change again.
fn a_bad_revision_fails_the_apply_and_stays_planned(stack: &Stack) {
    let workspace = &stack.workspace;
    let before = stack.forget_the_past();
    let four = "revision=4";
    let bad = ["-var", four, "-var", r#"tags={"lab:behaviour"="unhealthy"}"#];
    let ran = workspace.apply(&bad);
    assert_eq!(ran.code, 1, "{ran:?}");
    let reply = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(reply.contains("Error: web was rolled back from lt-"), "{reply}");
    assert!(reply.contains("Target.ResponseCodeMismatch"), "{reply}");
    assert!(reply.contains("instance i-"), "{reply}");
    assert_eq!(stack.revision(), Ok("3".into()));
    stack.assert_kept(&before, 4);
    let plan = workspace.plan(&bad);
    assert_eq!(plan.code, 2, "{plan:?}");
    let message = plan.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(message.contains(r#"~ version = "3" -> "4""#), "{plan:?}");
    assert!(message.contains(r#"~ status = "rolled_back" -> (known after apply)"#), "{plan:?}");
    // After that a good revision is rolled as usual.
    stack.finishes(&["-var", "revision=5"]);
    assert_eq!(stack.revision(), Ok("5".into()));
}

/// Terraform ends by itself, the state has what happened, and the next apply finishes.
fn ctrl_c_stops_at_a_safe_point(stack: &Stack) {
    let workspace = &stack.workspace;
    let before = stack.forget_the_past();
    let two = "revision=2";
    let mut running = stack.begin(&["-var", two]);
    running.signal("-INT", true);
    assert_eq!(ends(&mut running), 1);
    assert_eq!(running.plugins(), Vec::<String>::new());
    assert_eq!(workspace.state()["status"], "aborted");
    assert_eq!(workspace.state()["last_error"], "asked to stop");
    let log = std::fs::read_to_string(workspace.folder.path().join("apply.log")).expect("a log");
    assert!(log.contains("was interrupted: asked to stop"), "{log}");
    stack.finishes(&["-var", two]);
    assert_eq!(stack.revision(), Ok("2".into()));
    stack.assert_kept(&before, 4);
}

/// When Terraform is killed, the provider stops at a safe point first.
fn the_provider_ends_when_terraform_is_killed(stack: &Stack) {
    let before = stack.forget_the_past();
    let three = "revision=3";
    let mut running = stack.begin(&["-var", three]);
    assert_ne!(running.plugins(), Vec::<String>::new());
    running.signal("-KILL", false);
    // Real seconds: so long it has to reach a safe point once its host is gone.
    until_within(Duration::from_secs(30), "the provider is gone", || {
        running.0.try_wait().expect("a status").is_some() && running.plugins().is_empty()
    });
    let group = stack.group();
    assert_eq!(group["suspended"], before["suspended"], "what was borrowed is back: {group}");
    stack.finishes(&["-var", three]);
    assert_eq!(stack.revision(), Ok("3".into()));
    stack.assert_kept(&before, 4);
}

/// Imported by its name, and by its ARN, with a configuration that matches the import.
fn it_is_destroyed_and_imported_without_touching_an_instance(stack: &Stack) {
    let workspace = &stack.workspace;
    let ids = stack.ids();
    let arn = workspace.state()["id"].as_str().expect("an id").to_owned();
    assert!(arn.starts_with("arn:aws:autoscaling:"), "{arn}");
    let destroy = ["destroy", "-auto-approve", "-no-color", "-target=rolling_deployment.web"];
    let ran = workspace.run(&[&destroy[..], &["-var", "revision=3"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!((stack.ids(), workspace.state()), (ids.clone(), Value::Null));

    std::fs::remove_file(workspace.path().join("zz_override.tf")).expect("an override");
    workspace.write(
        "deployment.tf",
        "resource \"rolling_deployment\" \"web\" {\n  policy          = \"rolling\"\n  \
         batch_size_type = \"fixed\"\n  batch_size      = 1\n  auto_scaling_group {\n    \
         name = aws_autoscaling_group.web.name\n    launch_template {\n      \
         id      = aws_launch_template.web.id\n      \
         version = aws_launch_template.web.latest_version\n    }\n  }\n}\n",
    );
    for id in ["web", &arn] {
        let import = ["import", "-no-color", "-var", "revision=3", "rolling_deployment.web", id];
        let ran = workspace.run(&import);
        assert_eq!(ran.code, 0, "{ran:?}");
        let plan = workspace.plan(&["-var", "revision=3"]);
        assert_eq!(plan.code, 0, "{plan:?}");
        assert_eq!(workspace.run(&["state", "rm", "rolling_deployment.web"]).code, 0);
    }
    assert_eq!(stack.ids(), ids);
}
