//! What somebody else may do to a fleet.

use std::time::Duration;

use rolling_provider::{InstanceId, Revision, Tags};

/// What somebody else does to a fleet.
#[derive(Clone, Debug)]
pub enum Intervention {
    /// Terminates an instance; the fleet launches another.
    Terminate(InstanceId),
    /// So many instances, drawn from the seed, are gone without having drained, as a cloud reclaims
    /// spare capacity; the fleet launches others.
    Reclaim(u32),
    /// Takes an instance out of every target group.
    Deregister(InstanceId),
    /// Registers an instance again that runs, in every target group that the fleet knows.
    Register(InstanceId),
    /// Protects an instance from scale-in, or ends that.
    Protect(InstanceId, bool),
    /// Sets an instance aside without lowering the size, or puts it back.
    Standby(InstanceId, bool),
    /// Tags an instance `rolling:ignore`.
    Ignore(InstanceId),
    /// Launches an instance of this revision and registers it.
    Join(Revision),
    /// Makes an instance fail its health checks, or heals it.
    Break(InstanceId, bool),
    /// Sets the desired size, and the maximum where that must be higher, or the minimum where that
    /// must be lower.
    Resize(u32),
    /// Sets the minimum and the maximum size, whichever is given; the desired size goes within
    /// them.
    Limit(Option<u32>, Option<u32>),
    /// Writes tags on the target.
    Tags(Tags),
    /// From now on launches this.
    MoveTemplate(Revision),
    /// Raises every alarm, or ends that.
    Alarm(bool),
    /// Every call is refused for so long, for coming too fast.
    Throttle(Duration),
}
