//! The table of attributes that mean nothing to a way of rolling: every row is refused, and is in
//! the documentation.

use rolling::document::config::{
    RollingDeploymentConfig, RolloutMode, UNSUPPORTED, Unsupported, Values,
};
use rolling::document::{deployment, schema};
use serde_json::{Value, json};

const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0";

/// Returns a deployment that rolls this way, without anything that means nothing there.
fn rolled(way: RolloutMode) -> Value {
    let template = json!({ "id": "lt-1", "version": "2" });
    let target = match way {
        RolloutMode::InstanceRefresh => json!({
            "engine": "instance_refresh",
            "auto_scaling_group": { "name": "web", "launch_template": template },
        }),
        RolloutMode::InPlace => json!({
            "replacement": { "run_command": { "document": "deploy" } },
            "auto_scaling_group": { "name": "web" },
        }),
        RolloutMode::Target(&["target_group"]) => {
            json!({ "target_group": { "arn": ARN, "launch_template": template } })
        }
        RolloutMode::Target(kinds) if kinds[0].starts_with("kubernetes_") => {
            json!({ kinds[0]: { "name": "web", "images": { "app": "web:2" } } })
        }
        RolloutMode::Target(&["elastic_beanstalk_environment"]) => json!({
            "elastic_beanstalk_environment": { "name": "web-prod", "version_label": "v2" },
        }),
        _ => json!({ "simulated_fleet": { "name": "web", "revision": "v2" } }),
    };
    let how = match way {
        RolloutMode::Continuous => {
            json!({ "policy": "rolling", "max_unavailable": 1, "pacing": "continuous" })
        }
        RolloutMode::Policies(names) => json!({ "policy": names[0] }),
        RolloutMode::PoliciesBut(_) => json!({ "policy": "immutable" }),
        _ => json!({ "policy": "rolling", "batch_size_type": "fixed", "batch_size": 1 }),
    };
    let mut all = target;
    all.as_object_mut().expect("all").extend(how.as_object().expect("a policy").clone());
    all
}

/// Returns a value that the row refuses.
fn refused_value(row: &Unsupported) -> Value {
    match (row.values, row.place) {
        (Values::OneOf(names), _) => json!(names[0]),
        (Values::AllBut(_), _) => json!("immutable"),
        (Values::Above(limit), _) => json!(limit + 1),
        (_, "/auto_scaling_group/launch_template" | "/target_group/launch_template") => {
            json!({ "id": "lt-1", "version": "2" })
        }
        (_, "/auto_scaling_group/image_id") => json!("ami-1"),
        (_, "/auto_scaling_group/target_group_arns") => json!([ARN]),
        (_, "/replacement") => json!({ "run_command": { "document": "deploy" } }),
        (_, "/max_surge" | "/max_unavailable" | "/batch_size") => json!(1),
        (_, "/batch_size_type") => json!("fixed"),
        (_, "/engine") => json!("rolling"),
        (_, "/standby_instances") => json!("ignore"),
        (_, "/checkpoints") => json!([{ "percentage": 50 }]),
        (_, "/traffic") => json!({ "new_version_percent": 20 }),
        (_, "/traffic/new_version_percent" | "/traffic/step_percent") => json!(20),
        (_, "/traffic/steps") => json!([{ "percent": 20 }]),
        (_, "/restart") => json!("2026-07-01T12:00:00Z"),
        (_, "/lifecycle_hooks") => json!("wait"),
        (_, "/scale_in_protected_instances") => json!("ignore"),
        (_, "/suspend_processes") => json!(["AZRebalance"]),
        (_, "/traffic/second_target_group_arn") => json!(ARN),
        (_, "/traffic/listener_rule_arns") => json!(["arn"]),
        (_, "/gates/http") => json!({ "url": "http://example.com/" }),
        (_, "/gates/alarms") => json!(["web-5xx"]),
        (_, "/gates/command") => json!({ "run": ["true"] }),
        (_, "/hooks") => json!({ "after_rollout": { "command": { "run": ["true"] } } }),
        (_, "/hooks/after_healthy" | "/hooks/after_batch" | "/hooks/before_deregister") => {
            json!({ "command": { "run": ["true"] } })
        }
        (_, "/record") => json!({ "s3": { "bucket": "bucket", "key": "key" } }),
        (_, place) => value_by_schema(place),
    }
}

