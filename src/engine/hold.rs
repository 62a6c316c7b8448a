//! Holding the lease: taking it, keeping it, noticing its loss, letting it go.

use std::collections::BTreeSet;
use std::time::Duration;

use rolling_provider::{Action, Timestamp};
use tokio::sync::watch;

use super::NOTHING_DONE;
use super::report::Emitter;
use super::{PATIENCE, Rollout, Stop};
use crate::event::{Event, Outcome};
use crate::lease::{Claim, Lease, RENEW, WATCH, Watch};
use crate::plan::{Wait, WaitKind};
use crate::progress::Halt;
use crate::record::{CONTROL, Ending, LEASE, Record};

/// How often a lease that is watched is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What this engine holds.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// Ours, once it is ours.
    lease: Option<Lease>,
    /// When it was last renewed.
    renewed: Timestamp,
    /// The one that was found and taken over. Reads lag, so it may be seen again.
    found: Option<Lease>,
}

impl Hold {
    /// The lease was taken off with the record.
    pub(super) fn is_gone(&mut self) {
        self.lease = None;
    }
}

impl Rollout {
    /// Takes the lease, waiting as long as that may take, and begins anew from what the target
    /// looks like then. `Some` outcome when that ends the run.
    ///
    /// # Errors
    /// A sentence, when the cloud cannot be asked.
    pub(super) async fn take_hold(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Result<Option<Outcome>, String> {
        let mut watched = Watch::default();
        let settle = loop {
            if *stop.borrow_and_update() != Stop::No {
                return Ok(Some(self.interrupted(NOTHING_DONE)));
            }
            let found = Lease::from_tags(&self.look.record);
            let (me, is_gone) = (&self.caller.owner, self.caller.is_gone);
            match watched.judge(found.as_ref(), me, is_gone, self.clock.now()) {
                Claim::Take(settle) => {
                    self.hold.found = found;
                    break settle;
                }
                Claim::Held(owner) => return Ok(Some(self.locked(&owner))),
                Claim::Watch(deadline) => {
                    let owner = found.map(|lease| lease.owner);
                    let (kind, instances) = (WaitKind::Lease, Vec::new());
                    let on = vec![Wait { kind, instances, detail: owner, deadline }];
                    emit.send(self.clock.now(), Event::Waiting { on });
                    self.pause(LOOK_EVERY, stop).await;
                }
            }
            self.look = self.look_patiently(stop, emit).await.map_err(cannot_see)?;
        };
        let counter = self.hold.found.as_ref().map_or(0, |lease| lease.counter) + 1;
        let mine = Lease { owner: self.caller.owner.clone(), counter };
        self.write_lease(&mine, stop, emit).await?;
        let written = self.clock.now();
        // Believed once it has stood for a while and reads show it.
        self.clock.sleep(settle).await;
        loop {
            let look = self.look_patiently(stop, emit).await.map_err(cannot_see)?;
            let seen = Lease::from_tags(&look.record);
            if seen.as_ref() == Some(&mine) {
                self.hold.lease = Some(mine);
                self.hold.renewed = written;
                self.take_up(look)?;
                let reason = "asked to stop before anything was replaced";
                return Ok((*stop.borrow() != Stop::No).then(|| self.interrupted(reason)));
            }
            if let Some(other) = seen.filter(|seen| Some(seen) != self.hold.found.as_ref()) {
                return Ok(Some(self.locked(&other.owner)));
            }
            if self.clock.now().since(written) > WATCH {
                return Err("the lease that was written does not show in the target's tags".into());
            }
            self.clock.sleep(LOOK_EVERY).await;
        }
    }

    async fn write_lease(
        &mut self,
        lease: &Lease,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Result<(), String> {
        let mut schedule = crate::schedule::Schedule::retrying(self.caller.jitter);
        let begin = self.clock.now();
        let action = Action::WriteRecord { tags: lease.tags() };
        loop {
            let Err(error) = self.fleet.act(&action).await else { return Ok(()) };
            let patient = self.clock.now().since(begin) <= PATIENCE && *stop.borrow() == Stop::No;
            if !error.is_retryable() || !patient {
                let remedy = error.remedy.as_ref().map_or(String::new(), |r| format!(" ({r})"));
                return Err(format!("cannot write the lease: {error}{remedy}"));
            }
            emit.send(self.clock.now(), Event::Retrying { error: error.to_string() });
            self.pause(schedule.pause(), stop).await;
        }
    }

    /// Raises the counter when that is due. A renewal that fails is tried again next tick.
    pub(super) async fn renew(&mut self) {
        let now = self.clock.now();
        if self.renewal_due(now) > Duration::ZERO {
            return;
        }
        let Some(lease) = &mut self.hold.lease else { return };
        let next = Lease { counter: lease.counter + 1, ..lease.clone() };
        match self.fleet.act(&Action::WriteRecord { tags: next.tags() }).await {
            Ok(()) => {
                *lease = next;
                self.hold.renewed = now;
            }
            Err(error) => tracing::warn!(%error, "cannot renew the lease"),
        }
    }

    pub(super) fn renewal_due(&self, now: Timestamp) -> Duration {
        match self.hold.lease {
            Some(_) => (self.hold.renewed + RENEW).since(now),
            None => Duration::MAX,
        }
    }

    /// Why this engine must not go on, if the last look shows another at work.
    pub(super) fn superseded(&self) -> Option<String> {
        let found = Lease::from_tags(&self.look.record);
        let other = found
            .filter(|found| found.owner != self.caller.owner)
            .filter(|found| Some(found) != self.hold.found.as_ref());
        if let Some(other) = other {
            return Some(format!("{} has taken the rollout over", other.owner));
        }
        let generation = self.progress.record.as_ref()?.generation;
        let found = Record::from_tags(&self.look.record).ok()??;
        (found.generation > generation)
            .then(|| format!("rollout {} to {} has begun since", found.id, found.to))
    }

    /// Takes the lease off a target whose record stays. Should that fail, it stands still, which
    /// says as much, only later.
    pub(super) async fn let_go(&mut self, outcome: Outcome, urgency: Stop) {
        let holds = self.hold.lease.is_some();
        if outcome == Outcome::Locked || urgency == Stop::Now || !holds {
            return;
        }
        let keys = BTreeSet::from([LEASE.to_owned(), CONTROL.to_owned()]);
        if let Err(error) = self.fleet.act(&Action::EraseRecord { keys }).await {
            tracing::warn!(%error, "cannot take the lease off");
        }
    }

    fn locked(&mut self, owner: &str) -> Outcome {
        let reason = format!("{owner} is at work on this target");
        self.progress.halt = Some(Halt::failed(reason, self.clock.now()));
        Outcome::Locked
    }

    pub(super) fn interrupted(&mut self, reason: &str) -> Outcome {
        let (reason, at) = (reason.to_owned(), self.clock.now());
        let ending = Ending::Interrupted;
        self.progress.halt =
            Some(Halt { reason, ending, fault: false, gate: false, at, until: None });
        Outcome::Aborted
    }
}

fn cannot_see(error: rolling_provider::ProviderError) -> String {
    format!("cannot see the fleet: {error}")
}
