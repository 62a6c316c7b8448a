//! The engine: looks, has the planner plan, acts and reports. What to do with the fleet comes from the
//! planner; when a call that fails is tried again is decided here.

mod acquire;
mod act;
mod address;
mod background;
mod caller;
pub mod clock;
mod command;
mod command_sender;
mod context;
mod control_outcome;
mod delegated_command;
mod delegated_executor;
mod drive;
mod executor;
mod follow;
mod gate;
mod gate_runner;
mod hook;
mod hook_driver;
mod hook_runner;
mod lease;
mod lease_keeper;
mod look_up;
mod message;
mod observer;
pub mod owner;
mod predecessor;
mod probe;
mod program;
mod redeploy;
mod report;
pub(crate) mod retry;
mod rolling;
mod rollout;
mod run;
pub(crate) mod schedule;
mod secrets;
mod session;
mod shown;
mod start_error;
mod tick;
mod unstartable;

pub(crate) use caller::NOTHING_DONE;
pub use caller::{Caller, NOT_FOUND_RETRY_FOR, Stop};
pub use control_outcome::ControlOutcome;
pub use executor::UnderWay;
pub use hook_driver::{HookDriver, HookInstance, HookMessage};
pub use rollout::Rollout;

pub use crate::rollout::control::CommandReply;
pub use crate::rollout::planner::Preflight;
