//! Why a rollout ends early.

use rolling_provider::Timestamp;

use crate::record::Ending;

/// Why a rollout ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// Why it ends, as a sentence.
    pub reason: String,
    /// How it ends.
    pub ending: Ending,
    /// Whether a failure led here: the fleet's template is then put back, even for a pause.
    pub fault: bool,
    /// Whether a checkpoint pauses the rollout: a resume then passes the checkpoint.
    pub at_checkpoint: bool,
    /// When it was decided.
    pub at: Timestamp,
    /// When to stop waiting for the fleet to settle; `None`: each wait may take as long as usual.
    pub until: Option<Timestamp>,
}

impl Halt {
    /// Returns a halt for a failure that the rollout does not survive.
    pub fn failed(reason: String, at: Timestamp) -> Self {
        let (ending, until) = (Ending::Failed, None);
        Halt { reason, ending, fault: true, at_checkpoint: false, at, until }
    }
}
