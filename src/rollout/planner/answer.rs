//! What the planner answers: actions, waits and a verdict.

use std::collections::BTreeSet;

use rolling_provider::{Action, InstanceId, Timestamp};

use super::input::Input;
use crate::model::event::Cause;
use crate::model::spec::Pacing;
use crate::model::wait::{Wait, WaitKind};
use crate::record::Record;
use crate::rollout::state::{Halt, HookRun, Question};

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a plan that nobody carries out changes nothing"]
pub struct Plan {
    /// Actions in order. When one fails, the engine carries out only those of the rest that
    /// `may_act_beside` allows, and takes a fresh look.
    pub actions: Vec<Step>,
    /// A batch that begins with this plan.
    pub begins: Option<BatchStart>,
    /// Victims chosen outside any batch: surge that the engine removes after a failure.
    pub(crate) chosen: BTreeSet<InstanceId>,
    /// Whether the current batch ends with this plan.
    pub(crate) batch_ends: bool,
    /// What people should be warned of.
    pub(crate) warning: Option<String>,
    /// What to ask the gates in the background, until a plan asks something else.
    pub(crate) asks: Option<Ask>,
    /// The hook to run in the background, until a plan names none.
    pub(crate) hook: Option<HookRun>,
    /// Instances for which `before_deregister` is done, as the record of an earlier engine says.
    pub(crate) prepared: BTreeSet<InstanceId>,
    /// Victims that are not to go after all: the floor needs them, or somebody protects them now.
    pub(crate) released: BTreeSet<InstanceId>,
    /// What the rollout waits for.
    pub waiting_on: Vec<Wait>,
    /// When to look again at the latest, because something is due then.
    pub(crate) wake: Option<Timestamp>,
    /// Whether to continue.
    pub verdict: Verdict,
}

impl Plan {
    fn waits_for(&self, kinds: &[WaitKind]) -> bool {
        self.waiting_on.iter().any(|wait| kinds.contains(&wait.kind))
    }

    /// Whether the rollout stands at a checkpoint whose time has yet to pass.
    pub(crate) fn stands_at_checkpoint(&self) -> bool {
        self.waits_for(&[WaitKind::Checkpoint])
    }

    /// Whether only instances that an operator has set aside are left.
    pub(crate) fn waits_for_set_aside(&self) -> bool {
        self.waits_for(&[WaitKind::SetAside])
    }

    /// Whether everything is done and must stay healthy for a while.
    pub(crate) fn bakes(&self) -> bool {
        self.waits_for(&[WaitKind::Bake])
    }

    /// Whether requests are shifted, and that must stay healthy for a while, or until the gates
    /// have been checked.
    pub(crate) fn evaluates(&self) -> bool {
        self.waits_for(&[WaitKind::Evaluation, WaitKind::OldSetRetained])
            || self.asks.is_some_and(|ask| ask.question.percent > 0)
    }

    /// Whether the rollout waits deliberately, which does not count as a lack of progress.
    pub(crate) fn waits_deliberately(&self) -> bool {
        let deliberate = [WaitKind::Gate, WaitKind::Hook, WaitKind::Pause, WaitKind::Termination];
        self.waits_for(&deliberate)
            || self.stands_at_checkpoint()
            || self.waits_for_set_aside()
            || self.bakes()
            || self.evaluates()
    }

    pub(super) fn waiting() -> Self {
        Plan {
            actions: Vec::new(),
            begins: None,
            chosen: BTreeSet::new(),
            batch_ends: false,
            warning: None,
            asks: None,
            hook: None,
            prepared: BTreeSet::new(),
            released: BTreeSet::new(),
            waiting_on: Vec::new(),
            wake: None,
            verdict: Verdict::Continue,
        }
    }

    /// Returns the record that stands once the actions planned so far are done; `None` once erased.
    pub(super) fn record<'a>(&'a self, input: &Input<'a>) -> Option<&'a Record> {
        if self.actions.iter().any(|step| matches!(step.action, Action::EraseRecord { .. })) {
            return None;
        }
        let planned = self.actions.iter().rev().find_map(|step| step.record.as_ref());
        planned.or(input.state.record.as_ref())
    }

    pub(super) fn wait(&mut self, wait: Wait) {
        self.wake = Some(self.wake.map_or(wait.deadline, |wake| wake.min(wait.deadline)));
        self.waiting_on.push(wait);
    }

    /// Makes the engine look again at `at` at the latest, unless that has passed.
    pub(super) fn wake_at(&mut self, at: Option<Timestamp>, now: Timestamp) {
        if let Some(at) = at.filter(|at| *at > now) {
            self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        }
    }
}

/// One action, with the record that must stand in the cloud before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What to do.
    pub action: Action,
    /// The record that [`Action::WriteRecord`] writes.
    pub(crate) record: Option<Record>,
}

impl Step {
    pub(super) fn new(action: Action) -> Self {
        Step { action, record: None }
    }

    pub(super) fn record(record: Record) -> Self {
        let action = Action::WriteRecord { tags: record.tags() };
        Step { action, record: Some(record) }
    }
}

/// A batch that begins, or in continuous pacing the next few instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchStart {
    /// Its number, from 1; `None` in continuous pacing.
    pub(crate) number: Option<u32>,
    /// The instances that go; empty for the batch that only launches surge.
    pub victims: BTreeSet<InstanceId>,
    /// How many instances it launches beside the fleet.
    pub(crate) launches: u32,
    /// Its number in the record, where hooks go by batches.
    pub(crate) recorded: Option<u32>,
    /// Whether its instances go without a replacement.
    pub(crate) removed: bool,
    /// How many instances go, where the platform's controller chooses them.
    pub(crate) at_most: Option<u32>,
}

impl BatchStart {
    /// Returns the batch that begins, `recorded` with this number.
    pub(super) fn of(
        input: &Input<'_>,
        recorded: Option<u32>,
        victims: BTreeSet<InstanceId>,
        launches: u32,
    ) -> Self {
        let number = match input.spec.pacing {
            Pacing::Batch => Some(input.state.batch.number + 1),
            Pacing::Continuous => None,
        };
        BatchStart { number, victims, launches, recorded, removed: false, at_most: None }
    }
}

/// Whether to continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is more to do or to wait for.
    Continue,
    /// The rollout must end early; plan again with this in `RolloutState::halt`.
    Halt(Halt),
    /// The rollout rolls back to the completed revision; plan again with that as the target's.
    RollBack {
        /// Why, as a sentence.
        reason: String,
        /// What the failure comes from, where that is known.
        cause: Option<Cause>,
        /// Whether a command asked for it.
        asked: bool,
    },
    /// A halting rollout continues after all, because a command asks for it.
    Resume,
    /// Nothing is left: every instance runs the revision and nothing is borrowed.
    Converged,
    /// The rollout ended early, and everything that could be restored is restored.
    Halted,
}

/// What to ask of the gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    /// The question.
    pub(crate) question: Question,
    /// Whether nothing waits for the answer.
    ///
    /// Only a failure counts then, and the engine repeats the question.
    pub(crate) watches: bool,
}
