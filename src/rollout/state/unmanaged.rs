//! Unmanaged instances: nobody but us counts them, launches what is missing, or knows which are ours.
//!
//! The record says how many there are to be; the rest is counted afresh at every look, so that a
//! crash leaves nothing to be restored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rolling_provider::{InstanceId, Observation, TargetState, Timestamp};

use super::Missing;
use crate::record::Record;

/// How long a launch that the cloud accepted is believed in while a look does not show it.
pub(super) const LAUNCH_SHOWS_IN: Duration = Duration::from_secs(60);

/// How long after an engine has taken over what the one before it launched shows at last: less,
/// as nothing at all may be to come.
const UNKNOWN_SHOWS_IN: Duration = Duration::from_secs(15);

/// What is known of a fleet of unmanaged instances.
#[derive(Clone, Debug, Default)]
pub struct Unmanaged {
    /// How many there are to be.
    pub size: u32,
    /// The same with the surge that may be there now.
    pub desired: u32,
    /// How many live or are missing beyond the size.
    pub surge: u32,
    /// Launches that the cloud accepted lately, by whom they are in place of.
    pub(super) launched: BTreeMap<InstanceId, Launched>,
    /// How many of them the last look does not show.
    pub on_their_way: u32,
    /// When the last of these was launched.
    pub(super) hidden_since: Option<Timestamp>,
    /// When this engine took over, or changed its mind: what was launched before that may not show
    /// yet, and nobody knows how much that is.
    pub unsure_since: Option<Timestamp>,
    /// Since when instances are gone that nobody took out.
    pub lost: Missing,
    /// Tokens of launches whose instances are gone.
    pub spent: BTreeSet<String>,
    /// Why nothing could be launched when it was last tried.
    pub trouble: Option<LaunchTrouble>,
}

/// A launch that the cloud accepted.
#[derive(Clone, Debug)]
pub(super) struct Launched {
    pub(super) at: Timestamp,
    /// What came of it, once a look has shown it. A later look may be older.
    pub(super) id: Option<InstanceId>,
}

/// Launches that do not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchTrouble {
    /// Since when.
    pub since: Timestamp,
    /// When it was last tried.
    pub tried: Timestamp,
    /// The cloud's own words.
    pub cause: String,
    /// Whether it will not succeed later either.
    pub is_final: bool,
}

/// Only the instances of `look` that are of the fleet. Of unmanaged ones those are the marked ones
/// once all have been marked, else what is registered; `rolling:ignore` is none of them.
pub fn members(mut look: Observation, record: Option<&Record>) -> Observation {
    if !look.is_unmanaged() {
        return look;
    }
    // Marks that are all gone say nothing: somebody took them off, or looks lag.
    let marked = record.filter(|record| record.owned && !record.is_over()).is_some()
        && look.instances.values().any(|instance| instance.owned);
    let is_record = record.is_some();
    look.instances.retain(|_, instance| {
        let mut states = instance.targets.values().map(|health| health.state);
        let registered = states.any(|state| state != TargetState::Draining);
        !instance.ignored
            && (if marked { instance.owned } else { registered || is_record && instance.owned })
    });
    look
}

impl Unmanaged {
    /// What was launched so far, or could not be, was of another revision.
    pub(super) fn forget_launches(&mut self, now: Timestamp) {
        if self.on_their_way > 0 {
            self.unsure_since = Some(now);
        }
        self.launched.clear();
        (self.on_their_way, self.hidden_since) = (0, None);
        self.trouble = None;
    }

    /// Until when there may be instances of ours that no look shows.
    pub fn shows_all_at(&self, now: Timestamp) -> Option<Timestamp> {
        let hidden = self.hidden_since.map(|since| since + LAUNCH_SHOWS_IN);
        hidden.max(self.unsure_until(now))
    }

    /// Until when there may be instances of ours that no look shows and that this engine does not
    /// know of.
    pub fn unsure_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.unsure_since.map(|since| since + UNKNOWN_SHOWS_IN);
        until.filter(|until| now < *until)
    }
}
