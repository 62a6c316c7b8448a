//! What the record says once a hook has ended.

use std::collections::BTreeSet;

use rolling_provider::{InstanceId, Timestamp};

use super::super::input::Input;
use crate::model::spec::HookPoint;
use crate::record::{HookRecord, InstanceSet};

/// Returns `hooks` with the hook that has ended last, where they do not say so yet.
pub(super) fn noted(input: &Input<'_>, hooks: HookRecord) -> HookRecord {
    let done = input.state.hooks.done.as_ref().filter(|done| done.number == hooks.number);
    let Some(done) = done else { return hooks };
    let hooks = match done.point {
        HookPoint::BeforeRollout => HookRecord { began: true, ..hooks },
        HookPoint::BeforeRollback => HookRecord { went_back: true, ..hooks },
        HookPoint::BeforeDeregister => {
            let group = InstanceSet::of(&done.instances);
            let (prepared, members) = (!group.is_empty(), hooks.members.clone());
            HookRecord { prepared, group, ..hooks }.with_members(members)
        }
        HookPoint::AfterHealthy => after_healthy_done(input, hooks, &done.instances),
        HookPoint::AfterBatch => closed(input, hooks, &done.instances),
        // The end of the record says that.
        HookPoint::AfterRollout => return hooks,
    };
    HookRecord { point: None, ..hooks }.next()
}

/// Returns what stands once `after_healthy` is done for `instances`. Who comes later has one of its
/// own.
fn after_healthy_done(
    input: &Input<'_>,
    hooks: HookRecord,
    instances: &BTreeSet<InstanceId>,
) -> HookRecord {
    if input.is_in_place() {
        let is_done = |id: &InstanceId| input.state.hooks.after_healthy_done.contains(id);
        let updated = hooks.members.matching(input.look.instances.keys());
        let after_healthy_done = updated.iter().all(is_done).then_some(input.now);
        return HookRecord { after_healthy_done, ..hooks };
    }
    let after_healthy_done = hooks.after_healthy_done.max(launched(input, instances));
    match hooks.open {
        true => HookRecord { after_healthy_done, ..hooks },
        false => HookRecord {
            since: hooks.since.max(after_healthy_done),
            after_healthy_done: None,
            ..hooks
        },
    }
}

/// Returns what stands once a batch is over that `instances` are the new ones of.
pub(super) fn closed(
    input: &Input<'_>,
    hooks: HookRecord,
    instances: &BTreeSet<InstanceId>,
) -> HookRecord {
    let after_healthy_done = hooks.after_healthy_done.filter(|_| !input.is_in_place());
    let since = hooks.since.max(after_healthy_done).max(launched(input, instances));
    HookRecord { open: false, after_healthy_done: None, since, ..hooks }
}

/// Returns when the newest of `instances` was launched, by the cloud's clock.
fn launched(input: &Input<'_>, instances: &BTreeSet<InstanceId>) -> Option<Timestamp> {
    let all = &input.look.instances;
    instances.iter().filter_map(|id| all.get(id)?.launched_at).max()
}
