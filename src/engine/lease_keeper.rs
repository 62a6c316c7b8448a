//! Keeps the lease of this engine: writes it, renews it, removes it. What the lease entitles to is
//! decided in [`crate::rollout::ownership`].

use std::sync::Arc;
use std::time::Duration;

use rolling_provider::{Action, Clock, Effect, Fleet, Observation, ProviderError, Tags, Timestamp};

use super::caller::{Caller, SOON};
use super::clock::moment;
use super::retry::Retry;
use crate::model::wait::Wait;
use crate::record::LEASE;
use crate::record::lease::{Lease, LeaseWait, RENEW_PERIOD};
use crate::rollout::ownership::{LATE, Moment, Ownership, Standing};

/// The pause between two tries to remove the lease.
const REMOVE_EVERY: Duration = Duration::from_secs(1);

/// How many tries there are to remove the lease at the end.
const REMOVE_TRIES: u32 = 3;

/// See the module.
pub(super) struct LeaseKeeper {
    pub(super) fleet: Arc<dyn Fleet>,
    pub(super) clock: Arc<dyn Clock>,
    /// This process, as the lease names it.
    pub(super) owner: String,
    /// Whether an owner is known to be dead.
    pub(super) is_gone: fn(&str) -> bool,
    pub(super) jitter: f64,
    /// Whether the rollout is ours.
    own: Ownership,
    /// The lease with which this engine began.
    first: Option<Lease>,
    /// The renewals that fail.
    renewals: Retry,
    /// What the engine waits for, which the next renewal shows to others.
    waits: Option<Vec<Wait>>,
}

impl LeaseKeeper {
    /// Returns the keeper of an engine that holds nothing yet.
    pub(super) fn new(fleet: Arc<dyn Fleet>, clock: Arc<dyn Clock>, caller: &Caller) -> Self {
        Self {
            own: Ownership::new(&caller.owner, fleet.guards_record()),
            first: None,
            renewals: Retry::new(caller.jitter),
            waits: None,
            owner: caller.owner.clone(),
            is_gone: caller.is_gone,
            jitter: caller.jitter,
            fleet,
            clock,
        }
    }

    /// The lease with which this engine began, once it holds one.
    pub(super) fn first(&self) -> Option<&Lease> {
        self.first.as_ref()
    }

    /// Whether the lease is ours.
    pub(super) fn holds(&self) -> bool {
        self.own.holds()
    }

    /// Whether engines write a record only over the one that they have seen.
    pub(super) fn guards(&self) -> bool {
        self.fleet.guards_record()
    }

    /// Whether no other engine can be at work by now, as far as that can be known.
    pub(super) fn is_believed(&self) -> bool {
        self.own.is_believed(self.now())
    }

    /// Whether the lease should have been renewed well before now: an engine that acts for long
    /// looks dead.
    pub(super) fn is_late(&self) -> bool {
        self.own.is_late(self.now())
    }

    /// How long until the lease is to be renewed.
    pub(super) fn renewal_due(&self, now: Timestamp) -> Duration {
        match self.own.holds() {
            true => (self.own.renewed_at().now + RENEW_PERIOD).since(now),
            false => Duration::MAX,
        }
    }

    /// Notes that `look` shows `lease`, which was written by a call that began at `renewed`.
    pub(super) fn take(&mut self, lease: Lease, look: &Tags, renewed: Moment) {
        self.first = Some(lease.clone());
        self.own.take(lease, look, renewed);
    }

    /// Judges what `look` says of the ownership of the rollout.
    pub(super) fn judge(&mut self, look: &Observation) -> Standing {
        let now = self.now();
        self.own.judge(&look.record, look.at, now)
    }

    /// Notes that this process may have been suspended.
    pub(super) fn note_suspension(&mut self) {
        self.own.note_suspension();
    }

    /// Whether this process may have been suspended since a look showed everything as it had left
    /// it.
    pub(super) fn was_suspended(&self) -> bool {
        self.own.was_suspended()
    }

    /// Notes the result and the duration of a call: this process may have been suspended during the
    /// call.
    pub(super) fn called(&mut self, action: &Action, began: Moment, error: Option<&ProviderError>) {
        let now = self.now();
        if began.age(now) >= LATE {
            self.own.note_suspension();
        }
        match error.map(|error| error.effect) {
            None | Some(Effect::Applied) => self.own.did(action, true, now.now),
            Some(Effect::Unknown) => self.own.did(action, false, now.now),
            Some(Effect::NotApplied) => {}
        }
    }

