//! Victims that are terminating, where the rollout waits until they are gone.
//!
//! A hook may drain what an instance runs (the pods of a node, the shards of a database) for minutes
//! after it has left its target groups. Without a wait, batches of one would have several such drains
//! at a time.

use std::time::Duration;

use rolling_provider::{InstanceId, Lifecycle, Timestamp};

use super::Plan;
use super::input::Input;
use crate::model::wait::{Wait, WaitKind};
use crate::rollout::serving::held_by_hooks;

/// How long a termination that no hook holds may take.
const TERMINATES_WITHIN: Duration = Duration::from_secs(600);

/// Whether batches, and the end, wait until victims are gone.
pub(crate) fn is_awaited(input: &Input<'_>) -> bool {
    !input.is_in_place() && input.spec.wait_for_termination.unwrap_or_else(|| has_hook(input))
}

/// Whether a hook holds what is terminated. Somebody may add one meanwhile.
fn has_hook(input: &Input<'_>) -> bool {
    let is_held = |id: &InstanceId| {
        let instance = input.look.instances.get(id);
        instance.is_some_and(|it| it.lifecycle == Lifecycle::Terminating && it.in_lifecycle_hook)
    };
    input.target.hooks_of(false).next().is_some()
        || input.state.removed.terminating.keys().any(is_held)
}

/// Returns the instances that are terminating and waited for: those of other revisions, and all
/// that this rollout terminated.
///
/// One that a hook has held for as long as the cloud lets it, or that nothing holds and still is
/// there, is waited for no longer.
pub(crate) fn terminating<'a>(input: &Input<'a>) -> Vec<&'a InstanceId> {
    if !is_awaited(input) {
        return Vec::new();
    }
    let is_ours = |id: &InstanceId| {
        input.look.instances.get(id).is_some_and(|instance| {
            instance.lifecycle == Lifecycle::Terminating
                && !instance.ignored
                && (!input.target.wants(instance)
                    || input.state.removed.terminated.contains(id)
                    || input.state.removed.found_terminating.contains(id))
        })
    };
    let terminating = input.state.removed.terminating.iter();
    terminating
        .filter(|(id, since)| is_ours(id) && input.now < deadline(input, **since))
        .map(|(id, _)| id)
        .collect()
}

/// Waits for `terminating`, and names what holds them.
pub(crate) fn wait(input: &Input<'_>, terminating: &[&InstanceId], plan: &mut Plan) {
    let since = terminating.iter().filter_map(|id| input.state.removed.terminating.get(*id));
    let Some(deadline) = since.map(|since| deadline(input, *since)).max() else { return };
    plan.wait(Wait {
        kind: WaitKind::Termination,
        instances: terminating.iter().map(|id| (*id).clone()).collect(),
        detail: has_hook(input).then(|| held_by_hooks(input.target, false)),
        deadline,
    });
}

fn deadline(input: &Input<'_>, since: Timestamp) -> Timestamp {
    let longest = input.target.hooks_of(false).map(|hook| hook.longest).sum::<Duration>();
    since + longest.max(TERMINATES_WITHIN)
}
