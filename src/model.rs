//! The types that all other modules share: a deployment as specified, and the events of a rollout.

mod delegated_report;
pub mod event;
pub(crate) mod limits;
pub(crate) mod moment;
pub mod preview;
pub(crate) mod printable;
pub mod spec;
pub mod wait;
