//! Updates of somebody else before, during and after ours, and what is known to have failed before.

use serde_json::{Value, json};

use super::commands::{call, rolling, until_it_cleans_up};
use super::interrupted::{hurry, outcome, slow, spawn, start, status};
use super::{UPDATE, environment, times, versions, wanted, why};
use crate::emulator::{Account, account, three_at_once};
use crate::process;

const ABORT: &str = "elasticbeanstalk.AbortEnvironmentUpdate";

/// Side by side, since they mostly wait.
#[test]
fn updates_of_others_and_what_shows_late_are_left_alone_or_waited_for() {
    if account().is_some() {
        three_at_once(
            [
                a_command_that_is_not_taken_yet_never_hits_the_next_update as fn(),
                a_version_that_failed_is_nothing_to_go_back_to,
                an_environment_that_is_shown_late_is_waited_for,
                an_update_whose_events_do_not_show_yet_is_nobodys,
            ],
            |it| it(),
        );
    }
}

fn a_command_that_is_not_taken_yet_never_hits_the_next_update() {
    let Some(account) = account() else { return };
    account.shared();
    environment(&account, 2, &json!([]));
    let mut all = times();
    all["eb_cleanup"] = json!(25);
    all["eb_health"] = json!(20);
    account.put("times", all);
    let v2 = wanted(&json!({ "policy": "Immutable" }), "v2");
    let running = spawn(&account, &v2);
    until_it_cleans_up(&account);
    let late = start(&account, "abort", &v2);
    process::until("it is over", || status(&account) == "Ready");
    hurry(&account);
    call(&account, "UpdateEnvironment", "&VersionLabel=v3");
    let (late, ran) = (process::end(late), process::end(running));
    assert_eq!(account.count(ABORT), 0, "{late:?}");
    assert!(ran.code == 5 || ran.code == 0, "{ran:?}");
    process::until("v3 is deployed", || {
        status(&account) == "Ready" && versions(&account) == [("v3".to_owned(), 2)].into()
    });
}

#[test]
fn what_somebody_begins_before_the_verdict_is_theirs() {
    let Some(account) = account() else { return };
    account.shared();
    environment(&account, 4, &json!([]));
    let mut all = times();
    all["eb_health"] = json!(60);
    account.put("times", all);
    let running = spawn(&account, &wanted(&rolling(2), "v2-bad2"));
    until_it_fails(&account);
    call(&account, "UpdateEnvironment", "&VersionLabel=v3-bad2");
    let ran = process::end(running);
    assert_eq!((ran.code, outcome(&ran)), (5, json!("locked")), "{ran:?}");
    assert!(why(&ran).contains("something else has begun since"), "{ran:?}");
    // The options, the version, and what somebody else has begun.
    assert_eq!(account.count(UPDATE), 3, "nothing is deployed over it");
}

/// Has `bad`, which deploys v2-bad2, fail, and kills who follows it.
fn fails_and_is_left(account: &Account, bad: &Value) {
    let mut running = spawn(account, bad);
    until_it_fails(account);
    running.kill().expect("it is killed");
    process::end(running);
}

fn until_it_fails(account: &Account) {
    process::until("it fails", || {
        versions(account).contains_key("v2-bad2") && status(account) == "Ready"
    });
}

/// Until the health of the instances is new they seem to be given the version that failed.
#[test]
fn what_somebody_begins_right_after_a_failure_is_theirs_from_the_first_moment() {
    let Some(account) = account() else { return };
    account.shared();
    environment(&account, 4, &json!([]));
    let mut all = times();
    all["eb_health"] = json!(20);
    account.put("times", all.clone());
    let bad = wanted(&rolling(2), "v2-bad2");
    fails_and_is_left(&account, &bad);
    all["eb_deploy"] = json!(12);
    account.put("times", all);
    call(&account, "UpdateEnvironment", "&VersionLabel=v3");
    process::until("it is Updating", || status(&account) == "Updating");
    let aborted = account.run("abort", &bad);
    assert!(aborted.code != 0 && aborted.stdout.contains("to v3 is under way"), "{aborted:?}");
    let ran = account.run("apply", &bad);
    assert_eq!((ran.code, outcome(&ran)), (5, json!("locked")), "{ran:?}");
    assert!(why(&ran).contains("to v3 is under way"), "{ran:?}");
    assert_eq!((account.count(ABORT), account.count(UPDATE)), (0, 3));
}

/// Events show late: what is under way has a version of nobody's events yet, and is left alone.
fn an_update_whose_events_do_not_show_yet_is_nobodys() {
    let Some(account) = account() else { return };
    account.shared();
    environment(&account, 4, &json!([]));
    let mut all = times();
    (all["eb_events"], all["eb_deploy"]) = (json!(20), json!(12));
    account.put("times", all.clone());
    let bad = wanted(&rolling(2), "v2-bad2");
    fails_and_is_left(&account, &bad);
    call(&account, "UpdateEnvironment", "&VersionLabel=v3");
    process::until("it is Updating", || status(&account) == "Updating");
    for command in ["abort", "rollback"] {
        let refused = account.run(command, &bad);
        assert!(refused.code != 0, "{refused:?}");
        assert!(refused.stdout.contains("its events do not show yet"), "{refused:?}");
    }
    assert_eq!((account.count(ABORT), account.count(UPDATE)), (0, 3));
}

fn a_version_that_failed_is_nothing_to_go_back_to() {
    let Some(account) = account() else { return };
    account.shared();
    environment(&account, 4, &json!([]));
    let mut bad = wanted(&rolling(2), "v2-bad2");
    bad["on_failure"] = json!("stop");
    assert_eq!(account.run("apply", &bad).code, 1);
    // Options that somebody sets are completed, with the label of the version that failed.
    slow(&account);
    let option = "&OptionSettings.member.1.Namespace=aws%3Aelasticbeanstalk%3Acommand\
                  &OptionSettings.member.1.OptionName=Timeout&OptionSettings.member.1.Value=500";
    call(&account, "UpdateEnvironment", option);
    process::until("it is updated", || status(&account) == "Updating");
    process::until("it is over", || status(&account) == "Ready");
    hurry(&account);
    // It begins with versions that are mixed, and only the events tell which one was completed.
    let ran = account.run("apply", &wanted(&rolling(2), "v3-bad2"));
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(versions(&account), [("v1".to_owned(), 4)].into());
}

fn an_environment_that_is_shown_late_is_waited_for() {
    let Some(account) = account() else { return };
    environment(&account, 2, &json!([]));
    for (seconds, size, label) in [(1, 1, "v2"), (4, 2, "v3")] {
        account.put("faults", json!([{ "kind": "lag", "seconds": seconds }]));
        let ran = account.run("apply", &wanted(&rolling(size), label));
        assert_eq!(ran.code, 0, "{seconds} s: {ran:?}");
        account.put("faults", json!([]));
        assert_eq!(versions(&account), [(label.to_owned(), 2)].into());
    }
}
