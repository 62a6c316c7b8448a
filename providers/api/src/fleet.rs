//! The trait every cloud stands behind.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    Action, Clock, InstanceId, InstanceRefreshes, Observation, ProviderError, Revision, Target,
    Timestamp,
};

/// One target of one deployment.
#[async_trait]
pub trait Fleet: Send + Sync {
    /// Looks the target up, and refuses by name what the adapter does not support. Reads only.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] with the attribute at fault when the document asks for what
    /// is not there.
    async fn resolve(&self) -> Result<Target, ProviderError>;

    /// One look at the fleet: batched and paginated, one call a source. Reads only.
    ///
    /// # Errors
    /// Whatever the cloud said.
    async fn observe(&self) -> Result<Observation, ProviderError>;

    /// What the fleet did by itself since `since` and why, newest first. Asked only when a launch
    /// is missing or an instance failed.
    ///
    /// # Errors
    /// Whatever the cloud said.
    async fn activities(&self, since: Timestamp) -> Result<Vec<Activity>, ProviderError>;

    /// Looks for what would keep a rollout from its end, all of it and not just the first. Changes
    /// nothing.
    async fn examine(&self) -> Examination {
        Examination::default()
    }

    /// The alarms of these names as the cloud has them now. Reads only.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when there is no such alarm; else whatever the cloud said.
    async fn alarms(&self, names: &BTreeSet<String>) -> Result<Vec<Alarm>, ProviderError> {
        let message = format!("there are no alarms here, {} of them asked for", names.len());
        Err(ProviderError::invalid("read the alarms", "gates/alarms", message))
    }

    /// Whether looks show the record as it is, never as it was, and a write of it fails where it is
    /// not as the last look showed it. The engine then has the lease to itself as long as it keeps
    /// it up; elsewhere looks lag, and two engines can overlap for a moment.
    fn guards_record(&self) -> bool {
        false
    }

    /// Whether a rollout can begin (`_begins`) with every instance as it is, or one that is under
    /// way can go on. Not asked by who only wants to know, to pause or to abort. Reads only.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] where it is not in a state for it just now,
    /// [`crate::ErrorKind::Invalid`] where it never is, both with the attribute at fault.
    async fn may_roll(&self, _begins: bool) -> Result<(), ProviderError> {
        Ok(())
    }

    /// The wanted revision as it can be rolled out: made first, where [`Target::revision`] only
    /// describes it. Changes nothing of the fleet; asked twice it makes one.
    ///
    /// # Errors
    /// Whatever the cloud said.
    async fn make_revision(&self, wanted: &Revision) -> Result<Revision, ProviderError> {
        Ok(wanted.clone())
    }

    /// Performs one mutation; asked twice it does no more than asked once.
    ///
    /// # Errors
    /// Says in [`ProviderError::effect`] what it left behind.
    async fn act(&self, action: &Action) -> Result<Done, ProviderError>;

    /// The fleet as one that rolls by itself, where it is meant to and can.
    fn instance_refreshes(&self) -> Option<&dyn InstanceRefreshes> {
        None
    }

    /// The clock this fleet lives by.
    fn clock(&self) -> Arc<dyn Clock>;
}

/// What the cloud says of an action that it accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The desired size that a removal lowered, as it was right before: no look can tell as surely
    /// what somebody else has set meanwhile. `None` where the cloud does not say.
    pub lowered_from: Option<u32>,
    /// Whether what was to be removed was gone already, so that nothing was lowered either.
    pub was_gone: bool,
}

/// What an adapter finds about a target beyond what resolving it tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examination {
    /// What would keep a rollout from its end, each as the error that it would be.
    pub errors: Vec<ProviderError>,
    /// What may.
    pub warnings: Vec<ProviderError>,
    /// Calls of which nobody can know whether they are allowed without making them, as the cloud's
    /// permissions have them.
    pub untried: Vec<&'static str>,
}

/// Something a fleet did, or failed to do, by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// When it began.
    pub at: Timestamp,
    /// The instance it is about; `None` for a launch that brought none.
    pub instance: Option<InstanceId>,
    /// Whether it failed.
    pub failed: bool,
    /// What it is.
    pub kind: ActivityKind,
    /// The cloud's own words: what failed and why, or what made the fleet do it.
    pub cause: String,
}

/// What a fleet did by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivityKind {
    /// A launch that is under way: its instance may not be listed yet.
    Launching,
    /// A launch that succeeded then: a look that is late may still not list its instance.
    Launched(Timestamp),
    /// The removal of an instance that the load balancer does not call healthy.
    RemovedUnhealthy,
    /// Anything else.
    Other,
}

/// An alarm of the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Its name.
    pub name: String,
    /// Whether it is raised. One that lacks data is not.
    pub raised: bool,
    /// The cloud's own words on its state.
    pub reason: String,
}
