//! Planning after a failure or a stop: put back what is borrowed, leave nothing draining.

use std::collections::{BTreeMap, BTreeSet};

use rolling_provider::{Action, InstanceId, TargetGroupId};

use super::roll::retire_victims;
use super::wait::{Wait, WaitKind};
use super::{Input, Plan, Step, Verdict, View, batch};
use crate::progress::Halt;
use crate::record::{Borrowed, Phase, Record};

pub(super) fn plan(input: &Input<'_>, view: &View<'_>, halt: &Halt) -> Plan {
    let Input { spec, target, look, progress, now } = *input;
    let mut plan = Plan::waiting();
    let Some(record) = &progress.record else {
        // Nothing was begun.
        plan.verdict = Verdict::Halted;
        return plan;
    };
    if record.phase == Phase::Halted {
        plan.verdict = Verdict::Halted;
        return plan;
    }
    if record.phase == Phase::Rolling {
        plan.actions.push(Step::record(Record { phase: Phase::Halting, ..record.clone() }));
    }
    // Surge that was not launched goes first and alone: with the template back, the group could
    // launch it after all, and a lower size would then cost instances of the group's choice.
    let unlaunched = view.missing.min(progress.surge);
    if unlaunched > 0 {
        let desired = progress.desired(look) - unlaunched;
        plan.actions.push(Step {
            action: Action::SetCapacity { desired, max: look.capacity.max },
            record: None,
            surge: Some(progress.surge - unlaunched),
        });
        return plan;
    }
    // The group's own replacements must not launch the revision that failed.
    let back = record.completed.as_ref().or(record.from.as_ref());
    if let Some(back) = back.map(|back| target.resolve(back))
        && look.template.as_ref() == Some(&target.revision)
        && *back != target.revision
    {
        plan.actions.push(Step::plain(Action::MoveTemplate { to: back.clone() }));
    }

    register_again(input, view, &mut plan);
    give_back_surge(input, view, &mut plan);
    let out_of_time = halt.until.is_some_and(|until| now >= until);
    if progress.surge == 0 {
        plan.actions.extend(give_back(input, record));
    } else if out_of_time {
        // Surge that still drains stays in the record; the group at least runs by itself again.
        plan.actions.extend(resume(input, record));
    }
    plan.actions.retain(|step| !progress.refused.iter().any(|(action, _)| *action == step.action));

    for (id, at) in &progress.returned {
        let deadline = *at + spec.health.healthy_timeout;
        let serves = view.members.iter().any(|member| member.id == id && member.serves);
        let lives = view.members.iter().any(|member| member.id == id);
        if lives && !serves && now < deadline {
            let detail = progress.seen.get(id).and_then(|seen| seen.trouble.clone());
            let instances = vec![id.clone()];
            plan.wait(Wait { kind: WaitKind::Return, instances, detail, deadline });
        }
    }
    if plan.actions.is_empty() && (plan.waiting_on.is_empty() || out_of_time) {
        if progress.surge == 0 && progress.refused.is_empty() {
            let borrowed = Borrowed::default();
            let record = Record { phase: Phase::Halted, borrowed, surge: 0, ..record.clone() };
            plan.actions.push(Step::record(record));
        } else {
            plan.verdict = Verdict::Halted;
        }
    }
    if let Some(until) = halt.until {
        plan.wake_at(Some(until), now);
    }
    plan
}

/// Puts back what is borrowed apart from surge, each only where it still holds what we wrote.
pub(super) fn give_back(input: &Input<'_>, record: &Record) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some((found, ours)) = record.borrowed.max
        && input.look.capacity.max == ours
    {
        // Never below the size the fleet has by now: the cloud would choose victims.
        let desired = input.progress.desired(input.look);
        let action = Action::SetCapacity { desired, max: found.max(desired) };
        if found.max(desired) != ours {
            steps.push(Step { action, record: None, surge: Some(input.progress.surge) });
        }
    }
    steps.extend(resume(input, record));
    steps
}

/// Resumes the processes that we suspended and that still are.
fn resume(input: &Input<'_>, record: &Record) -> Option<Step> {
    let suspended = record.borrowed.suspended.intersection(&input.look.suspended);
    let processes: BTreeSet<String> = suspended.cloned().collect();
    (!processes.is_empty()).then(|| Step::plain(Action::ResumeProcesses { processes }))
}

/// Victims of the old revision that were not terminated go back into every target group.
fn register_again(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) {
    let mut out: BTreeMap<&TargetGroupId, BTreeSet<InstanceId>> = BTreeMap::new();
    for (id, group) in input.progress.deregistered.keys() {
        let old = view.members.iter().any(|member| member.id == id && !member.is_new);
        if old {
            out.entry(group).or_default().insert(id.clone());
        }
    }
    for (group, instances) in out {
        let action = Action::Register { target_group: group.clone(), instances };
        plan.actions.push(Step::plain(action));
    }
}

/// Surge goes by named termination.
fn give_back_surge(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) {
    let progress = input.progress;
    let going = view.members.iter().filter(|member| member.is_new && member.is_victim).count();
    let count = (progress.surge as usize).saturating_sub(going);
    let new = View {
        members: view.members.iter().filter(|m| m.is_new && !m.is_victim).copied().collect(),
        ..*view
    };
    let chosen = batch::surplus(&new, count);
    // Only surge may go now: old victims are on their way back.
    let leaving = View {
        members: view.members.iter().filter(|member| member.is_new).copied().collect(),
        ..*view
    };
    retire_victims(input, &leaving, &chosen, plan);
    if !chosen.is_empty() {
        plan.chosen = chosen;
    }
}
