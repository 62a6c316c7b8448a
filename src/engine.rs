//! The loop: look, plan, judge, act, report. It decides nothing: what to do comes from the
//! planner, what is allowed from [`crate::rollout::planner::check`], who may act from [`crate::record::lease`].

use std::sync::Arc;
use std::time::Duration;

mod act;
mod begin;
pub mod clock;
mod command;
mod follow;
mod gate;
mod hold;
mod instance_refresh;
mod judge;
mod look;
pub mod owner;
mod probe;
mod report;
pub mod schedule;

pub use command::ControlOutcome;
pub use instance_refresh::UnderWay;

use rolling_provider::{
    Action, Alarm, Clock, ErrorKind, Fleet, InstanceRefresh, Observation, ProviderError, Revision,
    Target, Timestamp,
};
use tokio::sync::watch;

use self::act::Acted;
use self::gate::GateRunner;
use self::hold::{Hold, LeaseCheck};
use self::report::{Emitter, Shown};
use crate::engine::schedule::Schedule;
use crate::model::event::{Envelope, Event, Outcome, Report};
use crate::model::preview::Preview;
use crate::model::spec::{Executor, Gates, RollingDeployment};
use crate::record::command::{Command, Control};
use crate::record::lease::Lease;
use crate::record::{Ending, LEASE, Record};
use crate::rollout::control::Waiting;
use crate::rollout::ownership::{LATE, Moment};
use crate::rollout::planner::{self, Input, Plan, Preflight, Verdict, due};
use crate::rollout::state::{Halt, LOOKS_LAG, RolloutState};

/// How long reads and accepted-by-nobody mutations are tried again before the rollout gives up.
const RETRY_BUDGET: Duration = Duration::from_secs(300);
/// So many ticks in a row may act without a pause between them. A rollout needs few; more mean
/// that looks contradict each other, and only time helps.
const TICKS_IN_A_ROW: u32 = 10;
/// A lease that could not be renewed is tried again after this.
const SOON: Duration = Duration::from_secs(1);
/// What is left undone after a request to stop for this long stays in the record.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// What an apply waits for what may have been made a moment ago: as long as Terraform's AWS provider
/// does (`hashicorp/terraform-provider-aws#40088`).
pub const UNSEEN_FOR: Duration = Duration::from_secs(120);

/// The reason of a rollout that was stopped before it had touched anything, its lease included.
pub const NOTHING_DONE: &str = "asked to stop before anything was done";

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

/// On whose behalf a rollout runs.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Names the rollout, should one begin.
    pub rollout_id: String,
    /// This process, as the lease names it; see [`crate::engine::owner`].
    pub owner: String,
    /// Whether an owner is known to be dead.
    pub is_gone: fn(&str) -> bool,
    /// From 0 (none) to 1: spreads polls of several engines in time.
    pub jitter: f64,
    /// How long to wait, before a rollout begins, for what may have been made a moment ago and does
    /// not show yet; nothing for whoever only looks.
    pub unseen_for: Duration,
    /// Tells whoever waits meanwhile.
    pub tell: fn(&str),
    /// The last revision that the whole fleet ran, where the caller keeps state and knows it.
    pub completed: Option<Revision>,
}

/// A deployment that was looked up in the cloud, and may be previewed or run.
pub struct Rollout {
    fleet: Arc<dyn Fleet>,
    clock: Arc<dyn Clock>,
    caller: Caller,
    /// What the document says; `spec` and `target` are what holds now, which differs while the
    /// rollout goes back.
    asked: RollingDeployment,
    wanted: Revision,
    spec: RollingDeployment,
    target: Target,
    look: Observation,
    /// When that was asked for.
    looked: Moment,
    state: RolloutState,
    /// What this process itself wants of a rollout found on the target.
    command: Option<Control>,
    hold: Hold,
    asking: GateRunner,
    /// What is known of plans that broke a promise.
    condemned: judge::Condemned,
    /// The fleet's latest refresh, where it rolls by itself.
    instance_refresh: Option<InstanceRefresh>,
    /// The alarms among the gates, as they were when the target was looked up.
    alarms: Vec<Alarm>,
    ticks: u64,
}

