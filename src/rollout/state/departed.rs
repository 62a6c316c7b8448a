//! Who was seen on its way out. Looks lag, and one that shows it alive again is from before.

use std::collections::BTreeMap;

use rolling_provider::{InstanceId, Lifecycle, Observation, Timestamp};

use super::LOOKS_LAG;

/// Who was seen on its way out, and when last.
#[derive(Clone, Debug, Default)]
pub(super) struct Departed(BTreeMap<InstanceId, Timestamp>);

impl Departed {
    /// The fleet as `look` shows it, where nobody comes back who was seen on the way out as lately as
    /// looks may lag. Later somebody may have attached it again.
    pub fn without(&mut self, mut look: Observation) -> Observation {
        let Departed(departed) = self;
        for (id, instance) in &mut look.instances {
            if instance.lifecycle == Lifecycle::Terminating {
                departed.insert(id.clone(), look.at);
            } else if departed.get(id).is_some_and(|seen| look.at.since(*seen) <= LOOKS_LAG) {
                instance.lifecycle = Lifecycle::Terminating;
            }
        }
        departed.retain(|_, seen| look.at.since(*seen) <= LOOKS_LAG);
        look
    }
}
