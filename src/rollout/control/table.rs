//! The table of command and state, and what an engine at work makes of it.

use rolling_provider::Goal;

use crate::model::event::Outcome;
use crate::record::command::Command;
use crate::record::{Ending, Phase, Record};

/// The state of a rollout, as far as commands are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControlState {
    /// There is no rollout.
    Absent,
    /// An engine holds the lease and has not yet written what it begins or continues.
    Unrecorded,
    /// Under way, forward.
    Rolling,
    /// Under way, back.
    RollingBack,
    /// On its way to an early end.
    Halting(Ending),
    /// Ended early.
    Halted(Ending),
}

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommandEffect {
    /// End early, with this ending.
    Halt(Ending),
    /// Roll back to the last completed revision.
    RollBack,
    /// Continue in the same direction.
    Resume,
    /// Nothing yet: the engine at work was asked to end and does so. The command is carried out
    /// then.
    Later,
    /// Nothing: the rollout already does so, or has done so.
    Already,
    /// Nothing: it is too late for the command.
    TooLate,
    /// Nothing: there is no rollout.
    Absent,
}

/// Every state that there can be.
pub const STATES: [ControlState; 13] = [
    ControlState::Absent,
    ControlState::Unrecorded,
    ControlState::Rolling,
    ControlState::RollingBack,
    ControlState::Halting(Ending::Failed),
    ControlState::Halting(Ending::Paused),
    ControlState::Halting(Ending::Aborted),
    ControlState::Halting(Ending::Interrupted),
    ControlState::Halting(Ending::Unrestored),
    ControlState::Halted(Ending::Failed),
    ControlState::Halted(Ending::Paused),
    ControlState::Halted(Ending::Aborted),
    ControlState::Halted(Ending::Interrupted),
];

/// Returns what `command` does to a rollout in `state`. The last command wins: a rollout that ends
/// early may still end otherwise, or continue or roll back, until a failure or an abort is its end.
pub fn effect(command: Command, state: ControlState) -> CommandEffect {
    use ControlState::{Absent, Halted, Halting, Rolling, RollingBack, Unrecorded};
    use Ending::{Aborted, Failed, Interrupted, Paused, Unrestored};
    match (command, state) {
        (_, Absent) => CommandEffect::Absent,

        // Without a record there is nothing to continue later.
        (Command::Pause | Command::Rollback, Unrecorded) => CommandEffect::Halt(Aborted),
        (Command::Pause, Rolling | RollingBack | Halting(Interrupted)) => {
            CommandEffect::Halt(Paused)
        }
        (Command::Pause, Halting(Paused) | Halted(Paused)) => CommandEffect::Already,
        (Command::Pause, Halting(Failed | Aborted | Unrestored)) => CommandEffect::TooLate,
        (Command::Pause, Halted(Failed | Aborted | Interrupted | Unrestored)) => {
            CommandEffect::TooLate
        }

        (Command::Resume, Unrecorded | Rolling | RollingBack) => CommandEffect::Resume,
        (Command::Resume, Halting(Paused) | Halted(Paused | Interrupted)) => CommandEffect::Resume,
        (Command::Resume, Halting(Interrupted | Unrestored)) => CommandEffect::Later,
        (Command::Resume, Halting(Failed | Aborted) | Halted(Failed | Aborted | Unrestored)) => {
            CommandEffect::TooLate
        }

        (Command::Abort, Unrecorded | Rolling | RollingBack) => CommandEffect::Halt(Aborted),
        (Command::Abort, Halting(Paused | Interrupted) | Halted(Paused)) => {
            CommandEffect::Halt(Aborted)
        }
        (Command::Abort, Halting(Aborted) | Halted(Aborted)) => CommandEffect::Already,
        // What is borrowed is restored in any case.
        (Command::Abort, Halting(Failed | Unrestored)) => CommandEffect::TooLate,
        (Command::Abort, Halted(Failed | Interrupted | Unrestored)) => CommandEffect::TooLate,

        (Command::Rollback, RollingBack) => CommandEffect::Already,
        (Command::Rollback, Halting(Interrupted)) => CommandEffect::Later,
        (Command::Rollback, Rolling | Halting(Failed | Paused | Aborted | Unrestored)) => {
            CommandEffect::RollBack
        }
        (Command::Rollback, Halted(_)) => CommandEffect::RollBack,
    }
}

impl ControlState {
    /// Returns the state that `record` shows; `is_leased` says whether a live engine holds the
    /// lease.
    pub fn of(record: Option<&Record>, is_leased: bool) -> ControlState {
        match record.map(|record| (record.phase, record.rolls_back)) {
            None if !is_leased => ControlState::Absent,
            None => ControlState::Unrecorded,
            Some((Phase::Halted(_), _)) if is_leased => ControlState::Unrecorded,
            Some((Phase::Rolling, true)) => ControlState::RollingBack,
            Some((Phase::Rolling, false)) => ControlState::Rolling,
            Some((Phase::Halting(ending), _)) => ControlState::Halting(ending),
            Some((Phase::Halted(ending), _)) => ControlState::Halted(ending),
        }
    }

