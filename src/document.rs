//! A document: the wanted state in Terraform's JSON syntax. It holds literals only, so that one
//! file serves both `rolling apply` and `terraform apply`.

mod aws;
mod block;
mod check;
pub mod config;
mod convert;
mod diagnostic;
mod instance_refresh;
mod places;
mod policy;
mod read;
mod secret;
mod targets;
mod unknown;

pub(crate) use check::fits;
pub use check::{
    check_against, is_sensitive, missing_name, normalise as normalised, resolve, schema, types,
};
pub use convert::{command_timeout, deployment, provider};
pub(crate) use diagnostic::step;
pub use diagnostic::{Diagnostic, Severity};
pub use places::{PROVIDER, launch_template, target_names};
pub use policy::NEW_VERSION_PERCENT;
pub use read::{Document, Resource};
pub use secret::without_secrets;
pub use unknown::{partial, partial_provider};
