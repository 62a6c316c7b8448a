//! Preview of a rollout: the same choices as the real one, on a fleet where every launch works.

mod costs;

use std::time::Duration;

use super::found_rollout::{found_record, is_paused, runs};
use super::input::Input;
use super::set_aside::{left_alone, set_aside};
use super::shortfall::{idle_now, missing_now};
use super::{
    Member, View, borrow, dry_run, is_converged, pace, restart, run_by, spare, termination,
};
use crate::model::moment::moment;
use crate::model::preview::{BatchPreview, Borrowing, Preview};
use crate::model::spec::{BatchSize, Executor, OnFailure, Pacing, Policy, TrafficStep};
use crate::rollout::serving::held_by_hooks;

/// Previews what a rollout would do now.
pub fn preview(input: &Input<'_>) -> Preview {
    let Input { spec, target, .. } = *input;
    match spec.engine {
        Executor::InstanceRefresh { .. } => return super::delegated_preview::preview(input),
        Executor::Environment { .. } => return super::environment_preview::preview(input),
        Executor::Rolling | Executor::Controller { .. } => {}
    }
    if let Some(status) = &input.look.controller {
        return super::controller::preview(input, status);
    }
    let view = View::new(input);
    let changes = !is_converged(input);
    let paused = changes && is_paused(input);
    // Where an end is found half done, that is all that an apply does.
    let rolls = changes && !paused && input.state.direction.halt.is_none();
    let batches = if rolls { dry_run::batches(input, &view) } else { Vec::new() };
    let takes_time = changes && !paused;
    let expected = if takes_time { costs::expected(input, &batches) } else { Duration::ZERO };
    let mut warnings = warnings(input, &view, changes.then_some(batches.as_slice()));
    if changes {
        warnings.extend(due_meanwhile(input, expected));
        let long = target.warnings_of_long.iter().filter(|(limit, _)| expected > *limit);
        warnings.extend(long.map(|(_, message)| message.clone()));
    }
    let raise: u32 = batches.iter().map(|batch| batch.launches).sum();
    Preview {
        at_worst: costs::at_worst(input, &view, &batches),
        may_wait: if takes_time { costs::may_wait(input, &view) } else { Vec::new() },
        left_alone: left_alone(input),
        at_work: None,
        command: None,
        changes,
        paused,
        target: target.name.clone(),
        kind: target.kind,
        from: runs(input, &view),
        to: target.revision.clone(),
        restart: target.restart.map(|restart| moment(restart.before)),
        target_groups: target.rotation().map(|g| (g.id.clone(), g.name.clone())).collect(),
        size: view.window.size,
        policy: spec.policy.name(),
        continuous: spec.pacing == Pacing::Continuous,
        delegated_rollout: None,
        controller: Vec::new(),
        checkpoints: costs::checkpoints_ahead(input).iter().map(|it| it.percentage).collect(),
        requests: requests(input),
        hooks: hooks(input),
        gates: spec.gates.phrases(),
        rollout_hooks: spec.hooks.phrases(),
        floor: view.window.floor(),
        units: spare::preview(spec.policy, view.window, input.look.units()),
        ceiling: view.window.ceiling(),
        sets_template: (rolls && borrow::moves_template(input)).then(|| target.revision.clone()),
        borrows: if rolls { borrows(input, &view, raise) } else { Vec::new() },
        expected_seconds: expected.as_secs(),
        boot_assumed: target.boot.is_none() && !batches.is_empty(),
        warnings,
        batches,
    }
}

fn borrows(input: &Input<'_>, view: &View<'_>, raise: u32) -> Vec<Borrowing> {
    let Input { spec, look, state, .. } = *input;
    let mut borrows = Vec::new();
    let running = spec.suspend_processes.difference(&look.suspended);
    let running: Vec<&str> =
        running.filter(|_| !borrow::replaces_nothing(input, view)).map(String::as_str).collect();
    if !running.is_empty() {
        let becomes = format!("suspended: {}", running.join(", "));
        borrows.push(Borrowing { what: "processes", becomes });
    }
    let desired = state.desired(look);
    // Unmanaged instances have no size that somebody else could see changed.
    if look.is_unmanaged() {
        return borrows;
    }
    if raise > 0 {
        let before = desired.saturating_sub(state.surge());
        let becomes = format!("{} instead of {before}", desired + raise);
        borrows.push(Borrowing { what: "desired size", becomes });
    }
    if desired + raise > look.max() {
        let becomes = format!("{} instead of {}", desired + raise, look.max());
        borrows.push(Borrowing { what: "maximum size", becomes });
    }
    borrows
}

