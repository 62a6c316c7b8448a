//! Hooks of the user's: which one is due.
//!
//! This module decides when each is run, and the engine runs it. The record says what is done, and
//! is written before what waits for it: an engine that is killed in between has the same hook run
//! again, with the same id. A hook that has begun runs to its end, whatever the fleet does
//! meanwhile, unless the rollout turns.

mod ask;
mod batch;
mod noted;
mod open_batch;
mod prepare;
mod whole;

pub(crate) use self::ask::{keep_running, keep_running_for};
pub(crate) use self::batch::{closes_batch, is_due_in_batch};
pub(crate) use self::open_batch::{batch_number, begin_launches};
pub(crate) use self::prepare::prepared;
pub(crate) use self::whole::{
    after_rollout, ask_before_rollback, ask_before_rollout, before_rollback, before_rollout, begin,
    going_back, standing,
};
