//! Taking over: what an engine makes of a fleet that it finds in progress, and of its own work once
//! the rollout rolls back.

use std::collections::BTreeSet;

use rolling_provider::{
    Instance, InstanceId, Lifecycle, Observation, Target, TargetGroupId, TargetState, Timestamp,
    UpdateState,
};

use super::history::is_out;
use super::{GateState, HookState, InstanceHistory, LaunchHistory, LeastRemaining, RolloutState};

impl RolloutState {
    /// Makes `target`, whose revision is the completed one, the target of the rollout. Victims of
    /// that revision are good again and go back into rotation.
    pub(crate) fn start_rollback(&mut self, target: &Target, reason: String, now: Timestamp) {
        self.direction.rolls_back = Some(reason);
        self.waits.least_remaining = Some(LeastRemaining::none(now));
        self.direction.rolls_back_since = now;
        // Instances that failed before are no failures of the restored revision.
        let failed = self.failures.failed.keys();
        self.failures.counted.extend(failed.clone().cloned());
        self.failures.earlier.extend(failed.cloned());
        self.launches.boots.clear();
        self.stages.forget_times();
        // It breaks off: what it was to bring does not come.
        self.batch.open = false;
        self.launches.launched = LaunchHistory::begin(self.sizes.size());
        self.unmanaged.forget_launches(now);
        // In the bake time the processes that scale the fleet run again.
        self.suspended &= self.gates.baking.is_none();
        self.gates = GateState::default();
        self.hooks = HookState::default();
        self.waits.evaluating = None;
        let history = &mut self.history;
        for (id, history) in history.iter_mut() {
            history.is_new = history.revision.as_ref() == Some(&target.revision);
            // Where it served, it is ours to bring back.
            let out = &self.rotation;
            let was_out = out.deregistered.contains_key(id) || out.returned.contains_key(id);
            history.predates &= !was_out || history.was_ill;
        }
        let good: BTreeSet<InstanceId> = history
            .iter()
            .filter(|(_, history)| history.is_new)
            .map(|(id, _)| id.clone())
            .collect();
        self.release(&good, now);
    }

    pub(super) fn first_sight(
        &self,
        target: &Target,
        now: Timestamp,
        id: &InstanceId,
        instance: &Instance,
        serves: bool,
    ) -> InstanceHistory {
        // A launch time is by the cloud's clock. It counts only for instances that were there
        // before this engine; for the others our own first look is both later and free of clock
        // skew.
        let found = !self.observed_once;
        let launched = instance.launched_at.filter(|_| found).map_or(now, |at| at.min(now));
        let since = match &self.record {
            _ if !found => now,
            // Its launch time says nothing about what it runs.
            _ if self.in_place.within.is_some() => now,
            // It has become healthy; only its soak starts over.
            _ if serves => now,
            None => launched.max(self.started),
            // An instance from before the rollout that is being registered was put back into
            // rotation.
            Some(record) if registers(instance) && launched < record.started => now,
            // The time an instance has to get healthy is stopped while the rollout is paused.
            Some(record) => {
                let since = launched.max(record.started);
                match record.pause_changed_at {
                    Some(resumed) if since < resumed => (since + record.paused).min(resumed),
                    _ => since,
                }
            }
        };
        let was_there = self.was_there(instance, launched);
        let was_out = self.was_deregistered(id)
            || self.was_deregistered_by_predecessor(id)
            || (self.record.is_some() && registers(instance));
        InstanceHistory {
            is_new: target.wants(instance),
            was_there: found && was_there,
            predates: found && was_there && !was_out,
            was_ill: found && !serves && !is_out(target, instance),
            revision: instance.revision.clone(),
            launched_here: !found,
            since,
            ..InstanceHistory::default()
        }
    }

    /// Whether an instance that is found was there before the rollout.
    fn was_there(&self, instance: &Instance, launched: Timestamp) -> bool {
        let record = self.record.as_ref().filter(|record| !record.is_over());
        record.is_none_or(|record| {
            // The clock of the cloud may be behind ours. When an instance was launched says nothing
            // of its updates.
            let is_other = !record.brings(instance);
            launched < record.started && is_other && self.in_place.within.is_none()
        })
    }

