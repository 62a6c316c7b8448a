//! Holding the lease: taking it, keeping it, noticing its loss, letting it go.

use std::time::Duration;

use rolling_provider::{Action, ProviderError, Timestamp};
use tokio::sync::watch;

use super::NOTHING_DONE;
use super::act::with_remedy;
use super::report::Emitter;
use super::{PATIENCE, Rollout, STOP_WITHIN, Stop};
use crate::event::{Event, Outcome};
use crate::lease::{BELIEVE, Claim, Lease, RENEW, WATCH, Watch};
use crate::plan::{View, Wait, WaitKind};
use crate::progress::{Halt, LOOKS_LAG};
use crate::record::{CONTROL, Ending, LEASE, Record};

/// How often a lease that is watched is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often it is tried to take the lease off at the end.
const LETS_GO: u32 = 3;

/// What this engine holds.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// Ours, once it is ours.
    lease: Option<Lease>,
    /// When the last call that renewed it began.
    renewed: Timestamp,
    /// Nobody knows whether it was taken off with the record.
    erasing: bool,
    /// Since when it cannot be renewed.
    unrenewed: Option<Timestamp>,
    /// The one that was found and taken over. Reads lag, so it may be seen again.
    found: Option<Lease>,
    /// Since when looks do not show ours.
    off_since: Option<Timestamp>,
    /// Whether this process may have stood still since a look showed our lease.
    slept: bool,
}

/// What became of the lease.
pub(super) enum Kept {
    /// It is ours, as far as that can be known.
    Ours,
    /// It could not be renewed, and was looked at again: begin the tick anew.
    Doubtful,
    /// The run ends, since somebody else is at work or since nobody can know.
    Lost(Outcome),
}

impl Hold {
    /// The lease was taken off with the record.
    pub(super) fn is_gone(&mut self) {
        self.lease = None;
    }

