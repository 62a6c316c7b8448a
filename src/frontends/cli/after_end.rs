//! Where `rolling rollback` goes once the rollout is over: to the revision before, by the state that
//! a front-end keeps, or by what the cloud shows of instances that are gone.

use std::path::Path;

use serde_json::Value;

use super::open_targets::Rollout;
use crate::deployment::{resource_state, stored_state};
use crate::document::{self, Diagnostic, Resource, rolled_back_to};
use crate::record::command::Command;
use crate::rollout::rollback_target::{Candidate, RollbackTarget};

/// A file with the state that a front-end keeps.
pub(super) struct StoredState {
    name: String,
    state: Value,
}

impl StoredState {
    /// Reads the file.
    ///
    /// # Errors
    /// Says why it cannot be read.
    pub(super) fn read(file: &Path) -> Result<StoredState, Diagnostic> {
        let name = file.display().to_string();
        let failed = |why: String| Diagnostic::error("", format!("failed to read {name}: {why}"));
        let bytes = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
        let text = document::decode(&bytes).map_err(|why| failed(why.to_owned()))?;
        let state = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        // The first and the last of two would lead to different revisions.
        match document::duplicates(&text).first() {
            Some(twice) => Err(failed(format!("{}: {twice}", twice.pointer))),
            None => Ok(StoredState { name, state }),
        }
    }
}

/// What a command leads to once the rollout is over.
pub(super) enum AfterEnd {
    /// Nothing else than before: the command is given to the rollout that is there.
    Nothing,
    /// A rollback to this revision.
    RollBackTo(Candidate),
    /// Nothing is left to do, for this reason.
    Done(String),
}

/// Returns the revision to roll back to, where `command` is a rollback and nothing recorded says
/// where to.
///
/// # Errors
/// Says that nothing is certain, and where the rollback could go. Nothing is begun then, and a
/// record keeps the reason that it has.
pub(super) async fn find(
    command: Command,
    resource: &Resource,
    rollout: &Rollout,
    stored: Option<&StoredState>,
) -> Result<AfterEnd, Diagnostic> {
    if command != Command::Rollback {
        return Ok(AfterEnd::Nothing);
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
        _ => return Ok(AfterEnd::Nothing),
    };
    let found = |message: String| Diagnostic::error(&resource.pointer, message);
    let state = stored.map(|stored| stored_state::of_target(&stored.state, &rollout.target().id));
    let state = state.transpose().map_err(|why| {
        let name = stored.map_or("", |stored| &stored.name);
        found(format!("nothing is known from {name} (--state): {why}"))
    })?;
    let (completed, previous) = state.map(resource_state::stored_revisions).unwrap_or_default();
    let rollback_target = rollout.rollback_target(completed.as_ref(), previous.as_ref()).await;
    match rollback_target {
        // A rollout that stopped half-way shows nothing of the time before it.
        RollbackTarget::Known(known)
            if accepts(resource, &known) && (state.is_some() || rollout.record().is_none()) =>
        {
            Ok(AfterEnd::RollBackTo(known))
        }
        RollbackTarget::Done { from } => Ok(AfterEnd::Done(format!(
            "nothing to do: {} runs the revision before {from} already, by the stored state",
            rollout.target().name
        ))),
        RollbackTarget::Known(known) => Err(uncertain(resource, found(message), &[known])),
        RollbackTarget::Unknown(candidates) => {
            Err(uncertain(resource, found(message), &candidates))
        }
    }
}

/// Whether the deployment can be rolled back to this revision by name.
fn accepts(resource: &Resource, candidate: &Candidate) -> bool {
    rolled_back_to(resource, candidate.revision.as_str()).is_ok()
}

/// Adds to `found` how a revision is named, and which ones there are.
fn uncertain(resource: &Resource, found: Diagnostic, candidates: &[Candidate]) -> Diagnostic {
    // The number of a version is a revision wherever any is.
    if let Err(refused) = rolled_back_to(resource, "1") {
        let remedy = refused.into_iter().find_map(|found| found.remedy);
        return match remedy {
            Some(remedy) => found.with_remedy(remedy),
            None => found,
        };
    }
    let candidates = candidates.iter().filter(|it| accepts(resource, it));
    let named: Vec<String> =
        candidates.map(|it| format!("{} ({})", it.revision, it.shown_by)).collect();
    let known = match named.as_slice() {
        [] => "nothing at the target shows another one".to_owned(),
        named => format!("candidates: {}", named.join(", ")),
    };
    found.with_remedy(format!(
        "name the revision: rolling rollback --to REVISION ({known}), or the state that a front-end \
         keeps: --state FILE"
    ))
}
