//! A rollout, purely: what is known of it, whose it is, what a command does to it, and what to do
//! next.

pub mod control;
pub mod instance_refresh;
pub mod ownership;
pub mod planner;
pub mod serving;
pub mod state;
