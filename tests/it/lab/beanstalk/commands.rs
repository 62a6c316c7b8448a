//! Aborts and rollbacks at moments that are hard to meet: between two looks, in the first second, in the
//! clean-up, and after the end.

use std::process::Child;

use serde_json::{Value, json};

use super::interrupted::{hurry, outcome, slow, spawn, status};
use super::{UPDATE, environment, steps, times, versions, wanted};
use crate::emulator::{Account, account, three_at_once};
use crate::lab::localstack::report;
use crate::process;

pub(super) fn rolling(size: u32) -> Value {
    json!({ "policy": "Rolling", "batch_size_type": "Fixed", "batch_size": size })
}

/// The number of the last deployment that succeeded.
fn deployments(account: &Account) -> u64 {
    let shown = account.get("environments/web-prod");
    shown["expected"]["deployment_id"].as_u64().expect("a number")
}

pub(super) fn call(account: &Account, action: &str, more: &str) {
    let form = format!("Action={action}&Version=2010-12-01&EnvironmentName=web-prod{more}");
    account.query("elasticbeanstalk", &form);
}

/// Waits until both instances run v2 and those of before go.
pub(super) fn until_it_cleans_up(account: &Account) {
    process::until("it cleans up", || {
        let shown = account.get("environments/web-prod");
        versions(account) == [("v2".to_owned(), 2)].into() && shown["abortable"] == false
    });
}

#[test]
fn an_abort_that_nobody_has_seen_is_no_failure_to_go_back_after() {
    if account().is_none() {
        return;
    }
    three_at_once(["update", "own"], |id| {
        let Some(account) = account() else { return };
        account.shared();
        environment(&account, 3, &json!([]));
        let mut all = times();
        all["eb_deploy"] = json!(10);
        all["abort_request_id"] = json!(id);
        account.put("times", all);
        // It looks too seldom to see the environment Aborting.
        let mut seldom = wanted(&rolling(1), "v2");
        seldom["poll_interval"] = json!("30s");
        let running = spawn(&account, &seldom);
        process::until("one runs it", || versions(&account).contains_key("v2"));
        let before = account.count(UPDATE);
        call(&account, "AbortEnvironmentUpdate", "");
        let ran = process::end(running);
        assert_eq!(outcome(&ran), "aborted", "{id}: {ran:?}");
        assert_eq!(account.count(UPDATE), before, "{id}: nothing is deployed");
        assert!(versions(&account).len() > 1, "{:?}", versions(&account));
    });
}

/// Each in an account of its own, side by side: they mostly wait.
#[test]
fn commands_are_carried_out_at_moments_that_are_hard_to_meet() {
    if account().is_some() {
        three_at_once(
            [
                an_abort_in_the_first_moment_is_made_once_it_is_possible as fn(),
                a_rollback_in_the_clean_up_deploys_the_completed_version_again,
                an_interrupt_ends_the_following_and_two_engines_start_one_update,
            ],
            |it| it(),
        );
    }
}

fn an_abort_in_the_first_moment_is_made_once_it_is_possible() {
    let Some(account) = account() else { return };
    environment(&account, 3, &json!([]));
    let mut all = times();
    // A busy machine starts the program slowly.
    all["eb_deploy"] = json!(15);
    all["eb_settings"] = json!(18);
    all["eb_abortable"] = json!(8);
    account.put("times", all);
    let v2 = wanted(&rolling(1), "v2");
    let running = spawn(&account, &v2);
    // The options come first, and are no rollout.
    process::until("options are set", || status(&account) == "Updating");
    let early = account.run("abort", &v2);
    assert!(early.code != 0 && early.stdout.contains("its options are being changed"), "{early:?}");
    process::until("the version is deployed", || account.count(UPDATE) == 2);
    let aborted = account.run("abort", &v2);
    assert_eq!(aborted.code, 0, "{aborted:?}");
    assert_eq!(outcome(&aborted), "aborted");
    assert!(steps(&aborted).contains(&json!("cancelled")), "{aborted:?}");
    process::end(running);
    assert!(versions(&account).contains_key("v1"), "{:?}", versions(&account));
}

