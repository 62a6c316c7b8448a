//! Reads of the cloud while the lease may be held: they are retried, and the lease is renewed
//! meanwhile.

use std::sync::Arc;
use std::time::Duration;

use rolling_provider::{Clock, Fleet, Observation, ProviderError, Tags};

use super::caller::{RETRY_BUDGET, STOP_RETRY_BUDGET, Stop};
use super::clock::moment;
use super::lease_keeper::LeaseKeeper;
use super::retry::Retry;
use super::session::Session;
use crate::model::event::Event;
use crate::rollout::ownership::{LATE, Moment};

/// See the module.
pub(super) struct Observer {
    fleet: Arc<dyn Fleet>,
    clock: Arc<dyn Clock>,
    jitter: f64,
    /// When the last look was requested.
    looked: Moment,
    looks: u64,
}

impl Observer {
    /// Returns the observer that has looked once, at `looked`.
    pub(super) fn new(
        fleet: Arc<dyn Fleet>,
        clock: Arc<dyn Clock>,
        jitter: f64,
        looked: Moment,
    ) -> Self {
        Self { fleet, clock, jitter, looked, looks: 1 }
    }

    /// How often it has looked.
    pub(super) fn looks(&self) -> u64 {
        self.looks
    }

    /// How long ago the last look was requested.
    pub(super) fn age(&self) -> Duration {
        self.looked.age(moment(&*self.clock))
    }

    /// Whether the last look is so old that it may be from before this process was suspended.
    pub(super) fn is_late(&self) -> bool {
        self.age() >= LATE
    }

    /// Notes that somebody else looks now.
    pub(super) fn looks_now(&mut self) {
        self.looked = moment(&*self.clock);
    }

    /// Takes a fresh look; `shown` is the record that the last one showed. Renews `lease` meanwhile.
    ///
    /// # Errors
    /// The error of the cloud, once another try is not worth it.
    pub(super) async fn look(
        &mut self,
        lease: Option<&mut LeaseKeeper>,
        shown: &Tags,
        session: &mut Session<'_>,
    ) -> Result<Observation, ProviderError> {
        let ask = |fleet: Arc<dyn Fleet>| async move { fleet.observe().await };
        self.looks_now();
        let look = self.ask(lease, shown, session, ask).await?;
        self.looks += 1;
        Ok(look)
    }

    /// Retries `ask` as long as that may help; a request to stop shortens that. Renews `lease`
    /// meanwhile.
    ///
    /// # Errors
    /// The error of the cloud, once another try is not worth it.
    pub(super) async fn ask<T, F: Future<Output = Result<T, ProviderError>>>(
        &self,
        mut lease: Option<&mut LeaseKeeper>,
        shown: &Tags,
        session: &mut Session<'_>,
        ask: impl Fn(Arc<dyn Fleet>) -> F,
    ) -> Result<T, ProviderError> {
        let mut retry = Retry::new(self.jitter);
        // A request to stop also covers a call that hangs.
        let mut stopping = Retry::new(self.jitter).since(self.clock.now());
        loop {
            let asking = ask(Arc::clone(&self.fleet));
            let asked = match lease.as_deref_mut() {
                Some(lease) => lease.renewing(shown, asking).await,
                None => asking.await,
            };
            let error = match asked {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            let (urgency, now) = (session.urgency(), self.clock.now());
            let pause = match urgency {
                Stop::No => retry.failed(now, RETRY_BUDGET),
                Stop::Gracefully => stopping.failed(now, STOP_RETRY_BUDGET),
                Stop::Now => None,
            };
            let Some(pause) = pause.filter(|_| error.is_retryable()) else { return Err(error) };
            session.send(now, Event::Retrying { error: error.to_string() });
            match urgency {
                Stop::No => session.pause(&*self.clock, pause).await,
                // The request was seen already, and interrupts no further pause.
                _ => self.clock.sleep(pause).await,
            }
            if let Some(lease) = lease.as_deref_mut() {
                lease.renew_unseen(shown).await;
            }
        }
    }
}
