//! EC2 Auto Scaling groups, and unmanaged instances behind a target group, behind the port.
//!
//! The crate connects the AWS SDK with [`rolling_provider`] and does nothing else: no policy, no
//! waiting, no retry.
//!
//! [`Aws::connect`] finds region and credentials, and opens fleets on them, each with the clock that
//! the caller waits by. Opening one calls nothing: [`Fleet::resolve`](rolling_provider::Fleet::resolve)
//! does first, and refuses what the adapter does not support by its attribute. Alarms
//! (`cloudwatch`), records in S3 (`s3`), commands on instances (`ssm`) and Elastic Beanstalk environments
//! (`elasticbeanstalk`) are features of the crate.
//!
//! ```no_run
//! # use std::sync::Arc;
//! use rolling_aws::{AutoScalingGroup, Aws, AwsConfig, LaunchTemplate};
//! use rolling_provider::{Clock, Fleet as _, ProviderError};
//!
//! # async fn example(clock: Arc<dyn Clock>) -> Result<(), ProviderError> {
//! let config = AwsConfig { region: Some("eu-west-1".into()), ..AwsConfig::default() };
//! let template = LaunchTemplate { id: None, name: Some("web".into()), version: "$Latest".into() };
//! let group = AutoScalingGroup {
//!     name: "web".into(),
//!     launch_template: Some(template),
//!     image_id: None,
//!     in_place: None,
//!     target_group_arns: None,
//!     is_instance_refresh: false,
//!     traffic: None,
//! };
//! let fleet = Aws::connect(&config, None).await?.auto_scaling_group(group, clock);
//! let target = fleet.resolve().await?;
//! let look = fleet.observe().await?;
//! println!("{} of {} in {}", look.instances.len(), look.desired(), target.name);
//! # Ok(())
//! # }
//! ```

mod act;
mod addresses;
mod alarms;
mod clock;
mod config;
mod connect;
mod controllers;
mod convert;
mod credentials;
mod emulator;
#[cfg(feature = "elasticbeanstalk")]
mod environment;
mod error;
mod examine;
mod expiration;
mod group;
#[cfg(test)]
mod http_tests;
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
mod registration;
mod resolve;
mod skew;
mod target_groups;
mod template;
mod terminated;
mod traffic;

pub use config::{AssumedRole, AwsConfig, Keys, Token, WebIdentity};
pub use connect::Aws;
#[cfg(feature = "elasticbeanstalk")]
pub use environment::{BeanstalkEnvironment, EnvironmentFleet};
pub use group::{AutoScalingGroup, AutoScalingGroupFleet, LaunchTemplate};
pub use in_place::{InPlaceMethod, RunCommand};
pub use instances::{InstancesFleet, TargetGroupInstances};
pub use object::S3Object;
pub use traffic::Traffic;
