//! An embedded cloud: a fleet with boots, health checks, drains and failures, from a seed.
//!
//! It needs no account, no network and no daemon. Its whole state is a function of its calls and
//! its clock, so a run on virtual time is the same every time. Kept in a file, it lets separate
//! runs of the program see one fleet.

mod clock;
mod config;
mod event;
mod fleet;
mod intervention;
mod state;
mod state_file;

pub use clock::VirtualClock;
pub use config::{Behaviour, FleetConfig, Hangs, Hooks, TargetGroupConfig};
pub use fleet::{EPOCH, Simulator};
pub use intervention::Intervention;
