//! What an engine at work does.

use rolling::model::event::Outcome;
use rolling::record::command::Command;
use rolling::record::{CONTROL, LEASE, ROLLOUT};
use rolling::rollout::control::{self, CommandEffect};
use rolling::rollout::ownership::{LATE, Standing};

use super::super::engine::{ModelEngine, Planned};
use super::super::world::{Acknowledged, Call, How, World, at, moment};
use super::{Process, Stage, Task};

impl Process {
    pub(super) fn drive(world: &mut World, index: usize, how: How, mut engine: ModelEngine) {
        let tick = world.tick;
        let now = moment(tick);
        if let Some((call, began, record)) = engine.flight.take() {
            world.deliver(&call);
            if moment(began).age(now) >= LATE {
                engine.own.note_suspension();
                world.process(index).overtaken = true;
                // The one call that cannot be taken back: others go by the record that it writes.
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
            // The look is current.
            engine.own.note_suspension();
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

    /// The engine ends. What it was asked to do has come true, or somebody else has given another
    /// command.
    fn end(world: &mut World, index: usize, engine: &ModelEngine, outcome: Option<Outcome>) {
        world.process(index).stage = Stage::Over;
        let Some(outcome) = outcome.filter(|outcome| *outcome != Outcome::Locked) else { return };
        let pending = engine.control();
        let waits = pending.is_some_and(|c| engine.effect(c.command) == CommandEffect::Later);
        let keys = if waits { vec![LEASE] } else { vec![LEASE, CONTROL] };
        if engine.own.holds() {
            world.deliver(&Call::Erase(keys));
        }
        let Task::Say(command) = world.processes[index].task else { return };
        let waiting = world.processes[index].waiting.clone().expect("a command");
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