/// Returns a value of an attribute whose type is a duration, a number, a flag or a text, by the schema: a
/// new attribute of such a type needs no line in this test.
fn value_by_schema(place: &str) -> Value {
    let schema = serde_json::to_value(schema::<RollingDeploymentConfig>()).expect("a schema");
    let behind = |found: &Value| {
        let options = found["anyOf"].as_array().into_iter().flatten();
        let reference = options.chain([found]).find_map(|it| it["$ref"].as_str());
        reference.map(|path| schema.pointer(path.trim_start_matches('#')).expect("it").clone())
    };
    let mut at = schema.clone();
    let mut is_duration = false;
    for step in place.trim_start_matches('/').split('/') {
        at = at["properties"][step].clone();
        is_duration = at.to_string().contains("#/$defs/Duration");
        at = behind(&at).unwrap_or(at);
    }
    let is = |kind: &str| match &at["type"] {
        Value::Array(kinds) => kinds.iter().any(|found| found == kind),
        found => found == kind,
    };
    match () {
        () if is_duration => json!("1m"),
        () if is("integer") => json!(at["minimum"].as_u64().unwrap_or_default() + 1),
        () if is("boolean") => json!(true),
        () if is("string") && at["enum"].is_null() => json!("text"),
        () => panic!("this test needs a value for {place}"),
    }
}

fn set(document: &mut Value, place: &str, value: Value) {
    let mut steps = place.trim_start_matches('/').split('/').peekable();
    let mut at = document;
    while let Some(step) = steps.next() {
        if steps.peek().is_none() {
            at[step] = value;
            return;
        }
        at = &mut at[step];
    }
}

#[test]
fn every_row_refuses_what_means_nothing_and_nothing_else_does() {
    for row in UNSUPPORTED {
        deployment(&rolled(row.by), "").expect("what is fine");
    }
    for row in UNSUPPORTED {
        let mut document = rolled(row.by);
        if row.place == "/target_group/launch_template" {
            document["auto_scaling_group"] = Value::Null;
            document["target_group"] = json!({ "arn": ARN });
        }
        if ["/policy", "/max_surge", "/max_unavailable"].contains(&row.place) {
            document["batch_size"] = Value::Null;
            document["batch_size_type"] = Value::Null;
        }
        set(&mut document, row.place, refused_value(row));
        let found = deployment(&document, "").expect_err(row.place);
        let is_reported = found.iter().any(|found| {
            found.pointer == row.place
                && found.summary == row.why
                && found.remedy.as_deref() == Some(row.remedy)
        });
        assert!(is_reported, "{} {:?}: {found:?}", row.place, row.by);
    }
}

#[test]
fn a_value_that_asks_for_nothing_is_no_reason_to_refuse() {
    let nothing = [
        ("/pause_between_batches", json!("0s")),
        ("/suspend_processes", json!([])),
        ("/failure_threshold", json!(1)),
        ("/keep_failed_instances", json!(0)),
        ("/on_failure", json!("stop")),
        ("/lifecycle_hooks", json!("wait")),
        ("/pacing", json!("batch")),
        ("/engine", json!("instance_refresh")),
        ("/checkpoints", json!([])),
    ];
    for (place, value) in nothing {
        let mut document = rolled(RolloutMode::InstanceRefresh);
        set(&mut document, place, value);
        deployment(&document, "").expect(place);
    }
}

/// Returns the attribute at a place as people write it: `gates.http`.
fn attribute(place: &str) -> String {
    place.trim_start_matches('/').replace('/', ".")
}

#[test]
fn the_documentation_and_the_schema_have_every_row() {
    let schema = schema::<RollingDeploymentConfig>().to_string();
    let mut table = String::from("| attribute | refused | why |\n|---|---|---|\n");
    for row in UNSUPPORTED {
        let refusal = row.refusal();
        assert!(schema.contains(&refusal), "the schema does not say: {refusal}");
        table += &format!("| `{}` | {refusal} | {} |\n", attribute(row.place), row.why);
    }
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SEMANTICS.md");
    let page = std::fs::read_to_string(&file).expect("the page");
    let (before, after) = page.split_once("<!-- refused: from the code -->\n").expect("the mark");
    let (_, after) = after.split_once("<!-- refused: end -->").expect("its end");
    let wanted =
        format!("{before}<!-- refused: from the code -->\n{table}<!-- refused: end -->{after}");
    if std::env::var_os("ROLLING_UPDATE").is_some() {
        std::fs::write(&file, &wanted).expect("a page");
    }
    let page = std::fs::read_to_string(&file).expect("the page");
    assert!(page == wanted, "ROLLING_UPDATE=1 renews the table in docs/SEMANTICS.md");
}
