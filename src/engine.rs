//! The engine: looks, has the planner plan, acts and reports. What to do with the fleet comes from the
//! planner; what to do about calls that fail, and about a lease that cannot be kept, is decided here.

mod acquire;
mod act;
mod address;
mod background;
mod begin;
mod caller;
pub mod clock;
mod command;
mod condemned;
mod drive;
mod follow;
mod gate;
mod gate_runner;
mod hook;
mod hook_driver;
mod hook_runner;
mod instance_refresh;
mod judge;
mod lease;
mod lease_keeper;
mod look;
mod look_up;
mod message;
mod observer;
pub mod owner;
mod probe;
mod program;
mod report;
mod retry;
mod rollout;
mod run;
pub(crate) mod schedule;
mod session;
mod shown;
mod start_error;
mod tick;

pub(crate) use caller::NOTHING_DONE;
pub use caller::{Caller, Stop, UNSEEN_FOR};
pub use command::ControlOutcome;
pub use hook_driver::{HookDriver, HookInstance, HookMessage};
pub use instance_refresh::UnderWay;
pub use rollout::Rollout;

pub use crate::rollout::control::Answer;
pub use crate::rollout::planner::Preflight;
