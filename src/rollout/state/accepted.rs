//! What the cloud has accepted, or may have accepted.

use rolling_provider::{
    Action, Done, Extent, InstanceId, Observation, Revision, TargetGroupId, Timestamp, UpdateState,
};

use super::{RolloutState, Stage};
use crate::record::{ROLLOUT, Record};

impl RolloutState {
    /// Notes that it is unknown whether `action` took effect; see [`Self::accepted`].
    pub(crate) fn unsure(&mut self, action: &Action) {
        self.unanswered.erasing |=
            matches!(action, Action::EraseRecord { keys } if keys.contains(ROLLOUT));
        if let Action::WriteRecord { tags } = action {
            self.unanswered.record = Record::from_tags(tags).ok().flatten();
        }
        if matches!(action, Action::Terminate { .. } | Action::Detach { .. }) || action.resizes() {
            self.launches.launched.ask();
        }
        if let Action::Update { token, .. } = action {
            self.unanswered.updates.insert(token.clone());
        }
        if action.resizes() && !self.unanswered.actions.contains(action) {
            self.unanswered.actions.push(action.clone());
        }
    }

    /// Notes that the cloud does not take `action` at present.
    pub(crate) fn call_failed(&mut self, action: &Action, error: String, now: Timestamp) {
        self.failures.last_call = Some((now, action.clone(), error.clone()));
        self.failures.calls.retain(|(failing, _)| failing != action);
        self.failures.calls.push((action.clone(), error));
    }

    /// Forgets failed calls that are neither `planned` any more nor still missing.
    ///
    /// Instances are marked for an update before it is asked for. As long as one shows only the mark,
    /// the call that did not begin its update is what holds it up. Not so where the update may have
    /// begun, or is not wanted any more: then time tells.
    pub(crate) fn forget_calls(&mut self, look: &Observation, planned: impl Fn(&Action) -> bool) {
        let is_forward = self.direction.halt.is_none();
        let unsure = &self.unanswered.updates;
        let is_missing = |failing: &Action| {
            let begun = matches!(failing, Action::Update { token, .. } if unsure.contains(token));
            is_forward && !begun && is_marked_for(look, failing)
        };
        self.failures.calls.retain(|(failing, _)| planned(failing) || is_missing(failing));
    }

    /// Whether the cloud did not take the call that was to begin the update with this token.
    pub(crate) fn update_was_refused(&self, token: &str) -> bool {
        let is_it = |action: &Action| matches!(action, Action::Update { token: failing, .. } if failing == token);
        !self.unanswered.updates.contains(token)
            && self.failures.calls.iter().any(|(action, _)| is_it(action))
    }

    /// Whether `id` cannot serve because of a call of ours: it is out of a target group by our
    /// action, or the cloud does not take a call that it needs.
    pub(super) fn waits_for_our_call(&self, id: &InstanceId) -> bool {
        let needs = |action: &Action| match action {
            Action::Register { instances, .. } | Action::Update { instances, .. } => {
                instances.contains(id)
            }
            Action::Release { instance } => instance == id,
            _ => false,
        };
        self.was_deregistered_by_predecessor(id)
            || self.failures.calls.iter().any(|(action, _)| needs(action))
    }

    /// Notes that the cloud accepted `action` at `now`, and its answer.
    pub fn accepted(&mut self, action: &Action, done: Done, now: Timestamp) {
        self.unanswered.answered(action, &done);
        self.written.accepted(action, now);
        self.waits.changed_at = now;
        self.note_asked(action, now);
        match action {
            Action::Deregister { target_group, instances } => {
                instances.iter().for_each(|id| self.note_deregistration(id, target_group, now));
            }
            Action::Register { target_group, instances } => {
                instances.iter().for_each(|id| self.note_registered(id, target_group, now));
            }
            Action::Terminate { instance, decrement } => {
                self.note_removed(instance, *decrement, done, now);
            }
            Action::Detach { instance, decrement } => {
                self.removed.retained_failed.insert(instance.clone());
                self.note_removed(instance, *decrement, done, now);
            }
            Action::SetCapacity { desired: Some(to), .. } => {
                let fewer = self.sizes.desired().saturating_sub(*to);
                self.launches.missing.give_up(fewer as usize);
                self.sizes.wrote(*to, now);
            }
            Action::Launch { source_instance, .. } => {
                self.stages.ask(1, now);
                self.launched(source_instance, now);
            }
            Action::Update { instances, to, token } => {
                for id in instances {
                    self.updating(id, to, token, now);
                    self.stages.begin(id, Stage::Update, now);
                }
            }
            Action::Confirm { instances, to } => self.confirmed(instances, to.as_ref(), now),
            Action::Release { instance } => self.note_released(instance, now),
            Action::Discard { instances: gone } => self.removed.discarded.extend(gone.clone()),
            Action::EraseRecord { keys } if keys.contains(ROLLOUT) => self.erased(),
            Action::ApplyScheduledAction { desired: Some(to), .. } => {
                self.sizes.caught_up(*to, now);
            }
            Action::SuspendProcesses { .. } => self.suspended = true,
            Action::SetRollout { to, extent, .. } => self.told(to.as_ref(), *extent, now),
            Action::MoveTemplate { .. } => {
                let missing = self.launches.missing.len();
                self.launches.launched.template_moved(missing, now);
            }
            Action::WriteRecord { .. }
            | Action::EraseRecord { .. }
            | Action::Tag { .. }
            | Action::TagMember { .. }
            | Action::UntagMember { .. }
            | Action::ResumeProcesses { .. }
            | Action::Shift { .. }
            | Action::SetCapacity { desired: None, .. }
            | Action::ApplyScheduledAction { desired: None, .. } => {}
        }
        self.failures.calls.retain(|(failing, _)| failing != action);
    }

