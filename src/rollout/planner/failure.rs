//! What a failure leads to, and how it is told.

use rolling_provider::{InstanceId, Lifecycle};

use super::input::Input;
use super::{Verdict, View};
use crate::model::event::Cause;
use crate::model::spec::OnFailure;
use crate::record::Ending;
use crate::rollout::rollback_reason::unfinished;
use crate::rollout::state::Halt;

/// Rolls back to the last completed revision, or says why that is impossible.
pub(crate) fn start_rollback(
    input: &Input<'_>,
    reason: String,
    cause: Option<Cause>,
    asked: bool,
) -> Verdict {
    let completed = input.state.record.as_ref().and_then(|record| record.completed.as_ref());
    match completed {
        Some(completed) if *completed != input.target.revision => {
            Verdict::RollBack { reason, cause, asked }
        }
        Some(completed) => {
            let why = match input.target.restart {
                Some(_) => format!(
                    "this restarts {completed}, and there is no earlier revision; what is not \
                     replaced yet stays"
                ),
                None => format!("the last completed revision is {completed} itself"),
            };
            let reason = format!("{reason}; a rollback is not possible: {why}");
            Verdict::Halt(Halt::failed(reason, input.now))
        }
        None => Verdict::Halt(Halt::failed(
            format!("{reason}; a rollback is not possible: no completed revision is known"),
            input.now,
        )),
    }
}

/// Returns the end of a rollout of which only what is borrowed is left, and that cannot be put back
/// for this `reason`. To replace the instances once more would help nobody: they run what is wanted.
pub(super) fn unrestored(input: &Input<'_>, reason: &str) -> Option<Verdict> {
    if !is_all_new(input) {
        return None;
    }
    let revision = &input.target.revision;
    let reason = format!(
        "the instances run {revision} and serve, but not everything could be restored: {reason}"
    );
    let reason = match &input.state.direction.rolls_back {
        Some(first) => unfinished(&reason, first),
        None => reason,
    };
    Some(Verdict::Halt(Halt::unrestored(reason, input.now)))
}

/// Whether every instance that counts runs the revision and has soaked, and none is to come or go.
pub(super) fn is_all_new(input: &Input<'_>) -> bool {
    let view = View::new(input);
    input.state.record.is_some()
        && view.is_all(|member| member.left_alone || (member.is_new && member.soaked))
}

/// Returns what follows a failure that comes from `cause`.
pub(super) fn fail(input: &Input<'_>, cause: Cause, reason: String) -> Verdict {
    let halt = Halt { cause: Some(cause), ..Halt::failed(reason, input.now) };
    if let Some(first) = &input.state.direction.rolls_back {
        let reason = match cause {
            Cause::Revision => format!("the restored revision failed, too: {}", halt.reason),
            _ => unfinished(&halt.reason, first),
        };
        return Verdict::Halt(Halt { reason, ..halt });
    }
    match input.spec.on_failure {
        OnFailure::Stop => Verdict::Halt(halt),
        OnFailure::Pause => Verdict::Halt(Halt { ending: Ending::Paused, ..halt }),
        OnFailure::Rollback => start_rollback(input, halt.reason, Some(cause), false),
    }
}

/// Whether a lifecycle hook holds the launch of this instance: of what it runs nothing is known yet.
pub(super) fn is_in_launch_hook(input: &Input<'_>, id: &InstanceId) -> bool {
    let instance = input.look.instances.get(id);
    instance.is_some_and(|it| it.lifecycle == Lifecycle::Pending && it.in_lifecycle_hook)
}

/// Returns what a launch fails by of which the fleet itself reports `cause`.
pub(super) fn class_of_launch(cause: &str) -> Cause {
    let lacks = ["capacity", "LimitExceeded", "limit"].iter().any(|word| cause.contains(word));
    if lacks { Cause::Capacity } else { Cause::Revision }
}

/// Lists `all`, or the first of them and how many more there are.
pub(super) fn some_of(all: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}, and {more} more"),
    }
}
