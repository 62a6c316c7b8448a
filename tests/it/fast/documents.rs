//! Bad documents: one clear error that names the place, exit 2, and no cloud is asked.

use std::path::Path;

use serde_json::{Value, json};

use crate::process::{self, rolling, run};

fn simulated() -> Value {
    json!({
        "policy": "rolling", "batch_size_type": "percentage", "batch_size": 30,
        "simulated_fleet": { "name": "web", "revision": "v2" },
    })
}

fn group() -> Value {
    json!({ "name": "web", "launch_template": { "id": "lt-1", "version": "2" } })
}

fn document(resource: &Value) -> Value {
    json!({ "resource": { "rolling_deployment": { "web": resource } } })
}

/// Applies `text` and returns the single line of what is wrong, after seeing to it that nothing
/// was begun.
fn refused(text: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("web.tf.json");
    std::fs::write(&file, text).expect("a document");
    let ran = run(rolling().current_dir(folder.path()).arg("apply").arg("web.tf.json"));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert_eq!(ran.stdout, "");
    assert!(!folder.path().join(".rolling").exists(), "a fleet was made");
    let errors = ran.stderr.lines().filter(|line| line.contains("error"));
    assert_eq!(errors.count(), 1, "{}", ran.stderr);
    ran.stderr
}

/// A group whose instances are updated in place.
fn in_place(replacement: Value, more: Value) -> Value {
    let mut all = json!({
        "simulated_fleet": null, "auto_scaling_group": { "name": "web" },
        "replacement": replacement,
    });
    all.as_object_mut().expect("all").extend(more.as_object().expect("more").clone());
    all
}

fn deploys() -> Value {
    json!({ "run_command": { "document": "deploy" } })
}

/// Sets attributes of the simulated deployment (null removes) and expects `place` and `words`.
fn assert_refused(changes: &Value, place: &str, message: &str) {
    let mut resource = simulated();
    for (name, value) in changes.as_object().expect("an object") {
        let attributes = resource.as_object_mut().expect("an object");
        if value.is_null() {
            attributes.remove(name);
        } else {
            attributes.insert(name.clone(), value.clone());
        }
    }
    let reply = refused(&document(&resource).to_string());
    let place = format!("error at /resource/rolling_deployment/web{place}: ");
    assert!(reply.contains(&place), "{reply}");
    assert!(reply.contains(message), "{reply}");
}

