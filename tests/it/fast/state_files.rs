//! Where a simulated fleet's state cannot be read or written: what is told, and what works all the same.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::process::{self, Ran, rolling, run};

fn document(name: &str, folder: &str) -> Value {
    json!({
        "provider": { "rolling": { "simulator": { "state_directory": folder, "speed": 1000 } } },
        "resource": { "rolling_deployment": { "web": {
            "policy": "immutable",
            "simulated_fleet": { "name": name, "revision": "v2", "instances": 3 },
        } } },
    })
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
}

/// Runs a subcommand as somebody whom permissions bind, as they do not bind root.
fn run_bound(folder: &Path, subcommand: &str) -> Ran {
    let mut command = rolling();
    command.current_dir(folder).args([subcommand, "web.tf.json"]);
    if folder.metadata().expect("a folder").uid() == 0 {
        command.uid(65534).gid(65534);
    }
    run(&mut command)
}

#[test]
fn plan_and_status_work_in_a_folder_that_is_only_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    process::write(folder, &document("web", ".rolling"));
    mode(&folder.join("web.tf.json"), 0o644);
    let states = folder.join(".rolling");
    // Nobody has changed the fleet yet: a look leaves no file, where it could, either.
    mode(folder, 0o777);
    for subcommand in ["plan", "status", "doctor"] {
        let ran = run_bound(folder, subcommand);
        assert_eq!((ran.code, states.exists()), (0, false), "{subcommand}: {ran:?}");
    }
    for is_new in [true, false] {
        if !is_new {
            mode(folder, 0o755);
            let applied = run(rolling().current_dir(folder).args(["apply", "web.tf.json"]));
            assert_eq!(applied.code, 0, "{applied:?}");
            mode(&states.join("web.json"), 0o644);
            mode(&states.join("web.lock"), 0o444);
            mode(&states, 0o555);
        }
        mode(folder, 0o555);
        let state = || std::fs::read(states.join("web.json")).ok();
        let before = state();
        for (subcommand, expected) in [("plan", "web"), ("status", "web"), ("doctor", "web")] {
            let ran = run_bound(folder, subcommand);
            assert_eq!(ran.code, 0, "{subcommand}: {ran:?}");
            assert!(ran.stdout.contains(expected), "{ran:?}");
        }
        assert_eq!(state(), before);
        assert_eq!(states.exists(), !is_new);
        // What changes the fleet is refused for what it is, and before anything is done.
        if is_new {
            let ran = run_bound(folder, "apply");
            let output = ran.stdout + &ran.stderr;
            assert!(ran.code != 0 && output.contains("Permission denied"), "{output}");
            assert!(!output.contains("fresh fleet"), "{output}");
        }
    }
    mode(&states, 0o755);
    mode(folder, 0o755);
}

#[test]
fn what_is_wrong_with_a_state_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    std::fs::write(folder.join("file"), "").expect("a file");
    std::fs::create_dir_all(folder.join("taken/web.json")).expect("a folder");
    std::fs::create_dir(folder.join("broken")).expect("a folder");
    std::fs::write(folder.join("broken/web.json"), "{").expect("a broken state");
    std::os::unix::fs::symlink("nowhere/far", folder.join("dangling")).expect("a link");
    let long = "a".repeat(300);
    for (name, states, why, remedy) in [
        (long.as_str(), ".rolling", "File name too long", "give the fleet a shorter name"),
        ("web", "file", "Not a directory", "is in the way of file/web.json"),
        ("web", "taken", "Is a directory", "is in the way of taken/web.json"),
        ("web", "dangling", "", "state_directory"),
        ("web", "broken", "EOF while parsing", "remove the file to start with a fresh fleet"),
    ] {
        process::write(folder, &document(name, states));
        for subcommand in ["plan", "status", "apply", "pause", "doctor"] {
            let ran = run(rolling().current_dir(folder).args([subcommand, "web.tf.json"]));
            let output = ran.stdout + &ran.stderr;
            assert!(ran.code != 0 && output.contains(why), "{subcommand}: {output}");
            assert!(output.contains("help: ") && output.contains(remedy), "{output}");
            assert_eq!(output.contains("fresh fleet"), states == "broken", "{output}");
        }
    }
}

#[test]
fn a_lock_is_its_owner_s_alone_and_no_link_is_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    process::write(folder, &document("web", ".rolling"));
    let apply = || run(rolling().current_dir(folder).args(["apply", "web.tf.json"]));
    let lock = folder.join(".rolling/web.lock");
    std::fs::create_dir(folder.join(".rolling")).expect("a folder");
    let other = folder.join("other");
    std::fs::write(&other, "of somebody else").expect("a file");
    std::os::unix::fs::symlink(&other, &lock).expect("a link");
    let refused = apply();
    assert_ne!(refused.code, 0, "{refused:?}");
    assert_eq!(std::fs::read_to_string(&other).expect("a file"), "of somebody else");

    std::fs::remove_file(&lock).expect("the link");
    let applied = apply();
    assert_eq!(applied.code, 0, "{applied:?}");
    assert_eq!(lock.metadata().expect("the lock").mode() & 0o777, 0o600);
}
