//! What the cloud does not have or does not support: one clear error that names the place, exit
//! code 2, and nothing is touched.

use serde_json::{Value, json};

use crate::emulator::{Account, account};
use crate::process::{self, Ran};

fn resource(template: &str) -> Value {
    json!({
        "policy": "rolling", "batch_size_type": "fixed", "batch_size": 1,
        "auto_scaling_group": {
            "name": "web", "launch_template": { "id": template, "version": "2" },
        },
    })
}

fn small() -> Value {
    json!({ "name": "web", "size": 2 })
}

/// Returns the one finding of a refused apply.
fn finding(ran: &Ran) -> (String, String) {
    assert_eq!(ran.code, 2, "{ran:?}");
    let found = ran.lines()[0]["diagnostics"].as_array().expect("diagnostics").clone();
    assert_eq!(found.len(), 1, "{found:?}");
    let pointer = found[0]["pointer"].as_str().expect("a pointer");
    let place = pointer.strip_prefix("/resource/rolling_deployment/web").unwrap_or(pointer);
    assert!(found[0]["remedy"].is_string(), "{found:?}");
    (place.to_owned(), format!("{} ({})", found[0]["summary"], found[0]["remedy"]))
}

fn assert_refused(account: &Account, resource: &Value, place: &str, message: &str) {
    let (at, reply) = finding(&account.run("apply", resource));
    assert_eq!(at, place, "{reply}");
    assert!(reply.contains(message), "{reply}");
    assert_eq!(account.mutations(), Vec::<String>::new());
}

#[test]
fn a_zone_that_requests_are_shifted_away_from_is_named_before_any_instance_goes() {
    let Some(account) = account() else { return };
    let template =
        account.fleet(json!({ "name": "web", "size": 3 }), crate::lab::localstack::times());
    account.put("times", json!({ "zonal_shift": ["us-east-1a"] }));
    let wanted = crate::lab::localstack::resource(&template, "2");
    for (command, code) in [("plan", 2), ("apply", 2)] {
        let ran = account.run(command, &wanted);
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.stdout.contains("shifted away from (zonal shift)"), "{ran:?}");
    }
    assert_eq!(account.mutations(), Vec::<String>::new());
    account.put("times", json!({ "zonal_shift": [] }));
    assert_eq!(account.run("apply", &wanted).code, 0);
}

#[test]
fn a_group_or_template_that_is_not_there_is_named() {
    let Some(account) = account() else { return };
    let template = account.fleet(small(), json!({}));
    let mut wanted = resource(&template);
    wanted["auto_scaling_group"]["name"] = json!("wbe");
    let message = "auto scaling group \\\"wbe\\\" does not exist in us-east-1";
    assert_refused(&account, &wanted, "/auto_scaling_group/name", message);

    let base = "/auto_scaling_group/launch_template";
    let mut wanted = resource(&template);
    wanted["auto_scaling_group"]["launch_template"]["version"] = json!("9");
    assert_refused(&account, &wanted, &format!("{base}/version"), "it has versions 1 to 2");

    let wanted = resource("lt-00000000000000000");
    assert_refused(&account, &wanted, &format!("{base}/id"), "does not exist in us-east-1");

    let mut wanted = resource(&template);
    wanted["auto_scaling_group"]["launch_template"] = json!({ "name": "wbe", "version": "1" });
    assert_refused(&account, &wanted, &format!("{base}/name"), "does not exist in us-east-1");

    let mut wanted = resource(&template);
    wanted["auto_scaling_group"]["target_group_arns"] = json!(["arn:aws:other"]);
    let place = "/auto_scaling_group/target_group_arns/0";
    assert_refused(&account, &wanted, place, "is not attached to the group");
}

#[test]
fn a_target_group_that_could_never_be_healthy_is_named() {
    for (group, message) in [
        (json!({ "name": "web", "listener": false }), "no listener uses target group"),
        (json!({ "name": "web", "target_type": "ip" }), "has targets of type"),
    ] {
        let Some(account) = account() else { return };
        let fleet = json!({ "name": "web", "size": 2, "target_groups": [group] });
        let template = account.fleet(fleet, json!({}));
        let wanted = resource(&template);
        assert_refused(&account, &wanted, "/auto_scaling_group/name", message);
    }
}

#[test]
fn a_group_that_is_not_supported_yet_is_refused_by_name() {
    let source = json!({ "Identifier": "arn:aws:vpc-lattice:x", "Type": "vpc-lattice" });
    let own = json!({ "LaunchTemplateId": "lt-2", "Version": "7" });
    let own = json!({ "InstanceType": "c7g.large", "LaunchTemplateSpecification": own });
    let mixed = json!({ "LaunchTemplate": { "Overrides": [own] } });
    let cases = [
        (json!({ "MixedInstancesPolicy": mixed }), "templates of their own (c7g.large: lt-2:7)"),
        (json!({ "LaunchConfigurationName": "old" }), "launch configuration"),
        (json!({ "LoadBalancerNames": ["classic"] }), "classic load balancer"),
        (json!({ "TrafficSources": [source] }), "vpc-lattice"),
        (json!({ "InstanceRefresh": "InProgress" }), "an instance refresh running (refresh-1)"),
        (json!({ "Status": "Delete in progress" }), "being deleted"),
        (json!({ "SuspendedProcesses": [{ "ProcessName": "Launch" }] }), "suspended Launch"),
        (json!({ "SuspendedProcesses": [{ "ProcessName": "Terminate" }] }), "Terminate"),
        (
            json!({ "SuspendedProcesses": [{ "ProcessName": "AddToLoadBalancer" }] }),
            "AddToLoadBalancer",
        ),
    ];
    for (shown, message) in cases {
        let Some(account) = account() else { return };
        let template = account.fleet(small(), json!({}));
        account.put("groups/web", shown);
        assert_refused(&account, &resource(&template), "/auto_scaling_group/name", message);
        let planned = account.run("plan", &resource(&template));
        assert!(planned.code == 2 && planned.stdout.contains(message), "{planned:?}");
    }
}

