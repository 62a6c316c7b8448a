//! Tests of the program against LocalStack, each on an account of its own.

mod accounts;
mod assumptions;
mod beanstalk;
mod between;
mod consistency;
pub mod doctor;
mod elsewhere;
pub mod frozen;
pub mod groups;
mod hooks;
pub mod instance_refresh;
pub mod instances;
pub mod localstack;
mod moto;
#[cfg(feature = "s3")]
pub mod object;
pub mod plugin;
pub mod policy;
pub mod promises;
mod protects_new;
pub mod refusals;
mod replaced;
mod rollback_target;
pub mod scale;
pub mod sizes;
pub mod traffic;
pub mod updates;
mod validation;
