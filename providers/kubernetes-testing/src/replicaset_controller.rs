//! The ReplicaSet controller (`pkg/controller/replicaset/replica_set.go`).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster_state::ClusterState;
use super::json_pointer::{at, copy, int, list, member, remove, set, text};
use super::managed_fields::Manager;
use super::object_kind::ObjectKind;
use super::object_store::Key;
use super::work_queue::WorkItem;
use super::workload::{
    CONTROLLER_MANAGER, condition, controller, controller_reference, created, is_active,
    is_available, is_ready, is_terminating, name, owned, replicas,
};
use super::{defaults, instant, recorder, selector};

/// The component that events name.
const COMPONENT: &str = "replicaset-controller";
/// The annotation that says which pod is to go first.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Looks at a ReplicaSet (`syncReplicaSet`). The status counts the pods from before what it does.
pub fn sync(state: &mut ClusterState, key: &Key) {
    let task = WorkItem::Sync(key.clone());
    let Some(set) = state.store.get(key).map(Arc::clone) else { return state.queue.forget(&task) };
    claim(state, &set);
    let mut pods = owned(&state.store, ObjectKind::Pod, &set);
    let terminating = pods.iter().filter(|pod| is_terminating(pod)).count();
    let terminating = state.settings.counts_terminating().then_some(terminating);
    pods.retain(|pod| is_active(pod));
    let outcome = if is_terminating(&set) { Ok(()) } else { manage(state, &set, &pods) };
    let updated = write_status(state, &set, (&pods, terminating), outcome.as_ref().err());
    match outcome {
        Err(_) => state.queue.add_rate_limited(task, state.now),
        Ok(()) => {
            state.queue.forget(&task);
            let soak = int(&updated, "/spec/minReadySeconds", 0);
            let asked = replicas(&updated);
            if soak > 0
                && int(&updated, "/status/readyReplicas", 0) == asked
                && int(&updated, "/status/availableReplicas", 0) != asked
            {
                let at = state.now + Duration::from_secs(soak.unsigned_abs());
                state.queue.add_later(task, at);
            }
        }
    }
}

/// Lets go of pods that the selector does not select any more, and takes up those that it selects
/// and that have no controller (`PodControllerRefManager.ClaimPods`).
fn claim(state: &mut ClusterState, set: &Value) {
    let wanted = at(set, "/spec/selector");
    let uid = text(set, "/metadata/uid");
    for pod in state.store.list(ObjectKind::Pod, Some(text(set, "/metadata/namespace"))) {
        let selected = selector::selects(wanted, at(&pod, "/metadata/labels"));
        let key = Key::of(ObjectKind::Pod, &pod);
        let manager = Manager::update(CONTROLLER_MANAGER);
        match controller(&pod) {
            Some(owner) if text(owner, "/uid") == uid && !selected && !is_terminating(&pod) => {
                let mut owners = list(&pod, "/metadata/ownerReferences").to_vec();
                owners.retain(|owner| text(owner, "/uid") != uid);
                state.update(&key, &manager, |pod| {
                    if owners.is_empty() {
                        remove(pod, "/metadata", "ownerReferences");
                    } else {
                        set_owners(pod, owners);
                    }
                });
            }
            None if selected && is_active(&pod) => {
                let mut owners = list(&pod, "/metadata/ownerReferences").to_vec();
                owners.push(controller_reference(set));
                state.update(&key, &manager, |pod| set_owners(pod, owners));
            }
            _ => {}
        }
    }
}

fn set_owners(pod: &mut Value, owners: Vec<Value>) {
    set(pod, "/metadata/ownerReferences", owners);
}