#[test]
fn each_bad_attribute_is_named_with_its_place_and_a_way_out() {
    let bounds =
        |surge: Value| json!({ "batch_size": null, "batch_size_type": null, "max_surge": surge });
    let events = |event: Value| {
        let fleet = json!({ "name": "web", "revision": "v2", "events": [event] });
        json!({ "simulated_fleet": fleet })
    };
    let cases = [
        (json!({ "batch_size_type": null, "max_surge": 2 }), "/batch_size", "exclude each other"),
        (bounds(json!("120%")), "/max_surge", "from 0% to 100%"),
        (bounds(json!("a lot")), "/max_surge", "must match"),
        (bounds(json!(-1)), "/max_surge", "must be"),
        (
            json!({ "policy": "immutable", "batch_size_type": null }),
            "/batch_size",
            "the policy immutable has no batches",
        ),
        (
            json!({ "policy": "rolling_with_additional_batch", "max_unavailable": 1 }),
            "/max_unavailable",
            "sets its own bounds",
        ),
        (
            json!({ "pacing": "continuous", "pause_between_batches": "1m" }),
            "/pause_between_batches",
            "no batches to pause between",
        ),
        (
            json!({ "checkpoints": [{ "percentage": 50 }, { "percentage": 20 }] }),
            "/checkpoints/1/percentage",
            "must be above 50",
        ),
        (
            json!({ "checkpoints": [{ "percentage": 100 }] }),
            "/checkpoints/0/percentage",
            "at most 99",
        ),
        (events(json!({ "after": "30s" })), "/simulated_fleet/events/0", "nothing happens"),
        (
            events(json!({ "after": "30s", "terminate": [] })),
            "/simulated_fleet/events/0",
            "nothing happens",
        ),
        (
            events(json!({ "after": "30s", "terminate": ["i-0001", "web-1"] })),
            "/simulated_fleet/events/0/terminate/1",
            "i-0001 and so on",
        ),
        (
            events(json!({ "after": "30s", "throttle": "0s" })),
            "/simulated_fleet/events/0/throttle",
            "longer than nothing",
        ),
        (events(json!({ "reclaim": 1 })), "/simulated_fleet/events/0", "\"after\" is missing"),
        (
            events(json!({ "after": "30s", "min_size": 3, "max_size": 2 })),
            "/simulated_fleet/events/0/min_size",
            "is above max_size",
        ),
        (json!({ "failure_threshold": 0 }), "/failure_threshold", "must be at least 1"),
        (json!({ "on_failure": "rolback" }), "/on_failure", "did you mean \"rollback\"?"),
        (json!({ "standby_instances": "wat" }), "/standby_instances", "did you mean \"wait\"?"),
        (json!({ "batch_sise": 3 }), "/batch_sise", "did you mean \"batch_size\"?"),
        (json!({ "policy": "rollin" }), "/policy", "did you mean \"rolling\"?"),
        (json!({ "policy": null }), "", "\"policy\" is missing"),
        (json!({ "batch_size": 0 }), "/batch_size", "must be at least 1, is 0"),
        (json!({ "batch_size": 101 }), "/batch_size", "from 1 to 100, is 101"),
        (json!({ "batch_size_type": "fixed", "batch_size": 0 }), "/batch_size", "at least 1"),
        (json!({ "batch_size": "3" }), "/batch_size", "must be a whole number, is string \"3\""),
        (json!({ "batch_size": 2.5 }), "/batch_size", "must be a whole number"),
        (json!({ "batch_size": -1 }), "/batch_size", "must be at least 1, is -1"),
        (json!({ "batch_size": null }), "", "\"batch_size\" is missing"),
        (json!({ "simulated_fleet": null }), "", "there is no target"),
        (
            json!({ "auto_scaling_group": group() }),
            "",
            "auto_scaling_group and simulated_fleet are more than one target",
        ),
        (
            json!({ "policy": "AllAtOnce", "batch_size_type": null }),
            "/batch_size",
            "the policy all_at_once has no batches",
        ),
        (
            json!({ "health": { "healthy_timeout": "ten" } }),
            "/health/healthy_timeout",
            "write for instance 30s, 10m or 1h30m",
        ),
        (json!({ "health": { "healthy_timeout": "0s" } }), "/health/healthy_timeout", "longer"),
        (json!({ "poll_interval": "1ms" }), "/poll_interval", "from 100ms to 1m"),
        // Sums of such times are more than a clock can show.
        (
            json!({ "health": { "healthy_timeout": "290000000000y" } }),
            "/health/healthy_timeout",
            "365d at most",
        ),
        (json!({ "pause_between_batches": "366d" }), "/pause_between_batches", "longer than 365d"),
        (json!({ "on_failure": "${var.x}" }), "/on_failure", "is an expression"),
        (
            json!({ "simulated_fleet": { "name": "../../etc", "revision": "v2" } }),
            "/simulated_fleet/name",
            "must match",
        ),
        (
            json!({ "simulated_fleet": { "name": "web", "revision": "v2", "zones": 0 } }),
            "/simulated_fleet/zones",
            "at least 1",
        ),
        (
            json!({ "simulated_fleet": null, "auto_scaling_group": {
                "name": "web", "launch_template": { "version": "2" } } }),
            "/auto_scaling_group/launch_template",
            "neither id nor name",
        ),
        (
            json!({ "simulated_fleet": null, "auto_scaling_group": {
                "name": "web", "launch_template": { "id": "lt-1", "version": "newest" } } }),
            "/auto_scaling_group/launch_template/version",
            "must match",
        ),
        (json!({ "gates": { "command": { "run": [] } } }), "/gates/command/run", "no program"),
        (json!({ "gates": { "http": { "url": "ftp://x" } } }), "/gates/http/url", "must match"),
        (
            json!({ "pacing": "continuous", "gates": { "command": { "run": ["true"] } } }),
            "/gates/command",
            "after each batch",
        ),
        (
            json!({ "record": { "s3": { "bucket": "b-1", "key": "k" } } }),
            "/record",
            "a simulated fleet keeps its record itself",
        ),
        (
            json!({ "record": { "s3": { "bucket": "s3://b", "key": "k" } } }),
            "/record/s3/bucket",
            "must match",
        ),
        (
            json!({ "record": { "s3": { "bucket": "b-1", "key": "" } } }),
            "/record/s3/key",
            "must not be empty",
        ),
        (json!({ "record": {} }), "/record", "\"s3\" is missing"),
        (
            json!({ "replacement": { "run_command": { "document": "deploy" } } }),
            "/replacement",
            "simulated instances are not updated in place",
        ),
        (in_place(json!({}), json!({})), "/replacement", "there is no way to update"),
        (
            in_place(
                json!({ "run_command": { "document": "d" },
                "replace_root_volume": { "image_id": "ami-1" } }),
                json!({}),
            ),
            "/replacement",
            "updated in two ways",
        ),
        (
            in_place(json!({ "run_command": { "document": "d", "version": "newest" } }), json!({})),
            "/replacement/run_command/version",
            "must match",
        ),
        (
            in_place(deploys(), json!({ "policy": "rolling_with_additional_batch" })),
            "/policy",
            "this policy launches instances",
        ),
        (
            in_place(deploys(), json!({ "keep_failed_instances": 1 })),
            "/keep_failed_instances",
            "stays where it is",
        ),
        (
            in_place(deploys(), json!({ "standby_instances": "refresh" })),
            "/standby_instances",
            "is not updated in place",
        ),
        (
            in_place(deploys(), json!({ "auto_scaling_group": group()})),
            "/auto_scaling_group/launch_template",
            "nothing is launched",
        ),
        (
            json!({ "simulated_fleet": null, "auto_scaling_group": { "name": "web" } }),
            "/auto_scaling_group",
            "\"launch_template\" is missing",
        ),
        (
            json!({ "simulated_fleet": null, "auto_scaling_group": {
                "name": "web", "image_id": "ami-1",
                "launch_template": { "id": "lt-1", "version": "2" } } }),
            "/auto_scaling_group/image_id",
            "exclude each other",
        ),
        (json!({ "suspend_processes": ["Launch"] }), "/suspend_processes/0", "known are"),
    ];
    for (changes, place, message) in cases {
        assert_refused(&changes, place, message);
    }
}

