//! Unmanaged instances: only we count them, launch what is missing, and know which are ours.
//!
//! The record says how many there are to be. The rest is counted afresh at every look, so that a
//! crash leaves nothing to restore.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rolling_provider::{Instance, InstanceId, Observation, Revision, TargetState, Timestamp};

use super::Missing;
use crate::model::event::Cause;
use crate::record::Record;

/// How long the engine believes an accepted launch while a look does not show it.
pub(super) const LAUNCH_SHOWS_IN: Duration = Duration::from_secs(60);

/// How long after a takeover the last launches of the engine before may still show. It is less, as
/// nothing at all may be to come.
const UNKNOWN_SHOWS_IN: Duration = Duration::from_secs(15);

/// What is known of a fleet of unmanaged instances.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unmanaged {
    /// How many instances there are to be.
    pub(crate) size: u32,
    /// The same with the surge that may be there now.
    pub(crate) desired: u32,
    /// How many instances live or are missing beyond the size.
    pub(crate) surge: u32,
    /// Launches that the cloud accepted lately, by the instance that each stands in for.
    pub(super) launched: BTreeMap<InstanceId, AcceptedLaunch>,
    /// How many of them the last look does not show.
    pub(crate) on_their_way: u32,
    /// When the last of these was launched.
    pub(super) hidden_since: Option<Timestamp>,
    /// When this engine took over, or began to roll back. Launches from before may not show yet,
    /// and their number is unknown.
    pub(crate) unsure_since: Option<Timestamp>,
    /// Since when instances are gone that nobody took out.
    pub(crate) lost: Missing,
    /// Tokens of launches whose instances are gone.
    pub(crate) spent: BTreeSet<String>,
    /// Why the last attempt to launch failed.
    pub(crate) trouble: Option<LaunchTrouble>,
    /// Registered instances that are not of the fleet because they are to be ignored, and what each
    /// runs.
    pub(crate) ignored: BTreeMap<InstanceId, Option<Revision>>,
}

/// A launch that the cloud accepted.
#[derive(Clone, Debug)]
pub(super) struct AcceptedLaunch {
    pub(super) at: Timestamp,
    /// The launched instance, once a look has shown it. A later look may be older.
    pub(super) id: Option<InstanceId>,
}

/// Launches that fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LaunchTrouble {
    /// Since when launches fail.
    pub(crate) since: Timestamp,
    /// When a launch was last tried.
    pub(crate) tried: Timestamp,
    /// The cause, in the cloud's own words.
    pub(crate) cause: String,
    /// What the failure comes from.
    pub(crate) class: Cause,
    /// Whether later launches will fail too.
    pub(crate) is_final: bool,
}

/// Returns `look` with only the instances of the fleet. Unmanaged ones are of the fleet when
/// marked, once all have been marked, and before that when registered; never with `rolling:ignore`.
pub(crate) fn members(mut look: Observation, record: Option<&Record>) -> Observation {
    if !look.is_unmanaged() {
        return look;
    }
    // If all marks are gone they say nothing: somebody removed them, or looks lag.
    let marked = record.filter(|record| record.owned && !record.is_over()).is_some()
        && look.instances.values().any(|instance| instance.owned);
    let is_record = record.is_some();
    look.instances.retain(|_, instance| {
        let registered = is_registered(instance);
        !instance.ignored
            && (if marked { instance.owned } else { registered || is_record && instance.owned })
    });
    look
}

/// Returns the registered instances of `look` that [`members`] leaves out because they are to be
/// ignored, and what each runs.
pub(crate) fn ignored_in(look: &Observation) -> BTreeMap<InstanceId, Option<Revision>> {
    let all = look.instances.iter().filter(|_| look.is_unmanaged());
    let ignored = all.filter(|(_, i)| i.ignored && i.lifecycle.is_live() && is_registered(i));
    ignored.map(|(id, instance)| (id.clone(), instance.revision.clone())).collect()
}

fn is_registered(instance: &Instance) -> bool {
    instance.targets.values().any(|health| health.state != TargetState::Draining)
}

impl Unmanaged {
    /// Forgets past launches and their failures, as they were of another revision.
    pub(super) fn forget_launches(&mut self, now: Timestamp) {
        if self.on_their_way > 0 {
            self.unsure_since = Some(now);
        }
        self.launched.clear();
        (self.on_their_way, self.hidden_since) = (0, None);
        self.trouble = None;
    }

    /// Returns until when there may be instances of ours that no look shows.
    pub(crate) fn shows_all_at(&self, now: Timestamp) -> Option<Timestamp> {
        let hidden = self.hidden_since.map(|since| since + LAUNCH_SHOWS_IN);
        hidden.max(self.unsure_until(now))
    }

    /// Returns until when there may be instances of ours that no look shows and that this engine
    /// does not know of.
    pub(crate) fn unsure_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.unsure_since.map(|since| since + UNKNOWN_SHOWS_IN);
        until.filter(|until| now < *until)
    }
}
