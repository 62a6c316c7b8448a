//! A module for Ansible: one file of arguments in, one JSON object on standard output.
//!
//! Ansible runs a binary module as `rolling FILE` and shows its answer. The exit code is 1 when
//! `failed` is true. Check mode changes nothing. Nothing else reaches standard output.

pub mod arguments;
mod coerce;
mod literal;
pub(crate) mod return_values;
mod stop;

use std::io;
use std::path::Path;
use std::time::Duration;

use rolling_provider::ProviderError;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use self::arguments::{PROVIDER, Task};
use self::return_values::ModuleResult;
use crate::deployment::resource_state;
use crate::document::Diagnostic;
use crate::engine::{Caller, ControlOutcome, NOT_FOUND_RETRY_FOR, Rollout, Stop};
use crate::host::process_context::ProcessContext;
use crate::host::stdout::print_json_line;
use crate::model::event::{DelegatedRolloutStep, Event, Outcome};
use crate::providers::Providers;
use crate::record::command::Command;
use crate::record::{Ending, Phase, Record};

/// Returns the arguments in `file`, if Ansible wrote it.
pub(crate) fn arguments_in(file: &Path) -> Option<Map<String, Value>> {
    // Only a regular file may be read before its owner is known: reading a pipe, say, consumes it.
    if !std::fs::metadata(file).is_ok_and(|about| about.is_file()) {
        return None;
    }
    let text = std::fs::read_to_string(file).ok()?;
    let arguments: Map<String, Value> = serde_json::from_str(&text).ok()?;
    arguments.contains_key("_ansible_module_name").then_some(arguments)
}

/// Carries out the task and prints the answer. Returns the exit code.
pub(crate) async fn run(given: &Map<String, Value>, context: &ProcessContext) -> u8 {
    let (task, answer) = match arguments::read(given) {
        Ok(task) => {
            let answer = carry_out(&task, context).await;
            (Some(task), answer.unwrap_or_else(|found| ModuleResult::invalid(&found)))
        }
        Err(found) => (None, ModuleResult::invalid(&found)),
    };
    let failed = answer.failed;
    print_json_line(&mut io::stdout().lock(), &answer.into_json(task.as_ref()));
    u8::from(failed)
}

async fn carry_out(task: &Task, context: &ProcessContext) -> Result<ModuleResult, Vec<Diagnostic>> {
    let stop = stop::listen().map_err(|error| {
        vec![Diagnostic::error("", format!("failed to listen for signals: {error}"))]
    })?;
    let providers = Providers::new(task.provider.clone(), &context.clock);
    let rollout = look(task, &providers, context).await?;
    match task.command {
        None if task.mode.check => Ok(check(&rollout)),
        None => Ok(roll(rollout, stop).await),
        Some(command) => {
            let before = return_values::shown(&rollout.instances());
            rollout.allow(command).map_err(|error| place(&error))?;
            let mut answer = match rollout.idle(command) {
                Some(answer) if task.mode.check => ModuleResult {
                    msg: answer.message,
                    failed: !answer.as_asked,
                    ..ModuleResult::default()
                },
                None if task.mode.check => ModuleResult {
                    changed: true,
                    msg: format!(
                        "would {} the rollout",
                        command.name().replace("rollback", "roll back")
                    ),
                    ..ModuleResult::default()
                },
                _ => tell(command, rollout, stop).await?,
            };
            // The answer shows the current fleet, no matter which engine obeyed.
            let rollout = look(task, &providers, context).await?;
            if answer.facts.is_null() {
                answer.facts = resource_state::current(&json!({}), &rollout);
            }
            answer.diff = Some((before, return_values::shown(&rollout.instances())));
            Ok(answer)
        }
    }
}

async fn look(
    task: &Task,
    providers: &Providers,
    context: &ProcessContext,
) -> Result<Rollout, Vec<Diagnostic>> {
    let place = |error| vec![Diagnostic::from_provider(&error, "", PROVIDER)];
    let fleet = providers.open(&task.config).await.map_err(place)?;
    let waits = task.command.is_none() && !task.mode.check;
    let not_found_retry_for = if waits { NOT_FOUND_RETRY_FOR } else { Duration::ZERO };
    let caller = Caller { not_found_retry_for, ..context.caller(&context.rollout_id) };
    let spec = task.spec.clone();
    let rollout = match task.command {
        None => Rollout::prepare(fleet, spec, &caller).await,
        Some(_) => Rollout::look_up(fleet, spec, &caller).await,
    };
    rollout.map_err(place)
}

