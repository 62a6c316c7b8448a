//! When to look again: when something that the rollout waits for has probably changed.
//!
//! If a wait has a known length, the engine looks when it is over. Otherwise the engine first looks
//! when the wait may be over, judging by what the rollout has seen so far. From then on it looks so
//! often that it sees the end late by only a fraction of the whole time.

use std::time::Duration;

use rolling_provider::{InstanceId, TargetState, Timestamp};

use super::input::Input;
use super::{Plan, Verdict};
use crate::model::wait::{Wait, WaitKind};
use crate::rollout::state::Stage;

/// The shortest time between two looks, unless something is due earlier.
const SOONEST: Duration = Duration::from_millis(200);

/// Margin after a due time, so that it has passed when the engine looks.
const MOMENT: Duration = Duration::from_millis(1);

/// The fewest looks during a soak, and the longest time between two of them.
///
/// The engine must notice an instance that alternates between healthy and unhealthy.
const LOOKS_IN_A_SOAK: u32 = 4;
const SOAK_LOOKS: Duration = Duration::from_secs(3);

/// Returns how long to wait before the next look, with nothing to do now.
///
/// Never longer than the deployment's `poll_interval`, so that what others do shows within that.
/// `spread` varies a pause that is only guessed, so that many engines do not look at once.
pub(crate) fn pause(
    input: &Input<'_>,
    plan: &Plan,
    spread: impl FnOnce(Duration) -> Duration,
) -> Duration {
    let Input { spec, now, .. } = *input;
    let likely = plan.waiting_on.iter().flat_map(|wait| likely(input, wait)).min();
    let likely = likely.unwrap_or_else(|| unknown(input));
    let guessed = likely.since(now).max(SOONEST).min(spec.poll_interval);
    // The plan already covers what was due before now.
    let wake = plan.wake.filter(|wake| *wake >= now);
    let due = wake.map_or(Duration::MAX, |wake| wake.since(now).saturating_add(MOMENT));
    spread(guessed).min(due)
}

/// Whether `plan` only waits, so that a look at once would show nothing new.
///
/// `plan` is made of a look from before the last actions.
pub(crate) fn waits(plan: &Plan) -> bool {
    plan.verdict == Verdict::Continue
        && plan.actions.is_empty()
        && plan.asks.is_none()
        && plan.hook.is_none()
        && !plan.batch_ends
        && !plan.waiting_on.is_empty()
}

/// Returns when `wait` is likely to show something new.
fn likely(input: &Input<'_>, wait: &Wait) -> Vec<Timestamp> {
    let Input { spec, state, now, .. } = *input;
    let of_each = |at: &dyn Fn(&InstanceId) -> Timestamp| wait.instances.iter().map(at).collect();
    match wait.kind {
        WaitKind::Launch if wait.instances.is_empty() => {
            let asked = state.stages.asked();
            vec![asked.map_or(unknown(input), |since| in_stage(input, Stage::Launch, since))]
        }
        WaitKind::Launch | WaitKind::Health | WaitKind::Update | WaitKind::Return => {
            of_each(&|id| match state.stages.of(id) {
                Some((stage, since)) => in_stage(input, stage, since),
                None => unasked(input, id),
            })
        }
        WaitKind::Drain => of_each(&|id| drained(input, id)),
        WaitKind::Soak => {
            vec![now + SOAK_LOOKS.min(spec.health.min_healthy_time / LOOKS_IN_A_SOAK)]
        }
        WaitKind::Termination => of_each(&|id| {
            let since = state.removed.terminating.get(id);
            since.map_or(unknown(input), |since| by_age(*since, now))
        }),
        WaitKind::Pause | WaitKind::Checkpoint | WaitKind::OldSetRetained => vec![known(input)],
        WaitKind::Floor
        | WaitKind::SetAside
        | WaitKind::Gate
        | WaitKind::Hook
        | WaitKind::Bake
        | WaitKind::Evaluation
        | WaitKind::DelegatedRollout
        | WaitKind::Change
        | WaitKind::Lease
        | WaitKind::Call => Vec::new(),
    }
}

/// Returns a time that shortens no pause: [`Plan::wake`] has what is over at a known time.
fn known(input: &Input<'_>) -> Timestamp {
    input.now + input.spec.poll_interval
}

/// Returns when a change by others may be over, of which nothing is known.
fn unknown(input: &Input<'_>) -> Timestamp {
    by_age(input.state.waits.changed_at, input.now)
}

/// Returns when `id` may serve, where this engine has asked for nothing since it last served.
fn unasked(input: &Input<'_>, id: &InstanceId) -> Timestamp {
    let history = input.state.history.get(id).filter(|history| !history.taken_out);
    history.map_or(unknown(input), |history| by_age(history.since, input.now))
}

/// Returns when what began at `since` may be over, judging only by how long it has lasted.
fn by_age(since: Timestamp, now: Timestamp) -> Timestamp {
    now + now.since(since) / 3
}

/// Returns when `stage`, asked for at `since`, may be over.
fn in_stage(input: &Input<'_>, stage: Stage, since: Timestamp) -> Timestamp {
    let Input { target, state, now, .. } = *input;
    if let Some(shortest) = state.stages.shortest(stage) {
        // The next one is hardly ever much faster.
        return (since + shortest * 9 / 10).max(now + now.since(since) / 10);
    }
    match target.boot.filter(|_| stage == Stage::Launch) {
        // The boot time that the cloud reports of earlier launches ends before the health check
        // passes.
        Some(boot) => {
            let earliest = since + boot + boot / 5;
            earliest.max(now + now.since(since) / 5).max(by_age(since + boot, now))
        }
        None => by_age(since, now),
    }
}

/// Returns when `id` may be out of rotation.
fn drained(input: &Input<'_>, id: &InstanceId) -> Timestamp {
    let Input { look, target, state, now, .. } = *input;
    let asked = state.rotation.deregistered.get(id);
    // If an earlier engine took it out, the time of that is unknown.
    let is_ours = matches!(state.stages.of(id), Some((Stage::Deregister, _)));
    let shown = look.instances.get(id).map(|instance| &instance.targets);
    let mut likely = None;
    for (group, since) in asked.into_iter().flatten() {
        let lists = shown.and_then(|targets| targets.get(group));
        if lists.is_none_or(|health| health.state == TargetState::Unused) {
            continue;
        }
        let published = target.rotation().find(|known| known.id == *group).filter(|_| is_ours);
        let at = match published.map(|published| *since + published.drain) {
            Some(over) if over > now => known(input),
            Some(over) => by_age(over, now),
            None => by_age(*since, now),
        };
        likely = likely.max(Some(at));
    }
    likely.unwrap_or_else(|| unknown(input))
}
