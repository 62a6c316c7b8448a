//! Planning while a rollout goes forward: borrow, replace batch by batch, give back.

use std::collections::{BTreeMap, BTreeSet};

use rolling_provider::{Action, InstanceId, TargetGroupId, TargetState};

use super::wait::{Wait, WaitKind};
use super::{BatchStart, Input, Member, Plan, Step, Verdict, View, batch, halt};
use crate::progress::Halt;
use crate::record::{Phase, Record};
use crate::spec::RollingDeployment;

pub(super) fn plan(input: &Input<'_>, view: &View<'_>) -> Plan {
    let mut plan = Plan::waiting();
    if input.progress.record.is_none() && super::is_converged(input) {
        plan.verdict = Verdict::Converged;
        return plan;
    }
    if let Some(halt) = blocked(input, view) {
        plan.verdict = Verdict::Halt(halt);
        return plan;
    }
    let record = borrow(input, view, &mut plan);
    if !plan.actions.is_empty() {
        return plan;
    }

    register_strays(input, &mut plan);
    retire_victims(input, view, &BTreeSet::new(), &mut plan);
    let moving = watch_newcomers(input, view, &mut plan);
    if moving || view.members.iter().any(|member| member.is_victim) {
        return plan;
    }

    // Nothing drains, boots or soaks: one batch is over, and the next may begin.
    plan.batch_ends = input.progress.batch_open;
    let victims = match (view.old().next(), input.progress.surge) {
        (Some(_), _) => batch::next(view),
        (None, 0) => {
            plan.actions.extend(halt::give_back(input, &record));
            let keys = record.tags().into_keys().collect();
            plan.actions.push(Step::plain(Action::EraseRecord { keys }));
            return plan;
        }
        (None, surge) => batch::surplus(view, surge as usize),
    };
    if victims.is_empty() {
        let floor = view.window.floor();
        plan.wait(Wait {
            kind: WaitKind::Floor,
            instances: Vec::new(),
            detail: Some(format!("{} of at least {floor} serve", view.serving())),
            deadline: progress_deadline(input),
        });
        return plan;
    }
    retire_victims(input, view, &victims, &mut plan);
    let number = input.progress.batch + 1;
    plan.begins = Some(BatchStart { number, victims, launches: 0 });
    plan
}

/// Puts what must be borrowed before anything is replaced into the plan, the record first.
/// Returns the record that stands (or is about to).
fn borrow(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) -> Record {
    let Input { target, look, progress, .. } = *input;
    let mut record = match &progress.record {
        Some(found) if found.phase == Phase::Rolling && found.to == target.revision => {
            found.clone()
        }
        previous => begin(input, view, previous.as_ref()),
    };

    let old = u32::try_from(view.old().count()).unwrap_or(u32::MAX);
    let raise = view.window.surge.min(old).saturating_sub(progress.surge);
    let desired = progress.desired(look) + raise;
    if raise > 0 {
        record.surge = progress.surge + raise;
        if look.capacity.max < desired {
            let found = record.borrowed.max.map_or(look.capacity.max, |(found, _)| found);
            record.borrowed.max = Some((found, desired));
        }
    }
    if progress.record.as_ref() != Some(&record) {
        plan.actions.push(Step::record(record.clone()));
    }
    let running: BTreeSet<String> =
        record.borrowed.suspended.difference(&look.suspended).cloned().collect();
    if !running.is_empty() && !progress.suspended {
        plan.actions.push(Step::plain(Action::SuspendProcesses { processes: running }));
    }
    if look.template.as_ref() != Some(&target.revision) {
        plan.actions.push(Step::plain(Action::MoveTemplate { to: target.revision.clone() }));
    }
    if raise > 0 {
        plan.actions.push(Step {
            action: Action::SetCapacity { desired, max: look.capacity.max.max(desired) },
            record: None,
            surge: Some(record.surge),
        });
        if !progress.batch_open {
            let number = progress.batch + 1;
            plan.begins = Some(BatchStart { number, victims: BTreeSet::new(), launches: raise });
        }
    }
    record
}

/// The record of a rollout that begins. What an earlier rollout still has borrowed is taken over
/// with its original values.
fn begin(input: &Input<'_>, view: &View<'_>, previous: Option<&Record>) -> Record {
    let Input { spec, target, look, progress, .. } = *input;
    let mut borrowed = previous.map(|record| record.borrowed.clone()).unwrap_or_default();
    let running = spec.suspend_processes.difference(&look.suspended);
    borrowed.suspended.extend(running.cloned());
    Record {
        id: progress.rollout_id.clone(),
        generation: previous.map_or(0, |record| record.generation) + 1,
        phase: Phase::Rolling,
        // By number: what an alias stands for may have moved on by the time it is put back.
        from: look.template.as_ref().map(|template| target.resolve(template).clone()),
        to: target.revision.clone(),
        size: progress.size(look),
        surge: progress.surge,
        started: progress.started,
        borrowed,
        completed: match previous {
            Some(record) => record.completed.clone(),
            None => adopted(view),
        },
    }
}

