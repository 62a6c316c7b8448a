//! Applies the answers of the gates to the state.

use rolling_provider::Timestamp;

use super::gate_failure::GateFailure;
use super::planner::{Ask, Input, Plan, View};
use super::state::GateState;
use crate::model::event::Event;

/// The answer of one gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GateResult {
    /// The gate's name for people.
    pub(crate) gate: String,
    /// What it answers when it passes, or why it does not.
    pub(crate) message: Result<String, GateFailure>,
}

/// Returns since when everything is done and must stay healthy, once `plan` is made.
pub(crate) fn baking_since(input: &Input<'_>, plan: &Plan) -> Option<Timestamp> {
    let Input { spec, state, now, .. } = *input;
    let baking = state.gates.baking;
    let over = baking.is_some_and(|since| now >= since + spec.gates.bake_time);
    // The actions after the bake time may need retries. During it a fleet may scale, as long as
    // there is nothing to replace.
    let still_running = baking.is_some() && View::new(input).old().next().is_none();
    if plan.bakes() || (!still_running && (!over || plan.actions.is_empty())) {
        return plan.bakes().then(|| baking.unwrap_or(now));
    }
    baking
}

/// Notes the answers to `ask`. Returns whether they change what can be planned, and the events that
/// tell of them.
pub(crate) fn answered(
    gates: &mut GateState,
    ask: Ask,
    answers: Vec<GateResult>,
) -> (bool, Vec<Event>) {
    (gates.asked, gates.last_try) = (None, None);
    let mut events = Vec::new();
    for GateResult { gate, message } in answers {
        let passed = message.is_ok();
        if let Err(why) = &message {
            gates.failed = Some(format!("{gate} did not pass: {why}"));
        }
        if !passed || !ask.watches {
            let message = message.unwrap_or_else(|why| why.to_string());
            events.push(Event::GateAnswered { gate, passed, message });
        }
    }
    if gates.failed.is_none() && !ask.watches {
        gates.passed = Some(ask.question);
    }
    (gates.failed.is_some() || !ask.watches, events)
}
