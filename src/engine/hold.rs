//! Holds the lease: takes it, keeps it, notices its loss, releases it.

use std::ops::ControlFlow;
use std::time::Duration;

use rolling_provider::{Action, Effect, ProviderError, Timestamp};
use tokio::sync::watch;

use super::caller::{RETRY_BUDGET, SOON, STOP_WITHIN};
use super::emitter::Emitter;
use super::retry::with_remedy;
use super::{NOTHING_DONE, Rollout, Stop};
use crate::engine::held_lease::{Hold, LeaseCheck};
use crate::model::event::{Event, Outcome};
use crate::model::wait::{Wait, WaitKind};
use crate::record::command::Control;
use crate::record::lease::{Claim, Lease, RENEW, WATCH, Watch, is_fresh};
use crate::record::{CONTROL, Ending, LEASE};
use crate::rollout::control;
use crate::rollout::ownership::{LATE, Moment, Standing};
use crate::rollout::planner::View;
use crate::rollout::state::Halt;

/// The interval of looks at a watched lease.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many tries there are to remove the lease at the end.
const LETS_GO: u32 = 3;

impl Rollout {
    /// Takes the lease, however long that takes, and begins anew from the target's state at that
    /// time. Returns an outcome when that ends the run.
    ///
    /// # Errors
    /// A sentence, when the cloud cannot be asked.
    pub(super) async fn acquire_lease(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Result<Option<Outcome>, String> {
        let (found, settle) = match self.watch_lease(stop, emit).await? {
            ControlFlow::Continue(free) => free,
            ControlFlow::Break(outcome) => return Ok(Some(outcome)),
        };
        let counter = found.as_ref().map_or(0, |lease| lease.counter) + 1;
        let at = Some(self.clock.wall());
        let mine = Lease { owner: self.caller.owner.clone(), counter, at };
        let renewed = match self.write_lease(&mine, found.as_ref(), stop, emit).await? {
            Ok(renewed) => renewed,
            Err(owner) => return Ok(Some(self.locked(&owner))),
        };
        let written = self.clock.now();
        // A lease counts once it has stood for a while and reads show it. A guarded one counts at
        // once.
        if !self.fleet.guards_record() {
            self.clock.sleep(settle).await;
        }
        self.confirm_lease((mine, renewed), found.as_ref(), written, stop, emit).await
    }

    /// Watches the lease until it may be taken. Returns the lease that was found, and how long the
    /// own one has to stand; or how the rollout ends instead.
    async fn watch_lease(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Result<ControlFlow<Outcome, (Option<Lease>, Duration)>, String> {
        let (mut watched, mut looked_again) = (Watch::default(), false);
        if !is_fresh(self.look.at, self.clock.now()) {
            self.look = self.look_with_retries(stop, emit).await.map_err(cannot_see)?;
        }
        loop {
            if *stop.borrow_and_update() != Stop::No {
                return Ok(ControlFlow::Break(self.interrupted(NOTHING_DONE)));
            }
            let found = Lease::from_tags(&self.look.record);
            let (me, is_gone) = (&self.caller.owner, self.caller.is_gone);
            match watched.judge(found.as_ref(), me, is_gone, self.clock.now()) {
                // This process may have stood still since the look. Only once: a look may take that
                // long.
                Claim::Take(_) if self.looked.age(self.moment()) >= LATE && !looked_again => {
                    looked_again = true;
                }
                Claim::Take(settle) => return Ok(ControlFlow::Continue((found, settle))),
                Claim::Held(owner) => return Ok(ControlFlow::Break(self.locked(&owner))),
                Claim::Watch(deadline) => {
                    let owner = found.map(|lease| lease.owner);
                    let (kind, instances) = (WaitKind::Lease, Vec::new());
                    let on = vec![Wait { kind, instances, detail: owner, deadline }];
                    emit.send(self.clock.now(), Event::Waiting { on });
                    self.pause(LOOK_EVERY, stop).await;
                }
            }
            self.look = self.look_with_retries(stop, emit).await.map_err(cannot_see)?;
        }
    }

    /// Looks until the lease that was written at `written` shows, and takes up the record beside it.
    async fn confirm_lease(
        &mut self,
        (mine, renewed): (Lease, Moment),
        found: Option<&Lease>,
        written: Timestamp,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Result<Option<Outcome>, String> {
        loop {
            let look = self.look_with_retries(stop, emit).await.map_err(cannot_see)?;
            let shown = Lease::from_tags(&look.record);
            if shown.as_ref() == Some(&mine) {
                self.hold.first = Some(mine.clone());
                self.hold.own.take(mine, &look.record, renewed);
                self.restore_from_record(look)?;
                self.refuse_changed_routing().map_err(|error| with_remedy(&error))?;
                let reason = "asked to stop before anything was replaced";
                return Ok((*stop.borrow() != Stop::No).then(|| self.interrupted(reason)));
            }
            if let Some(other) = shown.filter(|shown| Some(shown) != found) {
                return Ok(Some(self.locked(&other.owner)));
            }
            if self.clock.now().since(written) > WATCH {
                let reason = "the lease that was written is not there: another engine was faster and \
                              has ended since, or what is written to the target does not show";
                self.state.halt = Some(Halt::failed(reason.into(), self.clock.now()));
                return Ok(Some(Outcome::Locked));
            }
            self.clock.sleep(LOOK_EVERY).await;
        }
    }

    /// Writes `lease` over the lease that was found. Returns when the call began, or the owner of
    /// another lease that was written meanwhile.
    async fn write_lease(
        &mut self,
        lease: &Lease,
        over: Option<&Lease>,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Result<Result<Moment, String>, String> {
        let mut schedule = crate::engine::schedule::Schedule::retrying(self.caller.jitter);
        let mut failing_since = None;
        let action = Action::WriteRecord { tags: lease.tags() };
        loop {
            let began = self.moment();
            let Err(error) = self.fleet.act(&action).await else { return Ok(Ok(began)) };
            let now = self.clock.now();
            let since = *failing_since.get_or_insert(now);
            let patient = now.since(since) <= RETRY_BUDGET && *stop.borrow() == Stop::No;
            if !error.is_retryable() || !patient {
                return Err(format!("cannot write the lease: {}", with_remedy(&error)));
            }
            emit.send(self.clock.now(), Event::Retrying { error: error.to_string() });
            self.pause(schedule.pause(), stop).await;
            self.look = self.look_with_retries(stop, emit).await.map_err(cannot_see)?;
            let found = Lease::from_tags(&self.look.record);
            let other = found.filter(|found| found.owner != lease.owner);
            if let Some(other) = other.filter(|other| Some(other) != over) {
                return Ok(Err(other.owner));
            }
        }
    }

    /// Makes sure that no other engine is at work: judges the last look, and renews the lease when
    /// due.
    pub(super) async fn renew_lease(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> LeaseCheck {
        if self.is_late_to_renew() {
            // Another engine may have been at work and have gone since: earlier looks prove
            // nothing, and a renewal would put back a lease that was removed.
            if let Some(lost) = self.look_after_standing_still(stop, emit).await {
                return lost;
            }
        }
        match self.judge_hold(stop, emit).await {
            LeaseCheck::Ours => {}
            other => return other,
        }
        let Err(error) = self.renew().await else {
            self.hold.unrenewed = None;
            if !self.is_late_to_renew() {
                return LeaseCheck::Ours;
            }
            // This engine looked dead while the renewal waited for its turn.
            return match self.look_after_standing_still(stop, emit).await {
                Some(lost) => lost,
                None => self.judge_hold(stop, emit).await,
            };
        };
        tracing::warn!(%error, "cannot renew the lease");
        if !self.fleet.guards_record() {
            return LeaseCheck::Ours;
        }
        let now = self.clock.now();
        let reason = format!("cannot renew the lease: {error}");
        if !error.is_retryable() && self.is_believed() {
            // Puts back what it can while the lease stands.
            if self.state.halt.is_none() {
                self.halt(Halt::failed(reason, now), emit);
            }
            return LeaseCheck::Ours;
        }
        let since = *self.hold.unrenewed.get_or_insert(now);
        let retry_budget = if *stop.borrow() == Stop::No { RETRY_BUDGET } else { STOP_WITHIN };
        if !error.is_retryable() || now.since(since) > retry_budget {
            return LeaseCheck::Lost(self.give_up(reason));
        }
        emit.send(now, Event::Retrying { error: error.to_string() });
        self.look_once_more(stop, emit).await
    }

    /// Judges the last look. In doubt the engine only looks again.
    async fn judge_hold(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> LeaseCheck {
        let now = self.moment();
        match self.hold.own.judge(&self.look.record, self.look.at, now) {
            Standing::Ours => LeaseCheck::Ours,
            Standing::Doubtful => self.look_once_more(stop, emit).await,
            Standing::Deleted => {
                self.make_record_again(emit).await;
                self.look_once_more(stop, emit).await
            }
            Standing::Lost(reason) => {
                self.state.halt = Some(Halt::failed(reason, now.now));
                LeaseCheck::Lost(Outcome::Locked)
            }
        }
    }

    async fn look_once_more(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> LeaseCheck {
        self.pause(LOOK_EVERY, stop).await;
        match self.observe_with_retries(stop, emit).await {
            Ok(_) => LeaseCheck::Doubtful,
            Err(error) => LeaseCheck::Lost(self.lost_sight(&error)),
        }
    }

    async fn look_after_standing_still(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Option<LeaseCheck> {
        self.hold.own.stands_still();
        let looked = self.observe_with_retries(stop, emit).await;
        looked.err().map(|error| LeaseCheck::Lost(self.lost_sight(&error)))
    }

    /// Writes a guarded record again that somebody has deleted while no other engine is at work: it
    /// is all that remembers what is borrowed. The write succeeds only while there still is no
    /// record; where there is one, a look shows whose it is.
    async fn make_record_again(&mut self, emit: &mut Emitter<'_>) {
        let began = self.moment();
        let Some(lease) = self.hold.own.next_lease(&self.look.record, began.wall) else { return };
        let record = self.state.record.as_ref().map(|record| record.tags());
        let tags = lease.tags().into_iter().chain(record.unwrap_or_default()).collect();
        let warning = "somebody has deleted the rollout record: it is made again from memory";
        emit.send(began.now, Event::Warned { warning: warning.into() });
        match self.fleet.act(&Action::WriteRecord { tags }).await {
            Ok(_) => self.hold.own.renew(lease, began),
            Err(error) => tracing::warn!(%error, "cannot make the record again"),
        }
    }

    /// Raises the lease's counter when that is due.
    async fn renew(&mut self) -> Result<(), ProviderError> {
        let began = self.moment();
        if self.renewal_due(began.now) > Duration::ZERO {
            return Ok(());
        }
        let Some(next) = self.hold.own.next_lease(&self.look.record, began.wall) else {
            return Ok(());
        };
        self.fleet.act(&Action::WriteRecord { tags: next.tags() }).await?;
        self.hold.own.renew(next, began);
        Ok(())
    }

    /// Waits for `asking`, which may take long, and renews the lease meanwhile, so that a waiting
    /// engine looks alive. An engine that has stood still does not renew before it has looked.
    pub(super) async fn renewing<T>(&mut self, asking: impl Future<Output = T>) -> T {
        let mut asking = std::pin::pin!(asking);
        while self.hold.own.may_renew_unseen(self.moment()) {
            let due = self.renewal_due(self.clock.now());
            tokio::select! {
                biased;
                answer = &mut asking => return answer,
                () = self.clock.sleep(due.max(SOON)) => {}
            }
            self.renew_unseen().await;
        }
        asking.await
    }

    /// Renews the lease when that is due and no other engine can have taken it over since the last
    /// renewal.
    pub(super) async fn renew_unseen(&mut self) {
        if self.hold.own.may_renew_unseen(self.moment())
            && let Err(error) = self.renew().await
        {
            tracing::warn!(%error, "cannot renew the lease while reads take long");
        }
    }

    /// Returns the current moment, by both clocks.
    pub(super) fn moment(&self) -> Moment {
        Moment { now: self.clock.now(), wall: self.clock.wall() }
    }

    /// Whether no other engine can be at work by now, as far as that can be known.
    pub(super) fn is_believed(&self) -> bool {
        self.hold.own.is_believed(self.moment())
    }

    /// Whether the lease should have been renewed well before now: an engine that acts for long
    /// looks dead.
    pub(super) fn is_late_to_renew(&self) -> bool {
        self.hold.own.is_late(self.moment())
    }

    /// Whether the lease is ours.
    pub(super) fn holds_lease(&self) -> bool {
        self.hold.own.holds()
    }

    pub(super) fn renewal_due(&self, now: Timestamp) -> Duration {
        match self.hold.own.holds() {
            true => (self.hold.own.renewed_at().now + RENEW).since(now),
            false => Duration::MAX,
        }
    }

    /// Takes in the result and the duration of a call: this process may have stood still during the
    /// call.
    pub(super) fn called(&mut self, action: &Action, began: Moment, error: Option<&ProviderError>) {
        let now = self.moment();
        if began.age(now) >= LATE {
            self.hold.own.stands_still();
        }
        match error.map(|error| error.effect) {
            None | Some(Effect::Applied) => self.hold.own.did(action, true, now.now),
            Some(Effect::Unknown) => self.hold.own.did(action, false, now.now),
            Some(Effect::NotApplied) => {}
        }
    }

    /// Whether another engine has undone this rollout: this process stood still during its last
    /// call, and another engine has rolled the fleet meanwhile.
    pub(super) fn is_overtaken(&mut self) -> bool {
        let old = View::new(&self.input(self.look.at)).candidates().next().is_some();
        let overtaken = self.hold.own.stood_still() && old;
        if overtaken {
            let reason = "somebody else has rolled the fleet since".to_owned();
            self.state.halt = Some(Halt::failed(reason, self.clock.now()));
        }
        overtaken
    }

    /// Removes the lease from a target whose record stays. If that fails, the lease is no longer
    /// renewed, which shows the same, only later.
    pub(super) async fn release_lease(&self, outcome: Outcome, urgency: Stop) {
        if outcome == Outcome::Locked || urgency == Stop::Now {
            return;
        }
        let waits =
            |control: &Control| self.state.effect(control.command) == control::Effect::Later;
        match self.state.control.as_ref().is_some_and(waits) {
            // A command that takes effect later is left for the engine that continues.
            true => self.delete_tags([LEASE]).await,
            false => self.delete_tags([LEASE, CONTROL]).await,
        }
    }

    /// Removes a lease again under which nothing was done.
    pub(super) async fn release(&mut self) {
        self.delete_tags([LEASE]).await;
        self.hold = Hold::new(&self.caller.owner, self.fleet.guards_record());
        let reason = "somebody else was faster".to_owned();
        self.state.halt = Some(Halt::failed(reason, self.clock.now()));
    }

    /// Removes tags from the target, if the lease is ours.
    pub(super) async fn delete_tags<const N: usize>(&self, keys: [&str; N]) {
        if !self.holds_lease() {
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
            // What was written meanwhile must be seen before the next write, and may be another
            // engine's.
            let look = self.fleet.observe().await;
            let found = look.map(|look| Lease::from_tags(&look.record));
            let is_ours =
                |found: Option<Lease>| found.is_some_and(|it| it.owner == self.caller.owner);
            if found.is_ok_and(|found| !is_ours(found)) {
                return;
            }
        }
    }

    /// Ends the run now; the record keeps what is left to put back.
    fn give_up(&mut self, reason: String) -> Outcome {
        let ending = self.ending(Ending::Failed);
        self.state.begin_halt(Halt::failed(reason, self.clock.now()));
        ending
    }

    pub(super) fn lost_sight(&mut self, error: &ProviderError) -> Outcome {
        self.give_up(format!("cannot see the fleet any more: {error}"))
    }

    fn locked(&mut self, owner: &str) -> Outcome {
        let reason = format!("{owner} is at work on this target");
        self.state.halt = Some(Halt::failed(reason, self.clock.now()));
        Outcome::Locked
    }

    pub(super) fn interrupted(&mut self, reason: &str) -> Outcome {
        let (reason, at) = (reason.to_owned(), self.clock.now());
        let ending = Ending::Interrupted;
        self.state.halt =
            Some(Halt { reason, ending, fault: false, at_checkpoint: false, at, until: None });
        Outcome::Aborted
    }
}

fn cannot_see(error: ProviderError) -> String {
    format!("cannot see the fleet: {error}")
}
