//! Instances that are updated in place: out of rotation, on to another revision, and back in,
//! without being replaced. What the cloud shows of an update is translated into the life of an
//! instance, so that the planner counts one that is being updated like one that is being launched.

use std::collections::BTreeMap;
use std::time::Duration;

use rolling_provider::{InstanceId, Revision, Timestamp, Update};

/// How long an update that was asked for may take to show at all. It is asked for once more then,
/// which a cloud without tokens for it would do twice.
pub const UPDATE_SHOWS_IN: Duration = Duration::from_secs(30);

/// How long an accepted update, or the end of one, is believed in while looks lack it.
pub(super) const SHOWS_IN: Duration = Duration::from_secs(60);

/// What is known of updates in place.
#[derive(Clone, Debug, Default)]
pub struct InPlace {
    /// How long one may take; `None` where instances are replaced.
    pub within: Option<Duration>,
    /// Updates that the cloud accepted, by instance.
    pub(super) begun: BTreeMap<InstanceId, Begun>,
    /// Instances whose update is over, and what they run since.
    pub(super) confirmed: BTreeMap<InstanceId, (Option<Revision>, Timestamp)>,
    /// The latest update of each instance that this engine knows of.
    pub(super) known: BTreeMap<InstanceId, String>,
}

/// An update that the cloud accepted.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub(super) update: Update,
    pub(super) at: Timestamp,
}
