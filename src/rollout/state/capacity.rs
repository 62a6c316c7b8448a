//! The fleet's desired size, its intended size and our surge, as far as they are known.

use rolling_provider::{Action, Observation, Revision, Timestamp};

use super::RolloutState;
use super::sizes::Sizes;

impl RolloutState {
    /// Returns the desired size. A size of ours counts before reads show it.
    pub fn desired(&self, look: &Observation) -> u32 {
        if look.is_unmanaged() { self.unmanaged.desired } else { self.sizes.desired }
    }

    /// Returns the intended size of the fleet, without our surge.
    pub fn size(&self, look: &Observation) -> u32 {
        if look.is_unmanaged() { self.unmanaged.size } else { self.sizes.size }
    }

    /// Returns how many of the live or missing instances are our surge.
    pub(crate) fn surge(&self) -> u32 {
        // One of them is zero: the cloud either keeps a size of the fleet, or does not.
        self.unmanaged.surge + self.sizes.desired.saturating_sub(self.sizes.size)
    }

    /// Returns how often others have set a size, and what that means, as a sentence.
    pub(crate) fn set_by_others(&self) -> (u32, String) {
        let (times, set, was) = self.sizes.others;
        let message = format!(
            "somebody changed the desired size from {was} to {set}: the final size of the fleet \
             is {set}"
        );
        (times, message)
    }

    /// Returns what others changed during the rollout and may change again, as phrases.
    pub(crate) fn changed_by_others(&self, wanted: &Revision) -> Vec<String> {
        let times = match self.launches.launched.set_back() {
            0 => return Vec::new(),
            1 => "once".to_owned(),
            times => format!("{times} times"),
        };
        vec![format!(
            "something changed the template {times} meanwhile: if it does so again, what is launched \
             then does not run {wanted}"
        )]
    }

    /// Returns when the size will be known for sure, while a look shows another size than we
    /// believe: that look is late, or somebody has just set a size that held before. Until then
    /// nothing relies on either.
    pub(crate) fn size_is_known_at(&self, look: &Observation) -> Option<Timestamp> {
        self.sizes.known_at(look.capacity?.desired)
    }

    /// Notes the sizes that a look shows.
    pub(super) fn look_at_sizes(&mut self, look: &Observation, sets_sizes: bool) {
        self.settle_unsure(look);
        let Some(shown) = look.capacity else { return };
        if !self.observed_once {
            self.sizes = Sizes::found(self.record.as_ref(), shown);
        } else if sets_sizes {
            let fewer = self.sizes.look(shown, look.at);
            self.launches.missing.give_up(fewer as usize);
        } else {
            // No size is set here. It is counted, so a late look does no harm.
            self.sizes = Sizes::found(None, shown);
        }
    }

    /// Counts actions that turn out to have taken effect although no answer confirmed it.
    fn settle_unsure(&mut self, look: &Observation) {
        let shown = look.desired();
        let mut open = Vec::new();
        for action in std::mem::take(&mut self.unanswered.actions) {
            match &action {
                Action::SetCapacity { desired: Some(desired), .. } if shown == *desired => {
                    self.launches
                        .missing
                        .give_up(self.sizes.desired.saturating_sub(shown) as usize);
                    self.sizes.wrote(shown, look.at);
                }
                Action::Terminate { instance, .. } | Action::Detach { instance, .. }
                    if look.instances.get(instance).is_none_or(|i| !i.lifecycle.is_live()) =>
                {
                    self.rotation.victims.remove(instance);
                    self.removed.terminated.insert(instance.clone());
                    self.unmanaged.surge = self.unmanaged.surge.saturating_sub(1);
                    // It may also have ended on its own and been replaced.
                    if shown < self.sizes.desired {
                        self.sizes.lowered(None, look.at);
                    }
                }
                _ => open.push(action),
            }
        }
        self.unanswered.actions = open;
    }
}
