//! Hooks on LocalStack: a real command, which finds its instances where AWS says they are.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::emulator::{Account, account};
use crate::lab::localstack::{assert_drained_before_terminated, report, resource, times};
use crate::lab::promises::start;
use crate::process;

/// Returns the private addresses of the account's instances, by EC2.
fn addresses(account: &Account) -> Value {
    let group = account.get("groups/web");
    group["instances"].clone()
}

/// The command fails twice and then passes, for each group of instances; meanwhile none of them is
/// deregistered.
#[test]
fn a_command_that_fails_twice_and_then_passes_lets_the_rollout_go_on_and_knows_its_instances() {
    let Some(account) = account() else { return };
    let template = account.fleet(json!({ "name": "web", "size": 4 }), times());
    let before: BTreeSet<String> =
        addresses(&account).as_object().expect("instances").keys().cloned().collect();
    let folder = account.folder.path().join("hooks");
    std::fs::create_dir(&folder).expect("a folder");
    let script = "cat > $FOLDER/$ROLLING_HOOK.$ROLLING_BATCH.$ROLLING_ATTEMPT; \
                  [ $ROLLING_ATTEMPT -gt 2 ]";
    let environment = json!({ "FOLDER": folder.display().to_string() });
    let command = json!({ "run": ["sh", "-c", script], "environment": environment });
    let hook = json!({ "command": command, "timeout": "5m", "tries": 3 });
    let mut wanted = resource(&template, "2");
    wanted["batch_size_type"] = json!("fixed");
    wanted["batch_size"] = json!(2);
    wanted["hooks"] = json!({
        "before_rollout": hook, "before_deregister": hook, "after_healthy": hook,
        "after_rollout": hook,
    });
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(report(&ran)["outcome"], "succeeded");
    assert_drained_before_terminated(&account.timeline());

    let read = |name: &str| -> Value {
        let text = std::fs::read_to_string(folder.join(name)).expect(name);
        serde_json::from_str(&text).expect("JSON")
    };
    let ids = |message: &Value| -> BTreeSet<String> {
        let instances = message["instances"].as_array().expect("instances").iter();
        instances.map(|instance| instance["id"].as_str().expect("an id").to_owned()).collect()
    };
    let mut gone = BTreeSet::new();
    let mut new = BTreeSet::new();
    for batch in [1, 2] {
        let third = read(&format!("before_deregister.{batch}.3"));
        let first = read(&format!("before_deregister.{batch}.1"));
        assert_eq!((&first["id"], &first["instances"]), (&third["id"], &third["instances"]));
        for instance in third["instances"].as_array().expect("instances") {
            let address = instance["private_address"].as_str().expect("an address");
            assert!(address.parse::<std::net::Ipv4Addr>().is_ok(), "{address}");
            assert!(!instance["zone"].as_str().expect("a zone").is_empty());
        }
        gone.extend(ids(&third));
        new.extend(ids(&read(&format!("after_healthy.{batch}.3"))));
    }
    assert_eq!(gone, before, "each of the old instances, and none other");
    let reported = report(&ran)["instances"].as_array().expect("instances").clone();
    let reported: BTreeSet<String> =
        reported.iter().map(|it| it["id"].as_str().expect("an id").to_owned()).collect();
    assert_eq!(new, reported, "each of the new instances, and none other");
    assert_eq!(read("after_rollout.2.3")["outcome"], "succeeded");
    read("before_rollout.0.3");
}

/// Killed while a hook is run, the program has it run again with the same id, and nobody was
/// deregistered in between.
#[test]
fn a_hook_during_which_the_program_is_killed_is_run_again_with_the_same_id() {
    let Some(account) = account() else { return };
    let template = account.fleet(json!({ "name": "web", "size": 2 }), times());
    let folder = account.folder.path().join("hooks");
    std::fs::create_dir(&folder).expect("a folder");
    let script = "echo $ROLLING_HOOK_ID $ROLLING_INSTANCES >> $FOLDER/runs; \
                  [ -e $FOLDER/again ] || sleep 120";
    let environment = json!({ "FOLDER": folder.display().to_string() });
    let command = json!({ "run": ["sh", "-c", script], "environment": environment });
    let mut wanted = resource(&template, "2");
    wanted["hooks"] = json!({ "before_deregister": { "command": command, "timeout": "1h" } });
    let mut running = start(&account, &wanted);
    let runs = folder.join("runs");
    let lines = || std::fs::read_to_string(&runs).unwrap_or_default();
    process::until("the hook is run", || lines().ends_with('\n'));
    process::signal(running.id(), "-KILL");
    running.wait().expect("an end");
    assert_eq!(account.count("elbv2.DeregisterTargets"), 0, "it waits for the hook");

    std::fs::write(folder.join("again"), "").expect("a file");
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines = lines();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0], lines[1], "the same id for the same instances");
    assert_ne!(lines[1], lines[2]);
}
