//! Takes the lease: watches it until it may be taken, writes it, and looks until it shows.

use std::time::Duration;

use rolling_provider::{Action, Observation, Timestamp};

use super::caller::{RETRY_BUDGET, Stop};
use super::clock::moment;
use super::lease_keeper::LeaseKeeper;
use super::observer::Observer;
use super::retry::Retry;
use super::session::Session;
use super::start_error::StartError::{self, FleetUnseen};
use crate::model::event::Event;
use crate::model::wait::{Wait, WaitKind};
use crate::record::lease::{Claim, LEASE_DURATION, Lease, LeaseWatch, is_fresh};
use crate::rollout::ownership::Moment;

/// The interval of looks at a watched lease.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The result of an attempt to take the lease.
pub(super) enum Acquired {
    /// It is ours, and this look shows it.
    Ours(Observation),
    /// This owner is at work.
    Held(String),
    /// It was written, and no look shows it.
    Unseen,
    /// The run is to end, and nothing was written.
    Stopped,
}

/// The result of watching the lease.
enum Watched {
    /// It may be taken: the lease that was found, and how long our own must be in place.
    Free(Option<Lease>, Duration),
    Held(String),
    Stopped,
}

/// The result of writing the lease.
enum LeaseWriteOutcome {
    /// It is written, by a call that began at this moment.
    Ours(Moment),
    /// This owner has written another lease meanwhile.
    Held(String),
}

impl LeaseKeeper {
    /// Takes the lease, however long that takes. `look` is the last look, here as there.
    ///
    /// # Errors
    /// When the fleet cannot be seen, or the lease cannot be written.
    pub(super) async fn acquire(
        &mut self,
        observer: &mut Observer,
        look: &mut Observation,
        session: &mut Session<'_>,
    ) -> Result<Acquired, StartError> {
        let (found, settle) = match self.watch(observer, look, session).await? {
            Watched::Free(found, settle) => (found, settle),
            Watched::Held(owner) => return Ok(Acquired::Held(owner)),
            Watched::Stopped => return Ok(Acquired::Stopped),
        };
        let counter = found.as_ref().map_or(0, |lease| lease.counter) + 1;
        let at = Some(self.clock.wall());
        let mine = Lease { owner: self.owner.clone(), counter, at, waits: None };
        let renewed = match self.write(&mine, found.as_ref(), observer, look, session).await? {
            LeaseWriteOutcome::Ours(renewed) => renewed,
            LeaseWriteOutcome::Held(owner) => return Ok(Acquired::Held(owner)),
        };
        let written = self.clock.now();
        // A lease counts once it has been in place for a while and reads show it. A guarded one
        // counts at once.
        if !self.guards() {
            self.clock.sleep(settle).await;
        }
        let mine = (mine, renewed, written);
        self.confirm(mine, found.as_ref(), observer, look, session).await
    }

    /// Watches the lease until it may be taken.
    async fn watch(
        &mut self,
        observer: &mut Observer,
        look: &mut Observation,
        session: &mut Session<'_>,
    ) -> Result<Watched, StartError> {
        let (mut watched, mut looked_again) = (LeaseWatch::default(), false);
        if !is_fresh(look.at, self.clock.now()) {
            *look = observer.look(Some(self), &look.record, session).await.map_err(FleetUnseen)?;
        }
        loop {
            if session.heed() != Stop::No {
                return Ok(Watched::Stopped);
            }
            let found = Lease::from_tags(&look.record);
            match watched.judge(found.as_ref(), &self.owner, self.is_gone, self.clock.now()) {
                // This process may have been suspended since the look. Only once: a look may take
                // that long.
                Claim::Take(_) if observer.is_late() && !looked_again => looked_again = true,
                Claim::Take(settle) => return Ok(Watched::Free(found, settle)),
                Claim::Held(owner) => return Ok(Watched::Held(owner)),
                Claim::Watch(deadline) => {
                    let detail = found.map(|lease| lease.owner);
                    let (kind, instances) = (WaitKind::Lease, Vec::new());
                    let on = vec![Wait { kind, instances, detail, deadline }];
                    session.send(self.clock.now(), Event::Waiting { on });
                    session.pause(&*self.clock, LOOK_EVERY).await;
                }
            }
            *look = observer.look(Some(self), &look.record, session).await.map_err(FleetUnseen)?;
        }
    }

    /// Writes `lease` over the lease that was found.
    async fn write(
        &mut self,
        lease: &Lease,
        over: Option<&Lease>,
        observer: &mut Observer,
        look: &mut Observation,
        session: &mut Session<'_>,
    ) -> Result<LeaseWriteOutcome, StartError> {
        let mut retry = Retry::new(self.jitter);
        let action = Action::WriteRecord { tags: lease.tags() };
        loop {
            let began = moment(&*self.clock);
            let Err(error) = self.fleet.act(&action).await else {
                return Ok(LeaseWriteOutcome::Ours(began));
            };
            let now = self.clock.now();
            let is_worth_it = error.is_retryable() && !session.is_stopping();
            let Some(pause) = retry.failed(now, RETRY_BUDGET).filter(|_| is_worth_it) else {
                return Err(StartError::LeaseNotWritten(error));
            };
            session.send(now, Event::Retrying { error: error.to_string() });
            session.pause(&*self.clock, pause).await;
            *look = observer.look(Some(self), &look.record, session).await.map_err(FleetUnseen)?;
            let found = Lease::from_tags(&look.record);
            let other = found.filter(|found| found.owner != lease.owner);
            if let Some(other) = other.filter(|other| Some(other) != over) {
                return Ok(LeaseWriteOutcome::Held(other.owner));
            }
        }
    }

    /// Looks until the lease that was written at `written` shows.
    async fn confirm(
        &mut self,
        (mine, renewed, written): (Lease, Moment, Timestamp),
        found: Option<&Lease>,
        observer: &mut Observer,
        before: &Observation,
        session: &mut Session<'_>,
    ) -> Result<Acquired, StartError> {
        loop {
            let look =
                observer.look(Some(self), &before.record, session).await.map_err(FleetUnseen)?;
            let shown = Lease::from_tags(&look.record);
            if shown.as_ref() == Some(&mine) {
                self.take(mine, &look.record, renewed);
                return Ok(Acquired::Ours(look));
            }
            if let Some(other) = shown.filter(|shown| Some(shown) != found) {
                return Ok(Acquired::Held(other.owner));
            }
            if self.clock.now().since(written) > LEASE_DURATION {
                return Ok(Acquired::Unseen);
            }
            self.clock.sleep(LOOK_EVERY).await;
        }
    }
}
