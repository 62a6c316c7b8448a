//! The strategies RollingUpdate and Recreate
//! (`pkg/controller/deployment/rolling.go`, `recreate.go`).

use serde_json::Value;

use super::deployment_conditions::is_complete;
use super::deployment_status::{self, Conflict};
use super::proportional_scaling::resize_if_needed;
use super::replicaset_revisions;
use super::replicaset_sizes::{Sets, Wanted, new_size};
use crate::cluster_state::ClusterState;
use crate::json_pointer::text;
use crate::object_kind::ObjectKind;
use crate::workload::controller;

/// Rolls one step: up, or else down (`rolloutRolling`).
pub fn roll(state: &mut ClusterState, deployment: &mut Value) -> Result<(), Conflict> {
    let mut sets = replicaset_revisions::sync(state, deployment, true)?;
    if !(up(state, deployment, &mut sets) || down(state, deployment, &mut sets))
        && is_complete(deployment)
    {
        replicaset_revisions::prune(state, deployment, &sets.old);
    }
    deployment_status::sync_rollout(state, deployment, &sets)
}

/// Sizes the new set (`reconcileNewReplicaSet`).
fn up(state: &mut ClusterState, deployment: &Value, sets: &mut Sets) -> bool {
    let wanted = Wanted::read(deployment);
    let total = sets.sum(|set| set.asked);
    let Some(new) = &mut sets.new else { return false };
    if new.asked == wanted.replicas {
        return false;
    }
    let size = if new.asked > wanted.replicas {
        wanted.replicas
    } else {
        new_size(wanted, total, new.asked)
    };
    resize_if_needed(state, deployment, new, size)
}

/// Sizes the old sets: unavailable pods first, then as many available ones as may be missing
/// (`reconcileOldReplicaSets`).
fn down(state: &mut ClusterState, deployment: &Value, sets: &mut Sets) -> bool {
    if sets.old.iter().map(|set| set.asked).sum::<i64>() == 0 {
        return false;
    }
    let wanted = Wanted::read(deployment);
    let new_unavailable = sets.new.as_ref().map_or(0, |new| new.asked - new.available);
    let may = sets.sum(|set| set.asked) - wanted.least() - new_unavailable;
    if may <= 0 {
        return false;
    }
    sets.sort_old();
    let unhealthy = clean_up(state, deployment, sets, may);
    let healthy = scale_down(state, deployment, sets, wanted);
    unhealthy + healthy > 0
}

/// Takes pods of old sets that are not available (`cleanupUnhealthyReplicas`).
fn clean_up(state: &mut ClusterState, deployment: &Value, sets: &mut Sets, may: i64) -> i64 {
    let mut taken = 0;
    for old in &mut sets.old {
        if taken >= may {
            break;
        }
        let unavailable = old.asked - old.available;
        if old.asked == 0 || unavailable <= 0 {
            continue;
        }
        let count = unavailable.min(may - taken);
        let size = old.asked - count;
        resize_if_needed(state, deployment, old, size);
        taken += count;
    }
    taken
}

/// Takes available pods of old sets (`scaleDownOldReplicaSetsForRollingUpdate`).
fn scale_down(
    state: &mut ClusterState,
    deployment: &Value,
    sets: &mut Sets,
    wanted: Wanted,
) -> i64 {
    let may = sets.sum(|set| set.available) - wanted.least();
    let mut taken = 0;
    for old in &mut sets.old {
        if taken >= may {
            break;
        }
        let count = old.asked.min(may - taken);
        let size = old.asked - count;
        resize_if_needed(state, deployment, old, size);
        taken += count;
    }
    taken
}

/// Takes all old pods, and makes the new ones when they are gone (`rolloutRecreate`).
pub fn recreate(state: &mut ClusterState, deployment: &mut Value) -> Result<(), Conflict> {
    let mut sets = replicaset_revisions::sync(state, deployment, false)?;
    let mut scaled = false;
    for old in &mut sets.old {
        scaled |= resize_if_needed(state, deployment, old, 0);
    }
    if scaled || old_pods_are_left(state, deployment, &sets) {
        return deployment_status::sync_rollout(state, deployment, &sets);
    }
    if sets.new.is_none() {
        sets = replicaset_revisions::sync(state, deployment, true)?;
    }
    let wanted = Wanted::read(deployment);
    if let Some(new) = &mut sets.new {
        resize_if_needed(state, deployment, new, wanted.replicas);
    }
    if is_complete(deployment) {
        replicaset_revisions::prune(state, deployment, &sets.old);
    }
    deployment_status::sync_rollout(state, deployment, &sets)
}

/// Returns whether an old pod runs or ends (`oldPodsRunning`).
fn old_pods_are_left(state: &ClusterState, deployment: &Value, sets: &Sets) -> bool {
    if sets.old.iter().any(|set| set.pods > 0) {
        return true;
    }
    let old: Vec<&str> = sets.old.iter().map(|set| set.uid.as_str()).collect();
    let namespace = text(deployment, "/metadata/namespace");
    let done = |pod: &Value| matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    let is_old = |pod: &Value| {
        controller(pod).is_some_and(|owner| old.contains(&text(owner, "/uid"))) && !done(pod)
    };
    state.store.list(ObjectKind::Pod, Some(namespace)).iter().any(|pod| is_old(pod))
}