    /// Whether an engine still has something to do.
    pub(super) fn is_under_way(self) -> bool {
        !matches!(self, ControlState::Absent | ControlState::Halted(_))
    }
}

impl CommandEffect {
    /// Whether there is anything to do, now or later.
    pub fn changes(self) -> bool {
        !matches!(self, CommandEffect::Already | CommandEffect::TooLate | CommandEffect::Absent)
    }
}

/// What an engine at work does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EngineActivity {
    /// Whether its record is written.
    pub recorded: bool,
    /// Whether it rolls back.
    pub back: bool,
    /// How it ends, if it is halting.
    pub halt: Option<Ending>,
    /// Whether its process was asked to end.
    pub asked_to_end: bool,
}

impl EngineActivity {
    /// Returns what `command` does here and now.
    pub fn effect(self, command: Command) -> CommandEffect {
        let state = match self.halt {
            Some(ending) => ControlState::Halting(ending),
            None if !self.recorded => ControlState::Unrecorded,
            None if self.back => ControlState::RollingBack,
            None => ControlState::Rolling,
        };
        match effect(command, state) {
            // A process that was asked to end does not do this, whatever its ending.
            CommandEffect::Resume | CommandEffect::RollBack if self.asked_to_end => {
                CommandEffect::Later
            }
            effect => effect,
        }
    }
}

/// What an engine does with a record that it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordDisposition {
    /// The recorded rollout has ended, or led elsewhere: the engine's own rollout, or a command, is
    /// next.
    Over,
    /// The engine continues it, in the same direction.
    GoesOn,
    /// It was ending like this. The engine finishes that unless a command says otherwise.
    Ending(Ending),
}

/// Returns what an engine that wants `wanted`, with its own `command` if any, does with `record`.
pub fn found(record: &Record, wanted: &Goal, command: Option<Command>) -> RecordDisposition {
    let resumes = command == Some(Command::Resume);
    let ends = matches!(command, Some(Command::Pause | Command::Abort));
    if !record.leads_to(wanted) {
        return RecordDisposition::Over;
    }
    match record.phase {
        Phase::Rolling => RecordDisposition::GoesOn,
        // It is too late for these: what is left is finished.
        Phase::Halting(Ending::Unrestored) if ends => RecordDisposition::Ending(Ending::Unrestored),
        Phase::Halting(Ending::Interrupted | Ending::Unrestored)
        | Phase::Halted(Ending::Interrupted) => RecordDisposition::GoesOn,
        Phase::Halting(Ending::Paused) | Phase::Halted(Ending::Paused) if resumes => {
            RecordDisposition::GoesOn
        }
        Phase::Halting(ending) => RecordDisposition::Ending(ending),
        Phase::Halted(_) => RecordDisposition::Over,
    }
}

/// Whether a rollout that was carried out for `command` has ended as asked.
pub fn is_as_asked(command: Command, outcome: Outcome) -> bool {
    match command {
        Command::Pause => outcome == Outcome::Paused,
        Command::Resume => outcome == Outcome::Succeeded,
        Command::Abort => outcome == Outcome::Aborted,
        Command::Rollback => outcome == Outcome::RolledBack,
    }
}

/// Whether `state` is what `command` asks for.
pub(super) fn is_so(command: Command, state: ControlState) -> bool {
    match (command, state) {
        (Command::Pause, ControlState::Halting(ending) | ControlState::Halted(ending)) => {
            ending == Ending::Paused
        }
        (Command::Abort, ControlState::Halting(ending) | ControlState::Halted(ending)) => {
            ending == Ending::Aborted
        }
        (Command::Pause | Command::Abort, _) => false,
        (Command::Resume, state) => {
            matches!(state, ControlState::Rolling | ControlState::RollingBack)
        }
        (Command::Rollback, state) => state == ControlState::RollingBack,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_ends_a_rollout_never_resumes_it_and_none_changes_what_is_not_there() {
        for state in STATES {
            for command in Command::ALL {
                let effect = effect(command, state);
                let what = format!("{command:?} {state:?}: {effect:?}");
                let goes = matches!(effect, CommandEffect::Resume | CommandEffect::RollBack);
                assert!(!goes || matches!(command, Command::Resume | Command::Rollback), "{what}");
                assert_eq!(
                    effect == CommandEffect::Absent,
                    state == ControlState::Absent,
                    "{what}"
                );
                if let CommandEffect::Halt(ending) = effect {
                    // The same command once more changes nothing.
                    let again = self::effect(command, ControlState::Halting(ending));
                    assert!(!again.changes() || command == Command::Rollback, "{what}");
                }
            }
        }
    }
}
