//! The state of a cluster, and each write of it.
//!
//! A write wakes the controllers that watch the object, as their informers do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster_settings::{PodBehaviour, Settings};
use super::door::{ApiCall, Door, ThirdPartyWrite};
use super::json_pointer::{copy, int, list, push, set, text};
use super::managed_fields::{self, Manager};
use super::object_kind::ObjectKind;
use super::object_store::{Key, ObjectStore};
use super::random::Random;
use super::timeline::Timeline;
use super::work_queue::{PodStep, WorkItem, WorkQueue};
use super::workload::{controller_key, is_ready, is_terminating};
use super::{instant, selector, snapshot};

/// Everything that a cluster knows.
#[derive(Clone, Debug)]
pub struct ClusterState {
    /// The time.
    pub now: Duration,
    /// The objects.
    pub store: ObjectStore,
    /// What is to be done.
    pub queue: WorkQueue,
    /// Names and delays.
    pub random: Random,
    /// How fast it is.
    pub settings: Settings,
    /// What goes wrong.
    pub door: Door,
    /// How sets changed.
    pub timeline: Timeline,
    /// The requests so far.
    pub calls: Vec<ApiCall>,
    /// What others do.
    pub interventions: Vec<ThirdPartyWrite>,
    /// The names of events, by what they say: the same event is counted.
    pub(super) events: BTreeMap<[String; 3], Key>,
}

/// Returns whether objects of a kind have a `generation`.
fn has_generation(kind: ObjectKind) -> bool {
    matches!(kind, ObjectKind::Deployment | ObjectKind::ReplicaSet | ObjectKind::StatefulSet)
}

/// Returns whether `managedFields` are kept for a kind. Those of pods, ReplicaSets and events are
/// left out: nobody but controllers writes them.
fn has_managed_fields(kind: ObjectKind) -> bool {
    matches!(
        kind,
        ObjectKind::Deployment
            | ObjectKind::StatefulSet
            | ObjectKind::Lease
            | ObjectKind::HorizontalPodAutoscaler
    )
}

impl ClusterState {
    /// Creates the state of an empty cluster.
    pub fn new(settings: Settings, now: Duration) -> Self {
        Self {
            now,
            store: ObjectStore::default(),
            queue: WorkQueue::default(),
            random: Random::new(settings.seed),
            settings,
            door: Door::default(),
            timeline: Timeline::default(),
            calls: Vec::new(),
            interventions: Vec::new(),
            events: BTreeMap::new(),
        }
    }

    /// Returns the time until the controller of an object looks at a change. That of Deployments mostly
    /// follows those of pods: it waits for what they see. Sometimes it is ahead of them, and pods are
    /// there for a moment that no ReplicaSet asks for any more (seen on a busy control plane).
    fn delay(&mut self, kind: ObjectKind) -> Duration {
        let (least, most) = self.settings.sync;
        let delay = self.random.between(least, most);
        let is_late = kind == ObjectKind::Deployment || self.random.next().is_multiple_of(8);
        if is_late { delay } else { delay / 10 }
    }

    /// Queues the controller of an object soon.
    fn look_soon(&mut self, key: Key) {
        let at = self.now + self.delay(key.kind);
        self.queue.add(WorkItem::Sync(key), at);
    }

    /// Fills in the metadata of a new object.
    pub fn stamp_new(&mut self, kind: ObjectKind, object: &mut Value, manager: &Manager) {
        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.info().name.into();
        set(object, "/metadata/uid", self.random.uid());
        set(object, "/metadata/creationTimestamp", instant::seconds(self.now));
        if has_generation(kind) {
            set(object, "/metadata/generation", 1);
        }
        if has_managed_fields(kind) {
            managed_fields::note(None, object, manager, self.now);
        }
    }

