//! What a command does to a rollout in each of its states, and the answer to its caller. Pure.
//!
//! [`effect`] is the one table. An engine at work, a caller that carries a command out because no engine
//! is at work, and every front-end follow it. [`PendingCommand`] is the caller's
//! side. The command is left beside the record, and evaluated again with every look, until an
//! engine has obeyed it, it can change nothing any more, or no engine is there to obey it.

mod table;

use std::time::Duration;

use rolling_provider::{Tags, Timestamp};
use sha2::{Digest as _, Sha256};

use self::table::is_so;
use crate::record::command::{Command, Control};
use crate::record::lease::{Claim, Lease, LeaseWatch};
use crate::record::{Ending, Phase, Record};

pub use self::table::{
    CommandEffect, ControlState, EngineActivity, RecordDisposition, STATES, effect, found,
    is_as_asked,
};

/// How long a live engine takes at most until it looks: its longest poll and a call or two.
pub(crate) const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(90);

/// The answer to a caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CommandReply {
    /// The answer as a sentence.
    pub message: String,
    /// Whether the result is what the caller asked for.
    pub as_asked: bool,
}

/// Returns why `command` can change nothing about the rollout of `record`; `None` where there is
/// something to do. `is_leased` says whether an engine is at work.
pub fn no_op(command: Command, record: Option<&Record>, is_leased: bool) -> Option<CommandReply> {
    let state = ControlState::of(record, is_leased);
    let effect = effect(command, state);
    // An engine that has ended no longer does what it was about to do.
    if effect.changes() || (!is_leased && state.is_under_way()) {
        return None;
    }
    let Some(record) = record else {
        let message = format!("there is no rollout to {}", command.name());
        // A command that has taken effect may be repeated.
        return Some(CommandReply { message, as_asked: true });
    };
    let (id, status) = (&record.id, record.status_shown());
    let message = match effect {
        CommandEffect::Already => format!("rollout {id} is already {status}"),
        _ => {
            let next = match record.phase {
                Phase::Halted(Ending::Interrupted) => "apply continues it",
                Phase::Halting(_) => {
                    "what is borrowed is being restored; apply then starts a new rollout"
                }
                _ => "apply starts a new rollout",
            };
            format!("rollout {id} is {status}, there is nothing to {}; {next}", command.name())
        }
    };
    Some(CommandReply { message, as_asked: effect == CommandEffect::Already })
}

/// Returns an id for the command of one request, also where a caller gives several requests the
/// same name. The id is short, since the record remembers several.
pub fn command_id(caller: &str, owner: &str, command: Command, now: Timestamp) -> String {
    let request = [caller, owner, command.name(), &now.0.to_string()].join(" ");
    let digest = Sha256::digest(request.as_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// What a caller does next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CommandStep {
    /// Write the command beside the record, and look again.
    Send,
    /// Look again.
    Look,
    /// No engine is at work: carry it out here.
    CarryOut,
    /// The engine that was about to begin gives no sign of life and has recorded nothing. Take its
    /// lease, so that it does nothing should it wake up, and remove that lease.
    RemoveLease,
    /// An engine is at work and does not react.
    TimedOut(String),
    /// An engine has obeyed the command.
    Acknowledged(CommandReply),
    /// The command can change nothing any more.
    NoOp(CommandReply),
    /// The rollout that it was for is over: its record is gone, or is another's. The fleet shows
    /// how it ended.
    Over,
}

/// A caller that waits until its command is obeyed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PendingCommand {
    control: Control,
    /// The record as it was when the command was given.
    found: Option<Record>,
    /// Whether the command is for something that an engine has begun and not recorded yet.
    by_lease: bool,
    watch: LeaseWatch,
    /// Who held the lease when it was last seen.
    owner: Option<String>,
    /// Whether the holder of the lease was seen to live.
    living: bool,
    /// Since when an engine is there to obey it.
    since: Option<Timestamp>,
    /// The rollout that the command is to be carried out on here.
    judged: Option<String>,
}

