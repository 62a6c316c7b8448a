//! Elastic Beanstalk environments on the lab: deployed by every policy, bad versions, aborts, somebody
//! else's updates, and followers that are killed.

mod commands;
mod ends;
mod front_ends;
mod interrupted;
mod others;
mod rollbacks;

pub use interrupted::called;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::emulator::{Account, account, three_at_once};
use crate::lab::localstack::report;
use crate::process::{self, Ran};

const UPDATE: &str = "elasticbeanstalk.UpdateEnvironment";

/// Short times, in the lab's own.
fn times() -> Value {
    json!({
        "eb_deploy": 1, "eb_settings": 1, "eb_cleanup": 0.5, "eb_health": 0.5, "boot": 0.5,
        "register": 0.25, "drain": 0.25, "eb_timeout": 8, "eb_evaluation": 2,
    })
}

/// A document that deploys `label` by `policy`.
fn wanted(policy: &Value, label: &str) -> Value {
    let mut wanted = json!({
        "poll_interval": "250ms",
        "elastic_beanstalk_environment": { "name": "web-prod", "version_label": label },
    });
    let fields = wanted.as_object_mut().expect("an object");
    fields.extend(policy.as_object().expect("a policy").clone());
    wanted
}

/// The pattern's own words.
fn thirty_percent() -> Value {
    json!({ "policy": "Rolling", "batch_size_type": "Percentage", "batch_size": 30 })
}

/// Makes an environment of `size`, with these options of its own.
fn environment(account: &Account, size: u32, options: &Value) {
    let versions = [
        "v2",
        "v2-bad",
        "v2-bad2",
        "v2-unhealthy",
        "v2-slow",
        "v2-late",
        "v2-hang",
        "v3",
        "v3-bad2",
    ];
    account.make(
        "environment",
        json!({
            "name": "web-prod", "size": size, "version": "v1", "versions": versions,
            "option_settings": options,
        }),
        times(),
    );
}

/// The option that an Application Load Balancer has.
fn with_balancer() -> Value {
    json!([{
        "Namespace": "aws:elasticbeanstalk:environment", "OptionName": "LoadBalancerType",
        "Value": "application",
    }])
}

/// Returns how many instances run each version.
fn versions(account: &Account) -> std::collections::BTreeMap<String, usize> {
    let mut all = std::collections::BTreeMap::new();
    let shown = account.get("environments/web-prod");
    for instance in shown["instances"].as_object().expect("instances").values() {
        *all.entry(instance["revision"].as_str().unwrap_or("?").to_owned()).or_default() += 1;
    }
    all
}

fn sizes(account: &Account) -> Vec<usize> {
    let shown = account.get("environments/web-prod");
    let batches = shown["batches"].as_array().expect("batches").iter();
    batches.map(|batch| batch["instances"].as_array().expect("instances").len()).collect()
}

fn events(ran: &Ran, kind: &str) -> Vec<Value> {
    let events = ran.lines().into_iter().map(|line| line["event"].clone());
    events.filter(|event| event["type"] == kind).collect()
}

fn steps(ran: &Ran) -> Vec<Value> {
    events(ran, "delegated_rollout").iter().map(|event| event["step"].clone()).collect()
}

fn why(ran: &Ran) -> String {
    report(ran)["reason"].as_str().unwrap_or_else(|| panic!("no reason: {ran:?}")).to_owned()
}

