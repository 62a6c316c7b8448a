//! What a rollout by a controller waits for, and how it ends well.

use rolling_provider::{Action, ControllerStatus, Extent, InstanceId, Lifecycle};

use super::super::input::Input;
use super::super::{Plan, Step, View, deadlines, gate, hook, launch, roll};
use super::standing::restored;
use crate::model::wait::{Wait, WaitKind};
use crate::record::Record;

/// Waits until the platform shows `what`.
pub(super) fn wait_for_change(input: &Input<'_>, what: &str, plan: &mut Plan) {
    plan.wait(Wait {
        kind: WaitKind::Change,
        instances: Vec::new(),
        detail: Some(format!("of {what}")),
        deadline: deadlines::progress_deadline(input),
    });
}

/// Waits until whoever has stopped the controller has it go on.
pub(super) fn wait_for_others(input: &Input<'_>, plan: &mut Plan) {
    let controller = input.target.controller.unwrap_or("the controller");
    plan.wait(Wait {
        kind: WaitKind::Change,
        instances: Vec::new(),
        detail: Some(format!("somebody has stopped {controller}, and has to have it go on")),
        deadline: deadlines::progress_deadline(input),
    });
}

/// Waits for the instances that the controller creates, and for those that it removes.
pub(super) fn wait_for_new(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    plan: &mut Plan,
) {
    let there = view.members.iter().filter(|member| member.is_new).count();
    let missing = (status.asked as usize).saturating_sub(there);
    if missing > 0 {
        let detail = status.refused.clone().unwrap_or_else(|| format!("{missing} to go"));
        let deadline = deadlines::progress_deadline(input);
        let (kind, instances, detail) = (WaitKind::Launch, Vec::new(), Some(detail));
        plan.wait(Wait { kind, instances, detail, deadline });
    }
    roll::watch_unsoaked(input, view, plan);
    if plan.waiting_on.is_empty() {
        wait_for_old(input, plan);
    }
}

/// Waits for the instances that the controller removes.
fn wait_for_old(input: &Input<'_>, plan: &mut Plan) {
    let going = input.look.instances.iter().filter(|(_, instance)| {
        instance.lifecycle == Lifecycle::Terminating || !input.target.wants(instance)
    });
    let instances: Vec<InstanceId> = going.map(|(id, _)| id.clone()).collect();
    let deadline = deadlines::progress_deadline(input);
    let kind = if instances.is_empty() { WaitKind::Change } else { WaitKind::Termination };
    let detail = instances.is_empty().then(|| "of the controller's status".to_owned());
    plan.wait(Wait { kind, instances, detail, deadline });
}

/// Plans the end of a rollout that is done: the gates, what is put back, the bake time, and the end of
/// the record.
pub(super) fn finish(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    record: &Record,
    plan: &mut Plan,
) {
    if gate::is_closed(input, view) {
        gate::ask(input, view, plan);
        return;
    }
    if let Some(step) = put_back(status, record) {
        plan.actions.push(step);
        return;
    }
    if gate::bake(input, plan) || hook::after_rollout(input, input.outcome_when_done(), plan) {
        return;
    }
    plan.actions.extend(launch::erase(input, record));
}

/// Returns what puts the controller's settings back, and has it go on, where that is not so already.
pub(super) fn put_back(status: &ControllerStatus, record: &Record) -> Option<Step> {
    let settings = restored(record, status.settings);
    let settings = (settings != status.settings).then_some(settings);
    let extent = status.is_stopped().then_some(Extent::All);
    let is_back = settings.is_none() && extent.is_none();
    (!is_back).then(|| Step::new(Action::SetRollout { to: None, settings, extent }))
}
