//! Everything a plan depends on.

use rolling_provider::{Observation, Target, Timestamp};

use crate::model::spec::RollingDeployment;
use crate::rollout::state::RolloutState;

/// Everything a plan depends on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// What is wanted.
    pub spec: &'a RollingDeployment,
    /// What the target turned out to be.
    pub target: &'a Target,
    /// The latest look at the fleet, already taken into `progress`.
    pub look: &'a Observation,
    /// What was seen and done so far.
    pub state: &'a RolloutState,
    /// The time now.
    pub now: Timestamp,
}

impl Input<'_> {
    /// Whether everything is done and has to stay well for a while.
    pub(super) fn bakes(&self) -> bool {
        self.state.gates.baking.is_some()
    }

    /// Whether the fleet launches by itself what is to run.
    pub(super) fn launches(&self) -> bool {
        !self.look.is_unmanaged() && !self.is_in_place()
    }

    /// Whether instances are updated and not replaced.
    pub(super) fn is_in_place(&self) -> bool {
        self.spec.replacement.within().is_some()
    }
}
