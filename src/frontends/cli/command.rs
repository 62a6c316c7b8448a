//! `rolling pause|resume|abort|rollback`: gives a command to a rollout of another process.
//!
//! That process may be at work on the rollout or may have ended.

use std::io;

use super::answers::CommandAnswer;
use super::apply::listen;
use super::arguments::{Arguments, OutputFormat, print_json, refuse};
use super::event_output::shower;
use super::follow;
use super::open_targets::{Purpose, Rollout, prepare_all};
use crate::document::{Diagnostic, PROVIDER, Resource, rolled_back_to};
use crate::engine::ControlOutcome;
use crate::host::process_context::ProcessContext;
use crate::host::stdout::print_line;
use crate::model::printable;
use crate::record::command::Command;
use crate::report::exit_codes::{FAILED, exit_code};
use crate::report::text;

/// Says where a rollback could go that has no way back: the record of the last rollout is gone, or
/// names no other revision that the whole fleet has run. Nothing is begun then, and the record keeps
/// the reason that it has.
fn nothing_to_roll_back(
    command: Command,
    resource: &Resource,
    rollout: &Rollout,
) -> Option<Diagnostic> {
    if command != Command::Rollback {
        return None;
    }
    let name = &rollout.target().name;
    let message = match rollout.record() {
        None if rollout.idle(command).is_some() => {
            format!("no rollout to roll back: none is recorded at {name}")
        }
        Some(record) if !record.rolls_back && !record.leads_back() => format!(
            "rollout {} has no way back: no other revision is known that all instances of {name} \
             ran",
            record.id
        ),
        _ => return None,
    };
    let found = Diagnostic::error(&resource.pointer, message);
    // The number of a version is a revision wherever any is.
    if let Err(refused) = rolled_back_to(resource, "1") {
        let remedy = refused.into_iter().find_map(|found| found.remedy);
        return Some(match remedy {
            Some(remedy) => found.with_remedy(remedy),
            None => found,
        });
    }
    let others = rollout.other_revisions();
    let accepted = others.iter().filter(|it| rolled_back_to(resource, it.as_str()).is_ok());
    let others: Vec<String> = accepted.map(ToString::to_string).collect();
    let known = match others.as_slice() {
        [] => "nothing at the target shows another one".to_owned(),
        others => format!("the fleet shows {}", others.join(", ")),
    };
    let remedy = format!("name the revision: rolling rollback --to REVISION ({known})");
    Some(found.with_remedy(remedy))
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