impl PendingCommand {
    /// Returns the state of a caller `by` that gives `command` about what `look` shows. No other
    /// command has the same `id`.
    pub fn new(command: Command, id: String, by: String, look: &Tags) -> Self {
        let found = Record::from_tags(look).ok().flatten();
        let is_idle = found.as_ref().is_none_or(|record| matches!(record.phase, Phase::Halted(_)));
        let lease = Lease::from_tags(look).filter(|_| is_idle);
        let by_lease = lease.is_some();
        let rollout = lease.map(|lease| lease.rollout());
        let rollout = rollout.or_else(|| found.as_ref().map(|record| record.id.clone()));
        let rollout = rollout.unwrap_or_default();
        let control = Control { command, id, rollout, by, supersedes_with: None };
        let (watch, owner, living, since, judged) = Default::default();
        Self { control, found, by_lease, watch, owner, living, since, judged }
    }

    /// Says that a rollout to this revision comes in place of the one that the command is for.
    pub(crate) fn supersede_with(&mut self, to: Option<rolling_provider::Revision>) {
        self.control.supersedes_with = to;
    }

    /// Returns the command.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Whether the rollout that it is for was recorded when it was given, or has been since.
    pub fn has_begun(&self) -> bool {
        !self.by_lease
    }

    /// Returns who held the lease when it was last seen.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Whether no engine has reacted for as long as a live engine may take.
    pub(crate) fn has_timed_out(&self, now: Timestamp) -> bool {
        self.since.is_some_and(|since| now.since(since) > ACKNOWLEDGED_WITHIN)
    }

    /// Judges one look.
    pub fn judge(
        &mut self,
        look: &Tags,
        me: &str,
        is_gone: impl Fn(&str) -> bool,
        now: Timestamp,
    ) -> CommandStep {
        let lease = Lease::from_tags(look);
        self.owner = lease.as_ref().map(|lease| lease.owner.clone()).or(self.owner.take());
        let claim = self.watch.judge(lease.as_ref(), me, is_gone, now);
        let nobody = matches!(claim, Claim::Take(_));
        let moves = matches!(claim, Claim::Held(_));
        if moves {
            // From now on: the engine may end before it acknowledges.
            (self.watch, self.living) = (LeaseWatch::default(), true);
        }
        let record = Record::from_tags(look).ok().flatten();
        if let Some(record) =
            record.as_ref().filter(|record| record.acknowledged.contains(&self.control.id))
        {
            return CommandStep::Acknowledged(self.acknowledged(record));
        }
        let is_silent =
            nobody && lease.is_some() && self.by_lease && self.control.command != Command::Resume;
        if !self.is_about(record.as_ref(), lease.as_ref().filter(|_| !nobody)) {
            return if is_silent { CommandStep::RemoveLease } else { CommandStep::Over };
        }
        if let Some(answer) = no_op(self.control.command, record.as_ref(), !nobody) {
            return if is_silent { CommandStep::RemoveLease } else { CommandStep::NoOp(answer) };
        }
        if let Some(next) = self.follow(record.as_ref(), lease.as_ref().filter(|_| !nobody)) {
            return next;
        }
        if nobody {
            self.judged = record.map(|record| record.id);
            return CommandStep::CarryOut;
        }
        self.since.get_or_insert(now);
        // An engine that no longer renews its lease may just have ended. Only one that lives is
        // timed out.
        if self.has_timed_out(now)
            && let Some(owner) = self.owner.clone().filter(|_| moves)
        {
            return CommandStep::TimedOut(owner);
        }
        let pending = Control::from_tags(look);
        let is_mine = pending.as_ref() == Some(&self.control);
        // Another caller's command goes first: a command that is written over is never obeyed. A
        // command for a rollout that is over does not count, as no engine obeys it.
        let is_taken = pending.is_some_and(|pending| {
            let of_record = record.as_ref().is_some_and(|record| record.id == pending.rollout);
            let begun = |lease: &Lease| lease.has_begun(&pending.rollout, None);
            pending.id != self.control.id
                && (of_record || lease.as_ref().is_some_and(begun))
                && !pending.is_acknowledged(record.as_ref())
        });
        if is_mine || is_taken { CommandStep::Look } else { CommandStep::Send }
    }

