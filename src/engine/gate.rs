//! Asking the gates in the background, so that the lease is renewed and commands from outside are
//! heard meanwhile.

use std::sync::{Arc, Mutex, PoisonError};

use rolling_provider::{Alarm, Clock, Fleet, ProviderError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::Rollout;
use super::report::Emitter;
use crate::engine::probe::{self, Context};
use crate::engine::schedule::Schedule;
use crate::model::event::Event;
use crate::model::spec::Gates;
use crate::rollout::planner::{Ask, Plan, View};

/// What one gate said.
struct GateResult {
    gate: String,
    message: Result<String, String>,
}

/// What is asked now.
#[derive(Default)]
pub(super) struct GateRunner {
    running: Option<(Ask, JoinHandle<()>, Answer)>,
    /// Told when an answer is there.
    pub(super) answered: Arc<Notify>,
}

type Answer = Arc<Mutex<Option<Vec<GateResult>>>>;

impl Drop for GateRunner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl GateRunner {
    fn stop(&mut self) {
        if let Some((_, task, _)) = self.running.take() {
            task.abort();
        }
    }
}

impl Rollout {
    /// Sees to it that what `plan` asks is being asked, and nothing else, and takes in the answer.
    /// Returns whether there was one that changes what can be planned.
    pub(super) fn ask_gates(&mut self, plan: &Plan, emit: &mut Emitter<'_>) -> bool {
        let now = self.clock.now();
        let is_new = View::new(&self.input(now)).old().next().is_none();
        let gates = &mut self.state.gates;
        let over = gates.baking.is_some_and(|since| now >= since + self.spec.gates.bake_time);
        // What comes after it may have to be tried again; and meanwhile a fleet may scale, as long as
        // there is nothing to replace.
        let still_running = is_new && gates.baking.is_some();
        if plan.bakes || (!still_running && (!over || plan.actions.is_empty())) {
            gates.baking = plan.bakes.then(|| gates.baking.unwrap_or(now));
        }
        let Some(ask) = plan.asks else {
            // What has to be done first is no reason to begin anew.
            if plan.actions.is_empty() || self.state.halt.is_some() {
                self.asking.stop();
                gates.asked = None;
            }
            return false;
        };
        if self.asking.running.as_ref().is_some_and(|(running, ..)| *running != ask) {
            self.asking.stop();
            gates.asked = None;
        }
        gates.asked.get_or_insert(now);
        let Some((_, _, answer)) = &self.asking.running else {
            self.begin_to_ask(ask);
            return false;
        };
        let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(answer) = answer else { return false };
        self.asking.stop();
        self.absorb_answer(ask, answer, emit)
    }

    fn begin_to_ask(&mut self, ask: Ask) {
        let (fleet, clock) = (Arc::clone(&self.fleet), Arc::clone(&self.clock));
        let gates = self.spec.gates.clone();
        let context = Context {
            target: self.target.name.clone(),
            revision: self.target.revision.to_string(),
            batch: ask.question.after,
        };
        let answer = Answer::default();
        let (slot, notify) = (Arc::clone(&answer), Arc::clone(&self.asking.answered));
        let task = tokio::spawn(async move {
            let message = ask_all(&*fleet, &clock, &gates, ask.question.probes, &context).await;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
            notify.notify_one();
        });
        self.asking.running = Some((ask, task, answer));
    }

    fn absorb_answer(&mut self, ask: Ask, answer: Vec<GateResult>, emit: &mut Emitter<'_>) -> bool {
        let now = self.clock.now();
        let gates = &mut self.state.gates;
        gates.asked = None;
        for GateResult { gate, message } in answer {
            let passed = message.is_ok();
            if let Err(why) = &message {
                gates.failed = Some(format!("{gate} did not pass: {why}"));
            }
            if !passed || !ask.watches {
                let (Ok(message) | Err(message)) = message;
                emit.send(now, Event::GateAnswered { gate, passed, message });
            }
        }
        if gates.failed.is_none() && !ask.watches {
            gates.passed = Some(ask.question);
        }
        gates.failed.is_some() || !ask.watches
    }
}

/// Asks one after the other, up to the first that does not pass.
async fn ask_all(
    fleet: &dyn Fleet,
    clock: &Arc<dyn Clock>,
    gates: &Gates,
    probes: bool,
    context: &Context,
) -> Vec<GateResult> {
    let mut all = Vec::new();
    if !gates.alarms.is_empty() {
        let message = read_alarms(fleet, clock, gates).await;
        all.push(GateResult { gate: gates.alarm_names(), message });
    }
    for probe in gates.probes.iter().filter(|_| probes) {
        if all.last().is_some_and(|last| last.message.is_err()) {
            break;
        }
        let message = probe::attempt(probe, context, clock).await;
        all.push(GateResult { gate: probe.to_string(), message });
    }
    all
}

async fn read_alarms(
    fleet: &dyn Fleet,
    clock: &Arc<dyn Clock>,
    gates: &Gates,
) -> Result<String, String> {
    let mut schedule = Schedule::retrying(0.0);
    let limit = clock.now() + Gates::ALARMS_WITHIN;
    loop {
        let error: ProviderError = match fleet.alarms(&gates.alarms).await {
            Ok(alarms) => return judge(&alarms),
            Err(error) => error,
        };
        if !error.is_retryable() || clock.now() >= limit {
            return Err(format!("they cannot be read: {error}"));
        }
        clock.sleep(schedule.pause()).await;
    }
}

fn judge(alarms: &[Alarm]) -> Result<String, String> {
    let raised: Vec<String> = alarms.iter().filter(|alarm| alarm.raised).map(message).collect();
    if raised.is_empty() { Ok("none is raised".into()) } else { Err(raised.join("; ")) }
}

/// Says that an alarm is raised.
pub(super) fn message(alarm: &Alarm) -> String {
    let reason = alarm.reason.trim();
    if reason.is_empty() {
        format!("{} is raised", alarm.name)
    } else {
        format!("{} is raised: {reason}", alarm.name)
    }
}
