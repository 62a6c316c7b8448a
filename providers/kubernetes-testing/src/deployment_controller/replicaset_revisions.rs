//! The sets of a Deployment: which is the new one, their revisions, and how many are kept
//! (`pkg/controller/deployment/sync.go`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::deployment_conditions::{self, FOUND_NEW, NEW_REPLICA_SET, PROGRESSING};
use super::deployment_status::{self, Conflict};
use super::replicaset_sizes::{
    COMPONENT, DESIRED_REPLICAS, MAX_REPLICAS, REVISION, REVISION_HISTORY, Set, Sets, Wanted,
    new_size, older,
};
use crate::cluster_state::ClusterState;
use crate::json_pointer::{at, copy, int, member, set_member, text};
use crate::managed_fields::Manager;
use crate::object_kind::ObjectKind;
use crate::object_store::Key;
use crate::workload::{
    CONTROLLER_MANAGER, HASH_LABEL, condition, controller_reference, created, is_terminating, name,
    owned, same_template,
};
use crate::{random, recorder};

/// Annotations of a Deployment that its sets do not get (`annotationsToSkip`).
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

/// Reads the sets of a Deployment, and sees that the new one has its revision
/// (`getAllReplicaSetsAndSyncRevision`). `make` says whether a new one is made where it is missing.
pub fn sync(
    state: &mut ClusterState,
    deployment: &mut Value,
    make: bool,
) -> Result<Sets, Conflict> {
    let mut all = owned(&state.store, ObjectKind::ReplicaSet, deployment);
    all.retain(|set| !is_terminating(set));
    all.sort_by_key(|set| (created(set), name(set).to_owned()));
    // Of several with the template, the oldest (`FindNewReplicaSet`).
    let new =
        all.iter().position(|set| same_template(set, deployment)).map(|index| all.remove(index));
    let old: Vec<Set> = all.iter().map(|set| Set::read(set)).collect();
    let revision = old.iter().map(|set| set.revision).max().unwrap_or(0) + 1;
    let new = match new {
        Some(new) => Some(found(state, deployment, &new, revision)?),
        None if make => Some(made(state, deployment, &old, revision)?),
        None => None,
    };
    Ok(Sets { new: new.map(|new| Set::read(&new)), old })
}

fn found(
    state: &mut ClusterState,
    deployment: &mut Value,
    new: &Arc<Value>,
    revision: i64,
) -> Result<Arc<Value>, Conflict> {
    let mut annotated = (**new).clone();
    annotate(deployment, &mut annotated, revision);
    let soak = at(deployment, "/spec/minReadySeconds").clone();
    if annotated != **new || *at(new, "/spec/minReadySeconds") != soak {
        let key = Key::of(ObjectKind::ReplicaSet, new);
        let updated = state.update(&key, &Manager::update(CONTROLLER_MANAGER), |set| {
            *set = annotated;
            copy(&mut set["spec"], &deployment["spec"], "minReadySeconds");
        });
        return Ok(updated.unwrap_or_else(|| Arc::clone(new)));
    }
    let before = deployment.clone();
    let revision = member(new, "/metadata/annotations", REVISION).unwrap_or_default();
    set_member(deployment, "/metadata/annotations", REVISION, revision);
    if deployment_conditions::deadline(deployment).is_some()
        && condition(deployment, PROGRESSING).is_none()
    {
        let message = format!("Found new replica set \"{}\"", name(new));
        let found = deployment_conditions::new(PROGRESSING, "True", FOUND_NEW, &message, state.now);
        deployment_conditions::put(deployment, found);
    }
    if *deployment != before {
        deployment_status::write(state, deployment)?;
    }
    Ok(Arc::clone(new))
}

