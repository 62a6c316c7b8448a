//! What the loop remembers between two ticks, and what it decides by that. Pure.

use std::time::Duration;

use rolling_provider::{Action, ErrorKind, Timestamp};

use super::caller::{RETRY_BUDGET, STOP_RETRY_BUDGET};
use super::retry::Retry;
use super::schedule::Schedule;
use crate::model::event::Cause;
use crate::rollout::planner::Verdict;
use crate::rollout::state::{Halt, LOOKS_LAG};

/// How many ticks in a row may act without a pause between them. A rollout needs few; more mean
/// that looks contradict each other, and only time helps.
const TICKS_IN_A_ROW: u32 = 10;

/// What a verdict leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TickDecision {
    /// Carry out the plan's actions, and wait for what it waits for.
    Act,
    /// End: every instance runs the revision, and nothing is borrowed.
    Converged,
    /// End early: what can be restored is restored.
    Halted,
    /// Plan again, to restore what is borrowed.
    Halt(Halt),
    /// Plan again, with the completed revision as the target.
    RollBack { reason: String, cause: Option<Cause>, asked: bool },
    /// Plan again, forward: a command resumes a halting rollout.
    Resume,
}

impl From<Verdict> for TickDecision {
    fn from(verdict: Verdict) -> TickDecision {
        match verdict {
            Verdict::Continue => TickDecision::Act,
            Verdict::Converged => TickDecision::Converged,
            Verdict::Halted => TickDecision::Halted,
            Verdict::Halt(halt) => TickDecision::Halt(halt),
            Verdict::RollBack { reason, cause, asked } => {
                TickDecision::RollBack { reason, cause, asked }
            }
            Verdict::Resume => TickDecision::Resume,
        }
    }
}

/// What prevents the next action of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Obstacles {
    /// The process was told to end at once, or the engine no longer believes in its lease.
    pub(super) stopped: bool,
    /// The look is so old that it may be from before this process was suspended.
    pub(super) old_look: bool,
    /// The time limit of a stop has passed since the plan was made.
    pub(super) out_of_time: bool,
    /// The lease is due for renewal.
    pub(super) late_to_renew: bool,
}

/// Whether to carry out the next action of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Go {
    /// Carry it out.
    Yes,
    /// Leave the rest; nothing changed by that.
    No,
    /// Leave the rest, and plan it again after another look.
    Again,
}

/// The result of a plan's actions.
#[derive(Debug)]
pub(super) enum ActionsResult {
    /// None was carried out.
    Nothing,
    /// Some were, or the rest has to be planned again.
    Changed,
    /// This one failed, with an error of this kind.
    Failed(Action, ErrorKind),
}

/// What follows a plan's actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Give up the action that fails.
    GiveUp,
    /// Retry after this pause.
    Retry(Duration),
    /// Look after this pause: the same was planned again, or too many ticks acted in a row.
    Pause(Duration),
    /// Plan again at once: what was done began something.
    Plan,
    /// Wait until something is due.
    Wait,
}

/// What the loop remembers between two ticks.
#[derive(Debug)]
pub(super) struct Tick {
    jitter: f64,
    /// The action that fails.
    failing: Option<(Action, Retry)>,
    /// The pauses between ticks that act without an effect.
    pauses: Schedule,
    last_actions: Vec<Action>,
    /// How many ticks in a row have acted.
    in_a_row: u32,
    looked_again: bool,
    repeats: bool,
}

impl Tick {
    /// Returns what the loop remembers at first. `jitter` from 0 (none) to 1 spreads its pauses.
    pub(super) fn new(jitter: f64) -> Self {
        Self {
            jitter,
            failing: None,
            pauses: Schedule::retrying(jitter),
            last_actions: Vec::new(),
            in_a_row: 0,
            looked_again: false,
            repeats: false,
        }
    }

    /// Notes what a plan is to do.
    pub(super) fn planned(&mut self, actions: Vec<Action>) {
        // Reads may lag: the planner repeats what was done a moment ago until they show it.
        self.repeats = !actions.is_empty() && actions == self.last_actions;
        // The failure of an action that is no longer planned says nothing about what is.
        let is_planned = |failed: &Action| actions.is_empty() || actions.contains(failed);
        self.failing = self.failing.take().filter(|(failed, _)| is_planned(failed));
        self.last_actions = actions;
    }

    /// Whether to carry out the action at `index` of the plan.
    pub(super) fn may_act(&mut self, index: usize, obstacles: Obstacles) -> Go {
        if obstacles.stopped {
            return Go::No;
        }
        // Looks again only once, since a look may also take that long.
        if index == 0 && obstacles.old_look && !self.looked_again {
            self.looked_again = true;
            return Go::Again;
        }
        self.looked_again = false;
        // At least one action: otherwise an engine whose calls are all slow would never act.
        // The rest is planned again after a renewal has shown others that this engine lives.
        match obstacles.out_of_time || (index > 0 && obstacles.late_to_renew) {
            true => Go::Again,
            false => Go::Yes,
        }
    }

    /// Notes that the cloud accepted `action`.
    pub(super) fn accepted(&mut self, action: &Action) {
        self.failing = self.failing.take().filter(|(failed, _)| failed != action);
    }

