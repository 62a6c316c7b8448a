//! The state of a rollout in the cloud, as tags on its target: the record, the lease and the
//! pending command.

pub mod command;
pub(crate) mod fields;
pub(crate) mod hooks;
pub mod lease;
mod lease_wait;
mod record_error;
mod rollout_record;
mod tags;

pub use hooks::{HookRecord, InstanceSet};
pub use record_error::RecordError;
pub(crate) use rollout_record::routing_fingerprint;
pub use rollout_record::{
    Borrowed, BorrowedMax, BorrowedSettings, Ending, Phase, ReachedCheckpoint, Record, ReleasedStep,
};
pub use tags::{CONTROL, KEYS, LEASE, ROLLOUT, record_in};
pub(crate) use tags::{FAILED, RETAINED};
