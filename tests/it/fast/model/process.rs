//! One process: an engine, or a caller that may become one.

use std::sync::Arc;
use std::time::Duration;

use rolling::command::{self, Effect, Found, Next, Waiting, Work, word_id};
use rolling::control::{Control, Word};
use rolling::event::Outcome;
use rolling::lease::{Claim, Lease, WATCH, Watch, is_fresh};
use rolling::ownership::{LATE, Ownership, Standing};
use rolling::record::{CONTROL, Ending, KEYS, LEASE, Phase, RECORD, ROLLOUT, Record};
use rolling_provider::{Action as Act, Revision, Tags};

use super::world::{Acknowledged, Call, How, World, at, moment};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    Apply(u8),
    Say(Word),
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
    Driving(Box<Engine>),
    /// It has a word for whoever is at work, and is about to leave it or not.
    Waiting {
        leave: bool,
    },
    Ended,
    Crashed,
}

/// What an engine at work knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Engine {
    own: Ownership,
    first: Lease,
    look: Arc<Tags>,
    looked: u8,
    record: Option<Record>,
    halt: Option<Ending>,
    back: bool,
    resume: bool,
    suspended: bool,
    erasing: bool,
    to: Revision,
    word: Option<Control>,
    /// Somebody else's word had an effect.
    obeyed_another: bool,
    /// It stood still between its look and its call.
    midway: bool,
    /// A call on its way, since when, and the record that it writes.
    flight: Option<(Call, u8, Option<Record>)>,
    /// A record that was written without an answer.
    unsure: Option<Record>,
    /// Records that it has found or written.
    known: Vec<Arc<Tags>>,
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
    /// Whether it has left its word, or carried it out.
    spoken: bool,
    /// Whether a call of it came late, when it had stood still.
    overtaken: bool,
}

fn revision(number: u8) -> Revision {
    Revision::new(format!("v{number}"))
}

