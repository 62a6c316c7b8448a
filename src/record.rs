//! What the cloud remembers of a rollout, as tags on its target: the record, the lease and the
//! pending command.

pub mod command;
pub(crate) mod fields;
pub mod lease;
mod tags;

pub use tags::{
    BORROWED, Borrowed, BorrowedMax, COMPLETED, CONTROL, Ending, FAILED, KEYS, LEASE, PROGRESS,
    Phase, REASON, RETAINED, ROLLOUT, Record, record_in, routing_fingerprint,
};
