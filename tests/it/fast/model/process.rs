//! One process: an engine, or a caller that may become one.

use std::sync::Arc;

use rolling::model::event::Outcome;
use rolling::record::command::{Command, Control};
use rolling::record::lease::{Claim, Lease, WATCH, Watch, is_fresh};
use rolling::record::{CONTROL, Ending, LEASE, Phase, ROLLOUT, Record, record_in};
use rolling::rollout::control::{self, Effect, Found, Next, Waiting, word_id};
use rolling::rollout::ownership::{LATE, Ownership, Standing};
use rolling_provider::Tags;

use super::engine::{ModelEngine, Planned, revision};
use super::world::{Acknowledged, Call, How, World, at, moment};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    Apply(u8),
    Say(Command),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Idle,
    /// It has looked, and judges whether the lease is to be had.
    Taking {
        look: Arc<Tags>,
        looked: u8,
        blind: bool,
        watch: Watch,
        first: bool,
        mine: Option<Lease>,
    },
    /// Its lease is on its way while it stands still.
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
    /// It has a command for whoever is at work, and is about to leave it or not.
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
    /// Whether it has done what it does in this step of time.
    pub stepped: bool,
    waiting: Option<Waiting>,
    /// Whether it has left its command, or carried it out.
    spoken: bool,
    /// Whether a call of it came late, when it had stood still.
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
            spoken: false,
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

    /// Whether a command that is about to be carried out still is.
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
                let id = word_id("operation", &owner, command, at(tick));
                process.waiting = Some(Waiting::new(command, id, owner, &look));
                process.stage = Stage::Waiting { leave: false };
                process.stepped = true;
            }
        }
    }

    fn take(&mut self, look: Arc<Tags>, looked: u8) {
        let watch = Watch::default();
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
            // Who was about to find that it is not its own any more, with a call of it come late, can
            // print nothing.
            world.printed |= world.processes[index].overtaken;
            world.process(index).stage = Stage::Crashed;
        }
    }

    fn judge_lease(
        world: &mut World,
        index: usize,
        how: How,
        (mut look, mut looked, mut blind, mut watch, first): (Arc<Tags>, u8, bool, Watch, bool),
        mine: Option<Lease>,
    ) {
        let tick = world.tick;
        let is_old = if first { !is_fresh(at(looked), at(tick)) } else { looked != tick };
        let is_late = moment(looked).age(moment(tick)) >= LATE;
        if is_old || is_late {
            (look, looked, blind) = (world.look(how), tick, how == How::BlindToTheLastWrite);
        }
        if how == How::FrozenBeforeTheCall {
            let process = world.process(index);
            (process.frozen, process.stepped) = (true, false);
            process.stage = Stage::Taking { look, looked, blind, watch, first: false, mine };
            return;
        }
        let record = Record::from_tags(&look).ok().flatten();
        if let Task::Apply(to) = world.processes[index].task {
            let waits = record.as_ref().is_some_and(|record| {
                record.phase == Phase::Halted(Ending::Paused) && record.to == revision(to)
            });
            if waits || (record.is_none() && world.on == [to, to]) {
                return;
            }
        }
        let over = Lease::from_tags(&look);
        let me = world.processes[index].owner();
        match watch.judge(over.as_ref(), &me, |_| false, at(tick)) {
            Claim::Held(_) => Self::is_late(world, index),
            Claim::Watch(_) => {
                let stage = Stage::Taking { look, looked, blind, watch, first: false, mine };
                world.process(index).stage = stage;
            }
            Claim::Take(_) => {
                // A look that is late may show no lease; a call on its way cannot be taken back.
                if !blind
                    && world.is_lease_of_a_living()
                    && over.as_ref().is_none_or(|o| o.owner != me)
                {
                    world.breaks("takes the lease of an engine that lives");
                }
                let counter = over.as_ref().map_or(0, |lease| lease.counter) + 1;
                // Tried again it is the same one.
                let mine = mine.unwrap_or(Lease { owner: me, counter, at: Some(at(tick)) });
                let process = world.process(index);
                match how {
                    How::FrozenInTheCall => {
                        (process.frozen, process.stepped) = (true, false);
                        process.stage = Stage::Writing { mine, over };
                    }
                    How::Unanswered { done } | How::Killed { done } => {
                        let mine = Some(mine);
                        let lease = mine.clone().map(|mine| mine.tags()).unwrap_or_default();
                        process.stage =
                            Stage::Taking { look, looked, blind, watch, first: false, mine };
                        if done {
                            world.deliver(&Call::Write(lease));
                        }
                    }
                    _ => {
                        process.stage = Stage::Settling { mine: mine.clone(), over, since: tick };
                        world.deliver(&Call::Write(mine.tags()));
                    }
                }
            }
        }
    }

    /// Somebody else has the lease. An apply ends as locked; a caller has a command for him.
    fn is_late(world: &mut World, index: usize) {
        let process = world.process(index);
        if let Some(waiting) = &mut process.waiting {
            waiting.lost_a_race();
            process.stage = Stage::Waiting { leave: false };
        }
    }

    fn settle(
        world: &mut World,
        index: usize,
        how: How,
        (mine, over, since): (Lease, Option<Lease>, u8),
    ) {
        let tick = world.tick;
        let look = world.look(how);
        let seen = Lease::from_tags(&look);
        if tick == since {
            world.process(index).stage = Stage::Settling { mine, over, since };
        } else if seen.as_ref() == Some(&mine) && !world.processes[index].is_wanted(&look) {
            world.deliver(&Call::Erase(vec![LEASE]));
            Self::is_late(world, index);
        } else if seen.as_ref() == Some(&mine) {
            let me = world.processes[index].owner();
            let mut own = Ownership::new(me, false);
            own.take(mine.clone(), &look, moment(since));
            let record = Record::from_tags(&look).ok().flatten();
            let process = world.process(index);
            let command = process.waiting.as_ref().map(|waiting| waiting.control().clone());
            let to = match process.task {
                Task::Apply(to) => revision(to),
                Task::Say(_) => record.as_ref().map_or(revision(2), |record| record.to.clone()),
            };
            let found = record.as_ref();
            let found = found.map(|r| control::found(r, &to, command.as_ref().map(|w| w.command)));
            let is_back = record.as_ref().is_some_and(|record| record.rolls_back);
            process.spoken |= command.is_some();
            process.stage = Stage::Driving(Box::new(ModelEngine {
                own,
                first: mine,
                known: vec![Arc::new(record_in(&look))],
                look,
                looked: tick,
                halt: match found {
                    Some(Found::Ending(ending)) => Some(ending),
                    _ => None,
                },
                back: is_back && found == Some(Found::GoesOn),
                resume: command.as_ref().is_some_and(|command| command.command == Command::Resume),
                suspended: false,
                erasing: false,
                record,
                to,
                command,
                obeyed_another: false,
                midway: false,
                unsure: None,
                flight: None,
            }));
        } else if seen.is_some() && seen != over || at(tick).since(at(since)) > WATCH {
            Self::is_late(world, index);
        } else {
            world.process(index).stage = Stage::Settling { mine, over, since };
        }
    }

    fn wait(world: &mut World, index: usize, how: How, leave: bool) {
        let tick = world.tick;
        let process = world.process(index);
        let me = process.owner();
        let mut waiting = process.waiting.clone().expect("a word");
        let command = waiting.control().command;
        if leave {
            process.spoken = true;
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
            Next::Look => process.stage = Stage::Waiting { leave: false },
            Next::Send => {
                // It writes in the same moment; others may, too.
                process.stepped = false;
                process.stage = Stage::Waiting { leave: true };
            }
            // With the lease in hand there is nothing to carry out, and it is taken off.
            Next::CarryOut | Next::RemoveLease => {
                process.stepped = false;
                process.take(look, tick);
            }
            Next::Acknowledged(answer) => {
                if !process.spoken {
                    world.breaks("tells that a word was heard that nobody has said");
                }
                let record = Record::from_tags(&look).ok().flatten();
                if let Some(record) =
                    record.filter(|_| answer.as_asked && command != Command::Resume)
                {
                    world.acknowledged.push(Acknowledged { id, rollout: record.id });
                }
            }
            Next::NoOp(answer) => {
                check_answer(world, command, &look, answer.as_asked);
                withdraw(world, &look, &id);
            }
            Next::Over => {
                // Who is told that nothing was begun is told so of one that still may.
                let has_begun = process.waiting.as_ref().is_some_and(Waiting::has_begun);
                let rollout = process.waiting.as_ref().map(|it| it.control().rollout.clone());
                let named = |lease: Lease| lease.has_begun(&rollout.unwrap_or_default(), None);
                if !has_begun
                    && command != Command::Resume
                    && Lease::from_tags(&look).is_some_and(named)
                {
                    world.breaks("tells that nothing was begun of what may still begin");
                }
                withdraw(world, &look, &id);
            }
            Next::TimedOut(_) => {
                if !world.is_anybody_at_work() {
                    world.breaks("tells that somebody does not react who is not there");
                }
            }
        }
    }

    fn drive(world: &mut World, index: usize, how: How, mut engine: ModelEngine) {
        let tick = world.tick;
        let now = moment(tick);
        if let Some((call, began, record)) = engine.flight.take() {
            world.deliver(&call);
            if moment(began).age(now) >= LATE {
                engine.own.stands_still();
                world.process(index).overtaken = true;
                // The one call that cannot be taken back: a record that it writes is what others go by.
                world.acknowledged.clear();
            }
            if engine.did(&call, record, true, now.now) {
                return Self::end(world, index, &engine, None);
            }
            world.process(index).stage = Stage::Driving(Box::new(engine));
            return;
        }
        if !std::mem::take(&mut engine.midway) {
            engine.see(world, how);
            match Self::renew_lease(world, how, &mut engine) {
                LeaseCheck::Ours => {}
                LeaseCheck::Doubtful => {
                    world.process(index).stage = Stage::Driving(Box::new(engine));
                    return;
                }
                LeaseCheck::Frozen => return Self::freeze(world, index, engine),
                LeaseCheck::Lost(outcome) => {
                    return Self::end(world, index, &engine, Some(outcome));
                }
            }
        }
        if how == How::FrozenBeforeTheCall {
            engine.midway = true;
            return Self::freeze(world, index, engine);
        }
        if moment(engine.looked).age(now) < LATE {
            Self::act(world, index, how, engine);
        } else {
            world.process(index).stage = Stage::Driving(Box::new(engine));
        }
    }

    fn renew_lease(world: &mut World, how: How, engine: &mut ModelEngine) -> LeaseCheck {
        let tick = world.tick;
        let now = moment(tick);
        if engine.own.is_late(now) {
            // The look is of now.
            engine.own.stands_still();
        }
        match engine.own.judge(&engine.look, at(engine.looked), now) {
            Standing::Ours => {}
            Standing::Doubtful | Standing::Deleted => return LeaseCheck::Doubtful,
            Standing::Lost(_) => {
                world.printed |= engine.record.is_some();
                return LeaseCheck::Lost(Outcome::Locked);
            }
        }
        if engine.erasing && !engine.look.contains_key(ROLLOUT) {
            return LeaseCheck::Lost(engine.arrived());
        }
        let lease = engine.own.next_lease(&engine.look, at(tick));
        if let Some(lease) = lease.filter(|_| engine.own.renewed_at() != now) {
            let call = Call::Write(lease.tags());
            engine.own.renew(lease, now);
            if how == How::FrozenInTheRenewal {
                engine.flight = Some((call, tick, None));
                return LeaseCheck::Frozen;
            }
            world.deliver(&call);
        }
        LeaseCheck::Ours
    }

    fn act(world: &mut World, index: usize, how: How, mut engine: ModelEngine) {
        let (tick, now) = (world.tick, moment(world.tick).now);
        let me = world.processes[index].owner();
        let (call, record) = match engine.plan(world) {
            Planned::Over(outcome) => return Self::end(world, index, &engine, Some(outcome)),
            Planned::Call(call, record) => (call, record.map(|record| *record)),
        };
        engine.check(world, &me, &call);
        let over = match how {
            How::FrozenInTheCall => {
                engine.flight = Some((call, tick, record));
                return Self::freeze(world, index, engine);
            }
            How::Unanswered { done } | How::Killed { done } => {
                if done {
                    world.deliver(&call);
                }
                engine.did(&call, record, false, now)
            }
            _ => {
                world.deliver(&call);
                engine.did(&call, record, true, now)
            }
        };
        if over {
            let outcome = engine.arrived();
            return Self::end(world, index, &engine, Some(outcome));
        }
        world.process(index).stage = Stage::Driving(Box::new(engine));
    }

    fn freeze(world: &mut World, index: usize, engine: ModelEngine) {
        let process = world.process(index);
        (process.frozen, process.stepped) = (true, false);
        process.stage = Stage::Driving(Box::new(engine));
    }

    /// It ends. What it was asked to carry out has come true, or somebody else has said otherwise.
    fn end(world: &mut World, index: usize, engine: &ModelEngine, outcome: Option<Outcome>) {
        world.process(index).stage = Stage::Over;
        let Some(outcome) = outcome.filter(|outcome| *outcome != Outcome::Locked) else { return };
        let pending = engine.control();
        let waits = pending.is_some_and(|c| engine.effect(c.command) == Effect::Later);
        let keys = if waits { vec![LEASE] } else { vec![LEASE, CONTROL] };
        if engine.own.holds() {
            world.deliver(&Call::Erase(keys));
        }
        let Task::Say(command) = world.processes[index].task else { return };
        let waiting = world.processes[index].waiting.clone().expect("a word");
        if control::is_as_asked(command, outcome) {
            if let Some(record) = engine.record.as_ref().filter(|_| command != Command::Resume) {
                let id = waiting.control().id.clone();
                world.acknowledged.push(Acknowledged { id, rollout: record.id.clone() });
            }
        } else if !engine.obeyed_another {
            let too_late = match command {
                Command::Pause | Command::Resume => outcome == Outcome::Aborted,
                Command::Abort | Command::Rollback => false,
            };
            let went_back = command == Command::Resume && outcome == Outcome::RolledBack;
            if !too_late && !went_back {
                world.breaks("does something else than it was asked to carry out");
            }
        }
    }
}

enum LeaseCheck {
    Ours,
    Doubtful,
    Frozen,
    Lost(Outcome),
}

/// Whoever is told that it is so must find it so in what the look showed.
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
        world.breaks("tells that something is so that is not");
    }
}

fn withdraw(world: &mut World, look: &Tags, id: &str) {
    if Control::from_tags(look).is_some_and(|pending| pending.id == id) {
        world.deliver(&Call::Erase(vec![CONTROL]));
    }
}
