//! What to do next, by what a rollout failed by.

use std::path::Path;

use rolling::model::event::{Cause, Outcome, Report};
use rolling::model::spec::{Checkpoint, RollingDeployment};
use rolling::report::text;
use serde_json::{Value, json};

use crate::fast::properties::block_on;
use crate::process::{Ran, rolling, run, write};
use crate::world::{fleet, roll, simulate, spec, thirty_percent};

fn document(attributes: &Value) -> Value {
    let mut deployment = json!({
        "policy": "rolling", "batch_size_type": "fixed", "batch_size": 1,
        "simulated_fleet": { "name": "web", "revision": "v2", "instances": 3 },
    });
    let all = deployment.as_object_mut().expect("attributes");
    all.extend(attributes.as_object().expect("attributes").clone());
    json!({
        "provider": { "rolling": { "simulator": { "speed": 500 } } },
        "resource": { "rolling_deployment": { "web": deployment } },
    })
}

fn ran(folder: &Path, command: &str, attributes: &Value) -> Ran {
    let file = write(folder, &document(attributes));
    run(rolling().current_dir(folder).arg(command).arg(file))
}

#[test]
fn a_hook_that_fails_is_to_be_mended_and_not_the_revision() {
    let folder = tempfile::tempdir().expect("a folder");
    let hook = |program: &str| json!({ "hooks": { "before_deregister": { "command": { "run": [program] } } } });
    let bad = ran(folder.path(), "apply", &hook("false"));
    assert_eq!(bad.code, 3, "{bad:?}");
    assert!(bad.stdout.contains("next       see why the hook did not succeed"), "{bad:?}");
    let missing = "there is no such program on this host";
    let folder = tempfile::tempdir().expect("a folder");
    for program in ["/no/such/program", "no-such-program"] {
        for command in ["plan", "doctor"] {
            let ran = ran(folder.path(), command, &hook(program));
            assert!(ran.stdout.contains(missing), "{command} {program}: {ran:?}");
        }
    }
    for command in ["plan", "doctor"] {
        let ran = ran(folder.path(), command, &hook("true"));
        assert!(!ran.stdout.contains(missing), "{command}: {ran:?}");
    }
}

#[test]
fn a_hook_that_fails_after_the_rollout_is_in_the_summary() {
    let folder = tempfile::tempdir().expect("a folder");
    let hooks = json!({ "hooks": { "after_rollout": { "command": { "run": ["false"] } } } });
    let done = ran(folder.path(), "apply", &hooks);
    assert_eq!(done.code, 0, "{done:?}");
    let summary = done.stdout.split("web: succeeded").nth(1).unwrap_or_default();
    assert!(summary.contains("hook after_rollout failed: command false: exit code 1"), "{done:?}");
}

#[test]
fn a_checkpoint_without_a_decision_is_to_be_decided_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let expires = json!({ "expires_after": "20s", "default": "rollback" });
    let mut checkpoint = json!({ "percentage": 34 });
    checkpoint.as_object_mut().expect("it").extend(expires.as_object().expect("it").clone());
    let attributes = json!({ "checkpoints": [checkpoint] });
    let planned = ran(folder.path(), "plan", &attributes);
    let then = "up to 20s at 34 % for a decision, then it rolls back";
    assert!(planned.stdout.contains(then), "{planned:?}");
    let ended = ran(folder.path(), "apply", &attributes);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stdout.contains("decide at the checkpoint before its time is over"), "{ended:?}");
}

#[test]
fn a_rollback_that_was_asked_for_needs_no_correction() {
    let folder = tempfile::tempdir().expect("a folder");
    let attributes = json!({ "checkpoints": [{ "percentage": 34 }] });
    assert_eq!(ran(folder.path(), "apply", &attributes).code, 4, "it pauses");
    let status = ran(folder.path(), "status", &attributes);
    assert!(status.stdout.contains("checkpoint at 34 percent"), "{status:?}");
    let back = ran(folder.path(), "rollback", &attributes);
    assert!(back.stdout.contains("to roll forward all the same, run apply again"), "{back:?}");
}

#[test]
fn whoever_is_superseded_is_not_told_to_roll_the_other_back() {
    let checkpoint = Checkpoint { percentage: 30, pause: None, expires: None };
    let spec = RollingDeployment { checkpoints: vec![checkpoint], ..spec(thirty_percent()) };
    let report = block_on(roll(simulate(fleet()) as _, spec)).report;
    assert_eq!(report.outcome, Outcome::Paused, "{report:?}");
    let report = Report { cause: Some(Cause::Superseded), ..report };
    let told = text::report("web", &report);
    assert!(told.contains("web: superseded after"), "{told}");
    assert!(!told.contains("rollback") && !told.contains("resume"), "{told}");
}

#[test]
fn what_this_host_computes_takes_none_of_the_fleets_time() {
    let folder = tempfile::tempdir().expect("a folder");
    // The same rollout in ten batches; at the greater speed a millisecond is a minute.
    let [few, many] = [(10, 1000), (500, 60_000)].map(|(instances, speed)| {
        let name = format!("web{instances}");
        let fleet =
            json!({ "name": name, "revision": "v2", "instances": instances, "boot_sigma": 0.0 });
        let attributes = json!({
            "batch_size_type": "percentage", "batch_size": 10, "simulated_fleet": fleet,
        });
        let mut document = document(&attributes);
        document["provider"]["rolling"]["simulator"]["speed"] = json!(speed);
        let file = write(folder.path(), &document);
        let ran =
            run(rolling().current_dir(folder.path()).args(["apply", "--output", "json"]).arg(file));
        assert_eq!(ran.code, 0, "{ran:?}");
        let report = ran.lines().pop().expect("a last line")["event"]["report"].clone();
        report["elapsed_ms"].as_u64().expect("the time it took")
    });
    assert!(many < few * 2, "{few} ms for 10 instances, {many} ms for 500");
}

#[test]
fn a_healthy_timeout_below_the_boot_time_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let fleet = json!({ "name": "web", "revision": "v2", "instances": 3, "boot": "5m" });
    let short = json!({ "simulated_fleet": fleet, "health": { "healthy_timeout": "2m" } });
    let refused = ran(folder.path(), "apply", &short);
    assert_eq!(refused.code, 2, "{refused:?}");
    let message = "launches of this fleet take 5m, and an instance counts as failed 2m after";
    assert!(refused.stderr.contains(message) || refused.stdout.contains(message), "{refused:?}");
    let long = json!({ "simulated_fleet": fleet, "health": { "healthy_timeout": "8m" } });
    assert_eq!(ran(folder.path(), "apply", &long).code, 0);
}

/// Half of the fleet runs the new revision then: the way back is open, and works.
#[test]
fn after_an_abort_half_way_a_rollback_is_advised_and_goes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let half = json!({ "checkpoints": [{ "percentage": 50 }] });
    assert_eq!(ran(folder.path(), "apply", &half).code, 4);
    let aborted = ran(folder.path(), "abort", &half);
    let message =
        "next       to roll it out after all, run apply again; or `rolling rollback` goes back";
    assert!(aborted.stdout.contains(message), "{aborted:?}");
    assert_eq!(ran(folder.path(), "rollback", &half).code, 0);
    let status = ran(folder.path(), "status", &half);
    assert!(status.stdout.contains("3 of 3 on v1 serve"), "{status:?}");
}
