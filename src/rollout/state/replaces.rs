//! Whether the fleet replaces by itself whoever is out of rotation, as an Auto Scaling group may that
//! takes its health checks from the load balancer. Its own words tell.

use std::collections::{BTreeMap, BTreeSet};

use rolling_provider::{Activity, ActivityKind, InstanceId, Lifecycle, Observation, Timestamp};

use super::LOOKS_LAG;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Replaces {
    is_seen: bool,
    /// Those out of rotation by our doing that went, and not by our doing, and when.
    went: BTreeMap<InstanceId, Timestamp>,
}

impl Replaces {
    /// Whether it does.
    pub fn is_seen(&self) -> bool {
        self.is_seen
    }

    /// Whether somebody went of whom the fleet may tell why.
    pub fn is_asked(&self) -> bool {
        !self.is_seen && !self.went.is_empty()
    }

    /// Takes in a look, with those that are `out` of rotation by our doing.
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

    /// Takes in what the fleet says it did.
    pub(super) fn explain(&mut self, activities: &[Activity]) {
        self.is_seen |= activities.iter().any(|activity| {
            let id = activity.instance.as_ref();
            activity.kind == ActivityKind::RemovedUnhealthy
                && id.is_some_and(|id| self.went.contains_key(id))
        });
    }
}
