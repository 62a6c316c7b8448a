//! The deliberate waits of a rollout: between two batches, and at checkpoints.

use super::input::Input;
use super::{Plan, Step, Verdict, View, failure, gate, pace, stop_conditions};
use crate::model::event::Cause;
use crate::model::spec::{Checkpoint, Expiry};
use crate::model::wait::{Wait, WaitKind};
use crate::record::{ReachedCheckpoint, Record};

/// Waits deliberately: between two batches, or at a checkpoint. Returns whether it does.
pub(super) fn wait(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) -> bool {
    if view.busy() > 0 || input.state.direction.rolls_back.is_some() {
        return false;
    }
    wait_after_batch(input, view, pace::reached(input, view), plan)
}

/// Waits deliberately, with a batch over and the checkpoint `reached`. Returns whether it does.
pub(super) fn wait_after_batch(
    input: &Input<'_>,
    view: &View<'_>,
    reached: Option<Checkpoint>,
    plan: &mut Plan,
) -> bool {
    let Input { spec, state, now, .. } = *input;
    // The gates must pass before the operator is asked to approve a checkpoint.
    if gate::is_closed(input, view) {
        gate::ask(input, view, plan);
        return true;
    }
    if let Some(ahead) = reached {
        let message = format!("checkpoint at {} percent", ahead.percentage);
        match ahead.ends() {
            Some(expiry) => wait_at(input, ahead, expiry, message, plan),
            None => plan.verdict = Verdict::Halt(stop_conditions::checkpoint(input, message)),
        }
        return true;
    }
    let ended = if plan.batch_ends { Some(now) } else { state.batch.ended };
    let next = ended.map(|at| at + spec.pause_between_batches).filter(|next| *next > now);
    if let Some(deadline) = next {
        let (kind, instances, detail) = (WaitKind::Pause, Vec::new(), None);
        plan.wait(Wait { kind, instances, detail, deadline });
        gate::watch(input, plan);
    }
    next.is_some()
}

/// Waits at a checkpoint for its time to pass or for a decision, and applies the document's default
/// when the time is over.
///
/// The time counts from the record, which says so before the wait begins: whoever takes over waits
/// for the rest of it.
fn wait_at(input: &Input<'_>, ahead: Checkpoint, expiry: Expiry, message: String, plan: &mut Plan) {
    let Some(record) = plan.record(input).cloned() else { return };
    let after = humantime::format_duration(expiry.after);
    if expiry.rolls_back && pace::expired(input).is_some() {
        let reason = format!("{message}: nobody has decided within {after}");
        plan.verdict = failure::start_rollback(input, reason, Some(Cause::Undecided), true);
        return;
    }
    let deadline = record.reached_at().unwrap_or(input.now) + expiry.after;
    if record.reached_at().is_none() {
        let index = record.checkpoints_passed;
        let reached = Some(ReachedCheckpoint { index, at: input.now });
        plan.actions.push(Step::record(Record { reached, ..record }));
    }
    let detail = match (ahead.pause, expiry.rolls_back) {
        (Some(_), _) => message,
        (None, true) => format!("{message}, then back"),
        (None, false) => format!("{message}, then on"),
    };
    let (kind, instances, detail) = (WaitKind::Checkpoint, Vec::new(), Some(detail));
    plan.wait(Wait { kind, instances, detail, deadline });
    gate::watch(input, plan);
}
