//! The Deployment controller (`pkg/controller/deployment/deployment_controller.go`).

mod deployment_conditions;
mod deployment_status;
mod proportional_scaling;
mod replicaset_revisions;
mod replicaset_sizes;
mod rolling_update;

use serde_json::Value;

use self::deployment_conditions::{PAUSED, PROGRESSING, RESUMED, TIMED_OUT};
use self::deployment_status::Conflict;
use super::cluster_state::ClusterState;
use super::json_pointer::{flag, text};
use super::object_store::Key;
use super::work_queue::WorkItem;
use super::workload::{is_terminating, progress_reason};

/// Looks at a Deployment; after a conflict it looks again soon.
pub fn sync(state: &mut ClusterState, key: &Key) {
    let task = WorkItem::Sync(key.clone());
    match look(state, key) {
        Ok(()) => state.queue.forget(&task),
        Err(Conflict) => state.queue.add_rate_limited(task, state.now),
    }
}

/// `syncDeployment`.
fn look(state: &mut ClusterState, key: &Key) -> Result<(), Conflict> {
    let Some(deployment) = state.store.get(key) else { return Ok(()) };
    let mut deployment = (**deployment).clone();
    if is_terminating(&deployment) {
        let sets = replicaset_revisions::sync(state, &mut deployment, false)?;
        return deployment_status::sync(state, &deployment, &sets);
    }
    note_pause(state, &mut deployment)?;
    if flag(&deployment, "/spec/paused") {
        return scale_only(state, &mut deployment, true);
    }
    let sets = replicaset_revisions::sync(state, &mut deployment, false)?;
    if proportional_scaling::is_due(&deployment, &sets) {
        return scale_only(state, &mut deployment, false);
    }
    if text(&deployment, "/spec/strategy/type") == "Recreate" {
        rolling_update::recreate(state, &mut deployment)
    } else {
        rolling_update::roll(state, &mut deployment)
    }
}

/// Scales and writes the status (`sync`); a paused one is pruned, too.
fn scale_only(
    state: &mut ClusterState,
    deployment: &mut Value,
    paused: bool,
) -> Result<(), Conflict> {
    let mut sets = replicaset_revisions::sync(state, deployment, false)?;
    proportional_scaling::scale(state, deployment, &mut sets);
    if paused {
        replicaset_revisions::prune(state, deployment, &sets.old);
    }
    deployment_status::sync(state, deployment, &sets)
}

/// Writes that the Deployment is paused or goes on, so that the deadline is not counted meanwhile
/// (`checkPausedConditions`).
fn note_pause(state: &mut ClusterState, deployment: &mut Value) -> Result<(), Conflict> {
    let reason = progress_reason(deployment);
    // A lack of progress that was reported is not written over.
    if deployment_conditions::deadline(deployment).is_none() || reason == TIMED_OUT {
        return Ok(());
    }
    let (reason, message) = match (flag(deployment, "/spec/paused"), reason == PAUSED) {
        (true, false) => (PAUSED, "Deployment is paused"),
        (false, true) => (RESUMED, "Deployment is resumed"),
        _ => return Ok(()),
    };
    let condition = deployment_conditions::new(PROGRESSING, "Unknown", reason, message, state.now);
    deployment_conditions::put(deployment, condition);
    deployment_status::write(state, deployment)
}