#[test]
fn what_an_instance_refresh_has_no_setting_for_is_refused_by_name() {
    let group = |more: Value| {
        let mut group = group();
        group.as_object_mut().expect("a group").extend(more.as_object().expect("more").clone());
        json!({ "simulated_fleet": null, "auto_scaling_group": group })
    };
    let arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0";
    let template = json!({ "id": "lt-1", "version": "2" });
    let bounds = json!({
        "batch_size": null, "batch_size_type": null, "max_surge": "60%", "max_unavailable": "50%",
    });
    let pauses = |first: &str, second: &str| {
        json!({ "checkpoints": [
            { "percentage": 20, "pause": first }, { "percentage": 50, "pause": second },
        ] })
    };
    let alarms: Vec<String> = (0..11).map(|number| format!("alarm-{number}")).collect();
    let cases = [
        (
            json!({ "auto_scaling_group": null,
                "simulated_fleet": { "name": "web", "revision": "v2" } }),
            "/simulated_fleet",
            "only Auto Scaling groups",
        ),
        (
            json!({ "auto_scaling_group": null,
                "target_group": { "arn": arn, "launch_template": template } }),
            "/target_group",
            "only Auto Scaling groups",
        ),
        (
            group(json!({ "target_group_arns": [arn] })),
            "/auto_scaling_group/target_group_arns",
            "the group's own health checks",
        ),
        (
            json!({ "policy": "blue_green", "batch_size": null, "batch_size_type": null,
                "traffic": { "second_target_group_arn": arn, "listener_rule_arns": ["arn"] } }),
            "/policy",
            "shifts no requests",
        ),
        (
            json!({ "auto_scaling_group": { "name": "web" },
                "replacement": { "run_command": { "document": "deploy" } } }),
            "/replacement",
            "replaces instances",
        ),
        (
            json!({ "record": { "s3": { "bucket": "b-1", "key": "k" } } }),
            "/record",
            "recorded by EC2 Auto Scaling itself",
        ),
        (json!({ "pacing": "batch" }), "/pacing", "a pace of its own"),
        (json!({ "pause_between_batches": "1m" }), "/pause_between_batches", "does not pause"),
        (json!({ "failure_threshold": 2 }), "/failure_threshold", "does not count failures"),
        (json!({ "on_failure": "pause" }), "/on_failure", "cannot be paused"),
        (json!({ "keep_failed_instances": 1 }), "/keep_failed_instances", "keeps none"),
        (json!({ "lifecycle_hooks": "complete" }), "/lifecycle_hooks", "waits for lifecycle hooks"),
        (json!({ "progress_deadline": "1h" }), "/progress_deadline", "after an hour"),
        (json!({ "suspend_processes": ["AZRebalance"] }), "/suspend_processes", "suspends nothing"),
        (bounds, "/max_surge", "at most 100 percent apart"),
        (json!({ "checkpoints": [{ "percentage": 20 }] }), "/checkpoints/0", "give it a pause"),
        (pauses("1h", "2h"), "/checkpoints/1/pause", "equally long"),
        (pauses("49h", "1h"), "/checkpoints/0/pause", "at most 48h"),
        (json!({ "gates": { "bake_time": "49h" } }), "/gates/bake_time", "at most 48h"),
        (json!({ "gates": { "alarms": alarms } }), "/gates/alarms", "at most 10 alarms"),
        (json!({ "gates": { "http": { "url": "http://x/" } } }), "/gates/http", "asks no address"),
        (json!({ "gates": { "command": { "run": ["x"] } } }), "/gates/command", "runs no command"),
        (json!({ "engine": "instance_refersh" }), "/engine", "did you mean \"instance_refresh\"?"),
    ];
    for (changes, place, message) in cases {
        let mut all = json!({
            "engine": "instance_refresh", "simulated_fleet": null, "auto_scaling_group": group(json!({}))
                ["auto_scaling_group"],
        });
        all.as_object_mut().expect("all").extend(changes.as_object().expect("changes").clone());
        assert_refused(&all, place, message);
    }
}

