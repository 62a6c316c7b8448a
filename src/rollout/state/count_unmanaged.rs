//! Counting unmanaged instances, which nothing else counts.

use rolling_provider::{InstanceId, Observation, Target, Timestamp};

use super::RolloutState;
use super::unmanaged::{AcceptedLaunch, LAUNCH_SHOWS_IN, LaunchTrouble};
use crate::model::event::Cause;
use crate::record::Ending;

impl RolloutState {
    /// Counts unmanaged instances. Live instances beyond the size are surge, whatever their origin.
    pub(super) fn count_unmanaged(&mut self, target: &Target, look: &Observation) {
        let live = look
            .instances
            .iter()
            .filter(|(id, i)| i.lifecycle.is_live() && !self.removed.terminated.contains(*id));
        let is_old = |(id, instance): &(&InstanceId, &rolling_provider::Instance)| {
            !target.wants(instance) || self.failures.failed.contains_key(*id)
        };
        let old = count(live.clone().filter(is_old));
        let live = count(live);
        // After the end of the rollout anybody may have changed the fleet.
        let record = self.record.as_ref().filter(|record| !record.is_over());
        if !self.observed_once && record.is_some() {
            self.unmanaged.unsure_since = Some(look.at);
        }
        // An instance that is updated in place is not launched again when it disappears.
        let record = record.filter(|_| self.in_place.within.is_none());
        let size = record.map_or(live, |record| record.size);
        let keeps_surge =
            self.direction.halt.as_ref().is_none_or(|halt| halt.ending == Ending::Paused);
        let surge = record.filter(|_| keeps_surge).map_or(0, |record| record.surge);
        self.unmanaged.size = size;
        self.unmanaged.desired = size + surge.min(old);
        self.unmanaged.surge = live.max(self.unmanaged.desired).saturating_sub(size);
        let now = look.at;
        self.unmanaged.launched.retain(|_, launch| now.since(launch.at) < LAUNCH_SHOWS_IN);
        for (id, instance) in &look.instances {
            let Some(source_instance) = &instance.stands_for else { continue };
            if let Some(launch) = self.unmanaged.launched.get_mut(source_instance)
                && target.wants(instance)
            {
                launch.id.get_or_insert_with(|| id.clone());
            }
        }
        let is_hidden = |launch: &&AcceptedLaunch| match &launch.id {
            Some(id) => !look.instances.contains_key(id) && !self.removed.terminated.contains(id),
            None => true,
        };
        let hidden = self.unmanaged.launched.values().filter(is_hidden);
        let latest = hidden.clone().map(|launch| launch.at).max();
        (self.unmanaged.on_their_way, self.unmanaged.hidden_since) = (count(hidden), latest);
        let lost = size.saturating_sub(live + self.unmanaged.on_their_way);
        self.unmanaged.lost.absorb(&[], lost as usize, now);
    }

    /// Whether a launch in place of `source_instance` was accepted a moment ago.
    pub(crate) fn is_launched(&self, source_instance: &InstanceId) -> bool {
        self.unmanaged.launched.contains_key(source_instance)
    }

    pub(super) fn launched(&mut self, source_instance: &InstanceId, now: Timestamp) {
        self.unmanaged
            .launched
            .insert(source_instance.clone(), AcceptedLaunch { at: now, id: None });
        self.unmanaged.on_their_way += 1;
        self.unmanaged.hidden_since = Some(now);
        self.unmanaged.trouble = None;
    }

    /// Notes that a launch failed.
    pub(crate) fn not_launched(
        &mut self,
        cause: String,
        class: Cause,
        is_final: bool,
        now: Timestamp,
    ) {
        let since = self.unmanaged.trouble.as_ref().map_or(now, |trouble| trouble.since);
        self.unmanaged.trouble = Some(LaunchTrouble { since, tried: now, cause, class, is_final });
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
