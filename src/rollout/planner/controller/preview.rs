//! Preview of a rollout by a controller: what it is told, and what that amounts to.

use std::time::Duration;

use rolling_provider::{ControllerSettings, ControllerStatus, Share};

use super::super::deadlines::ASSUMED_BOOT;
use super::super::found_rollout::{found_record, is_paused, runs};
use super::super::input::Input;
use super::super::{View, is_converged};
use super::settings::{at_own_pace, by_partition};
use super::step;
use crate::model::preview::{AtWorst, BatchPreview, Borrowing, Preview};
use crate::model::spec::{OnFailure, Policy};

/// Previews what the controller would be told now.
pub(crate) fn preview(input: &Input<'_>, status: &ControllerStatus) -> Preview {
    let Input { spec, target, state, .. } = *input;
    let view = View::new(input);
    let (window, changes) = (view.window, !is_converged(input));
    let paused = changes && is_paused(input);
    let rolls = changes && !paused && state.direction.halt.is_none();
    let passed = state.record.as_ref().filter(|record| record.leads_to(&target.goal()));
    let passed = passed.map_or(0, |record| record.checkpoints_passed);
    let steps = if rolls { step::sizes(input, &view, status, passed) } else { Vec::new() };
    let expected = if rolls { expected(input, &view, status, steps.len()) } else { Duration::ZERO };
    let ahead = spec.checkpoints.iter().skip(passed as usize);
    Preview {
        changes,
        paused,
        target: target.name.clone(),
        kind: target.kind,
        from: runs(input, &view),
        to: target.revision.clone(),
        restart: None,
        target_groups: target.rotation().map(|g| (g.id.clone(), g.name.clone())).collect(),
        size: window.size,
        policy: spec.policy.name(),
        continuous: false,
        delegated_rollout: None,
        controller: if rolls { phrases(input, &view, status, &steps) } else { Vec::new() },
        batches: steps.into_iter().map(of_step).collect(),
        checkpoints: ahead.map(|checkpoint| checkpoint.percentage).collect(),
        requests: None,
        hooks: Vec::new(),
        gates: spec.gates.phrases(),
        rollout_hooks: spec.hooks.phrases(),
        floor: window.size - unavailable_at_once(input, &view, status),
        units: None,
        ceiling: window.ceiling(),
        sets_template: None,
        borrows: if rolls { borrows(input, &view, status) } else { Vec::new() },
        expected_seconds: expected.as_secs(),
        boot_assumed: target.boot.is_none() && rolls,
        may_wait: Vec::new(),
        at_worst: rolls.then(|| at_worst(input, &view, status)),
        left_alone: Vec::new(),
        at_work: None,
        command: None,
        warnings: warnings(input, &view, status, rolls),
    }
}

fn of_step(size: u32) -> BatchPreview {
    BatchPreview { launches: 0, replaces: Vec::new(), at_most: Some(size) }
}

/// Says how the controller replaces the instances.
fn phrases(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    steps: &[u32],
) -> Vec<String> {
    let (surge, unavailable) = bounds(input, view, status);
    let controller = input.target.controller.unwrap_or("the controller");
    match (steps.is_empty(), input.spec.policy) {
        (true, _) if status.partition.is_some() => vec![format!(
            "{controller} replaces them at its own pace, from the highest ordinal down, {unavailable} \
             unavailable at most"
        )],
        (false, _) if status.partition.is_some() => vec![format!(
            "{controller} replaces them from the highest ordinal down, {unavailable} unavailable at \
             most; the partition keeps the others as they are until a batch is over"
        )],
        (true, _) => vec![format!(
            "{controller} replaces them at its own pace, a surge of {surge} and {unavailable} \
             unavailable at most"
        )],
        (false, Policy::Immutable) => vec![format!(
            "{controller} creates the new set beside the old one, and is paused after each batch"
        )],
        (false, _) => {
            vec![format!("{controller} replaces them, and is paused after each batch but the last")]
        }
    }
}

/// The bounds that the controller is given.
fn bounds(input: &Input<'_>, view: &View<'_>, status: &ControllerStatus) -> (Share, Share) {
    let (policy, size) = (input.spec.policy, view.window.size);
    match status.partition {
        Some(_) => by_partition(policy, found(input, status), size),
        None => at_own_pace(policy, size),
    }
}

/// The settings that others want.
fn found(input: &Input<'_>, status: &ControllerStatus) -> ControllerSettings {
    let found = input.state.record.as_ref().and_then(|record| record.borrowed.controller);
    found.map_or(status.settings, |borrowed| borrowed.found)
}

