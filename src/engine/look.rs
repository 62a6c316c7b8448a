//! Looks at the fleet: at first, after the lease changes hands, and every tick.

use std::sync::Arc;

use rolling_provider::{ErrorKind, Fleet, Observation, ProviderError};

use super::message::with_remedy;
use super::rollout::Rollout;
use super::session::Session;
use super::start_error::StartError;
use crate::record::RecordError;
use crate::rollout::absorb::absorb;
use crate::rollout::restore::Known;
use crate::rollout::state::Halt;

impl Rollout {
    /// Starts over from `look`.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub(super) fn restore_from_record(&mut self, look: Observation) -> Result<(), RecordError> {
        let known = Known {
            asked: &self.asked,
            target: &self.target,
            wanted: &self.wanted,
            rollout_id: &self.caller.rollout_id,
            completed: self.caller.completed.as_ref(),
            lease: self.lease.first(),
            command: self.command.as_ref(),
        };
        let restored = known.restore(look)?;
        (self.spec, self.target) = (restored.spec, restored.target);
        (self.look, self.state) = (restored.look, restored.state);
        Ok(())
    }

    /// Creates the wanted revision, if it is only described yet.
    ///
    /// # Errors
    /// When it cannot be created, or the record cannot be read.
    pub(super) async fn make_revision(
        &mut self,
        session: &mut Session<'_>,
    ) -> Result<(), StartError> {
        let wanted = self.wanted.clone();
        let make = |fleet: Arc<dyn Fleet>| {
            let wanted = wanted.clone();
            async move { fleet.make_revision(&wanted).await }
        };
        let made = self.ask(session, make).await;
        let made = made.map_err(|error| StartError::RevisionNotMade(wanted, error))?;
        if made == self.wanted {
            return Ok(());
        }
        self.wanted = made;
        if self.is_instance_refresh() {
            self.target.revision = self.wanted.clone();
            self.restore_instance_refresh(self.look.clone());
            return Ok(());
        }
        Ok(self.restore_from_record(self.look.clone())?)
    }

    /// Asks the fleet, with retries; see [`super::observer::Observer::ask`].
    ///
    /// # Errors
    /// The error of the cloud, once another try is not worth it.
    pub(super) async fn ask<T, F: Future<Output = Result<T, ProviderError>>>(
        &mut self,
        session: &mut Session<'_>,
        ask: impl Fn(Arc<dyn Fleet>) -> F,
    ) -> Result<T, ProviderError> {
        self.observer.ask(&mut self.lease, &self.look.record, session, ask).await
    }

    /// Takes a fresh look. Returns whether the fleet changed since the last one.
    ///
    /// # Errors
    /// The error of the cloud, once another try is not worth it.
    pub(super) async fn observe(
        &mut self,
        session: &mut Session<'_>,
    ) -> Result<bool, ProviderError> {
        let look = self.observer.look(&mut self.lease, &self.look.record, session).await?;
        let (spec, target) = (&self.spec, &self.target);
        let absorbed = absorb(spec, target, &mut self.state, &self.look, look);
        self.look = absorbed.look;
        if absorbed.asks_activities {
            self.ask_for_activities().await;
        }
        self.ask_who_else_rolls(session).await;
        Ok(absorbed.changed)
    }

    /// Asks the cloud whether another process rolls the fleet, if instances came that this rollout
    /// did not ask for: two competing rollouts would never end.
    async fn ask_who_else_rolls(&mut self, session: &mut Session<'_>) {
        let strangers = self.state.strangers(&self.target, &self.look);
        if self.state.direction.halt.is_some()
            || strangers.is_subset(&self.state.launches.asked_about)
        {
            return;
        }
        let answer = self.fleet.may_roll(false).await;
        let Err(error) = answer else {
            self.state.launches.asked_about.extend(strangers);
            return;
        };
        if error.kind == ErrorKind::Conflict {
            let ids: Vec<String> = strangers.iter().map(ToString::to_string).collect();
            let message = format!(
                "{} came on another revision than this rollout or anybody before it launches: {}",
                ids.join(", "),
                with_remedy(&error)
            );
            let now = self.clock.now();
            self.halt(Halt { fault: false, ..Halt::failed(message, now) }, session);
        }
    }

    /// Asks the fleet what it did on its own, to name the cause of what is missing or failed.
    pub(super) async fn ask_for_activities(&mut self) {
        self.state.launches.activities_asked = Some(self.look.at);
        match self.fleet.activities(self.state.started).await {
            Ok(activities) => self.state.explain(activities, self.look.at),
            // Without permission to read them only an explanation is lost. After any other error it
            // is unknown whether instances are on their way.
            Err(error) => {
                self.state.launches.coming = if error.is_retryable() { usize::MAX } else { 0 };
                tracing::warn!(%error, "cannot read the fleet's activities");
            }
        }
    }
}
