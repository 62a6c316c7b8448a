//! Folding a look into the state.

use std::time::Duration;

use rolling_provider::{
    Activity, ActivityKind, Instance, InstanceId, Lifecycle, Observation, Revision, Target,
    TargetGroupId, TargetState, Timestamp,
};

use super::history::Out;
use super::missing::Fate;
use super::{LOOKS_LAG, RolloutState};
use crate::model::spec::Health;
use crate::record::command::Control;
use crate::record::{Phase, ROLLOUT, Record};
use crate::rollout::serving::trouble;

impl RolloutState {
    /// Processes one look at the fleet.
    pub fn observe(&mut self, target: &Target, health: &Health, look: &Observation) {
        let now = look.at;
        self.written.look(look);
        self.look_at_sizes(look, target.no_surge.is_none());
        self.note_updates(look);
        if !self.observed_once {
            self.adopt_failed(target, look);
            self.adopt_victims(target, look);
            self.adopt_prepared(target, look);
        }
        self.note_shares(look);
        self.note_draining(look);
        self.note_terminating(look);
        let (mut live, mut arrived) = (0u32, Vec::new());
        for (id, instance) in &look.instances {
            if instance.lifecycle.is_live() && !self.removed.terminated.contains(id) {
                live += 1;
                if !self.history.contains_key(id) && self.launches.known.insert(id.clone()) {
                    arrived.push((id.clone(), instance.revision.clone()));
                }
            }
            self.observe_instance(target, health, now, id, instance);
        }
        self.forget_gone(look);
        if look.is_unmanaged() {
            self.count_unmanaged(target, look);
        }
        if self.unanswered.erasing && !look.record.contains_key(ROLLOUT) {
            self.erased();
        }
        if self.unanswered.record.is_some()
            && Record::from_tags(&look.record) == Ok(self.unanswered.record.clone())
        {
            // Otherwise the next record would forget the commands that this one acknowledges.
            self.unanswered.record.take().into_iter().for_each(|record| self.recorded(record));
        }
        // The call may have got no answer. (A pause resumes some of what it had suspended.)
        if let Some(record) = self.record.as_ref().filter(|record| record.phase == Phase::Rolling) {
            let ours = &record.borrowed.suspended;
            self.suspended |= !ours.is_empty() && ours.is_subset(&look.suspended);
        }
        let empty = self.desired(look).saturating_sub(live);
        let came: Vec<InstanceId> = arrived.iter().map(|(id, _)| id.clone()).collect();
        if self.observed_once {
            let to_come = if look.is_unmanaged() { self.unmanaged.on_their_way } else { empty };
            self.stages.look(&came, to_come as usize, now);
        }
        self.follow_newcomers(look);
        self.launches.missing.absorb(&came, empty as usize, now);
        self.note_launches(target, look, &arrived);
        let (record, lease) = (self.record.as_ref(), self.lease.as_ref());
        self.control = Control::pending(&look.record, record, lease);
        self.observed_once = true;
    }

    /// Starts the evaluation over where another share of the requests is shifted.
    fn note_shares(&mut self, look: &Observation) {
        if self.waits.shifted != look.shifted {
            self.waits.shifted.clone_from(&look.shifted);
            self.waits.evaluating = None;
        }
    }

    /// Notes that the engine has not looked for `unseen` longer than looks take, for example
    /// because this process was suspended. That time does not count against instances that become
    /// healthy, nor against the rollout's progress, and it is not part of a soak.
    pub(crate) fn not_looked(&mut self, unseen: Duration) {
        for history in self.history.values_mut() {
            history.since = history.since + unseen;
            let times = [&mut history.serving_since, &mut history.lost_at];
            times.into_iter().flatten().for_each(|time| *time = *time + unseen);
        }
        self.launches.missing.not_looked(unseen);
        if let Some(least) = &mut self.waits.least_remaining {
            least.at = least.at + unseen;
        }
    }

    /// Notes what the fleet says it did on its own. The cause of a removal joins the reason of the
    /// failure.
    pub(crate) fn explain(&mut self, activities: Vec<Activity>, now: Timestamp) {
        let is_known = |id: &InstanceId| self.launches.known.contains(id);
        let is_coming = |kind: ActivityKind| match kind {
            ActivityKind::Launching => true,
            ActivityKind::Launched(at) => now.since(at) <= LOOKS_LAG,
            _ => false,
        };
        let coming = activities.iter().filter(|activity| is_coming(activity.kind));
        self.launches.coming =
            coming.filter(|a| !a.instance.as_ref().is_some_and(is_known)).count();
        self.rotation.replaces.explain(&activities);
        for (id, reason) in &mut self.failures.failed {
            let launches =
                |kind| !matches!(kind, ActivityKind::Other | ActivityKind::RemovedUnhealthy);
            let of = |a: &&Activity| a.instance.as_ref() == Some(id) && !launches(a.kind);
            let activity = activities.iter().find(of);
            if let Some(activity) = activity
                && !reason.contains(&activity.cause)
            {
                reason.push_str(": ");
                reason.push_str(&activity.cause);
            }
        }
        self.launches.activities = activities;
    }

