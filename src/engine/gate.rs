//! Checks the gates that a plan asks for, and processes their answer.

use super::probe::Context;
use super::rolling::RollingExecutor;
use super::session::Session;
use crate::rollout::gates::{answered, baking_since};
use crate::rollout::planner::Plan;

impl RollingExecutor {
    /// Asks what `plan` asks, and nothing else, and processes the answer. Returns whether an answer
    /// came that changes what can be planned.
    pub(super) fn ask_gates(&mut self, plan: &Plan, session: &mut Session<'_>) -> bool {
        let now = self.clock.now();
        let baking = baking_since(&self.input(now), plan);
        let gates = &mut self.context.state.gates;
        gates.baking = baking;
        let Some(ask) = plan.asks else {
            // Actions that come first are not a reason to start over.
            if plan.actions.is_empty() || self.context.state.direction.halt.is_some() {
                self.gate_runner.stop();
                gates.asked = None;
            }
            return false;
        };
        if self.gate_runner.asks().is_some_and(|running| running != ask) {
            self.gate_runner.stop();
            gates.asked = None;
        }
        gates.asked.get_or_insert(now);
        if self.gate_runner.asks().is_none() {
            let context = Context {
                target: self.context.target.name.clone(),
                revision: self.context.target.revision.to_string(),
                batch: ask.question.after,
            };
            self.context.state.gates.last_try = None;
            self.gate_runner.ask(ask, self.context.spec.gates.clone(), context);
            return false;
        }
        gates.last_try = self.gate_runner.last_try();
        let Some(answers) = self.gate_runner.answers() else { return false };
        let (changes, events) = answered(gates, ask, answers);
        let now = self.clock.now();
        events.into_iter().for_each(|event| session.send(now, event));
        changes
    }
}
