//! The store, the fleet and time, and what may happen next.

use std::sync::Arc;

use rolling::record::lease::Lease;
use rolling::record::{Phase, Record};
use rolling::rollout::ownership::{LATE, Moment};
use rolling_provider::{Tags, Timestamp};

use super::engine::record;
use super::process::{Process, Stage, Task};

/// Nothing begins later than this.
const STARTS_UNTIL: u8 = 4;
/// Where a trace ends: every process has had the time to end by then.
const LAST: u8 = 34;
/// A frozen process continues by then, or never.
const WAKES_UNTIL: u8 = 16;

/// Returns the time of step number `tick`: a step is as long as the time between renewals.
pub fn at(tick: u8) -> Timestamp {
    Timestamp(1_800_000_000_000 + u64::from(tick) * 10_000)
}

pub fn moment(tick: u8) -> Moment {
    Moment { now: at(tick), wall: at(tick) }
}

/// What may still go wrong in this trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    pub freezes: u8,
    pub crashes: u8,
    pub lost: u8,
    pub stale: u8,
    /// How many of all these together.
    pub odd: u8,
}

/// How a process takes its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    Plainly,
    /// Not yet: it is an engine of a document with several deployments, and has looked already.
    NotYet,
    /// With a look from before the last write.
    BlindToTheLastWrite,
    /// It is frozen before its call.
    FrozenBeforeTheCall,
    /// It is frozen with its call on its way.
    FrozenInTheCall,
    /// It is frozen with the renewal of its lease on its way.
    FrozenInTheRenewal,
    /// The call gets no answer, whether it had an effect or not.
    Unanswered {
        done: bool,
    },
    /// It ends without a command, after its call or before.
    Killed {
        done: bool,
    },
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Start(usize),
    Wake(usize),
    /// Every process that is awake takes its next step: first all look, then all act on that, each
    /// in this order. One of them may do so in another way.
    Step {
        last_first: bool,
        odd: Option<(usize, How)>,
    },
}

/// A call to the cloud.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Write(Tags),
    Erase(Vec<&'static str>),
    Suspend,
    Resume,
    Replace(usize, u8),
}

/// A command of which a caller was told that it took effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acknowledged {
    pub id: String,
    pub rollout: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub tick: u8,
    /// The last process that has started in this step.
    started: Option<usize>,
    pub tags: Arc<Tags>,
    /// The tags before the last write, and when that was.
    before: (Arc<Tags>, u8),
    /// The revisions of the two instances, and whether processes are suspended.
    pub on: [u8; 2],
    pub suspended: bool,
    pub processes: Vec<Arc<Process>>,
    pub left: Left,
    /// A process that lost the rollout has printed what is borrowed.
    pub printed: bool,
    pub acknowledged: Vec<Acknowledged>,
    pub broken: Option<&'static str>,
}

impl World {
    pub fn new(tasks: &[Task], odd: u8) -> Self {
        let names = ["a", "b", "c", "d"].into_iter().zip(tasks);
        let processes = names.map(|(name, task)| Arc::new(Process::new(name, *task)));
        Self {
            tick: 0,
            started: None,
            tags: Arc::default(),
            before: (Arc::default(), 0),
            on: [1, 1],
            suspended: false,
            processes: processes.collect(),
            left: Left { freezes: 1, crashes: 1, lost: 1, stale: 2, odd },
            printed: false,
            acknowledged: Vec::new(),
            broken: None,
        }
    }

    /// The same with what a rollout to v2 has left there.
    pub fn left_by_a_dead_engine(mut self, phase: Phase, back: bool) -> Self {
        let lease = Lease { owner: "dead/1.1.aa".into(), counter: 7, at: Some(at(0)), waits: None };
        let mut record = record("r-v2-0", &"v2".into(), 1);
        (record.phase, record.rolls_back) = (phase, back);
        let is_halted = matches!(phase, Phase::Halted(_));
        if !is_halted {
            record.borrowed.suspended.insert("AZRebalance".into());
        }
        self.tags = Arc::new(lease.tags().into_iter().chain(record.tags()).collect());
        (self.on, self.suspended) = ([2, 1], !is_halted);
        self
    }

    pub fn actions(&self, actions: &mut Vec<Action>) {
        if self.broken.is_some() {
            return;
        }
        let sleeps = self.tick > WAKES_UNTIL;
        let mut awake = 0;
        for (index, process) in self.processes.iter().enumerate() {
            match process.stage {
                Stage::Idle if self.may_start(index) => actions.push(Action::Start(index)),
                Stage::Idle | Stage::Over | Stage::Crashed => {}
                _ if process.frozen && !sleeps => actions.push(Action::Wake(index)),
                _ if process.frozen => {}
                _ => awake += 1,
            }
        }
        let waits =
            actions.iter().any(|action| matches!(action, Action::Start(_) | Action::Wake(_)));
        if self.tick == LAST || (awake == 0 && !waits) {
            return;
        }
        for last_first in [false, true] {
            if last_first && awake < 2 {
                break;
            }
            actions.push(Action::Step { last_first, odd: None });
            for index in 0..self.processes.len() {
                let choices = self.choices(index).into_iter();
                actions.extend(
                    choices.map(|how| Action::Step { last_first, odd: Some((index, how)) }),
                );
            }
        }
    }

    /// Time begins with the first engine. The order of starts in one step makes no difference.
    fn may_start(&self, index: usize) -> bool {
        let in_order = self.started.is_none_or(|last| index > last);
        self.tick <= STARTS_UNTIL && in_order && (index > 0 || self.tick == 0)
    }