    /// What follows, where `stopping` says whether a stop bounds the time.
    pub(super) fn then(&mut self, done: &ActionsResult, stopping: bool, now: Timestamp) -> Then {
        match done {
            ActionsResult::Failed(action, kind) => self.failed(action, *kind, stopping, now),
            ActionsResult::Changed if self.repeats || self.in_a_row >= TICKS_IN_A_ROW => {
                Then::Pause(self.pauses.pause())
            }
            ActionsResult::Changed => {
                self.in_a_row += 1;
                self.pauses.start_over();
                Then::Plan
            }
            ActionsResult::Nothing => {
                self.in_a_row = 0;
                Then::Wait
            }
        }
    }

    fn failed(&mut self, action: &Action, kind: ErrorKind, stopping: bool, now: Timestamp) -> Then {
        let jitter = self.jitter;
        let (_, retry) = self.failing.get_or_insert_with(|| (action.clone(), Retry::new(jitter)));
        let budget = match (stopping, kind) {
            (true, _) => STOP_RETRY_BUDGET,
            (false, ErrorKind::Denied | ErrorKind::Refused | ErrorKind::Invalid) => LOOKS_LAG,
            (false, _) => RETRY_BUDGET,
        };
        match retry.failed(now, budget) {
            Some(pause) => Then::Retry(pause),
            None => {
                self.failing = None;
                Then::GiveUp
            }
        }
    }

    /// Notes that the next plan only waits.
    pub(super) fn waits(&mut self) {
        self.in_a_row = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const FIRST: Duration = Duration::from_millis(200);

    fn action(name: &str) -> Action {
        Action::SuspendProcesses { processes: BTreeSet::from([name.to_owned()]) }
    }

    fn at(second: u64) -> Timestamp {
        Timestamp(0) + Duration::from_secs(second)
    }

    #[test]
    fn the_same_plan_again_pauses_and_so_do_too_many_in_a_row() {
        let mut tick = Tick::new(0.0);
        tick.planned(vec![action("a")]);
        assert_eq!(tick.then(&ActionsResult::Changed, false, at(0)), Then::Plan);
        tick.planned(vec![action("a")]);
        assert_eq!(tick.then(&ActionsResult::Changed, false, at(0)), Then::Pause(FIRST));
        let mut tick = Tick::new(0.0);
        for turn in 0..TICKS_IN_A_ROW {
            tick.planned(vec![action(&turn.to_string())]);
            assert_eq!(tick.then(&ActionsResult::Changed, false, at(0)), Then::Plan);
        }
        tick.planned(vec![action("another")]);
        assert_eq!(tick.then(&ActionsResult::Changed, false, at(0)), Then::Pause(FIRST));
        assert_eq!(tick.then(&ActionsResult::Nothing, false, at(0)), Then::Wait);
        tick.planned(vec![action("yet another")]);
        assert_eq!(tick.then(&ActionsResult::Changed, false, at(0)), Then::Plan);
    }

    #[test]
    fn a_failure_has_its_budget_and_forgets_what_is_no_longer_planned() {
        let budget = |kind, stopping| {
            let mut tick = Tick::new(0.0);
            let failed = ActionsResult::Failed(action("a"), kind);
            (0..1000).find(|second| {
                tick.planned(vec![action("a")]);
                tick.then(&failed, stopping, at(*second)) == Then::GiveUp
            })
        };
        assert_eq!(budget(ErrorKind::Throttled, false), Some(RETRY_BUDGET.as_secs()));
        assert_eq!(budget(ErrorKind::Refused, false), Some(LOOKS_LAG.as_secs()));
        assert_eq!(budget(ErrorKind::Throttled, true), Some(STOP_RETRY_BUDGET.as_secs()));

        let (mut tick, failed) =
            (Tick::new(0.0), ActionsResult::Failed(action("a"), ErrorKind::Throttled));
        tick.planned(vec![action("a")]);
        assert_eq!(tick.then(&failed, false, at(0)), Then::Retry(FIRST));
        tick.planned(vec![action("b")]);
        tick.planned(vec![action("a")]);
        assert_eq!(tick.then(&failed, false, at(301)), Then::Retry(FIRST), "it counts anew");
        tick.planned(vec![action("a")]);
        tick.accepted(&action("a"));
        assert_eq!(tick.then(&failed, false, at(900)), Then::Retry(FIRST), "it counts anew");
    }

    #[test]
    fn an_old_look_is_repeated_once_and_one_action_goes_before_a_renewal() {
        let mut tick = Tick::new(0.0);
        let old = Obstacles { old_look: true, ..Obstacles::default() };
        assert_eq!(tick.may_act(0, old), Go::Again);
        assert_eq!(tick.may_act(0, old), Go::Yes);
        assert_eq!(tick.may_act(0, old), Go::Again);
        let late = Obstacles { late_to_renew: true, ..Obstacles::default() };
        assert_eq!((tick.may_act(0, late), tick.may_act(1, late)), (Go::Yes, Go::Again));
        let stopped = Obstacles { stopped: true, ..late };
        assert_eq!(tick.may_act(0, stopped), Go::No);
        let late = Obstacles { out_of_time: true, ..Obstacles::default() };
        assert_eq!(tick.may_act(0, late), Go::Again);
    }
}
