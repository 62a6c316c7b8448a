//! One process: an engine, or a caller that may become one.

mod drive;
mod lease;

use std::sync::Arc;

use rolling::record::command::{Command, Control};
use rolling::record::lease::{Lease, LeaseWatch};
use rolling::record::{CONTROL, LEASE, Phase, Record};
use rolling::rollout::control::{self, CommandStep, PendingCommand, command_id};
use rolling_provider::Tags;

use super::engine::ModelEngine;
use super::world::{Acknowledged, Call, How, World, at};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    Apply(u8),
    Say(Command),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Idle,
    /// It has looked, and judges whether it can take the lease.
    Taking {
        look: Arc<Tags>,
        looked: u8,
        blind: bool,
        watch: LeaseWatch,
        first: bool,
        mine: Option<Lease>,
    },
    /// Its lease is on its way while it is frozen.
    Writing {
        mine: Lease,
        over: Option<Lease>,
    },
    /// It has written its lease, over another one or none.
    Settling {
        mine: Lease,
        over: Option<Lease>,
        since: u8,
    },
    Driving(Box<ModelEngine>),
    /// It has a command for the engine at work, and is about to leave it or not.
    Waiting {
        leave: bool,
    },
    Over,
    Crashed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    pub name: &'static str,
    task: Task,
    pub stage: Stage,
    pub frozen: bool,
    /// Whether it has taken its turn in this step of time.
    pub stepped: bool,
    waiting: Option<PendingCommand>,
    /// Whether it has left its command, or carried it out.
    command_given: bool,
    /// Whether a call of it arrived late, after it was frozen.
    overtaken: bool,
}

impl Process {
    pub fn new(name: &'static str, task: Task) -> Self {
        let stage = Stage::Idle;
        Self {
            name,
            task,
            stage,
            frozen: false,
            stepped: false,
            waiting: None,
            command_given: false,
            overtaken: false,
        }
    }

    pub fn shown(&self) -> String {
        let stage = match &self.stage {
            Stage::Driving(engine) => {
                let ModelEngine { halt, back, looked, .. } = engine.as_ref();
                let lease = engine.look.get(LEASE);
                let record = engine.record.as_ref().map(|record| (&record.id, record.status()));
                format!("drives {record:?}, halt {halt:?}, back {back}, looked {looked} {lease:?}")
            }
            Stage::Taking { .. } => "takes the lease".into(),
            other => format!("{other:?}").chars().take(60).collect(),
        };
        format!("   {} {:?}: {stage}, frozen {}", self.name, self.task, self.frozen)
    }

    pub fn owner(&self) -> String {
        format!("{}/1.1.aa", self.name)
    }

    pub fn may_wait(&self) -> bool {
        self.name == "b" && matches!(self.stage, Stage::Taking { first: true, .. })
    }

    /// Whether a command that is about to be carried out is still wanted.
    fn is_wanted(&self, look: &Tags) -> bool {
        self.waiting.as_ref().is_none_or(|waiting| waiting.is_to_be_carried_out(look))
    }

    pub fn is_to_step(&self) -> bool {
        let is_over = matches!(self.stage, Stage::Idle | Stage::Over | Stage::Crashed);
        !self.stepped && !self.frozen && !is_over
    }

    pub fn may_freeze(&self) -> bool {
        matches!(self.stage, Stage::Driving(_) | Stage::Taking { .. })
    }

    pub fn start(world: &mut World, index: usize) {
        let look = world.look(How::Plainly);
        let tick = world.tick;
        let process = world.process(index);
        match process.task {
            Task::Apply(_) => process.take(look, tick),
            Task::Say(command) => {
                let record = Record::from_tags(&look).ok().flatten();
                let lease = Lease::from_tags(&look);
                if let Some(answer) = control::no_op(command, record.as_ref(), lease.is_some()) {
                    process.stage = Stage::Over;
                    check_answer(world, command, &look, answer.as_asked);
                    return;
                }
                let owner = process.owner();
                // A client may give every request the same name.
                let id = command_id("operation", &owner, command, at(tick));
                process.waiting = Some(PendingCommand::new(command, id, owner, &look));
                process.stage = Stage::Waiting { leave: false };
                process.stepped = true;
            }
        }
    }

    fn take(&mut self, look: Arc<Tags>, looked: u8) {
        let watch = LeaseWatch::default();
        self.stage = Stage::Taking { look, looked, blind: false, watch, first: true, mine: None };
    }

