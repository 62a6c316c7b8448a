//! A refresh that is under way: left, followed again, ended, or beside another rollout.

use serde_json::{Value, json};

use super::{START, four, group, slow, until_it_replaces, wanted, why};
use crate::emulator::{Account, account};
use crate::lab::localstack::{assert_as_before, ids, report, times};
use crate::lab::promises::{kill, start};
use crate::process::{self, end, signal};

#[test]
fn an_interrupt_leaves_it_running_and_a_later_apply_follows_it_to_its_end() {
    let Some(account) = account() else { return };
    let template = account.fleet(four(), slow());
    let before = account.get("groups/web");
    let child = start(&account, &wanted(&template, "2"));
    until_it_replaces(&account);
    signal(child.id(), "-INT");
    let ran = end(child);
    assert_eq!(ran.code, 130, "{ran:?}");
    let run = report(&ran);
    assert_eq!(
        (&run["outcome"], &run["delegated_rollout"]["still_running"]),
        (&json!("aborted"), &json!(true))
    );
    assert!(why(&ran).contains("continues without this program"), "{}", why(&ran));
    assert_eq!(account.mutations(), [START]);

    let status = account.run("status", &wanted(&template, "2"));
    let shown = &status.lines()[0]["resources"][0];
    assert_eq!(
        (&shown["status"], &shown["delegated_rollout"]["still_running"]),
        (&json!("rolling"), &json!(true))
    );
    // In the output for people, by the apply that continues it.
    let document =
        json!({ "resource": { "rolling_deployment": { "web": wanted(&template, "2") } } });
    let file = process::write(account.folder.path(), &document);
    let again = process::run(account.rolling().arg("apply").arg(file));
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stdout.contains("is under way, and is followed"), "{again:?}");
    assert!(again.stdout.contains("4 instances on"), "{again:?}");
    assert!(again.stdout.contains("by instance refresh"), "{again:?}");
    assert_eq!(account.count(START), 1, "one start in all");
    assert_as_before(&account, &before, 4, &format!("{template}:2"));
}

#[test]
fn it_goes_on_when_the_program_is_killed() {
    let Some(account) = account() else { return };
    let template = account.fleet(four(), times());
    let before = account.get("groups/web");
    let child = start(&account, &wanted(&template, "2"));
    until_it_replaces(&account);
    kill(child);
    account
        .until("groups/web", "it goes on to its end", |group| group["template"]["Version"] == "2");
    assert_as_before(&account, &before, 4, &format!("{template}:2"));
    assert_eq!(account.mutations(), [START]);
    let again = account.run("apply", &wanted(&template, "2"));
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(account.count(START), 1);
}

#[test]
fn abort_cancels_it_and_rollback_rolls_it_back_and_the_follower_is_told() {
    for (command, action, outcome, code) in [
        ("abort", "autoscaling.CancelInstanceRefresh", "aborted", 4),
        ("rollback", "autoscaling.RollbackInstanceRefresh", "rolled_back", 3),
    ] {
        let Some(account) = account() else { return };
        let template = account.fleet(four(), slow());
        let before = account.get("groups/web");
        let child = start(&account, &wanted(&template, "2"));
        until_it_replaces(&account);
        for command in ["pause", "resume"] {
            let refused = account.run(command, &wanted(&template, "2"));
            assert_eq!(refused.code, 2, "{refused:?}");
            let message = format!("AWS cannot {command} an instance refresh");
            assert!(refused.stdout.contains(&message), "{refused:?}");
            assert!(refused.stdout.contains("checkpoints pause it"), "{refused:?}");
        }
        let reply = account.run(command, &wanted(&template, "2"));
        assert_eq!(reply.code, 0, "{reply:?}");
        let followed = end(child);
        assert_eq!(followed.code, code, "{followed:?}");
        assert_eq!(report(&followed)["outcome"], outcome);
        assert_eq!(account.mutations(), [action, START].map(str::to_owned));
        assert_eq!(account.count(action), 1);
        let after = account.get("groups/web");
        assert_eq!(after["template"], before["template"]);
        if command == "rollback" {
            assert_as_before(&account, &before, 4, &format!("{template}:1"));
            assert!(why(&followed).contains("requested by a user"), "{}", why(&followed));
        }
        // It is not done, so it is still to do.
        let planned = account.run("plan", &wanted(&template, "2"));
        assert_eq!(planned.lines()[0]["changes"], true);
    }
}

