//! What the gates have said.

use rolling_provider::Timestamp;

/// What the gates have said so far. None of it survives a crash: they are asked again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateState {
    /// What they passed last.
    pub passed: Option<Question>,
    /// Why they did not pass, as a sentence.
    pub failed: Option<String>,
    /// Since when they have been asked what they are asked now.
    pub asked: Option<Timestamp>,
    /// Since when everything is done and has to stay well.
    pub baking: Option<Timestamp>,
}

/// What gates are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The number of the batch that was finished last; 0 before the first.
    pub after: u32,
    /// How many checkpoints have been passed.
    pub checkpoints: u32,
    /// Whether the probes are tried, too, or only the alarms read.
    pub probes: bool,
}

impl Question {
    /// Whether what passed this needs not be asked `other`.
    pub fn covers(self, other: Question) -> bool {
        (self.after, self.checkpoints) == (other.after, other.checkpoints)
            && (self.probes || !other.probes)
    }
}
