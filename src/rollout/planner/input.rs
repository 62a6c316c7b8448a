//! Everything a plan depends on.

use std::time::Duration;

use rolling_provider::{Observation, Target, Timestamp};

use crate::model::spec::RollingDeployment;
use crate::rollout::state::RolloutState;

/// Everything a plan depends on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The deployment to carry out.
    pub spec: &'a RollingDeployment,
    /// The target as the adapter resolved it.
    pub target: &'a Target,
    /// The latest look at the fleet, already folded into `state`.
    pub look: &'a Observation,
    /// What the engine has seen and done so far.
    pub state: &'a RolloutState,
    /// The time now.
    pub now: Timestamp,
}

impl Input<'_> {
    /// Whether everything is done and must stay healthy for the bake time.
    pub(super) fn bakes(&self) -> bool {
        self.state.gates.baking.is_some()
    }

    /// How long an instance drains at most by its target groups, and at least by the document.
    pub(super) fn drain(&self) -> Duration {
        self.target.drain().max(self.spec.health.min_drain_time)
    }

    /// Whether the fleet itself launches the instances of the revision.
    pub(super) fn launches(&self) -> bool {
        !self.look.is_unmanaged() && !self.is_in_place()
    }

    /// Whether instances are updated in place instead of replaced.
    pub(super) fn is_in_place(&self) -> bool {
        self.spec.replacement.within().is_some()
    }
}
