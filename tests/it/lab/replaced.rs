//! Which instances are replaced, and where first: restarts, by the launch times that EC2 reports, and
//! zones, one after the other. On LocalStack.

use std::collections::BTreeSet;
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use crate::emulator::{Account, account};
use crate::lab::localstack::{
    assert_as_before, assert_drained_before_terminated, ids, least_serving, report, resource, times,
};

fn live(account: &Account) -> BTreeSet<String> {
    let group = account.get("groups/web");
    let instances = group["instances"].as_object().expect("instances");
    let live = instances.iter().filter(|(_, instance)| instance["lifecycle"] == "InService");
    live.map(|(id, _)| id.clone()).collect()
}

fn restart(template: &str, account: &Account) -> Value {
    let now = humantime::format_rfc3339_millis(UNIX_EPOCH + account.now());
    let mut restart = resource(template, "1");
    restart["restart"] = json!(now.to_string());
    restart
}

#[test]
fn a_restart_replaces_a_group_of_ten_and_applied_again_nothing() {
    let Some(account) = account() else { return };
    let template = account.fleet(json!({ "name": "web", "size": 10, "max": 13 }), times());
    let restart = restart(&template, &account);
    let (before, old) = (account.get("groups/web"), live(&account));
    let ran = account.run("apply", &restart);
    assert_eq!(ran.code, 0, "{ran:?}");
    let new = live(&account);
    assert!(new.len() == 10 && new.is_disjoint(&old), "{new:?} instead of {old:?}");
    assert_as_before(&account, &before, 10, &format!("{template}:1"));
    let timeline = account.timeline();
    assert!(least_serving(&before, &timeline) >= 7);
    assert_drained_before_terminated(&timeline);
    let again = account.run("apply", &restart);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(report(&again)["batches"], 0, "{again:?}");
    assert_eq!(live(&account), new);
    assert_eq!(account.count("autoscaling.TerminateInstanceInAutoScalingGroup"), 10, "each once");
}

#[test]
fn a_restart_with_a_warm_pool_is_refused() {
    let Some(account) = account() else { return };
    let pool = json!({ "MinSize": 2, "PoolState": "Stopped" });
    let fleet = json!({ "name": "web", "size": 2, "max": 4, "warm_pool": pool });
    let template = account.fleet(fleet, times());
    let ran = account.run("plan", &restart(&template, &account));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stdout.contains("/rolling_deployment/web/restart"), "{ran:?}");
    assert!(ran.stdout.contains("has a warm pool"), "{ran:?}");
}

#[test]
fn one_zone_is_finished_before_the_next_begins() {
    let Some(account) = account() else { return };
    let template = account.fleet(json!({ "name": "web", "size": 9, "max": 9 }), times());
    let before = account.get("groups/web");
    let zone = |id: &String| before["instances"][id]["zone"].as_str().expect("a zone").to_owned();
    let mut one_by_one = resource(&template, "2");
    one_by_one["zones"] = json!("one_by_one");
    let ran = account.run("apply", &one_by_one);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_as_before(&account, &before, 9, &format!("{template}:2"));
    let timeline = account.timeline();
    let zones: Vec<String> = ids(&timeline, "draining").iter().map(zone).collect();
    assert_eq!(zones.len(), 9, "{zones:?}");
    assert!(zones.is_sorted() && zones.first() != zones.last(), "{zones:?}");
    assert!(least_serving(&before, &timeline) >= 7);
}
