//! What people do at a terminal: Ctrl-Z, commands from another terminal, and following a rollout.

use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::process::{self, Ran, end, run, signal, until};

/// A document of one fleet of four; a minute of it takes a second.
fn document(revision: &str) -> Value {
    json!({
        "provider": { "rolling": { "simulator": { "speed": 60 } } },
        "resource": { "rolling_deployment": { "web": {
            "policy": "rolling", "batch_size_type": "fixed", "batch_size": 1,
            "simulated_fleet": { "name": "web", "revision": revision, "instances": 4 },
        } } },
    })
}

fn start(folder: &Path, command: &[&str], file: &Path) -> Child {
    let mut started = process::rolling();
    started.args(command).arg(file).current_dir(folder);
    started.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

fn rolling(folder: &Path, command: &[&str], file: &Path) -> Ran {
    run(process::rolling().args(command).arg(file).current_dir(folder))
}

/// Waits until the fleet's state has `message` in it.
fn until_stored(folder: &Path, message: &str) {
    let file = folder.join(".rolling/web.json");
    until(message, || std::fs::read_to_string(&file).is_ok_and(|text| text.contains(message)));
}

/// Stops the engine as Ctrl-Z does (whose own signal is for processes with a terminal), but not
/// while it has the simulator's state open: nobody else could use it then.
fn stop_between_calls(engine: &Child, folder: &Path) {
    until("it is stopped between two calls", || {
        signal(engine.id(), "-STOP");
        let status = format!("/proc/{}/status", engine.id());
        until("it is stopped", || {
            std::fs::read_to_string(&status).is_ok_and(|it| it.contains("State:\tT"))
        });
        let lock = std::fs::File::open(folder.join(".rolling/web.lock")).expect("a lock");
        let is_free = lock.try_lock().is_ok();
        if !is_free {
            signal(engine.id(), "-CONT");
        }
        is_free
    });
}

#[test]
fn a_process_stopped_by_ctrl_z_overrides_nobody_when_it_continues() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let first = process::write(folder, &document("v2"));
    let old = start(folder, &["apply"], &first);
    until_stored(folder, "rolling:rollout");
    stop_between_calls(&old, folder);
    let second = folder.join("second.json");
    std::fs::write(&second, document("v3").to_string()).expect("a document");
    let new = rolling(folder, &["apply"], &second);
    assert_eq!(new.code, 0, "{new:?}");
    signal(old.id(), "-CONT");
    let old = end(old);
    assert_eq!(old.code, 5, "{old:?}");
    assert!(old.stdout.contains("locked"), "{old:?}");
    let status = rolling(folder, &["status"], &second);
    assert!(status.stdout.contains("4 of 4 on v3 serve"), "{status:?}");
    assert!(status.stdout.contains("rollout    none"), "{status:?}");
}

#[test]
fn a_follower_exits_as_the_rollout_ends_and_is_told_when_nobody_is_at_work_any_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let file = process::write(folder, &document("v2"));
    let apply = start(folder, &["apply"], &file);
    until_stored(folder, "rolling:rollout");
    let follows = start(folder, &["status", "--follow"], &file);
    until_stored(folder, "v2");
    let reply = rolling(folder, &["abort"], &file);
    assert_eq!(reply.code, 0, "{reply:?}");
    assert_eq!(end(apply).code, 4);
    assert_eq!(end(follows).code, 4);

    let apply = start(folder, &["apply"], &file);
    until_stored(folder, "phase=rolling");
    let follows = start(folder, &["status", "--follow"], &file);
    signal(apply.id(), "-KILL");
    end(apply);
    let follows = end(follows);
    assert_eq!(follows.code, 1, "{follows:?}");
    assert!(follows.stderr.contains("apply continues it"), "{follows:?}");
    let status = rolling(folder, &["status"], &file);
    assert!(status.stdout.contains("has ended; apply continues it"), "{status:?}");
    assert_eq!(rolling(folder, &["apply"], &file).code, 0);
    assert_eq!(rolling(folder, &["status", "--follow"], &file).code, 0);
}

#[test]
fn a_deployment_that_was_not_begun_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let mut both = document("v2");
    let fleets = &mut both["resource"]["rolling_deployment"];
    fleets["other"] = fleets["web"].clone();
    fleets["other"]["simulated_fleet"]["name"] = json!("other");
    fleets["other"]["simulated_fleet"]["bad_revisions"] = json!({ "v2": "fail_launch" });
    fleets["other"]["on_failure"] = json!("stop");
    let file = process::write(folder, &both);
    let ran = rolling(folder, &["apply"], &file);
    assert_eq!(ran.code, 1, "{ran:?}");
    let message = "web: not begun, because other comes first and is failed";
    assert!(ran.stdout.contains(message), "{ran:?}");
}

#[test]
fn a_rollout_to_another_revision_is_stopped_and_superseded() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let first = process::write(folder, &document("v2"));
    let old = start(folder, &["apply"], &first);
    until_stored(folder, "rolling:rollout");
    let second = folder.join("second.json");
    std::fs::write(&second, document("v3").to_string()).expect("a document");
    let planned = rolling(folder, &["plan"], &second);
    assert!(planned.stdout.contains("is at work on the rollout to v2: while it is"), "{planned:?}");
    let locked = rolling(folder, &["apply"], &second);
    assert_eq!(locked.code, 5, "{locked:?}");
    assert!(locked.stdout.contains("`rolling apply --supersede`"), "{locked:?}");
    assert!(
        locked.stdout.contains("unless ") && locked.stdout.contains(" is still at work"),
        "{locked:?}"
    );
    // What could not take its place stops nothing.
    let third = folder.join("third.json");
    let mut ahead = document("v3");
    ahead["resource"]["rolling_deployment"]["web"]["restart"] = json!("2099-01-01T00:00:00Z");
    std::fs::write(&third, ahead.to_string()).expect("a document");
    let refused = rolling(folder, &["apply", "--supersede"], &third);
    assert!(refused.code == 2 && refused.stderr.contains("lies ahead"), "{refused:?}");
    assert!(!refused.stderr.contains("stopping the rollout"), "{refused:?}");
    let new = rolling(folder, &["apply", "--supersede"], &second);
    assert_eq!(new.code, 0, "{new:?}");
    assert!(
        new.stderr.contains("web: stopping the rollout to v2 at its next safe point"),
        "{new:?}"
    );
    assert!(new.stdout.contains("succeeded, 4 instances on v3"), "{new:?}");
    let old = end(old);
    assert_ne!(old.code, 0, "{old:?}");
    assert!(old.stdout.contains("web: superseded after"), "{old:?}");
    assert!(old.stdout.contains("superseded by the rollout to v3 of "), "{old:?}");
    assert!(!old.stdout.contains("rolling rollback"), "it would roll the other one back: {old:?}");
    let status = rolling(folder, &["status"], &second);
    assert!(status.stdout.contains("4 of 4 on v3 serve"), "{status:?}");
    assert!(status.stdout.contains("rollout    none"), "{status:?}");
    let again = rolling(folder, &["apply", "--supersede"], &second);
    assert!(again.code == 0 && again.stdout.contains("nothing to do"), "{again:?}");
}
