//! The stage of each instance that does not serve, since when, and how long stages take here.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rolling_provider::{InstanceId, Timestamp};

/// What was asked for last on behalf of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// To be launched.
    Launch,
    /// To be released by a lifecycle hook that holds it.
    Release,
    /// To be updated in place.
    Update,
    /// To be put into a target group.
    Register,
    /// To be taken out of the target groups.
    Deregister,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stages {
    /// When the launches that no look shows yet were asked for, the oldest first.
    asked: VecDeque<Timestamp>,
    at: BTreeMap<InstanceId, At>,
    /// The shortest time of each stage, until something else was asked for or the instance served.
    shortest: BTreeMap<Stage, Duration>,
}

#[derive(Clone, Copy, Debug)]
struct At {
    stage: Stage,
    since: Timestamp,
    /// When its launch was asked for.
    launched: Option<Timestamp>,
}

impl Stages {
    /// Notes that `launches` launches were asked for.
    pub(super) fn ask(&mut self, launches: u32, now: Timestamp) {
        self.asked.extend(std::iter::repeat_n(now, launches as usize));
    }

    /// Notes which instances came and how many are still to come. Each belongs to the oldest launch
    /// asked for.
    pub(super) fn look(&mut self, came: &[InstanceId], to_come: usize, now: Timestamp) {
        for id in came {
            let launched = self.asked.pop_front();
            let at = At { stage: Stage::Launch, since: launched.unwrap_or(now), launched };
            self.at.entry(id.clone()).or_insert(at);
        }
        let gone = self.asked.len().saturating_sub(to_come);
        self.asked.drain(..gone);
    }

    /// Notes that `stage` was asked for on behalf of `id`, and that the stage before is over. An
    /// instance that is taken out before it serves has failed, which says nothing about how long a
    /// stage takes.
    pub(super) fn begin(&mut self, id: &InstanceId, stage: Stage, now: Timestamp) {
        if self.at.get(id).is_some_and(|at| at.stage == stage) {
            // It goes through one target group after the other.
            return;
        }
        let launched = match stage {
            Stage::Deregister => self.at.remove(id).and_then(|at| at.launched),
            _ => self.end(id, now),
        };
        self.at.insert(id.clone(), At { stage, since: now, launched });
    }

    /// Notes that nothing is awaited of `id` any more. Returns when its launch was asked for.
    pub(super) fn end(&mut self, id: &InstanceId, now: Timestamp) -> Option<Timestamp> {
        let At { stage, since, launched } = self.at.remove(id)?;
        // It is unknown when others asked for a launch.
        if stage != Stage::Launch || launched.is_some() {
            let took = now.since(since);
            let shortest = self.shortest.entry(stage).or_insert(took);
            *shortest = took.min(*shortest);
        }
        launched
    }

    /// Forgets instances that are no longer there.
    pub(super) fn retain(&mut self, is_there: impl Fn(&InstanceId) -> bool) {
        self.at.retain(|id, _| is_there(id));
    }

    /// Forgets the times, which are of another revision.
    pub(super) fn forget_times(&mut self) {
        self.shortest.clear();
    }

    /// Returns the stage of `id`, and since when.
    pub(crate) fn of(&self, id: &InstanceId) -> Option<(Stage, Timestamp)> {
        self.at.get(id).map(|at| (at.stage, at.since))
    }

    /// Returns when this engine asked for the launch of `id`, if it did and `id` has not served.
    pub(crate) fn launched(&self, id: &InstanceId) -> Option<Timestamp> {
        self.at.get(id)?.launched
    }

    /// Returns when the oldest launch that no look shows was asked for.
    pub(crate) fn asked(&self) -> Option<Timestamp> {
        self.asked.front().copied()
    }

    /// Returns the shortest time that `stage` has taken so far.
    pub(crate) fn shortest(&self, stage: Stage) -> Option<Duration> {
        self.shortest.get(&stage).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp(second * 1000)
    }

    #[test]
    fn each_stage_takes_from_its_request_to_the_next_or_to_service() {
        let mut stages = Stages::default();
        let (a, b, c) = (InstanceId::new("i-a"), InstanceId::new("i-b"), InstanceId::new("i-c"));
        stages.ask(2, at(0));
        stages.ask(1, at(5));
        stages.look(&[a.clone(), b.clone()], 1, at(6));
        assert_eq!((stages.asked(), stages.of(&a)), (Some(at(5)), Some((Stage::Launch, at(0)))));
        stages.begin(&a, Stage::Register, at(30));
        stages.begin(&a, Stage::Register, at(31));
        assert_eq!(stages.end(&b, at(20)), Some(at(0)));
        assert_eq!(stages.end(&a, at(37)), Some(at(0)));
        let times = [Stage::Launch, Stage::Register, Stage::Update].map(|s| stages.shortest(s));
        let seconds = Duration::from_secs;
        assert_eq!(times, [Some(seconds(20)), Some(seconds(7)), None]);
        // The times of a failed instance are not used.
        stages.begin(&a, Stage::Register, at(37));
        stages.begin(&a, Stage::Deregister, at(38));
        assert_eq!(stages.shortest(Stage::Register), Some(seconds(7)));
        // The times of an instance that this engine did not ask for are not used, and one that does
        // not come is not awaited.
        stages.look(&[c.clone(), InstanceId::new("i-d")], 0, at(39));
        assert_eq!((stages.asked(), stages.of(&c)), (None, Some((Stage::Launch, at(5)))));
        assert_eq!(stages.end(&InstanceId::new("i-d"), at(40)), None);
        assert_eq!(stages.shortest(Stage::Launch), Some(seconds(20)));
    }
}
