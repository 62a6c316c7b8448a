//! Unmanaged instances: nobody but us counts them, launches what is missing, or knows which are ours.
//!
//! The record says how many there are to be; the rest is counted afresh at every look, so that a
//! crash leaves nothing to be restored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rolling_provider::{InstanceId, Observation, Target, TargetState, Timestamp};

use super::{Missing, RolloutState};
use crate::record::{Ending, Record};

/// How long a launch that the cloud accepted is believed in while a look does not show it.
const LAUNCH_SHOWS_IN: Duration = Duration::from_secs(60);

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
    launched: BTreeMap<InstanceId, Launched>,
    /// How many of them the last look does not show.
    pub on_their_way: u32,
    /// When the last of these was launched.
    hidden_since: Option<Timestamp>,
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
struct Launched {
    at: Timestamp,
    /// What came of it, once a look has shown it. A later look may be older.
    id: Option<InstanceId>,
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

impl RolloutState {
    /// Counts unmanaged instances. What lives beyond the size is surge, however it came to be.
    pub(super) fn count_plain(&mut self, target: &Target, look: &Observation) {
        let live = look
            .instances
            .iter()
            .filter(|(id, i)| i.lifecycle.is_live() && !self.terminated.contains(*id));
        let is_old = |(id, instance): &(&InstanceId, &rolling_provider::Instance)| {
            instance.revision.as_ref() != Some(&target.revision) || self.failed.contains_key(*id)
        };
        let old = count(live.clone().filter(is_old));
        let live = count(live);
        // After its end the fleet may have been changed by anybody.
        let record = self.record.as_ref().filter(|record| !record.is_over());
        if !self.observed_once && record.is_some() {
            self.unmanaged.unsure_since = Some(look.at);
        }
        // What is updated in place is not launched anew when it goes.
        let record = record.filter(|_| self.in_place.within.is_none());
        let size = record.map_or(live, |record| record.size);
        let keeps_surge = self.halt.as_ref().is_none_or(|halt| halt.ending == Ending::Paused);
        let surge = record.filter(|_| keeps_surge).map_or(0, |record| record.surge);
        self.unmanaged.size = size;
        self.unmanaged.desired = size + surge.min(old);
        self.unmanaged.surge = live.max(self.unmanaged.desired).saturating_sub(size);
        let now = look.at;
        self.unmanaged.launched.retain(|_, launch| now.since(launch.at) < LAUNCH_SHOWS_IN);
        for (id, instance) in &look.instances {
            let Some(source_instance) = &instance.stands_for else { continue };
            if let Some(launch) = self.unmanaged.launched.get_mut(source_instance)
                && instance.revision.as_ref() == Some(&target.revision)
            {
                launch.id.get_or_insert_with(|| id.clone());
            }
        }
        let is_hidden = |launch: &&Launched| match &launch.id {
            Some(id) => !look.instances.contains_key(id) && !self.terminated.contains(id),
            None => true,
        };
        let hidden = self.unmanaged.launched.values().filter(is_hidden);
        let latest = hidden.clone().map(|launch| launch.at).max();
        (self.unmanaged.on_their_way, self.unmanaged.hidden_since) = (count(hidden), latest);
        let lost = size.saturating_sub(live + self.unmanaged.on_their_way);
        self.unmanaged.lost.absorb(&[], lost as usize, now);
    }

    /// Whether a launch in place of `like` was accepted a moment ago.
    pub fn is_launched(&self, source_instance: &InstanceId) -> bool {
        self.unmanaged.launched.contains_key(source_instance)
    }

    pub(super) fn launched(&mut self, source_instance: &InstanceId, now: Timestamp) {
        self.unmanaged.launched.insert(source_instance.clone(), Launched { at: now, id: None });
        self.unmanaged.on_their_way += 1;
        self.unmanaged.hidden_since = Some(now);
        self.unmanaged.trouble = None;
    }

    /// Takes in that a launch did not succeed.
    pub fn not_launched(&mut self, cause: String, is_final: bool, now: Timestamp) {
        let since = self.unmanaged.trouble.as_ref().map_or(now, |trouble| trouble.since);
        self.unmanaged.trouble = Some(LaunchTrouble { since, tried: now, cause, is_final });
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
