//! Deployments for front-ends that keep state: opens and ends them, and makes their state.

mod open;
pub mod resource_state;
pub mod schema;
pub(crate) mod stop;
mod upgrade;

pub(crate) use open::{DeleteOutcome, OpenError, config_to_look_with, end, look, prepare};
pub use upgrade::upgrade;
