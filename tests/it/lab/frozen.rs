//! An engine that is stopped (SIGSTOP) while somebody else is at work, with its record in tags:
//! when it continues it does nothing more.

use serde_json::json;

use crate::emulator::{account, three_at_once};
use crate::lab::localstack::resource;
use crate::lab::promises::start;
use crate::process::{end, signal};

#[test]
fn an_engine_that_was_stopped_does_nothing_more_when_it_continues() {
    // It is stopped after this many of these calls; the commands given meanwhile take turns.
    let moments = [
        ("autoscaling.CreateOrUpdateTags", 2, "abort"),
        ("autoscaling.SuspendProcesses", 1, "apply"),
        ("elbv2.DeregisterTargets", 1, "rollback"),
        ("autoscaling.TerminateInstanceInAutoScalingGroup", 1, "abort"),
        ("elbv2.DeregisterTargets", 2, "apply"),
        ("autoscaling.TerminateInstanceInAutoScalingGroup", 3, "rollback"),
    ];
    three_at_once(moments, |(action, times, command)| {
        let Some(account) = account() else { return };
        let fleet = json!({ "name": "web", "size": 4, "max": 4 });
        let template = account.fleet(fleet, json!({ "boot": 3.0, "register": 1.0 }));
        let wanted = resource(&template, "2");
        let old = start(&account, &wanted);
        account.until_called(action, times);
        signal(old.id(), "-STOP");
        let reply = account.run(command, &wanted);
        assert_eq!(reply.code, 0, "{action} {times}, {command}: {reply:?}");
        let (calls, group) = (account.mutations().len(), account.get("groups/web"));
        signal(old.id(), "-CONT");
        let old = end(old);
        assert_eq!(old.code, 5, "{action} {times}, {command}: {old:?}");
        // Only the call that was on its way cannot be taken back.
        let late = account.mutations().split_off(calls);
        assert!(late.len() <= 1, "{action} {times}, {command}: {late:?}");
        if late.is_empty() {
            assert_eq!(account.get("groups/web")["desired"], group["desired"]);
        }
    });
}
