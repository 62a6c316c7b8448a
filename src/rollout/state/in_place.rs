//! Instances that are updated in place: out of rotation, on to another revision, and back in,
//! without being replaced. The engine translates what the cloud shows of an update into the
//! lifecycle of an instance, so that the planner counts an instance being updated like one being
//! launched.

use std::collections::BTreeMap;
use std::time::Duration;

use rolling_provider::{InstanceId, Revision, Timestamp, Update};

/// How long a requested update may take to show at all. The engine then requests it once more, and
/// a cloud without tokens for it would carry it out twice.
pub(crate) const UPDATE_SHOWS_IN: Duration = Duration::from_secs(30);

/// How long the engine believes an accepted update, or its end, while looks lack it.
pub(super) const SHOWS_IN: Duration = Duration::from_secs(60);

/// What is known of updates in place.
#[derive(Clone, Debug, Default)]
pub(crate) struct InPlaceState {
    /// How long an update may take; `None` where instances are replaced.
    pub(crate) within: Option<Duration>,
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
