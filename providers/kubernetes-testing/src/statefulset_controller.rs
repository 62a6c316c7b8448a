//! The StatefulSet controller (`pkg/controller/statefulset/stateful_set_control.go`).

mod controller_revisions;
mod ordinal_pods;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use self::controller_revisions::Revisions;
use self::ordinal_pods::{new_pod, ordinal, revision, runs_available, runs_ready};
use super::cluster_state::ClusterState;
use super::json_pointer::{int, text};
use super::managed_fields::Manager;
use super::object_kind::ObjectKind;
use super::object_store::Key;
use super::recorder;
use super::work_queue::WorkItem;
use super::workload::{CONTROLLER_MANAGER, is_terminating, name, owned, replicas};

const COMPONENT: &str = "statefulset-controller";

/// Looks at a StatefulSet (`updateStatefulSet`).
pub fn sync(state: &mut ClusterState, key: &Key) {
    let task = WorkItem::Sync(key.clone());
    let Some(set) = state.store.get(key).map(Arc::clone) else { return state.queue.forget(&task) };
    if is_terminating(&set) {
        return;
    }
    let revisions = controller_revisions::sync(state, &set);
    let mut pods = owned(&state.store, ObjectKind::Pod, &set);
    pods.sort_by_key(|pod| ordinal(pod));
    let names = (name(&revisions.current), name(&revisions.update));
    let status = ordinal_pods::status(&set, &pods, names, state.now);
    let done = Turn { state: &mut *state, set: &set, revisions: &revisions, pods: &pods }.take();
    let written =
        state.update(key, &Manager::status(CONTROLLER_MANAGER), |set| set["status"] = status);
    controller_revisions::truncate(state, &set, &revisions, &pods);
    if done.is_err() {
        return state.queue.add_rate_limited(task, state.now);
    }
    state.queue.forget(&task);
    let soak = int(&set, "/spec/minReadySeconds", 0);
    let available = written.map_or(0, |set| int(&set, "/status/availableReplicas", 0));
    if soak > 0 && available != replicas(&set) {
        let at = state.now + Duration::from_secs(soak.unsigned_abs());
        state.queue.add_later(task, at);
    }
}

/// What is done in one look.
struct Turn<'a> {
    state: &'a mut ClusterState,
    set: &'a Value,
    revisions: &'a Revisions,
    pods: &'a [Arc<Value>],
}

impl Turn<'_> {
    fn take(mut self) -> Result<(), String> {
        let asked = replicas(self.set);
        for ordinal in 0..asked {
            if self.tend(ordinal)? {
                return Ok(());
            }
        }
        if self.condemn(asked) || text(self.set, "/spec/updateStrategy/type") == "OnDelete" {
            return Ok(());
        }
        self.update(asked);
        Ok(())
    }

    fn pod(&self, wanted: i64) -> Option<Arc<Value>> {
        self.pods.iter().find(|pod| ordinal(pod) == Some(wanted)).cloned()
    }

    /// `OrderedReady`: one at a time, each waited for.
    fn is_ordered(&self) -> bool {
        text(self.set, "/spec/podManagementPolicy") != "Parallel"
    }

    fn is_available(&self, pod: &Value) -> bool {
        runs_available(pod, int(self.set, "/spec/minReadySeconds", 0), self.state.now)
    }

    /// Sees that the pod of an ordinal is there (`processReplica`). Returns whether the look ends
    /// with it.
    fn tend(&mut self, ordinal: i64) -> Result<bool, String> {
        let ordered = self.is_ordered();
        let Some(pod) = self.pod(ordinal) else {
            self.create(ordinal)?;
            return Ok(ordered);
        };
        if matches!(text(&pod, "/status/phase"), "Failed" | "Succeeded") {
            self.delete(&pod);
            return Ok(ordered);
        }
        Ok(ordered && (is_terminating(&pod) || !runs_ready(&pod) || !self.is_available(&pod)))
    }

    /// Below the partition a missing pod comes back with the current revision
    /// (`newVersionedStatefulSetPod`).
    fn create(&mut self, ordinal: i64) -> Result<(), String> {
        let partition = int(self.set, "/spec/updateStrategy/rollingUpdate/partition", 0);
        let rolling = text(self.set, "/spec/updateStrategy/type") == "RollingUpdate";
        let current = rolling && ordinal < partition;
        let of = if current { &self.revisions.current } else { &self.revisions.update };
        let pod = new_pod(self.set, of, ordinal);
        let (pod_name, set_name) = (name(&pod).to_owned(), name(self.set));
        let what = format!("create Pod {pod_name} in StatefulSet {set_name}");
        match self.state.create_pod(pod) {
            Ok(_) => {
                let message = format!("{what} successful");
                recorder::normal(self.state, self.set, COMPONENT, "SuccessfulCreate", &message);
                Ok(())
            }
            Err(refusal) => {
                let message = format!("{what} failed error: {refusal}");
                recorder::warning(self.state, self.set, COMPONENT, "FailedCreate", &message);
                Err(refusal)
            }
        }
    }

    fn delete(&mut self, pod: &Value) {
        self.state.delete_pod(&Key::of(ObjectKind::Pod, pod), None);
        let message =
            format!("delete Pod {} in StatefulSet {} successful", name(pod), name(self.set));
        recorder::normal(self.state, self.set, COMPONENT, "SuccessfulDelete", &message);
    }

    /// Takes pods beyond the number of replicas, the highest ordinal first (`processCondemned`).
    fn condemn(&mut self, asked: i64) -> bool {
        let pods = self.pods;
        let beyond =
            pods.iter().rev().filter(|pod| ordinal(pod).is_some_and(|number| number >= asked));
        for pod in beyond {
            if !is_terminating(pod) {
                self.delete(pod);
            }
            if self.is_ordered() {
                return true;
            }
        }
        false
    }

    /// Deletes the pod of the highest ordinal that is not of the new revision; the next one when
    /// that one is back and healthy. Those below the partition stay.
    fn update(&mut self, asked: i64) {
        let partition = int(self.set, "/spec/updateStrategy/rollingUpdate/partition", 0);
        for number in (partition..asked).rev() {
            let Some(pod) = self.pod(number) else { return };
            if revision(&pod) != name(&self.revisions.update) && !is_terminating(&pod) {
                return self.delete(&pod);
            }
            if is_terminating(&pod) || !runs_ready(&pod) || !self.is_available(&pod) {
                return;
            }
        }
    }
}