fn place(error: &ProviderError) -> Vec<Diagnostic> {
    vec![Diagnostic::from_provider(error, "", PROVIDER)]
}

/// Whether `event` says that this program has changed something.
fn has_acted(event: &Event) -> bool {
    match event {
        Event::Acted { .. } => true,
        Event::DelegatedRollout { step, .. } => *step != DelegatedRolloutStep::Joined,
        _ => false,
    }
}

/// Returns what [`roll`] would do.
fn check(rollout: &Rollout) -> ModuleResult {
    let preview = rollout.preview();
    let is_paused = |record: &&Record| record.phase == Phase::Halted(Ending::Paused);
    let record = rollout.record().filter(is_paused).filter(|record| rollout.leads_there(record));
    if let Some(record) = record {
        let msg = return_values::still_paused(&preview, record.reason.as_deref());
        let facts = resource_state::current(&json!({}), rollout);
        return ModuleResult { failed: true, msg, facts, ..ModuleResult::default() };
    }
    let instances = rollout.instances();
    ModuleResult {
        changed: preview.changes,
        failed: false,
        msg: return_values::would_roll(&preview),
        facts: resource_state::planned(&json!({}), rollout),
        diff: Some((
            return_values::shown(&instances),
            return_values::shown_after(&preview, &instances, &rollout.to_replace()),
        )),
        warnings: preview.warnings,
    }
}

async fn roll(rollout: Rollout, stop: watch::Receiver<Stop>) -> ModuleResult {
    let preview = rollout.preview();
    let before = return_values::shown(&rollout.instances());
    let planned = resource_state::planned(&json!({}), &rollout);
    let id = rollout.target().id.clone();
    let mut acted = false;
    let report = rollout.run(stop, &mut |envelope| acted |= has_acted(&envelope.event)).await;
    let after = return_values::shown(&report.instances);
    let facts = resource_state::after(&json!({}), &id, &planned, &report);
    let succeeded = report.outcome == Outcome::Succeeded;
    ModuleResult {
        // A call that seems to fail may have an effect all the same.
        changed: acted || before != after,
        failed: !succeeded,
        msg: match succeeded && !preview.changes {
            true => return_values::nothing_to_do(&preview),
            false => return_values::ended(&report),
        },
        warnings: preview.warnings,
        facts,
        diff: Some((before, after)),
    }
}

/// Gives `command` to the engine at work, or carries it out here.
async fn tell(
    command: Command,
    rollout: Rollout,
    stop: watch::Receiver<Stop>,
) -> Result<ModuleResult, Vec<Diagnostic>> {
    let now = resource_state::current(&json!({}), &rollout);
    let id = rollout.target().id.clone();
    let interrupted = stop.clone();
    let mut acted = false;
    let done =
        rollout.command(command, stop, &mut |envelope| acted |= has_acted(&envelope.event)).await;
    let done = done.map_err(|error| vec![Diagnostic::from_provider(&error, "", PROVIDER)])?;
    let as_asked = done.is_as_asked(command);
    match done {
        ControlOutcome::RanHere(report) => {
            let was_stopped = *interrupted.borrow() != Stop::No;
            let failed = !as_asked || was_stopped && report.outcome == Outcome::Aborted;
            let facts = resource_state::after(&json!({}), &id, &now, &report);
            let msg = return_values::ended(&report);
            Ok(ModuleResult { changed: acted, failed, msg, facts, ..ModuleResult::default() })
        }
        other => {
            let changed = !matches!(other, ControlOutcome::NoOp(_));
            let msg = other.answer(command).map(|answer| answer.message).unwrap_or_default();
            Ok(ModuleResult { changed, failed: !as_asked, msg, ..ModuleResult::default() })
        }
    }
}
