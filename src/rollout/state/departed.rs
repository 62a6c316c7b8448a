//! Who was seen on its way out. Looks lag, and one that shows it alive again is from before.

use std::collections::BTreeMap;

use rolling_provider::{InstanceId, Lifecycle, Observation, Timestamp};

use super::{LOOKS_LAG, RolloutState};

/// Who was seen on its way out, and when last.
#[derive(Clone, Debug, Default)]
pub(super) struct Departed(BTreeMap<InstanceId, Timestamp>);

impl RolloutState {
    /// The fleet as `look` shows it, where nobody comes back who was seen on the way out as lately as
    /// looks may lag. Later somebody may have attached it again.
    pub fn without_departed(&mut self, mut look: Observation) -> Observation {
        let departed = &mut self.departed.0;
        for (id, instance) in &mut look.instances {
            if instance.lifecycle == Lifecycle::Terminating {
                departed.insert(id.clone(), look.at);
            } else if departed.get(id).is_some_and(|history| look.at.since(*history) <= LOOKS_LAG) {
                instance.lifecycle = Lifecycle::Terminating;
            }
        }
        departed.retain(|_, history| look.at.since(*history) <= LOOKS_LAG);
        look
    }
}
