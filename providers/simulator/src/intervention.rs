//! The interventions: what others may do to a fleet.

use std::time::Duration;

use rolling_provider::{InstanceId, Revision, Tags};

/// What others do to a fleet.
#[derive(Clone, Debug)]
pub enum Intervention {
    /// Terminates an instance; the fleet launches another.
    Terminate(InstanceId),
    /// Removes this many instances, drawn from the seed, without draining, as a cloud reclaims
    /// spare capacity; the fleet launches others.
    Reclaim(u32),
    /// Takes an instance out of every target group.
    Deregister(InstanceId),
    /// Registers a running instance again, in every target group that the fleet knows.
    Register(InstanceId),
    /// Protects an instance from scale-in, or ends the protection.
    Protect(InstanceId, bool),
    /// Puts an instance in standby without lowering the size, or back in service.
    Standby(InstanceId, bool),
    /// Tags an instance `rolling:ignore`.
    Ignore(InstanceId),
    /// Launches an instance of this revision and registers it.
    Join(Revision),
    /// Makes an instance fail its health checks, or heals it.
    Break(InstanceId, bool),
    /// Sets the desired size, and raises the maximum or lowers the minimum where necessary.
    Resize(u32),
    /// Sets the minimum size, the maximum size, or both; the desired size moves within them.
    Limit(Option<u32>, Option<u32>),
    /// Writes tags on the target.
    Tags(Tags),
    /// Sets what the fleet launches from now on.
    MoveTemplate(Revision),
    /// Suspends a process, or resumes it.
    Suspend(String, bool),
    /// Raises every alarm, or clears them all.
    Alarm(bool),
    /// Throttles every call for this long.
    Throttle(Duration),
}
