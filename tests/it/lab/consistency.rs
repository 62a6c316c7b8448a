//! The same rollouts where changes show late: for seconds no read shows what is new or changed, as
//! it happens on AWS.

use serde_json::{Value, json};

use crate::emulator::{Account, account};
use crate::lab::instances;
use crate::lab::localstack::{
    assert_as_before, assert_drained_before_terminated, ids, least_serving, report, resource, times,
};

/// Seconds of the lab: fifteen times as long as its instances boot.
const UNSEEN: f64 = 6.0;

impl Account {
    fn shows_nothing_at_once(&self) {
        let mut times = times();
        times["unseen"] = json!(UNSEEN);
        self.put("times", times);
        self.put("faults", json!([{ "kind": "lag", "seconds": UNSEEN }]));
    }
}

fn ten(versions: Value) -> Value {
    json!({ "name": "web", "size": 10, "min": 5, "max": 20, "versions": versions })
}

#[test]
fn a_version_and_its_profile_made_a_moment_ago_are_waited_for_and_rolled_as_ever() {
    let Some(account) = account() else { return };
    let template = account.fleet(ten(json!([null, null])), times());
    let before = account.get("groups/web");
    account.shows_nothing_at_once();
    // Planned before the version is made, which looks as if it did not show yet, so that the result
    // does not depend on timing.
    let planned = account.run("plan", &resource(&template, "3"));
    assert_eq!(planned.code, 2, "a plan does not wait: {planned:?}");
    assert!(planned.stdout.contains("has versions 1 to 2"), "{planned:?}");
    // A version that cannot have been made a moment ago is not waited for.
    let never = account.run("apply", &resource(&template, "7"));
    assert_eq!(never.code, 2, "{never:?}");

    let form = format!(
        "Version=2016-11-15&Action=CreateLaunchTemplateVersion&LaunchTemplateId={template}\
         &LaunchTemplateData.ImageId=ami-00000003&LaunchTemplateData.InstanceType=t3.micro\
         &LaunchTemplateData.IamInstanceProfile.Name=new"
    );
    account.query("ec2", &form);
    account.foreign();
    let ran = account.run("apply", &resource(&template, "3"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("it may have been created just now"), "{ran:?}");
    assert!(
        ran.stdout.contains("Invalid IAM Instance Profile name"),
        "it was tried again: {ran:?}"
    );
    account.put("faults", json!([]));
    assert_as_before(&account, &before, 10, &format!("{template}:3"));
    let timeline = account.timeline();
    assert!(least_serving(&before, &timeline) >= 7);
    assert_drained_before_terminated(&timeline);
    assert_eq!(ids(&timeline, "launched").len(), 10);
}

#[test]
fn a_rollback_ends_as_ever_where_nothing_shows_at_once() {
    let Some(account) = account() else { return };
    let template = account.fleet(ten(json!([null, "unhealthy"])), times());
    let before = account.get("groups/web");
    account.shows_nothing_at_once();
    let mut wanted = resource(&template, "2");
    wanted["health"]["healthy_timeout"] = json!("30s");
    let ran = account.run("apply", &wanted);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(report(&ran)["borrowed"], json!([]));
    account.put("faults", json!([]));
    assert_as_before(&account, &before, 10, &format!("{template}:1"));
    let timeline = account.timeline();
    assert!(least_serving(&before, &timeline) >= 7);
    assert_eq!(ids(&timeline, "launched").len(), 6, "three that fail, and three in their place");
}

#[test]
fn unmanaged_instances_are_replaced_once_each_where_nothing_shows_at_once() {
    let Some(account) = account() else { return };
    let made = account.make("plain", instances::instances(6, json!([null, null])), times());
    let before = account.get(instances::WEB);
    account.shows_nothing_at_once();
    let ran = account.run("apply", &instances::resource(&made, "2"));
    assert_eq!(ran.code, 0, "{ran:?}");
    account.put("faults", json!([]));
    account.put("times", json!({ "unseen": 0 }));
    instances::assert_as_before(&account, &before, "2");
    let timeline = account.timeline();
    assert_eq!(ids(&timeline, "launched").len(), 6);
    assert_eq!(ids(&timeline, "terminating").len(), 6);
    assert_drained_before_terminated(&timeline);
    assert!(least_serving(&before, &timeline) >= 4);
}