    /// Returns the ways in which a process may take its next step, but for the normal one.
    fn choices(&self, index: usize) -> Vec<How> {
        let process = &self.processes[index];
        let mut choices = Vec::new();
        if process.frozen || matches!(process.stage, Stage::Idle | Stage::Over | Stage::Crashed) {
            return choices;
        }
        if process.may_wait() && self.tick <= STARTS_UNTIL {
            choices.push(How::NotYet);
        }
        if self.left.odd == 0 {
            return choices;
        }
        if self.left.stale > 0 {
            choices.push(How::BlindToTheLastWrite);
        }
        if !process.may_freeze() {
            return choices;
        }
        if self.left.freezes > 0 {
            choices.extend([How::FrozenBeforeTheCall, How::FrozenInTheCall]);
            if matches!(process.stage, Stage::Driving(_)) {
                choices.push(How::FrozenInTheRenewal);
            }
        }
        for done in [false, true] {
            if self.left.lost > 0 {
                choices.push(How::Unanswered { done });
            }
            if self.left.crashes > 0 {
                choices.push(How::Killed { done });
            }
        }
        choices
    }

    pub fn after(mut self, action: Action) -> Option<Self> {
        match action {
            Action::Start(index) => {
                self.started = Some(index);
                Process::start(&mut self, index);
            }
            Action::Wake(index) => self.process(index).frozen = false,
            Action::Step { last_first, odd } => {
                let costs = odd.filter(|(_, how)| !matches!(how, How::Plainly | How::NotYet));
                self.left.odd -= u8::from(costs.is_some());
                match costs.map(|(_, how)| how) {
                    None | Some(How::Plainly | How::NotYet) => {}
                    Some(How::BlindToTheLastWrite) => self.left.stale -= 1,
                    Some(How::Unanswered { .. }) => self.left.lost -= 1,
                    Some(How::Killed { .. }) => self.left.crashes -= 1,
                    Some(_) => self.left.freezes -= 1,
                }
                let mut order: Vec<usize> = (0..self.processes.len()).collect();
                if last_first {
                    order.reverse();
                }
                for index in order.iter().chain(&order).chain(&order).copied() {
                    let how = odd.filter(|(odd, _)| *odd == index).map(|(_, how)| how);
                    if self.processes[index].is_to_step() && how != Some(How::NotYet) {
                        Process::step(&mut self, index, how.unwrap_or(How::Plainly));
                    }
                }
                (self.tick, self.started) = (self.tick + 1, None);
                for process in self.processes.iter_mut().filter(|process| process.stepped) {
                    Arc::make_mut(process).stepped = false;
                }
            }
        }
        Some(self)
    }

    pub fn look(&self, how: How) -> Arc<Tags> {
        match how {
            How::BlindToTheLastWrite if self.tick <= self.before.1 + 1 => self.before.0.clone(),
            _ => self.tags.clone(),
        }
    }

    pub fn deliver(&mut self, call: &Call) {
        let mut tags = self.tags.as_ref().clone();
        match call {
            Call::Write(more) => tags.extend(more.clone()),
            Call::Erase(keys) => tags.retain(|key, _| !keys.contains(&key.as_str())),
            Call::Suspend => return self.suspended = true,
            Call::Resume => return self.suspended = false,
            Call::Replace(index, revision) => return self.on[*index] = *revision,
        }
        if tags != *self.tags {
            self.before = (std::mem::replace(&mut self.tags, Arc::new(tags)), self.tick);
        }
    }

    pub fn process(&mut self, index: usize) -> &mut Process {
        Arc::make_mut(&mut self.processes[index])
    }

    pub fn record(&self) -> Option<Record> {
        Record::from_tags(&self.tags).ok().flatten()
    }

    /// Whether an engine that is awake is at work.
    pub fn is_anybody_at_work(&self) -> bool {
        let works = |p: &Arc<Process>| {
            !p.frozen && matches!(p.stage, Stage::Driving(_) | Stage::Settling { .. })
        };
        self.processes.iter().any(works)
    }

    /// Whether the lease is of an engine that is awake, and not only about to begin.
    pub fn is_lease_of_a_living(&self) -> bool {
        let Some(lease) = Lease::from_tags(&self.tags) else { return false };
        let holds = |p: &&Arc<Process>| p.owner() == lease.owner && !p.frozen;
        let process = self.processes.iter().find(holds);
        // An engine that has only just continued was rightly taken for dead.
        let renewed = lease.at.is_some_and(|renewed| at(self.tick).since(renewed) < LATE);
        renewed && process.is_some_and(|process| matches!(process.stage, Stage::Driving(_)))
    }

    /// Returns the world in a few lines.
    pub fn shown(&self) -> String {
        let mut lines =
            vec![format!("-- {}: runs {:?}, suspended {}", self.tick, self.on, self.suspended)];
        lines.extend(self.tags.iter().map(|(key, value)| format!("   {key}: {value}")));
        lines.extend(self.processes.iter().map(|process| process.shown()));
        lines.join("\n") + "\n"
    }

    pub fn breaks(&mut self, what: &'static str) {
        self.broken.get_or_insert(what);
    }

    fn is_over(&self) -> bool {
        let is_over =
            |p: &Arc<Process>| matches!(p.stage, Stage::Over | Stage::Crashed | Stage::Idle);
        self.processes.iter().all(is_over)
    }

    pub fn is_borrowed_known(&self) -> bool {
        let is_recorded =
            || self.record().is_some_and(|record| !record.borrowed.suspended.is_empty());
        !self.is_over() || !self.suspended || self.printed || is_recorded()
    }

    pub fn can_go_on(&self) -> bool {
        let is_stuck = |p: &Arc<Process>| {
            !p.frozen && !matches!(p.stage, Stage::Over | Stage::Crashed | Stage::Idle)
        };
        let has_time = self.tick < LAST;
        Record::from_tags(&self.tags).is_ok() && (has_time || !self.processes.iter().any(is_stuck))
    }
}
