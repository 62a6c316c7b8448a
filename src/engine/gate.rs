//! Asks the gates in the background, so that the engine renews the lease and obeys commands
//! meanwhile.

use std::sync::{Arc, PoisonError};

use super::Rollout;
use super::emitter::Emitter;
use super::gate_runner::Answer;
use crate::engine::gate_runner::{GateResult, ask_all};
use crate::engine::probe::Context;
use crate::model::event::Event;
use crate::rollout::planner::{Ask, Plan, View};

impl Rollout {
    /// Asks what `plan` asks, and nothing else, and takes in the answer. Returns whether an answer
    /// came that changes what can be planned.
    pub(super) fn ask_gates(&mut self, plan: &Plan, emit: &mut Emitter<'_>) -> bool {
        let now = self.clock.now();
        let is_new = View::new(&self.input(now)).old().next().is_none();
        let gates = &mut self.state.gates;
        let over = gates.baking.is_some_and(|since| now >= since + self.spec.gates.bake_time);
        // The actions after the bake time may need retries. During it a fleet may scale, as long as
        // there is nothing to replace.
        let still_running = is_new && gates.baking.is_some();
        if plan.bakes() || (!still_running && (!over || plan.actions.is_empty())) {
            gates.baking = plan.bakes().then(|| gates.baking.unwrap_or(now));
        }
        let Some(ask) = plan.asks else {
            // Actions that come first are no reason to begin anew.
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
