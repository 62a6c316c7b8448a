//! Updates in place, as looks and accepted calls show them.

use std::collections::BTreeSet;
use std::time::Duration;

use rolling_provider::{
    InstanceId, Lifecycle, Observation, Revision, Timestamp, Update, UpdateState,
};

use super::RolloutState;
use super::in_place::{Begun, SHOWS_IN, UPDATE_SHOWS_IN};

impl RolloutState {
    /// Returns `look` as the planner counts it: an instance that is being updated has the revision
    /// that it is on its way to, and has yet to come into service.
    pub(crate) fn in_place(&self, mut look: Observation) -> Observation {
        if self.in_place.within.is_none() {
            return look;
        }
        let now = look.at;
        for (id, instance) in &mut look.instances {
            if let Some((revision, at)) = self.in_place.confirmed.get(id)
                && now.since(*at) < SHOWS_IN
                && !self.in_place.begun.contains_key(id)
            {
                instance.update = None;
                instance.revision = revision.clone().or(instance.revision.take());
            }
            if let Some(begun) = self.in_place.begun.get(id)
                && now.since(begun.at) < SHOWS_IN
                && instance.update.as_ref().is_none_or(|shown| shown.token != begun.update.token)
            {
                instance.update = Some(begun.update.clone());
            }
            if let Some(update) = &instance.update
                && instance.lifecycle.is_live()
            {
                instance.revision = Some(update.to.clone());
                instance.lifecycle = Lifecycle::Pending;
                instance.targets.clear();
            }
        }
        look
    }

    /// Whether `id` is, or was, in an update that this engine knows of.
    pub(crate) fn was_updated(&self, id: &InstanceId) -> bool {
        self.in_place.known.contains_key(id)
    }

    /// Notes which updates `look` shows. If a victim shows an update that is new to this engine, a
    /// call without an answer began it.
    pub(super) fn note_updates(&mut self, look: &Observation) {
        for (id, instance) in &look.instances {
            let Some(update) = &instance.update else { continue };
            if self.in_place.known.get(id) == Some(&update.token) {
                continue;
            }
            if self.rotation.victims.contains(id) {
                self.updating(id, &update.to, &update.token, look.at);
            }
            self.in_place.known.insert(id.clone(), update.token.clone());
        }
        self.in_place.begun.retain(|id, _| look.instances.contains_key(id));
        self.in_place.confirmed.retain(|id, _| look.instances.contains_key(id));
    }

    /// Notes that `id` is on its way to `to`. What was seen of it before says nothing of what it
    /// will be.
    pub(super) fn updating(&mut self, id: &InstanceId, to: &Revision, token: &str, now: Timestamp) {
        self.rotation.victims.remove(id);
        self.rotation.deregistered.remove(id);
        self.rotation.drains.retain(|(drained, _)| drained != id);
        self.rotation.deregistered_by_predecessor.retain(|(known, _)| known != id);
        self.rotation.returned.remove(id);
        self.history.remove(id);
        // It may fail again, and then counts again.
        self.failures.failed.remove(id);
        self.failures.counted.remove(id);
        if let Some(record) = &mut self.record
            && record.last_failed.as_ref() == Some(id)
        {
            record.last_failed = None;
        }
        let (to, token) = (to.clone(), token.to_owned());
        self.in_place.confirmed.remove(id);
        self.in_place.known.insert(id.clone(), token.clone());
        let update = Update { to, token, state: UpdateState::Running };
        self.in_place.begun.insert(id.clone(), Begun { update, at: now });
    }

    /// Notes that the update of `instances` is over: they run `to`, or what they ran before it.
    pub(super) fn confirmed(
        &mut self,
        instances: &BTreeSet<InstanceId>,
        to: Option<&Revision>,
        now: Timestamp,
    ) {
        for id in instances {
            self.stages.end(id, now);
        }
        for id in instances {
            self.in_place.begun.remove(id);
            self.in_place.confirmed.insert(id.clone(), (to.cloned(), now));
            if let Some(history) = self.history.get_mut(id) {
                // Only now can it become healthy.
                history.since = now;
            }
        }
    }

    /// Returns until when `update`, known since `since`, must have ended. An update that was only
    /// marked may have to be asked for again.
    pub(crate) fn update_deadline(&self, update: &Update, since: Timestamp) -> Timestamp {
        let within = self.in_place.within.unwrap_or_default();
        let shows_in = match update.state {
            UpdateState::Marked => UPDATE_SHOWS_IN,
            _ => Duration::ZERO,
        };
        since + within + shows_in
    }

    /// Returns why an update has failed, if it has.
    pub(super) fn update_failed(
        &self,
        update: &Update,
        since: Timestamp,
        now: Timestamp,
    ) -> Option<String> {
        let within = self.in_place.within?;
        match &update.state {
            UpdateState::Failed(why) => Some(format!("its update failed: {why}")),
            UpdateState::Done => None,
            UpdateState::Marked | UpdateState::Running => {
                let within = humantime::format_duration(within);
                (now >= self.update_deadline(update, since))
                    .then(|| format!("its update did not end within {within}"))
            }
        }
    }
}
