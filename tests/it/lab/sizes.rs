//! What somebody else sets meanwhile, against AWS's APIs: the size, back to N while a rollout has
//! surge, as the next apply of an infrastructure tool does it, in each phase; and the template.

use serde_json::{Value, json};

use crate::emulator::{Account, account, three_at_once};
use crate::lab::between::between;
use crate::lab::localstack::{assert_as_before, resource, times};
use crate::lab::promises::{Moment, kill, start};
use crate::process::{end, write};

/// Surge is requested; the first old instances are taken out, and gone; surge is given back. The
/// template is the first update of the group, the size the next.
const PHASES: [Moment; 4] = [
    ("autoscaling.UpdateAutoScalingGroup", 2),
    ("elbv2.DeregisterTargets", 1),
    ("autoscaling.TerminateInstanceInAutoScalingGroup", 1),
    ("autoscaling.TerminateInstanceInAutoScalingGroup", 5),
];

fn policies() -> [Value; 3] {
    [
        json!({ "policy": "rolling_with_additional_batch", "batch_size_type": "fixed", "batch_size": 3 }),
        json!({ "policy": "immutable" }),
        json!({ "policy": "rolling", "max_surge": "100%", "max_unavailable": 0 }),
    ]
}

fn wanted(template: &str, policy: &Value) -> Value {
    let mut wanted = resource(template, "2");
    let attributes = wanted.as_object_mut().expect("attributes");
    for name in ["policy", "batch_size", "batch_size_type"] {
        attributes.remove(name);
    }
    attributes.extend(policy.as_object().expect("a policy").clone());
    wanted
}

fn set_desired(account: &Account, size: u32) {
    account.query(
        "autoscaling",
        &format!(
            "Version=2011-01-01&Action=UpdateAutoScalingGroup&AutoScalingGroupName=web\
             &DesiredCapacity={size}"
        ),
    );
}

/// Waits until the group has terminated what is above the smaller size, and has balanced its zones.
fn settle(account: &Account, size: usize) {
    account.until("groups/web", "instances in service, and no others", |group| {
        let instances = group["instances"].as_object().expect("instances");
        let serves = instances.values().all(|instance| instance["lifecycle"] == "InService");
        serves && instances.len() == size
    });
}

#[test]
fn a_size_that_is_set_back_in_any_phase_of_surge_is_what_the_group_ends_with() {
    let stories = policies()
        .into_iter()
        .flat_map(|policy| PHASES.into_iter().map(move |phase| (policy.clone(), phase)));
    three_at_once(stories, |(policy, phase)| {
        let Some(account) = account() else { return };
        let template = account.fleet(json!({ "name": "web", "size": 6, "max": 8 }), times());
        let before = account.get("groups/web");
        let child = start(&account, &wanted(&template, &policy));
        account.until_called(phase.0, phase.1);
        set_desired(&account, 6);
        let ran = end(child);
        assert_eq!(ran.code, 0, "{policy} after {phase:?}: {ran:?}");
        settle(&account, 6);
        assert_as_before(&account, &before, 6, &format!("{template}:2"));
    });
}

#[test]
fn a_size_that_is_set_while_nobody_is_at_work_is_what_the_group_ends_with() {
    three_at_once([6, 4, 8], |size| {
        let Some(account) = account() else { return };
        let template = account.fleet(json!({ "name": "web", "size": 6, "max": 8 }), times());
        let mut before = account.get("groups/web");
        let wanted = wanted(&template, &policies()[0]);
        let child = start(&account, &wanted);
        account.until_called("elbv2.DeregisterTargets", 1);
        kill(child);
        set_desired(&account, size);
        before["desired"] = json!(size);
        let ran = account.run("apply", &wanted);
        assert_eq!(ran.code, 0, "{size}: {ran:?}");
        let size = usize::try_from(size).expect("few");
        settle(&account, size);
        assert_as_before(&account, &before, size, &format!("{template}:2"));
    });
}

/// Somebody sets the template back whenever an instance is about to be terminated, so that its
/// replacement runs the previous version.
#[test]
fn launches_on_another_version_end_the_rollout_after_one_batch() {
    let Some(account) = account() else { return };
    let template = account.fleet(json!({ "name": "web", "size": 6 }), times());
    let mut wanted = resource(&template, "2");
    (wanted["batch_size_type"], wanted["batch_size"]) = (json!("fixed"), json!(2));
    let document = json!({ "resource": { "rolling_deployment": { "web": wanted } } });
    let file = write(account.folder.path(), &document);
    let back = format!(
        "Action=UpdateAutoScalingGroup&Version=2011-01-01&AutoScalingGroupName=web&\
         LaunchTemplate.LaunchTemplateId={template}&LaunchTemplate.Version=1"
    );
    let ran = between(account.rolling().arg("apply").arg(file), account.endpoint, |request| {
        if request.contains("Action=TerminateInstanceInAutoScalingGroup") {
            account.query("autoscaling", &back);
        }
    });
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stdout.contains("the template is"), "{ran:?}");
    let group = account.get("groups/web");
    let instances = group["instances"].as_object().expect("instances");
    let live = instances.values().filter(|instance| instance["lifecycle"] == "InService");
    let revisions: Vec<&str> = live.filter_map(|instance| instance["revision"].as_str()).collect();
    assert_eq!(revisions.len(), 6, "{group}");
    assert!(revisions.iter().all(|runs| runs.ends_with(":1") || *runs == "1"), "{revisions:?}");
    assert_eq!(account.count("autoscaling.TerminateInstanceInAutoScalingGroup"), 2, "one batch");
    assert!(group["suspended"].as_array().is_none_or(Vec::is_empty), "{group}");
}