fn made(
    state: &mut ClusterState,
    deployment: &mut Value,
    old: &[Set],
    revision: i64,
) -> Result<Arc<Value>, Conflict> {
    let wanted = Wanted::read(deployment);
    let total = old.iter().map(|set| set.asked).sum();
    let size = new_size(wanted, total, 0);
    let hash = free_hash(state, deployment);
    let mut template = deployment["spec"]["template"].clone();
    set_member(&mut template, "/metadata/labels", HASH_LABEL, hash.clone());
    let mut selector = deployment["spec"]["selector"].clone();
    set_member(&mut selector, "/matchLabels", HASH_LABEL, hash.clone());
    let mut set = json!({
        "metadata": {
            "name": format!("{}-{hash}", name(deployment)),
            "namespace": deployment["metadata"]["namespace"],
            "labels": template["metadata"]["labels"],
            "ownerReferences": [controller_reference(deployment)],
        },
        "spec": {"replicas": size, "selector": selector, "template": template},
        "status": {"replicas": 0},
    });
    copy(&mut set["spec"], &deployment["spec"], "minReadySeconds");
    annotate(deployment, &mut set, revision);
    size_annotations(&mut set, wanted);
    let set = state.create(ObjectKind::ReplicaSet, set, &Manager::update(CONTROLLER_MANAGER));
    if size > 0 {
        let message = format!("Scaled up replica set {} from 0 to {size}", name(&set));
        recorder::normal(state, deployment, COMPONENT, "ScalingReplicaSet", &message);
    }
    set_member(deployment, "/metadata/annotations", REVISION, revision.to_string());
    if deployment_conditions::deadline(deployment).is_some() {
        let message = format!("Created new replica set \"{}\"", name(&set));
        let made =
            deployment_conditions::new(PROGRESSING, "True", NEW_REPLICA_SET, &message, state.now);
        deployment_conditions::put(deployment, made);
    }
    deployment_status::write(state, deployment)?;
    Ok(set)
}

/// A hash with which no set is named: after a collision it is another (`collisionCount`).
fn free_hash(state: &ClusterState, deployment: &Value) -> String {
    let namespace = text(deployment, "/metadata/namespace");
    let mut collisions = int(deployment, "/status/collisionCount", 0);
    loop {
        let hash = random::hash(&deployment["spec"]["template"], collisions);
        let name = format!("{}-{hash}", name(deployment));
        if state.store.get(&Key::new(ObjectKind::ReplicaSet, namespace, name)).is_none() {
            return hash;
        }
        collisions += 1;
    }
}

/// Copies the Deployment's annotations, never taking one away, and raises the revision
/// (`SetNewReplicaSetAnnotations`).
fn annotate(deployment: &Value, set: &mut Value, revision: i64) {
    let none = serde_json::Map::new();
    for (key, value) in at(deployment, "/metadata/annotations").as_object().unwrap_or(&none) {
        if !NOT_COPIED.contains(&key.as_str()) {
            set_member(set, "/metadata/annotations", key, value.clone());
        }
    }
    let before = member(set, "/metadata/annotations", REVISION).map(str::to_owned);
    let had: i64 = before.as_ref().and_then(|text| text.parse().ok()).unwrap_or(0);
    if had >= revision {
        return;
    }
    if let Some(before) = before {
        let history = member(set, "/metadata/annotations", REVISION_HISTORY).unwrap_or_default();
        let history = if history.is_empty() { before } else { format!("{history},{before}") };
        set_member(set, "/metadata/annotations", REVISION_HISTORY, history);
    }
    set_member(set, "/metadata/annotations", REVISION, revision.to_string());
}

/// Writes the replicas and the most pods on a set (`SetReplicasAnnotations`).
pub fn size_annotations(set: &mut Value, wanted: Wanted) {
    let pairs = [(DESIRED_REPLICAS, wanted.replicas), (MAX_REPLICAS, wanted.most())];
    for (key, number) in pairs {
        set_member(set, "/metadata/annotations", key, number.to_string());
    }
}

/// Deletes empty sets beyond `revisionHistoryLimit`, those of the lowest revisions first
/// (`cleanupDeployment`). Of those beyond it, one with pods is left, and no other taken for it.
pub fn prune(state: &mut ClusterState, deployment: &Value, old: &[Set]) {
    let limit = at(deployment, "/spec/revisionHistoryLimit").as_i64();
    // The largest number means that all are kept (`HasRevisionHistoryLimit`).
    let Some(limit) = limit.filter(|limit| *limit != i64::from(i32::MAX)) else { return };
    let beyond = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    let mut old = old.to_vec();
    old.sort_by_key(|set| (set.revision, older(set)));
    for set in old.iter().take(beyond) {
        let observed = state.store.get(&set.key).is_some_and(|set| {
            int(set, "/status/observedGeneration", 0) >= int(set, "/metadata/generation", 0)
        });
        if set.pods == 0 && set.asked == 0 && observed {
            state.delete(&set.key);
        }
    }
}