/// With no record, the revision that every serving instance runs is taken for completed; a mixed
/// fleet has none.
fn adopted(view: &View<'_>) -> Option<rolling_provider::Revision> {
    let mut revisions =
        view.members.iter().filter(|m| m.serves).map(|member| member.instance.revision.as_ref());
    let first = revisions.next()??;
    revisions.all(|revision| revision == Some(first)).then(|| first.clone())
}

/// Puts instances of the new revision that a stopped engine took out of rotation back in.
fn register_strays(input: &Input<'_>, plan: &mut Plan) {
    let mut out: BTreeMap<&TargetGroupId, BTreeSet<InstanceId>> = BTreeMap::new();
    for (id, group) in &input.progress.strays {
        out.entry(group).or_default().insert(id.clone());
    }
    for (group, instances) in out {
        let action = Action::Register { target_group: group.clone(), instances };
        plan.actions.push(Step::plain(action));
    }
}

/// Takes victims out of rotation, one call a target group, and terminates those that are
/// drained or past their drain deadline. `chosen` are victims as of this plan.
pub(super) fn retire_victims(
    input: &Input<'_>,
    view: &View<'_>,
    chosen: &BTreeSet<InstanceId>,
    plan: &mut Plan,
) {
    let Input { target, progress, now, .. } = *input;
    let victims = || view.members.iter().filter(|m| m.is_victim || chosen.contains(m.id));

    let mut listed: BTreeMap<&TargetGroupId, BTreeSet<InstanceId>> = BTreeMap::new();
    for group in &target.target_groups {
        for member in victims() {
            let asked = progress.deregistered.contains_key(&(member.id.clone(), group.id.clone()));
            let health = member.instance.targets.get(&group.id);
            let in_rotation = health.is_some_and(|health| {
                !matches!(health.state, TargetState::Draining | TargetState::Unused)
            });
            if in_rotation && !asked {
                listed.entry(&group.id).or_default().insert(member.id.clone());
            }
        }
    }
    for (group, instances) in listed {
        let action = Action::Deregister { target_group: group.clone(), instances };
        plan.actions.push(Step::plain(action));
    }

    let mut old_left = view.old().count();
    let mut surge = progress.surge as usize;
    let mut draining = Vec::new();
    let mut deadline = None;
    // The ones that go without are those of which their zone has too many.
    let excess = batch::excess(view);
    let mut leaving: Vec<&Member<'_>> = victims().collect();
    leaving.sort_by_key(|m| excess.get(m.instance.zone.as_str()).is_some_and(|more| *more > 0));
    for member in leaving {
        let due = drain_deadline(input, member);
        if !member.is_out_of_rotation() && due.is_none_or(|due| now < due) {
            draining.push(member.id.clone());
            deadline = deadline.max(due);
            continue;
        }
        // As long as more old ones than surge are left, each makes room for a replacement; the
        // last ones go without, so that there are exactly as many launches as instances.
        let decrement = surge > 0 && old_left <= surge;
        surge -= usize::from(decrement);
        old_left = old_left.saturating_sub(usize::from(!member.is_new));
        let action = Action::Terminate { instance: member.id.clone(), decrement };
        plan.actions.push(Step::plain(action));
    }
    if !draining.is_empty() {
        let drained = |(_, group): &(InstanceId, TargetGroupId)| {
            target.target_groups.iter().find(|known| known.id == *group).map(|known| known.drain)
        };
        for (key, at) in &progress.deregistered {
            plan.wake_at(drained(key).map(|drain| *at + drain), now);
        }
        plan.wait(Wait {
            kind: WaitKind::Drain,
            instances: draining,
            detail: Some(format!(
                "{} deregistration delay",
                humantime::format_duration(target.drain())
            )),
            deadline: deadline.unwrap_or(now + RollingDeployment::drain_deadline(target.drain())),
        });
    }
}

/// When a victim is terminated even if it is still draining; `None` before it was deregistered
/// everywhere it is listed.
fn drain_deadline(input: &Input<'_>, member: &Member<'_>) -> Option<rolling_provider::Timestamp> {
    let listed = input.target.target_groups.iter().filter(|group| {
        let health = member.instance.targets.get(&group.id);
        health.is_some_and(|health| health.state != TargetState::Unused)
    });
    let mut latest = None;
    for group in listed {
        let asked = input.progress.deregistered.get(&(member.id.clone(), group.id.clone()))?;
        latest = latest.max(Some(*asked + RollingDeployment::drain_deadline(group.drain)));
    }
    latest
}