#[test]
fn the_options_of_the_pattern_roll_ten_in_batches_of_three() {
    let Some(account) = account() else { return };
    environment(&account, 10, &json!([]));
    let wanted = wanted(&thirty_percent(), "v2");
    let planned = account.run("plan", &wanted);
    assert_eq!(planned.code, 0, "{planned:?}");
    let plan = &planned.lines()[0]["resources"][0]["plan"];
    let batches: Vec<&Value> =
        plan["batches"].as_array().expect("batches").iter().map(|it| &it["at_most"]).collect();
    assert_eq!(batches, [3, 3, 3, 1], "{plan}");
    assert_eq!((&plan["floor"], &plan["ceiling"]), (&json!(7), &json!(10)));
    let told = plan["delegated_rollout"]["settings"].to_string();
    assert!(told.contains("sets DeploymentPolicy to Rolling (is AllAtOnce)"), "{told}");
    assert_eq!(account.count(UPDATE), 0, "a plan changes nothing");

    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(steps(&ran), ["started"]);
    assert_eq!(sizes(&account), [3, 3, 3, 1]);
    let shown = account.get("environments/web-prod");
    assert_eq!(shown["least_serving"], 7, "{shown}");
    // The options, and then the version alone.
    let calls = account.parameters("UpdateEnvironment");
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(
        calls[0]["VersionLabel"].is_null() && calls[1]["OptionSettings"].is_null(),
        "{calls:?}"
    );
    assert_eq!(calls[1]["VersionLabel"], "v2");
    let instances = report(&ran)["instances"].as_array().expect("instances").clone();
    assert!(instances.iter().all(|it| it["revision"] == "v2" && it["serves"] == true), "{ran:?}");

    let again = account.run("apply", &wanted);
    assert_eq!((again.code, account.count(UPDATE)), (0, 2), "{again:?}");
    // The options are the environment's own from here on.
    let third = account.run("apply", &self::wanted(&thirty_percent(), "v3"));
    assert_eq!((third.code, account.count(UPDATE)), (0, 3), "{third:?}");
    assert_eq!(account.violations(), Vec::<String>::new());
}

#[test]
fn every_policy_of_elastic_beanstalk_deploys() {
    if account().is_none() {
        return;
    }
    let cases = [
        (json!({ "policy": "AllAtOnce" }), vec![4], 0, 4),
        (
            json!({ "policy": "Rolling", "batch_size_type": "Fixed", "batch_size": 3 }),
            vec![3, 1],
            1,
            4,
        ),
        (
            json!({
                "policy": "RollingWithAdditionalBatch", "batch_size_type": "Fixed",
                "batch_size": 2,
            }),
            // The additional batch, and the fleet.
            vec![2, 2, 2],
            4,
            6,
        ),
        (json!({ "policy": "Immutable" }), vec![1, 3], 4, 8),
        (
            json!({
                "policy": "TrafficSplitting",
                "traffic": { "new_version_percent": 25, "evaluation_time": "5m" },
            }),
            vec![4],
            4,
            8,
        ),
    ];
    three_at_once(cases, |(policy, sizes, least, most)| {
        let Some(account) = account() else { return };
        environment(&account, 4, &with_balancer());
        let wanted = wanted(&policy, "v2");
        let planned = account.run("plan", &wanted);
        let plan = &planned.lines()[0]["resources"][0]["plan"];
        assert_eq!((&plan["floor"], &plan["ceiling"]), (&json!(least), &json!(most)), "{plan}");
        let ran = account.run("apply", &wanted);
        assert_eq!(ran.code, 0, "{policy}: {ran:?}");
        assert_eq!(versions(&account), [("v2".to_owned(), 4)].into(), "{policy}");
        assert_eq!(report(&ran)["size"], 4, "{policy}: {ran:?}");
        let shown = account.get("environments/web-prod");
        assert!(shown["least_serving"].as_u64() >= Some(least), "{policy}: {shown}");
        assert!(shown["most_instances"].as_u64() <= Some(most), "{policy}: {shown}");
        let batches: Vec<usize> = self::sizes(&account);
        assert_eq!(batches.iter().sum::<usize>(), sizes.iter().sum::<usize>(), "{policy}");
        assert_eq!(account.violations(), Vec::<String>::new());
    });
}

/// The lab has its own tests, held to botocore's model: they need a lab that is faster than this one.
#[test]
fn the_labs_own_tests_pass() {
    let Some(_) = account() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/localstack/test_beanstalk.py");
    let ran = process::run(Command::new("python3").arg(script).env_remove("ROLLING_TEST_ENDPOINT"));
    assert_eq!(ran.code, 0, "{ran:?}");
}
