//! What a preview says of the rollout that is found, and of what the fleet runs.

use rolling_provider::Revision;

use super::input::Input;
use super::{View, borrow, run_by};
use crate::record::{Ending, Phase, Record};

/// Returns the revision that the instances run, or where they run several, where they come from.
pub(super) fn runs(input: &Input<'_>, view: &View<'_>) -> Option<Revision> {
    match borrow::replaces_nothing(input, view) {
        true => Some(input.target.revision.clone()),
        false => run_by::adopted(input, view).or_else(|| input.look.template.clone()),
    }
}

/// Whether the rollout that is found waits for a decision, and this process brings none.
pub(super) fn is_paused(input: &Input<'_>) -> bool {
    let Input { target, state, .. } = *input;
    let brings_none = !state.direction.resume && state.control.is_none();
    let is_paused = |record: &Record| {
        record.phase == Phase::Halted(Ending::Paused) && record.leads_to(&target.goal())
    };
    brings_none && state.record.as_ref().is_some_and(is_paused)
}

/// Says what an apply does with the rollout that it finds.
pub(super) fn found_record(input: &Input<'_>, record: &Record) -> String {
    let Input { target, state, .. } = *input;
    let is_same = record.leads_to(&target.goal());
    if is_paused(input) {
        let why = record.reason.as_deref().unwrap_or("paused");
        return format!(
            "rollout {} is paused ({why}): apply does not resume it, resume does",
            record.id
        );
    }
    let (id, to, status) = (&record.id, record.goal_shown(), record.status_shown());
    if record.is_over() && record.phase != Phase::Halted(Ending::Interrupted) {
        return format!("rollout {id} to {to} has ended ({status}): apply starts a new rollout");
    }
    if state.direction.halt.is_some() {
        return format!(
            "only ends rollout {id} to {to} ({status}), found on the target: it restores what is \
             borrowed, and the apply after that begins a new rollout"
        );
    }
    let what = match is_same {
        true if record.only_restores() => "restores what is still borrowed by",
        true => "continues",
        false if record.rolls_back_to(&target.revision) => "continues to roll back",
        false => "replaces",
    };
    format!("{what} rollout {id} to {to}, found on the target")
}
