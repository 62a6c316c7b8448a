//! What a look says of an instance, and which instances an action is about.

use std::collections::BTreeSet;

use rolling_provider::{Action, Instance, InstanceId, Lifecycle, Observation, TargetState};

use super::SECOND;

/// An unmanaged instance that has drained makes room for its replacement, which is launched first
/// with that instance as its source.
pub(super) fn makes_room(
    look: &Observation,
    leaving: &BTreeSet<InstanceId>,
    id: &InstanceId,
    instance: &Instance,
) -> bool {
    look.is_unmanaged() && is_out(instance) && leaving.contains(id)
}

pub(super) fn is_out(instance: &Instance) -> bool {
    instance.targets.values().all(|health| health.state == TargetState::Unused)
}

pub(super) fn drains(instance: &Instance) -> bool {
    instance.targets.values().any(|health| health.state == TargetState::Draining)
}

pub fn serves(instance: &Instance) -> bool {
    instance.lifecycle == Lifecycle::InService
        && instance.healthy
        && (serves_in(instance, false) || serves_in(instance, true))
}

/// Whether the second target group, or all others, send requests to `instance`.
pub(super) fn serves_in(instance: &Instance, second: bool) -> bool {
    let mut health = instance
        .targets
        .iter()
        .filter(|(group, _)| (group.as_str() == SECOND) == second)
        .map(|(_, health)| health.state)
        .peekable();
    health.peek().is_some() && health.all(|state| state == TargetState::Healthy)
}

/// Whether `instance` is listed in that many target groups, without a second one.
pub(super) fn is_in(instance: &Instance, groups: usize) -> bool {
    instance.targets.keys().filter(|group| group.as_str() != SECOND).count() == groups
}

pub fn count_serving(look: &Observation) -> usize {
    look.instances.values().filter(|instance| serves(instance)).count()
}

pub(super) fn named(action: &Action) -> Vec<InstanceId> {
    match action {
        Action::Deregister { instances, .. } | Action::Register { instances, .. } => {
            instances.iter().cloned().collect()
        }
        Action::Terminate { instance, .. }
        | Action::Detach { instance, .. }
        | Action::Tag { instance, .. } => vec![instance.clone()],
        _ => Vec::new(),
    }
}

pub(super) fn removed(action: &Action) -> BTreeSet<InstanceId> {
    match action {
        Action::Terminate { instance, .. } | Action::Detach { instance, .. } => {
            BTreeSet::from([instance.clone()])
        }
        Action::Update { instances, .. } => instances.clone(),
        _ => BTreeSet::new(),
    }
}
