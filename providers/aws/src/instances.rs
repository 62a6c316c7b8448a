//! Unmanaged instances behind a target group as a fleet: no Auto Scaling group keeps track of them.
//!
//! The record is kept as tags on the target group. Which instances are of the fleet is marked on
//! the instances themselves, with the ports they are registered on, so that both are still known
//! once they are in no target group.

mod act;
mod convert;
mod elsewhere;
mod fleet;
mod keys;
mod launch;
mod look;
mod port;

pub use fleet::{InstancesFleet, TargetGroupInstances};
