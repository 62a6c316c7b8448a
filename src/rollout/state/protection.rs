//! Whose protection from scale-in counts.

use rolling_provider::{Instance, InstanceId, Target};

use super::RolloutState;

impl RolloutState {
    /// Whether somebody protects `instance` from scale-in.
    ///
    /// What a rollout launched in a fleet that protects whatever it launches is protected by nobody:
    /// it may go as if it were not, once it has failed, in a rollback, or as surplus.
    pub(crate) fn is_protected(
        &self,
        target: &Target,
        id: &InstanceId,
        instance: &Instance,
    ) -> bool {
        instance.protected && !(target.protects_new && self.launched_by_rollout(id, instance))
    }

    /// Whether it came since the rollout began, or was launched by a rollout that failed with it.
    fn launched_by_rollout(&self, id: &InstanceId, instance: &Instance) -> bool {
        let since = self.record.as_ref().map(|record| record.started);
        let came_here = self.history.get(id).is_some_and(|history| history.launched_here);
        let came_since = since.zip(instance.launched_at).is_some_and(|(since, at)| at >= since);
        came_here || came_since || instance.failed_in.is_some()
    }
}
