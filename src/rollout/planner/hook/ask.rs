//! Has a hook run, and waits for it.

use std::collections::BTreeSet;

use rolling_provider::{InstanceId, Timestamp};

use super::super::Plan;
use super::super::input::Input;
use crate::model::event::Outcome;
use crate::model::spec::{HookPoint, Pacing};
use crate::model::wait::{Wait, WaitKind};
use crate::record::HookRecord;
use crate::record::hooks::fingerprint;
use crate::rollout::state::HookRun;

/// Whether the hook at `point` has been run since the record was last written.
pub(super) fn is_done(input: &Input<'_>, hooks: &HookRecord, point: HookPoint) -> bool {
    input.state.hooks.done == Some((point, hooks.number))
}

/// Has the hook at `point` run, and waits for it. The record must be there.
pub(super) fn ask(
    input: &Input<'_>,
    point: HookPoint,
    instances: BTreeSet<InstanceId>,
    outcome: Option<Outcome>,
    plan: &mut Plan,
) {
    let Input { spec, look, state, now, .. } = *input;
    let Some(hook) = spec.hooks.at(point) else { return };
    let Some(record) = &state.record else { return };
    let Some(hooks) = &record.hooks else { return };
    let mut id = format!("{}.{}.{}", record.id, point.name(), hooks.number);
    if !instances.is_empty() {
        id = format!("{id}.{}", fingerprint(&instances));
    }
    plan.wait(Wait {
        kind: WaitKind::Hook,
        instances: instances.iter().cloned().collect(),
        detail: Some(format!("{}: {hook}", point.name())),
        deadline: state.hooks.asked.unwrap_or(now) + hook.longest(),
    });
    let zone = |id: &InstanceId| look.instances.get(id).map(|instance| instance.zone.clone());
    let zoned = instances.into_iter().map(|id| {
        let zone = zone(&id).unwrap_or_default();
        (id, zone)
    });
    plan.hook = Some(HookRun {
        point,
        id,
        number: hooks.number,
        rollout: record.id.clone(),
        batch: hooks.batch,
        instances: zoned.collect(),
        outcome,
    });
}

/// Returns when the newest instance of the fleet was launched, by the cloud's clock.
pub(super) fn latest_launch(input: &Input<'_>) -> Option<Timestamp> {
    input.look.instances.values().filter_map(|instance| instance.launched_at).max()
}

/// Whether hooks go by batches here.
pub(super) fn has_batches(input: &Input<'_>) -> bool {
    input.spec.pacing == Pacing::Batch && input.spec.hooks.follow_batches()
}
