//! A group of four behind a target group, on moto.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use serde_json::{Value, json};

use super::{moto, text};
use crate::process::{self, Ran};

const SIZE: u64 = 4;

pub struct Group {
    pub name: String,
    pub template: String,
    pub target_group: String,
    pub folder: tempfile::TempDir,
}

/// The state of the group at one time.
#[derive(Debug)]
pub struct Sight {
    pub sizes: [u64; 3],
    pub suspended: BTreeSet<String>,
    pub instances: Vec<String>,
    /// Members of the group that the target group calls healthy.
    pub serving: usize,
    pub record: bool,
}

impl Group {
    /// Makes a group, launched from version 1 of a template that has one version for each of
    /// `versions`.
    pub fn new(versions: &[Value]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let moto = moto();
        let name = format!("web{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let vpc = moto.call("ec2", "create_vpc", json!({ "CidrBlock": "10.0.0.0/16" }));
        let vpc = text(&vpc["Vpc"]["VpcId"]);
        let subnets = ["a", "b"].map(|zone| {
            let made = json!({
                "VpcId": vpc, "AvailabilityZone": format!("us-east-1{zone}"),
                "CidrBlock": format!("10.0.{}.0/24", u32::from(zone == "b")),
            });
            text(&moto.call("ec2", "create_subnet", made)["Subnet"]["SubnetId"])
        });
        let made = json!({ "Name": name, "Protocol": "HTTP", "Port": 80, "VpcId": vpc });
        let made = moto.call("elbv2", "create_target_group", made);
        let target_group = text(&made["TargetGroups"][0]["TargetGroupArn"]);
        let delay = json!({ "Key": "deregistration_delay.timeout_seconds", "Value": "1" });
        let delay = json!({ "TargetGroupArn": target_group, "Attributes": [delay] });
        moto.call("elbv2", "modify_target_group_attributes", delay);
        let made = json!({ "Name": name, "Subnets": subnets });
        let balancer = moto.call("elbv2", "create_load_balancer", made);
        let action = json!({ "Type": "forward", "TargetGroupArn": target_group });
        let listener = json!({
            "LoadBalancerArn": balancer["LoadBalancers"][0]["LoadBalancerArn"],
            "Protocol": "HTTP", "Port": 80, "DefaultActions": [action],
        });
        moto.call("elbv2", "create_listener", listener);
        let first = json!({ "LaunchTemplateName": name, "LaunchTemplateData": versions[0] });
        let made = moto.call("ec2", "create_launch_template", first);
        let template = text(&made["LaunchTemplate"]["LaunchTemplateId"]);
        for version in &versions[1..] {
            let more = json!({ "LaunchTemplateId": template, "LaunchTemplateData": version });
            moto.call("ec2", "create_launch_template_version", more);
        }
        let group = json!({
            "AutoScalingGroupName": name,
            "MinSize": 2, "MaxSize": 6, "DesiredCapacity": SIZE,
            "VPCZoneIdentifier": subnets.join(","),
            "LaunchTemplate": { "LaunchTemplateId": template, "Version": "1" },
            "TargetGroupARNs": [target_group],
        });
        moto.call("autoscaling", "create_auto_scaling_group", group);
        Group { name, template, target_group, folder: tempfile::tempdir().expect("a folder") }
    }

    pub fn look(&self) -> Sight {
        let moto = moto();
        let these = json!({ "AutoScalingGroupNames": [self.name] });
        let group = moto.call("autoscaling", "describe_auto_scaling_groups", these);
        let group = &group["AutoScalingGroups"][0];
        let these = json!({ "TargetGroupArn": self.target_group });
        let health = moto.call("elbv2", "describe_target_health", these);
        let healthy = |id: &String| {
            let described = health["TargetHealthDescriptions"].as_array().expect("targets").iter();
            described
                .filter(|target| target["TargetHealth"]["State"] == "healthy")
                .any(|target| target["Target"]["Id"] == id.as_str())
        };
        let all = |key: &str| group[key].as_array().cloned().unwrap_or_default();
        let members: Vec<String> =
            all("Instances").iter().map(|it| text(&it["InstanceId"])).collect();
        Sight {
            sizes: ["MinSize", "MaxSize", "DesiredCapacity"]
                .map(|key| group[key].as_u64().expect("a size")),
            suspended: all("SuspendedProcesses")
                .iter()
                .map(|it| text(&it["ProcessName"]))
                .collect(),
            serving: members.iter().filter(|id| healthy(id)).count(),
            instances: members,
            record: all("Tags").iter().any(|tag| text(&tag["Key"]).starts_with("rolling:")),
        }
    }

    /// Sets the template back if `request` is to have a member replaced.
    pub fn set_back_before(&self, request: &str) {
        if request.contains("Action=TerminateInstanceInAutoScalingGroup") {
            let back = json!({
                "AutoScalingGroupName": self.name,
                "LaunchTemplate": { "LaunchTemplateId": self.template, "Version": "1" },
            });
            moto().call("autoscaling", "update_auto_scaling_group", back);
        }
    }

    /// Returns the images that the members run.
    pub fn images(&self) -> BTreeSet<String> {
        let these = json!({ "InstanceIds": self.look().instances });
        let described = moto().call("ec2", "describe_instances", these);
        let reservations = described["Reservations"].as_array().expect("reservations").clone();
        let instances =
            reservations.iter().flat_map(|it| it["Instances"].as_array().expect("them"));
        instances.map(|instance| text(&instance["ImageId"])).collect()
    }

    pub fn command(&self, command: &str, version: u32) -> Command {
        let document = json!({ "resource": { "rolling_deployment": { "web": {
            "policy": "rolling", "batch_size_type": "fixed", "batch_size": 2,
            "poll_interval": "200ms",
            "health": { "min_healthy_time": "300ms" },
            "auto_scaling_group": {
                "name": self.name,
                "launch_template": { "id": self.template, "version": version.to_string() },
            },
        } } } });
        let file = process::write(self.folder.path(), &document);
        let mut rolling = process::rolling();
        rolling
            .envs([("AWS_ACCESS_KEY_ID", "moto"), ("AWS_SECRET_ACCESS_KEY", "moto")])
            .envs([("AWS_REGION", "us-east-1"), ("AWS_ENDPOINT_URL", &moto().endpoint)])
            .current_dir(self.folder.path())
            .args([command, "--output", "json"])
            .arg(file);
        rolling
    }

    pub fn run(&self, command: &str, version: u32) -> Ran {
        process::run(&mut self.command(command, version))
    }

    /// The same, with the states of the group meanwhile.
    pub fn watched(&self, command: &str, version: u32) -> (Ran, Vec<Sight>) {
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut seen = Vec::new();
                while !ended.load(Ordering::Relaxed) {
                    seen.push(self.look());
                }
                seen
            });
            let ran = self.run(command, version);
            ended.store(true, Ordering::Relaxed);
            (ran, watch.join().expect("a look"))
        })
    }
}
