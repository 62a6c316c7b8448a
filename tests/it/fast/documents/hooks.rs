//! Hooks and checkpoints that expire: what a document may say of them, and what it comes to.

use std::time::Duration;

use rolling::document::deployment;
use rolling::model::spec::{Expiry, HookPoint, OnHookFailure};
use serde_json::{Value, json};

use super::assert_refused;

fn hooked(name: &str, hook: &Value) -> Value {
    json!({ "hooks": { name: hook } })
}

#[test]
fn hooks_that_mean_nothing_are_refused() {
    let command = json!({ "run": ["true"] });
    let http = json!({ "url": "http://localhost/" });
    let cases = [
        (
            hooked("before_rollout", &json!({})),
            "/hooks/before_rollout",
            "neither command nor http is set",
        ),
        (
            hooked("after_batch", &json!({ "command": command, "http": http })),
            "/hooks/after_batch",
            "both command and http are set",
        ),
        (
            hooked("after_batch", &json!({ "command": { "run": [""] } })),
            "/hooks/after_batch/command/run",
            "the command is empty",
        ),
        (
            hooked("after_batch", &json!({ "http": { "url": "ftp://x" } })),
            "/hooks/after_batch/http/url",
            "must match",
        ),
        (
            hooked("after_batch", &json!({ "command": command, "timeout": "0s" })),
            "/hooks/after_batch/timeout",
            "must be above 0s",
        ),
        (
            hooked("after_batch", &json!({ "command": command, "tries": 0 })),
            "/hooks/after_batch/tries",
            "1",
        ),
        (
            hooked("before_rollback", &json!({ "command": command, "on_failure": "fail" })),
            "/hooks/before_rollback/on_failure",
            "a hook cannot prevent a rollback",
        ),
        (
            hooked("after_rollout", &json!({ "command": command, "on_failure": "pause" })),
            "/hooks/after_rollout/on_failure",
            "a hook cannot change the outcome",
        ),
        (hooked("before_lunch", &json!({})), "/hooks/before_lunch", "before_lunch"),
    ];
    for (changes, place, message) in cases {
        assert_refused(&changes, place, message);
    }
}

#[test]
fn checkpoints_that_expire_say_when_and_how() {
    let checkpoint = |more: Value| {
        let mut checkpoint = json!({ "percentage": 20 });
        checkpoint.as_object_mut().expect("one").extend(more.as_object().expect("more").clone());
        json!({ "checkpoints": [checkpoint] })
    };
    let both = json!({ "expires_after": "1h", "default": "resume", "pause": "1h" });
    for (more, name, message) in [
        (json!({ "expires_after": "1h" }), "expires_after", "default is missing"),
        (json!({ "default": "resume" }), "default", "the checkpoint does not expire"),
        (both, "expires_after", "waits for no decision"),
    ] {
        assert_refused(&checkpoint(more), &format!("/checkpoints/0/{name}"), message);
    }
}

#[test]
fn defaults_are_filled_in() {
    let document = json!({
        "policy": "rolling", "batch_size_type": "fixed", "batch_size": 1,
        "checkpoints": [{ "percentage": 20, "expires_after": "2h", "default": "rollback" }],
        "simulated_fleet": { "name": "web", "revision": "v2" },
        "hooks": {
            "before_deregister": { "command": { "run": ["drain"] } },
            "after_rollout": { "http": { "url": "http://x/y?z" }, "timeout": "10s", "tries": 1 },
        },
    });
    let (_, spec) = deployment(&document, "").expect("a deployment");
    let hook = &spec.hooks.0[&HookPoint::BeforeDeregister];
    let known = (hook.timeout, hook.tries, hook.on_failure);
    assert_eq!(known, (Duration::from_secs(300), 3, OnHookFailure::Fail));
    let hook = &spec.hooks.0[&HookPoint::AfterRollout];
    let known = (hook.timeout, hook.tries, hook.on_failure);
    assert_eq!(known, (Duration::from_secs(10), 1, OnHookFailure::Ignore));
    let expiry = Expiry { after: Duration::from_secs(7200), rolls_back: true };
    assert_eq!(spec.checkpoints[0].expires, Some(expiry));
}