    /// The lease may have been taken off with the record.
    pub(super) fn may_be_gone(&mut self) {
        self.erasing = true;
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
        if self.clock.now().since(self.look.at) >= LOOK_EVERY {
            // Another deployment of the same document may have been rolled since.
            self.look = self.look_patiently(stop, emit).await.map_err(cannot_see)?;
        }
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
        if let Some(owner) = self.write_lease(&mine, stop, emit).await? {
            return Ok(Some(self.locked(&owner)));
        }
        let written = self.clock.now();
        // Believed once it has stood for a while and reads show it. A guarded one is ours already.
        if !self.fleet.guards_record() {
            self.clock.sleep(settle).await;
        }
        loop {
            let look = self.look_patiently(stop, emit).await.map_err(cannot_see)?;
            let seen = Lease::from_tags(&look.record);
            if seen.as_ref() == Some(&mine) {
                self.hold.lease = Some(mine);
                self.take_up(look)?;
                self.refuse_other_ways().map_err(|error| with_remedy(&error))?;
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

    /// Writes `lease`. The owner of another that was written meanwhile, if so.
    async fn write_lease(
        &mut self,
        lease: &Lease,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Result<Option<String>, String> {
        let mut schedule = crate::schedule::Schedule::retrying(self.caller.jitter);
        let mut failing_since = None;
        let action = Action::WriteRecord { tags: lease.tags() };
        loop {
            self.hold.renewed = self.clock.now();
            let Err(error) = self.fleet.act(&action).await else { return Ok(None) };
            let now = self.clock.now();
            let since = *failing_since.get_or_insert(now);
            let patient = now.since(since) <= PATIENCE && *stop.borrow() == Stop::No;
            if !error.is_retryable() || !patient {
                return Err(format!("cannot write the lease: {}", with_remedy(&error)));
            }
            emit.send(self.clock.now(), Event::Retrying { error: error.to_string() });
            self.pause(schedule.pause(), stop).await;
            self.look = self.look_patiently(stop, emit).await.map_err(cannot_see)?;
            let found = Lease::from_tags(&self.look.record);
            let other = found.filter(|found| found.owner != lease.owner);
            if let Some(other) = other.filter(|other| Some(other) != self.hold.found.as_ref()) {
                return Ok(Some(other.owner));
            }
        }
    }

    /// Sees to it, by the last look and by a renewal where that is due, that nobody else is at
    /// work.
    pub(super) async fn keep_hold(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Kept {
        if self.is_late_to_renew() {
            self.hold.slept = true;
            // It may have slept, and another one have been at work and gone since: what was seen
            // before says nothing, and to renew would put a lease back that was taken off.
            if let Err(error) = self.observe_patiently(stop, emit).await {
                return Kept::Lost(self.lost_sight(&error));
            }
        }
        if let Some(reason) = self.superseded() {
            self.progress.halt = Some(Halt::failed(reason, self.clock.now()));
            return Kept::Lost(Outcome::Locked);
        }
        if let Some(since) = self.hold.off_since {
            return self.look_for_the_lease(since, stop, emit).await;
        }
        let Err(error) = self.renew().await else {
            self.hold.unrenewed = None;
            return match self.is_late_to_renew() {
                true => self.look_after_a_long_renewal(stop, emit).await,
                false => Kept::Ours,
            };
        };
        tracing::warn!(%error, "cannot renew the lease");
        if !self.fleet.guards_record() {
            return Kept::Ours;
        }
        let now = self.clock.now();
        let reason = format!("cannot renew the lease: {error}");
        if !error.is_retryable() && self.is_believed() {
            // What can be is put back while it stands.
            if self.progress.halt.is_none() {
                self.halt(Halt::failed(reason, now), emit);
            }
            return Kept::Ours;
        }
        let since = *self.hold.unrenewed.get_or_insert(now);
        let patience = if *stop.borrow() == Stop::No { PATIENCE } else { STOP_WITHIN };
        if !error.is_retryable() || now.since(since) > patience {
            return Kept::Lost(self.give_up(reason));
        }
        emit.send(now, Event::Retrying { error: error.to_string() });
        self.pause(LOOK_EVERY, stop).await;
        match self.observe_patiently(stop, emit).await {
            Ok(_) => Kept::Doubtful,
            Err(error) => Kept::Lost(self.lost_sight(&error)),
        }
    }

    /// Looks do not show our lease: somebody has taken it off, and may have been at work. A look may
    /// also be late, from before it was written. Nothing is done until that is known.
    async fn look_for_the_lease(
        &mut self,
        since: Timestamp,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Kept {
        let now = self.clock.now();
        if now.since(since) > LOOKS_LAG {
            let reason = "somebody has taken this engine's lease off the target: another one was at \
                          work meanwhile, or a tool removes tags that it does not know (for Terraform's \
                          AWS provider, ignore_tags { key_prefixes = [\"rolling:\"] } keeps them)";
            self.progress.halt = Some(Halt::failed(reason.into(), now));
            return Kept::Lost(Outcome::Locked);
        }
        self.pause(LOOK_EVERY, stop).await;
        match self.observe_patiently(stop, emit).await {
            Ok(_) => Kept::Doubtful,
            Err(error) => Kept::Lost(self.lost_sight(&error)),
        }
    }

    /// While a renewal waited for its turn this engine looked dead, and another one may have been
    /// at work: what was seen before says little.
    async fn look_after_a_long_renewal(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Kept {
        self.hold.slept = true;
        if let Err(error) = self.observe_patiently(stop, emit).await {
            return Kept::Lost(self.lost_sight(&error));
        }
        match self.superseded() {
            None if self.hold.off_since.is_some() => Kept::Doubtful,
            None => Kept::Ours,
            Some(reason) => {
                self.progress.halt = Some(Halt::failed(reason, self.clock.now()));
                Kept::Lost(Outcome::Locked)
            }
        }
    }

    /// Raises the counter when that is due.
    async fn renew(&mut self) -> Result<(), ProviderError> {
        let now = self.clock.now();
        if self.renewal_due(now) > Duration::ZERO {
            return Ok(());
        }
        let Some(lease) = &mut self.hold.lease else { return Ok(()) };
        // A renewal whose answer was lost may show, and the counter has to move beyond it.
        let seen = Lease::from_tags(&self.look.record).filter(|seen| seen.owner == lease.owner);
        let last = seen.map_or(lease.counter, |seen| seen.counter.max(lease.counter));
        let next = Lease { counter: last + 1, ..lease.clone() };
        self.fleet.act(&Action::WriteRecord { tags: next.tags() }).await?;
        *lease = next;
        self.hold.renewed = now;
        Ok(())
    }

    /// Whether nobody else can be at work by now, as far as that can be known.
    pub(super) fn is_believed(&self) -> bool {
        let since = || self.clock.now().since(self.hold.renewed);
        !self.fleet.guards_record() || self.hold.lease.is_none() || since() < BELIEVE
    }

    /// Whether the lease should have been renewed well before now: what acts for long looks dead.
    pub(super) fn is_late_to_renew(&self) -> bool {
        self.hold.lease.is_some() && self.clock.now().since(self.hold.renewed) >= RENEW * 2
    }

    /// Whether the lease is ours.
    pub(super) fn held(&self) -> bool {
        self.hold.lease.is_some()
    }

    pub(super) fn renewal_due(&self, now: Timestamp) -> Duration {
        match self.hold.lease {
            Some(_) => (self.hold.renewed + RENEW).since(now),
            None => Duration::MAX,
        }
    }

    /// Why this engine must not go on, if the last look shows another at work.
    fn superseded(&mut self) -> Option<String> {
        let found = Lease::from_tags(&self.look.record);
        let guards = self.fleet.guards_record();
        let is_off = found.is_none() && self.hold.lease.is_some();
        match is_off {
            true if self.hold.erasing => self.hold.is_gone(),
            true if guards => return Some("somebody has taken this engine's lease off".into()),
            true => {
                // From now on: a look that took long is no second one.
                let now = self.clock.now();
                self.hold.off_since.get_or_insert(now);
            }
            false => {
                self.hold.off_since = None;
                self.hold.slept &= self.hold.lease.is_none();
            }
        }
        // Of tags a late look may show it once more.
        self.hold.erasing &= !guards;
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

    /// Takes in how long a call took: while it was on its way this process may have stood still.
    pub(super) fn called(&mut self, began: Timestamp) {
        self.hold.slept |= self.clock.now().since(began) >= RENEW * 2;
    }

    /// Whether what was done is undone since: the last call was on its way while this process stood
    /// still, and somebody else has rolled the fleet meanwhile.
    pub(super) fn is_overtaken(&mut self) -> bool {
        let old = View::new(&self.input(self.look.at)).candidates().next().is_some();
        if self.hold.slept && old {
            let reason = "somebody else has rolled the fleet since".to_owned();
            self.progress.halt = Some(Halt::failed(reason, self.clock.now()));
        }
        self.hold.slept && old
    }

    /// Takes the lease off a target whose record stays. Should that fail, it stands still, which
    /// says as much, only later.
    pub(super) async fn let_go(&self, outcome: Outcome, urgency: Stop) {
        if outcome != Outcome::Locked && urgency != Stop::Now {
            self.take_off([LEASE, CONTROL]).await;
        }
    }

    /// Takes tags off the target, if the lease is ours.
    pub(super) async fn take_off<const N: usize>(&self, keys: [&str; N]) {
        if self.hold.lease.is_none() {
            return;
        }
        let keys = keys.into_iter().map(str::to_owned).collect();
        let off = Action::EraseRecord { keys };
        for _ in 0..LETS_GO {
            let Err(error) = self.fleet.act(&off).await else { return };
            tracing::warn!(%error, "cannot take the lease off");
            if !error.is_retryable() {
                return;
            }
            self.clock.sleep(LOOK_EVERY).await;
            // What was written meanwhile has to be seen first, and may be somebody else's.
            let look = self.fleet.observe().await;
            let found = look.map(|look| Lease::from_tags(&look.record));
            let is_ours =
                |found: Option<Lease>| found.is_some_and(|it| it.owner == self.caller.owner);
            if found.is_ok_and(|found| !is_ours(found)) {
                return;
            }
        }
    }

    /// Ends here and now; what is left to put back is in the record.
    fn give_up(&mut self, reason: String) -> Outcome {
        let ending = self.ending(Ending::Failed);
        self.progress.begin_halt(Halt::failed(reason, self.clock.now()));
        ending
    }

    pub(super) fn lost_sight(&mut self, error: &ProviderError) -> Outcome {
        self.give_up(format!("cannot see the fleet any more: {error}"))
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

fn cannot_see(error: ProviderError) -> String {
    format!("cannot see the fleet: {error}")
}
