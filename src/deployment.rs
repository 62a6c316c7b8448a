//! Deployments for front-ends that keep state: opens and ends them, and makes their state.

mod open;
pub mod resource_state;
pub mod schema;
pub(crate) mod stop;
pub(crate) mod stored_state;
mod upgrade;

pub(crate) use open::{
    DeleteOutcome, OpenError, config_to_look_with, end, look, prepare, prepare_rollback,
};
pub use upgrade::upgrade;
