//! Unmanaged instances behind a target group as a fleet: no Auto Scaling group keeps track of them.
//!
//! The record is kept as tags on the target group. Tags on the instances mark which ones belong to
//! the fleet, and on which ports they are registered, so that both are still known once they are in
//! no target group.

mod act;
mod by_address;
mod convert;
mod elsewhere;
mod fleet;
mod keys;
mod launch;
mod look;
mod port;
mod registered;

pub use fleet::{InstancesFleet, TargetGroupInstances};