#[test]
fn an_abort_beside_the_old_instances_goes_back() {
    let Some(account) = account() else { return };
    environment(&account, 2, &json!([]));
    let mut all = times();
    all["eb_deploy"] = json!(25);
    account.put("times", all);
    let v2 = wanted(&json!({ "policy": "Immutable" }), "v2");
    let running = spawn(&account, &v2);
    process::until("the first batch begins", || {
        account.get("environments/web-prod")["batches"].as_array().is_some_and(|it| !it.is_empty())
    });
    let aborted = account.run("abort", &v2);
    assert_eq!((aborted.code, outcome(&aborted)), (0, json!("aborted")), "{aborted:?}");
    assert_eq!(versions(&account), [("v1".to_owned(), 2)].into());
    let ran = process::end(running);
    assert_eq!((ran.code, outcome(&ran)), (3, json!("rolled_back")), "{ran:?}");
}

fn a_rollback_in_the_clean_up_deploys_the_completed_version_again() {
    let Some(account) = account() else { return };
    environment(&account, 2, &json!([]));
    let mut all = times();
    all["eb_cleanup"] = json!(25);
    account.put("times", all);
    let v2 = wanted(&json!({ "policy": "Immutable" }), "v2");
    let running = spawn(&account, &v2);
    until_it_cleans_up(&account);
    hurry(&account);
    let back = account.run("rollback", &v2);
    assert_eq!(back.code, 0, "{back:?}");
    assert_eq!(outcome(&back), "rolled_back");
    assert_eq!(versions(&account), [("v1".to_owned(), 2)].into());
    process::end(running);
}

#[test]
fn what_somebody_has_just_deployed_is_not_deployed_again() {
    let Some(account) = account() else { return };
    account.shared();
    environment(&account, 2, &json!([]));
    let mut all = times();
    all["eb_deploy"] = json!(6);
    all["eb_health"] = json!(12);
    account.put("times", all);
    call(&account, "UpdateEnvironment", "&VersionLabel=v2");
    process::until("it is updated", || status(&account) == "Updating");
    process::until("it is over", || status(&account) == "Ready");
    let before = account.count(UPDATE);
    let ran = account.run("apply", &wanted(&json!({ "policy": "AllAtOnce" }), "v2"));
    assert_eq!((ran.code, account.count(UPDATE)), (0, before), "{ran:?}");
}

fn an_interrupt_ends_the_following_and_two_engines_start_one_update() {
    let Some(account) = account() else { return };
    environment(&account, 4, &json!([]));
    slow(&account);
    let v2 = wanted(&rolling(2), "v2");
    let first = spawn(&account, &v2);
    process::until("one runs it", || versions(&account).contains_key("v2"));
    process::signal(first.id(), "-INT");
    let interrupted = process::end(first);
    assert_eq!(interrupted.code, 130, "{interrupted:?}");
    let run = report(&interrupted);
    assert_eq!(run["delegated_rollout"]["still_running"], true, "{run}");
    let all: Vec<Child> = (0..2).map(|_| spawn(&account, &v2)).collect();
    for running in all {
        let ran = process::end(running);
        // A busy machine may start them when it is over.
        assert!(ran.code == 0 && steps(&ran).iter().all(|step| step == "joined"), "{ran:?}");
    }
    assert_eq!(account.count(UPDATE), 2, "the options, and v2");
    hurry(&account);
    // Both begin with nothing under way.
    let v3 = wanted(&rolling(2), "v3");
    let all: Vec<Child> = (0..2).map(|_| spawn(&account, &v3)).collect();
    for running in all {
        let ran = process::end(running);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    assert_eq!(versions(&account), [("v3".to_owned(), 4)].into());
    assert_eq!(deployments(&account), 3, "launched, v2 and v3");
}

#[test]
fn lost_answers_start_one_update() {
    let Some(account) = account() else { return };
    environment(&account, 2, &json!([]));
    account.put("faults", json!([{ "kind": "drop_after", "action": UPDATE, "count": 2 }]));
    let ran = account.run("apply", &wanted(&rolling(1), "v2"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(versions(&account), [("v2".to_owned(), 2)].into());
    assert_eq!(deployments(&account), 2, "launched, and v2");
}
