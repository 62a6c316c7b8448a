//! Rollouts that are killed, commanded, or begun twice.

use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::json;

use super::cluster::{Namespace, namespace};
use super::images;
use crate::process::until;

fn start(namespace: &Namespace, document: &std::path::Path) -> Child {
    let mut command = namespace.command("apply", document);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

/// Killed at any moment, the next apply completes the rollout and leaves nothing behind.
#[test]
fn killed_at_any_moment_the_next_apply_completes_it() {
    let Some(namespace) = namespace(4) else { return };
    for moment in 1..=10_u64 {
        let tag = format!("v{}", moment + 1);
        let more = match moment % 3 {
            0 => json!({ "policy": "immutable", "max_unavailable": null }),
            1 => json!({ "max_unavailable": 2, "pacing": "batch" }),
            _ => json!({ "max_unavailable": 2 }),
        };
        let document = namespace.document(&tag, &more);
        let mut child = start(&namespace, &document);
        std::thread::sleep(Duration::from_millis(300 * moment));
        child.kill().expect("it is killed");
        child.wait().expect("an end");
        let ran = namespace.run("apply", &document);
        assert_eq!(ran.code, 0, "moment {moment}: {ran:?}");
        namespace.assert_clean();
        until("the old pods are gone", || images(&namespace) == [format!("app:{tag}")]);
    }
}

#[test]
fn of_two_engines_the_second_is_refused() {
    let Some(namespace) = namespace(4) else { return };
    let more =
        json!({ "max_unavailable": 1, "checkpoints": [{ "percentage": 25, "pause": "10s" }] });
    let document = namespace.document("v2", &more);
    let first = start(&namespace, &document);
    until("the first is at work", || namespace.deployment("/spec/paused") == json!(true));
    let second = namespace.run("apply", &document);
    assert_eq!(second.code, 5, "{second:?}");
    let done = first.wait_with_output().expect("an end");
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stdout));
    namespace.assert_clean();
}

/// Commands of another process reach the engine at work; an abort is the one end that leaves the
/// controller paused.
#[test]
fn commands_pause_resume_roll_back_and_abort() {
    let Some(namespace) = namespace(4) else { return };
    let more =
        json!({ "max_unavailable": 1, "checkpoints": [{ "percentage": 25, "pause": "60s" }] });
    let document = namespace.document("v2", &more);
    let engine = start(&namespace, &document);
    until("the first batch is there", || namespace.deployment("/spec/paused") == json!(true));
    let paused = namespace.run("pause", &document);
    assert_eq!(paused.code, 0, "{paused:?}");
    assert_eq!(engine.wait_with_output().expect("an end").status.code(), Some(4));
    let back = namespace.run("rollback", &document);
    assert_eq!(back.code, 0, "{back:?}");
    until("the others are gone", || images(&namespace) == ["app:v1"]);
    namespace.assert_clean();

    let document = namespace.document("v3", &more);
    let engine = start(&namespace, &document);
    until("the first batch is there", || namespace.deployment("/spec/paused") == json!(true));
    let aborted = namespace.run("abort", &document);
    assert_eq!(aborted.code, 0, "{aborted:?}");
    let done = engine.wait_with_output().expect("an end");
    let stdout = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(4), "{stdout}");
    assert!(stdout.contains("the Deployment controller is paused"), "{stdout}");
    assert_eq!(namespace.deployment("/spec/paused"), json!(true));
    // An apply begins anew from there, and puts back what was borrowed before.
    let more = json!({ "max_unavailable": 1 });
    let ran = namespace.run("apply", &namespace.document("v3", &more));
    assert_eq!(ran.code, 0, "{ran:?}");
    namespace.assert_clean();
}

/// Whoever resumes a rollout while a batch is still under way has not approved of the checkpoint after
/// it.
#[test]
fn a_checkpoint_that_is_not_reached_is_not_passed() {
    let Some(namespace) = namespace(4) else { return };
    let more = json!({
        "checkpoints": [{ "percentage": 50 }],
        "health": { "min_healthy_time": "8s", "healthy_timeout": "60s" },
    });
    let document = namespace.document("v2", &more);
    let child = namespace.command("apply", &document).stdout(std::process::Stdio::piped()).spawn();
    let child = child.expect("the program starts");
    crate::process::until("the batch is under way", || {
        namespace.deployment("/status/updatedReplicas") == json!(2)
            && namespace.deployment("/spec/paused") == json!(true)
    });
    namespace.run("resume", &document);
    let done = child.wait_with_output().expect("an end");
    let stdout = String::from_utf8_lossy(&done.stdout);
    assert!(stdout.contains("checkpoint at 50 percent"), "{stdout}");
    assert_eq!(namespace.deployment("/status/updatedReplicas"), json!(2), "{stdout}");
    assert_eq!(namespace.run("resume", &document).code, 0);
    namespace.assert_clean();
}

/// What a gate refuses stays where it is with `stop`: the controller would take it to all others.
#[test]
fn what_a_gate_refuses_does_not_go_on_by_itself() {
    let Some(namespace) = namespace(4) else { return };
    let more = json!({
        "pacing": "batch", "on_failure": "stop",
        "gates": { "command": { "run": ["false"], "timeout": "2s" } },
    });
    let document = namespace.document("v2", &more);
    let ran = namespace.run("apply", &document);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(namespace.deployment("/spec/paused"), json!(true), "{ran:?}");
    assert_eq!(namespace.deployment("/status/updatedReplicas"), json!(2), "{ran:?}");
    assert!(ran.stdout.contains("the Deployment controller is paused"), "{ran:?}");
    let back = namespace.run("rollback", &document);
    assert_eq!(back.code, 0, "{back:?}");
    assert_eq!(namespace.deployment("/status/updatedReplicas"), json!(4));
    assert_eq!(namespace.deployment("/spec/template/spec/containers/0/image"), json!("app:v1"));
    namespace.assert_clean();
}
