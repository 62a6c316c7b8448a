//! The size of the fleet, what it is meant to have and our surge, as far as that is known.

use rolling_provider::{Action, Observation, Timestamp};

use super::RolloutState;
use super::sizes::Sizes;

impl RolloutState {
    /// The desired size, where a size of ours that reads do not show yet counts.
    pub fn desired(&self, look: &Observation) -> u32 {
        if look.is_unmanaged() { self.unmanaged.desired } else { self.sizes.desired }
    }

    /// The size the fleet is meant to have, without surge of ours.
    pub fn size(&self, look: &Observation) -> u32 {
        if look.is_unmanaged() { self.unmanaged.size } else { self.sizes.size }
    }

    /// How many of the live or missing instances are surge of ours.
    pub fn surge(&self) -> u32 {
        // One of them is zero: a fleet either has a size that the cloud keeps, or it has not.
        self.unmanaged.surge + self.sizes.desired.saturating_sub(self.sizes.size)
    }

    /// How often others have set a size, and what that means, in words.
    pub fn set_by_others(&self) -> (u32, String) {
        let (times, set, was) = self.sizes.others;
        let message = format!(
            "somebody set the desired size from {was} to {set}: the fleet is meant to have {set}"
        );
        (times, message)
    }

    /// When the size will be known for sure, while a look shows another than the one that we
    /// believe: that look is late, or somebody has just set a size that held before. Until then
    /// nothing is built on either.
    pub fn size_is_known_at(&self, look: &Observation) -> Option<Timestamp> {
        self.sizes.known_at(look.capacity?.desired)
    }

    /// Takes in the sizes that a look shows.
    pub(super) fn look_at_sizes(&mut self, look: &Observation, sets_sizes: bool) {
        self.settle_unsure(look);
        let Some(shown) = look.capacity else { return };
        if !self.observed_once {
            self.sizes = Sizes::found(self.record.as_ref(), shown);
        } else if sets_sizes {
            let fewer = self.sizes.look(shown, look.at);
            self.missing.give_up(fewer as usize);
        } else {
            // Nobody sets a size here: it is counted, and a look that is late does no harm.
            self.sizes = Sizes::found(None, shown);
        }
    }

    /// Counts what turns out to have taken effect although nobody said so.
    fn settle_unsure(&mut self, look: &Observation) {
        let shown = look.desired();
        let mut open = Vec::new();
        for action in std::mem::take(&mut self.unsure) {
            match &action {
                Action::SetCapacity { desired: Some(desired), .. } if shown == *desired => {
                    self.missing.give_up(self.sizes.desired.saturating_sub(shown) as usize);
                    self.sizes.wrote(shown, look.at);
                }
                Action::Terminate { instance, .. } | Action::Detach { instance, .. }
                    if look.instances.get(instance).is_none_or(|i| !i.lifecycle.is_live()) =>
                {
                    self.victims.remove(instance);
                    self.terminated.insert(instance.clone());
                    self.unmanaged.surge = self.unmanaged.surge.saturating_sub(1);
                    // It may also have come to its end by itself, and been replaced.
                    if shown < self.sizes.desired {
                        self.sizes.lowered(None, look.at);
                    }
                }
                _ => open.push(action),
            }
        }
        self.unsure = open;
    }
}
