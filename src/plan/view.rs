//! The fleet as the planner counts it: who lives, who is old, who serves.

use rolling_provider::{Instance, InstanceId, TargetState};

use super::Input;
use crate::spec::Window;

/// The live instances of a fleet, and the bounds that hold now.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// Live instances in order of their ids.
    pub members: Vec<Member<'a>>,
    /// The bounds for the size the fleet has now, so that a fleet rescaled meanwhile is rolled
    /// within its new bounds.
    pub window: Window,
    /// How many instances the fleet still has to launch.
    pub missing: u32,
}

/// One live instance.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its id.
    pub id: &'a InstanceId,
    /// What was observed.
    pub instance: &'a Instance,
    /// Runs the wanted revision.
    pub is_new: bool,
    /// Chosen to go.
    pub is_victim: bool,
    /// Takes requests, by the word of every target group, and is not on its way out.
    pub serves: bool,
    /// Has served for the whole soak without a break, up to now.
    pub soaked: bool,
}

impl<'a> View<'a> {
    /// Counts the fleet of `input`.
    pub fn new(input: &Input<'a>) -> Self {
        let Input { spec, target, look, progress, now } = *input;
        let live = |id: &InstanceId, instance: &Instance| {
            instance.lifecycle.is_live() && !progress.terminated.contains(id)
        };
        let members: Vec<Member<'a>> = look
            .instances
            .iter()
            .filter(|(id, instance)| live(id, instance))
            .map(|(id, instance)| {
                let serves = progress.serves(target, id, instance);
                let since = progress.seen.get(id).and_then(|seen| seen.serving_since);
                let soak = spec.health.min_healthy_time;
                Member {
                    id,
                    instance,
                    is_new: instance.revision.as_ref() == Some(&target.revision),
                    is_victim: progress.victims.contains(id),
                    serves,
                    soaked: serves && since.is_some_and(|since| now.since(since) >= soak),
                }
            })
            .collect();
        let window = Window::resolve(spec.policy, progress.size(look));
        let missing = (progress.desired(look) as usize).saturating_sub(members.len());
        View { members, window, missing: u32::try_from(missing).unwrap_or(u32::MAX) }
    }

    /// Live instances that are ours to replace: of another revision and not told to be ignored.
    pub fn old(&self) -> impl Iterator<Item = &Member<'a>> + Clone {
        self.members.iter().filter(|member| !member.is_new && !member.instance.ignored)
    }

    /// How many take requests now.
    pub fn serving(&self) -> usize {
        self.members.iter().filter(|member| member.serves).count()
    }

    /// How many run the wanted revision and have soaked.
    pub fn updated(&self) -> usize {
        self.members.iter().filter(|member| member.is_new && member.soaked).count()
    }
}

impl Member<'_> {
    /// Gets no more requests from any target group: neither listed as taking them nor draining.
    pub fn is_out_of_rotation(&self) -> bool {
        self.instance.targets.values().all(|health| health.state == TargetState::Unused)
    }
}
