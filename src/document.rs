//! A document: the wanted state in Terraform's JSON syntax. It holds literals only, so that one
//! file serves both `rolling apply` and `terraform apply`.

mod aws;
mod beanstalk;
mod block;
pub mod config;
pub(crate) mod convert;
mod diagnostic;
mod hooks;
mod instance_refresh;
mod kubernetes;
mod places;
pub(crate) mod policy;
mod positions;
mod provider_block;
mod read;
mod revision;
mod schema_check;
mod secret;
mod similarity;
mod source;
mod targets;
mod traffic;
mod unknown;

pub use convert::deployment;
pub(crate) use convert::provider;
pub(crate) use diagnostic::{Diagnostic, Severity, shortened, step};
pub(crate) use places::{PROVIDER, launch_template, named_target, target_names, target_of};
pub(crate) use positions::{Position, Positions, duplicates};
pub use read::Document;
pub(crate) use read::Resource;
pub(crate) use revision::rolled_back_to;
pub(crate) use schema_check::{
    check_against, fits, has_place, is_sensitive, missing_name, normalise as normalised,
};
pub use schema_check::{resolve, schema, types};
pub(crate) use secret::without_secrets;
pub(crate) use source::{Syntax, decode, looks_like};
#[cfg(feature = "aws")]
pub(crate) use traffic::steps as traffic_steps;
pub use unknown::partial;
pub(crate) use unknown::partial_provider;
