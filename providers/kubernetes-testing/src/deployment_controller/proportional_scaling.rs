//! Scaling of sets (`pkg/controller/deployment/sync.go`).

use serde_json::Value;

use super::replicaset_revisions::size_annotations;
use super::replicaset_sizes::{COMPONENT, Set, Sets, Wanted, older, proportion};
use crate::cluster_state::ClusterState;
use crate::json_pointer::{int, set};
use crate::managed_fields::Manager;
use crate::recorder;
use crate::workload::CONTROLLER_MANAGER;

/// Sets the size of a set, and its annotations (`scaleReplicaSet`). Returns whether the size is
/// another.
pub fn resize(state: &mut ClusterState, deployment: &Value, which: &mut Set, size: i64) -> bool {
    let (wanted, before) = (Wanted::read(deployment), which.asked);
    let resized = state.update(&which.key, &Manager::update(CONTROLLER_MANAGER), |stored| {
        set(stored, "/spec/replicas", size);
        size_annotations(stored, wanted);
    });
    if let Some(resized) = resized {
        *which = Set::read(&resized);
    }
    if before == size {
        return false;
    }
    let way = if before < size { "up" } else { "down" };
    let message = format!("Scaled {way} replica set {} from {before} to {size}", which.key.name);
    recorder::normal(state, deployment, COMPONENT, "ScalingReplicaSet", &message);
    true
}

/// Sets the size of a set where it is another (`scaleReplicaSetAndRecordEvent`).
pub fn resize_if_needed(
    state: &mut ClusterState,
    deployment: &Value,
    which: &mut Set,
    size: i64,
) -> bool {
    which.asked != size && resize(state, deployment, which, size)
}

/// Returns whether the number of replicas is another than when an active set was sized
/// (`isScalingEvent`).
pub fn is_due(deployment: &Value, sets: &Sets) -> bool {
    let replicas = int(deployment, "/spec/replicas", 1);
    sets.active().iter().any(|set| set.desired.is_some_and(|desired| desired != replicas))
}

/// Scales without rolling (`scale`): one active set to all; with a new set that is whole, the
/// others to nothing; several in proportion to their sizes.
pub fn scale(state: &mut ClusterState, deployment: &Value, sets: &mut Sets) {
    let wanted = Wanted::read(deployment);
    if let Some(mut only) = active_or_latest(sets) {
        resize_if_needed(state, deployment, &mut only, wanted.replicas);
        return put_back(sets, only);
    }
    if is_saturated(wanted, sets.new.as_ref()) {
        for old in sets.old.iter_mut().filter(|set| set.asked > 0) {
            resize_if_needed(state, deployment, old, 0);
        }
        return;
    }
    if wanted.rolling {
        let known = int(deployment, "/status/replicas", 0);
        for (mut set, size) in spread(wanted, sets.active(), known) {
            resize(state, deployment, &mut set, size);
            put_back(sets, set);
        }
    }
}

/// Returns the one active set; where none is, the newest (`FindActiveOrLatest`).
fn active_or_latest(sets: &Sets) -> Option<Set> {
    let mut active = sets.active();
    match active.len() {
        0 => {
            let newest = sets.old.iter().max_by_key(|set| older(set));
            sets.new.as_ref().or(newest).cloned()
        }
        1 => active.pop(),
        _ => None,
    }
}

/// Returns whether the new set is whole (`IsSaturated`).
fn is_saturated(wanted: Wanted, new: Option<&Set>) -> bool {
    new.is_some_and(|new| {
        new.asked == wanted.replicas
            && new.desired == Some(wanted.replicas)
            && new.available == wanted.replicas
    })
}

/// Returns the size of each set: what is to be added or taken, in proportion, the largest first;
/// what is left over goes to the largest.
fn spread(wanted: Wanted, mut active: Vec<Set>, known: i64) -> Vec<(Set, i64)> {
    let allowed = if wanted.replicas > 0 { wanted.most() } else { 0 };
    let to_add = allowed - active.iter().map(|set| set.asked).sum::<i64>();
    // ReplicaSetsBySizeNewer and ReplicaSetsBySizeOlder.
    active.sort_by(|one, other| {
        let age = older(one).cmp(&older(other));
        let age = if to_add > 0 { age.reverse() } else { age };
        other.asked.cmp(&one.asked).then(age)
    });
    let mut added = 0;
    let mut sizes: Vec<(Set, i64)> = Vec::new();
    for set in active {
        let part = proportion(&set, wanted, to_add, added, known);
        added += part;
        let size = set.asked + part;
        sizes.push((set, size));
    }
    if let Some((_, size)) = sizes.first_mut() {
        *size = (*size + to_add - added).max(0);
    }
    sizes
}

fn put_back(sets: &mut Sets, changed: Set) {
    let same = sets.old.iter_mut().chain(&mut sets.new).find(|set| set.uid == changed.uid);
    if let Some(same) = same {
        *same = changed;
    }
}
