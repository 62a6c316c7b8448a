//! Why a rollout ends early.

use rolling_provider::Timestamp;

use crate::record::Ending;

/// Why a rollout ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// What brings it to an end, as a sentence.
    pub reason: String,
    /// As what it ends.
    pub ending: Ending,
    /// Whether a failure led here: the fleet's template then goes back, also for a pause.
    pub fault: bool,
    /// Whether it is a checkpoint that pauses the rollout: it is passed once that is resumed.
    pub at_checkpoint: bool,
    /// When it was decided.
    pub at: Timestamp,
    /// When to stop waiting for things to settle; `None` to wait as long as each may take.
    pub until: Option<Timestamp>,
}

impl Halt {
    /// A failure that the rollout does not survive.
    pub fn failed(reason: String, at: Timestamp) -> Self {
        let (ending, until) = (Ending::Failed, None);
        Halt { reason, ending, fault: true, at_checkpoint: false, at, until }
    }
}
