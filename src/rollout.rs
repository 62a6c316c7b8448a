//! A rollout as pure functions: what is known of it, which engine owns it, what a command does to
//! it, and what to do next.

pub mod absorb;
pub mod begun;
pub mod control;
pub mod gate_failure;
pub mod gates;
pub mod instance_refresh;
pub mod ownership;
pub mod planner;
pub mod restore;
pub mod serving;
pub mod state;
