//! Has a hook run, and waits for it.

use std::collections::BTreeSet;

use rolling_provider::{InstanceId, Timestamp};

use super::super::input::Input;
use super::super::{Plan, Verdict};
use crate::model::event::Outcome;
use crate::model::spec::{Hook, HookPoint, Pacing};
use crate::model::wait::{Wait, WaitKind};
use crate::record::hooks::fingerprint;
use crate::record::{HookRecord, InstanceSet, Record};
use crate::rollout::state::{HookRun, RunningHook};

/// Has the hook at `point` run, and waits for it. The record must be there. Only one hook is run at
/// a time: what another is about waits.
pub(super) fn ask(
    input: &Input<'_>,
    point: HookPoint,
    instances: BTreeSet<InstanceId>,
    outcome: Option<Outcome>,
    plan: &mut Plan,
) {
    let Input { spec, look, state, now, .. } = *input;
    let Some(hook) = spec.hooks.at(point).filter(|_| state.hooks.running.is_none()) else { return };
    let Some(record) = &state.record else { return };
    let Some(hooks) = &record.hooks else { return };
    let zone = |id: &InstanceId| look.instances.get(id).map(|instance| instance.zone.clone());
    let zoned = instances.into_iter().map(|id| {
        let zone = zone(&id).unwrap_or_default();
        (id, zone)
    });
    let run = HookRun {
        point,
        id: id(input, record, hooks, point, outcome),
        number: hooks.number,
        rollout: record.id.clone(),
        batch: hooks.batch,
        instances: zoned.collect(),
        outcome,
    };
    wait(hook, &run, now, None, plan);
    plan.hook = Some(run);
}

/// Returns the id of the hook that is next: the same after a crash, and another one whenever its
/// message says anything else. Of a group that has shrunk since it was begun it is the same.
fn id(
    input: &Input<'_>,
    record: &Record,
    hooks: &HookRecord,
    point: HookPoint,
    outcome: Option<Outcome>,
) -> String {
    let nobody = InstanceSet::default();
    let group = if hooks.point == Some(point) { &hooks.group } else { &nobody };
    let outcome = outcome.map_or("", Outcome::name);
    let message = format!("{} {} {outcome}", input.target.revision, hooks.batch);
    let fingerprint = fingerprint(group, &message);
    format!("{}.{}.{}.{fingerprint}", record.id, point.name(), hooks.number)
}

/// Waits for `run`, which has been run `since` then.
fn wait(hook: &Hook, run: &HookRun, since: Timestamp, last_try: Option<&String>, plan: &mut Plan) {
    let last_try = last_try.map_or(String::new(), |message| format!("; {message}"));
    plan.wait(Wait {
        kind: WaitKind::Hook,
        instances: run.instances.iter().map(|(id, _)| id.clone()).collect(),
        detail: Some(format!("{}: {hook}{last_try}", run.point.name())),
        deadline: since + hook.longest(),
    });
}

/// Keeps the hook that is run, whatever else `plan` does. Only `before_deregister` ends early: once
/// none of its instances is to go any more.
pub(crate) fn keep_running(input: &Input<'_>, plan: &mut Plan) {
    let Some(running) = &input.state.hooks.running else { return };
    let victims = &input.state.rotation.victims;
    let goes = |id: &InstanceId| victims.contains(id) && !plan.released.contains(id);
    let is_wanted = running.run.point != HookPoint::BeforeDeregister || is_about(running, goes);
    if is_wanted && plan.verdict == Verdict::Continue && plan.hook.is_none() {
        keep(input, running, plan);
    }
}

/// Keeps the hook that is run for those that are `leaving`, and waits for it.
pub(crate) fn keep_running_for(input: &Input<'_>, leaving: &BTreeSet<InstanceId>, plan: &mut Plan) {
    let running = input.state.hooks.running.as_ref();
    let running = running.filter(|it| it.run.point == HookPoint::BeforeDeregister);
    if let Some(running) = running.filter(|running| is_about(running, |id| leaving.contains(id))) {
        keep(input, running, plan);
    }
}

/// Whether `running` is about one of which `goes` says that it does.
fn is_about(running: &RunningHook, goes: impl Fn(&InstanceId) -> bool) -> bool {
    running.run.instances.iter().any(|(id, _)| goes(id))
}

fn keep(input: &Input<'_>, running: &RunningHook, plan: &mut Plan) {
    let Some(hook) = input.spec.hooks.at(running.run.point) else { return };
    wait(hook, &running.run, running.since, running.last_try.as_ref(), plan);
    plan.hook = Some(running.run.clone());
}

/// Returns those of the instances that are `due` for which the hook at `point` is run next, and
/// notes them in `hooks`: those that the record names for it, or else all of them.
pub(super) fn group_for(
    hooks: &mut HookRecord,
    point: HookPoint,
    due: BTreeSet<InstanceId>,
) -> BTreeSet<InstanceId> {
    let group = InstanceSet::of(&due);
    if hooks.point == Some(point) {
        let named = hooks.group.matching(&due);
        if !named.is_empty() {
            return named;
        }
        if hooks.group == group {
            return due;
        }
    }
    *hooks = hooks.clone().beginning(point, group);
    due
}

/// Whether hooks go by batches here.
pub(super) fn has_batches(input: &Input<'_>) -> bool {
    input.spec.pacing == Pacing::Batch && input.spec.hooks.follow_batches()
}