/// Makes or deletes pods (`manageReplicas`). Pods are made in batches of 1, 2, 4, ...; after a
/// batch with a failure no other follows (`slowStartBatch`).
fn manage(state: &mut ClusterState, set: &Value, pods: &[Arc<Value>]) -> Result<(), String> {
    let missing = replicas(set) - pods.len() as i64;
    if missing < 0 {
        for pod in to_delete(state, set, pods, missing.unsigned_abs() as usize) {
            let message = format!("Deleted pod: {}", name(&pod));
            state.delete_pod(&Key::of(ObjectKind::Pod, &pod), None);
            recorder::normal(state, set, COMPONENT, "SuccessfulDelete", &message);
        }
        return Ok(());
    }
    // `burstReplicas`: no more at once.
    let mut left = missing.min(500);
    let mut batch = 1;
    while left > 0 {
        let mut failure = None;
        for _ in 0..batch.min(left) {
            failure = create(state, set).err().or(failure);
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        left -= batch.min(left);
        batch *= 2;
    }
    Ok(())
}

/// Makes a pod of the template (`GetPodFromTemplate`).
fn create(state: &mut ClusterState, set: &Value) -> Result<(), String> {
    let template = at(set, "/spec/template");
    let base = format!("{}-", name(set));
    let mut pod = json!({
        "metadata": {
            "name": format!("{base}{}", state.random.suffix()),
            "generateName": base,
            "namespace": set["metadata"]["namespace"],
            "ownerReferences": [controller_reference(set)],
        },
        "spec": template["spec"],
    });
    for key in ["labels", "annotations"] {
        copy(&mut pod["metadata"], at(template, "/metadata"), key);
    }
    defaults::apply(ObjectKind::Pod, &mut pod);
    match state.create_pod(pod) {
        Ok(pod) => {
            let message = format!("Created pod: {}", name(&pod));
            recorder::normal(state, set, COMPONENT, "SuccessfulCreate", &message);
            Ok(())
        }
        Err(refusal) => {
            let message = format!("Error creating: {refusal}");
            recorder::warning(state, set, COMPONENT, "FailedCreate", &message);
            Err(refusal)
        }
    }
}

/// Returns the pods that go first (`ActivePodsWithRanks`): without a node, pending, not ready, of
/// a low deletion cost, on a node with many others of the same Deployment, ready for a short time,
/// restarted often, young.
fn to_delete(
    state: &ClusterState,
    set: &Value,
    pods: &[Arc<Value>],
    count: usize,
) -> Vec<Arc<Value>> {
    let mut related: BTreeMap<String, i64> = BTreeMap::new();
    let owner = controller(set).map(|owner| text(owner, "/uid").to_owned());
    for other in state.store.list(ObjectKind::ReplicaSet, Some(text(set, "/metadata/namespace"))) {
        let same = controller(&other).map(|owner| text(owner, "/uid").to_owned()) == owner;
        if name(&other) == name(set) || (owner.is_some() && same) {
            for pod in
                owned(&state.store, ObjectKind::Pod, &other).iter().filter(|pod| is_active(pod))
            {
                *related.entry(text(pod, "/spec/nodeName").to_owned()).or_default() += 1;
            }
        }
    }
    let rank = |pod: &Arc<Value>| {
        let node = text(pod, "/spec/nodeName");
        let cost = member(pod, "/metadata/annotations", DELETION_COST);
        let cost: i64 = cost.and_then(|cost| cost.parse().ok()).unwrap_or(0);
        let phase = match text(pod, "/status/phase") {
            "Pending" => 0,
            "Unknown" => 1,
            _ => 2,
        };
        let ready = condition(pod, "Ready").filter(|_| is_ready(pod));
        let since = ready.and_then(|ready| instant::read(ready, "/lastTransitionTime"));
        let restarts = list(pod, "/status/containerStatuses");
        let restarts = restarts.iter().map(|one| int(one, "/restartCount", 0)).max().unwrap_or(0);
        (
            (!node.is_empty(), phase, is_ready(pod), cost),
            Reverse(related.get(node).copied().unwrap_or(0)),
            Reverse(since),
            Reverse(restarts),
            Reverse(created(pod)),
            name(pod).to_owned(),
        )
    };
    let mut pods = pods.to_vec();
    pods.sort_by_cached_key(rank);
    pods.truncate(count);
    pods
}

/// Writes the status (`calculateStatus`, `updateReplicaSetStatus`).
fn write_status(
    state: &mut ClusterState,
    set: &Value,
    (pods, terminating): (&[Arc<Value>], Option<usize>),
    failure: Option<&String>,
) -> Arc<Value> {
    let soak = int(set, "/spec/minReadySeconds", 0);
    let now = state.now;
    let count = |counts: &dyn Fn(&Value) -> bool| pods.iter().filter(|pod| counts(pod)).count();
    let numbers = [
        ("fullyLabeledReplicas", pods.len()),
        ("readyReplicas", count(&is_ready)),
        ("availableReplicas", count(&|pod| is_available(pod, soak, now))),
    ];
    let mut status = json!({
        "replicas": pods.len(), "observedGeneration": set["metadata"]["generation"],
    });
    for (key, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
        status[key] = number.into();
    }
    if let Some(terminating) = terminating {
        status["terminatingReplicas"] = terminating.into();
    }
    let missing = replicas(set) - pods.len() as i64;
    let failed = condition(set, "ReplicaFailure").cloned();
    let failed = failure.map(|message| {
        failed.unwrap_or_else(|| {
            let reason = if missing > 0 { "FailedCreate" } else { "FailedDelete" };
            json!({"type": "ReplicaFailure", "status": "True", "reason": reason,
                   "message": message, "lastTransitionTime": instant::seconds(now)})
        })
    });
    if let Some(failed) = failed {
        status["conditions"] = json!([failed]);
    }
    let key = Key::of(ObjectKind::ReplicaSet, set);
    let written =
        state.update(&key, &Manager::status(CONTROLLER_MANAGER), |set| set["status"] = status);
    written.unwrap_or_else(|| Arc::new(set.clone()))
}