fn number(revision: &Revision) -> u8 {
    revision.as_str().trim_start_matches('v').parse().expect("a number")
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
                let Engine { halt, back, looked, .. } = engine.as_ref();
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

    /// Whether a word that is about to be carried out still is.
    fn is_wanted(&self, look: &Tags) -> bool {
        self.waiting.as_ref().is_none_or(|waiting| waiting.is_to_be_carried_out(look))
    }

    pub fn is_to_step(&self) -> bool {
        let is_over = matches!(self.stage, Stage::Idle | Stage::Ended | Stage::Crashed);
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
            Task::Say(word) => {
                let record = Record::from_tags(&look).ok().flatten();
                let lease = Lease::from_tags(&look);
                if let Some(answer) = command::pointless(word, record.as_ref(), lease.is_some()) {
                    process.stage = Stage::Ended;
                    check_answer(world, word, &look, answer.as_asked);
                    return;
                }
                let owner = process.owner();
                // A client may give every request the same name.
                let id = word_id("operation", &owner, word, at(tick));
                process.waiting = Some(Waiting::new(word, id, owner, &look));
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
        let stage = std::mem::replace(&mut world.process(index).stage, Stage::Ended);
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

    /// Somebody else has the lease. An apply ends as locked; a caller has a word for him.
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
            let word = process.waiting.as_ref().map(|waiting| waiting.control().clone());
            let to = match process.task {
                Task::Apply(to) => revision(to),
                Task::Say(_) => record.as_ref().map_or(revision(2), |record| record.to.clone()),
            };
            let found = record.as_ref();
            let found = found.map(|r| command::found(r, &to, word.as_ref().map(|w| w.word)));
            let is_back = record.as_ref().is_some_and(|record| record.turned_back);
            process.spoken |= word.is_some();
            process.stage = Stage::Driving(Box::new(Engine {
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
                resume: word.as_ref().is_some_and(|word| word.word == Word::Resume),
                suspended: false,
                erasing: false,
                record,
                to,
                word,
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
        let word = waiting.control().word;
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
            Next::Leave => {
                // It writes in the same moment; others may, too.
                process.stepped = false;
                process.stage = Stage::Waiting { leave: true };
            }
            // With the lease in hand there is nothing to carry out, and it is taken off.
            Next::CarryOut | Next::TakeOff => {
                process.stepped = false;
                process.take(look, tick);
            }
            Next::Heard(answer) => {
                if !process.spoken {
                    world.breaks("tells that a word was heard that nobody has said");
                }
                let record = Record::from_tags(&look).ok().flatten();
                if let Some(record) = record.filter(|_| answer.as_asked && word != Word::Resume) {
                    world.acknowledged.push(Acknowledged { id, rollout: record.id });
                }
            }
            Next::Pointless(answer) => {
                check_answer(world, word, &look, answer.as_asked);
                withdraw(world, &look, &id);
            }
            Next::Ended => {
                // Who is told that nothing was begun is told so of one that still may.
                let has_begun = process.waiting.as_ref().is_some_and(Waiting::has_begun);
                let rollout = process.waiting.as_ref().map(|it| it.control().rollout.clone());
                let named = |lease: Lease| lease.has_begun(&rollout.unwrap_or_default(), None);
                if !has_begun && word != Word::Resume && Lease::from_tags(&look).is_some_and(named)
                {
                    world.breaks("tells that nothing was begun of what may still begin");
                }
                withdraw(world, &look, &id);
            }
            Next::Unheard(_) => {
                if !world.is_anybody_at_work() {
                    world.breaks("tells that somebody does not react who is not there");
                }
            }
        }
    }

    fn drive(world: &mut World, index: usize, how: How, mut engine: Engine) {
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
            match Self::keep_hold(world, how, &mut engine) {
                Kept::Ours => {}
                Kept::Doubtful => {
                    world.process(index).stage = Stage::Driving(Box::new(engine));
                    return;
                }
                Kept::Frozen => return Self::freeze(world, index, engine),
                Kept::Lost(outcome) => return Self::end(world, index, &engine, Some(outcome)),
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

    fn keep_hold(world: &mut World, how: How, engine: &mut Engine) -> Kept {
        let tick = world.tick;
        let now = moment(tick);
        if engine.own.is_late(now) {
            // The look is of now.
            engine.own.stands_still();
        }
        match engine.own.judge(&engine.look, at(engine.looked), now) {
            Standing::Ours => {}
            Standing::Doubtful | Standing::Deleted => return Kept::Doubtful,
            Standing::Lost(_) => {
                world.printed |= engine.record.is_some();
                return Kept::Lost(Outcome::Locked);
            }
        }
        if engine.erasing && !engine.look.contains_key(ROLLOUT) {
            return Kept::Lost(engine.arrived());
        }
        let lease = engine.own.next_lease(&engine.look, at(tick));
        if let Some(lease) = lease.filter(|_| engine.own.renewed_at() != now) {
            let call = Call::Write(lease.tags());
            engine.own.renew(lease, now);
            if how == How::FrozenInTheRenewal {
                engine.flight = Some((call, tick, None));
                return Kept::Frozen;
            }
            world.deliver(&call);
        }
        Kept::Ours
    }

    fn act(world: &mut World, index: usize, how: How, mut engine: Engine) {
        let (tick, now) = (world.tick, moment(world.tick).now);
        let me = world.processes[index].owner();
        let (call, record) = match engine.plan(world) {
            Planned::Ended(outcome) => return Self::end(world, index, &engine, Some(outcome)),
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

    fn freeze(world: &mut World, index: usize, engine: Engine) {
        let process = world.process(index);
        (process.frozen, process.stepped) = (true, false);
        process.stage = Stage::Driving(Box::new(engine));
    }

    /// It ends. What it was asked to carry out has come true, or somebody else has said otherwise.
    fn end(world: &mut World, index: usize, engine: &Engine, outcome: Option<Outcome>) {
        world.process(index).stage = Stage::Ended;
        let Some(outcome) = outcome.filter(|outcome| *outcome != Outcome::Locked) else { return };
        let pending = engine.control();
        let waits = pending.is_some_and(|c| engine.effect(c.word) == Effect::Later);
        let keys = if waits { vec![LEASE] } else { vec![LEASE, CONTROL] };
        if engine.own.holds() {
            world.deliver(&Call::Erase(keys));
        }
        let Task::Say(word) = world.processes[index].task else { return };
        let waiting = world.processes[index].waiting.clone().expect("a word");
        if command::is_as_asked(word, outcome) {
            if let Some(record) = engine.record.as_ref().filter(|_| word != Word::Resume) {
                let id = waiting.control().id.clone();
                world.acknowledged.push(Acknowledged { id, rollout: record.id.clone() });
            }
        } else if !engine.obeyed_another {
            let too_late = match word {
                Word::Pause | Word::Resume => outcome == Outcome::Aborted,
                Word::Abort | Word::Rollback => false,
            };
            let went_back = word == Word::Resume && outcome == Outcome::RolledBack;
            if !too_late && !went_back {
                world.breaks("does something else than it was asked to carry out");
            }
        }
    }
}

enum Kept {
    Ours,
    Doubtful,
    Frozen,
    Lost(Outcome),
}

enum Planned {
    Call(Call, Option<Box<Record>>),
    Ended(Outcome),
}

impl Engine {
    fn arrived(&self) -> Outcome {
        if self.back { Outcome::RolledBack } else { Outcome::Succeeded }
    }

    fn see(&mut self, world: &World, how: How) {
        (self.look, self.looked) = (world.look(how), world.tick);
        let shown = Record::from_tags(&self.look).ok().flatten();
        if self.unsure.is_some() && self.unsure == shown {
            self.record = self.unsure.take();
        }
    }

    fn control(&self) -> Option<Control> {
        let heard = |word: &Control| word.was_heard(self.record.as_ref());
        let own = self.word.clone().filter(|word| !heard(word));
        own.or_else(|| Control::unheard(&self.look, self.record.as_ref(), Some(&self.first)))
    }

    fn effect(&self, word: Word) -> Effect {
        let Self { halt, back, .. } = *self;
        Work { recorded: self.record.is_some(), back, halt, told_to_end: false }.effect(word)
    }

    /// What is done next: the least that a rollout of two instances is.
    fn plan(&mut self, world: &World) -> Planned {
        let control = self.control();
        let effect = control.as_ref().map(|control| self.effect(control.word));
        let is_own =
            |control: &Control| self.word.as_ref().is_some_and(|word| word.id == control.id);
        self.obeyed_another |=
            effect.is_some_and(Effect::changes) && !control.as_ref().is_some_and(is_own);
        let is_back = self.record.as_ref().is_some_and(|record| record.turned_back);
        match effect {
            Some(Effect::Halt(ending)) => self.halt = Some(ending),
            Some(Effect::TurnBack) => (self.halt, self.back, self.resume) = (None, true, true),
            Some(Effect::GoOn) if self.halt.is_some() => {
                (self.halt, self.back, self.resume) = (None, is_back, true);
            }
            _ => {}
        }
        let hears = control.filter(|_| effect != Some(Effect::Later));
        match self.halt {
            Some(ending) => self.plan_halt(world, ending, hears.as_ref()),
            None => self.plan_way(world, hears.as_ref()),
        }
    }

    fn plan_halt(&self, world: &World, ending: Ending, hears: Option<&Control>) -> Planned {
        let outcome = if ending == Ending::Paused { Outcome::Paused } else { Outcome::Aborted };
        let Some(record) = &self.record else { return Planned::Ended(outcome) };
        let is_over =
            matches!(record.phase, Phase::Halted(it) if it != Ending::Paused || it == ending);
        if is_over {
            return Planned::Ended(outcome);
        }
        let heard = record.hearing(hears);
        if record.phase != Phase::Halting(ending) || record.heard != heard {
            return write(Record { phase: Phase::Halting(ending), heard, ..record.clone() });
        }
        if world.suspended && !record.borrowed.suspended.is_empty() {
            return Planned::Call(Call::Resume, None);
        }
        let mut ended = Record { phase: Phase::Halted(ending), ..record.clone() };
        ended.borrowed.suspended.clear();
        write(ended)
    }

    fn plan_way(&self, world: &World, hears: Option<&Control>) -> Planned {
        let goal = if self.back { revision(1) } else { self.to.clone() };
        let wanted = self.standing(hears);
        if self.record.as_ref() != Some(&wanted) {
            return write(wanted);
        }
        if !world.suspended && !self.suspended {
            return Planned::Call(Call::Suspend, None);
        }
        if let Some(index) = world.on.iter().position(|on| *on != number(&goal)) {
            return Planned::Call(Call::Replace(index, number(&goal)), None);
        }
        if world.suspended {
            return Planned::Call(Call::Resume, None);
        }
        Planned::Call(Call::Erase(KEYS.to_vec()), None)
    }

    /// The record as it is to stand while it moves.
    fn standing(&self, hears: Option<&Control>) -> Record {
        let begin = |previous: Option<&Record>| {
            let generation = previous.map_or(0, |record| record.generation) + 1;
            let id = format!("r-{}-{generation}", self.to);
            let mut record = record(&id, &self.to, generation);
            record.borrowed.suspended.insert("AZRebalance".into());
            record
        };
        let Some(found) = &self.record else { return begin(None) };
        let heard = found.hearing(hears);
        let mut moves = Record { phase: Phase::Rolling, heard, ..found.clone() };
        moves.borrowed.suspended.insert("AZRebalance".into());
        if self.back {
            return Record { turned_back: true, ..moves };
        }
        let is_interrupted = matches!(found.phase, Phase::Halted(it) | Phase::Halting(it) if it == Ending::Interrupted);
        if found.to == self.to && (found.phase == Phase::Rolling || self.resume || is_interrupted) {
            return moves;
        }
        begin(Some(found))
    }

    /// Takes in that a call was answered, or not. Whether the rollout is over by it.
    fn did(
        &mut self,
        call: &Call,
        record: Option<Record>,
        sure: bool,
        now: rolling_provider::Timestamp,
    ) -> bool {
        let act = match call {
            Call::Write(tags) => Act::WriteRecord { tags: tags.clone() },
            Call::Erase(keys) => {
                Act::EraseRecord { keys: keys.iter().map(|key| (*key).to_owned()).collect() }
            }
            _ => {
                self.suspended |= *call == Call::Suspend;
                return false;
            }
        };
        let (record, unsure) = if sure { (record, None) } else { (None, record) };
        self.unsure = unsure;
        if let Call::Write(tags) = call
            && tags.contains_key(ROLLOUT)
        {
            self.known.push(Arc::new(record_in(tags)));
        }
        self.own.did(&act, sure, now);
        if let Some(record) = record {
            self.record = Some(record);
        }
        let erases = matches!(call, Call::Erase(_));
        self.erasing |= erases;
        erases && sure
    }

    /// What must hold when a call is decided on.
    fn check(&self, world: &mut World, me: &str, call: &Call) {
        if Lease::from_tags(&self.look).is_none_or(|lease| lease.owner != me) {
            return world.breaks("acts although a look shows that the lease is not its own");
        }
        let shown = record_in(&self.look);
        if !self.known.iter().any(|known| **known == shown) {
            return world.breaks("acts although a look shows that somebody else has worked on it");
        }
        let Call::Replace(..) = call else { return };
        let Some(record) = &self.record else { return world.breaks("acts before the record") };
        let is_ended = |word: &Control| matches!(word.word, Word::Pause | Word::Abort);
        if self.word.as_ref().is_some_and(is_ended) && !self.obeyed_another {
            world.breaks("replaces an instance for a word that ends a rollout");
        }
        let overrides =
            |told: &Acknowledged| told.rollout == record.id && !record.heard.contains(&told.id);
        if world.acknowledged.iter().any(overrides) {
            world.breaks("overrides a command that was acknowledged");
        }
    }
}

fn write(record: Record) -> Planned {
    Planned::Call(Call::Write(record.tags()), Some(Box::new(record)))
}

fn record_in(tags: &Tags) -> Tags {
    let is_of_it = |key: &String| RECORD.contains(&key.as_str());
    tags.iter().filter(|(key, _)| is_of_it(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Whoever is told that it is so must find it so in what the look showed.
fn check_answer(world: &mut World, word: Word, look: &Tags, as_asked: bool) {
    let record = Record::from_tags(look).ok().flatten();
    let is_so = match (&record, word) {
        (None, _) => Lease::from_tags(look).is_none(),
        (Some(record), Word::Pause) => record.status().starts_with("paus"),
        (Some(record), Word::Abort) => record.status().starts_with("abort"),
        (Some(record), Word::Rollback) => record.turned_back,
        (Some(record), Word::Resume) => record.phase == Phase::Rolling,
    };
    if as_asked && !is_so {
        world.breaks("tells that something is so that is not");
    }
}

fn withdraw(world: &mut World, look: &Tags, id: &str) {
    if Control::pending(look).is_some_and(|pending| pending.id == id) {
        world.deliver(&Call::Erase(vec![CONTROL]));
    }
}

/// A record of a rollout that has just begun.
pub fn record(id: &str, to: &Revision, generation: u64) -> Record {
    Record {
        id: id.into(),
        generation,
        to: to.clone(),
        started: at(0),
        phase: Phase::Rolling,
        turned_back: false,
        fault: false,
        size: 2,
        surge: 0,
        surge_before: 0,
        gives_back: false,
        failures: 0,
        last_failed: None,
        kept: 0,
        last_kept: None,
        gate: 0,
        paused: Duration::ZERO,
        turned: None,
        heard: Vec::new(),
        owned: false,
        borrowed: Default::default(),
        completed: Some(revision(1)),
        reason: None,
    }
}
