//! How much may begin now: the window's free places, checkpoints, pauses, and duplicates of
//! stragglers at the end.

use rolling_provider::Timestamp;

use super::{Input, View};
use crate::spec::{Checkpoint, Pacing, Policy};

/// A straggler is one that takes this many times as long as the median did.
const STRAGGLES: f64 = 1.25;

/// The checkpoint ahead, if there is one. A rollout that goes back has none.
pub fn checkpoint(input: &Input<'_>) -> Option<Checkpoint> {
    let passed = input.progress.record.as_ref().map_or(0, |record| record.gate);
    let ahead = input.spec.checkpoints.get(passed as usize).copied();
    ahead.filter(|_| input.progress.turned_back.is_none())
}

/// How many more instances may become new before the checkpoint ahead. Counted are those that
/// are new, those on their way, and those whose victims are.
pub fn allowance(view: &View<'_>, ahead: Option<Checkpoint>) -> usize {
    let Some(ahead) = ahead else { return usize::MAX };
    let new = view.members.iter().filter(|m| m.is_new && !m.is_victim).count();
    let committed = new + view.missing as usize + view.victims().count();
    (ahead.quota(view.window.size) as usize).saturating_sub(committed)
}

/// How many instances to launch beside the fleet now.
pub fn launches(input: &Input<'_>, view: &View<'_>) -> u32 {
    let Input { spec, progress, .. } = *input;
    let old = view.old().filter(|member| !member.held).count();
    let free = (view.window.slots() as usize).saturating_sub(view.busy());
    let wanted = if old == 0 {
        progress.surge as usize + duplicates(input, view)
    } else {
        let surge = match spec.policy {
            // One to begin with; the others only once it has proved itself.
            Policy::Immutable if view.updated() == 0 => 1,
            _ => view.window.surge as usize,
        };
        surge.min(old)
    };
    let more = wanted.saturating_sub(progress.surge as usize);
    let more = more.min(free).min(allowance(view, checkpoint(input)));
    u32::try_from(more).unwrap_or(u32::MAX)
}

/// How many instances may be taken out now.
pub fn victims(input: &Input<'_>, view: &View<'_>) -> usize {
    let slots = view.window.slots() as usize;
    let free = slots.saturating_sub(view.busy());
    if input.spec.policy == Policy::Immutable && view.updated() < view.window.size as usize {
        // Before the new set is complete only what has failed of it goes, and what a rollout
        // that this one replaces has launched beside the fleet.
        let failed = view.candidates().filter(|member| member.failed).count();
        let more = (view.old().count() - failed).saturating_sub(view.window.size as usize);
        return free.min(failed + more);
    }
    // The last ones go without a replacement: no checkpoint holds them.
    let surge = input.progress.surge as usize;
    if view.old().count() <= surge {
        return free;
    }
    // Replacing one that has failed makes no more instances new.
    let failed = view.candidates().filter(|member| member.failed).count();
    free.min(allowance(view, checkpoint(input)).saturating_add(failed))
}

/// With all old ones gone and places free: how many stragglers deserve a duplicate. The first to
/// serve stays, and the rest go as surplus.
fn duplicates(input: &Input<'_>, view: &View<'_>) -> usize {
    let Input { spec, progress, now, .. } = *input;
    if spec.pacing != Pacing::Continuous || view.updated() >= view.window.size as usize {
        return 0;
    }
    let mut boots = progress.boots.clone();
    boots.sort_unstable();
    let Some(median) = boots.get(boots.len() / 2) else { return 0 };
    let patience = median.mul_f64(STRAGGLES);
    let stragglers = view.unsoaked().filter(|member| {
        let since = member.seen.map_or(now, |seen| seen.since);
        !member.serves && now.since(since) >= patience
    });
    let surge = progress.surge as usize;
    stragglers.count().saturating_sub(surge).min((view.window.surge as usize).saturating_sub(surge))
}

/// When the oldest instance that boots becomes a straggler, to look again then.
pub fn straggles_at(input: &Input<'_>, view: &View<'_>) -> Option<Timestamp> {
    if input.spec.pacing != Pacing::Continuous {
        return None;
    }
    let mut boots = input.progress.boots.clone();
    boots.sort_unstable();
    let patience = boots.get(boots.len() / 2)?.mul_f64(STRAGGLES);
    let since = view.unsoaked().filter(|m| !m.serves).filter_map(|m| m.seen.map(|s| s.since));
    since.map(|since| since + patience).filter(|at| *at > input.now).min()
}
