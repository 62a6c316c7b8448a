//! `rolling apply --supersede`: stops the rollouts to other revisions that other processes are at
//! work on, at their next safe points, so that this apply continues from there to its own revision.

use std::io;

use tokio::sync::watch;

use super::arguments::Arguments;
use super::event_output::shower;
use super::open_targets::{Purpose, Rollout, prepare_all};
use crate::document::{Diagnostic, PROVIDER, Resource};
use crate::engine::Stop;
use crate::host::process_context::ProcessContext;
use crate::host::stdout::print_line;
use crate::model::printable;
use crate::record::command::Command;

/// Stops what is at work on the selected deployments with another revision, and waits until no
/// process is. Returns whether this apply may begin: not so when it is itself asked to stop.
///
/// # Errors
/// The error of the cloud, or that a process does not respond.
pub(super) async fn supersede(
    arguments: &Arguments,
    context: &ProcessContext,
    stop: &watch::Receiver<Stop>,
) -> Result<bool, Vec<Diagnostic>> {
    let all = prepare_all(arguments, context, Purpose::Tell).await?;
    for (resource, rollout) in &all {
        if let Some(message) = rollout.foreign_rollout() {
            return Err(vec![foreign(resource, &message)]);
        }
        // Nothing is stopped for a rollout that could not take its place.
        let refused = |e| vec![Diagnostic::from_provider(&e, &resource.pointer, PROVIDER)];
        rollout.may_begin().await.map_err(refused)?;
    }
    for (resource, rollout) in all {
        if rollout.has_predecessor() {
            pause(&resource, rollout, arguments, context, stop).await?;
        }
    }
    for (resource, mut rollout) in prepare_all(arguments, context, Purpose::Tell).await? {
        let waited = rollout.wait_for_predecessor(stop).await;
        let place = |e| vec![Diagnostic::from_provider(&e, &resource.pointer, PROVIDER)];
        if !waited.map_err(place)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses to end a refresh of another document, which AWS cannot resume.
fn foreign(resource: &Resource, message: &str) -> Diagnostic {
    let place = format!("{}/engine", resource.pointer);
    let message = format!("{message}, and --supersede ends no rollout of the platform's own");
    Diagnostic::error(place, message).with_remedy(
        "wait for it to end, or cancel it with `rolling abort` and the document that it was begun \
         with; then apply again, without --supersede",
    )
}

/// Has the process at work stop at its next safe point. An instance refresh knows no pause, and is
/// canceled.
async fn pause(
    resource: &Resource,
    rollout: Rollout,
    arguments: &Arguments,
    context: &ProcessContext,
    stop: &watch::Receiver<Stop>,
) -> Result<(), Vec<Diagnostic>> {
    let (name, place) = (&resource.name, &resource.pointer);
    let other = rollout.record().map_or_else(String::new, |record| record.to.to_string());
    let message = format!("{name}: stopping the rollout to {other} at its next safe point");
    print_line(&mut io::stderr(), &printable::line(&message));
    let can_pause = rollout.allow(Command::Pause).is_ok();
    let command = if can_pause { Command::Pause } else { Command::Abort };
    let mut show = shower(arguments, name, &rollout, context);
    let done = rollout.supersede(command, stop.clone(), &mut |envelope| show(&envelope)).await;
    drop(show);
    let outcome = done.map_err(|e| vec![Diagnostic::from_provider(&e, place, PROVIDER)])?;
    // A process that is ending already for another reason is waited for.
    match outcome.unanswered(command) {
        None => Ok(()),
        Some(why) => {
            let remedy = "see whether that process still runs, and apply again";
            Err(vec![Diagnostic::error(place, why).with_remedy(remedy)])
        }
    }
}