    pub fn step(world: &mut World, index: usize, how: How) {
        let stage = std::mem::replace(&mut world.process(index).stage, Stage::Over);
        world.process(index).stepped = true;
        match stage {
            Stage::Taking { look, looked, blind, watch, first, mine } => {
                Self::judge_lease(world, index, how, (look, looked, blind, watch, first), mine);
            }
            Stage::Writing { mine, over } => {
                world.deliver(&Call::Write(mine.tags()));
                let since = world.tick;
                world.process(index).stage = Stage::Settling { mine, over, since };
            }
            Stage::Settling { mine, over, since } => {
                Self::settle(world, index, how, (mine, over, since));
            }
            Stage::Driving(engine) => Self::drive(world, index, how, *engine),
            Stage::Waiting { leave } => Self::wait(world, index, how, leave),
            other => world.process(index).stage = other,
        }
        if matches!(how, How::Killed { .. }) {
            // A killed process that was about to find that it has lost the rollout, by a call that
            // arrived late, can print nothing.
            world.printed |= world.processes[index].overtaken;
            world.process(index).stage = Stage::Crashed;
        }
    }

    fn wait(world: &mut World, index: usize, how: How, leave: bool) {
        let tick = world.tick;
        let process = world.process(index);
        let me = process.owner();
        let mut waiting = process.waiting.clone().expect("a command");
        let command = waiting.control().command;
        if leave {
            process.command_given = true;
            process.stage = Stage::Waiting { leave: false };
            world.deliver(&Call::Write(waiting.control().tags()));
            return;
        }
        let look = world.look(how);
        let next = waiting.judge(&look, &me, |_| false, at(tick));
        let id = waiting.control().id.clone();
        let process = world.process(index);
        process.waiting = Some(waiting);
        match next {
            CommandStep::Look => process.stage = Stage::Waiting { leave: false },
            CommandStep::Send => {
                // It writes in the same moment; others may, too.
                process.stepped = false;
                process.stage = Stage::Waiting { leave: true };
            }
            // With the lease in hand there is nothing to carry out, and the lease is removed.
            CommandStep::CarryOut | CommandStep::RemoveLease => {
                process.stepped = false;
                process.take(look, tick);
            }
            CommandStep::Acknowledged(answer) => {
                if !process.command_given {
                    world.breaks("reports that a command was acknowledged that was never given");
                }
                let record = Record::from_tags(&look).ok().flatten();
                if let Some(record) =
                    record.filter(|_| answer.as_asked && command != Command::Resume)
                {
                    world.acknowledged.push(Acknowledged { id, rollout: record.id });
                }
            }
            CommandStep::NoOp(answer) => {
                check_answer(world, command, &look, answer.as_asked);
                withdraw(world, &look, &id);
            }
            CommandStep::Over => {
                // The answer is that nothing was begun, and the rollout may still begin.
                let has_begun = process.waiting.as_ref().is_some_and(PendingCommand::has_begun);
                let rollout = process.waiting.as_ref().map(|it| it.control().rollout.clone());
                let named = |lease: Lease| lease.has_begun(&rollout.unwrap_or_default(), None);
                if !has_begun
                    && command != Command::Resume
                    && Lease::from_tags(&look).is_some_and(named)
                {
                    world
                        .breaks("reports that nothing was begun of a rollout that may still begin");
                }
                withdraw(world, &look, &id);
            }
            CommandStep::TimedOut(_) => {
                if !world.is_anybody_at_work() {
                    world.breaks("reports that an engine does not react that is gone");
                }
            }
        }
    }
}

/// A caller that is told that its command took effect must see that in its look.
fn check_answer(world: &mut World, command: Command, look: &Tags, as_asked: bool) {
    let record = Record::from_tags(look).ok().flatten();
    let is_so = match (&record, command) {
        (None, _) => Lease::from_tags(look).is_none(),
        (Some(record), Command::Pause) => record.status().starts_with("paus"),
        (Some(record), Command::Abort) => record.status().starts_with("abort"),
        (Some(record), Command::Rollback) => record.rolls_back,
        (Some(record), Command::Resume) => record.phase == Phase::Rolling,
    };
    if as_asked && !is_so {
        world.breaks("reports that a command took effect that did not");
    }
}

fn withdraw(world: &mut World, look: &Tags, id: &str) {
    if Control::from_tags(look).is_some_and(|pending| pending.id == id) {
        world.deliver(&Call::Erase(vec![CONTROL]));
    }
}