    /// Fills in the metadata of a changed object: what clients cannot set stays as it was, the
    /// generation goes up by one exactly when `spec` differs (`PrepareForUpdate`).
    pub fn stamp_changed(&self, kind: ObjectKind, old: &Value, new: &mut Value, manager: &Manager) {
        copy(new, old, "apiVersion");
        copy(new, old, "kind");
        for key in
            ["uid", "creationTimestamp", "generation", "name", "namespace", "resourceVersion"]
        {
            copy(&mut new["metadata"], &old["metadata"], key);
        }
        if has_generation(kind) && old.get("spec") != new.get("spec") {
            set(new, "/metadata/generation", int(old, "/metadata/generation", 0) + 1);
        }
        if has_managed_fields(kind) {
            copy(&mut new["metadata"], &old["metadata"], "managedFields");
            managed_fields::note(Some(old), new, manager, self.now);
        }
    }

    /// Keeps a new object.
    pub fn create(&mut self, kind: ObjectKind, mut object: Value, manager: &Manager) -> Arc<Value> {
        self.stamp_new(kind, &mut object, manager);
        self.keep_new(kind, object)
    }

    /// Keeps a new object whose metadata are filled in.
    pub fn keep_new(&mut self, kind: ObjectKind, object: Value) -> Arc<Value> {
        let key = Key::of(kind, &object);
        let stored = self.store.put(self.now, key.clone(), object);
        self.wake(&key, None, Some(&stored));
        stored
    }

    /// Changes an object. What comes out as it was is not written.
    pub fn update(
        &mut self,
        key: &Key,
        manager: &Manager,
        change: impl FnOnce(&mut Value),
    ) -> Option<Arc<Value>> {
        let old = Arc::clone(self.store.get(key)?);
        let mut new = (*old).clone();
        change(&mut new);
        self.stamp_changed(key.kind, &old, &mut new, manager);
        Some(self.keep_changed(key, new))
    }

    /// Keeps a changed object whose metadata are filled in.
    pub fn keep_changed(&mut self, key: &Key, new: Value) -> Arc<Value> {
        let old = self.store.get(key).map(Arc::clone);
        if let Some(old) = &old
            && **old == new
        {
            return Arc::clone(old);
        }
        let stored = self.store.put(self.now, key.clone(), new);
        self.wake(key, old.as_deref(), Some(&stored));
        stored
    }

    /// Takes an object away.
    pub fn delete(&mut self, key: &Key) -> Option<Arc<Value>> {
        let gone = self.store.delete(self.now, key)?;
        self.wake(key, Some(&gone), None);
        Some(gone)
    }

    /// Deletes a pod: one that is on no node goes at once, any other when its containers have
    /// ended or its grace period is over (`podStrategy.CheckGracefulDelete`).
    pub fn delete_pod(&mut self, key: &Key, grace: Option<i64>) -> Option<Arc<Value>> {
        let pod = Arc::clone(self.store.get(key)?);
        let grace = grace.unwrap_or(int(&pod, "/spec/terminationGracePeriodSeconds", 30));
        if grace <= 0 || text(&pod, "/spec/nodeName").is_empty() {
            return self.delete(key);
        }
        if is_terminating(&pod) {
            return Some(pod);
        }
        let ends = self.now + Duration::from_secs(grace.unsigned_abs());
        self.update(key, &Manager::update("kube-apiserver"), |pod| {
            set(pod, "/metadata/deletionTimestamp", instant::seconds(ends));
            set(pod, "/metadata/deletionGracePeriodSeconds", grace);
        })
    }

    /// Queues what watches an object.
    fn wake(&mut self, key: &Key, old: Option<&Value>, new: Option<&Value>) {
        snapshot::note(&self.store, &mut self.timeline, key.kind, (old, new), self.now);
        match key.kind {
            ObjectKind::Deployment | ObjectKind::StatefulSet => self.look_soon(key.clone()),
            ObjectKind::ReplicaSet => {
                self.look_soon(key.clone());
                if let Some(owner) = new.or(old).and_then(controller_key) {
                    self.look_soon(owner);
                }
            }
            ObjectKind::Pod => self.wake_for_pod(key, old, new),
            _ => {}
        }
        if new.is_none() {
            let collect = self.now + self.settings.times.collect;
            self.queue.add(WorkItem::Collect, collect);
        }
    }

