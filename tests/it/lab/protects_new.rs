//! A group that protects from scale-in whatever it launches, as those of ECS do: what a rollout
//! launched there goes all the same.

use serde_json::json;

use crate::emulator::{account, three_at_once};
use crate::lab::groups::assert_all_on;
use crate::lab::localstack::{bad, resource, times};

#[test]
fn a_bad_revision_that_is_born_protected_is_rolled_back_by_each_rule() {
    three_at_once(["wait", "ignore"], |rule| {
        let Some(account) = account() else { return };
        let template = account.fleet(
            json!({
                "name": "web", "size": 3, "max": 6, "versions": [null, "unhealthy"],
                "new_instances_protected": true,
            }),
            times(),
        );
        account.shared();
        let group = account.get("groups/web");
        let ids = group["instances"].as_object().expect("instances").keys();
        for id in ids {
            account.query(
                "autoscaling",
                &format!(
                    "Version=2011-01-01&Action=SetInstanceProtection&AutoScalingGroupName=web\
                     &InstanceIds.member.1={id}&ProtectedFromScaleIn=false"
                ),
            );
        }
        let mut wanted = bad(resource(&template, "2"));
        wanted["scale_in_protected_instances"] = json!(rule);
        let planned = account.run("plan", &wanted);
        assert!(planned.stdout.contains("protects from scale-in whatever"), "{planned:?}");
        let ran = account.run("apply", &wanted);
        assert_eq!(ran.code, 3, "{rule}: {ran:?}");
        assert_all_on(&account, 3, &format!("{template}:1"));
    });
}