    /// Notes what the engine waits for.
    pub(super) fn waits_for(&mut self, waits: Vec<Wait>) {
        self.waits = Some(waits);
    }

    /// Raises the lease's counter when that is due; `shown` is the record that the last look
    /// showed.
    ///
    /// # Errors
    /// The error of the cloud.
    pub(super) async fn renew(&mut self, shown: &Tags) -> Result<(), ProviderError> {
        let began = self.now();
        if self.renewal_due(began.now).is_zero()
            && let Some(next) = self.own.next_lease(shown, began.wall)
        {
            let waits = self.waits.as_ref().map(|waits| LeaseWait::of(waits, began.now));
            let next = Lease { waits, ..next };
            self.fleet.act(&Action::WriteRecord { tags: next.tags() }).await?;
            self.own.renew(next, began);
        }
        Ok(())
    }

    /// Notes that a renewal succeeded.
    pub(super) fn renewed(&mut self) {
        self.renewals.succeeded();
    }

    /// Notes that a renewal failed. Returns whether renewals have failed for `budget`.
    pub(super) fn renewal_failed(&mut self, now: Timestamp, budget: Duration) -> bool {
        self.renewals.failed(now, budget).is_none()
    }

    /// Waits for `asking`, which may take long, and renews the lease meanwhile, so that a waiting
    /// engine looks alive. An engine that was suspended does not renew before it has looked.
    pub(super) async fn renewing<T>(&mut self, shown: &Tags, asking: impl Future<Output = T>) -> T {
        let mut asking = std::pin::pin!(asking);
        while self.own.may_renew_unseen(self.now()) {
            let due = self.renewal_due(self.clock.now());
            tokio::select! {
                biased;
                answer = &mut asking => return answer,
                () = self.clock.sleep(due.max(SOON)) => {}
            }
            self.renew_unseen(shown).await;
        }
        asking.await
    }

    /// Renews the lease when that is due and no other engine can have taken it over since the last
    /// renewal.
    pub(super) async fn renew_unseen(&mut self, shown: &Tags) {
        if self.own.may_renew_unseen(self.now())
            && let Err(error) = self.renew(shown).await
        {
            tracing::warn!(%error, "cannot renew the lease while reads take long");
        }
    }

    /// Writes lease and `record` again where `shown` has neither. The write succeeds only while
    /// there still is no record; where there is one, a look shows whose it is.
    pub(super) async fn write_again(&mut self, shown: &Tags, record: Tags) {
        let began = self.now();
        let Some(lease) = self.own.next_lease(shown, began.wall) else { return };
        let tags = lease.tags().into_iter().chain(record).collect();
        match self.fleet.act(&Action::WriteRecord { tags }).await {
            Ok(_) => self.own.renew(lease, began),
            Err(error) => tracing::warn!(%error, "cannot make the record again"),
        }
    }

    /// Removes a lease under which nothing was done.
    pub(super) async fn release(&mut self) {
        self.delete_tags([LEASE]).await;
        self.own = Ownership::new(&self.owner, self.guards());
        (self.first, self.renewals) = (None, Retry::new(self.jitter));
        self.waits = None;
    }

    /// Removes tags from the target, if the lease is ours. If that fails, the lease is no longer
    /// renewed, which shows the same, only later.
    pub(super) async fn delete_tags<const N: usize>(&self, keys: [&str; N]) {
        if !self.holds() {
            return;
        }
        let keys = keys.into_iter().map(str::to_owned).collect();
        let erase = Action::EraseRecord { keys };
        let mut retry = Retry::every(REMOVE_EVERY);
        loop {
            let Err(error) = self.fleet.act(&erase).await else { return };
            tracing::warn!(%error, "cannot remove the lease");
            let pause = retry.failed(self.clock.now(), Duration::MAX);
            let is_worth_it = error.is_retryable() && retry.failures() < REMOVE_TRIES;
            let Some(pause) = pause.filter(|_| is_worth_it) else { return };
            self.clock.sleep(pause).await;
            // What was written meanwhile must be seen before the next write, and may be another
            // engine's.
            let Ok(look) = self.fleet.observe().await else { continue };
            let found = Lease::from_tags(&look.record);
            if found.is_none_or(|found| found.owner != self.owner) {
                return;
            }
        }
    }

    fn now(&self) -> Moment {
        moment(&*self.clock)
    }
}