    fn wake_for_pod(&mut self, key: &Key, old: Option<&Value>, new: Option<&Value>) {
        let owners: Vec<Key> =
            [old, new].into_iter().flatten().filter_map(controller_key).collect();
        for owner in &owners {
            self.look_soon(owner.clone());
            self.wake_when_available(owner, old, new);
            if new.is_none() {
                // A Recreate Deployment waits for its last old pod (`deletePod`).
                let set = self.store.get(owner).and_then(|set| controller_key(set));
                if let Some(deployment) = set {
                    self.look_soon(deployment);
                }
            }
        }
        if owners.is_empty()
            && let Some(pod) = new
        {
            self.wake_selecting(key, pod);
        }
        let Some(pod) = new.filter(|_| self.settings.kubelet) else { return };
        let uid = text(pod, "/metadata/uid").to_owned();
        if old.is_none() {
            let at = self.now + self.settings.times.schedule;
            self.queue.add(WorkItem::Pod(key.clone(), uid, PodStep::Schedule), at);
        } else if is_terminating(pod) && !old.is_some_and(is_terminating) {
            self.queue.add(WorkItem::Pod(key.clone(), uid, PodStep::Terminate), self.now);
        }
    }

    /// A set looks again when a pod that became ready is available: a second later than that, "to
    /// avoid milliseconds skew" (`replica_set.go`, `updatePod`).
    fn wake_when_available(&mut self, owner: &Key, old: Option<&Value>, new: Option<&Value>) {
        let became_ready = new.is_some_and(is_ready) && !old.is_some_and(is_ready);
        let soak = self.store.get(owner).map_or(0, |set| int(set, "/spec/minReadySeconds", 0));
        if became_ready && soak > 0 {
            let at = self.now + Duration::from_secs(soak.unsigned_abs() + 1);
            self.queue.add_later(WorkItem::Sync(owner.clone()), at);
        }
    }

    /// A pod without a controller may be adopted.
    fn wake_selecting(&mut self, key: &Key, pod: &Value) {
        let labels = pod["metadata"]["labels"].clone();
        for set in self.store.list(ObjectKind::ReplicaSet, Some(&key.namespace)) {
            if selector::selects(&set["spec"]["selector"], &labels) {
                self.look_soon(Key::of(ObjectKind::ReplicaSet, &set));
            }
        }
    }

    /// Keeps a new pod, or says why it is refused: the quota, in the words of
    /// `plugin/pkg/admission/resourcequota`.
    pub fn create_pod(&mut self, mut pod: Value) -> Result<Arc<Value>, String> {
        let namespace = text(&pod, "/metadata/namespace").to_owned();
        if let Some(quota) = self.door.quota.as_ref().filter(|quota| quota.namespace == namespace) {
            let used = self.store.list(ObjectKind::Pod, Some(&namespace)).len();
            if used >= quota.pods {
                let (pod, name, limit) = (text(&pod, "/metadata/name"), &quota.name, quota.pods);
                return Err(format!(
                    "pods \"{pod}\" is forbidden: exceeded quota: {name}, requested: pods=1, used: \
                     pods={used}, limited: pods={limit}"
                ));
            }
        }
        self.admit(&mut pod);
        pod["status"] = json!({"phase": "Pending", "qosClass": "BestEffort"});
        Ok(self.create(ObjectKind::Pod, pod, &Manager::update("kube-controller-manager")))
    }

    /// Puts the readiness gate into a pod that is to have one.
    fn admit(&self, pod: &mut Value) {
        let Some(gate) = &self.door.readiness_gate else { return };
        let is_gated =
            |one: &Value| PodBehaviour::of_image(text(one, "/image")) == PodBehaviour::Gate;
        let wanted = list(pod, "/spec/containers").iter().any(is_gated);
        if wanted && list(pod, "/spec/readinessGates").is_empty() {
            push(pod, "/spec/readinessGates", json!({"conditionType": gate}));
        }
    }
}
