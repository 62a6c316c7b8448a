//! Whether the fleet on its own replaces instances that are out of rotation. An Auto Scaling group with
//! health checks of the type ELB may do so. Its own activities show it.

use std::collections::{BTreeMap, BTreeSet};

use rolling_provider::{Activity, ActivityKind, InstanceId, Lifecycle, Observation, Timestamp};

use super::LOOKS_LAG;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replaces {
    is_seen: bool,
    /// Instances that we took out of rotation and that went without our action, and when.
    went: BTreeMap<InstanceId, Timestamp>,
}

impl Replaces {
    /// Whether the fleet was seen to do so.
    pub(crate) fn is_seen(&self) -> bool {
        self.is_seen
    }

    /// Whether an instance went and the fleet may report why.
    pub(crate) fn is_asked(&self) -> bool {
        !self.is_seen && !self.went.is_empty()
    }

    /// Processes a look, with the instances `out` that we took out of rotation.
    pub(super) fn look<'a>(
        &mut self,
        look: &Observation,
        out: impl Iterator<Item = &'a InstanceId>,
        terminated: &BTreeSet<InstanceId>,
    ) {
        let goes = |id: &&InstanceId| {
            let instance = look.instances.get(*id);
            let is_gone = instance.is_none_or(|i| i.lifecycle == Lifecycle::Terminating);
            is_gone && !terminated.contains(*id)
        };
        for id in out.filter(goes) {
            self.went.entry(id.clone()).or_insert(look.at);
        }
        self.went.retain(|_, at| look.at.since(*at) <= LOOKS_LAG);
    }

    /// Notes what the fleet says it did.
    pub(super) fn explain(&mut self, activities: &[Activity]) {
        self.is_seen |= activities.iter().any(|activity| {
            let id = activity.instance.as_ref();
            activity.kind == ActivityKind::RemovedUnhealthy
                && id.is_some_and(|id| self.went.contains_key(id))
        });
    }
}
