//! Gates: conditions besides the health of the instances.
//!
//! This module decides when to check them. The engine checks them.

use super::input::Input;
use super::{Ask, Plan, View};
use crate::model::spec::Pacing;
use crate::model::wait::{Wait, WaitKind};
use crate::rollout::state::Question;

/// Whether the next step has to wait until the gates have been checked.
pub(crate) fn is_closed(input: &Input<'_>, view: &View<'_>) -> bool {
    is_closed_at_share(input, view, 0)
}

/// Whether the next step of the requests has to wait until the gates have been checked, now that
/// the new instances have got `percent` of the requests for long enough.
pub(crate) fn is_closed_at_share(input: &Input<'_>, view: &View<'_>, percent: u32) -> bool {
    let question = Question { percent, ..question(input, view) };
    let asks_something = !input.spec.gates.alarms.is_empty() || question.probes;
    asks_something && !input.state.gates.passed.is_some_and(|passed| passed.covers(question))
}

/// Checks the gates, and waits for them.
pub(crate) fn ask(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) {
    ask_at_share(input, view, 0, plan);
}

/// Checks the gates, now that the new instances have got `percent` of the requests for long enough.
pub(crate) fn ask_at_share(input: &Input<'_>, view: &View<'_>, percent: u32, plan: &mut Plan) {
    let Input { spec, state, now, .. } = *input;
    let question = Question { percent, ..question(input, view) };
    let probes = question.probes;
    plan.asks = Some(Ask { question, watches: false });
    let alarms = (!spec.gates.alarms.is_empty()).then(|| spec.gates.alarm_names());
    let tried = spec.gates.probes.iter().filter(|_| probes).map(ToString::to_string);
    let last_try = state.gates.last_try.clone();
    let message: Vec<String> = alarms.into_iter().chain(tried).chain(last_try).collect();
    let since = state.gates.asked.unwrap_or(now);
    plan.wait(Wait {
        kind: WaitKind::Gate,
        instances: Vec::new(),
        detail: Some(message.join("; ")),
        deadline: since + spec.gates.longest_answer(probes),
    });
}

/// Watches the alarms all the time in continuous pacing, which has no batches to ask before.
pub(crate) fn watch_continuously(input: &Input<'_>, plan: &mut Plan) {
    if input.spec.pacing == Pacing::Continuous && plan.asks.is_none() {
        watch(input, plan);
    }
}

/// Watches the alarms while a hook is run on the way forward, which may take long.
pub(crate) fn watch_beside_hook(input: &Input<'_>, plan: &mut Plan) {
    let direction = &input.state.direction;
    let is_forward = direction.halt.is_none() && direction.rolls_back.is_none();
    if is_forward && plan.hook.is_some() && plan.asks.is_none() {
        watch(input, plan);
    }
}

/// Waits for the bake time, in which everything must stay healthy.
///
/// Returns whether that time is not over.
pub(crate) fn bake(input: &Input<'_>, plan: &mut Plan) -> bool {
    let Input { spec, state, now, .. } = *input;
    let deadline = state.gates.baking.unwrap_or(now) + spec.gates.bake_time;
    if spec.gates.bake_time.is_zero() || now >= deadline {
        return false;
    }
    plan.wait(Wait { kind: WaitKind::Bake, instances: Vec::new(), detail: None, deadline });
    watch(input, plan);
    true
}

/// Watches the alarms without waiting for them.
pub(crate) fn watch(input: &Input<'_>, plan: &mut Plan) {
    if !input.spec.gates.alarms.is_empty() {
        let question = Question { probes: false, ..asked_now(input) };
        plan.asks = Some(Ask { question, watches: true });
    }
}

/// Returns what to ask now. Probes say something about the new revision only once it serves.
fn question(input: &Input<'_>, view: &View<'_>) -> Question {
    let probes = !input.spec.gates.probes.is_empty() && view.updated() > 0;
    Question { probes, ..asked_now(input) }
}

/// Returns what to ask once per batch, and again after each checkpoint: time has passed there.
fn asked_now(input: &Input<'_>) -> Question {
    let checkpoints = input.state.record.as_ref().map_or(0, |record| record.checkpoints_passed);
    Question { after: input.state.batch.number, checkpoints, percent: 0, probes: false }
}