/// Returns how requests are shifted: `to target group new: 10 % for 5m, 50 % for 5m, then all`.
fn requests(input: &Input<'_>) -> Option<String> {
    let second = &input.target.second.as_ref()?.name;
    match &input.spec.policy {
        Policy::TrafficSplitting => {
            let share = |step: &TrafficStep| {
                let time = humantime::format_duration(step.evaluation_time);
                format!("{} % for {time}", step.percent)
            };
            let shares: Vec<String> = input.spec.traffic_steps.iter().map(share).collect();
            Some(format!("to target group {second}: {}, then all", shares.join(", ")))
        }
        Policy::BlueGreen { terminate_after } => {
            let time = humantime::format_duration(*terminate_after);
            Some(format!("all to target group {second}, the old instances kept for {time}"))
        }
        _ => None,
    }
}

/// Returns what to warn of; `batches` is `None` where nothing changes.
fn warnings(input: &Input<'_>, view: &View<'_>, batches: Option<&[BatchPreview]>) -> Vec<String> {
    let Input { target, look, state, .. } = *input;
    let mut warnings = target.warnings.clone();
    warnings.extend(target.rotation().flat_map(|group| group.warnings.clone()));
    let Some(batches) = batches else {
        warnings.extend(set_aside(input, view));
        return warnings;
    };
    warnings.extend(super::preflight(input).into_iter().map(|found| found.message));
    let n = view.window.size;
    warnings.extend(small_percentage(input, n));
    warnings.extend(short_soak(input));
    if n > 0 && view.window.floor() == 0 && !batches.is_empty() {
        warnings.push("no instance has to serve while a batch is replaced: an outage".into());
    }
    warnings.extend(idle_now(input, view));
    warnings.extend(removed_again(input, view));
    warnings.extend(missing_before(input, view));
    warnings.extend(set_aside(input, view));
    warnings.extend(no_way_back(input, view));
    if run_by::adopted(input, view).is_none() && !view.members.is_empty() {
        let mut run: Vec<_> = view.members.iter().map(|m| m.instance.revision.as_ref()).collect();
        run.sort();
        run.dedup();
        let why = match run.as_slice() {
            [None] => "it is unknown which revision the instances run",
            [Some(_)] => "no instance serves, and no completed revision is known",
            _ => "the fleet runs several revisions, and no completed revision is known",
        };
        warnings.push(format!("{why}: a rollback is not possible"));
    }
    if let Some(template) = &look.template
        && target.aliases.contains_key(template)
        && input.launches()
    {
        let to = &target.revision;
        warnings.push(format!("the group's template {template} becomes the fixed version {to}"));
    }
    match &state.record {
        Some(record) => warnings.push(found_record(input, record)),
        None => warnings.extend(vanished(&view.members)),
    }
    warnings
}

/// Says what the rollout waits for before it begins anything: instances that are missing already,
/// with the cloud's own reason.
fn missing_before(input: &Input<'_>, view: &View<'_>) -> Option<String> {
    let them = if view.missing == 1 { "it" } else { "them" };
    let message = missing_now(input, view).filter(|_| input.state.record.is_none())?;
    Some(match pace::launches(input, view) > 0 {
        true => format!("{message}: the rollout launches others beside, and needs {them} to end"),
        false => format!("{message}: the rollout waits for {them} first"),
    })
}

/// Says that some of a whole new set go again, since old instances stay beside it.
fn removed_again(input: &Input<'_>, view: &View<'_>) -> Option<String> {
    let stay = view.members.iter().filter(|m| !m.is_new && (m.left_alone || m.set_aside)).count();
    let (instances, go) =
        if stay == 1 { ("instance stays", "goes") } else { ("instances stay", "go") };
    (input.spec.policy.shifts() && stay > 0).then(|| {
        format!(
            "the new set is launched complete, and {stay} of it {go} again at the end where {stay} \
             old {instances}"
        )
    })
}

