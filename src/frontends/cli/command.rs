//! `rolling pause|resume|abort|rollback`: gives a command to a rollout of another process.
//!
//! That process may be at work on the rollout or may have ended.

use std::io;
use std::path::Path;

use super::after_end::{self, AfterEnd, StoredState};
use super::answers::CommandAnswer;
use super::apply::{listen, roll_one_back_to};
use super::arguments::{Arguments, OutputFormat, print_json, refuse};
use super::event_output::shower;
use super::follow;
use super::open_targets::{Purpose, prepare_all};
use crate::document::{Diagnostic, PROVIDER};
use crate::engine::ControlOutcome;
use crate::host::process_context::ProcessContext;
use crate::host::stdout::print_line;
use crate::model::event::Outcome;
use crate::model::printable;
use crate::record::command::Command;
use crate::report::exit_codes::{FAILED, exit_code};
use crate::report::text;

/// Rolls every selected deployment back: its rollout, or once that is over to the revision before,
/// by the state in the file `stored`, if one is given. Returns the exit code.
pub(crate) async fn roll_back(
    stored: Option<&Path>,
    args: &Arguments,
    context: &ProcessContext,
) -> u8 {
    match stored.map(StoredState::read).transpose() {
        Ok(stored) => give(Command::Rollback, stored.as_ref(), args, context).await,
        Err(found) => refuse(args, &[found]),
    }
}

/// Gives `command` to every selected rollout. Returns the exit code.
///
/// The code is 0 when the command has its effect. Otherwise, a command that is carried out here
/// exits as `apply` does, and any other with 1. The engine at work exits with what becomes of the
/// rollout.
pub(crate) async fn command(command: Command, args: &Arguments, context: &ProcessContext) -> u8 {
    if command == Command::Resume
        && let Some(found) = follow::lacks(&args.file, context)
    {
        return refuse(args, &[found]);
    }
    give(command, None, args, context).await
}

async fn give(
    command: Command,
    stored: Option<&StoredState>,
    args: &Arguments,
    context: &ProcessContext,
) -> u8 {
    let prepared = match prepare_all(args, context, Purpose::Tell).await {
        Ok(prepared) => prepared,
        Err(found) => return refuse(args, &found),
    };
    let Some((stop, interrupt)) = listen() else { return FAILED };
    let mut code = 0;
    for (resource, rollout) in prepared {
        let name = &resource.name;
        match after_end::find(command, &resource, &rollout, stored).await {
            Ok(AfterEnd::Nothing) => {}
            Ok(AfterEnd::Done(why)) => {
                code = code.max(tell_done(command, name, &why, args));
                continue;
            }
            Ok(AfterEnd::RollBackTo(to)) => {
                let message =
                    format!("{name}: rolling back to {}, by {}", to.revision, to.shown_by);
                print_line(&mut io::stderr(), &printable::line(&message));
                let rolled = roll_one_back_to(name, to.revision.as_str(), args, context).await;
                code = code.max(rolled);
                continue;
            }
            Err(found) => {
                code = code.max(refuse(args, &[found]));
                continue;
            }
        }
        let mut show = shower(args, name, &rollout, context);
        let done = rollout.command(command, stop.clone(), &mut |envelope| show(&envelope)).await;
        drop(show);
        let commanded = match done {
            Ok(commanded) => commanded,
            Err(error) => {
                // The other deployments still get the command.
                let found = Diagnostic::from_provider(&error, &resource.pointer, PROVIDER);
                code = code.max(refuse(args, &[found]));
                continue;
            }
        };
        let done = tell(command, name, &commanded, args);
        if let Some(interrupt) = *interrupt.borrow() {
            return interrupt.exit_code();
        }
        code = code.max(done);
    }
    code
}

/// Prints that nothing is left to do. Returns the exit code.
fn tell_done(command: Command, name: &str, why: &str, args: &Arguments) -> u8 {
    let message = printable::line(&format!("{name}: {why}")).into_owned();
    match args.output {
        OutputFormat::Text => print_line(&mut io::stdout(), &message),
        OutputFormat::Json => {
            let resource = name.to_owned();
            print_json(&CommandAnswer { resource, command, message, as_asked: true });
        }
    }
    0
}

/// Prints what came of `command`. Returns the exit code.
fn tell(command: Command, name: &str, commanded: &ControlOutcome, args: &Arguments) -> u8 {
    let as_asked = commanded.is_as_asked(command);
    let (message, ended) = match commanded {
        ControlOutcome::RanHere(report) => {
            let is_late = report.outcome == Outcome::Succeeded && !as_asked;
            let late = is_late.then(|| format!("{name}: too late to {}\n", command.name()));
            let told = text::report(name, report);
            (late.unwrap_or_default() + &told, exit_code(report.outcome))
        }
        other => {
            let answer = other.answer(command).map(|answer| answer.message);
            let message = format!("{name}: {}", answer.unwrap_or_default());
            (printable::line(&message).into_owned(), FAILED)
        }
    };
    match args.output {
        OutputFormat::Text => print_line(&mut io::stdout(), &message),
        OutputFormat::Json => {
            let resource = name.to_owned();
            print_json(&CommandAnswer { resource, command, message, as_asked });
        }
    }
    if as_asked { 0 } else { ended.max(FAILED) }
}
