//! Restores what a halt finds changed: the template, sizes, processes, surge and victims.

use std::collections::{BTreeMap, BTreeSet};

use rolling_provider::{Action, InstanceId, TargetGroupId};

use super::super::input::Input;
use super::super::{Member, Plan, Step, View, batch, failure, retire, shift};
use crate::model::wait::{Wait, WaitKind};
use crate::record::{Ending, Record};
use crate::rollout::state::Halt;

/// Restores the template: the group must not launch a revision that failed or was given up.
///
/// After a pause that was asked for the group may, and where all instances run a revision without
/// fault it has to.
pub(super) fn template_back(input: &Input<'_>, record: &Record, halt: &Halt) -> Option<Step> {
    let is_right = halt.ending == Ending::Paused || failure::is_all_new(input);
    if (is_right && !halt.fault) || halt.is_unrestored() {
        return None;
    }
    let back = record.completed.as_ref().or(record.borrowed.template.as_ref())?;
    let back = input.target.resolve(back);
    let ours = input.state.may_launch(&record.to, input.look);
    (ours && *back != record.to).then(|| Step::new(Action::MoveTemplate { to: back.clone() }))
}

/// Returns the wait for what must show before sizes are set or the rollout ends.
///
/// One call sets all sizes, so the one that is not borrowed must be known for sure. Launched
/// unmanaged instances are not left behind because no look shows them yet.
pub(crate) fn unsettled(input: &Input<'_>) -> Option<Wait> {
    let Input { state, look, now, .. } = *input;
    let hidden = state.unmanaged.shows_all_at(now).filter(|_| look.is_unmanaged());
    let (deadline, detail) = match state.size_is_known_at(look) {
        Some(known) => (known, "of the size"),
        None => (hidden?, "instances that were launched"),
    };
    let detail = Some(detail.into());
    Some(Wait { kind: WaitKind::Change, instances: Vec::new(), detail, deadline })
}

/// Restores what is borrowed except surge, each value only where it still is what we wrote.
/// `shifted` says whether requests stay in the second target group.
pub(crate) fn give_back(input: &Input<'_>, record: &Record, shifted: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    let shown = input.state.max(input.look);
    if let Some(found) = record.max_before(shown) {
        // Never below the size the fleet has by now: the cloud would choose victims.
        let desired = input.state.desired(input.look);
        let max = found.max(desired);
        if max != shown {
            steps.push(Step::new(Action::SetCapacity { desired: None, max: Some(max) }));
        }
    }
    steps.extend(resume(input, record, shifted));
    steps
}

/// Resumes the processes that we suspended and that are still suspended.
///
/// While requests stay shifted, the fleet must not register on its own what it launches.
pub(super) fn resume(input: &Input<'_>, record: &Record, shifted: bool) -> Option<Step> {
    let suspended = input.state.may_be_suspended(&record.borrowed.suspended, input.look);
    let away = record.borrowed.shifts.is_some() && shifted && !shift::is_back(input);
    let registers = input.target.processes.registers;
    let stays_suspended = |process: &&String| away && registers == Some(process.as_str());
    let processes: BTreeSet<String> = suspended.filter(|p| !stays_suspended(p)).cloned().collect();
    (!processes.is_empty()).then(|| Step::new(Action::ResumeProcesses { processes }))
}

/// Lets the fleet follow its load again, before everything else is restored.
pub(crate) fn resume_scaling(input: &Input<'_>, record: &Record) -> Option<Step> {
    let suspended = input.state.may_be_suspended(&record.borrowed.suspended, input.look);
    let scaling = suspended.filter(|process| input.target.processes.resizes(process));
    let processes: BTreeSet<String> = scaling.cloned().collect();
    (!processes.is_empty()).then(|| Step::new(Action::ResumeProcesses { processes }))
}

/// Chooses the surge that goes, by named termination.
///
/// Of the revision that is given up, instances on their way out go first, then those that do not
/// serve, then as many as the floor leaves. Victims that serve again make room for the rest.
pub(super) fn leaving(
    input: &Input<'_>,
    view: &View<'_>,
    record: &Record,
    keeps_surge: bool,
) -> BTreeSet<InstanceId> {
    let surge = if keeps_surge { 0 } else { input.state.surge() as usize };
    // Surge that was not launched yet counts, too, and comes off the size later.
    let surge = surge.saturating_sub(view.missing as usize);
    let is_given_up = |member: &&Member<'_>| record.brings(member.instance) && !member.not_surplus;
    let going = view.victims().filter(is_given_up).take(surge);
    let mut leaving: BTreeSet<InstanceId> = going.map(|member| member.id.clone()).collect();
    let given_up =
        view.members.iter().filter(|m| !m.is_victim).filter(is_given_up).copied().collect();
    let given_up = View { members: given_up, ..view.clone() };
    let mut chosen = batch::surplus(&given_up, surge - leaving.len());
    // An instance on its way out still goes. If another one went in its place, the first would come
    // back, and so on.
    let going = view.victims().filter(|m| !m.not_surplus && !is_given_up(m));
    let left = surge - leaving.len() - chosen.len();
    leaving.extend(going.take(left).map(|member| member.id.clone()));
    // The group may have launched surge after its template was restored.
    let others = view.members.iter();
    let others = others.filter(|member| !chosen.contains(member.id)).copied().collect();
    let others = View { members: others, ..view.clone() };
    chosen.extend(batch::surplus(&others, surge - leaving.len() - chosen.len()));
    // An instance that serves only in the second target group gets no requests once they are back.
    let primary =
        view.members.iter().filter(|member| member.surely_serves && member.in_primary).count();
    let mut spare = primary.saturating_sub(view.window.floor() as usize);
    for id in chosen {
        let serves = view.members.iter().any(|m| *m.id == id && m.serves && m.in_primary);
        if serves && spare == 0 {
            continue;
        }
        spare -= usize::from(serves);
        leaving.insert(id);
    }
    leaving
}

/// Registers all other instances that we took out in every target group again.
pub(super) fn register_again(
    input: &Input<'_>,
    view: &View<'_>,
    leaving: &BTreeSet<InstanceId>,
    plan: &mut Plan,
) {
    let lives = |id: &InstanceId| view.members.binary_search_by(|m| m.id.cmp(id)).is_ok();
    let mut out: BTreeMap<&TargetGroupId, BTreeSet<InstanceId>> = BTreeMap::new();
    let taken_out = input.state.rotation.deregistered.iter();
    let taken_out = taken_out.flat_map(|(id, groups)| groups.keys().map(move |group| (id, group)));
    let deregistered_by_predecessor =
        input.state.rotation.deregistered_by_predecessor.iter().map(|(id, group)| (id, group));
    for (id, group) in taken_out.chain(deregistered_by_predecessor) {
        // In the second target group, only as long as requests go there.
        let is_second = input.target.second.as_ref().is_some_and(|second| second.id == *group);
        if lives(id) && !leaving.contains(id) && !(is_second && shift::is_back(input)) {
            out.entry(group).or_default().insert(id.clone());
        }
    }
    for (group, instances) in out {
        let action = Action::Register { target_group: group.clone(), instances };
        plan.actions.push(Step::new(action));
    }
}

pub(super) fn give_back_surge(
    input: &Input<'_>,
    view: &View<'_>,
    leaving: &BTreeSet<InstanceId>,
    plan: &mut Plan,
) {
    let members = view.members.iter().filter(|member| leaving.contains(member.id));
    let only = View { members: members.copied().collect(), ..view.clone() };
    retire::retire(input, &only, leaving, plan);
    plan.chosen.clone_from(leaving);
}
