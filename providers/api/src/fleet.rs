//! The trait that every adapter implements.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    Action, Clock, InstanceId, Observation, ProviderError, Revision, RolloutController, Target,
    Timestamp,
};

/// One target of one deployment.
#[async_trait]
pub trait Fleet: Send + Sync {
    /// Looks the target up, and refuses by name what the adapter does not support. Reads only.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] with the attribute at fault when the document asks for
    /// something that does not exist.
    async fn resolve(&self) -> Result<Target, ProviderError>;

    /// Takes one look at the fleet: batched and paginated, one call per source. Reads only.
    ///
    /// # Errors
    /// Any error of the cloud.
    async fn observe(&self) -> Result<Observation, ProviderError>;

    /// Returns what the fleet did on its own since `since` and why, newest first. Called only when
    /// a launch is missing or an instance failed.
    ///
    /// # Errors
    /// Any error of the cloud.
    async fn activities(&self, since: Timestamp) -> Result<Vec<Activity>, ProviderError>;

    /// Finds everything that would keep a rollout from completing, not just the first obstacle.
    /// Changes nothing.
    async fn examine(&self) -> Examination {
        Examination::default()
    }

    /// Returns the alarms of these names in their current state. Reads only.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when there is no such alarm; else any error of the cloud.
    async fn alarms(&self, names: &BTreeSet<String>) -> Result<Vec<Alarm>, ProviderError> {
        let message = format!("there are no alarms here, {} of them asked for", names.len());
        Err(ProviderError::invalid("read the alarms", "gates/alarms", message))
    }

    /// Returns the private addresses of these instances, as far as the cloud knows them. Called only
    /// for a hook of the user's, which may have to reach them. Reads only.
    ///
    /// # Errors
    /// Any error of the cloud.
    async fn addresses(
        &self,
        _instances: &BTreeSet<InstanceId>,
    ) -> Result<BTreeMap<InstanceId, String>, ProviderError> {
        Ok(BTreeMap::new())
    }

    /// Returns instances that the fleet had and that are terminated, as far as the cloud still knows
    /// of them. Called only for a rollback where nothing is recorded of the rollout. Reads only.
    ///
    /// # Errors
    /// Any error of the cloud.
    async fn terminated(&self) -> Result<Vec<TerminatedInstance>, ProviderError> {
        Ok(Vec::new())
    }

    /// Whether looks always show the current record, and a write of it fails unless it is as the
    /// last look showed it. The engine then holds the lease exclusively as long as it renews it.
    /// Elsewhere looks lag, and two engines can overlap for a moment.
    fn guards_record(&self) -> bool {
        false
    }

    /// Checks that a rollout can begin (`_begins`) with every instance as it is, or that the
    /// current one can continue. The engine does not call this to report, pause or abort. Reads
    /// only.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] where the current state does not allow it,
    /// [`crate::ErrorKind::Invalid`] where no state allows it, both with the attribute at fault.
    async fn may_roll(&self, _begins: bool) -> Result<(), ProviderError> {
        Ok(())
    }

    /// Returns the wanted revision in a form that can be rolled out. Creates it first where
    /// [`Target::revision`] only describes it. Changes nothing of the fleet. Repeated calls create
    /// only one.
    ///
    /// # Errors
    /// Any error of the cloud.
    async fn make_revision(&self, wanted: &Revision) -> Result<Revision, ProviderError> {
        Ok(wanted.clone())
    }

    /// Performs one mutation. A repeated call does no more than one call.
    ///
    /// # Errors
    /// States in [`ProviderError::effect`] what it left behind.
    async fn act(&self, action: &Action) -> Result<Done, ProviderError>;

    /// Returns the controller that rolls the fleet in place of the engine, where it is configured so.
    fn rollout_controller(&self) -> Option<&dyn RolloutController> {
        None
    }

    /// Returns the clock that this fleet runs on.
    fn clock(&self) -> Arc<dyn Clock>;
}

/// What the cloud reports about an action that it accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The desired size right before a removal lowered it. No look shows as reliably what others
    /// have set meanwhile. `None` where the cloud does not report it.
    pub lowered_from: Option<u32>,
    /// Whether the instance to remove was already gone, so that no size was lowered either.
    pub was_gone: bool,
}

/// An instance that a fleet had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminatedInstance {
    /// Its id.
    pub id: InstanceId,
    /// What it ran; `None` where the cloud does not know.
    pub revision: Option<Revision>,
    /// When it was launched, on the cloud's clock.
    pub launched_at: Option<Timestamp>,
    /// When it was terminated, on the cloud's clock.
    pub terminated_at: Option<Timestamp>,
    /// Whether a rollout had marked it as failed.
    pub failed: bool,
}

/// What an adapter finds about a target beyond what resolving it shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examination {
    /// What would keep a rollout from completing, each as the error that it would cause.
    pub errors: Vec<ProviderError>,
    /// What may keep a rollout from completing.
    pub warnings: Vec<ProviderError>,
    /// Calls whose permission shows only when they are made, named as in the cloud's permissions.
    pub untried: Vec<&'static str>,
}

/// Something a fleet did, or failed to do, on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// When it began.
    pub at: Timestamp,
    /// The instance it is about; `None` for a launch without an instance.
    pub instance: Option<InstanceId>,
    /// Whether it failed.
    pub failed: bool,
    /// What it is.
    pub kind: ActivityKind,
    /// The cloud's own text: what failed and why, or what made the fleet do it.
    pub cause: String,
}

/// What a fleet did on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivityKind {
    /// A launch that is under way: its instance may not be listed yet.
    Launching,
    /// A launch that succeeded at this time: a look that lags may still not list its instance.
    Launched(Timestamp),
    /// The removal of an instance that the load balancer does not report as healthy.
    RemovedUnhealthy,
    /// Anything else.
    Other,
}

/// An alarm of the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Its name.
    pub name: String,
    /// Whether it is raised. An alarm that lacks data is not.
    pub raised: bool,
    /// The cloud's own text about its state.
    pub reason: String,
}
