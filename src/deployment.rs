//! Deployments for front-ends that keep state: opens and ends them, and makes their state.

mod open;
pub mod schema;
pub mod state;
pub(crate) mod stop;
mod upgrade;

pub(crate) use open::{DeleteOutcome, OpenError, end, look, prepare, with_default_policy};
pub use upgrade::upgrade;
