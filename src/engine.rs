//! The loop: look, plan, judge, act, report. It decides nothing: what to do comes from the
//! planner, what is allowed from [`crate::plan::check`].

use std::sync::Arc;
use std::time::Duration;

mod report;

use rolling_provider::{
    Action, Clock, Effect, ErrorKind, Fleet, Observation, ProviderError, Target, Timestamp,
};
use tokio::sync::watch;

use self::report::{Emitter, Shown};
use crate::event::{Envelope, Event, Outcome, Report};
use crate::plan::{self, Input, Plan, Preview, Step, Verdict, View};
use crate::progress::{Halt, Progress};
use crate::record::Record;
use crate::schedule::Schedule;
use crate::spec::RollingDeployment;

/// How long reads and accepted-by-nobody mutations are tried again before the rollout gives up.
const PATIENCE: Duration = Duration::from_secs(300);
/// What is left undone after a request to stop for this long stays in the record.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// A launch that is missing for this long is worth asking about, and again after as long.
const LAUNCH_IS_LATE: Duration = Duration::from_secs(5);

/// How urgently a rollout is to end. A later request may only be more urgent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    #[default]
    No,
    /// At the next safe point: victims go back into rotation, what is borrowed is put back.
    Gracefully,
    /// After the current call.
    Now,
}

/// A deployment that was looked up in the cloud, and may be previewed or run.
pub struct Rollout {
    fleet: Arc<dyn Fleet>,
    clock: Arc<dyn Clock>,
    spec: RollingDeployment,
    target: Target,
    look: Observation,
    progress: Progress,
    jitter: f64,
    ticks: u64,
}

