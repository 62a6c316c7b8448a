//! The loop: look, plan, judge, act, report. It decides nothing: what to do comes from the planner,
//! what is allowed from [`crate::rollout::planner::check`], who may act from
//! [`crate::rollout::ownership`].

use std::time::Duration;

use rolling_provider::{Action, ErrorKind, Timestamp};
use tokio::sync::watch;

use super::Rollout;
use super::act::Acted;
use super::caller::{RETRY_BUDGET, SOON, STOP_WITHIN, Stop};
use super::emitter::{Emitter, Shown};
use super::held_lease::LeaseCheck;
use super::schedule::Schedule;
use crate::model::event::{Event, Outcome};
use crate::record::Ending;
use crate::rollout::ownership::LATE;
use crate::rollout::planner::{Plan, Verdict, due};
use crate::rollout::state::LOOKS_LAG;

/// How many ticks in a row may act without a pause between them. A rollout needs few; more mean
/// that looks contradict each other, and only time helps.
const TICKS_IN_A_ROW: u32 = 10;

impl Rollout {
    pub(super) async fn drive(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Outcome {
        let mut retries = Schedule::retrying(self.caller.jitter);
        // The action that fails, and since when.
        let mut failing: Option<(Action, Timestamp)> = None;
        let mut last_actions = Vec::new();
        let mut shown = Shown::default();
        let mut in_a_row = 0;
        let mut looked_again = false;
        loop {
            let urgency = *stop.borrow_and_update();
            // Waits end at the bound; what is left to do then has the same time again.
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
                Verdict::Resume => {
                    self.resume();
                    continue;
                }
            }
            shown.waits(&plan, now, emit);
            if self.ask_gates(&plan, emit) {
                continue;
            }

            let actions: Vec<Action> = plan.actions.iter().map(|s| s.action.clone()).collect();
            // Reads may lag: the planner repeats what was done a moment ago until they show it.
            let repeats = !actions.is_empty() && actions == last_actions;
            last_actions = actions;
            let mut changed = false;
            let mut failed = None;
            // Forgets the failure of an action that is no longer planned: it says nothing about
            // what is planned now.
            let fails_still =
                |failed: &Action| last_actions.is_empty() || last_actions.contains(failed);
            failing = failing.filter(|(failed, _)| fails_still(failed));
            for (index, step) in std::mem::take(&mut plan.actions).into_iter().enumerate() {
                if *stop.borrow() == Stop::Now || !self.is_believed() {
                    break;
                }
                // Such an old look may be from before this process stood still. Looks again only
                // once, since a look may also take that long.
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
                // At least one action: else an engine whose every call waits long for its turn
                // never acts.
                if index > 0 && self.is_late_to_renew() {
                    // Plans the rest again after a renewal has shown others that this engine lives.
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
                    // The actions are accepted but not complete: waits for what they began.
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

    fn report_batches(&mut self, plan: &Plan, emit: &mut Emitter<'_>) {
        let now = self.clock.now();
        let state = &mut self.state;
        if plan.batch_ends {
            state.batch_open = false;
            state.batch_ended = Some(now);
            emit.send(now, Event::BatchFinished { number: state.batch });
        }
        if let Some(begins) = &plan.begins {
            // Victims count as out of rotation from here on, whatever the calls return.
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
            state.wait_deliberately(now);
        }
        let since =
            |is_there: bool, since: Option<Timestamp>| is_there.then(|| since.unwrap_or(now));
        // The record that passes a checkpoint is written in the same tick. The actions after an
        // evaluation may need retries, so they do not restart it.
        if plan.evaluates || plan.actions.is_empty() {
            state.evaluating = since(plan.evaluates, state.evaluating);
        }
        state.at_checkpoint = since(plan.stands_at_checkpoint, state.at_checkpoint);
        state.set_aside_since = since(plan.waits_for_set_aside, state.set_aside_since);
    }

    /// Whether the bound of a stop has passed since the plan was made at `planned`. What can wait
    /// is then left to the next run, and the rest is planned again.
    fn is_out_of_time(&self, planned: Timestamp) -> bool {
        let until = self.state.halt.as_ref().and_then(|halt| halt.until);
        let now = self.clock.now();
        let passed = |at: Timestamp| planned < at && now >= at;
        until.is_some_and(|until| passed(until) || passed(until + STOP_WITHIN))
    }

    /// Whether all is done, the record is erased, and the look that shows this is recent.
    fn is_over(&self, next: &Plan) -> bool {
        let is_fresh = self.looked.age(self.moment()) < SOON;
        is_fresh && self.state.over && next.verdict == Verdict::Converged
    }

    /// Waits until something is likely to have changed, or is due by `plan`.
    async fn pause_until_due(&self, plan: &Plan, stop: &mut watch::Receiver<Stop>) {
        let now = self.clock.now();
        let spread = |guessed| Schedule::spread(guessed, self.caller.jitter);
        let pause = due::pause(&self.input(now), plan, spread);
        let renewal = self.renewal_due(now);
        self.pause(pause.min(if renewal.is_zero() { SOON } else { renewal }), stop).await;
    }

    /// Waits, unless a (more) urgent request to stop comes first.
    pub(super) async fn pause(&self, duration: Duration, stop: &mut watch::Receiver<Stop>) {
        // Gives the task that asks the gates its turn, also in virtual time, where waits take none.
        tokio::task::yield_now().await;
        tokio::select! {
            biased;
            () = self.asking.answered.notified() => {}
            // Before the wait, which takes no time in virtual time.
            Ok(()) = stop.changed() => stop.mark_changed(),
            () = self.clock.sleep(duration) => {}
        }
    }
}
