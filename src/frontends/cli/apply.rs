//! `rolling apply`: rolls every selected deployment, one after the other, and waits for the end.

use std::io;

use super::answers::{CommandAnswer, NotBegun};
use super::arguments::{Arguments, OutputFormat, print_json, refuse};
use super::event_output::shower;
use super::open_targets::{Purpose, prepare_all, prepare_changed};
use super::supersede::supersede;
use crate::document::{Resource, rolled_back_to};
use crate::engine::Rollout;
use crate::host::process_context::ProcessContext;
use crate::host::signals;
use crate::host::stdout::print_line;
use crate::model::event::Outcome;
use crate::record::command::Command;
use crate::report::exit_codes::{FAILED, exit_code};
use crate::report::text;

/// Rolls the deployments. Returns the exit code.
///
/// With `supersedes`, rollouts to other revisions that other processes are at work on are stopped
/// first.
pub(crate) async fn apply(arguments: &Arguments, supersedes: bool, context: &ProcessContext) -> u8 {
    if supersedes {
        let Some((stop, interrupt)) = listen() else { return FAILED };
        match supersede(arguments, context, &stop).await {
            Ok(true) => {}
            Ok(false) => return interrupt.borrow().map_or(FAILED, |it| it.exit_code()),
            Err(found) => return refuse(arguments, &found),
        }
    }
    match prepare_all(arguments, context, Purpose::Begin).await {
        Ok(prepared) => roll(prepared, None, arguments, context).await,
        Err(found) => refuse(arguments, &found),
    }
}

/// Rolls the deployments back to `revision`, whatever their document names. Returns the exit code.
pub(crate) async fn roll_back_to(
    revision: &str,
    arguments: &Arguments,
    context: &ProcessContext,
) -> u8 {
    let change = |resource: Resource| rolled_back_to(&resource, revision).map(Some);
    match prepare_changed(arguments, context, Purpose::Begin, change).await {
        Ok(prepared) => roll(prepared, Some(Command::Rollback), arguments, context).await,
        Err(found) => refuse(arguments, &found),
    }
}

/// Rolls the deployment called `name` back to `revision`. Returns the exit code.
pub(super) async fn roll_one_back_to(
    name: &str,
    revision: &str,
    arguments: &Arguments,
    context: &ProcessContext,
) -> u8 {
    let change = |resource: Resource| match resource.name == name {
        true => rolled_back_to(&resource, revision).map(Some),
        false => Ok(None),
    };
    match prepare_changed(arguments, context, Purpose::Begin, change).await {
        Ok(prepared) => roll(prepared, Some(Command::Rollback), arguments, context).await,
        Err(found) => refuse(arguments, &found),
    }
}

/// Rolls what is `prepared`, as `command` asks for, if one does. Returns the exit code.
async fn roll(
    prepared: Vec<(Resource, Rollout)>,
    command: Option<Command>,
    arguments: &Arguments,
    context: &ProcessContext,
) -> u8 {
    let Some((stop, interrupt)) = listen() else { return FAILED };
    let mut remaining = prepared.into_iter();
    while let Some((resource, rollout)) = remaining.next() {
        let name = &resource.name;
        let preview = rollout.preview();
        let mut show = shower(arguments, name, &rollout, context);
        let report = rollout.run(stop.clone(), &mut |envelope| show(&envelope)).await;
        drop(show);
        let message = if preview.changes {
            text::report(name, &report)
        } else {
            text::nothing_to_do(name, &preview)
        };
        match (arguments.output, command) {
            (OutputFormat::Text, _) => print_line(&mut io::stdout(), &message),
            (OutputFormat::Json, Some(command)) => {
                let (resource, as_asked) = (name.clone(), report.outcome == Outcome::Succeeded);
                print_json(&CommandAnswer { resource, command, message, as_asked });
            }
            (OutputFormat::Json, None) => {}
        }
        let interrupted = *interrupt.borrow();
        let code = match (report.outcome, interrupted) {
            (Outcome::Succeeded, None) => continue,
            (_, Some(interrupt)) => interrupt.exit_code(),
            (_, None) => exit_code(report.outcome),
        };
        not_begun(arguments, name, report.outcome, remaining.map(|(resource, _)| resource.name));
        return code;
    }
    0
}

/// Prints which deployments are not begun because the one before them did not succeed.
fn not_begun(
    arguments: &Arguments,
    name: &str,
    outcome: Outcome,
    remaining: impl Iterator<Item = String>,
) {
    for other in remaining {
        match arguments.output {
            OutputFormat::Text => {
                let why = outcome.shown();
                print_line(&mut io::stdout(), &text::not_begun(&other, name, &why));
            }
            OutputFormat::Json => {
                print_json(&NotBegun { resource: other, status: "not_begun" });
            }
        }
    }
}

/// Listens for signals. Prints the error and returns `None` when that fails.
pub(super) fn listen() -> Option<signals::Channels> {
    match signals::listen() {
        Ok(channels) => Some(channels),
        Err(error) => {
            let message = format!("error: failed to listen for signals: {error}; nothing was done");
            print_line(&mut io::stderr(), &message);
            None
        }
    }
}
