//! Looks at the fleet: at first, after the lease changes hands, and every tick.

use std::sync::Arc;

use rolling_provider::{Fleet, ProviderError, Revision, Timestamp};

use super::RolloutContext;
use crate::engine::lease_keeper::LeaseKeeper;
use crate::engine::message::with_remedy;
use crate::engine::session::Session;
use crate::engine::start_error::StartError;
use crate::rollout::absorb::absorb;
use crate::rollout::conflict::rolled_by_another;

/// How long, in milliseconds, before a rollout a launch may have failed that explains why an
/// instance is missing.
const FAILED_BEFORE: u64 = 3_600_000;

impl RolloutContext {
    /// Asks the fleet, with retries; see [`crate::engine::observer::Observer::ask`]. Renews the `lease`
    /// meanwhile, where there is one to renew.
    ///
    /// # Errors
    /// The error of the cloud, once another try is not worth it.
    pub(in crate::engine) async fn ask<T, F: Future<Output = Result<T, ProviderError>>>(
        &self,
        lease: Option<&mut LeaseKeeper>,
        session: &mut Session<'_>,
        ask: impl Fn(Arc<dyn Fleet>) -> F,
    ) -> Result<T, ProviderError> {
        self.observer.ask(lease, &self.look.record, session, ask).await
    }

    /// Takes a fresh look. Returns whether the fleet changed since the last one.
    ///
    /// # Errors
    /// The error of the cloud, once another try is not worth it.
    pub(in crate::engine) async fn observe(
        &mut self,
        lease: Option<&mut LeaseKeeper>,
        session: &mut Session<'_>,
    ) -> Result<bool, ProviderError> {
        let look = self.observer.look(lease, &self.look.record, session).await?;
        let absorbed = absorb(&self.spec, &self.target, &mut self.state, &self.look, look);
        self.look = absorbed.look;
        if absorbed.asks_activities {
            self.ask_for_activities().await;
        }
        self.ask_who_else_rolls(session).await;
        Ok(absorbed.changed)
    }

    /// Returns the wanted revision, which is created if it is only described yet.
    ///
    /// # Errors
    /// When it cannot be created.
    pub(in crate::engine) async fn make_revision(
        &self,
        lease: Option<&mut LeaseKeeper>,
        session: &mut Session<'_>,
    ) -> Result<Revision, StartError> {
        let wanted = &self.wanted;
        let make = |fleet: Arc<dyn Fleet>| async move { fleet.make_revision(wanted).await };
        let made = self.ask(lease, session, make).await;
        made.map_err(|error| StartError::RevisionNotMade(wanted.clone(), error))
    }

    /// Asks the cloud whether another process rolls the fleet, if instances came that this rollout
    /// did not ask for: two competing rollouts would never end.
    async fn ask_who_else_rolls(&mut self, session: &mut Session<'_>) {
        let Some(unexplained_launches) = self.state.launches_to_ask_about(&self.target, &self.look)
        else {
            return;
        };
        let answer = self.fleet.may_roll(false).await;
        let Err(error) = answer else {
            self.state.launches.asked_about.extend(unexplained_launches);
            return;
        };
        let now = self.clock.now();
        if let Some(halt) =
            rolled_by_another(&unexplained_launches, error.kind, &with_remedy(&error), now)
        {
            self.halt(halt, session);
        }
    }

    /// Asks the fleet what it did on its own, to name the cause of what is missing or failed.
    pub(in crate::engine) async fn ask_for_activities(&mut self) {
        self.state.launches.activities_asked = Some(self.look.at);
        self.explain(self.state.started).await;
    }

    /// Does the same before a rollout begins, and also for the launches that failed shortly before.
    pub(in crate::engine) async fn ask_why_missing(&mut self) {
        self.explain(Timestamp(self.state.started.0.saturating_sub(FAILED_BEFORE))).await;
    }

    async fn explain(&mut self, since: Timestamp) {
        match self.activities(since).await {
            Ok(activities) => {
                let started = self.state.started;
                let (own, earlier): (Vec<_>, Vec<_>) =
                    activities.into_iter().partition(|activity| activity.at >= started);
                self.state.explain(own, self.look.at);
                // They say why instances are missing, and nothing of this rollout.
                let failed = earlier.into_iter().filter(|activity| activity.failed);
                self.state.launches.activities.extend(failed);
            }
            // Without permission to read them only an explanation is lost. After any other error it
            // is unknown whether instances are on their way.
            Err(error) => {
                self.state.launches.coming = if error.is_retryable() { usize::MAX } else { 0 };
            }
        }
    }
}
