//! Applies the end of a hook to the state.

use std::collections::BTreeSet;

use rolling_provider::{InstanceId, Timestamp};

use super::gate_failure::GateFailure;
use super::state::{DoneHook, FailedHook, HookRun, RolloutState};
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
    now: Timestamp,
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
    state.hooks.running = None;
    let reason = format!("hook {} failed: {hook}: {message}", run.point.name());
    if next == HookNext::Continue {
        state.failures.hooks.extend((!passed).then_some(reason));
        done(state, run, now);
    } else {
        let (point, meaning) = (run.point, hook.on_failure);
        state.hooks.failed = Some(FailedHook { point, meaning, reason });
    }
    Event::HookFinished { hook: run.point, id: run.id.clone(), passed, message, next }
}

/// Notes that `run` need not be run again. Victims that were released meanwhile stay, and are
/// prepared again should they be chosen again.
fn done(state: &mut RolloutState, run: &HookRun, now: Timestamp) {
    let all = run.instances.iter().map(|(id, _)| id);
    let is_victim = |id: &&InstanceId| state.rotation.victims.contains(*id);
    let counts = |id: &&InstanceId| run.point != HookPoint::BeforeDeregister || is_victim(id);
    let instances: BTreeSet<InstanceId> = all.filter(counts).cloned().collect();
    match run.point {
        HookPoint::BeforeDeregister => state.hooks.prepared.extend(instances.iter().cloned()),
        HookPoint::AfterHealthy => state.hooks.after_healthy_done.extend(instances.iter().cloned()),
        // The pause between two batches begins.
        HookPoint::AfterBatch => state.batch.ended = Some(now),
        HookPoint::BeforeRollout | HookPoint::BeforeRollback | HookPoint::AfterRollout => {}
    }
    let (point, number, outcome) = (run.point, run.number, run.outcome);
    state.hooks.done = Some(DoneHook { point, number, instances, outcome });
}
