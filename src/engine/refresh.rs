//! Rollouts that the cloud carries out by itself: started, followed, cancelled, turned back. What
//! to make of what is found is decided in [`crate::refresh`].

use std::sync::Arc;
use std::time::Duration;

use rolling_provider::{
    Effect, Fleet, Observation, ProviderError, Refresh, RefreshState, Refresher, Revision,
};
use tokio::sync::watch;

use super::command::{Commanded, no_rollout};
use super::look::patiently;
use super::report::{Emitter, Shown};
use super::{NOTHING_DONE, PATIENCE, Rollout, Stop};
use crate::control::{Control, Word};
use crate::event::{Envelope, Event, Outcome, RefreshStep};
use crate::plan::{Preview, Wait, WaitKind};
use crate::progress::{Halt, Progress};
use crate::record::Record;
use crate::refresh::{self, Next, next};
use crate::schedule::Schedule;
use crate::spec::{Engine, OnFailure};

/// Reads lag: for so long after a refresh is over its last instances may still show.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);
/// How to go on with a refresh that another document has begun.
const ITS_OWN_DOCUMENT: &str = "wait for it to end, use the document that it was begun with, or \
                                cancel it with CancelInstanceRefresh";

/// A rollout that is under way on a target, or waits for a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// Its name.
    pub id: String,
    /// What it leads to.
    pub to: String,
    /// How far it is.
    pub status: &'static str,
}

impl Rollout {
    /// The latest refresh of the fleet, where the cloud replaces its instances by itself.
    pub fn refresh(&self) -> Option<&Refresh> {
        self.refresh.as_ref()
    }

    /// The rollout to `self.wanted()` that is under way, or any that the record tells of.
    pub fn under_way(&self) -> Option<UnderWay> {
        if let Some(record) = self.record().filter(|record| !record.is_over()) {
            let (id, to) = (record.id.clone(), record.to.to_string());
            return Some(UnderWay { id, to, status: record.status() });
        }
        match self.next() {
            Next::Join(refresh) if self.refreshes() => {
                let (id, to) = (refresh.id.clone(), self.wanted.to_string());
                Some(UnderWay { id, to, status: refresh::status(refresh) })
            }
            _ => None,
        }
    }

    /// How far the rollout on the target is, or how the last one ended where that still matters,
    /// and why. `None` when the fleet itself tells.
    pub fn status(&self) -> Option<(&'static str, Option<String>)> {
        if let Some(record) = self.record() {
            return Some((record.status(), record.reason.clone()));
        }
        let latest = self.refresh.as_ref()?;
        let is_ours = refresh::leads_there(latest, &self.target);
        match self.next() {
            Next::Nothing => None,
            _ if is_ours && latest.state == RefreshState::Succeeded => None,
            _ if is_ours => {
                let reason = latest.rollback_reason.clone().or(latest.reason.clone());
                Some((refresh::status(latest), reason))
            }
            _ => None,
        }
    }

    /// Whether the cloud is to replace the instances by itself.
    pub(super) fn refreshes(&self) -> bool {
        self.spec.engine == Engine::InstanceRefresh
    }

