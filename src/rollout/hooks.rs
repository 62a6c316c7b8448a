//! What the end of a hook changes in what an engine knows.

use super::gate_failure::GateFailure;
use super::state::{FailedHook, HookRun, RolloutState};
use crate::model::event::{Event, HookNext};
use crate::model::spec::{Hook, HookPoint, OnHookFailure};

/// Takes in how `run` has ended. Returns the event that tells of it.
///
/// The way back, and the way to a safe point, go on whatever becomes of a hook: whoever waits for
/// the service to be as it was must not wait for what failed to prepare that.
pub(crate) fn finished(
    state: &mut RolloutState,
    hook: &Hook,
    run: &HookRun,
    result: Result<String, GateFailure>,
) -> Event {
    let forward = state.direction.rolls_back.is_none() && state.direction.halt.is_none();
    let passed = result.is_ok();
    let message = result.unwrap_or_else(|why| why.to_string());
    let next = match hook.on_failure {
        _ if passed || !forward || run.point.only_reports() => HookNext::Continue,
        OnHookFailure::Ignore => HookNext::Continue,
        OnHookFailure::Pause => HookNext::Pause,
        OnHookFailure::Fail => HookNext::Fail,
    };
    state.hooks.asked = None;
    if next == HookNext::Continue {
        state.hooks.done = Some((run.point, run.number));
        if run.point == HookPoint::BeforeDeregister {
            state.hooks.prepared.extend(run.instances.iter().map(|(id, _)| id.clone()));
        }
    } else {
        let reason = format!("hook {} failed: {hook}: {message}", run.point.name());
        let (point, meaning) = (run.point, hook.on_failure);
        state.hooks.failed = Some(FailedHook { point, meaning, reason });
    }
    Event::HookFinished { hook: run.point, id: run.id.clone(), passed, message, next }
}