    /// Notes since when each instance is terminating.
    fn note_terminating(&mut self, look: &Observation) {
        let leaves = |id: &InstanceId| {
            look.instances.get(id).is_some_and(|i| i.lifecycle == Lifecycle::Terminating)
        };
        self.removed.terminating.retain(|id, _| leaves(id));
        for id in look.instances.keys().filter(|id| leaves(id)) {
            self.removed.terminating.entry(id.clone()).or_insert(look.at);
        }
        let continues = self.record.as_ref().is_some_and(|record| !record.is_over());
        if continues && !self.observed_once {
            let found = self.removed.terminating.keys().cloned();
            self.removed.found_terminating = found.collect();
        }
    }

    fn observe_instance(
        &mut self,
        target: &Target,
        health: &Health,
        now: Timestamp,
        id: &InstanceId,
        instance: &Instance,
    ) {
        let serves = self.serves(target, id, instance);
        if !self.history.contains_key(id) {
            let history = self.first_sight(target, now, id, instance, serves);
            self.history.insert(id.clone(), history);
        }
        self.give_time_for_our_call(id, serves, now);
        let is_gone = self.removed.terminated.contains(id);
        let is_leaving = self.rotation.victims.contains(id) || is_gone;
        let by_us = self.whose_doing(target, id, now);
        let rolls_back = self.direction.rolls_back.is_some();
        let since = self.history.get(id).map_or(now, |history| history.since);
        let overdue = instance.update.as_ref().map(|it| self.update_failed(it, since, now));
        let evaluated = self.waits.evaluating.is_some() || self.gates.baking.is_some();
        let Some(history) = self.history.get_mut(id) else { return };
        let lives = instance.lifecycle.is_live();
        if serves {
            let asked = self.stages.end(id, now);
            if history.launched_here && !history.has_served {
                self.launches.boots.push(now.since(asked.unwrap_or(history.since)));
            }
            history.has_served = true;
            let since = *history.serving_since.get_or_insert(now);
            history.lost_at = None;
            history.soaked |= now.since(since) >= health.min_healthy_time;
        } else {
            history.serving_since = None;
            history.lost_at.get_or_insert(now);
            if lives {
                history.trouble = Some(trouble(target, instance));
            }
        }
        // On its way out it only drains, so what its health was before still counts.
        history.called_unhealthy =
            is_called_unhealthy(instance) || (history.called_unhealthy && !lives);
        history.see_rotation(target, instance, by_us, serves, now);
        let is_ours = history.may_fail(rolls_back) && !is_leaving && !instance.ignored;
        if is_ours
            && lives
            && !self.failures.failed.contains_key(id)
            && let Some(reason) = overdue.unwrap_or_else(|| {
                hopeless(instance)
                    .or_else(|| history.overdue(health, serves, now))
                    .or_else(|| history.became_unhealthy(evaluated))
            })
        {
            self.failures.failed.insert(id.clone(), reason);
        }
        if is_gone || !lives {
            self.rotation.victims.remove(id);
        }
    }

    /// Gives an instance its whole time to serve again while that waits for a call of ours.
    fn give_time_for_our_call(&mut self, id: &InstanceId, serves: bool, now: Timestamp) {
        let waits = !serves && self.waits_for_our_call(id);
        if let Some(history) = self.history.get_mut(id).filter(|_| waits) {
            history.restart(now);
        }
    }

    pub(super) fn was_deregistered_by_predecessor(&self, id: &InstanceId) -> bool {
        let first = (id.clone(), TargetGroupId::new(""));
        self.rotation
            .deregistered_by_predecessor
            .range(first..)
            .next()
            .is_some_and(|(known, _)| known == id)
    }

    /// Returns who caused `id` to be out of rotation, where it is.
    fn whose_doing(&self, target: &Target, id: &InstanceId, now: Timestamp) -> Out {
        let is_leaving = self.rotation.victims.contains(id) || self.removed.terminated.contains(id);
        // A look need not show yet what we registered a moment ago.
        let comes = target.rotation().any(|group| self.was_registered(id, &group.id, now));
        // An instance that stays leaves the second target group once it serves in the first.
        let asked = self.rotation.deregistered.get(id);
        let goes = target
            .target_groups
            .iter()
            .any(|primary| asked.is_some_and(|groups| groups.contains_key(&primary.id)));
        if is_leaving || comes || goes || self.was_deregistered_by_predecessor(id) {
            return Out::Ours;
        }
        // We register instances where the fleet does not, or not where they are to serve.
        let was_there = self.history.get(id).is_some_and(|history| history.was_there);
        let is_owned = self.record.as_ref().is_some_and(|record| record.owned);
        match self.in_place.within.is_some() || target.second.is_some() || is_owned {
            _ if was_there => Out::Theirs,
            true => Out::OursAtFirst,
            false => Out::Theirs,
        }
    }