impl Rollout {
    /// Looks the target up and looks at it once, for a rollout that may begin now. Reads only.
    ///
    /// # Errors
    /// What the cloud said; a document that asks for what is not there names its attribute. And
    /// what would keep a rollout from beginning.
    pub async fn prepare(
        fleet: Arc<dyn Fleet>,
        spec: RollingDeployment,
        caller: &Caller,
    ) -> Result<Rollout, ProviderError> {
        let rollout = Rollout::look_up(fleet, spec, caller).await?;
        rollout.may_begin().await?;
        Ok(rollout)
    }

    /// Looks the target up and looks at it once, to tell what is there and to end it: what would
    /// only keep a rollout from beginning is no hindrance. Reads only.
    ///
    /// # Errors
    /// What the cloud said; a document that asks for what is not there names its attribute.
    pub async fn look_up(
        fleet: Arc<dyn Fleet>,
        mut spec: RollingDeployment,
        caller: &Caller,
    ) -> Result<Rollout, ProviderError> {
        let clock = fleet.clock();
        let (target, look) = look::look_up(&*fleet, &*clock, caller).await?;
        let alarms = look::alarms(&*fleet, &*clock, &spec.gates.alarms, caller.jitter).await?;
        let looked = Moment { now: look.at, wall: clock.wall() };
        // An instance that gets few requests yet has shown little.
        let soak = &mut spec.health.min_healthy_time;
        *soak = target.slow_start().max(*soak);
        let mut rollout = Rollout {
            clock,
            caller: caller.clone(),
            wanted: target.revision.clone(),
            asked: spec.clone(),
            state: RolloutState::new(caller.rollout_id.as_str(), look.at),
            look: Observation { at: look.at, ..Observation::default() },
            looked,
            command: None,
            hold: Hold::new(&caller.owner, fleet.guards_record()),
            asking: GateRunner::default(),
            condemned: judge::Condemned::default(),
            instance_refresh: None,
            alarms,
            spec,
            target,
            ticks: 1,
            fleet,
        };
        if rollout.refreshes() {
            rollout.look = look;
            rollout.look_up_refresh().await?;
            return Ok(rollout);
        }
        rollout.restore_from_record(look).map_err(|why| {
            ProviderError::invalid("read the rollout record", "", why).with_remedy(
                "finish the rollout with the version of rolling that began it, or remove the \
                 tags that start with rolling: once nothing is borrowed any more",
            )
        })?;
        Ok(rollout)
    }

    /// Looks again, to show what has changed since.
    ///
    /// # Errors
    /// What the cloud said.
    pub async fn look_again(&mut self) -> Result<(), ProviderError> {
        if self.refreshes() {
            return self.look_at_refresh_again().await;
        }
        let look = self.fleet.observe().await?;
        self.restore_from_record(look)
            .map_err(|why| ProviderError::invalid("read the record", "", why))
    }

    /// What [`Rollout::run`] would do now.
    pub fn preview(&self) -> Preview {
        let asked = self.command.as_ref().map(|command| command.command);
        let back = self.record().filter(|_| asked == Some(Command::Rollback));
        let back = back.and_then(|record| record.completed.clone());
        // Who asks for a rollback is shown where it leads, not where it comes from.
        let target = back.map(|revision| Target { revision, ..self.target.clone() });
        let input = self.input(self.look.at);
        let target = target.as_ref().unwrap_or(input.target);
        let mut preview = planner::preview(&Input { target, ..input });
        if self.refreshes() {
            self.preview_refresh(&mut preview);
        }
        let raised = self.alarms.iter().filter(|alarm| alarm.raised && preview.changes);
        let message = raised.map(|alarm| format!("alarm {}", gate::message(alarm)));
        preview.warnings.extend(message.collect::<Vec<_>>());
        preview
    }

    /// What can be known beforehand to keep [`Rollout::run`] from its end.
    pub fn preflight(&self) -> Vec<Preflight> {
        if self.refreshes() {
            return Vec::new();
        }
        planner::preflight(&self.input(self.look.at))
    }

    /// The record of a rollout found on the target, if any.
    pub fn record(&self) -> Option<&Record> {
        self.state.record.as_ref()
    }

