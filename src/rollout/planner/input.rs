//! Everything a plan depends on.

use std::time::Duration;

use rolling_provider::{Action, Observation, Target, Timestamp};

use crate::model::event::Outcome;
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
    /// Describes `action`, with the names of target groups instead of their ids.
    pub(crate) fn named(&self, action: &Action) -> String {
        let message = action.to_string();
        let (Action::Register { target_group, .. } | Action::Deregister { target_group, .. }) =
            action
        else {
            return message;
        };
        let group = self.target.rotation().find(|group| group.id == *target_group);
        let start = message.strip_suffix(target_group.as_str());
        match (start, group) {
            (Some(start), Some(group)) => format!("{start}target group {}", group.name),
            _ => message,
        }
    }

    /// Whether everything is done and must stay healthy for the bake time.
    pub(super) fn bakes(&self) -> bool {
        self.state.gates.baking.is_some()
    }

    /// What the rollout comes to once all is done in its direction.
    pub(crate) fn outcome_when_done(&self) -> Outcome {
        match self.state.direction.rolls_back {
            Some(_) => Outcome::RolledBack,
            None => Outcome::Succeeded,
        }
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
    pub(crate) fn is_in_place(&self) -> bool {
        self.spec.replacement.within().is_some()
    }
}

#[cfg(test)]
mod tests {
    use rolling_provider::TargetGroup;

    use super::*;
    use crate::rollout::example::{look, spec, target};

    #[test]
    fn an_action_is_described_with_the_name_of_its_target_group() {
        let group = |id: &str, name: &str| TargetGroup {
            id: id.into(),
            name: name.into(),
            drain: Duration::ZERO,
            register: Duration::ZERO,
            slow_start: Duration::ZERO,
            stops_routing: Duration::ZERO,
            warnings: Vec::new(),
        };
        let mut target = target();
        target.target_groups = vec![group("arn:1", "web")];
        target.second = Some(group("arn:2", "web-second"));
        let (spec, look) = (spec(&serde_json::json!({})), look("lt-1:1"));
        let state = RolloutState::new("r", Timestamp(0));
        let input =
            Input { spec: &spec, target: &target, look: &look, state: &state, now: look.at };
        let instances = || ["i-1".into()].into();
        let register =
            |group: &str| Action::Register { target_group: group.into(), instances: instances() };
        let leave = Action::Deregister { target_group: "arn:1".into(), instances: instances() };
        assert_eq!(input.named(&register("arn:2")), "register i-1 in target group web-second");
        assert_eq!(input.named(&leave), "deregister i-1 from target group web");
        assert_eq!(input.named(&register("arn:3")), "register i-1 in arn:3", "of another target");
        assert_eq!(
            input.named(&Action::Shift { percent: 10 }),
            "send 10 % of the requests to the second target group"
        );
    }
}
