//! Judges that a plan waits for the hooks that come before what it does.

use std::collections::BTreeSet;

use rolling_provider::{Action, InstanceId};

use super::super::Plan;
use super::super::input::Input;
use super::serving::touched;
use crate::model::spec::HookPoint;

/// No victim leaves before `before_deregister` is done for it, and nothing is changed before
/// `before_rollout` is.
pub(super) fn check_hooks(input: &Input<'_>, plan: &Plan, found: &mut Vec<String>) {
    let state = input.state;
    let has_hook = input.spec.hooks.at(HookPoint::BeforeDeregister).is_some();
    let begun = plan.begins.iter().flat_map(|batch| &batch.victims);
    let victims: BTreeSet<&InstanceId> =
        state.rotation.victims.iter().chain(&plan.chosen).chain(begun).collect();
    let leave = plan.actions.iter().filter(|step| !matches!(step.action, Action::Register { .. }));
    for step in leave {
        for id in touched(&step.action).iter().filter(|id| victims.contains(id)) {
            let is_out = state.rotation.deregistered.contains_key(id);
            if has_hook && !is_out && !state.hooks.prepared.contains(id) {
                found.push(format!("would {} before its hook is done for {id}", step.action));
            }
        }
    }
    check_beginning(input, plan, found);
}

fn check_beginning(input: &Input<'_>, plan: &Plan, found: &mut Vec<String>) {
    let direction = &input.state.direction;
    let forward = direction.rolls_back.is_none() && direction.halt.is_none();
    if !forward || input.spec.hooks.at(HookPoint::BeforeRollout).is_none() {
        return;
    }
    let mut record = input.state.record.as_ref();
    for step in &plan.actions {
        record = step.record.as_ref().or(record);
        let began = record.and_then(|it| it.hooks.as_ref()).is_none_or(|hooks| hooks.began);
        let is_ours =
            matches!(step.action, Action::WriteRecord { .. } | Action::EraseRecord { .. });
        if !began && !is_ours {
            found.push(format!("would {} before the hook before_rollout is done", step.action));
        }
    }
}
