//! EC2 Auto Scaling groups, and unmanaged instances behind a target group, behind the port.
//!
//! The crate connects the AWS SDK with [`rolling_provider`] and does nothing else: no policy, no
//! waiting, no retry.

mod act;
mod alarms;
mod clock;
mod config;
mod connect;
mod controllers;
mod convert;
mod credentials;
mod emulator;
mod error;
mod examine;
mod group;
mod image;
mod in_place;
mod instance_refresh;
mod instances;
mod keys;
mod lately;
mod mixed;
mod object;
mod observe;
mod refuse;
mod resolve;
mod session;
mod skew;
mod target_groups;
mod targets;
mod template;
mod traffic;
#[cfg(test)]
mod wire;

pub use config::{AssumedRole, AwsConfig, Keys, Token, WebIdentity};
pub use connect::Aws;
pub use group::{AutoScalingGroup, AutoScalingGroupFleet, LaunchTemplate};
pub use in_place::{InPlace, RunCommand};
pub use instances::{InstancesFleet, TargetGroupInstances};
pub use object::S3Object;
pub use traffic::Traffic;