#[test]
fn a_document_that_is_none_is_named_as_such() {
    assert!(refused("{\"resource\": ").contains("this is not JSON: "));
    assert!(refused("[]").contains("must be an object"));
    assert!(refused("{}").contains("there is no resource to roll"));
    let reply = refused(r#"{"resource": {"rolling_deploymnt": {"web": {}}}}"#);
    assert!(reply.contains("did you mean \"rolling_deployment\"?"), "{reply}");
    let reply = refused(r#"{"variable": {}, "resource": {"rolling_deployment": {}}}"#);
    assert!(reply.contains("error at /variable: "), "{reply}");
}

#[test]
fn two_resources_on_one_target_are_refused() {
    let two = json!({ "resource": { "rolling_deployment": {
        "a": simulated(), "b": simulated(),
    }}});
    let reply = refused(&two.to_string());
    let place = "error at /resource/rolling_deployment/b/simulated_fleet/name: ";
    assert!(reply.contains(place), "{reply}");
    assert!(reply.contains("already the target of /resource/rolling_deployment/a"), "{reply}");

    let recorded = |name: &str| {
        let group = json!({ "name": name, "launch_template": { "id": "lt-1", "version": "2" } });
        let record = json!({ "s3": { "bucket": "b-1", "key": "k" } });
        json!({ "policy": "all_at_once", "auto_scaling_group": group, "record": record })
    };
    let two = json!({ "a": recorded("a"), "b": recorded("b") });
    let reply = refused(&json!({ "resource": { "rolling_deployment": two } }).to_string());
    let place = "error at /resource/rolling_deployment/b/record/s3/key: ";
    assert!(reply.contains(place) && reply.contains("choose another key"), "{reply}");
}

#[test]
fn a_file_or_a_resource_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let ran = run(rolling().args(["plan", "nothing.json"]).current_dir(folder.path()));
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("failed to read nothing.json"), "{}", ran.stderr);
    let file = process::write(folder.path(), &document(&simulated()));
    let ran = run(rolling().arg("plan").arg(file).args(["--resource", "db"]));
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("there is no rolling_deployment \"db\""), "{}", ran.stderr);
    assert!(ran.stderr.contains("the document has web"), "{}", ran.stderr);
}

