//! The rollout record: the stored state of a rollout that runs, is paused, or failed and left
//! something to report. It is kept as tags on the target.

use std::collections::BTreeSet;
use std::time::Duration;

use rolling_provider::{
    ControllerSettings, Goal, Instance, InstanceId, Restart, Revision, Target, Timestamp,
};
use sha2::{Digest as _, Sha256};

use crate::model::moment::moment;
use crate::record::fields::{decode, encode_text};
use crate::record::hooks::{HookRecord, InstanceSet};

/// How many obeyed commands a record remembers: reads lag, so the command before the last may show
/// again.
const COMMANDS: usize = 4;

/// The stored state of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// Id of this rollout.
    pub id: String,
    /// Highest generation seen on this target, plus one for each accepted rollout.
    pub generation: u64,
    /// The revision that is rolled out, also while the rollout rolls back from it.
    pub to: Revision,
    /// Which instances it replaces although they run that revision.
    pub restart: Option<Restart>,
    /// When the rollout began.
    pub started: Timestamp,
    /// The phase of the rollout.
    pub phase: Phase,
    /// Whether the rollout rolls back, or rolled back, to the completed revision. Happens at most
    /// once.
    pub rolls_back: bool,
    /// Whether the rollout stopped going forward because the new revision failed.
    pub fault: bool,
    /// Size of the fleet when the rollout began, without surge.
    pub size: u32,
    /// How many of the live instances are surge. Written before the engine asks for them.
    pub surge: u32,
    /// The surge before the last change of `surge`. It holds until the engine asks for the new
    /// surge.
    pub surge_before: u32,
    /// Whether surge is being removed, one by one: less of it may be left by now.
    pub gives_back: bool,
    /// How many instances have failed.
    pub failures: u32,
    /// The instance that was counted last. Written with the count, so that no instance counts
    /// twice.
    pub last_failed: Option<InstanceId>,
    /// How many failed instances were taken out of the fleet and kept.
    pub retained_failed: u32,
    /// The instance that was kept last. Written with the count, so that the run after a crash keeps
    /// the same one.
    pub last_retained: Option<InstanceId>,
    /// How many checkpoints were passed.
    pub checkpoints_passed: u32,
    /// The checkpoint ahead, once it is reached, where that has a time to expire.
    pub reached: Option<ReachedCheckpoint>,
    /// The zone that is being rolled, where zones are rolled one after the other.
    pub zone: Option<String>,
    /// How long the rollout has been paused in total.
    pub paused: Duration,
    /// Since when the rollout is paused; while it is not, when it was last resumed.
    pub pause_changed_at: Option<Timestamp>,
    /// Ids of the latest commands of [`crate::record::command`] that were obeyed, oldest first.
    pub acknowledged: Vec<String>,
    /// Whether all instances of the fleet are marked. Then no other instance is of the fleet. Only
    /// for unmanaged instances.
    pub owned: bool,
    /// How far the platform's controller may go before it is stopped; `None` where no controller replaces them. Written before the controller is told.
    pub released: Option<ReleasedStep>,
    /// Whether all requests have gone to the second target group, where requests are shifted.
    pub promoted: bool,
    /// The instances that this rollout takes out of rotation, and those that it has yet to put back.
    /// Written before the first call that takes one out: whoever else is out of rotation was taken
    /// out by somebody.
    pub victims: InstanceSet,
    /// Which hooks have been run; `None` for a rollout that has had none.
    pub hooks: Option<HookRecord>,
    /// What is borrowed, with the original.
    pub borrowed: Borrowed,
    /// The last revision that the whole fleet was known to run.
    pub completed: Option<Revision>,
    /// Why the rollout no longer goes forward.
    pub reason: Option<String>,
}

/// A checkpoint that is reached and waits for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReachedCheckpoint {
    /// How many checkpoints come before it.
    pub index: u32,
    /// When it was reached; moved on by the time of pauses.
    pub at: Timestamp,
}

/// The phase of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Under way, forward or back.
    Rolling,
    /// Restoring before an early end.
    Halting(Ending),
    /// Ended early; everything to restore is restored.
    Halted(Ending),
}

/// How a rollout ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The rollout cannot continue.
    Failed,
    /// A command, a checkpoint or a failure asks for a decision. Surge is kept.
    Paused,
    /// An abort ended the rollout.
    Aborted,
    /// The program was asked to end; the next run continues.
    Interrupted,
    /// All is done but that a call fails which restores what is borrowed; the next run makes it.
    Unrestored,
}

impl Phase {
    /// Every phase that a record can have.
    pub(super) const ALL: [Phase; 10] = [
        Phase::Rolling,
        Phase::Halting(Ending::Failed),
        Phase::Halting(Ending::Paused),
        Phase::Halting(Ending::Aborted),
        Phase::Halting(Ending::Interrupted),
        Phase::Halting(Ending::Unrestored),
        Phase::Halted(Ending::Failed),
        Phase::Halted(Ending::Paused),
        Phase::Halted(Ending::Aborted),
        Phase::Halted(Ending::Interrupted),
    ];

