//! The answers of the gates.

use rolling_provider::Timestamp;

/// The answers of the gates so far. None of them survives a crash: the gates are checked again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GateState {
    /// The last question that they passed.
    pub(crate) passed: Option<Question>,
    /// Why they did not pass, as a sentence.
    pub(crate) failed: Option<String>,
    /// Since when the gates have been checked with the current question.
    pub(crate) asked: Option<Timestamp>,
    /// What the last try of the gate that is being asked came to, if it failed.
    pub(crate) last_try: Option<String>,
    /// Since when everything is done and must stay healthy.
    pub(crate) baking: Option<Timestamp>,
}

/// What the gates are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The number of the batch that was finished last; 0 before the first.
    pub(crate) after: u32,
    /// How many checkpoints have been passed.
    pub(crate) checkpoints: u32,
    /// The share of the requests that the new instances have been evaluated with, in percent.
    pub(crate) percent: u32,
    /// Whether the probes are tried too, or only the alarms are read.
    pub(crate) probes: bool,
}

impl Question {
    /// Whether gates that passed this question need not be asked `other`.
    pub(crate) fn covers(self, other: Question) -> bool {
        (self.after, self.checkpoints) == (other.after, other.checkpoints)
            && (self.probes || !other.probes)
            && self.percent >= other.percent
    }
}
