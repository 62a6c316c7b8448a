//! The port, implemented for a Deployment.

use std::sync::Arc;

use async_trait::async_trait;
use rolling_provider::{
    Action, Activity, ActivityKind, Clock, Done, Examination, Fleet, Observation, ProviderError,
    Target, Timestamp,
};

use crate::fleet::WorkloadFleet;

#[async_trait]
impl Fleet for WorkloadFleet {
    async fn resolve(&self) -> Result<Target, ProviderError> {
        self.look_up().await
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let look = self.look().await?;
        let observation = look.observation(&self.target, self.clock.now());
        self.saw(|last| *last = Some(look));
        Ok(observation)
    }

    async fn activities(&self, _since: Timestamp) -> Result<Vec<Activity>, ProviderError> {
        // What the controller cannot do stands in its status; that is all that it tells.
        let Some(look) = self.last() else { return Ok(Vec::new()) };
        let refused = look.status().refused;
        let failed = refused.map(|cause| Activity {
            at: self.clock.now(),
            instance: None,
            failed: true,
            kind: ActivityKind::Other,
            cause,
        });
        Ok(failed.into_iter().collect())
    }

    async fn examine(&self) -> Examination {
        self.look_for_trouble().await
    }

    /// Reads show what was written last, and a write names the version that it is based on.
    fn guards_record(&self) -> bool {
        true
    }

    async fn may_roll(&self, _begins: bool) -> Result<(), ProviderError> {
        self.refuse_foreign_pause().await
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        self.perform(action).await.map(|()| Done::default())
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }
}
