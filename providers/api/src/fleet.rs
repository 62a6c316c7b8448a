//! The trait every cloud stands behind.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Action, Clock, InstanceId, Observation, ProviderError, Target, Timestamp};

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

    /// Performs one mutation; asked twice it does no more than asked once.
    ///
    /// # Errors
    /// Says in [`ProviderError::effect`] what it left behind.
    async fn act(&self, action: &Action) -> Result<(), ProviderError>;

    /// The clock this fleet lives by.
    fn clock(&self) -> Arc<dyn Clock>;
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
    /// The cloud's own words: what failed and why, or what made the fleet do it.
    pub cause: String,
}
