//! Why a rollout ends early.

use rolling_provider::Timestamp;

use crate::model::event::Cause;
use crate::record::Ending;

/// Why a rollout ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// Why it ends, as a sentence.
    pub(crate) reason: String,
    /// What the failure comes from, where that is known.
    pub(crate) cause: Option<Cause>,
    /// How it ends.
    pub(crate) ending: Ending,
    /// Whether a failure led here: the fleet's template is then restored, even for a pause.
    pub(crate) fault: bool,
    /// Whether a checkpoint pauses the rollout: a resume then passes the checkpoint.
    pub(crate) at_checkpoint: bool,
    /// When it was decided.
    pub(crate) at: Timestamp,
    /// When to stop waiting for the fleet to settle; `None`: each wait may take as long as usual.
    pub(crate) until: Option<Timestamp>,
}

impl Halt {
    /// Returns a halt for a failure that the rollout does not survive.
    pub(crate) fn failed(reason: String, at: Timestamp) -> Self {
        let (ending, until) = (Ending::Failed, None);
        let cause = None;
        Halt { reason, cause, ending, fault: true, at_checkpoint: false, at, until }
    }

    /// Returns the end of a rollout that is done but for calls that fail, which put back what is
    /// borrowed. The record says that it goes on: `apply` only makes those calls.
    pub(crate) fn unrestored(reason: String, at: Timestamp) -> Self {
        let (ending, cause) = (Ending::Unrestored, Some(Cause::Call));
        Halt { ending, cause, fault: false, ..Halt::failed(reason, at) }
    }

    /// Whether the rollout is done but for what is still borrowed.
    pub(crate) fn is_unrestored(&self) -> bool {
        self.ending == Ending::Unrestored
    }
}
