//! Judges that a plan waits for the hooks that come before what it does.

use std::collections::BTreeSet;

use rolling_provider::{Action, InstanceId};

use super::super::Plan;
use super::super::input::Input;
use super::serving::touched;
use crate::model::spec::HookPoint;
use crate::record::Record;

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
    check_batch(input, plan, found);
}

/// Nothing of a batch is done before the record has it: its hooks would be lost with the record.
fn check_batch(input: &Input<'_>, plan: &Plan, found: &mut Vec<String>) {
    let Input { spec, state, .. } = *input;
    let ends = [HookPoint::AfterHealthy, HookPoint::AfterBatch];
    let has_end = ends.into_iter().any(|point| spec.hooks.at(point).is_some());
    let begins = plan.begins.iter().filter_map(|batch| batch.recorded).next();
    let open = state.hooks.batch.as_ref().map(|batch| batch.number);
    let Some(number) = begins.or(open).filter(|_| state.direction.halt.is_none()) else { return };
    let has_it = |record: Option<&Record>| {
        let hooks = record.and_then(|record| record.hooks.as_ref());
        hooks.is_none_or(|hooks| hooks.batch >= number && (hooks.open || !has_end))
    };
    let mut record = state.record.as_ref();
    // The plan itself may say that the batch is over.
    let mut is_known = has_it(record);
    for step in &plan.actions {
        record = step.record.as_ref().or(record);
        is_known |= has_it(record);
        let changes = matches!(
            step.action,
            Action::Deregister { .. }
                | Action::Terminate { .. }
                | Action::Detach { .. }
                | Action::Update { .. }
                | Action::Launch { .. }
                | Action::SetCapacity { desired: Some(_), .. }
        );
        if changes && !is_known {
            found.push(format!("would {} before the record has batch {number}", step.action));
        }
    }
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
