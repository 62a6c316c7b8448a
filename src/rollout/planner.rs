//! The planner: pure, and the only place that decides.
//!
//! `(deployment, target, observation, progress, now)` goes in; the actions to do now, what is
//! being waited for and until when, and the verdict come out. No clock, randomness, environment
//! or I/O, and ordered collections only, so that the same input always gives the same plan.

mod batch;
mod borrow;
pub mod check;
pub mod due;
mod gate;
mod halt;
mod in_place;
mod instance_refresh;
mod launch;
mod pace;
mod paper;
mod preflight;
mod preview;
mod retire;
mod roll;
pub(crate) mod shift;
mod stop_conditions;
mod view;
mod wait;

pub use gate::Ask;
pub(crate) use in_place::SHOWS_IN as UPDATE_SHOWS_IN;
pub use preflight::{Preflight, preflight};
pub use preview::{BatchPreview, Borrowing, Preview, preview};
pub use stop_conditions::turn_back;
pub use view::{Member, View};
pub use wait::{Wait, WaitKind};

use std::collections::BTreeSet;
use std::time::Duration;

use rolling_provider::{Action, InstanceId, Observation, Target, Timestamp};

use crate::model::spec::{Pacing, RollingDeployment};
use crate::record::Record;
use crate::rollout::state::{Halt, RolloutState};

/// How long a rollout waits for somebody to end what sets instances aside.
const SET_ASIDE_FOR: Duration = Duration::from_secs(3600);

/// How long a launch must be missing before the size may be lowered by it. Looks lag: were the
/// instance there after all, the cloud would choose who goes instead.
const UNLAUNCHED_AFTER: Duration = Duration::from_secs(15);

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
    fn bakes(&self) -> bool {
        self.state.gates.baking.is_some()
    }

    /// Whether the fleet launches by itself what is to run.
    fn launches(&self) -> bool {
        !self.look.is_unmanaged() && !self.is_in_place()
    }

    /// Whether instances are updated and not replaced.
    fn is_in_place(&self) -> bool {
        self.spec.replacement.within().is_some()
    }
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a plan that nobody carries out changes nothing"]
pub struct Plan {
    /// Actions in order; when one fails the rest of the list is void and a fresh look is due.
    pub actions: Vec<Step>,
    /// A batch that begins with this plan.
    pub begins: Option<BatchStart>,
    /// Victims chosen outside any batch: surge that is given back after a failure.
    pub chosen: BTreeSet<InstanceId>,
    /// Whether the current batch ends with this plan.
    pub batch_ends: bool,
    /// Whether the rollout stands at a checkpoint whose time has yet to pass.
    pub stands_at_checkpoint: bool,
    /// Whether nothing is left but instances that somebody has set aside.
    pub waits_for_set_aside: bool,
    /// Whether the rollout waits on purpose, which is no lack of progress.
    pub rests: bool,
    /// What to ask of the gates, in the background, until a plan asks something else.
    pub asks: Option<Ask>,
    /// Whether everything is done and has to stay well for a while.
    pub bakes: bool,
    /// Whether requests are shifted, and that has to stay well for a while.
    pub evaluates: bool,
    /// What is being waited for.
    pub waiting_on: Vec<Wait>,
    /// When to look again at the latest, because something is due then.
    pub wake: Option<Timestamp>,
    /// Whether to go on.
    pub verdict: Verdict,
}

impl Plan {
    fn waiting() -> Self {
        Plan {
            actions: Vec::new(),
            begins: None,
            chosen: BTreeSet::new(),
            batch_ends: false,
            stands_at_checkpoint: false,
            waits_for_set_aside: false,
            rests: false,
            asks: None,
            bakes: false,
            evaluates: false,
            waiting_on: Vec::new(),
            wake: None,
            verdict: Verdict::Continue,
        }
    }

    /// The record that stands once what is planned so far is done.
    fn record<'a>(&'a self, input: &Input<'a>) -> Option<&'a Record> {
        let planned = self.actions.iter().rev().find_map(|step| step.record.as_ref());
        planned.or(input.state.record.as_ref())
    }

    fn wait(&mut self, wait: Wait) {
        self.wake = Some(self.wake.map_or(wait.deadline, |wake| wake.min(wait.deadline)));
        self.waiting_on.push(wait);
    }

    /// Notes that something is expected at `at`, unless that has passed.
    fn wake_at(&mut self, at: Option<Timestamp>, now: Timestamp) {
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
    pub record: Option<Record>,
}

impl Step {
    pub(crate) fn new(action: Action) -> Self {
        Step { action, record: None }
    }

    pub(crate) fn record(record: Record) -> Self {
        let action = Action::WriteRecord { tags: record.tags() };
        Step { action, record: Some(record) }
    }
}

/// A batch that begins, or, where there are no batches, the next few.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchStart {
    /// From 1; `None` in continuous pacing.
    pub number: Option<u32>,
    /// Who goes; empty for the batch that only launches surge.
    pub victims: BTreeSet<InstanceId>,
    /// How many are launched beside the fleet.
    pub launches: u32,
}

impl BatchStart {
    fn of(input: &Input<'_>, victims: BTreeSet<InstanceId>, launches: u32) -> Self {
        let number = match input.spec.pacing {
            Pacing::Batch => Some(input.state.batch + 1),
            Pacing::Continuous => None,
        };
        BatchStart { number, victims, launches }
    }
}

/// Whether to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is more to do or to wait for.
    Continue,
    /// The rollout must end early; plan again with this in [`Progress::halt`].
    Halt(Halt),
    /// The rollout goes back to the completed revision; plan again with that as the target's.
    RollBack {
        /// Why, as a sentence.
        reason: String,
        /// Whether somebody asked for it.
        asked: bool,
    },
    /// What was being put back goes on after all: somebody asked for it.
    GoOn,
    /// Nothing is left: every instance runs the revision and nothing is borrowed.
    Converged,
    /// Ended early; what could be put back is.
    Halted,
}

/// Plans one tick.
pub fn plan(input: &Input<'_>) -> Plan {
    let view = View::new(input);
    match &input.state.halt {
        Some(halt) => match stop_conditions::apply_command(input) {
            Some(verdict) => Plan { verdict, ..Plan::waiting() },
            None => halt::plan(input, &view, halt),
        },
        None => roll::plan(input, &view),
    }
}

/// Takes everything of an ended rollout off the target.
pub fn erase(input: &Input<'_>) -> Vec<Step> {
    match &input.state.record {
        Some(record) => launch::erase(input, record),
        None => Vec::new(),
    }
}

/// Whether there is nothing to do for this deployment: every instance that is ours to touch runs
/// the revision, the fleet launches it, and nothing of a rollout is left on the target.
pub fn is_converged(input: &Input<'_>) -> bool {
    let view = View::new(input);
    let template = input.look.template.as_ref().map(|found| input.target.resolve(found));
    view.old().next().is_none()
        && view.standby.is_empty()
        && (!input.launches() || template == Some(&input.target.revision))
        && input.state.record.is_none()
}
