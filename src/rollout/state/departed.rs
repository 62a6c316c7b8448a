//! Instances that were seen terminating. Looks lag: a look that shows one alive again is from
//! before.

use std::collections::BTreeMap;

use rolling_provider::{InstanceId, Lifecycle, Observation, Timestamp};

use super::LOOKS_LAG;

/// Instances that were seen terminating, and when last.
#[derive(Clone, Debug, Default)]
pub(super) struct Departed(BTreeMap<InstanceId, Timestamp>);

impl Departed {
    /// Returns the fleet as `look` shows it, except that an instance seen terminating within the
    /// lag of looks still is. Later somebody may have attached it again.
    pub(super) fn without(&mut self, mut look: Observation) -> Observation {
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
