//! Looks at the fleet: at first, after the lease changes hands, and every tick.

use std::sync::Arc;
use std::time::Duration;

use rolling_provider::{ErrorKind, Fleet, Observation, ProviderError, Revision};
use tokio::sync::watch;

use super::caller::{RETRY_BUDGET, STOP_WITHIN};
use super::emitter::Emitter;
use super::retry::with_remedy;
use super::{Rollout, Stop};
use crate::engine::schedule::Schedule;
use crate::model::event::Event;
use crate::record::Record;
use crate::record::command::Command;
use crate::rollout::control::{self, Found};
use crate::rollout::planner::View;
use crate::rollout::state::{Best, Halt, RolloutState, members};

/// How long a launch is missing before the engine asks about it, and between two such calls.
const LAUNCH_IS_LATE: Duration = Duration::from_secs(5);

/// The time within which an engine that is awake looks again. The rest of a longer gap does not
/// count against instances: the engine could not see them then.
const LOOKS_WITHIN: Duration = Duration::from_secs(60);

impl Rollout {
    /// Begins anew from `look`: everything this engine knows is in the record and in the fleet.
    /// What the record says is under way goes on.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub(super) fn restore_from_record(&mut self, look: Observation) -> Result<(), String> {
        let record = Record::from_tags(&look.record)?;
        let look = members(look, record.as_ref());
        self.spec = self.asked.clone();
        self.target.revision = self.wanted.clone();
        let mut state = RolloutState::new(self.caller.rollout_id.as_str(), look.at);
        state.known_completed.clone_from(&self.caller.completed);
        state.lease = self.hold.first();
        state.in_place.within = self.spec.replacement.within();
        if state.in_place.within.is_some() {
            // A completed revision from before instances were updated in place is nothing to go
            // back to.
            let runs = |known: &Revision| {
                look.instances.values().any(|i| i.revision.as_ref() == Some(known))
            };
            state.known_completed = state.known_completed.take().filter(runs);
        }
        let look = state.in_place(look);
        let look = state.without_departed(look);
        state.resume =
            self.command.as_ref().is_some_and(|control| control.command == Command::Resume);
        let command = self.command.as_ref().map(|control| control.command);
        if let Some(record) = &record {
            let found = control::found(record, &self.wanted, command);
            let back = record.completed.clone().filter(|_| record.rolls_back);
            if found == Found::GoesOn && back.is_some() {
                let why = record.reason.clone();
                state.rolls_back = Some(why.unwrap_or_else(|| "it was rolling back".into()));
            }
            if let Found::Ending(ending) = found {
                let reason = record.reason.clone().unwrap_or_else(|| "it was ending".into());
                let (fault, at) = (record.fault, look.at);
                state.halt =
                    Some(Halt { reason, ending, fault, at_checkpoint: false, at, until: None });
            }
            if let Some(completed) = back.filter(|_| found != Found::Over) {
                self.retarget(completed);
            }
        }
        state.record = record;
        state.observe(&self.target, &self.spec.health, &look);
        // This process's own command always comes first: a command that ends a rollout never begins
        // one.
        state.control = self.command.clone().or(state.control);
        self.state = state;
        self.look = look;
        Ok(())
    }

    /// Has the wanted revision created, if it is only described yet.
    ///
    /// # Errors
    /// A sentence, when it cannot be created.
    pub(super) async fn make_revision(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Result<(), String> {
        let wanted = self.wanted.clone();
        let made = self
            .ask_with_retries(stop, emit, |fleet| {
                let wanted = wanted.clone();
                async move { fleet.make_revision(&wanted).await }
            })
            .await;
        let made =
            made.map_err(|error| format!("cannot make {wanted}: {}", with_remedy(&error)))?;
        if made == self.wanted {
            return Ok(());
        }
        self.wanted = made;
        if self.refreshes() {
            self.target.revision = self.wanted.clone();
            self.restore_instance_refresh(self.look.clone());
            return Ok(());
        }
        self.restore_from_record(self.look.clone())
    }

    /// Takes a fresh look. Returns whether the fleet changed since the last one.
    pub(super) async fn observe_with_retries(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Result<bool, ProviderError> {
        let look = self.look_with_retries(stop, emit).await?;
        let changed = self.absorb(look).await;
        self.ask_who_else_rolls(emit).await;
        Ok(changed)
    }

    /// Asks the cloud whether another process rolls the fleet, if instances came that this rollout
    /// did not ask for: two rollouts against each other would go on for ever.
    async fn ask_who_else_rolls(&mut self, emit: &mut Emitter<'_>) {
        let strangers = self.state.strangers(&self.target, &self.look);
        if self.state.halt.is_some() || strangers.is_subset(&self.state.asked_about) {
            return;
        }
        let answer = self.fleet.may_roll(false).await;
        let Err(error) = answer else {
            self.state.asked_about.extend(strangers);
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
            self.halt(Halt { fault: false, ..Halt::failed(message, now) }, emit);
        }
    }

    pub(super) async fn look_with_retries(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Result<Observation, ProviderError> {
        let ask = |fleet: Arc<dyn Fleet>| async move { fleet.observe().await };
        self.looked = self.moment();
        let look = self.ask_with_retries(stop, emit, ask).await?;
        self.ticks += 1;
        Ok(look)
    }

    /// Retries `ask` as long as that may help; a request to stop shortens that.
    pub(super) async fn ask_with_retries<T, F: Future<Output = Result<T, ProviderError>>>(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
        ask: impl Fn(Arc<dyn Fleet>) -> F,
    ) -> Result<T, ProviderError> {
        let mut schedule = Schedule::retrying(self.caller.jitter);
        let begin = self.clock.now();
        let mut failing_since = None;
        loop {
            let asking = ask(Arc::clone(&self.fleet));
            let error = match self.renewing(asking).await {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            let urgency = *stop.borrow();
            let retry_budget = match urgency {
                Stop::No => RETRY_BUDGET,
                Stop::Gracefully => STOP_WITHIN,
                Stop::Now => Duration::ZERO,
            };
            let now = self.clock.now();
            let since = *failing_since.get_or_insert(now);
            // A request to stop also covers a call that hangs.
            let since = if urgency == Stop::No { since } else { begin };
            if !error.is_retryable() || now.since(since) >= retry_budget {
                return Err(error);
            }
            let error = error.to_string();
            emit.send(self.clock.now(), Event::Retrying { error });
            match urgency {
                Stop::No => self.pause(schedule.pause(), stop).await,
                // The request was seen already, and ends no further pause.
                _ => self.clock.sleep(schedule.pause()).await,
            }
            self.renew_unseen().await;
        }
    }

    async fn absorb(&mut self, look: Observation) -> bool {
        let look = members(look, self.state.record.as_ref());
        let look = self.state.in_place(look);
        let look = self.state.without_departed(look);
        let failed = self.state.failed.len();
        let unseen = look.at.since(self.look.at).saturating_sub(LOOKS_WITHIN);
        if !unseen.is_zero() {
            self.state.not_looked(unseen);
        }
        self.state.observe(&self.target, &self.spec.health, &look);
        let changed = look.instances != self.look.instances || look.capacity != self.look.capacity;
        if changed {
            self.state.changed_at = look.at;
        }
        self.look = look;
        self.state.coming = 0;
        let view = View::new(&self.input(self.look.at));
        let unlaunched = view.unlaunched(&self.input(self.look.at));
        let (size, updated, serving) = (view.window.size, view.updated(), view.serving());
        let best = self.state.best.get_or_insert(Best::none(self.look.at));
        best.find(size, updated, serving, self.look.at);
        let late = self.state.missing.oldest().is_some_and(|since| {
            let asked = self.state.activities_asked.unwrap_or(since);
            // In time to know the cause when the launch is given up.
            let late = LAUNCH_IS_LATE.min(self.spec.health.healthy_timeout / 2);
            self.look.at.since(since) >= late && self.look.at.since(asked) >= late
        });
        // The size is lowered again only by instances that are not on their way: asks each time.
        let late = late || unlaunched > 0 || self.asks_who_removed();
        if late || self.state.failed.len() > failed {
            self.ask_why().await;
        }
        changed
    }

    /// Whether it is time to ask the fleet if it removed an instance by itself.
    fn asks_who_removed(&self) -> bool {
        let asked = self.state.activities_asked;
        let is_old = asked.is_none_or(|asked| self.look.at.since(asked) >= LAUNCH_IS_LATE);
        self.state.replaces.is_asked() && is_old
    }

    /// Asks the fleet what it did by itself, to name the cause of what is missing or failed.
    async fn ask_why(&mut self) {
        self.state.activities_asked = Some(self.look.at);
        match self.fleet.activities(self.state.started).await {
            Ok(activities) => self.state.explain(activities, self.look.at),
            // Without permission to read them only an explanation is lost. After any other error it
            // is unknown whether instances are on their way.
            Err(error) => {
                self.state.coming = if error.is_retryable() { usize::MAX } else { 0 };
                tracing::warn!(%error, "cannot read the fleet's activities");
            }
        }
    }
}
