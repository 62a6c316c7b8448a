//! An engine at work: what it knows, and what it does next.

use std::sync::Arc;
use std::time::Duration;

use rolling::model::event::Outcome;
use rolling::record::command::{Command, Control};
use rolling::record::lease::Lease;
use rolling::record::{Ending, KEYS, Phase, ROLLOUT, Record, record_in};
use rolling::rollout::control::{CommandEffect, EngineActivity};
use rolling::rollout::ownership::Ownership;
use rolling_provider::{Action as Act, Revision, Tags};

use super::world::{Acknowledged, Call, How, World, at};

/// What an engine at work knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelEngine {
    pub own: Ownership,
    pub first: Lease,
    pub look: Arc<Tags>,
    pub looked: u8,
    pub record: Option<Record>,
    pub halt: Option<Ending>,
    pub back: bool,
    pub resume: bool,
    pub suspended: bool,
    pub erasing: bool,
    pub to: Revision,
    pub command: Option<Control>,
    /// A command of somebody else had an effect.
    pub obeyed_another: bool,
    /// It was frozen between its look and its call.
    pub midway: bool,
    /// The call that is on its way, since when, and the record that it writes.
    pub flight: Option<(Call, u8, Option<Record>)>,
    /// A record whose write got no answer.
    pub unsure: Option<Record>,
    /// Records that it has read or written.
    pub known: Vec<Arc<Tags>>,
}

pub fn revision(number: u8) -> Revision {
    Revision::new(format!("v{number}"))
}

fn number(revision: &Revision) -> u8 {
    revision.as_str().trim_start_matches('v').parse().expect("a number")
}

/// What the engine does next.
pub enum Planned {
    Call(Call, Option<Box<Record>>),
    Over(Outcome),
}

impl ModelEngine {
    pub fn arrived(&self) -> Outcome {
        if self.back { Outcome::RolledBack } else { Outcome::Succeeded }
    }

    pub fn see(&mut self, world: &World, how: How) {
        (self.look, self.looked) = (world.look(how), world.tick);
        let shown = Record::from_tags(&self.look).ok().flatten();
        if self.unsure.is_some() && self.unsure == shown {
            self.record = self.unsure.take();
        }
    }

    pub fn control(&self) -> Option<Control> {
        let acknowledged = |command: &Control| command.is_acknowledged(self.record.as_ref());
        let own = self.command.clone().filter(|command| !acknowledged(command));
        own.or_else(|| Control::pending(&self.look, self.record.as_ref(), Some(&self.first)))
    }

    pub fn effect(&self, command: Command) -> CommandEffect {
        let Self { halt, back, .. } = *self;
        EngineActivity { recorded: self.record.is_some(), back, halt, asked_to_end: false }
            .effect(command)
    }

    /// Plans what is next: the least that a rollout of two instances does.
    pub fn plan(&mut self, world: &World) -> Planned {
        let control = self.control();
        let effect = control.as_ref().map(|control| self.effect(control.command));
        let is_own = |control: &Control| {
            self.command.as_ref().is_some_and(|command| command.id == control.id)
        };
        self.obeyed_another |=
            effect.is_some_and(CommandEffect::changes) && !control.as_ref().is_some_and(is_own);
        let is_back = self.record.as_ref().is_some_and(|record| record.rolls_back);
        match effect {
            Some(CommandEffect::Halt(ending)) => self.halt = Some(ending),
            Some(CommandEffect::RollBack) => {
                (self.halt, self.back, self.resume) = (None, true, true)
            }
            Some(CommandEffect::Resume) if self.halt.is_some() => {
                (self.halt, self.back, self.resume) = (None, is_back, true);
            }
            _ => {}
        }
        let unanswered = control.filter(|_| effect != Some(CommandEffect::Later));
        match self.halt {
            Some(ending) => self.plan_halt(world, ending, unanswered.as_ref()),
            None => self.plan_way(world, unanswered.as_ref()),
        }
    }

