//! What came of a command.

use crate::model::event::Report;
use crate::record::Record;
use crate::record::command::Command;
use crate::rollout::control::{self, CommandReply};

/// The result of a command.
#[derive(Debug)]
pub enum ControlOutcome {
    /// The command could not change anything.
    NoOp(CommandReply),
    /// The engine at work has obeyed, or has ended: its owner, the answer for the caller, and the
    /// record at that time.
    Acknowledged(String, CommandReply, Option<Box<Record>>),
    /// No engine was at work, so this process carried the command out.
    RanHere(Box<Report>),
    /// An engine is at work and did not react.
    TimedOut(String),
    /// The command is left for the engine that holds the lease, and the caller waits no longer.
    Sent(String),
}

impl ControlOutcome {
    /// Returns the answer to `command`, and whether that is what the caller asked for. `None` when
    /// this process carried the command out: the report has the answer.
    pub fn answer(&self, command: Command) -> Option<CommandReply> {
        let answer = |message| Some(CommandReply { message, as_asked: false });
        match self {
            ControlOutcome::NoOp(answer) | ControlOutcome::Acknowledged(_, answer, _) => {
                Some(answer.clone())
            }
            ControlOutcome::RanHere(_) => None,
            ControlOutcome::TimedOut(owner) => {
                answer(format!("{owner} is at work but does not respond; try again"))
            }
            ControlOutcome::Sent(owner) => answer(format!(
                "the command {} is recorded for {owner}, which has not responded yet; the status \
                 shows whether it has",
                command.name()
            )),
        }
    }

    /// Returns why nothing is known of the command, if an engine is at work and did not react.
    pub fn unanswered(&self, command: Command) -> Option<String> {
        let answer = self.answer(command).map(|answer| answer.message);
        answer.filter(|_| matches!(self, ControlOutcome::TimedOut(_) | ControlOutcome::Sent(_)))
    }

    /// Whether the command did what the caller asked for.
    pub fn is_as_asked(&self, command: Command) -> bool {
        match self {
            ControlOutcome::RanHere(report) => control::is_as_asked(command, report.outcome),
            other => other.answer(command).is_some_and(|answer| answer.as_asked),
        }
    }
}