    /// Counts the instances that came, and those that the fleet is to launch. A fleet that launches
    /// nothing on its own launches only what was asked for.
    fn note_launches(
        &mut self,
        target: &Target,
        look: &Observation,
        arrived: &[(InstanceId, Option<Revision>)],
    ) {
        let begins = !self.observed_once && self.record.as_ref().is_none_or(Record::is_over);
        if self.in_place.within.is_some() && begins {
            self.launches.missing.begin();
        }
        if look.is_unmanaged() || self.in_place.within.is_some() {
            return;
        }
        let is_right = look.template.as_ref() == Some(&target.revision);
        self.launches.launched.look(self.size(look), is_right, look.at);
        if self.observed_once {
            self.launches.launched.arrived(arrived, &target.revision);
            return;
        }
        self.launches.launched.excuse(self.launches.missing.len());
        if begins {
            self.launches.missing.begin();
        }
    }

    /// Notes what happened to the instances that came and have not served.
    fn follow_newcomers(&mut self, look: &Observation) {
        let mut missing = std::mem::take(&mut self.launches.missing);
        missing.follow(look.at, |id| {
            let served = self.history.get(id).is_some_and(|history| history.has_served);
            match look.instances.get(id).map(|instance| instance.lifecycle) {
                _ if served
                    || self.removed.terminated.contains(id)
                    || self.rotation.victims.contains(id) =>
                {
                    Fate::Settled
                }
                Some(Lifecycle::Standby) => Fate::Settled,
                Some(lifecycle) if lifecycle.is_live() => Fate::Boots,
                _ => Fate::Gone,
            }
        });
        self.launches.missing = missing;
    }

    /// Notes victims that drain although their deregistration got no answer.
    fn note_draining(&mut self, look: &Observation) {
        for id in self.rotation.victims.clone() {
            let targets = look.instances.get(&id).map(|instance| &instance.targets);
            for (group, health) in targets.into_iter().flatten() {
                if health.state == TargetState::Draining {
                    self.note_deregistered(&id, group, look.at);
                    self.rotation.drains.insert((id.clone(), group.clone()));
                }
            }
        }
    }

    /// Forgets instances that left. A victim that is gone needs no further step. An instance of the
    /// new revision that the fleet removed as unhealthy, or that ended on its own, has failed.
    fn forget_gone(&mut self, look: &Observation) {
        let going = |id: &InstanceId| {
            look.instances.get(id).is_none_or(|i| i.lifecycle == Lifecycle::Terminating)
        };
        self.rotation.victims.retain(|id| !going(id));
        let is_halting = self.direction.halt.is_some();
        let is_back = self.direction.rolls_back.is_some();
        for (id, history) in &self.history {
            let ours = self.removed.terminated.contains(id) || self.was_deregistered(id);
            if !going(id) || ours || !history.may_fail(is_back) || is_halting {
                continue;
            }
            let ended = look.instances.get(id).and_then(|instance| instance.ended.as_ref());
            // An instance that was good, and is lost, is only replaced.
            let reason = match ended {
                _ if history.soaked => continue,
                Some(why) => format!("it was terminated, but not by the rollout: {why}"),
                // A controller removes whoever is not ready first, whatever the reason.
                None if look.controller.is_some() => continue,
                None if history.called_unhealthy && !look.is_unmanaged() => {
                    // The fleet takes an instance out of rotation before it removes it.
                    let in_rotation = history.trouble_in_rotation.as_ref();
                    let seen = in_rotation.or(history.trouble.as_ref());
                    let seen = seen.map(|trouble| format!("; last seen: {trouble}"));
                    format!("its group removed it as unhealthy{}", seen.unwrap_or_default())
                }
                None => continue,
            };
            self.failures.failed.entry(id.clone()).or_insert(reason);
        }
        // An instance in standby has left its place, too.
        let aside = |id: &InstanceId| {
            look.instances.get(id).is_some_and(|i| i.lifecycle == Lifecycle::Standby)
        };
        let lost = self.history.keys().filter(|id| going(id) || aside(id));
        let lost = lost.filter(|id| !self.removed.terminated.contains(*id));
        self.launches.launched.taken.extend(lost.cloned());
        self.rotation.replaces.look(
            look,
            self.rotation.deregistered.keys(),
            &self.removed.terminated,
        );
        self.history.retain(|id, _| look.instances.contains_key(id));
        self.stages.retain(|id| look.instances.contains_key(id));
        self.rotation.deregistered.retain(|id, _| look.instances.contains_key(id));
        self.rotation.deregistered_by_predecessor.retain(|(id, _)| !going(id));
        self.rotation.registered.retain(|(id, _), _| look.instances.contains_key(id));
        self.rotation.put_back.retain(|_, out| look.at.since(*out) <= LOOKS_LAG);
        self.rotation.drains.retain(|(id, _)| look.instances.contains_key(id));
    }
}

/// Whether the cloud itself reports it as unhealthy.
fn is_called_unhealthy(instance: &Instance) -> bool {
    !instance.healthy
        || instance.targets.values().any(|health| health.state == TargetState::Unhealthy)
}

/// Returns why an instance will never serve, where the platform says so.
fn hopeless(instance: &Instance) -> Option<String> {
    let trouble = instance.trouble.as_ref().filter(|trouble| trouble.is_final);
    trouble.map(|trouble| trouble.message.clone())
}
