//! The engine: looks, has the planner plan, acts and reports. It decides nothing.

mod act;
mod begin;
mod caller;
pub mod clock;
mod command;
mod condemned;
mod drive;
mod emitter;
mod follow;
mod gate;
mod gate_runner;
mod held_lease;
mod hold;
mod instance_refresh;
mod judge;
mod look;
pub mod owner;
mod probe;
mod report;
mod retry;
mod rollout;
mod run;
pub mod schedule;
mod tick;

pub use caller::{Caller, NOTHING_DONE, Stop, UNSEEN_FOR};
pub use command::ControlOutcome;
pub use instance_refresh::UnderWay;
pub use rollout::Rollout;