/// Describes the hooks that hold instances of the rollout, and what it does about them.
fn hooks(input: &Input<'_>) -> Vec<String> {
    let Input { spec, target, .. } = *input;
    if input.is_in_place() {
        return Vec::new();
    }
    let waits = match termination::is_awaited(input) {
        true => ", and a batch waits until its instances are gone",
        false => ", and batches do not wait for that",
    };
    let kinds = [(true, "launches", ""), (false, "terminations", waits)];
    let there = kinds.into_iter().filter(|(launches, ..)| target.hooks_of(*launches).count() > 0);
    there
        .map(|(launches, what, waits)| {
            let by = if spec.completes_hooks { ", completed by the rollout" } else { "" };
            format!("{what} {}{by}{waits}", held_by_hooks(target, launches))
        })
        .collect()
}

/// Warns of a soak that the document gives and that a target group's slow start outlasts.
fn short_soak(input: &Input<'_>) -> Option<String> {
    let Input { spec, target, .. } = *input;
    let (soak, slow) = (spec.health.min_healthy_time, target.slow_start());
    (spec.health.soak_is_given && slow > soak).then(|| {
        let [soak, slow] = [soak, slow].map(humantime::format_duration);
        format!(
            "min_healthy_time is {soak}, but a target group's slow start takes {slow}: old \
             instances are terminated while new ones still get few requests"
        )
    })
}

/// Warns of a percentage that is less than one instance.
fn small_percentage(input: &Input<'_>, n: u32) -> Option<String> {
    let (Policy::Rolling(BatchSize::Percentage(percent))
    | Policy::RollingWithAdditionalBatch(BatchSize::Percentage(percent))) = input.spec.policy
    else {
        return None;
    };
    let is_small = n > 0 && u64::from(n) * u64::from(percent) < 100;
    is_small.then(|| {
        let share = 100 / n;
        format!(
            "{percent} percent of {n} instances is less than one: batches of 1 are {share} percent"
        )
    })
}

/// Warns of a restart that a failure does not roll back, although the document asks for that.
fn no_way_back(input: &Input<'_>, view: &View<'_>) -> Option<String> {
    let is_asked = input.spec.on_failure == OnFailure::Rollback;
    (is_asked && restart::is_same_again(input, view)).then(|| {
        format!(
            "the fleet runs {} already, so a failure cannot be rolled back: the instances that are \
             not replaced yet then stay",
            input.target.revision
        )
    })
}

/// Warns of failed instances whose record is gone.
///
/// A rollout erases its record at its end, when no instance is left that the record calls failed.
fn vanished(members: &[Member<'_>]) -> Option<String> {
    let mut marked = members.iter().filter_map(|m| Some((m.id, m.instance.failed_in.as_ref()?)));
    let (id, rollout) = marked.next()?;
    let more = match marked.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "instance {id}{more} failed in rollout {rollout}, whose record is gone from the target: if \
         another tool removes unknown tags, it is unknown what was borrowed (for Terraform's AWS \
         provider, ignore_tags {{ key_prefixes = [\"rolling:\"] }} keeps them)"
    ))
}

/// Returns a warning for each scheduled action that is due within the expected time.
fn due_meanwhile(input: &Input<'_>, expected: Duration) -> Vec<String> {
    let Input { spec, target, look, now, .. } = *input;
    let Some(process) = target.processes.schedules else { return Vec::new() };
    if !spec.suspend_processes.contains(process) || look.suspended.contains(process) {
        return Vec::new();
    }
    let due = target.scheduled.iter().filter(|entry| entry.at >= now && entry.at <= now + expected);
    due.map(|entry| {
        let within = humantime::format_duration(Duration::from_secs(entry.at.since(now).as_secs()));
        format!(
            "the scheduled action {} falls due in {within}, during the rollout; its sizes are set \
             at the end",
            entry.name
        )
    })
    .collect()
}
