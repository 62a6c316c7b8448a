//! Rollbacks that this program deploys: whoever has the document of the version that failed follows them,
//! ends them, and is told how they ended.

use std::process::Child;

use serde_json::{Value, json};

use super::commands::rolling;
use super::interrupted::{hurry, outcome, spawn, start, status};
use super::{UPDATE, environment, steps, times, versions, wanted, why};
use crate::emulator::{Account, account, three_at_once};
use crate::lab::localstack::report;
use crate::process;

const BAD: &str = "v2-bad2";

/// Has v2-bad2 fail on its second batch, and v1 deployed again. Returns who does that, once it has begun,
/// and who only shows it.
fn going_back(account: &Account, wanted: &Value) -> (Child, Child) {
    environment(account, 4, &json!([]));
    let mut all = times();
    all["eb_deploy"] = json!(10);
    account.put("times", all);
    let running = spawn(account, wanted);
    process::until("the version is deployed", || account.count(UPDATE) == 2);
    process::until("it shows", || status(account) == "Updating");
    let shown = start(account, "status --follow", wanted);
    process::until("v1 is deployed again", || {
        account.count(UPDATE) == 3 && status(account) == "Updating"
    });
    (running, shown)
}

#[test]
fn a_rollback_is_that_of_the_document_that_failed() {
    if account().is_some() {
        three_at_once([killed as fn(&Account), interrupted, aborted, two], |case| {
            let Some(account) = account() else { return };
            case(&account);
            assert_eq!(account.violations(), Vec::<String>::new());
        });
    }
}

/// Whoever applies again follows it to its end, and starts nothing.
fn killed(account: &Account) {
    let wanted = wanted(&rolling(2), BAD);
    let (mut running, shown) = going_back(account, &wanted);
    running.kill().expect("it is killed");
    process::end(running);
    let planned = account.run("plan", &wanted);
    assert!(planned.stdout.contains("takes v2-bad2 back"), "{planned:?}");
    let ran = account.run("apply", &wanted);
    assert_eq!((ran.code, outcome(&ran)), (3, json!("rolled_back")), "{ran:?}");
    assert_eq!(steps(&ran), ["joined"]);
    assert!(why(&ran).contains("Command failed on instance"), "{ran:?}");
    assert_eq!(report(&ran)["completed"], "v1", "{ran:?}");
    assert_eq!(account.count(UPDATE), 3, "nothing is started");
    assert_eq!(versions(account), [("v1".to_owned(), 4)].into());
    let shown = process::end(shown);
    assert_eq!(shown.code, 3, "{shown:?}");
}

/// An interrupt ends the following only, and `rollback` follows what goes back already.
fn interrupted(account: &Account) {
    let wanted = wanted(&rolling(2), BAD);
    let (running, shown) = going_back(account, &wanted);
    process::signal(running.id(), "-INT");
    let ran = process::end(running);
    assert_eq!(ran.code, 130, "{ran:?}");
    hurry(account);
    let back = account.run("rollback", &wanted);
    assert_eq!((back.code, outcome(&back)), (0, json!("rolled_back")), "{back:?}");
    assert_eq!(account.count(UPDATE), 3, "nothing is started");
    assert_eq!(versions(account), [("v1".to_owned(), 4)].into());
    assert_eq!(process::end(shown).code, 3);
}

/// An abort ends it where it is, and whoever has begun it says so.
fn aborted(account: &Account) {
    let wanted = wanted(&rolling(2), BAD);
    let (running, shown) = going_back(account, &wanted);
    let abort = account.run("abort", &wanted);
    assert_eq!((abort.code, outcome(&abort)), (0, json!("aborted")), "{abort:?}");
    let ran = process::end(running);
    assert_eq!((ran.code, outcome(&ran)), (4, json!("aborted")), "{ran:?}");
    assert!(why(&ran).contains("Command failed on instance"), "{ran:?}");
    assert!(why(&ran).contains("the rollback is not complete"), "{ran:?}");
    assert_eq!(account.count(UPDATE), 3, "nothing is started");
    assert_eq!(process::end(shown).code, 4);
}

/// Of two that carry out the same document one begins the way back, and the other one follows it, which
/// has not seen the failure.
fn two(account: &Account) {
    environment(account, 4, &json!([]));
    let wanted = wanted(&rolling(2), BAD);
    let mut seldom = wanted.clone();
    seldom["poll_interval"] = json!("10s");
    let first = spawn(account, &seldom);
    process::until("the version is deployed", || account.count(UPDATE) == 2);
    let second = account.run("apply", &wanted);
    let first = process::end(first);
    for ran in [&first, &second] {
        assert_eq!((ran.code, outcome(ran)), (3, json!("rolled_back")), "{ran:?}");
        assert!(why(ran).contains("Command failed on instance"), "{ran:?}");
    }
    // A second request may have been made, and refused: the environment is busy.
    let started = [&first, &second].into_iter().flat_map(steps).filter(|step| step == "started");
    assert_eq!(started.count(), 2, "one deploys, and one goes back: {first:?} {second:?}");
    assert_eq!(versions(account), [("v1".to_owned(), 4)].into());
}
