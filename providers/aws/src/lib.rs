//! EC2 Auto Scaling groups behind the port: the AWS SDK on one side, [`rolling_provider`] on the
//! other, and nothing else. No policy, no waiting, no retry.

mod act;
mod connect;
mod convert;
mod error;
mod group;
mod observe;
mod refuse;
mod resolve;
#[cfg(test)]
mod wire;

pub use connect::{Aws, AwsConfig};
pub use group::{AutoScalingGroup, AutoScalingGroupFleet, LaunchTemplate};
