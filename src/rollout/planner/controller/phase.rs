//! How far the controller is with what it was told, and what stops it.

use rolling_provider::{ControllerStatus, Extent};

use super::super::View;
use super::super::input::Input;
use super::super::view::has_replaced_all;
use super::partition;
use super::step::{self, ControllerPhase};
use crate::model::spec::Policy;
use crate::record::Record;

/// Returns how far the controller is.
pub(super) fn phase(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    record: &Record,
) -> ControllerPhase {
    let size = view.window.size;
    if input.look.template.as_ref() != Some(&input.target.revision) || record.released.is_none() {
        return ControllerPhase::Begin;
    }
    if !status.observed {
        return ControllerPhase::Unseen;
    }
    // Kubernetes counts in whole seconds, and may call an instance available up to a second early.
    let has_soaked = view.unsoaked().next().is_none();
    let is_complete = has_replaced_all(input, status);
    if is_complete && has_soaked {
        return ControllerPhase::Complete;
    }
    if let Some(partition) = status.partition {
        return partition::phase(input, view, status, record, partition);
    }
    let goal = step::goal_of(input, view, status, record);
    if !holds(input, size, goal) || is_complete {
        // This engine has let it go, and does not pause a rollout that is one step.
        let ours = input.state.rolled_to.is_some() && !input.state.direction.resume;
        return match status.paused && !is_complete {
            true if ours && !step::is_stepped(input) => ControllerPhase::StoppedByOthers,
            true => ControllerPhase::GoOn,
            false => ControllerPhase::Waiting,
        };
    }
    match (status.paused, status.asked >= goal) {
        (true, false) => ControllerPhase::GoOn,
        (true, true) if status.available >= status.asked && has_soaked && goal < size => {
            ControllerPhase::StepDone
        }
        (true, true) => ControllerPhase::Waiting,
        (false, true) if is_settled(status, size) => ControllerPhase::ToStop,
        (false, _) => ControllerPhase::InStep,
    }
}

/// Returns what stops the controller where it is.
pub(super) fn stop(input: &Input<'_>, view: &View<'_>, status: &ControllerStatus) -> Extent {
    match status.partition {
        None => Extent::Paused,
        Some(_) => partition::all_but(partition::unreplaced(input, view, status)),
    }
}

/// Whether the controller is paused at the end of a step to `goal`.
fn holds(input: &Input<'_>, size: u32, goal: u32) -> bool {
    step::is_stepped(input) && (goal < size || input.spec.policy == Policy::Immutable)
}

/// Whether the controller has done all that it can before an instance of the step is available.
///
/// Paused after it has lowered the old set and before it has raised the new one, it would give the
/// places back to the old set.
fn is_settled(status: &ControllerStatus, size: u32) -> bool {
    let all = size.saturating_add(status.settings.surge_of(size));
    status.asked >= size || status.asked_in_all >= all
}