    /// Who was at work on the target when it was last looked at; nobody whose process is known to have
    /// ended.
    pub fn lease(&self) -> Option<Lease> {
        Lease::from_tags(&self.look.record).filter(|lease| !(self.caller.is_gone)(&lease.owner))
    }

    /// Who was at work there, and is known to have ended without letting go.
    pub fn ended_owner(&self) -> Option<String> {
        let lease = Lease::from_tags(&self.look.record);
        lease.map(|lease| lease.owner).filter(|owner| (self.caller.is_gone)(owner))
    }

    /// The clock that the rollout lives by.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// What the target turned out to be.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The revision that is wanted.
    pub fn wanted(&self) -> &Revision {
        &self.wanted
    }

    /// The size the fleet is meant to have, without surge of ours.
    pub fn size(&self) -> u32 {
        self.state.size(&self.look)
    }

    /// The last revision that the whole fleet is known to have run.
    pub fn completed(&self) -> Option<Revision> {
        if self.refreshes() {
            return self.completed_by_refresh();
        }
        if planner::is_converged(&self.input(self.look.at)) {
            return Some(self.target.revision.clone());
        }
        let record = self.state.record.as_ref();
        record.and_then(|record| record.completed.clone()).or(self.state.known_completed.clone())
    }

    /// Runs the rollout to its end. Never fails: how it ended is in the report, which is also
    /// the last event.
    pub async fn run(
        mut self,
        mut stop: watch::Receiver<Stop>,
        emit: &mut (dyn FnMut(Envelope) + Send),
    ) -> Report {
        let mut emit = Emitter::new(&self.caller.rollout_id, emit);
        let started = self.begin(&mut emit);
        let outcome = match self.spec.engine {
            Executor::Rolling => self.run_with_lease(|_| true, &mut stop, &mut emit).await,
            Executor::InstanceRefresh { .. } => self.refresh_and_follow(&mut stop, &mut emit).await,
        };
        self.finish(outcome, started, &mut emit)
    }