    fn plan_halt(&self, world: &World, ending: Ending, unanswered: Option<&Control>) -> Planned {
        let outcome = if ending == Ending::Paused { Outcome::Paused } else { Outcome::Aborted };
        let Some(record) = &self.record else { return Planned::Over(outcome) };
        let is_over =
            matches!(record.phase, Phase::Halted(it) if it != Ending::Paused || it == ending);
        if is_over {
            return Planned::Over(outcome);
        }
        let acknowledged = record.acknowledge(unanswered.map(|unanswered| unanswered.id.as_str()));
        if record.phase != Phase::Halting(ending) || record.acknowledged != acknowledged {
            return write(Record { phase: Phase::Halting(ending), acknowledged, ..record.clone() });
        }
        if world.suspended && !record.borrowed.suspended.is_empty() {
            return Planned::Call(Call::Resume, None);
        }
        let mut ended = Record { phase: Phase::Halted(ending), ..record.clone() };
        ended.borrowed.suspended.clear();
        write(ended)
    }

    fn plan_way(&self, world: &World, unanswered: Option<&Control>) -> Planned {
        let goal = if self.back { revision(1) } else { self.to.clone() };
        let wanted = self.standing(unanswered);
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

    /// Returns the record to write while the rollout moves.
    fn standing(&self, unanswered: Option<&Control>) -> Record {
        let begin = |previous: Option<&Record>| {
            let generation = previous.map_or(0, |record| record.generation) + 1;
            let id = format!("r-{}-{generation}", self.to);
            let mut record = record(&id, &self.to, generation);
            record.borrowed.suspended.insert("AZRebalance".into());
            record
        };
        let Some(found) = &self.record else { return begin(None) };
        let acknowledged = found.acknowledge(unanswered.map(|unanswered| unanswered.id.as_str()));
        let mut moves = Record { phase: Phase::Rolling, acknowledged, ..found.clone() };
        moves.borrowed.suspended.insert("AZRebalance".into());
        if self.back {
            return Record { rolls_back: true, ..moves };
        }
        let is_interrupted = matches!(found.phase, Phase::Halted(it) | Phase::Halting(it) if it == Ending::Interrupted);
        if found.to == self.to && (found.phase == Phase::Rolling || self.resume || is_interrupted) {
            return moves;
        }
        begin(Some(found))
    }

    /// Takes in whether a call was answered. Returns whether the rollout is over with that.
    pub fn did(
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

    /// Checks what must hold when a call is decided on.
    pub fn check(&self, world: &mut World, me: &str, call: &Call) {
        if Lease::from_tags(&self.look).is_none_or(|lease| lease.owner != me) {
            return world.breaks("acts although a look shows that the lease is not its own");
        }
        let shown = record_in(&self.look);
        if !self.known.iter().any(|known| **known == shown) {
            return world.breaks("acts although a look shows that somebody else has worked on it");
        }
        let Call::Replace(..) = call else { return };
        let Some(record) = &self.record else { return world.breaks("acts before the record") };
        let is_ended =
            |command: &Control| matches!(command.command, Command::Pause | Command::Abort);
        if self.command.as_ref().is_some_and(is_ended) && !self.obeyed_another {
            world.breaks("replaces an instance for a command that ends a rollout");
        }
        let overrides =
            |run: &Acknowledged| run.rollout == record.id && !record.acknowledged.contains(&run.id);
        if world.acknowledged.iter().any(overrides) {
            world.breaks("overrides a command that was acknowledged");
        }
    }
}

fn write(record: Record) -> Planned {
    Planned::Call(Call::Write(record.tags()), Some(Box::new(record)))
}

/// Returns the record of a rollout that has just begun.
pub fn record(id: &str, to: &Revision, generation: u64) -> Record {
    Record {
        id: id.into(),
        generation,
        to: to.clone(),
        restart: None,
        zone: None,
        started: at(0),
        phase: Phase::Rolling,
        rolls_back: false,
        fault: false,
        size: 2,
        surge: 0,
        surge_before: 0,
        gives_back: false,
        promoted: false,
        released: None,
        failures: 0,
        last_failed: None,
        retained_failed: 0,
        last_retained: None,
        checkpoints_passed: 0,
        reached: None,
        victims: Default::default(),
        hooks: None,
        paused: Duration::ZERO,
        pause_changed_at: None,
        acknowledged: Vec::new(),
        owned: false,
        borrowed: Default::default(),
        completed: Some(revision(1)),
        reason: None,
    }
}