#[test]
fn a_group_whose_tasks_ecs_protects_is_told_of_with_what_to_do() {
    let Some(account) = account() else { return };
    let template = account.fleet(small(), json!({}));
    let instance = |id: &str| {
        json!({
            "InstanceId": id, "AvailabilityZone": "us-east-1a", "ProtectedFromScaleIn": true,
            "LifecycleState": "InService", "HealthStatus": "Healthy",
            "LaunchTemplate": { "LaunchTemplateId": template, "Version": "1" },
        })
    };
    let managed = json!({ "Key": "AmazonECSManaged", "Value": "true", "ResourceId": "web" });
    account.put(
        "groups/web",
        json!({
            "Instances": [instance("i-0123456789abcdef0"), instance("i-0123456789abcdef1")],
            "NewInstancesProtectedFromScaleIn": true,
            "Tags": [managed],
        }),
    );
    let message =
        "protected from scale-in by the managed termination protection of the ECS capacity";
    for command in ["plan", "doctor"] {
        let ran = account.run(command, &resource(&template));
        assert!(ran.stdout.contains(message), "{command}: {ran:?}");
        assert!(ran.stdout.contains("scale_in_protected_instances"), "{command}: {ran:?}");
    }
    let mut wanted = resource(&template);
    wanted["scale_in_protected_instances"] = json!("refresh");
    let planned = account.run("plan", &wanted);
    assert!(planned.code == 0 && !planned.stdout.contains(message), "{planned:?}");
}

#[test]
fn an_instance_that_is_set_aside_is_told_of() {
    let Some(account) = account() else { return };
    let template = account.fleet(small(), json!({}));
    let protected = json!({
        "InstanceId": "i-0123456789abcdef0", "AvailabilityZone": "us-east-1a",
        "LifecycleState": "InService", "HealthStatus": "Healthy", "ProtectedFromScaleIn": true,
        "LaunchTemplate": { "LaunchTemplateId": template, "Version": "1" },
    });
    account.put("groups/web", json!({ "Instances": [protected] }));
    let planned = account.run("plan", &resource(&template));
    assert_eq!(planned.code, 0, "{planned:?}");
    let message = "to be replaced and protected from scale-in: 1; waited for, an hour at most";
    assert!(planned.stdout.contains(message), "{planned:?}");
    assert!(planned.stdout.contains("scale_in_protected_instances"), "{planned:?}");
    assert_eq!(account.run("status", &resource(&template)).code, 0);
}

#[test]
fn missing_credentials_or_region_and_a_refusing_endpoint_are_named() {
    let Some(account) = account() else { return };
    let document = json!({ "resource": { "rolling_deployment": { "web": resource("lt-1") } } });
    let file = process::write(account.folder.path(), &document);
    let apply = |change: &dyn Fn(&mut std::process::Command)| {
        let mut command = account.rolling();
        command.args(["apply", "--output", "json"]).arg(&file);
        change(&mut command);
        finding(&process::run(&mut command))
    };
    let (place, reply) = apply(&|command| {
        command.env_remove("AWS_ACCESS_KEY_ID");
    });
    assert_eq!(place, "/provider/rolling/aws");
    assert!(reply.contains("no usable credentials") && reply.contains("AWS_PROFILE"), "{reply}");

    let (place, reply) = apply(&|command| {
        command.env_remove("AWS_REGION");
    });
    assert_eq!(place, "/provider/rolling/aws/region");
    assert!(reply.contains("no region is set") && reply.contains("AWS_REGION"), "{reply}");

    // The SDK itself ends the process over an empty one.
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_AUTO_SCALING", "AWS_ENDPOINT_URL_STS"] {
        for endpoint in ["", "localhost:4566"] {
            let (place, reply) = apply(&|command| {
                command.env(name, endpoint);
            });
            assert_eq!(place, "/provider/rolling/aws/endpoint_url", "{name}");
            assert!(reply.contains("is not an address"), "{name} {endpoint:?}: {reply}");
        }
    }

    // A port that was free a moment ago, and that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let refusing = format!("http://{}", free.local_addr().expect("an address"));
    drop(free);
    let (place, reply) = apply(&|command| {
        command.env("AWS_ENDPOINT_URL", &refusing);
    });
    assert_eq!(place, "");
    assert!(reply.contains("DescribeAutoScalingGroups"), "{reply}");
    assert!(reply.contains("Connection refused") && reply.contains("AWS_ENDPOINT_URL"), "{reply}");
}

/// With a time faster than the cloud's, instances that still serve would be terminated.
#[test]
fn a_time_for_tests_is_refused_where_the_endpoint_is_not_on_this_host() {
    let folder = tempfile::tempdir().expect("a folder");
    let document = json!({ "resource": { "rolling_deployment": { "web": resource("lt-1") } } });
    let file = process::write(folder.path(), &document);
    let planned = |endpoint: &str, clock: &str| {
        let mut command = process::rolling();
        command
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("ROLLING_TEST_CLOCK", clock);
        process::run(command.args(["plan", "--output", "json"]).arg(&file))
    };
    let (place, message) = finding(&planned("http://192.0.2.1", "1000:5"));
    assert_eq!(place, "/provider/rolling/aws");
    assert!(message.contains("ROLLING_TEST_CLOCK is set, and the endpoint is not"), "{message}");
    let ran = planned("http://127.0.0.1:1", "soon");
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("the form START:SPEED"), "{ran:?}");
}
