//! What a rollout costs: how long it takes, what it may wait for besides, and how much of the fleet
//! is out of service or runs a bad revision at worst.

use std::time::Duration;

use super::super::deadlines::{ASSUMED_BOOT, SET_ASIDE_FOR};
use super::super::input::Input;
use super::super::preflight::span;
use super::super::{View, restart, termination};
use crate::model::preview::{AtWorst, BatchPreview};
use crate::model::spec::{Checkpoint, HookPoint, OnFailure, Pacing, SetAside};
use crate::record::{Ending, Phase, Record};
use crate::rollout::serving::hook_told;

/// Returns the worst case of the rollout: how many instances are out of service at once, and how
/// many run a bad revision before so many of them have failed that it is given up.
///
/// Each failure may take the whole time that an instance has to become healthy, and the next one
/// begins only in the place of the first. The instances are out until a rollback has replaced them.
pub(super) fn at_worst(
    input: &Input<'_>,
    view: &View<'_>,
    batches: &[BatchPreview],
) -> Option<AtWorst> {
    let Input { spec, .. } = *input;
    let first = batches.first()?;
    let (size, slots) = (view.window.size, view.window.slots());
    let replaced = batches.iter().map(replaces).max().unwrap_or_default();
    let exposed = match spec.pacing {
        Pacing::Continuous => slots,
        Pacing::Batch => first.launches.max(replaces(first)),
    };
    let exposed = exposed.clamp(1, size.max(1));
    let idle = size.saturating_sub(count(view.serving()));
    let by_rollout = replaced.max(exposed).saturating_add(count(view.stay_idle()));
    let rounds = spec.failure_threshold.max(1).div_ceil(exposed);
    let noticed = spec.health.healthy_timeout * rounds + input.drain() * (rounds - 1);
    let recovers = spec.on_failure == OnFailure::Rollback && !restart::is_same_again(input, view);
    let in_hook = longest_hook(input);
    let back = if recovers { input.drain() + in_hook + launch(input) } else { Duration::ZERO };
    Some(AtWorst {
        out: (size - view.window.floor()).min(by_rollout).max(idle),
        out_seconds: (input.drain() + in_hook + noticed + back).as_secs(),
        exposed,
        exposed_seconds: noticed.as_secs(),
        recovers,
    })
}

/// Returns how long a lifecycle hook may hold what is terminated before the next batch begins.
fn longest_hook(input: &Input<'_>) -> Duration {
    let waits = termination::is_awaited(input) && !input.spec.completes_hooks;
    let hooks = input.target.hooks_of(false).filter(|_| waits);
    hooks.map(|hook| hook.heartbeat).max().unwrap_or_default()
}

/// Returns how long the batches take if every boot takes the median.
///
/// In continuous pacing the window's places share the work.
pub(super) fn expected(input: &Input<'_>, batches: &[BatchPreview]) -> Duration {
    let Input { spec, .. } = *input;
    let launch = launch(input);
    let surge: usize = batches.iter().map(|batch| batch.launches as usize).sum();
    let mut old: usize = batches.iter().map(|batch| batch.replaces.len()).sum();
    let ahead = checkpoints_ahead(input);
    let waits: Duration = ahead.iter().filter_map(|checkpoint| checkpoint.pause).sum();
    let waits = match batches.is_empty() {
        true => waits + spec.gates.bake_time,
        false => waits + spec.gates.bake_time + spec.shift_time(),
    };
    if spec.pacing == Pacing::Continuous {
        let slots = View::new(input).window.slots().max(1);
        let rounds = count(old).div_ceil(slots);
        return waits + (launch + input.drain()) * rounds;
    }
    let mut total = waits;
    for batch in batches {
        if !batch.replaces.is_empty() {
            total += input.drain();
        }
        // The last ones are removed without a replacement when there is surge.
        if batch.launches > 0 || old > surge {
            total += launch;
        }
        old -= batch.replaces.len();
    }
    total + spec.pauses(batches.len())
}

