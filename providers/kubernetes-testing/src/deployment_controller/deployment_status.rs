//! The status of a Deployment, and whether it makes progress
//! (`pkg/controller/deployment/sync.go`, `progress.go`).

use serde_json::{Map, Value};

use super::deployment_conditions::{
    self, NEW_AVAILABLE, PROGRESSING, TIMED_OUT, UPDATED, deadline, has_progressed, has_timed_out,
    is_complete,
};
use super::replicaset_sizes::{Set, Sets, Wanted};
use crate::cluster_state::ClusterState;
use crate::instant;
use crate::json_pointer::{at, copy, list, text};
use crate::managed_fields::Manager;
use crate::object_kind::ObjectKind;
use crate::object_store::Key;
use crate::work_queue::WorkItem;
use crate::workload::{CONTROLLER_MANAGER, condition, name, progress_reason};

/// A write over a version that is not the latest: the look is given up, and comes again.
#[derive(Clone, Copy, Debug)]
pub struct Conflict;

/// Writes the status and the annotations of a Deployment, as an update of its status does.
///
/// The controller does not take in the version of what it has written. So a second status in one
/// look is a conflict: after a pause is noted, or a set is made, the look ends here and the next
/// one goes on (`UpdateStatus`, whose answer `sync.go` drops).
pub fn write(state: &mut ClusterState, deployment: &Value) -> Result<(), Conflict> {
    let key = Key::of(ObjectKind::Deployment, deployment);
    let seen = at(deployment, "/metadata/resourceVersion");
    let latest = state.store.get(&key).ok_or(Conflict)?;
    if at(latest, "/metadata/resourceVersion") != seen {
        return Err(Conflict);
    }
    state.update(&key, &Manager::status(CONTROLLER_MANAGER), |stored| {
        copy(stored, deployment, "status");
        copy(&mut stored["metadata"], &deployment["metadata"], "annotations");
    });
    Ok(())
}

/// Returns the Deployment with the status that its sets give it (`calculateStatus`).
fn calculated(state: &ClusterState, deployment: &Value, sets: &Sets) -> Value {
    let mut new = deployment.clone();
    let wanted = Wanted::read(deployment);
    let available = sets.sum(|set| set.available);
    let new_set = |number: fn(&Set) -> i64| sets.new.as_ref().map_or(0, number);
    let numbers = [
        ("replicas", sets.sum(|set| set.pods)),
        ("updatedReplicas", new_set(|set| set.pods)),
        ("readyReplicas", sets.sum(|set| set.ready)),
        ("availableReplicas", available),
        ("unavailableReplicas", (sets.sum(|set| set.asked) - available).max(0)),
    ];
    let mut status = Map::new();
    status.insert("observedGeneration".to_owned(), deployment["metadata"]["generation"].clone());
    for key in ["collisionCount", "conditions"] {
        if let Some(stored) = deployment.get("status").and_then(|status| status.get(key)) {
            status.insert(key.to_owned(), stored.clone());
        }
    }
    for (key, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
        status.insert(key.to_owned(), number.into());
    }
    let terminating: Vec<i64> = sets.all().filter_map(|set| set.terminating).collect();
    if !terminating.is_empty() {
        status.insert("terminatingReplicas".to_owned(), terminating.iter().sum::<i64>().into());
    }
    new["status"] = Value::Object(status);
    let (word, reason, message) = if available >= wanted.least() {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    deployment_conditions::put(
        &mut new,
        deployment_conditions::new("Available", word, reason, message, state.now),
    );
    new
}

/// Writes the status without looking at progress: paused, or scaled (`syncDeploymentStatus`).
pub fn sync(state: &mut ClusterState, deployment: &Value, sets: &Sets) -> Result<(), Conflict> {
    let new = calculated(state, deployment, sets);
    if new["status"] == deployment["status"] { Ok(()) } else { write(state, &new) }
}

/// Writes the status and the condition Progressing (`syncRolloutStatus`).
pub fn sync_rollout(
    state: &mut ClusterState,
    deployment: &Value,
    sets: &Sets,
) -> Result<(), Conflict> {
    let mut new = calculated(state, deployment, sets);
    if deadline(deployment).is_none() {
        deployment_conditions::remove(&mut new, PROGRESSING);
    }
    let at_rest = at(&new, "/status/replicas") == at(&new, "/status/updatedReplicas")
        && progress_reason(deployment) == NEW_AVAILABLE;
    if deadline(deployment).is_some() && !at_rest {
        progress(state, deployment, &mut new, sets);
    }
    match replica_failure(state, sets) {
        Some(failure) => deployment_conditions::put(&mut new, failure),
        None => deployment_conditions::remove(&mut new, "ReplicaFailure"),
    }
    if new["status"] == deployment["status"] {
        look_again(state, deployment);
        return Ok(());
    }
    write(state, &new)
}

fn progress(state: &ClusterState, deployment: &Value, new: &mut Value, sets: &Sets) {
    let subject = match &sets.new {
        Some(set) => format!("ReplicaSet \"{}\"", set.key.name),
        None => format!("Deployment \"{}\"", name(deployment)),
    };
    let condition_of = |status: &str, reason: &str, what: &str| {
        deployment_conditions::new(
            PROGRESSING,
            status,
            reason,
            &format!("{subject} {what}."),
            state.now,
        )
    };
    if is_complete(new) {
        deployment_conditions::put(
            new,
            condition_of("True", NEW_AVAILABLE, "has successfully progressed"),
        );
    } else if has_progressed(deployment, new) {
        // The time of the last gain is written with every gain, also with the same reason.
        let mut gain = condition_of("True", UPDATED, "is progressing");
        if let Some(current) = condition(deployment, PROGRESSING)
            && text(current, "/status") == "True"
        {
            gain["lastTransitionTime"] = current["lastTransitionTime"].clone();
        }
        deployment_conditions::remove(new, PROGRESSING);
        deployment_conditions::put(new, gain);
    } else if has_timed_out(new, state.now) {
        deployment_conditions::put(
            new,
            condition_of("False", TIMED_OUT, "has timed out progressing"),
        );
    }
}

/// Returns the failure of a set as a condition of the Deployment, that of the new one first
/// (`getReplicaFailures`).
fn replica_failure(state: &ClusterState, sets: &Sets) -> Option<Value> {
    sets.new.iter().chain(&sets.old).find_map(|set| {
        let set = state.store.get(&set.key)?;
        let failed = list(set, "/status/conditions")
            .iter()
            .find(|one| text(one, "/type") == "ReplicaFailure")?;
        let mut failed = failed.clone();
        failed["lastUpdateTime"] = failed["lastTransitionTime"].clone();
        Some(failed)
    })
}

/// Looks again when the deadline is over (`requeueStuckDeployment`): a second later than that,
/// "to avoid milliseconds skew".
fn look_again(state: &mut ClusterState, deployment: &Value) {
    let (Some(deadline), Some(progressing)) =
        (deadline(deployment), condition(deployment, PROGRESSING))
    else {
        return;
    };
    if is_complete(deployment) || text(progressing, "/reason") == TIMED_OUT {
        return;
    }
    let since = instant::read(progressing, "/lastUpdateTime").unwrap_or_default();
    let left = (since + deadline).saturating_sub(state.now);
    let task = WorkItem::Sync(Key::of(ObjectKind::Deployment, deployment));
    if left < std::time::Duration::from_secs(1) {
        state.queue.add_rate_limited(task, state.now);
    } else {
        state.queue.add_later(task, state.now + left + std::time::Duration::from_secs(1));
    }
}
