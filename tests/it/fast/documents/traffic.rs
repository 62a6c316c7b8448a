//! Shifted requests: what a document may say of their steps.

use serde_json::{Value, json};

use super::assert_refused;

fn split(traffic: &Value) -> Value {
    json!({
        "policy": "traffic_splitting", "batch_size": null, "batch_size_type": null,
        "traffic": traffic,
    })
}

#[test]
fn steps_ascend_and_are_given_in_one_way() {
    let steps = json!([{ "percent": 10 }, { "percent": 30 }]);
    for (traffic, place, message) in [
        (json!({ "steps": [{ "percent": 100 }] }), "/traffic/steps/0/percent", "99"),
        (
            json!({ "steps": [{ "percent": 30 }, { "percent": 30 }] }),
            "/traffic/steps/1/percent",
            "must be greater than 30, the previous step",
        ),
        (
            json!({ "steps": steps, "step_percent": 10 }),
            "/traffic/step_percent",
            "steps and step_percent cannot be used together",
        ),
        (
            json!({ "steps": steps, "new_version_percent": 10 }),
            "/traffic/new_version_percent",
            "cannot be used together",
        ),
        (json!({ "step_percent": 0 }), "/traffic/step_percent", "1"),
    ] {
        assert_refused(&split(&traffic), place, message);
    }
}
