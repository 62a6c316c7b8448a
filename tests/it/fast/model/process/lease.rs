//! How a process takes the lease.

use std::sync::Arc;

use rolling::record::command::Command;
use rolling::record::lease::{Claim, LEASE_DURATION, Lease, LeaseWatch, is_fresh};
use rolling::record::{Ending, LEASE, Phase, Record, record_in};
use rolling::rollout::control::{self, RecordDisposition};
use rolling::rollout::ownership::{LATE, Ownership};
use rolling_provider::{Goal, Tags};

use super::super::engine::{ModelEngine, revision};
use super::super::world::{Call, How, World, at, moment};
use super::{Process, Stage, Task};

impl Process {
    pub(super) fn judge_lease(
        world: &mut World,
        index: usize,
        how: How,
        (mut look, mut looked, mut blind, mut watch, first): (
            Arc<Tags>,
            u8,
            bool,
            LeaseWatch,
            bool,
        ),
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
                // A late look may show no lease; a call on its way cannot be taken back.
                if !blind
                    && world.is_lease_of_a_living()
                    && over.as_ref().is_none_or(|o| o.owner != me)
                {
                    world.breaks("takes the lease of an engine that lives");
                }
                let counter = over.as_ref().map_or(0, |lease| lease.counter) + 1;
                // A retry writes the same lease.
                let mine =
                    mine.unwrap_or(Lease { owner: me, counter, at: Some(at(tick)), waits: None });
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

    /// Somebody else has the lease. An apply ends as locked; a caller has a command for that
    /// engine.
    fn is_late(world: &mut World, index: usize) {
        let process = world.process(index);
        if let Some(waiting) = &mut process.waiting {
            waiting.lost_a_race();
            process.stage = Stage::Waiting { leave: false };
        }
    }

    pub(super) fn settle(
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
            let found = found.map(|r| {
                control::found(r, &Goal::of(to.clone()), command.as_ref().map(|w| w.command))
            });
            let is_back = record.as_ref().is_some_and(|record| record.rolls_back);
            process.command_given |= command.is_some();
            process.stage = Stage::Driving(Box::new(ModelEngine {
                own,
                first: mine,
                known: vec![Arc::new(record_in(&look))],
                look,
                looked: tick,
                halt: match found {
                    Some(RecordDisposition::Ending(ending)) => Some(ending),
                    _ => None,
                },
                back: is_back && found == Some(RecordDisposition::GoesOn),
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
        } else if seen.is_some() && seen != over || at(tick).since(at(since)) > LEASE_DURATION {
            Self::is_late(world, index);
        } else {
            world.process(index).stage = Stage::Settling { mine, over, since };
        }
    }
}