#[test]
fn a_refresh_to_something_else_is_left_alone_and_named() {
    let Some(account) = account() else { return };
    let mut slow = times();
    slow["boot"] = json!(150);
    let template = account.fleet(four(), slow);
    let child = start(&account, &wanted(&template, "2"));
    until_it_replaces(&account);
    signal(child.id(), "-TERM");
    assert_eq!(end(child).code, 143);
    let other = wanted(&template, "1");
    let message = format!("to {template}:2 is under way (InProgress, 0 %)");
    let planned = account.run("plan", &other);
    assert!(planned.stdout.contains(&message), "{planned:?}");
    let refused = account.run("apply", &other);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(why(&refused).contains(&message), "{}", why(&refused));
    for command in ["abort", "rollback"] {
        let refused = account.run(command, &other);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stdout.contains(&message), "{refused:?}");
    }
    // The other engine cannot roll beside it either.
    let mut rolling = other.clone();
    rolling["engine"] = json!("rolling");
    let refused = account.run("apply", &rolling);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stdout.contains("has an instance refresh running"), "{refused:?}");
    assert_eq!(account.mutations(), [START]);
    assert_eq!(account.run("abort", &wanted(&template, "2")).code, 0);
}

#[test]
fn a_rollout_of_the_other_engine_is_finished_first() {
    let Some(account) = account() else { return };
    let template = account.fleet(four(), times());
    let mut rolling = wanted(&template, "2");
    rolling["engine"] = json!("rolling");
    let child = start(&account, &rolling);
    until_it_replaces(&account);
    kill(child);
    let refused = account.run("apply", &wanted(&template, "2"));
    assert_eq!(refused.code, 2, "{refused:?}");
    let found = &refused.lines()[0]["diagnostics"][0];
    assert_eq!(found["pointer"], "/resource/rolling_deployment/web/engine");
    assert!(found["summary"].to_string().contains("is rolling on the group"), "{found}");
    assert_eq!(account.run("apply", &rolling).code, 0);
    assert_eq!(account.run("apply", &wanted(&template, "2")).code, 0);
    assert_eq!(account.count(START), 0);
}

/// Starts a refresh to version 3, as somebody else.
fn start_another(account: &Account, template: &str) {
    let to = "DesiredConfiguration.LaunchTemplate";
    account.query(
        "autoscaling",
        &format!(
            "Version=2011-01-01&Action=StartInstanceRefresh&AutoScalingGroupName=web\
             &{to}.LaunchTemplateId={template}&{to}.Version=3\
             &Preferences.MinHealthyPercentage=50&Preferences.SkipMatching=true\
             &Preferences.InstanceWarmup=1"
        ),
    );
}

fn by_rolling(template: &str) -> Value {
    let mut wanted = wanted(template, "2");
    wanted.as_object_mut().expect("an object").remove("engine");
    wanted
}

fn six() -> Value {
    let mut group = group(6);
    group["versions"] = json!([null, null, null]);
    group
}

#[test]
fn a_refresh_that_somebody_starts_meanwhile_waits_until_the_rollout_is_over() {
    let Some(account) = account() else { return };
    let template = account.fleet(six(), times());
    let rolling = start(&account, &by_rolling(&template));
    account.until_called("elbv2.DeregisterTargets", 1);
    start_another(&account, &template);
    let ran = end(rolling);
    assert_eq!(ran.code, 0, "{ran:?}");
    let run = report(&ran);
    let two = json!(format!("{template}:2"));
    let instances = run["instances"].as_array().expect("instances");
    assert!(instances.iter().all(|instance| instance["revision"] == two), "{run}");
    assert_eq!(ids(&account.timeline(), "launched").len(), 6, "each place was filled once");
    account.until("groups/web", "the refresh goes on", |group| group["template"]["Version"] == "3");
}

#[test]
fn a_refresh_beside_a_rollout_ends_it_by_name_and_is_left_alone() {
    let Some(account) = account() else { return };
    let template = account.fleet(six(), times());
    let mut wanted = by_rolling(&template);
    wanted["suspend_processes"] = json!(["AlarmNotification"]);
    let rolling = start(&account, &wanted);
    account.until_called("elbv2.DeregisterTargets", 1);
    start_another(&account, &template);
    let ran = end(rolling);
    assert_eq!(ran.code, 1, "{ran:?}");
    let why = why(&ran);
    assert!(why.contains("nor one that the fleet had before"), "{why}");
    assert!(why.contains("has an instance refresh running ("), "{why}");
    assert_eq!(account.count("autoscaling.CancelInstanceRefresh"), 0);
    let suspended = account.get("groups/web")["suspended"].clone();
    assert_eq!(suspended, json!(["AZRebalance"]), "what was there before");
}
