//! `rolling rollback` once the rollout is over, on LocalStack: by the instances that are gone, or by
//! the state that a front-end keeps.

use serde_json::{Value, json};

use crate::emulator::{Account, account};
use crate::lab::localstack::{resource, times};
use crate::process::{self, Ran};

fn rollback(account: &Account, wanted: &Value, more: &[&str]) -> Ran {
    let document = json!({ "resource": { "rolling_deployment": { "web": wanted } } });
    let file = process::write(account.folder.path(), &document);
    let mut command = account.rolling();
    process::run(command.current_dir(account.folder.path()).arg("rollback").args(more).arg(file))
}

/// Returns the revisions that the group's instances in service run.
fn runs(account: &Account) -> Vec<String> {
    let group = account.get("groups/web");
    let instances = group["instances"].as_object().expect("instances").values();
    let live = instances.filter(|instance| instance["lifecycle"] == "InService");
    live.map(|instance| instance["revision"].as_str().expect("a revision").to_owned()).collect()
}

#[test]
fn a_fleet_that_was_replaced_once_goes_back_by_what_is_gone_and_then_nothing_is_certain() {
    let Some(account) = account() else { return };
    let template = account.fleet(json!({ "name": "web", "size": 3 }), times());
    let wanted = resource(&template, "2");
    let before = account.get("groups/web");
    assert_eq!(account.run("apply", &wanted).code, 0);
    account.forget_calls();
    let ran = rollback(&account, &wanted, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let message =
        format!("rolling back to {template}:1, by 3 terminated instances, the last until");
    assert!(ran.stderr.contains(&message), "{ran:?}");
    assert_eq!(runs(&account), vec![format!("{template}:1"); 3]);
    let after = account.get("groups/web");
    assert_eq!(after["tags"], before["tags"], "nothing is left for it");

    // Version 1, then 2, then 1: whether 2 was right is not shown.
    account.forget_calls();
    let ran = rollback(&account, &wanted, &[]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("no rollout to roll back"), "{ran:?}");
    let candidate = format!("candidates: {template}:2 (3 terminated instances, the last until");
    assert!(ran.stderr.contains(&candidate), "{ran:?}");
    assert!(!ran.stderr.contains(&format!("{template}:1 (")), "it runs already: {ran:?}");
    assert_eq!(account.mutations(), Vec::<String>::new());
}

#[test]
fn a_state_that_was_kept_says_it_and_nothing_more_is_read() {
    let Some(account) = account() else { return };
    let template = account.fleet(json!({ "name": "web", "size": 2 }), times());
    let wanted = resource(&template, "2");
    assert_eq!(account.run("apply", &wanted).code, 0);
    let id = "arn:aws:autoscaling:us-east-1";
    let states = account.folder.path().join("states.json");
    let arn = {
        std::fs::write(&states, json!({ "id": id, "completed_revision": null }).to_string())
            .expect("a state");
        let refused = rollback(&account, &wanted, &["--state", "states.json"]);
        assert_eq!(refused.code, 2, "{refused:?}");
        let (_, arn) = refused.stderr.split_once(&format!("of {id}, not of ")).expect("the id");
        arn.split_whitespace().next().expect("an ARN").to_owned()
    };
    let state = json!({
        "id": arn, "completed_revision": format!("{template}:2"),
        "previous_revision": format!("{template}:1"),
    });
    let shown = json!({ "type": "rolling_deployment", "values": state });
    let shown = json!({ "values": { "root_module": { "resources": [shown] } } });
    std::fs::write(&states, shown.to_string()).expect("a state");
    let ran = rollback(&account, &wanted, &["--state", "states.json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let message = format!("rolling back to {template}:1, by the stored state");
    assert!(ran.stderr.contains(&message), "{ran:?}");
    assert_eq!(runs(&account), vec![format!("{template}:1"); 2]);
}