    fn next(&self) -> Next<'_> {
        next(self.refresh.as_ref(), &self.spec, &self.target, &self.look)
    }

    /// Looks the latest refresh up, and refuses what stands in the way of another one.
    pub(super) async fn prepare_refresh(&mut self) -> Result<(), ProviderError> {
        let (fleet, clock) = (Arc::clone(&self.fleet), Arc::clone(&self.clock));
        self.refresh =
            patiently(&*clock, self.caller.jitter, || latest(Arc::clone(&fleet), None)).await?;
        self.take_up_refresh(self.look.clone());
        let refuse = |attribute: &str, words: String, remedy: &str| {
            let error = ProviderError::invalid("check the group", attribute, words);
            Err(error.with_remedy(remedy))
        };
        let record = Record::from_tags(&self.look.record)
            .map_err(|why| ProviderError::invalid("read the rollout record", "", why))?;
        if let Some(record) = record.filter(|record| !record.is_over()) {
            let words = format!("rollout {} is {} on the group", record.id, record.status());
            return refuse("engine", words, "finish or abort it with engine rolling first");
        }
        if !matches!(self.next(), Next::Start) {
            return Ok(());
        }
        refresh::preferences(&self.spec, self.size())?;
        let mut old = refresh::old(&self.spec, &self.target, &self.look);
        if let Some((id, _)) = old.find(|(_, instance)| instance.ignored) {
            let words =
                format!("{id} is tagged rolling:ignore, which an instance refresh does not");
            let remedy = "take the tag off, protect it from scale-in with \
                          scale_in_protected_instances = \"ignore\", or roll with engine rolling";
            return refuse("engine", words + " heed", remedy);
        }
        let template = self.look.template.as_ref();
        if let Some(alias) = template.filter(|found| self.target.aliases.contains_key(found))
            && self.spec.on_failure == OnFailure::Rollback
        {
            let words = format!("the group launches {alias}, and to an alias no refresh goes back");
            let remedy = "set the group's launch template to a version by number, or choose \
                          on_failure stop";
            return refuse("on_failure", words, remedy);
        }
        Ok(())
    }

    /// Nothing of ours is on the group: what is known is what is seen.
    pub(super) fn take_up_refresh(&mut self, look: Observation) {
        let mut progress = Progress::new(self.caller.rollout_id.as_str(), look.at);
        progress.known_completed.clone_from(&self.caller.completed);
        progress.observe(&self.target, &self.spec.health, &look);
        self.progress = progress;
        self.look = look;
    }

    /// See [`Rollout::look_again`].
    pub(super) async fn look_at_refresh_again(&mut self) -> Result<(), ProviderError> {
        self.refresh = latest(Arc::clone(&self.fleet), None).await?;
        let look = self.fleet.observe().await?;
        self.take_up_refresh(look);
        Ok(())
    }

    /// See [`Rollout::completed`]. No record tells, so the fleet does, or who keeps state.
    pub(super) fn completed_by_refresh(&self) -> Option<Revision> {
        let live = self.look.instances.values().filter(|instance| instance.lifecycle.is_live());
        let mut revisions = live.map(|instance| instance.revision.as_ref());
        let only = revisions.next().flatten();
        let only = only.filter(|only| revisions.all(|revision| revision == Some(*only)));
        let is_over = self.refresh.as_ref().is_none_or(|refresh| refresh.state.is_over());
        only.filter(|_| is_over).or(self.progress.known_completed.as_ref()).cloned()
    }

    /// What of a preview only the refresh under way tells.
    pub(super) fn preview_refresh(&self, preview: &mut Preview) {
        match self.next() {
            Next::Nothing | Next::Start => {}
            Next::Join(refresh) => {
                preview.changes = true;
                let told = refresh::told(refresh);
                let words = format!("instance refresh {} is under way and is followed", refresh.id);
                preview.warnings.insert(0, format!("{words} ({told})"));
            }
            Next::Foreign(refresh) => {
                preview.changes = true;
                preview.warnings.insert(0, format!("{}: nothing is done now", foreign(refresh)));
            }
        }
    }

    /// Starts or joins the refresh, or does with it what `self.word` says, and follows it.
    pub(super) async fn refresh_and_follow(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Outcome {
        let id = match self.next() {
            Next::Nothing => return Outcome::Succeeded,
            Next::Foreign(refresh) => {
                let reason = foreign(refresh);
                return self.leave_alone(reason);
            }
            Next::Join(refresh) => {
                let id = refresh.id.clone();
                self.tell(&id, RefreshStep::Joined, emit);
                id
            }
            Next::Start => match self.start_refresh(stop, emit).await {
                Ok(id) => id,
                Err(outcome) => return outcome,
            },
        };
        if let Some(word) = self.word.as_ref().map(|control| control.word)
            && let Err(error) = self.pass_on(word, &id, emit).await
        {
            let remedy = error.remedy.as_ref().map_or(String::new(), |r| format!(" ({r})"));
            let reason = format!("cannot {} instance refresh {id}: {error}{remedy}", word.name());
            return self.fail(reason);
        }
        self.follow(&id, stop, emit).await
    }

    async fn start_refresh(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Result<String, Outcome> {
        let mut retries = Schedule::retrying(self.caller.jitter);
        let begin = self.clock.now();
        loop {
            if *stop.borrow_and_update() != Stop::No {
                return Err(self.interrupted(NOTHING_DONE));
            }
            let error = match self.ask_to_start().await {
                Ok(id) => {
                    self.tell(&id, RefreshStep::Started, emit);
                    return Ok(id);
                }
                Err(error) => error,
            };
            // The answer may be lost, or somebody may have been faster.
            match self.ask_patiently(stop, emit, |fleet| latest(fleet, None)).await {
                Ok(latest) => self.refresh = latest,
                Err(error) => return Err(self.fail(format!("cannot see the group: {error}"))),
            }
            match self.next() {
                Next::Join(refresh) => {
                    let id = refresh.id.clone();
                    let is_ours = error.effect == Effect::Unknown;
                    let step = if is_ours { RefreshStep::Started } else { RefreshStep::Joined };
                    self.tell(&id, step, emit);
                    return Ok(id);
                }
                Next::Foreign(refresh) => {
                    let reason = foreign(refresh);
                    return Err(self.leave_alone(reason));
                }
                Next::Nothing | Next::Start => {}
            }
            let is_hopeless = !error.is_retryable() && error.effect != Effect::Unknown;
            if is_hopeless || self.clock.now().since(begin) > PATIENCE {
                let remedy = error.remedy.as_ref().map_or(String::new(), |r| format!(" ({r})"));
                return Err(self.fail(format!("cannot start an instance refresh: {error}{remedy}")));
            }
            emit.send(self.clock.now(), Event::Retrying { error: error.to_string() });
            self.pause(retries.pause(), stop).await;
        }
    }

    async fn ask_to_start(&self) -> Result<String, ProviderError> {
        let told = refresh::preferences(&self.spec, self.size())?;
        refresher(&*self.fleet)?.start(&self.wanted, &told).await
    }

    /// Has the cloud do what `word` says, unless that is what it is at.
    async fn pass_on(
        &self,
        word: Word,
        id: &str,
        emit: &mut Emitter<'_>,
    ) -> Result<(), ProviderError> {
        let state = self.refresh.as_ref().map(|refresh| refresh.state);
        let refresher = refresher(&*self.fleet)?;
        let step = match word {
            Word::Abort if state != Some(RefreshState::Cancelling) => {
                patiently(&*self.clock, self.caller.jitter, || refresher.cancel()).await?;
                RefreshStep::Cancelled
            }
            Word::Rollback if state != Some(RefreshState::RollingBack) => {
                patiently(&*self.clock, self.caller.jitter, || refresher.roll_back()).await?;
                RefreshStep::TurnedBack
            }
            _ => return Ok(()),
        };
        self.tell(id, step, emit);
        Ok(())
    }

    /// Looks at the refresh and at the fleet until the one is over.
    async fn follow(
        &mut self,
        id: &str,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Outcome {
        let mut polls = Schedule::polling(self.spec.poll_interval, self.caller.jitter);
        let patience = refresh::patience(&self.spec, &self.target);
        let mut shown = Shown::default();
        let mut moved = self.clock.now();
        let mut unhealthy = None;
        let mut goes_back = false;
        loop {
            if *stop.borrow_and_update() != Stop::No {
                let reason = format!("instance refresh {id} goes on, and is not followed any more");
                return self.interrupted(&reason);
            }
            let (found, fleet_changed) = match self.look_at_both(id, stop, emit).await {
                Ok(Some(found)) => found,
                Ok(None) => return self.fail(format!("instance refresh {id} does not show")),
                Err(error) => {
                    return self
                        .fail(format!("cannot see instance refresh {id} any more: {error}"));
                }
            };
            let now = self.clock.now();
            let changed = fleet_changed || self.refresh.as_ref() != Some(&found);
            self.refresh = Some(found.clone());
            if changed {
                moved = now;
                polls.start_over();
            }
            unhealthy = refresh::unhealthy(&self.target, &self.look).or(unhealthy);
            shown.counts(&self.input(now), emit);
            if found.state == RefreshState::RollingBack && !goes_back {
                goes_back = true;
                self.tell_of_turning_back(&found, unhealthy.as_deref(), emit).await;
            }
            if let Some(outcome) = refresh::verdict(&found) {
                return self.conclude(outcome, &found, unhealthy.as_deref(), stop, emit).await;
            }
            if now.since(moved) > patience {
                let reason = format!(
                    "instance refresh {id} has not got any further for {} ({}), and still runs",
                    humantime::format_duration(patience),
                    refresh::told(&found)
                );
                return self.fail(reason);
            }
            let (kind, instances) = (WaitKind::Refresh, Vec::new());
            let (detail, deadline) = (Some(refresh::told(&found)), moved + patience);
            shown.wait_for(vec![Wait { kind, instances, detail, deadline }], now, emit);
            self.pause(polls.pause(), stop).await;
        }
    }

    /// First the refresh: over, it has the fleet as it is to be.
    async fn look_at_both(
        &mut self,
        id: &str,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Result<Option<(Refresh, bool)>, ProviderError> {
        let ask = |fleet| latest(fleet, Some(id.to_owned()));
        let Some(found) = self.ask_patiently(stop, emit, ask).await? else { return Ok(None) };
        let changed = self.observe_patiently(stop, emit).await?;
        Ok(Some((found, changed)))
    }

    async fn tell_of_turning_back(
        &mut self,
        found: &Refresh,
        unhealthy: Option<&str>,
        emit: &mut Emitter<'_>,
    ) {
        let reason = self.explain_refresh(found, unhealthy).await;
        let back = self.look.template.as_ref().map(|found| self.target.resolve(found).clone());
        if let Some(to) = back {
            emit.send(self.clock.now(), Event::RollingBack { reason, to });
        }
    }

    async fn conclude(
        &mut self,
        outcome: Outcome,
        found: &Refresh,
        unhealthy: Option<&str>,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Outcome {
        if outcome == Outcome::Succeeded {
            return match self.settle(stop, emit).await {
                None => Outcome::Succeeded,
                Some(left) => {
                    let id = &found.id;
                    self.fail(format!("instance refresh {id} is {}, and {left}", found.status))
                }
            };
        }
        let reason = self.explain_refresh(found, unhealthy).await;
        if outcome == Outcome::RolledBack {
            self.progress.turned_back = Some(reason);
            return outcome;
        }
        self.progress.halt = Some(Halt::failed(reason, self.clock.now()));
        outcome
    }

    /// Waits until looks show what a refresh that succeeded has left. Returns what it has not done.
    async fn settle(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Option<String> {
        let mut polls = Schedule::polling(self.spec.poll_interval, self.caller.jitter);
        let begin = self.clock.now();
        loop {
            let old = refresh::old(&self.spec, &self.target, &self.look).next();
            let left = match old {
                _ if refresh::is_done(&self.spec, &self.target, &self.look) => return None,
                Some((id, instance)) => {
                    let runs = instance.revision.as_ref().map_or("something else", |r| r.as_str());
                    format!("{id} runs {runs} all the same")
                }
                None => format!("the group does not launch {} yet", self.target.revision),
            };
            if self.clock.now().since(begin) > SETTLES_WITHIN || *stop.borrow() != Stop::No {
                return Some(left);
            }
            self.pause(polls.pause(), stop).await;
            if let Err(error) = self.observe_patiently(stop, emit).await {
                return Some(format!("{left} ({error})"));
            }
        }
    }

    /// Why it came to no good end, with what the group itself says.
    async fn explain_refresh(&mut self, found: &Refresh, unhealthy: Option<&str>) -> String {
        let activities = match self.fleet.activities(found.started).await {
            Ok(activities) => activities,
            Err(error) => {
                // Only an explanation is lost.
                tracing::warn!(%error, "cannot read the fleet's activities");
                Vec::new()
            }
        };
        refresh::cause(found, unhealthy, &activities)
    }

    fn tell(&self, id: &str, step: RefreshStep, emit: &mut Emitter<'_>) {
        emit.send(self.clock.now(), Event::Refresh { id: id.to_owned(), step });
    }

    fn fail(&mut self, reason: String) -> Outcome {
        self.progress.halt = Some(Halt::failed(reason, self.clock.now()));
        Outcome::Failed
    }

    fn leave_alone(&mut self, reason: String) -> Outcome {
        self.progress.halt = Some(Halt::failed(reason, self.clock.now()));
        Outcome::Locked
    }

    /// What only the platform could do, and cannot.
    ///
    /// # Errors
    /// Says what cannot be done, and what can.
    pub fn allow(&self, word: Word) -> Result<(), ProviderError> {
        if !self.refreshes() {
            return Ok(());
        }
        let name = word.name();
        if matches!(word, Word::Pause | Word::Resume) {
            let words = format!("an instance refresh cannot be told to {name}");
            let error = ProviderError::invalid(name, "engine", words);
            return Err(error.with_remedy(
                "checkpoints hold it for a time; rolling abort ends it where it is, and rolling \
                 rollback has it go back",
            ));
        }
        match self.next() {
            Next::Foreign(refresh) => {
                let error = ProviderError::invalid(name, "engine", foreign(refresh));
                Err(error.with_remedy(ITS_OWN_DOCUMENT))
            }
            _ => Ok(()),
        }
    }

    /// Why `word` could change nothing, if so.
    pub(super) fn idle_refresh(&self, word: Word) -> Option<String> {
        let is_there = matches!(self.next(), Next::Join(_) | Next::Foreign(_));
        (!is_there && matches!(word, Word::Abort | Word::Rollback)).then(|| no_rollout(word))
    }

    /// Cancels the refresh that is under way, or has it go back, and follows it to its end.
    pub(super) async fn command_refresh(
        mut self,
        word: Word,
        stop: watch::Receiver<Stop>,
        emit: &mut (dyn FnMut(Envelope) + Send),
    ) -> Result<Commanded, ProviderError> {
        self.allow(word)?;
        if let Some(words) = self.idle(word) {
            return Ok(Commanded::Idle(words));
        }
        let rollout = self.refresh.as_ref().map(|refresh| refresh.id.clone()).unwrap_or_default();
        let (id, by) = (self.caller.rollout_id.clone(), self.caller.owner.clone());
        self.word = Some(Control { word, id, rollout, by });
        Ok(Commanded::Ran(Box::new(self.run(stop, emit).await)))
    }
}

fn foreign(refresh: &Refresh) -> String {
    let to = refresh.to.as_ref().map_or("another configuration", |to| to.as_str());
    format!("instance refresh {} to {to} is under way ({})", refresh.id, refresh::told(refresh))
}

fn refresher(fleet: &dyn Fleet) -> Result<&dyn Refresher, ProviderError> {
    fleet.refresher().ok_or_else(|| {
        let words = "this fleet does not roll by itself";
        let error = ProviderError::invalid("open the fleet", "engine", words);
        error.with_remedy("roll with engine rolling")
    })
}

async fn latest(
    fleet: Arc<dyn Fleet>,
    id: Option<String>,
) -> Result<Option<Refresh>, ProviderError> {
    refresher(&*fleet)?.refresh(id.as_deref()).await
}
