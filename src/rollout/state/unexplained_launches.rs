//! Foreign launches: instances that this rollout has not asked for.

use std::collections::BTreeSet;

use rolling_provider::{InstanceId, Observation, Revision, Target};

use super::RolloutState;

impl RolloutState {
    /// Returns the launches about which to ask the cloud now, if it has not answered about them
    /// yet. None while things are put back: the rollout ends in any case.
    pub(crate) fn launches_to_ask_about(
        &self,
        target: &Target,
        look: &Observation,
    ) -> Option<BTreeSet<InstanceId>> {
        let unexplained_launches = self.unexplained_launches(target, look);
        let is_asked = unexplained_launches.is_subset(&self.launches.asked_about);
        (self.direction.halt.is_none() && !is_asked).then_some(unexplained_launches)
    }

    /// Returns instances that came meanwhile on a revision that neither this rollout nor what it
    /// found there launches: another process may be rolling the fleet, too.
    fn unexplained_launches(&self, target: &Target, look: &Observation) -> BTreeSet<InstanceId> {
        let record = self.record.iter();
        let recorded = record.flat_map(|record| [&record.completed, &record.borrowed.template]);
        let found = self.history.values().filter(|history| !history.launched_here);
        let known: BTreeSet<&Revision> = recorded
            .chain([&look.template])
            .chain(found.map(|history| &history.revision))
            .flatten()
            .chain([&target.revision])
            // A rollback finds what the rollout has launched before.
            .chain(self.record.iter().map(|record| &record.to))
            .collect();
        let came = self.history.iter().filter(|(_, history)| history.launched_here);
        let strange = came.filter(|(id, history)| {
            look.instances.contains_key(*id)
                && history.revision.as_ref().is_some_and(|runs| !known.contains(runs))
        });
        strange.map(|(id, _)| id.clone()).collect()
    }
}