/// Waits for what is launched, boots or soaks. Returns whether there is any.
fn watch_newcomers(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) -> bool {
    let Input { spec, progress, now, .. } = *input;
    if view.missing > 0 {
        let since = progress.missing_since.unwrap_or(now);
        let failure = progress.activities.iter().find(|activity| activity.failed);
        let count = format!("{} to go", view.missing);
        plan.wait(Wait {
            kind: WaitKind::Launch,
            instances: Vec::new(),
            detail: Some(failure.map_or(count, |failure| failure.cause.clone())),
            deadline: since + spec.health.healthy_timeout,
        });
    }
    let unsoaked = || view.members.iter().filter(|m| m.is_new && !m.is_victim && !m.soaked);
    for (serves, kind) in [(false, WaitKind::Health), (true, WaitKind::Soak)] {
        let mut members = unsoaked().filter(|member| member.serves == serves).peekable();
        let Some(first) = members.peek() else { continue };
        let seen = progress.seen.get(first.id);
        let detail = match kind {
            WaitKind::Health => seen.and_then(|seen| seen.trouble.clone()),
            _ => Some(humantime::format_duration(spec.health.min_healthy_time).to_string()),
        };
        let instances: Vec<InstanceId> = members.map(|member| member.id.clone()).collect();
        let due = instances.iter().filter_map(|id| {
            let seen = progress.seen.get(id)?;
            match seen.serving_since {
                Some(since) => Some(since + spec.health.min_healthy_time),
                None => Some(health_deadline(spec, seen)),
            }
        });
        let deadline = due.min().unwrap_or(now + spec.health.healthy_timeout);
        plan.wait(Wait { kind, instances, detail, deadline });
    }
    view.missing > 0 || unsoaked().next().is_some()
}

/// When an instance of the new revision that does not serve has failed: its time runs from its
/// launch, or, for one that had soaked already, from when it stopped serving.
fn health_deadline(
    spec: &RollingDeployment,
    seen: &crate::progress::Seen,
) -> rolling_provider::Timestamp {
    let from = if seen.soaked { seen.lost_at.unwrap_or(seen.since) } else { seen.since };
    from + spec.health.healthy_timeout
}

fn progress_deadline(input: &Input<'_>) -> rolling_provider::Timestamp {
    let since = input.progress.best.map_or(input.progress.started, |(_, at)| at);
    since + input.spec.progress_deadline(input.target.drain())
}

/// Why the rollout cannot go on, if so.
fn blocked(input: &Input<'_>, view: &View<'_>) -> Option<Halt> {
    let Input { spec, target, progress, now, .. } = *input;
    let halt = |reason: String| Some(Halt { reason, requested: false, at: now, until: None });
    if let Some((id, why)) = progress.failed.iter().next() {
        return halt(failure(progress.failed.len(), id, &target.revision, why));
    }

    let limit = humantime::format_duration(spec.health.healthy_timeout);
    let late: Vec<&Member<'_>> = view
        .members
        .iter()
        .filter(|member| member.is_new && !member.is_victim && !member.soaked)
        .filter(|member| {
            progress.seen.get(member.id).is_some_and(|seen| {
                let deadline = health_deadline(spec, seen);
                // One that serves at its deadline may finish that soak, but not begin another.
                let soaking = seen.serving_since.is_some_and(|since| since <= deadline);
                now >= deadline && !soaking
            })
        })
        .collect();
    if let Some(first) = late.first() {
        let seen = progress.seen.get(first.id);
        let trouble = seen.and_then(|seen| seen.trouble.as_deref()).unwrap_or("no reason given");
        let soak = humantime::format_duration(spec.health.min_healthy_time);
        let why = if first.serves {
            format!("not healthy for {soak} without a break within {limit}: last {trouble}")
        } else {
            format!("not healthy within {limit} of its launch: {trouble}")
        };
        return halt(failure(late.len(), first.id, &target.revision, &why));
    }
    if let Some(since) = progress.missing_since.filter(|_| view.missing > 0)
        && now >= since + spec.health.healthy_timeout
    {
        let cause = progress.activities.iter().find(|activity| activity.failed);
        let cause = cause.map_or("the cloud gives no reason", |activity| activity.cause.as_str());
        return halt(format!("{} not launched within {limit}: {cause}", instances(view.missing)));
    }
    if now >= progress_deadline(input) {
        let limit = humantime::format_duration(spec.progress_deadline(target.drain()));
        let blockers: Vec<String> = view
            .members
            .iter()
            .filter(|member| !member.serves)
            .map(|member| {
                let why = progress.seen.get(member.id).and_then(|seen| seen.trouble.as_deref());
                format!("{} ({})", member.id, why.unwrap_or("does not serve"))
            })
            .collect();
        let blockers = if blockers.is_empty() { "nothing".into() } else { blockers.join(", ") };
        return halt(format!(
            "no progress for {limit}: {} updated, {} of {} serving; not serving: {blockers}",
            view.updated(),
            view.serving(),
            view.window.size,
        ));
    }
    None
}

fn failure(
    count: usize,
    id: &InstanceId,
    revision: &rolling_provider::Revision,
    why: &str,
) -> String {
    match count {
        1 => format!("instance {id} of {revision} failed: {why}"),
        more => format!("instance {id} of {revision} and {} more failed: {why}", more - 1),
    }
}

fn instances(count: u32) -> String {
    if count == 1 { "1 instance was".into() } else { format!("{count} instances were") }
}
