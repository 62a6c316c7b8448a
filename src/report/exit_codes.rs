//! Exit codes, which are an interface.

use crate::model::event::Outcome;

/// Exit code: the rollout failed.
pub(crate) const FAILED: u8 = 1;

/// Exit code: wrong usage, or a document that cannot be carried out. Nothing was touched.
pub const INVALID: u8 = 2;

/// Exit code: the new revision failed and the last completed one is back.
pub(crate) const ROLLED_BACK: u8 = 3;

/// Exit code: the rollout is paused or aborted.
pub(crate) const ABORTED: u8 = 4;

/// Exit code: another engine is at work on the target.
pub(crate) const LOCKED: u8 = 5;

/// Exit code of `plan --detailed-exitcode`: there is something to do.
pub(crate) const CHANGES: u8 = 10;

/// The exit code of a rollout that ended as `outcome`.
pub(crate) fn exit_code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Succeeded => 0,
        Outcome::Failed => FAILED,
        Outcome::RolledBack => ROLLED_BACK,
        Outcome::Paused | Outcome::Aborted => ABORTED,
        Outcome::Locked => LOCKED,
    }
}