    /// Whether the command still has to be carried out, now that the lease is taken. Another
    /// process may have been faster, and be done.
    pub fn is_to_be_carried_out(&self, look: &Tags) -> bool {
        let record = Record::from_tags(look).ok().flatten();
        record.as_ref().is_some_and(|record| self.judged.as_ref() == Some(&record.id))
            && no_op(self.control.command, record.as_ref(), false).is_none()
    }

    /// Notes that another process took the lease first: the command is for that process from now
    /// on.
    pub fn lost_a_race(&mut self) {
        (self.watch, self.since) = Default::default();
        if let Some(judged) = self.judged.take() {
            (self.control.rollout, self.by_lease) = (judged, false);
        }
    }

    /// Whether `record` and `lease` are of what the command is for.
    fn is_about(&self, record: Option<&Record>, lease: Option<&Lease>) -> bool {
        let Some(record) = record.filter(|_| self.by_lease) else {
            let begun = |lease: &Lease| lease.has_begun(&self.control.rollout, None);
            return match record {
                Some(record) => record.id == self.control.rollout,
                None => self.by_lease && lease.is_some_and(begun),
            };
        };
        // Once that engine is gone, an unchanged record is the earlier one's: what was begun came
        // to nothing.
        lease.is_some() || !self.living || self.found.as_ref() != Some(record)
    }

    /// Follows the command to another engine than the one that was about to begin. The command is
    /// for that engine too where it continues the rollout that was found, and not where it begins
    /// another.
    fn follow(&mut self, record: Option<&Record>, lease: Option<&Lease>) -> Option<CommandStep> {
        let lease = lease.filter(|_| self.by_lease)?;
        if lease.has_begun(&self.control.rollout, None) {
            return None;
        }
        let found = self.found.as_ref().map(|found| &found.id);
        match record.filter(|record| Some(&record.id) == found) {
            None => Some(CommandStep::Over),
            Some(record) if matches!(record.phase, Phase::Halted(_)) => Some(CommandStep::Look),
            Some(record) => {
                (self.control.rollout, self.by_lease) = (record.id.clone(), false);
                None
            }
        }
    }

    fn acknowledged(&self, record: &Record) -> CommandReply {
        let by = self.owner.as_deref().unwrap_or("the engine at work");
        let (id, status) = (&record.id, record.status_shown());
        let message = format!("acknowledged by {by}; rollout {id} is {status}");
        let state = ControlState::of(Some(record), false);
        CommandReply { message, as_asked: is_so(self.control.command, state) }
    }
}

/// Returns the answer for a rollout that ended before the caller saw its command obeyed: `begun`
/// says whether anything of it was recorded, `arrived` whether every instance runs what it led to.
pub(crate) fn ended(
    command: Command,
    owner: Option<&str>,
    begun: bool,
    arrived: bool,
) -> CommandReply {
    let by = owner.unwrap_or("the engine at work");
    let (how, as_asked) = match (command, arrived) {
        (Command::Resume, true) => ("every instance runs the new revision", true),
        (_, true) => ("every instance ran the new revision before it could obey", false),
        (Command::Resume, false) if !begun => ("nothing was begun, and apply begins it", false),
        (_, false) if !begun => ("nothing was begun, and apply begins it", true),
        (Command::Abort, false) => ("all temporary changes are undone", true),
        (Command::Rollback, false) => ("no instance is left on the new revision", true),
        (Command::Pause | Command::Resume, false) => ("there is nothing to continue", false),
    };
    CommandReply { message: format!("{by} has ended the rollout in the meantime: {how}"), as_asked }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_that_has_ended_was_about_to_do_is_still_to_be_done() {
        for phase in [Phase::Rolling, Phase::Halting(Ending::Failed)] {
            let record = Record { phase, ..Record::example() };
            for command in Command::ALL {
                assert_eq!(no_op(command, Some(&record), false), None, "{command:?} {phase:?}");
            }
        }
        let ended = Record { phase: Phase::Halted(Ending::Aborted), ..Record::example() };
        assert!(no_op(Command::Abort, Some(&ended), false).is_some_and(|answer| answer.as_asked));
        assert!(no_op(Command::Resume, Some(&ended), false).is_some_and(|answer| !answer.as_asked));
        // The holder of the lease may be about to begin another rollout.
        assert_eq!(no_op(Command::Abort, Some(&ended), true), None);
    }
}
