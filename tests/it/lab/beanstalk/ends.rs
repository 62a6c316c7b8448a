//! Updates that end badly, and what is said and done about it.

use serde_json::{Value, json};

use super::commands::rolling;
use super::interrupted::outcome;
use super::{
    UPDATE, environment, steps, thirty_percent, times, versions, wanted, why, with_balancer,
};
use crate::emulator::{account, three_at_once};
use crate::lab::localstack::report;

#[test]
fn a_bad_version_in_place_is_taken_back_by_deploying_the_completed_one() {
    if account().is_none() {
        return;
    }
    let cases = [
        (rolling(2), "v2-bad", "old"),
        (rolling(2), "v2-bad2", "new"),
        (json!({ "policy": "AllAtOnce" }), "v2-bad", "new"),
    ];
    three_at_once(cases, |(policy, label, after)| {
        let Some(account) = account() else { return };
        environment(&account, 4, &json!([]));
        let mut all = times();
        all["label_after_failure"] = json!(after);
        // Events may show later than the end, and before the health does.
        all["eb_events"] = json!(if after == "old" { 2 } else { 0 });
        all["eb_health"] = json!(3);
        account.put("times", all);
        let ran = account.run("apply", &wanted(&policy, label));
        assert_eq!(ran.code, 3, "{policy} {label}: {ran:?}");
        let reason = why(&ran);
        assert!(reason.contains("Command failed on instance"), "{reason}");
        assert!(reason.contains("Return code: 1"), "{reason}");
        assert_eq!(steps(&ran), ["started", "started"], "{policy} {label}");
        assert_eq!(versions(&account), [("v1".to_owned(), 4)].into(), "{policy} {label}");
        let run = report(&ran);
        assert_eq!(run["completed"], "v1", "{run}");
        assert_eq!(account.violations(), Vec::<String>::new());
    });
}

#[test]
fn with_stop_a_mixed_environment_stays_and_the_next_plan_shows_it() {
    let Some(account) = account() else { return };
    environment(&account, 4, &json!([]));
    let mut wanted = wanted(
        &json!({ "policy": "Rolling", "batch_size_type": "Fixed", "batch_size": 1 }),
        "v2-bad2",
    );
    wanted["on_failure"] = json!("stop");
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(why(&ran).contains("Failed to deploy application."), "{ran:?}");
    assert!(versions(&account).len() > 1, "{:?}", versions(&account));
    let planned = account.run("plan", &wanted);
    let plan = &planned.lines()[0]["resources"][0]["plan"];
    assert_eq!(plan["changes"], true, "{plan}");
    let status = account.run("status", &wanted);
    assert!(status.stdout.contains("v1"), "{status:?}");
    // Nothing is under way, and the completed version is deployed again all the same.
    let back = account.run("rollback", &wanted);
    assert_eq!((back.code, outcome(&back)), (0, json!("rolled_back")), "{back:?}");
    assert_eq!(versions(&account), [("v1".to_owned(), 4)].into());
    let idle = account.run("rollback", &wanted);
    assert!(idle.code == 2 && idle.stdout.contains("no rollout to roll back"), "{idle:?}");
}

#[test]
fn what_elastic_beanstalk_takes_back_by_itself_is_told_as_rolled_back() {
    if account().is_none() {
        return;
    }
    let cases = [
        ("Immutable", "v2-bad", "new"),
        ("Immutable", "v2-unhealthy", "old"),
        ("TrafficSplitting", "v2-bad", "new"),
        ("TrafficSplitting", "v2-bad", "old"),
    ];
    three_at_once(cases, |(policy, label, meanwhile)| {
        let Some(account) = account() else { return };
        environment(&account, 3, &with_balancer());
        let mut all = times();
        all["label_meanwhile"] = json!(meanwhile);
        account.put("times", all);
        let ran = account.run("apply", &wanted(&json!({ "policy": policy }), label));
        assert_eq!(ran.code, 3, "{policy} {label}: {ran:?}");
        assert_eq!(steps(&ran), ["started"], "{policy} {label}");
        assert_eq!(versions(&account), [("v1".to_owned(), 3)].into(), "{policy} {label}");
        assert_eq!(account.count(UPDATE), 2, "the options, and the version once");
    });
}

#[test]
fn a_timeout_is_told_by_what_the_instances_run() {
    let Some(account) = account() else { return };
    environment(&account, 2, &json!([]));
    let all = json!({ "policy": "AllAtOnce", "on_failure": "stop" });
    // The command outlives its timeout, and ends well on each instance: Elastic Beanstalk expects the
    // version before all the same, so it is no success.
    let ran = account.run("apply", &wanted(&all, "v2-late"));
    assert_eq!(ran.code, 1, "{ran:?}");
    let reason = why(&ran);
    assert!(reason.contains("timed out") || reason.contains("timeout"), "{reason}");
    let instances = report(&ran)["instances"].clone();
    let runs: Vec<&Value> =
        instances.as_array().expect("instances").iter().map(|it| &it["revision"]).collect();
    assert_eq!(runs, [&Value::Null, &Value::Null], "{ran:?}");
    assert!(instances.to_string().contains("Incorrect application version"), "{instances}");
    let again = account.run("apply", &wanted(&json!({ "policy": "AllAtOnce" }), "v3"));
    assert_eq!(again.code, 0, "{again:?}");
}

#[test]
fn what_no_update_gets_past_is_refused_by_its_attribute() {
    let Some(account) = account() else { return };
    environment(&account, 2, &json!([]));
    let place = "/elastic_beanstalk_environment/version_label";
    let rolling = thirty_percent();
    account.assert_refused(&wanted(&rolling, "v9"), place, "has no version");
    // What only Elastic Beanstalk knows, it is asked before anything is changed.
    let large = json!({ "policy": "Rolling", "batch_size_type": "Fixed", "batch_size": 10_001 });
    account.assert_refused(&wanted(&large, "v2"), "/batch_size", "maximum allowed value: 10000");
    let split = json!({ "policy": "TrafficSplitting" });
    account.make(
        "environment",
        json!({ "name": "classic", "option_settings": [{
            "Namespace": "aws:elasticbeanstalk:environment", "OptionName": "LoadBalancerType",
            "Value": "classic",
        }], "versions": ["v2"] }),
        times(),
    );
    let mut classic = wanted(&split, "v2");
    classic["elastic_beanstalk_environment"]["name"] = json!("classic");
    account.assert_refused(&classic, "/policy", "no Application Load Balancer");
    let mut missing = wanted(&rolling, "v2");
    missing["elastic_beanstalk_environment"]["name"] = json!("nothing");
    let place = "/elastic_beanstalk_environment/name";
    account.assert_refused(&missing, place, "does not exist");
    account.make("environment", json!({ "name": "basic", "health": "basic" }), times());
    missing["elastic_beanstalk_environment"]["name"] = json!("basic");
    account.assert_refused(&missing, place, "basic health reporting");
    account.make(
        "environment",
        json!({
            "name": "single", "size": 1, "environment_type": "SingleInstance", "versions": ["v2"],
        }),
        times(),
    );
    let mut single = wanted(&rolling, "v2");
    single["elastic_beanstalk_environment"]["name"] = json!("single");
    account.assert_refused(&single, "/policy", "a single instance");
    assert_eq!(account.count(UPDATE), 0);
}