fn borrows(input: &Input<'_>, view: &View<'_>, status: &ControllerStatus) -> Vec<Borrowing> {
    let found = found(input, status);
    let (surge, unavailable) = bounds(input, view, status);
    let ControllerSettings { surge: was_surge, unavailable: was_unavailable, .. } = found;
    let mut borrows = Vec::new();
    if (surge, unavailable) != (was_surge, was_unavailable) {
        let becomes = match status.partition {
            Some(_) => format!("{unavailable} unavailable instead of {was_unavailable}"),
            None => format!(
                "a surge of {surge} and {unavailable} unavailable instead of {was_surge} and \
                 {was_unavailable}"
            ),
        };
        borrows.push(Borrowing { what: "bounds", becomes });
    }
    if status.partition.is_some() && step::is_stepped(input) {
        let becomes = "lowered batch by batch, and then 0 again".to_owned();
        borrows.push(Borrowing { what: "partition", becomes });
    }
    let soak = input.spec.health.min_healthy_time;
    if soak != found.min_ready() {
        let [ours, was] = [soak, found.min_ready()].map(humantime::format_duration);
        let becomes = format!("{ours} instead of {was}");
        borrows.push(Borrowing { what: "minimum ready time", becomes });
    }
    borrows
}

/// Returns how long it takes if every boot takes the median.
fn expected(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    steps: usize,
) -> Duration {
    let Input { spec, target, .. } = *input;
    let one =
        target.boot.unwrap_or(ASSUMED_BOOT) + target.register() + spec.health.min_healthy_time;
    let size = view.window.size;
    let rounds = match steps {
        _ if status.partition.is_some() => {
            size.div_ceil(found(input, status).unavailable_of(size).max(1))
        }
        0 => size.div_ceil(view.window.slots().max(1)),
        steps => u32::try_from(steps).unwrap_or(u32::MAX),
    };
    let waits: Duration = spec.checkpoints.iter().filter_map(|checkpoint| checkpoint.pause).sum();
    one * rounds + spec.pauses(steps) + waits + spec.gates.bake_time
}

/// How many instances may be unavailable at once.
fn unavailable_at_once(input: &Input<'_>, view: &View<'_>, status: &ControllerStatus) -> u32 {
    let window = view.window;
    match status.partition {
        None => window.unavailable,
        Some(_) => {
            let (surge, unavailable) = bounds(input, view, status);
            let given = ControllerSettings { surge, unavailable, ..found(input, status) };
            given.unavailable_of(window.size).min(window.unavailable)
        }
    }
}

fn at_worst(input: &Input<'_>, view: &View<'_>, status: &ControllerStatus) -> AtWorst {
    let Input { spec, target, .. } = *input;
    let (window, out) = (view.window, unavailable_at_once(input, view, status));
    let notice = spec.health.healthy_timeout;
    let launch = target.boot.unwrap_or(ASSUMED_BOOT) + target.register();
    let first = match status.partition {
        // The next one goes once the last one is ready.
        Some(_) => out,
        None if spec.policy == Policy::Immutable => 1,
        None => window.slots(),
    };
    AtWorst {
        out,
        out_seconds: (notice + launch).as_secs(),
        exposed: first.clamp(1, window.size.max(1)),
        exposed_seconds: notice.as_secs(),
        recovers: spec.on_failure == OnFailure::Rollback,
    }
}

fn warnings(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    rolls: bool,
) -> Vec<String> {
    let Input { spec, target, state, .. } = *input;
    let mut warnings = target.warnings.clone();
    let goes_back = spec.on_failure == OnFailure::Rollback;
    let kept_while_followed = match (step::is_stepped(input), goes_back) {
        (true, true) => Some("checkpoints, pauses, gates and the way back need"),
        (true, false) => Some("checkpoints, pauses and gates need"),
        (false, true) => Some("the way back needs"),
        (false, false) => None,
    };
    warnings.extend(kept_while_followed.filter(|_| rolls).map(|what| {
        let without = match (step::is_stepped(input), status.partition) {
            (true, Some(_)) => "the controller goes no further than the batch",
            _ => "the controller goes on to the end of the rollout",
        };
        format!("{what} a run of rolling that follows: without one {without}")
    }));
    if rolls && view.window.size > 0 && view.window.floor() == 0 {
        warnings.push("no instance has to serve while a batch is replaced: an outage".into());
    }
    if let Some(why) = &status.refused {
        warnings.push(format!("the controller cannot go on now: {why}"));
    }
    let completed = super::super::run_by::adopted(input, view);
    if rolls && spec.on_failure == OnFailure::Rollback && completed.is_none() {
        warnings.push("no completed revision is known: a rollback is not possible".into());
    }
    warnings.extend(state.record.as_ref().map(|record| found_record(input, record)));
    warnings
}
