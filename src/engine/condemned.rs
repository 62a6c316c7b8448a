//! The history of plans that broke a promise.

use rolling_provider::Timestamp;

use crate::rollout::state::LOOKS_LAG;

/// How often plans may break the same promise before they are carried out, with good plans in
/// between.
const CONDEMNED_TIMES: u32 = 3;

/// The history of plans that broke a promise.
#[derive(Debug, Default)]
pub(super) struct Condemned {
    /// Since when every plan breaks one.
    pub(super) since: Option<Timestamp>,
    /// What the last such plan broke, and how often that began.
    message: String,
    times: u32,
}

impl Condemned {
    pub(super) fn begin(&mut self, message: &str, now: Timestamp) {
        self.since = Some(now);
        self.times = if self.message == message { self.times + 1 } else { 1 };
        message.clone_into(&mut self.message);
    }

    /// Whether a late look may be the cause. What recurs again and again has another cause.
    pub(super) fn may_pass(&self, now: Timestamp) -> bool {
        let is_late = self.since.is_none_or(|since| now.since(since) <= LOOKS_LAG);
        is_late && self.times <= CONDEMNED_TIMES
    }
}
