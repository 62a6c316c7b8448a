//! A rollout as pure functions: what is known of it, which engine owns it, what a command does to
//! it, and what to do next.

pub(crate) mod absorb;
pub(crate) mod begun;
pub(crate) mod conditions;
pub(crate) mod conflict;
pub mod control;
pub(crate) mod delegated;
#[cfg(test)]
pub(crate) mod example;
pub(crate) mod gate_failure;
pub(crate) mod gates;
pub(crate) mod hooks;
pub mod ownership;
pub mod planner;
pub(crate) mod recovery;
pub(crate) mod renewal;
pub(crate) mod rollback_reason;
pub mod rollback_target;
pub(crate) mod serving;
pub mod state;