    /// Returns the spelling in the record.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Rolling => "rolling",
            Phase::Halting(Ending::Failed) => "failing",
            Phase::Halting(Ending::Paused) => "pausing",
            Phase::Halting(Ending::Aborted) => "aborting",
            Phase::Halting(Ending::Interrupted) => "interrupting",
            // Once all is restored, the record is erased.
            Phase::Halting(Ending::Unrestored) | Phase::Halted(Ending::Unrestored) => "restoring",
            Phase::Halted(Ending::Failed) => "failed",
            Phase::Halted(Ending::Paused) => "paused",
            Phase::Halted(Ending::Aborted) => "aborted",
            Phase::Halted(Ending::Interrupted) => "interrupted",
        }
    }
}

/// What a rollout has changed and must restore, with the value that it wrote itself. So a value
/// that somebody else has set meanwhile is left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Borrowed {
    /// The fleet's template as it was found, aliases resolved where they could be.
    pub template: Option<Revision>,
    /// The maximum size.
    pub max: Option<BorrowedMax>,
    /// Processes that run normally and that the engine suspended.
    pub suspended: BTreeSet<String>,
    /// What may shift requests to the second target group, as `routing_fingerprint` names it.
    pub shifts: Option<String>,
    /// The bounds of the platform's controller, where one replaces the instances.
    pub controller: Option<BorrowedSettings>,
}

/// How far the platform's controller may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReleasedStep {
    /// How many instances of the revision it may have.
    pub goal: u32,
    /// The size of the fleet when that was decided. With another size, the step ends where it is.
    pub size: u32,
}

/// Bounds of a controller that are changed temporarily.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BorrowedSettings {
    /// Those that others want.
    pub found: ControllerSettings,
    /// Those before the last change. They count as ours until the engine asks for the change.
    pub before: ControllerSettings,
    /// Those that the engine sets.
    pub ours: ControllerSettings,
}

/// A maximum size that is changed temporarily.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BorrowedMax {
    /// The size that others want.
    pub found: u32,
    /// The size before the last change. It counts as ours until the engine asks for the change.
    pub before: u32,
    /// The size that the engine writes.
    pub ours: u32,
}

/// Returns a name for where and by what requests are shifted on `target`. Other rules or another
/// second target group have another name.
pub(crate) fn routing_fingerprint(target: &Target) -> String {
    let mut hash = Sha256::new();
    let second = target.second.iter().map(|second| second.id.as_str());
    for each in second.chain(target.shifted_by.iter().map(String::as_str)) {
        hash.update(each);
        hash.update("\n");
    }
    hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

impl Record {
    /// Whether the rollout has ended and waits for no decision.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Halted(ending) if ending != Ending::Paused)
    }

    /// Whether nothing is left of the rollout but to restore what is borrowed.
    pub(crate) fn only_restores(&self) -> bool {
        self.phase == Phase::Halting(Ending::Unrestored)
    }

    /// Returns where the rollout leads, also while it rolls back from that.
    pub(crate) fn goal(&self) -> Goal {
        Goal { revision: self.to.clone(), restart: self.restart }
    }

    /// Returns where the rollout leads, for people: `v2`, or `v2 (restart of what was launched before
    /// 2026-07-01T12:00:00Z)`.
    pub(crate) fn goal_shown(&self) -> String {
        match self.restart.map(|restart| moment(restart.before)) {
            Some(before) => format!("{} (restart of what was launched before {before})", self.to),
            None => self.to.to_string(),
        }
    }

    /// Whether it is a rollout to `wanted`.
    pub(crate) fn leads_to(&self, wanted: &Goal) -> bool {
        self.goal().is(wanted)
    }

    /// Whether it rolls back, to `revision`.
    pub(crate) fn rolls_back_to(&self, revision: &Revision) -> bool {
        self.rolls_back && self.completed.as_ref() == Some(revision)
    }

    /// Whether `instance` is what the rollout leads to, also while it rolls back from that.
    pub(crate) fn brings(&self, instance: &Instance) -> bool {
        self.goal().is_met_by(instance)
    }

    /// Whether it only restarts what the fleet has run before: there is no other revision to go back
    /// to.
    pub(crate) fn only_restarts(&self) -> bool {
        self.restart.is_some() && self.completed.as_ref() == Some(&self.to)
    }

    /// Whether there is another revision to go back to, which the whole fleet has run.
    pub(crate) fn leads_back(&self) -> bool {
        self.completed.as_ref().is_some_and(|completed| *completed != self.to)
    }

    /// Returns the maximum size that others want, where `shown` is ours: the last one in the
    /// record, or the one before it, while the engine has not asked for the last one.
    pub fn max_before(&self, shown: u32) -> Option<u32> {
        let BorrowedMax { found, before, ours } = self.borrowed.max?;
        (shown == ours || shown == before).then_some(found)
    }

    /// Returns when the checkpoint ahead was reached, if it was.
    pub(crate) fn reached_at(&self) -> Option<Timestamp> {
        self.reached.filter(|it| it.index == self.checkpoints_passed).map(|it| it.at)
    }

    /// Returns the record with one more checkpoint passed.
    pub(crate) fn past_checkpoint(self) -> Record {
        Record { checkpoints_passed: self.checkpoints_passed + 1, reached: None, ..self }
    }

    /// Returns the record of a paused rollout that continues at `now`: no time passed in the pause.
    pub(crate) fn resumed(mut self, now: Timestamp) -> Record {
        if let (Phase::Halted(Ending::Paused), Some(since)) = (self.phase, self.pause_changed_at) {
            let pause = now.since(since);
            self.paused += pause;
            if let Some(reached) = &mut self.reached {
                reached.at = reached.at + pause;
            }
        }
        Record { phase: Phase::Rolling, pause_changed_at: Some(now), ..self }
    }

    /// Returns a reason as a record keeps it: as much of it as a tag can hold.
    pub(crate) fn reason_of(text: &str) -> String {
        decode(&encode_text(text)).into_owned()
    }

    /// Returns the phase of the rollout, as one name.
    pub fn status(&self) -> &'static str {
        match self.phase {
            Phase::Rolling if self.rolls_back => "rolling_back",
            phase => phase.name(),
        }
    }

    /// Returns the phase for people.
    pub fn status_shown(&self) -> String {
        self.status().replace('_', " ")
    }

    /// Returns the ids of the obeyed commands, with the id `command` added.
    pub fn acknowledge(&self, command: Option<&str>) -> Vec<String> {
        let mut acknowledged = self.acknowledged.clone();
        let is_new = |id: &&str| !acknowledged.iter().any(|known| known == id);
        let news = command.filter(is_new).map(str::to_owned);
        acknowledged.extend(news);
        acknowledged.drain(..acknowledged.len().saturating_sub(COMMANDS));
        acknowledged
    }
}

