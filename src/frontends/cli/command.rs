//! `rolling pause|resume|abort|rollback`: gives a command to a rollout of another process.
//!
//! That process may be at work on the rollout or may have ended.

use std::io;

use super::answers::CommandAnswer;
use super::apply::listen;
use super::arguments::{Arguments, OutputFormat, print_json, refuse};
use super::event_output::shower;
use super::follow;
use super::prepare::{Purpose, Rollout, prepare_all};
use crate::document::{Diagnostic, PROVIDER, Resource};
use crate::engine::ControlOutcome;
use crate::host::context::ProcessContext;
use crate::host::stdout::print_line;
use crate::model::printable;
use crate::record::command::Command;
use crate::report::exit_codes::{FAILED, exit_code};
use crate::report::text;

/// Says where a rollback could go after the end of a rollout, whose record is gone.
fn nothing_to_roll_back(
    command: Command,
    resource: &Resource,
    rollout: &Rollout,
) -> Option<Diagnostic> {
    let is_over = rollout.record().is_none() && rollout.idle(command).is_some();
    if command != Command::Rollback || !is_over {
        return None;
    }
    let message =
        format!("no rollout to roll back: the last rollout of {} has ended", rollout.target().name);
    let others: Vec<String> = rollout.other_revisions().iter().map(ToString::to_string).collect();
    let known = match others.as_slice() {
        [] => String::new(),
        others => format!(" (the fleet shows {})", others.join(", ")),
    };
    let remedy = format!("name the revision: rolling rollback --to REVISION{known}");
    Some(Diagnostic::error(&resource.pointer, message).with_remedy(remedy))
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
    let prepared = match prepare_all(args, context, Purpose::Tell).await {
        Ok(prepared) => prepared,
        Err(found) => return refuse(args, &found),
    };
    let Some((stop, interrupt)) = listen() else { return FAILED };
    let mut code = 0;
    for (resource, rollout) in prepared {
        let name = &resource.name;
        if let Some(found) = nothing_to_roll_back(command, &resource, &rollout) {
            code = code.max(refuse(args, &[found]));
            continue;
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
        let as_asked = commanded.is_as_asked(command);
        let (message, ended) = match &commanded {
            ControlOutcome::RanHere(report) => {
                (text::report(name, report), exit_code(report.outcome))
            }
            other => {
                let answer = other.answer(command).map(|answer| answer.message);
                let message = format!("{name}: {}", answer.unwrap_or_default());
                (printable::line(&message).into_owned(), FAILED)
            }
        };
        let done = if as_asked { 0 } else { ended.max(FAILED) };
        match args.output {
            OutputFormat::Text => print_line(&mut io::stdout(), &message),
            OutputFormat::Json => {
                let resource = name.clone();
                print_json(&CommandAnswer { resource, command, message, as_asked });
            }
        }
        if let Some(interrupt) = *interrupt.borrow() {
            return interrupt.exit_code();
        }
        code = code.max(done);
    }
    code
}