    /// Adopts the victims of a rollout found in progress: the record names those that the engine
    /// before this one took out of rotation. Old ones stay victims, new ones were deregistered to
    /// remove surge.
    pub(super) fn adopt_victims(&mut self, target: &Target, look: &Observation) {
        let Some(victims) = self.record.as_ref().map(|record| record.victims.clone()) else {
            return;
        };
        for (id, instance) in &look.instances {
            if instance.ignored || instance.lifecycle != Lifecycle::InService {
                continue;
            }
            let old = !target.wants(instance) || self.failures.failed.contains_key(id);
            // Where nothing else registers instances, we registered those that are being
            // registered.
            let only_we =
                look.is_unmanaged() || self.in_place.within.is_some() || target.second.is_some();
            if (old || only_we) && registers(instance) {
                self.rotation.returned.insert(id.clone(), look.at);
            }
            // Of too many to be named, those that are protected were not chosen.
            let is_spared = self.spares_protected && self.is_protected(target, id, instance);
            if !victims.has(id).unwrap_or(!is_spared) && (old || target.second.is_none()) {
                continue;
            }
            if target.second.is_some() {
                self.adopt_shifted(target, look, id, instance, old);
                continue;
            }
            for group in &target.target_groups {
                let out = instance.targets.get(&group.id).is_none_or(|health| {
                    matches!(health.state, TargetState::Draining | TargetState::Unused)
                });
                if out && old {
                    self.rotation.victims.insert(id.clone());
                    self.note_deregistered(id, &group.id, look.at);
                    self.rotation.drains.insert((id.clone(), group.id.clone()));
                } else if out {
                    self.rotation
                        .deregistered_by_predecessor
                        .insert((id.clone(), group.id.clone()));
                }
            }
        }
    }

    /// Adopts an instance that is to be in one of two target groups: an old one that is in neither
    /// was taken out, and a new one that leaves one without being in the other goes back.
    fn adopt_shifted(
        &mut self,
        target: &Target,
        look: &Observation,
        id: &InstanceId,
        instance: &Instance,
        old: bool,
    ) {
        if target.rotation().any(|group| is_in_rotation(instance, &group.id)) {
            return;
        }
        let drains = target.rotation().filter(|group| {
            let health = instance.targets.get(&group.id);
            health.is_some_and(|health| health.state == TargetState::Draining)
        });
        for group in drains {
            let key = (id.clone(), group.id.clone());
            if old {
                self.note_deregistered(id, &group.id, look.at);
                self.rotation.drains.insert(key);
            } else {
                self.rotation.deregistered_by_predecessor.insert(key);
            }
        }
        if old {
            // Listed or not, in a rollback it goes to the first target group again.
            for group in &target.target_groups {
                self.note_deregistered(id, &group.id, look.at);
                self.rotation.drains.insert((id.clone(), group.id.clone()));
            }
            self.rotation.victims.insert(id.clone());
        }
    }

    /// Adopts instances for which an earlier engine has run `before_deregister`, as the record says.
    pub(super) fn adopt_prepared(&mut self, target: &Target, look: &Observation) {
        // What was prepared for another rollout is in rotation again, or was not prepared for this.
        let is_ours = self.standing(target).is_some() || self.direction.halt.is_some();
        let hooks = self.record.as_ref().and_then(|record| record.hooks.as_ref());
        let Some(hooks) = hooks.filter(|hooks| hooks.prepared && is_ours) else { return };
        self.hooks.prepared.extend(hooks.group.matching(look.instances.keys()));
    }

    /// Adopts instances that this rollout has counted as failed before: by their tag, or, where the
    /// engine died between the record and the tag, by the record.
    pub(super) fn adopt_failed(&mut self, target: &Target, look: &Observation) {
        // Updates that failed in another rollout, or before a pause, are tried again.
        if self.in_place.within.is_some() && self.standing(target).is_none() {
            for (id, instance) in &look.instances {
                if let Some(UpdateState::Failed(why)) = instance.update.as_ref().map(|u| &u.state) {
                    self.failures.failed.insert(id.clone(), format!("its update failed: {why}"));
                    self.failures.counted.insert(id.clone());
                    self.failures.earlier.insert(id.clone());
                }
            }
        }
        let Some(record) = &self.record else { return };
        for (id, instance) in &look.instances {
            let by_tag = instance.failed_in.as_ref() == Some(&record.id);
            // An instance that is, or was, updated once more gets another try.
            let is_on_its_way = instance
                .update
                .as_ref()
                .is_some_and(|update| !matches!(update.state, UpdateState::Failed(_)));
            let serves = self.serves(target, id, instance);
            if self.in_place.within.is_some() && (is_on_its_way || serves) {
                continue;
            }
            if by_tag || record.last_failed.as_ref() == Some(id) {
                let reason = record.reason.clone().unwrap_or_else(|| "it failed before".into());
                self.failures.failed.insert(id.clone(), reason);
                self.failures.counted.insert(id.clone());
                self.failures.adopted.insert(id.clone());
            }
        }
    }
}

fn is_in_rotation(instance: &Instance, group: &TargetGroupId) -> bool {
    let health = instance.targets.get(group);
    health.is_some_and(|h| !matches!(h.state, TargetState::Draining | TargetState::Unused))
}

fn registers(instance: &Instance) -> bool {
    instance.targets.values().any(|health| health.state == TargetState::Initial)
}