impl Rollout {
    /// Looks the target up and looks at it once. Reads only.
    ///
    /// `id` names the rollout; `jitter` from 0 (none) to 1 spreads polls in time.
    ///
    /// # Errors
    /// What the cloud said; a document that asks for what is not there names its attribute.
    pub async fn prepare(
        fleet: Arc<dyn Fleet>,
        spec: RollingDeployment,
        id: &str,
        jitter: f64,
    ) -> Result<Rollout, ProviderError> {
        let clock = fleet.clock();
        let mut schedule = Schedule::retrying(jitter);
        let begin = clock.now();
        let (target, look) = loop {
            match look_up(&*fleet).await {
                Ok(found) => break found,
                Err(error) if !error.is_retryable() => return Err(error),
                Err(error) if clock.now().since(begin) > first_patience(&error) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::debug!(%error, "trying again");
                    clock.sleep(schedule.pause()).await;
                }
            }
        };
        let mut progress = Progress::new(id, look.at);
        progress.record = Record::from_tags(&look.record).map_err(|why| {
            ProviderError::invalid("read the rollout record", "", why).with_remedy(
                "finish the rollout with the version of rolling that began it, or remove the \
                 tags that start with rolling: once nothing is borrowed any more",
            )
        })?;
        if let Some(record) = &progress.record {
            progress.surge = record.surge.min(look.capacity.desired.saturating_sub(record.size));
        }
        progress.observe(&target, spec.health.min_healthy_time, &look);
        Ok(Rollout { clock, spec, target, look, progress, jitter, ticks: 1, fleet })
    }

    /// Whether the fleet can be rolled as it is.
    ///
    /// # Errors
    /// When instances to replace are set aside by somebody.
    pub fn check(&self) -> Result<(), ProviderError> {
        match plan::refusal(&self.input(self.look.at)) {
            None => Ok(()),
            Some(held) => Err(ProviderError::invalid(
                "check the fleet",
                "",
                format!("instances to replace are set aside: {held}"),
            )
            .with_remedy("end that, or tag them rolling:ignore to leave them as they are")),
        }
    }

    /// What [`Rollout::run`] would do now.
    pub fn preview(&self) -> Preview {
        plan::preview(&self.input(self.look.at))
    }

    /// The record of a rollout found on the target, if any.
    pub fn record(&self) -> Option<&Record> {
        self.progress.record.as_ref()
    }

    /// The clock that the rollout lives by.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// What the target turned out to be.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The size the fleet is meant to have, without surge of ours.
    pub fn size(&self) -> u32 {
        self.progress.size(&self.look)
    }

    /// The last revision that the whole fleet is known to have run.
    pub fn completed(&self) -> Option<rolling_provider::Revision> {
        if plan::is_converged(&self.input(self.look.at)) {
            return Some(self.target.revision.clone());
        }
        self.progress.record.as_ref().and_then(|record| record.completed.clone())
    }

    /// Runs the rollout to its end. Never fails: how it ended is in the report, which is also
    /// the last event.
    pub async fn run(
        mut self,
        mut stop: watch::Receiver<Stop>,
        emit: &mut (dyn FnMut(Envelope) + Send),
    ) -> Report {
        let mut emit = Emitter::new(&self.progress.rollout_id, emit);
        let started = self.clock.now();
        emit.send(self.clock.now(), Event::Started { preview: self.preview() });
        let outcome = self.drive(&mut stop, &mut emit).await;
        let report = self.report(outcome, started);
        emit.send(self.clock.now(), Event::Finished { report: report.clone() });
        report
    }

    async fn drive(&mut self, stop: &mut watch::Receiver<Stop>, emit: &mut Emitter<'_>) -> Outcome {
        let mut polls = Schedule::polling(self.spec.poll_interval, self.jitter);
        let mut retries = Schedule::retrying(self.jitter);
        let mut failing_since = None;
        let mut last_actions = Vec::new();
        let mut shown = Shown::default();
        loop {
            let urgency = *stop.borrow_and_update();
            if urgency == Stop::Now {
                return self.halted_outcome(Outcome::Aborted);
            }
            if urgency == Stop::Gracefully {
                let at = self.clock.now();
                let until = Some(at + STOP_WITHIN);
                match &mut self.progress.halt {
                    // A failure is being put back already: from now on within bounds.
                    Some(halt) => halt.until = halt.until.or(until),
                    None => {
                        let reason = "asked to stop".to_owned();
                        self.halt(Halt { reason, requested: true, at, until }, emit);
                    }
                }
            }

            let now = self.clock.now();
            let plan = self.plan(now);
            shown.counts(&self.input(now), emit);
            self.report_batches(&plan, emit);
            match plan.verdict {
                Verdict::Continue => {}
                Verdict::Converged => return Outcome::Succeeded,
                Verdict::Halted => return self.halted_outcome(Outcome::Failed),
                Verdict::Halt(halt) => {
                    self.halt(halt, emit);
                    continue;
                }
            }
            shown.waits(&plan, now, emit);

            let actions: Vec<Action> = plan.actions.iter().map(|s| s.action.clone()).collect();
            // Reads may lag: what was done a moment ago is planned again until they show it.
            let repeats = !actions.is_empty() && actions == last_actions;
            last_actions = actions;
            let mut changed = false;
            let mut failed = None;
            for step in plan.actions {
                if *stop.borrow() == Stop::Now {
                    break;
                }
                let action = step.action.clone();
                match self.act(step, emit).await {
                    Ok(Acted::Done) => changed = true,
                    Ok(Acted::Refused) => {
                        changed = true;
                        break;
                    }
                    Err(error) => {
                        failed = Some((action, error));
                        break;
                    }
                }
            }
            match failed {
                Some((action, error)) => {
                    let since = *failing_since.get_or_insert(self.clock.now());
                    let stopping = self.progress.halt.as_ref().is_some_and(|h| h.until.is_some());
                    let patience = if stopping { STOP_WITHIN } else { PATIENCE };
                    if self.clock.now().since(since) > patience {
                        self.refused(action, &error, emit);
                        failing_since = None;
                    } else {
                        let error = error.to_string();
                        emit.send(self.clock.now(), Event::Retrying { error });
                        self.pause(retries.pause(), stop).await;
                    }
                }
                None if changed && repeats => self.pause(retries.pause(), stop).await,
                None if changed => {
                    failing_since = None;
                    retries.start_over();
                    polls.start_over();
                }
                None => {
                    let now = self.clock.now();
                    let due = plan.wake.map_or(Duration::MAX, |wake| wake.since(now));
                    // A moment past what is due, so that it is over by the look.
                    let due = due.saturating_add(Duration::from_millis(1));
                    self.pause(polls.pause().min(due), stop).await;
                }
            }
            match self.observe_patiently(stop, emit).await {
                Ok(true) => polls.start_over(),
                Ok(false) => {}
                Err(error) => {
                    let at = self.clock.now();
                    let reason = format!("cannot see the fleet any more: {error}");
                    self.progress.begin_halt(Halt { reason, requested: false, at, until: None });
                    return self.halted_outcome(Outcome::Failed);
                }
            }
        }
    }

    fn input(&self, now: Timestamp) -> Input<'_> {
        Input {
            spec: &self.spec,
            target: &self.target,
            look: &self.look,
            progress: &self.progress,
            now,
        }
    }

    /// Plans this tick and has the plan judged; a plan that breaks a promise is never carried out.
    fn plan(&self, now: Timestamp) -> Plan {
        let input = self.input(now);
        let mut plan = plan::plan(&input);
        let violations = plan::check::violations(&input, &plan);
        if !violations.is_empty() {
            let reason = format!("stopped by its own check: {}", violations.join("; "));
            tracing::error!(reason, "a plan breaks a promise");
            plan.actions.clear();
            plan.begins = None;
            plan.verdict = match &self.progress.halt {
                None => Verdict::Halt(Halt { reason, requested: false, at: now, until: None }),
                Some(_) => Verdict::Halted,
            };
        }
        plan
    }

    fn report_batches(&mut self, plan: &Plan, emit: &mut Emitter<'_>) {
        let now = self.clock.now();
        if plan.batch_ends {
            self.progress.batch_open = false;
            emit.send(now, Event::BatchFinished { number: self.progress.batch });
        }
        if let Some(begins) = &plan.begins {
            // Victims count as out of rotation from here on, whatever becomes of the calls.
            self.progress.choose(&begins.victims);
            self.progress.batch = begins.number;
            self.progress.batch_open = true;
            let instances = begins.victims.iter().cloned().collect();
            let (number, launches) = (begins.number, begins.launches);
            emit.send(now, Event::BatchStarted { number, launches, instances });
        }
        self.progress.choose(&plan.chosen);
    }

    async fn act(&mut self, step: Step, emit: &mut Emitter<'_>) -> Result<Acted, ProviderError> {
        let Step { action, record, surge } = step;
        tracing::info!(%action, "acting");
        match self.fleet.act(&action).await {
            Ok(()) => {}
            Err(error) if error.effect == Effect::Applied => {}
            Err(error) if error.is_retryable() || error.effect == Effect::Unknown => {
                if error.effect == Effect::Unknown {
                    self.progress.unsure(&action, surge);
                }
                return Err(error);
            }
            Err(error) => {
                tracing::warn!(%action, %error, "refused");
                self.refused(action, &error, emit);
                return Ok(Acted::Refused);
            }
        }
        let now = self.clock.now();
        let desired = self.progress.desired(&self.look);
        self.progress.accepted(&action, surge, desired, now);
        if let Some(record) = record {
            self.progress.record = Some(record);
        }
        emit.send(now, Event::Acted { action });
        Ok(Acted::Done)
    }

    /// The cloud will not do `action`. Going forward that ends the rollout; while things are put
    /// back, the rest is put back all the same.
    fn refused(&mut self, action: Action, error: &ProviderError, emit: &mut Emitter<'_>) {
        let remedy = error.remedy.as_ref().map_or(String::new(), |remedy| format!(" ({remedy})"));
        let words = format!("{error}{remedy}");
        if self.progress.halt.is_some() {
            let event = Event::Refused { action: action.clone(), error: words.clone() };
            emit.send(self.clock.now(), event);
            self.progress.refused.push((action, words));
        } else {
            let reason = format!("the cloud refused to {action}: {words}");
            let at = self.clock.now();
            self.halt(Halt { reason, requested: false, at, until: None }, emit);
        }
    }

    fn halt(&mut self, halt: Halt, emit: &mut Emitter<'_>) {
        emit.send(self.clock.now(), Event::Halting { reason: halt.reason.clone() });
        self.progress.begin_halt(halt);
    }

    /// Waits, unless a (more) urgent request to stop comes first.
    async fn pause(&self, duration: Duration, stop: &mut watch::Receiver<Stop>) {
        tokio::select! {
            () = self.clock.sleep(duration) => {}
            Ok(()) = stop.changed() => stop.mark_changed(),
        }
    }

    /// Takes a fresh look. Returns whether the fleet changed since the last one.
    async fn observe_patiently(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Result<bool, ProviderError> {
        let mut schedule = Schedule::retrying(self.jitter);
        let begin = self.clock.now();
        loop {
            match self.fleet.observe().await {
                Ok(look) => return Ok(self.take_in(look).await),
                Err(error) => {
                    let urgency = *stop.borrow();
                    let patience = match urgency {
                        Stop::No => PATIENCE,
                        Stop::Gracefully => STOP_WITHIN,
                        Stop::Now => Duration::ZERO,
                    };
                    if !error.is_retryable() || self.clock.now().since(begin) > patience {
                        return Err(error);
                    }
                    let error = error.to_string();
                    emit.send(self.clock.now(), Event::Retrying { error });
                    match urgency {
                        Stop::No => self.pause(schedule.pause(), stop).await,
                        // The request has been heard, and ends no further pause.
                        _ => self.clock.sleep(schedule.pause()).await,
                    }
                }
            }
        }
    }

    async fn take_in(&mut self, look: Observation) -> bool {
        self.ticks += 1;
        let failed = self.progress.failed.len();
        self.progress.observe(&self.target, self.spec.health.min_healthy_time, &look);
        let changed = look.instances != self.look.instances || look.capacity != self.look.capacity;
        self.look = look;
        let view = View::new(&self.input(self.look.at));
        let score = view.updated() + view.serving();
        if self.progress.best.is_none_or(|(best, _)| score > best) {
            self.progress.best = Some((score, self.look.at));
        }
        let late = self.progress.missing_since.is_some_and(|since| {
            let asked = self.progress.activities_asked.unwrap_or(since);
            self.look.at.since(asked) >= LAUNCH_IS_LATE
        });
        if late || self.progress.failed.len() > failed {
            self.ask_why().await;
        }
        changed
    }

    /// Asks the fleet what it did by itself, to name the cause of what is missing or failed.
    async fn ask_why(&mut self) {
        self.progress.activities_asked = Some(self.look.at);
        match self.fleet.activities(self.progress.started).await {
            Ok(activities) => self.progress.explain(activities),
            // Only an explanation is lost.
            Err(error) => tracing::warn!(%error, "cannot read the fleet's activities"),
        }
    }
}

/// What became of an action.
enum Acted {
    Done,
    Refused,
}

/// The patience before anything was begun: somebody is watching and can try again. Being asked
/// to slow down is no reason to give up, though.
fn first_patience(error: &ProviderError) -> Duration {
    match error.kind {
        ErrorKind::Throttled => PATIENCE,
        _ => Duration::from_secs(2),
    }
}

async fn look_up(fleet: &dyn Fleet) -> Result<(Target, Observation), ProviderError> {
    let target = fleet.resolve().await?;
    let look = fleet.observe().await?;
    Ok((target, look))
}
