//! What the cloud has accepted, or may have accepted.

use rolling_provider::{Action, Done, Timestamp};

use super::{RolloutState, Stage};
use crate::record::{ROLLOUT, Record};

impl RolloutState {
    /// Takes in that it is unknown whether `action` took effect; see [`Self::accepted`].
    pub fn unsure(&mut self, action: &Action) {
        self.erasing |= matches!(action, Action::EraseRecord { keys } if keys.contains(ROLLOUT));
        if let Action::WriteRecord { tags } = action {
            self.unsure_record = Record::from_tags(tags).ok().flatten();
        }
        if matches!(action, Action::Terminate { .. } | Action::Detach { .. }) || action.resizes() {
            self.launched.ask();
        }
        if action.resizes() && !self.unsure.contains(action) {
            self.unsure.push(action.clone());
        }
    }

    /// Takes in that the cloud accepted `action` at `now`, and its answer.
    pub fn accepted(&mut self, action: &Action, done: Done, now: Timestamp) {
        // The same call without an answer may have removed what is gone: the next look shows it.
        if !(done.was_gone && self.unsure.contains(action)) {
            self.unsure.retain(|unsure| unsure != action);
        }
        self.written.accepted(action, now);
        self.changed_at = now;
        let launches = match action {
            Action::Terminate { decrement, .. } | Action::Detach { decrement, .. } => !decrement,
            Action::SetCapacity { desired: Some(to), .. } => *to > self.sizes.desired(),
            _ => false,
        };
        if launches {
            self.launched.ask();
            let more = match action {
                Action::SetCapacity { desired: Some(to), .. } => *to - self.sizes.desired(),
                _ => 1,
            };
            self.stages.ask(more, now);
        }
        match action {
            Action::Deregister { target_group, instances } => {
                for id in instances {
                    self.note_deregistered(id, target_group, now);
                    self.stages.begin(id, Stage::Deregister, now);
                    self.registered.remove(&(id.clone(), target_group.clone()));
                }
            }
            Action::Register { target_group, instances } => {
                for id in instances {
                    self.deregistered_by_predecessor.remove(&(id.clone(), target_group.clone()));
                    self.drains.remove(&(id.clone(), target_group.clone()));
                    self.registered.insert((id.clone(), target_group.clone()), now);
                    self.stages.begin(id, Stage::Register, now);
                    if let Some(history) = self.history.get_mut(id) {
                        history.listed = true;
                    }
                    if let Some(groups) = self.deregistered.get_mut(id) {
                        if let Some(out) = groups.remove(target_group) {
                            self.put_back.insert(id.clone(), out);
                        }
                        if groups.is_empty() {
                            self.deregistered.remove(id);
                        }
                    }
                    if !self.was_deregistered(id) {
                        self.victims.remove(id);
                        self.returned.insert(id.clone(), now);
                    }
                }
            }
            Action::Terminate { instance, decrement } | Action::Detach { instance, decrement } => {
                self.victims.remove(instance);
                self.terminated.insert(instance.clone());
                if matches!(action, Action::Detach { .. }) {
                    self.retained_failed.insert(instance.clone());
                }
                if *decrement && !done.was_gone {
                    self.unmanaged.surge = self.unmanaged.surge.saturating_sub(1);
                    self.sizes.lowered(done.lowered_from, now);
                }
            }
            Action::SetCapacity { desired: Some(to), .. } => {
                let fewer = self.sizes.desired().saturating_sub(*to);
                self.missing.give_up(fewer as usize);
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
            Action::Confirm { instances, to } => {
                for id in instances {
                    self.stages.end(id, now);
                }
                self.confirmed(instances, to.as_ref(), now);
            }
            Action::Release { instance } => {
                let goes = self.terminated.contains(instance);
                self.released.insert((instance.clone(), goes));
                if !goes {
                    self.stages.begin(instance, Stage::Release, now);
                }
            }
            Action::Discard { instances } => self.discarded.extend(instances.iter().cloned()),
            Action::WriteRecord { .. }
            | Action::Tag { .. }
            | Action::TagMember { .. }
            | Action::UntagMember { .. } => {}
            Action::EraseRecord { keys } if !keys.contains(ROLLOUT) => {}
            Action::EraseRecord { .. } => self.erased(),
            Action::ApplyScheduledAction { desired: Some(to), .. } => {
                self.sizes.caught_up(*to, now)
            }
            Action::SuspendProcesses { .. } => self.suspended = true,
            Action::MoveTemplate { .. } => self.launched.template_moved(self.missing.len(), now),
            Action::ResumeProcesses { .. }
            | Action::Shift { .. }
            | Action::SetCapacity { desired: None, .. }
            | Action::ApplyScheduledAction { desired: None, .. } => {}
        }
    }

    pub(super) fn erased(&mut self) {
        let completed = self.record.take().and_then(|record| record.completed);
        self.known_completed = completed.or(self.known_completed.take());
        self.over = true;
    }
}