#[cfg(test)]
impl Record {
    /// Returns a record with every field at its longest.
    pub(crate) fn example() -> Record {
        Record {
            id: "an-operation-id-of-sixty-four-characters-is-the-longest-allowed".into(),
            generation: 300,
            phase: Phase::Halting(Ending::Interrupted),
            rolls_back: true,
            fault: true,
            to: "lt-0123456789abcdef0:1234".into(),
            restart: Some(Restart {
                before: Timestamp(1_800_000_000_000),
                since: Timestamp(1_799_999_999_000),
            }),
            size: 100_000,
            surge: 100_000,
            surge_before: 90_000,
            gives_back: true,
            failures: 100_000,
            last_failed: Some("i-0123456789abcdef0".into()),
            retained_failed: 10,
            last_retained: Some("i-0123456789abcdef0".into()),
            checkpoints_passed: 10,
            reached: Some(ReachedCheckpoint { index: 10, at: Timestamp(1_800_000_000_000) }),
            zone: Some("us-west-2-lax-1a".into()),
            paused: Duration::from_secs(1_000_000),
            pause_changed_at: Some(Timestamp(1_800_000_000_000)),
            acknowledged: ["01234567", "12345678", "23456789", "3456789a"].map(String::from).into(),
            owned: true,
            promoted: true,
            released: None,
            victims: HookRecord::example().group,
            hooks: Some(HookRecord::example()),
            started: Timestamp(1_800_000_000_000),
            borrowed: Borrowed {
                template: Some("lt-0123456789abcdef0:$Latest".into()),
                max: Some(BorrowedMax { found: 100_000, before: 105_000, ours: 110_000 }),
                suspended: [
                    "AZRebalance",
                    "AddToLoadBalancer",
                    "AlarmNotification",
                    "InstanceRefresh",
                    "ScheduledActions",
                ]
                .map(String::from)
                .into(),
                shifts: Some("01234567".into()),
                controller: None,
            },
            completed: Some("lt-0123456789abcdef0:1233".into()),
            reason: Some("instance i-1 failed: codes 502".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_moves_the_time_of_a_checkpoint_and_passing_it_ends_that_time() {
        let at = |minute: u64| Timestamp(0) + Duration::from_secs(60 * minute);
        let paused = Record {
            phase: Phase::Halted(Ending::Paused),
            checkpoints_passed: 1,
            reached: Some(ReachedCheckpoint { index: 1, at: at(0) }),
            pause_changed_at: Some(at(10)),
            paused: Duration::ZERO,
            ..Record::example()
        };
        let resumed = paused.clone().resumed(at(60));
        assert_eq!((resumed.reached_at(), resumed.phase), (Some(at(50)), Phase::Rolling));
        assert_eq!(resumed.clone().resumed(at(90)).reached_at(), Some(at(50)), "it ran meanwhile");
        assert_eq!(resumed.past_checkpoint().reached, None);
        let other = Record { checkpoints_passed: 2, ..paused };
        assert_eq!(other.reached_at(), None, "another checkpoint was reached then");
    }
}