    /// Notes what the platform's controller is told.
    fn told(&mut self, to: Option<&Revision>, extent: Option<Extent>, now: Timestamp) {
        self.rolled_to = to.cloned().or(self.rolled_to.take());
        self.extent = extent.map(|extent| (extent, now)).or(self.extent);
    }

    fn note_removed(&mut self, id: &InstanceId, decrement: bool, done: Done, now: Timestamp) {
        self.rotation.victims.remove(id);
        self.removed.terminated.insert(id.clone());
        if decrement && !done.was_gone {
            self.unmanaged.surge = self.unmanaged.surge.saturating_sub(1);
            self.sizes.lowered(done.lowered_from, now);
        }
    }

    /// Notes how many launches `action` asks the group for.
    fn note_asked(&mut self, action: &Action, now: Timestamp) {
        let more = match action {
            Action::Terminate { decrement: false, .. }
            | Action::Detach { decrement: false, .. } => 1,
            Action::SetCapacity { desired: Some(to), .. } => {
                to.saturating_sub(self.sizes.desired())
            }
            _ => 0,
        };
        if matches!(action, Action::Launch { .. } | Action::SetCapacity { desired: Some(_), .. }) {
            self.hooks.launched();
        }
        if more > 0 {
            self.launches.launched.ask();
            self.stages.ask(more, now);
        }
    }

    fn note_deregistration(&mut self, id: &InstanceId, group: &TargetGroupId, now: Timestamp) {
        self.note_deregistered(id, group, now);
        self.stages.begin(id, Stage::Deregister, now);
        self.rotation.registered.remove(&(id.clone(), group.clone()));
    }

    fn note_registered(&mut self, id: &InstanceId, target_group: &TargetGroupId, now: Timestamp) {
        let place = (id.clone(), target_group.clone());
        // Out of rotation by our action, or without the call, it could not serve: it gets its full
        // time from now on.
        let anew = self.waits_for_our_call(id);
        self.rotation.deregistered_by_predecessor.remove(&place);
        self.rotation.drains.remove(&place);
        self.rotation.registered.insert(place, now);
        self.stages.begin(id, Stage::Register, now);
        // Should it be chosen again, it is prepared again.
        self.hooks.prepared.remove(id);
        if let Some(history) = self.history.get_mut(id) {
            history.listed = true;
            if anew {
                history.restart(now);
            }
        }
        if let Some(groups) = self.rotation.deregistered.get_mut(id) {
            if let Some(out) = groups.remove(target_group) {
                self.rotation.put_back.insert(id.clone(), out);
            }
            if groups.is_empty() {
                self.rotation.deregistered.remove(id);
            }
        }
        if !self.was_deregistered(id) {
            self.rotation.victims.remove(id);
            self.rotation.returned.insert(id.clone(), now);
        }
    }

    fn note_released(&mut self, instance: &InstanceId, now: Timestamp) {
        let goes = self.removed.terminated.contains(instance);
        self.rotation.released.insert((instance.clone(), goes));
        if !goes {
            self.stages.begin(instance, Stage::Release, now);
        }
    }

    pub(super) fn erased(&mut self) {
        let completed = self.record.take().and_then(|record| record.completed);
        self.known_completed = completed.or(self.known_completed.take());
        self.over = true;
    }
}

/// Whether an instance is marked for the update that `action` asks for, and shows no more of it.
pub(crate) fn is_marked_for(look: &Observation, action: &Action) -> bool {
    let Action::Update { instances, token, .. } = action else { return false };
    let mut updates = instances.iter().filter_map(|id| look.instances.get(id)?.update.as_ref());
    updates.any(|update| update.token == *token && update.state == UpdateState::Marked)
}
