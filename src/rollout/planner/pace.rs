//! How much may begin now: free places, checkpoints, pauses, and duplicates of stragglers.
//!
//! The free places are those of the window. Duplicates begin at the end of a rollout.

use std::time::Duration;

use rolling_provider::Timestamp;

use super::input::Input;
use super::{Member, View, shift};
use crate::model::spec::{Checkpoint, Expiry, Pacing, Policy};

/// Returns the checkpoint ahead, if there is one. A rollback has none.
pub(crate) fn checkpoint(input: &Input<'_>) -> Option<Checkpoint> {
    let passed = input.state.record.as_ref().map_or(0, |record| record.checkpoints_passed);
    let ahead = input.spec.checkpoints.get(passed as usize).copied();
    ahead.filter(|_| input.state.direction.rolls_back.is_none())
}

/// Returns the checkpoint ahead, if it must be passed before anything more is replaced.
pub(crate) fn reached(input: &Input<'_>, view: &View<'_>) -> Option<Checkpoint> {
    checkpoint(input).filter(|_| {
        view.busy() == 0
            && victims(input, view) == 0
            && !view.candidates().any(|member| member.failed)
    })
}

/// Returns what happens at the checkpoint ahead, where its time is over and nobody has decided.
///
/// Counts from the time in the record, so that it is the same for whichever engine is at work.
pub(crate) fn expired(input: &Input<'_>) -> Option<Expiry> {
    let expiry = checkpoint(input)?.ends()?;
    let since = input.state.record.as_ref()?.reached_at()?;
    (input.now >= since + expiry.after).then_some(expiry)
}

/// Returns how many more instances may become new before the checkpoint ahead.
///
/// New instances count, instances on their way, and victims on their way out.
pub(crate) fn allowance(input: &Input<'_>, view: &View<'_>, ahead: Option<Checkpoint>) -> usize {
    let Some(ahead) = ahead else { return usize::MAX };
    let new = view.members.iter().filter(|m| m.is_new && !m.is_victim).count();
    let committed = new + view.missing as usize + view.victims().count();
    (ahead.quota(to_be_new(input, view)) as usize).saturating_sub(committed)
}

/// Returns how many instances are new at the end, of which a checkpoint is a percentage.
///
/// Where requests are shifted the new set is whole, whichever old instances are left alone.
pub(crate) fn to_be_new(input: &Input<'_>, view: &View<'_>) -> u32 {
    let stays = |m: &&Member<'_>| m.left_alone && !m.is_new && !m.is_victim;
    let stay = view.members.iter().filter(|_| !input.spec.policy.shifts()).filter(stays).count();
    view.window.size.saturating_sub(u32::try_from(stay).unwrap_or(u32::MAX))
}

/// Returns how many instances to launch beside the fleet now.
pub(crate) fn launches(input: &Input<'_>, view: &View<'_>) -> u32 {
    let Input { spec, state, .. } = *input;
    // Where requests are shifted, the new instances must take all of them, whichever old ones stay.
    let is_forward = state.direction.rolls_back.is_none() && view.old().next().is_some();
    let old = match spec.policy.shifts() && is_forward {
        true => ((view.window.size + state.surge()) as usize).saturating_sub(new(view)),
        false => view.old().filter(|member| !member.set_aside).count(),
    };
    let wanted = if all_launched(view) {
        state.surge() as usize + duplicates(input, view)
    } else {
        let surge = match spec.policy {
            // One to begin with; the others only once it has soaked.
            Policy::Immutable if view.updated() == 0 => 1,
            _ => view.window.surge as usize,
        };
        surge.min(old)
    };
    // Instances beyond a size that another process has lowered need not be launched.
    let desired = state.desired(input.look) as usize;
    let extra =
        if input.look.is_unmanaged() { 0 } else { view.members.len().saturating_sub(desired) };
    let more = wanted.saturating_sub(state.surge() as usize + extra);
    let more = more.min(view.free()).min(allowance(input, view, checkpoint(input)));
    u32::try_from(more).unwrap_or(u32::MAX)
}

/// Returns how many instances may be taken out now, besides failed ones that already hold a place.
pub(crate) fn victims(input: &Input<'_>, view: &View<'_>) -> usize {
    let free = view.free();
    let is_forward = input.state.direction.rolls_back.is_none();
    let shifts = input.spec.policy.shifts() && is_forward;
    let complete = view.is_complete();
    if input.spec.policy.keeps_old() && (!complete || (shifts && !shift::is_promoted(input, view)))
    {
        // Before the new set is complete, only its failed instances go, and those that a replaced
        // rollout has launched beside the fleet.
        let failed = view.old().filter(|member| member.failed).count();
        let more = (view.old().count() - failed).saturating_sub(view.window.size as usize);
        // It is unknown how many of the requests an instance that serves takes.
        let recovered = if shifts { 0 } else { recovered(view) };
        return free.min(recovered + more);
    }
    // The last ones are removed without a replacement, so no checkpoint holds them.
    let surge = input.state.surge() as usize;
    if view.old().count() <= surge {
        return free;
    }
    // Replacing a failed instance makes no more instances new.
    free.min(allowance(input, view, checkpoint(input)).saturating_add(recovered(view)))
}

/// Counts the failed instances that hold no place, because they have served again for long enough.
fn recovered(view: &View<'_>) -> usize {
    view.candidates().filter(|member| member.failed && !member.holds_place()).count()
}

/// Counts the new instances, including those on their way.
fn new(view: &View<'_>) -> usize {
    let new = view.members.iter().filter(|m| m.is_new && !m.failed && !m.is_victim);
    new.count() + view.missing as usize
}

/// Whether the fleet needs no further launch: what is still old goes without a replacement.
fn all_launched(view: &View<'_>) -> bool {
    new(view) >= view.window.size as usize
}

/// Returns how many stragglers deserve a duplicate, with nothing more to launch and places free.
///
/// A straggler takes longer than the median did. The first to serve stays, and the rest go as
/// surplus.
fn duplicates(input: &Input<'_>, view: &View<'_>) -> usize {
    if view.is_complete() {
        return 0;
    }
    let Some(median) = median_boot(input) else { return 0 };
    let stragglers = view.unsoaked().filter(|member| {
        let since = launched_at(input, member).unwrap_or(input.now);
        !member.serves && input.now.since(since) > median
    });
    let have = new(view) - view.window.size as usize;
    let room = (view.window.surge as usize).saturating_sub(input.state.surge() as usize);
    stragglers.count().saturating_sub(have).min(room)
}

/// Returns when the oldest instance that boots becomes a straggler, to look again then.
pub(crate) fn straggles_at(input: &Input<'_>, view: &View<'_>) -> Option<Timestamp> {
    if !all_launched(view) {
        return None;
    }
    let median = median_boot(input)?;
    let since = view.unsoaked().filter(|m| !m.serves).filter_map(|m| launched_at(input, m));
    since.map(|since| since + median).filter(|at| *at > input.now).min()
}

/// Returns when `member` was asked for, or else first seen.
fn launched_at(input: &Input<'_>, member: &Member<'_>) -> Option<Timestamp> {
    let asked = input.state.stages.launched(member.id);
    asked.or(member.history.map(|history| history.since))
}

/// Returns the median time that launches of this rollout took until they served.
///
/// Only in continuous pacing.
fn median_boot(input: &Input<'_>) -> Option<Duration> {
    if input.spec.pacing != Pacing::Continuous || input.look.is_unmanaged() {
        return None;
    }
    let mut boots = input.state.launches.boots.clone();
    boots.sort_unstable();
    boots.get(boots.len() / 2).copied()
}