#[test]
fn findings_are_one_json_object_for_pipelines() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut resource = simulated();
    resource["batch_size"] = json!(0);
    let file = process::write(folder.path(), &document(&resource));
    let ran = run(rolling().arg("validate").arg(&file).args(["--output", "json"]));
    assert_eq!(ran.code, 2);
    let found = &ran.lines()[0]["diagnostics"][0];
    assert_eq!(found["pointer"], "/resource/rolling_deployment/web/batch_size");
    assert_eq!(found["severity"], "error");
}

#[test]
fn elastic_beanstalks_spellings_are_accepted_as_written() {
    let folder = tempfile::tempdir().expect("a folder");
    for (policy, size) in [("Rolling", "Percentage"), ("RollingWithAdditionalBatch", "Fixed")] {
        let mut resource = simulated();
        resource["policy"] = json!(policy);
        resource["batch_size_type"] = json!(size);
        let file = process::write(folder.path(), &document(&resource));
        assert_eq!(run(rolling().arg("validate").arg(file)).code, 0, "{policy} {size}");
    }
}

#[test]
fn the_schemas_are_those_of_the_types() {
    let printed: Value =
        serde_json::from_str(&run(rolling().arg("schema")).stdout).expect("one JSON object");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    for name in ["provider", "rolling_deployment", "state", "event", "openrpc"] {
        let file = folder.join(format!("{name}.json"));
        let wanted = serde_json::to_string_pretty(&printed[name]).expect("JSON") + "\n";
        if std::env::var("ROLLING_UPDATE").is_ok() {
            std::fs::write(&file, &wanted).expect("a schema");
        }
        let known = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(known, wanted, "run the tests with ROLLING_UPDATE=1 to renew {name}.json");
    }
}

#[test]
fn plan_apply_and_status_agree_between_runs_on_the_simulator() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut resource = simulated();
    resource["health"] = json!({ "healthy_timeout": "1h" });
    let mut wanted = document(&resource);
    wanted["provider"] = json!({ "rolling": { "simulator": { "speed": 500 } } });
    let file = process::write(folder.path(), &wanted);
    let at = |command: &str| {
        run(rolling().current_dir(folder.path()).args([command, "--output", "json"]).arg(&file))
    };
    assert_eq!(at("plan").lines()[0]["changes"], true);
    let applied = at("apply");
    assert_eq!(applied.code, 0, "{applied:?}");
    assert_eq!(at("plan").lines()[0]["changes"], false);
    let status = at("status").lines()[0]["resources"][0].clone();
    assert_eq!(status["completed"], "v2");
    let instances = status["instances"].as_array().expect("instances");
    assert_eq!(instances.len(), 10);
    assert!(instances.iter().all(|i| i["revision"] == "v2" && i["serves"] == true));
}

/// Exit codes are an interface.
#[test]
fn exit_codes_tell_a_rollback_a_pause_and_an_idle_word_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut resource = simulated();
    resource["simulated_fleet"]["bad_revisions"] = json!({ "v2": "unhealthy" });
    resource["simulated_fleet"]["instances"] = json!(3);
    resource["health"] = json!({ "healthy_timeout": "2m" });
    let run = |command: &str, on_failure: &str| {
        let mut resource = resource.clone();
        resource["on_failure"] = json!(on_failure);
        let mut document = document(&resource);
        document["provider"]["rolling"]["simulator"]["speed"] = json!(200);
        let file = process::write(folder.path(), &document);
        run(rolling().current_dir(folder.path()).arg(command).arg(file))
    };
    let ran = run("apply", "rollback");
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stdout.contains("web: rolled back from v2, 3 instances on v1"), "{}", ran.stdout);
    let ran = run("resume", "pause");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("there is no rollout to resume"), "{}", ran.stdout);
    let ran = run("apply", "pause");
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stdout.contains("rolling resume goes on"), "{}", ran.stdout);
    let ran = run("plan", "pause");
    assert!(ran.stdout.contains("is paused"), "{}", ran.stdout);
    let ran = run("rollback", "pause");
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = run("apply", "stop");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("Target.ResponseCodeMismatch"), "{}", ran.stdout);
}
