//! A deployment for front-ends that keep state: opened, ended, and its state.

mod open;
pub mod state;
pub mod stop;

pub use open::{DeleteOutcome, OpenError, end, look, prepare, with_default_policy};
