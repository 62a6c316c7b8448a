//! When to look again: when something that is waited for is likely to have changed.
//!
//! What lasts for a known time is looked at when that is over. What takes as long as it takes is
//! looked at first when it may be over by what the rollout has seen so far, and from then on so often
//! that the end is seen late by a part of what the whole took.

use std::time::Duration;

use rolling_provider::{InstanceId, TargetState, Timestamp};

use super::input::Input;
use super::{Plan, Verdict};
use crate::model::wait::{Wait, WaitKind};
use crate::rollout::state::Stage;

/// The shortest time between two looks, but for what is due by then.
const SOONEST: Duration = Duration::from_millis(200);

/// A moment past what is due, so that it is over by the look.
const MOMENT: Duration = Duration::from_millis(1);

/// Who is to stay well for a while is looked at so often in that time at least, and after this: one that
/// turns unhealthy and back again by turns is not to be met well each time.
const LOOKS_IN_A_SOAK: u32 = 4;
const SOAK_LOOKS: Duration = Duration::from_secs(3);

/// How long to wait before the next look, with nothing to do now. Never longer than the deployment's
/// `poll_interval`: what others do shows within that. What is only guessed is `spread`, so that many
/// engines do not look at once.
pub fn pause(
    input: &Input<'_>,
    plan: &Plan,
    spread: impl FnOnce(Duration) -> Duration,
) -> Duration {
    let Input { spec, now, .. } = *input;
    let likely = plan.waiting_on.iter().flat_map(|wait| likely(input, wait)).min();
    let likely = likely.unwrap_or_else(|| unknown(input));
    let guessed = likely.since(now).max(SOONEST).min(spec.poll_interval);
    // What was due before now has been planned for.
    let wake = plan.wake.filter(|wake| *wake >= now);
    let due = wake.map_or(Duration::MAX, |wake| wake.since(now).saturating_add(MOMENT));
    spread(guessed).min(due)
}

/// Whether `plan`, made of a look from before what was done last, says that there is nothing to do
/// but to wait: then a look at once would show nothing new.
pub fn waits(plan: &Plan) -> bool {
    plan.verdict == Verdict::Continue
        && plan.actions.is_empty()
        && plan.asks.is_none()
        && !plan.batch_ends
        && !plan.waiting_on.is_empty()
}

/// When `wait` is likely to show something new.
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
        WaitKind::Pause | WaitKind::Checkpoint | WaitKind::OldSetRetained => vec![known(input)],
        WaitKind::Floor
        | WaitKind::SetAside
        | WaitKind::Gate
        | WaitKind::Bake
        | WaitKind::Evaluation
        | WaitKind::InstanceRefresh
        | WaitKind::Lease => Vec::new(),
    }
}

/// What is over at a known time is in [`Plan::wake`], and needs no guess.
fn known(input: &Input<'_>) -> Timestamp {
    input.now + input.spec.poll_interval
}

/// When what others do may be over, of which nothing is known.
fn unknown(input: &Input<'_>) -> Timestamp {
    by_age(input.state.changed_at, input.now)
}

/// When `id` may serve, for which nothing was asked since it did, or by this engine.
fn unasked(input: &Input<'_>, id: &InstanceId) -> Timestamp {
    let history = input.state.history.get(id).filter(|history| !history.taken_out);
    history.map_or(unknown(input), |history| by_age(history.since, input.now))
}

/// When what began at `since` may be over, of which nothing is known but how long it has lasted.
fn by_age(since: Timestamp, now: Timestamp) -> Timestamp {
    now + now.since(since) / 3
}

/// When `stage`, asked for at `since`, may be over.
fn in_stage(input: &Input<'_>, stage: Stage, since: Timestamp) -> Timestamp {
    let Input { target, state, now, .. } = *input;
    if let Some(shortest) = state.stages.shortest(stage) {
        // Another one is hardly ever much faster.
        return (since + shortest * 9 / 10).max(now + now.since(since) / 10);
    }
    match target.boot.filter(|_| stage == Stage::Launch) {
        // What the cloud tells of launches before this rollout ends before the health check does.
        Some(boot) => {
            let earliest = since + boot + boot / 5;
            earliest.max(now + now.since(since) / 5).max(by_age(since + boot, now))
        }
        None => by_age(since, now),
    }
}

/// When `id` may be out of rotation.
fn drained(input: &Input<'_>, id: &InstanceId) -> Timestamp {
    let Input { look, target, state, now, .. } = *input;
    let asked = state.deregistered.get(id);
    // Where an engine before this one took it out, nobody knows when that was.
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