    /// The same, unless somebody else takes the lease first, or is done with it by then: nothing is
    /// done then.
    async fn run_unless_late(
        &mut self,
        waiting: &Waiting,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Option<Report> {
        let started = self.begin(emit);
        let is_wanted = |look: &Observation| waiting.is_to_be_carried_out(&look.record);
        let outcome = self.run_with_lease(is_wanted, stop, emit).await;
        let is_late = outcome == Outcome::Locked && !self.holds_lease();
        (!is_late).then(|| self.finish(outcome, started, emit))
    }

    fn begin(&self, emit: &mut Emitter<'_>) -> Timestamp {
        let started = self.clock.now();
        emit.send(started, Event::Started { preview: self.preview() });
        started
    }

    fn finish(&self, outcome: Outcome, started: Timestamp, emit: &mut Emitter<'_>) -> Report {
        let report = self.report(outcome, started);
        emit.send(self.clock.now(), Event::Finished { report: report.clone() });
        report
    }

    /// Takes the lease and drives the rollout, if `is_wanted` still says so once that is taken.
    async fn run_with_lease(
        &mut self,
        is_wanted: impl Fn(&Observation) -> bool,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Outcome {
        if let Some(record) = self.state.record.as_ref().filter(|_| self.waits_for_a_word()) {
            // Whoever paused it, or the checkpoint, asked for a decision; to run again is none.
            let why = record.reason.clone().unwrap_or_else(|| "paused".into());
            let (ending, fault, at) = (Ending::Paused, record.fault, self.clock.now());
            self.state.halt =
                Some(Halt { reason: why, ending, fault, at_checkpoint: false, at, until: None });
            return Outcome::Paused;
        }
        // With nothing to do there is nothing to hold.
        if self.plan(self.clock.now()).verdict == Verdict::Converged {
            return Outcome::Succeeded;
        }
        match self.acquire_lease(stop, emit).await {
            Ok(None) if is_wanted(&self.look) => {}
            Ok(None) => {
                self.release().await;
                return Outcome::Locked;
            }
            Ok(Some(outcome)) => {
                if *stop.borrow() != Stop::Now {
                    self.delete_tags([LEASE]).await;
                }
                return outcome;
            }
            Err(reason) => {
                self.state.halt = Some(Halt::failed(reason, self.clock.now()));
                // A command that waits is for whoever goes on.
                self.delete_tags([LEASE]).await;
                return Outcome::Failed;
            }
        }
        let outcome = match self.make_revision(stop, emit).await {
            Ok(()) => self.drive(stop, emit).await,
            Err(reason) => {
                self.state.halt = Some(Halt::failed(reason, self.clock.now()));
                Outcome::Failed
            }
        };
        let urgency = *stop.borrow();
        self.release_lease(outcome, urgency).await;
        outcome
    }

    async fn drive(&mut self, stop: &mut watch::Receiver<Stop>, emit: &mut Emitter<'_>) -> Outcome {
        let mut retries = Schedule::retrying(self.caller.jitter);
        // What fails, and since when.
        let mut failing: Option<(Action, Timestamp)> = None;
        let mut last_actions = Vec::new();
        let mut shown = Shown::default();
        let mut in_a_row = 0;
        let mut looked_again = false;
        loop {
            let urgency = *stop.borrow_and_update();
            // Waits end at the bound; what is still to be done then has as long again.
            let last = self.state.halt.as_ref().and_then(|h| h.until).map(|t| t + STOP_WITHIN);
            if urgency == Stop::Now || last.is_some_and(|last| self.clock.now() >= last) {
                return self.ending(Ending::Interrupted);
            }
            if urgency == Stop::Gracefully {
                self.stop_gracefully(emit);
            }
            match self.renew_lease(stop, emit).await {
                LeaseCheck::Ours => {}
                LeaseCheck::Doubtful => continue,
                LeaseCheck::Lost(outcome) => return outcome,
            }

            let now = self.clock.now();
            let mut plan = self.plan_judged(now, emit);
            shown.counts(&self.input(now), emit);
            shown.warnings(&self.input(now), emit);
            self.report_batches(&plan, emit);
            match plan.verdict {
                Verdict::Continue => {}
                Verdict::Converged if self.is_overtaken() => return Outcome::Locked,
                Verdict::Converged if self.state.rolls_back.is_some() => {
                    return Outcome::RolledBack;
                }
                Verdict::Converged => return Outcome::Succeeded,
                Verdict::Halted => return self.ending(Ending::Failed),
                Verdict::Halt(halt) => {
                    self.halt(halt, emit);
                    continue;
                }
                Verdict::RollBack { reason, asked } => {
                    self.start_rollback(reason, asked, emit);
                    continue;
                }
                Verdict::GoOn => {
                    self.go_on();
                    continue;
                }
            }
            shown.waits(&plan, now, emit);
            if self.ask_gates(&plan, emit) {
                continue;
            }

            let actions: Vec<Action> = plan.actions.iter().map(|s| s.action.clone()).collect();
            // Reads may lag: what was done a moment ago is planned again until they show it.
            let repeats = !actions.is_empty() && actions == last_actions;
            last_actions = actions;
            let mut changed = false;
            let mut failed = None;
            // What is not wanted any more fails no more, and says nothing of what is wanted now.
            let fails_still =
                |failed: &Action| last_actions.is_empty() || last_actions.contains(failed);
            failing = failing.filter(|(failed, _)| fails_still(failed));
            for (index, step) in std::mem::take(&mut plan.actions).into_iter().enumerate() {
                if *stop.borrow() == Stop::Now || !self.is_believed() {
                    break;
                }
                // What was seen so long ago may be from before this process stood still. Once, since
                // a look may also take that long.
                let is_old = self.looked.age(self.moment()) >= LATE;
                if index == 0 && is_old && !looked_again {
                    (changed, looked_again) = (true, true);
                    break;
                }
                looked_again = false;
                if self.is_out_of_time(now) {
                    changed = true;
                    break;
                }
                // One at least, or an engine whose every call waits long for its turn never acts.
                if index > 0 && self.is_late_to_renew() {
                    // The rest is planned again, once others know that this engine lives.
                    changed = true;
                    break;
                }
                let action = step.action.clone();
                match self.act(step, emit).await {
                    Ok(done) => {
                        changed = true;
                        if failing.as_ref().is_some_and(|(failed, _)| *failed == action) {
                            failing = None;
                        }
                        if matches!(done, Acted::Refused | Acted::Resized) {
                            break;
                        }
                    }
                    Err(error) => {
                        failed = Some((action, error));
                        break;
                    }
                }
            }
            match failed {
                Some((action, error)) => {
                    let now = self.clock.now();
                    let (_, since) = *failing.get_or_insert_with(|| (action.clone(), now));
                    let stopping = self.state.halt.as_ref().is_some_and(|h| h.until.is_some());
                    let retry_budget = match (stopping, error.kind) {
                        (true, _) => STOP_WITHIN,
                        (false, ErrorKind::Refused | ErrorKind::Invalid) => LOOKS_LAG,
                        (false, _) => RETRY_BUDGET,
                    };
                    if now.since(since) > retry_budget {
                        self.refused(action, &error, emit);
                        failing = None;
                    } else {
                        let error = error.to_string();
                        emit.send(self.clock.now(), Event::Retrying { error });
                        self.pause(retries.pause(), stop).await;
                    }
                }
                None if changed && (repeats || in_a_row >= TICKS_IN_A_ROW) => {
                    self.pause(retries.pause(), stop).await;
                }
                None if changed => {
                    in_a_row += 1;
                    retries.start_over();
                    let now = self.clock.now();
                    let next = self.plan(now);
                    // What was done is not over by now: what it began is waited for.
                    if due::waits(&next) {
                        in_a_row = 0;
                        shown.waits(&next, now, emit);
                        self.pause_until_due(&next, stop).await;
                    } else if self.is_over(&next) {
                        continue;
                    }
                }
                None => {
                    in_a_row = 0;
                    self.pause_until_due(&plan, stop).await;
                }
            }
            if let Err(error) = self.observe_patiently(stop, emit).await {
                return self.lost_sight(&error);
            }
        }
    }

    fn input(&self, now: Timestamp) -> Input<'_> {
        Input { spec: &self.spec, target: &self.target, look: &self.look, state: &self.state, now }
    }

    /// Plans this tick.
    fn plan(&self, now: Timestamp) -> Plan {
        planner::plan(&self.input(now))
    }

    fn report_batches(&mut self, plan: &Plan, emit: &mut Emitter<'_>) {
        let now = self.clock.now();
        let state = &mut self.state;
        if plan.batch_ends {
            state.batch_open = false;
            state.batch_ended = Some(now);
            emit.send(now, Event::BatchFinished { number: state.batch });
        }
        if let Some(begins) = &plan.begins {
            // Victims count as out of rotation from here on, whatever becomes of the calls.
            state.choose(&begins.victims);
            let instances = begins.victims.iter().cloned().collect();
            let launches = begins.launches;
            match begins.number {
                Some(number) => {
                    state.batch = number;
                    state.batch_open = true;
                    emit.send(now, Event::BatchStarted { number, launches, instances });
                }
                None => emit.send(now, Event::Replacing { launches, instances }),
            }
        }
        state.choose(&plan.chosen);
        if plan.rests {
            state.rest(now);
        }
        let since = |stands: bool, since: Option<Timestamp>| stands.then(|| since.unwrap_or(now));
        // A checkpoint is left by the record that says so, in the same tick.
        // What comes after it may have to be tried again.
        if plan.evaluates || plan.actions.is_empty() {
            state.evaluating = since(plan.evaluates, state.evaluating);
        }
        state.at_checkpoint = since(plan.stands_at_checkpoint, state.at_checkpoint);
        state.set_aside_since = since(plan.waits_for_set_aside, state.set_aside_since);
    }

    fn stop_gracefully(&mut self, emit: &mut Emitter<'_>) {
        let at = self.clock.now();
        let until = Some(at + STOP_WITHIN);
        match &mut self.state.halt {
            // A failure is being put back already: from now on within bounds.
            Some(halt) => halt.until = halt.until.or(until),
            None => {
                let (reason, ending) = ("asked to stop".to_owned(), Ending::Interrupted);
                self.halt(
                    Halt { reason, ending, fault: false, at_checkpoint: false, at, until },
                    emit,
                );
            }
        }
    }

    /// Whether the bound of a stop has passed since the plan was made at `planned`: what can wait is
    /// then left to the next run, and the rest planned again.
    fn is_out_of_time(&self, planned: Timestamp) -> bool {
        let until = self.state.halt.as_ref().and_then(|halt| halt.until);
        let now = self.clock.now();
        let passed = |at: Timestamp| planned < at && now >= at;
        until.is_some_and(|until| passed(until) || passed(until + STOP_WITHIN))
    }

    fn halt(&mut self, halt: Halt, emit: &mut Emitter<'_>) {
        let (reason, until) = (halt.reason.clone(), halt.until);
        emit.send(self.clock.now(), Event::Halting { reason, until });
        self.state.begin_halt(halt);
    }

    fn start_rollback(&mut self, reason: String, asked: bool, emit: &mut Emitter<'_>) {
        let completed = self.state.record.as_ref().and_then(|record| record.completed.clone());
        let Some(completed) = completed else { return };
        let to = completed.clone();
        emit.send(self.clock.now(), Event::RollingBack { reason: reason.clone(), to, asked });
        self.retarget(completed);
        if self.state.halt.is_some() {
            self.state.go_on();
        }
        let now = self.clock.now();
        self.state.start_rollback(&self.target, reason, now);
    }

    /// The way it went: back, where it was on its way back.
    fn go_on(&mut self) {
        self.state.go_on();
        let record = self.state.record.as_ref().filter(|record| record.rolls_back);
        if let Some(record) = record.filter(|_| self.state.rolls_back.is_none()) {
            let (completed, reason) = (record.completed.clone(), record.reason.clone());
            completed.into_iter().for_each(|completed| self.retarget(completed));
            let reason = reason.unwrap_or_else(|| "it was rolling back".into());
            self.state.start_rollback(&self.target, reason, self.clock.now());
        }
    }

    /// What holds while a rollout goes back to `completed`: no soak, pauses, checkpoints or gates.
    fn retarget(&mut self, completed: Revision) {
        self.target.revision = completed;
        self.spec.health.min_healthy_time = Duration::ZERO;
        self.spec.pause_between_batches = Duration::ZERO;
        self.spec.checkpoints.clear();
        self.spec.gates = Gates::default();
    }

    /// Whether all is done, the record erased, and the look that said so from a moment ago.
    fn is_over(&self, next: &Plan) -> bool {
        let is_fresh = self.looked.age(self.moment()) < SOON;
        is_fresh && self.state.over && next.verdict == Verdict::Converged
    }

    /// Waits until something is likely to have changed, or is to be done, by `plan`.
    async fn pause_until_due(&self, plan: &Plan, stop: &mut watch::Receiver<Stop>) {
        let now = self.clock.now();
        let spread = |guessed| Schedule::spread(guessed, self.caller.jitter);
        let pause = due::pause(&self.input(now), plan, spread);
        let renewal = self.renewal_due(now);
        self.pause(pause.min(if renewal.is_zero() { SOON } else { renewal }), stop).await;
    }

    /// Waits, unless a (more) urgent request to stop comes first.
    async fn pause(&self, duration: Duration, stop: &mut watch::Receiver<Stop>) {
        // What is asked gets its turn, also where time is virtual and no wait takes any.
        tokio::task::yield_now().await;
        tokio::select! {
            biased;
            () = self.asking.answered.notified() => {}
            // Before the wait, which takes no time where that is virtual.
            Ok(()) = stop.changed() => stop.mark_changed(),
            () = self.clock.sleep(duration) => {}
        }
    }

    /// How a rollout that was halted ended.
    fn ending(&self, otherwise: Ending) -> Outcome {
        match self.state.halt.as_ref().map_or(otherwise, |halt| halt.ending) {
            Ending::Failed => Outcome::Failed,
            Ending::Paused => Outcome::Paused,
            Ending::Aborted | Ending::Interrupted => Outcome::Aborted,
        }
    }
}
