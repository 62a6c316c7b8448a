//! Applies a plan to the state, before its first action is carried out.

use rolling_provider::Timestamp;

use super::planner::{BatchStart, Plan};
use super::state::RolloutState;
use crate::model::event::Event;

/// Notes the batches that end and begin with `plan`, its victims, and since when the rollout waits
/// for what it waits for. Returns the events that tell of the batches.
pub(crate) fn begin(state: &mut RolloutState, plan: &Plan, now: Timestamp) -> Vec<Event> {
    let mut events = Vec::new();
    if plan.batch_ends {
        state.batch.open = false;
        state.batch.ended = Some(now);
        state.batch.finished += 1;
        events.push(Event::BatchFinished { number: state.batch.number });
    }
    events.extend(plan.warning.clone().map(|warning| Event::Warned { warning }));
    events.extend(plan.begins.as_ref().map(|batch| begin_batch(state, batch)));
    state.choose(&plan.chosen);
    state.release(&plan.released, now);
    state.hooks.released(&plan.released);
    state.hooks.prepared.extend(plan.prepared.iter().cloned());
    if plan.waits_deliberately() {
        state.wait_deliberately(now);
    }
    let since = |is_there: bool, since: Option<Timestamp>| is_there.then(|| since.unwrap_or(now));
    // The actions after an evaluation may need retries, so they do not restart it.
    if plan.evaluates() || plan.actions.is_empty() {
        state.waits.evaluating = since(plan.evaluates(), state.waits.evaluating);
    }
    state.waits.set_aside_since = since(plan.waits_for_set_aside(), state.waits.set_aside_since);
    events
}

/// Begins a batch. Its victims count as out of rotation from here on, whatever the calls return.
fn begin_batch(state: &mut RolloutState, batch: &BatchStart) -> Event {
    state.choose(&batch.victims);
    if let Some(number) = batch.recorded {
        let hooks = state.record.as_ref().and_then(|record| record.hooks.as_ref());
        let continues = hooks.is_some_and(|hooks| hooks.open);
        let there = state.history.keys().cloned();
        state.hooks.begin_batch(number, &batch.victims, there, continues);
    }
    let instances = batch.victims.iter().cloned().collect();
    let (launches, removed) = (batch.launches, batch.removed);
    match batch.number {
        Some(number) => {
            (state.batch.number, state.batch.open) = (number, true);
            let at_most = batch.at_most;
            Event::BatchStarted { number, launches, instances, removed, at_most }
        }
        None => Event::Replacing { launches, instances, removed },
    }
}
