//! What everything else speaks of: a deployment as it is to be, and the events of a rollout.

pub mod event;
pub mod limits;
pub mod preview;
pub mod spec;
pub mod wait;
