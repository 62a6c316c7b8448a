//! EC2 Auto Scaling groups, and plain instances behind a target group, behind the port: the AWS
//! SDK on one side, [`rolling_provider`] on the other, and nothing else. No policy, no waiting, no retry.

mod act;
mod alarms;
mod connect;
mod convert;
mod error;
mod examine;
mod group;
mod instances;
mod mixed;
mod observe;
mod refresh;
mod refuse;
mod resolve;
mod target_groups;
mod template;
mod traffic;
#[cfg(test)]
mod wire;

pub use connect::{Aws, AwsConfig};
pub use group::{AutoScalingGroup, AutoScalingGroupFleet, LaunchTemplate};
pub use instances::{InstancesFleet, TargetGroupInstances};
pub use traffic::Traffic;
