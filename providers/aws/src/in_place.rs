//! Instances that are updated in place. Nothing in the cloud says what runs on them, so tags do:
//! one for the revision, and one while an update is under way. The latter is written before the
//! update begins, so that the next engine knows what to look for.

mod perform;
mod run_command;
#[cfg(not(feature = "ssm"))]
#[path = "in_place/no_ssm.rs"]
mod ssm;
#[cfg(feature = "ssm")]
mod ssm;
mod updates;
mod volume;

pub(crate) use perform::perform;
pub use run_command::RunCommand;
pub use updates::InPlaceMethod;
pub(crate) use updates::{InstanceDescription, REVISION, UPDATING, Updates};
