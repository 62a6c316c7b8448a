//! Attributes that are refused, each with its place and a remedy.

use serde_json::{Value, json};

use super::{assert_refused, group};

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

#[test]
fn each_bad_attribute_is_named_with_its_place_and_a_way_out() {
    let bounds =
        |surge: Value| json!({ "batch_size": null, "batch_size_type": null, "max_surge": surge });
    let events = |event: Value| {
        let fleet = json!({ "name": "web", "revision": "v2", "events": [event] });
        json!({ "simulated_fleet": fleet })
    };
    let cases = [
        (
            json!({ "batch_size_type": null, "max_surge": 2 }),
            "/batch_size",
            "cannot be used together",
        ),
        (bounds(json!(0)), "/max_surge", "max_surge and max_unavailable are both 0"),
        (bounds(json!("0%")), "/max_surge", "set max_surge = 1"),
        (
            json!({ "batch_size": null, "batch_size_type": null, "max_unavailable": 0 }),
            "/max_unavailable",
            "are both 0: no instance could ever be replaced",
        ),
        (
            json!({ "batch_size": null, "batch_size_type": null, "max_unavailable": "0%",
                    "max_surge": 0 }),
            "/max_unavailable",
            "max_unavailable = 1",
        ),
        (bounds(json!("120%")), "/max_surge", "from 0% to 100%"),
        (bounds(json!("a lot")), "/max_surge", "must match"),
        (bounds(json!(-1)), "/max_surge", "must be"),
        (
            json!({ "policy": "immutable", "batch_size_type": null }),
            "/batch_size",
            "this policy has no batches",
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
            "must be greater than 50",
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
            "must be above 0s",
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
            "this policy has no batches",
        ),
        (
            json!({ "health": { "healthy_timeout": "ten" } }),
            "/health/healthy_timeout",
            "write for instance 30s, 10m or 1h30m",
        ),
        (json!({ "health": { "healthy_timeout": "0s" } }), "/health/healthy_timeout", "above 0s"),
        (json!({ "poll_interval": "1ms" }), "/poll_interval", "from 100ms to 1m"),
        // Sums of such times exceed what a clock can show.
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
        (
            json!({ "gates": { "command": { "run": [] } } }),
            "/gates/command/run",
            "the command is empty",
        ),
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
        (in_place(json!({}), json!({})), "/replacement", "neither run_command nor"),
        (
            in_place(
                json!({ "run_command": { "document": "d" },
                "replace_root_volume": { "image_id": "ami-1" } }),
                json!({}),
            ),
            "/replacement",
            "both run_command and replace_root_volume",
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
            "cannot be used together",
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
            "/engine",
            "only Auto Scaling groups",
        ),
        (
            json!({ "auto_scaling_group": null,
                "target_group": { "arn": arn, "launch_template": template } }),
            "/engine",
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
        (json!({ "pacing": "continuous" }), "/pacing", "its own pace"),
        (json!({ "pause_between_batches": "1m" }), "/pause_between_batches", "does not pause"),
        (json!({ "failure_threshold": 2 }), "/failure_threshold", "does not count failures"),
        (json!({ "on_failure": "pause" }), "/on_failure", "cannot be paused"),
        (json!({ "keep_failed_instances": 1 }), "/keep_failed_instances", "keeps none"),
        (json!({ "lifecycle_hooks": "complete" }), "/lifecycle_hooks", "waits for lifecycle hooks"),
        (json!({ "progress_deadline": "1h" }), "/progress_deadline", "after an hour"),
        (json!({ "suspend_processes": ["AZRebalance"] }), "/suspend_processes", "suspends nothing"),
        (bounds, "/max_surge", "may differ by at most 100"),
        (json!({ "checkpoints": [{ "percentage": 20 }] }), "/checkpoints/0", "give it a pause"),
        (pauses("1h", "2h"), "/checkpoints/1/pause", "equally long"),
        (pauses("49h", "1h"), "/checkpoints/0/pause", "at most 48h"),
        (json!({ "gates": { "bake_time": "49h" } }), "/gates/bake_time", "at most 48h"),
        (json!({ "gates": { "alarms": alarms } }), "/gates/alarms", "at most 10 alarms"),
        (json!({ "gates": { "http": { "url": "http://x/" } } }), "/gates/http", "not request URLs"),
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