/// Returns the checkpoints at which the rollout is still to wait: without those that are behind it,
/// where it continues after an interruption or a pause.
pub(super) fn checkpoints_ahead<'a>(input: &Input<'a>) -> &'a [Checkpoint] {
    let Input { spec, target, state, .. } = *input;
    let continues = |record: &&Record| {
        let phase = match record.phase {
            Phase::Rolling => None,
            Phase::Halting(ending) | Phase::Halted(ending) => Some(ending),
        };
        record.leads_to(&target.goal())
            && !record.rolls_back
            && matches!(
                phase,
                None | Some(Ending::Interrupted | Ending::Paused | Ending::Unrestored)
            )
    };
    let record = state.record.as_ref().filter(continues);
    let passed = record.map_or(0, |record| record.checkpoints_passed);
    spec.checkpoints.get(passed as usize..).unwrap_or_default()
}

/// Returns what the rollout may wait for beyond the expected time, as phrases: how long that is
/// decided by others.
pub(super) fn may_wait(input: &Input<'_>, view: &View<'_>) -> Vec<String> {
    let Input { spec, target, state, .. } = *input;
    let mut phrases = Vec::new();
    if view.missing > 0 && state.record.is_none() {
        let instances = if view.missing == 1 { "instance" } else { "instances" };
        let limit = span(spec.health.healthy_timeout);
        phrases.push(format!("up to {limit} for {} missing {instances}", view.missing));
    }
    let protected = view.old().filter(|member| member.set_aside).count();
    let standby = if spec.standby == SetAside::Wait { view.standby.len() } else { 0 };
    for (count, what) in [(protected, "protected from scale-in"), (standby, "in standby")] {
        if count > 0 {
            let instances = if count == 1 { "instance" } else { "instances" };
            let limit = span(SET_ASIDE_FOR);
            phrases.push(format!("up to {limit} for {count} {instances} {what}"));
        }
    }
    if termination::is_awaited(input)
        && let Some(hook) = target.hooks_of(false).max_by_key(|hook| hook.heartbeat)
    {
        let by = if spec.completes_hooks { ", completed by the rollout" } else { "" };
        phrases.push(format!("{} after each batch{by}", hook_told(hook)));
    }
    phrases.extend(decisions(input));
    let gates = spec.gates.longest_answer(true);
    if !spec.gates.probes.is_empty() {
        phrases.push(format!("up to {} for the gates of each batch", span(gates)));
    }
    let record = state.record.as_ref();
    let rolls_back = record.is_some_and(|record| record.rolls_back_to(&target.revision));
    for (point, hook) in &spec.hooks.0 {
        // Where the way is back, that was run before the way forward.
        if rolls_back && *point == HookPoint::BeforeRollout {
            continue;
        }
        let often = match point {
            HookPoint::BeforeDeregister | HookPoint::AfterHealthy | HookPoint::AfterBatch => {
                " of each batch"
            }
            _ => "",
        };
        phrases.push(format!("up to {} for {}{often}", span(hook.longest()), point.name()));
    }
    phrases
}

/// Returns until when the rollout waits for decisions at checkpoints, as phrases.
fn decisions(input: &Input<'_>) -> Vec<String> {
    let mut phrases = Vec::new();
    for (index, checkpoint) in checkpoints_ahead(input).iter().enumerate() {
        let reached =
            input.state.record.as_ref().and_then(Record::reached_at).filter(|_| index == 0);
        match (checkpoint.pause, checkpoint.expires) {
            (Some(_), _) => {}
            (None, Some(expiry)) => {
                let until = reached.unwrap_or(input.now) + expiry.after;
                let (at, left) = (checkpoint.percentage, until.since(input.now));
                let then = if expiry.rolls_back { "rolls back" } else { "continues" };
                phrases.push(match left.is_zero() {
                    true => format!("at {at} % it {then} at once: nobody has decided in time"),
                    false => {
                        format!("up to {} at {at} % for a decision, then it {then}", span(left))
                    }
                });
            }
            (None, None) => phrases.push(format!("at {} % until resume", checkpoint.percentage)),
        }
    }
    phrases
}

/// Returns how long a launch takes until its instance has soaked.
fn launch(input: &Input<'_>) -> Duration {
    let Input { spec, target, .. } = *input;
    target.boot.unwrap_or(ASSUMED_BOOT) + target.register() + spec.health.min_healthy_time
}

fn replaces(batch: &BatchPreview) -> u32 {
    count(batch.replaces.len())
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
