//! `examples/aws/try-assumptions.py` tries on an account what AWS's documentation leaves open: it
//! runs, finds what the lab assumes, and leaves nothing behind.

use std::process::Command;

use serde_json::json;

use crate::emulator::account;
use crate::lab::moto;
use crate::process;

#[test]
fn the_script_that_tries_what_is_assumed_finds_it_in_the_lab_and_deletes_what_it_made() {
    let Some(account) = account() else { return };
    account.shared();
    account.put("times", json!({ "boot": 0.8, "register": 0.5, "drain": 0.5 }));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/aws/try-assumptions.py");
    let mut command = Command::new(moto::python());
    command
        .arg(script)
        .args(["--region", "us-east-1", "--endpoint-url", account.endpoint])
        .args(["--image", "ami-12345678", "--patience", "30", "--pause", "0.2"])
        .envs([("AWS_ACCESS_KEY_ID", account.id.as_str()), ("AWS_SECRET_ACCESS_KEY", "test")])
        .env("NO_PROXY", "127.0.0.1");
    let ran = process::run(&mut command);
    assert_eq!(ran.code, 0, "{ran:?}");
    let assumptions = include_str!("../../../docs/AWS.md");
    let verdicts: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(verdicts.len(), 6, "{ran:?}");
    for verdict in verdicts {
        let (name, reply) = verdict.split_once(": ").expect("a name");
        assert!(reply.starts_with("holds: ") || reply.starts_with("seen: "), "{verdict}");
        assert!(assumptions.contains(&format!("`{name}`")), "docs/AWS.md does not name {name}");
    }
    let left = ["DeleteAutoScalingGroup", "DeleteWarmPool"]
        .map(|action| account.count(&format!("autoscaling.{action}")));
    assert_eq!(left, [1, 1]);
    for action in
        ["ec2.DeleteLaunchTemplate", "elbv2.DeleteLoadBalancer", "elbv2.DeleteTargetGroup"]
    {
        assert!(account.count(action) >= 1, "{action}");
    }
}
