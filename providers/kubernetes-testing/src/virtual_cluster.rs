//! A cluster in virtual time.

use std::time::Duration;

use serde_json::Value;

use super::api::api_request::{ApiRequest, ApiResponse};
use super::api::{self, watch::Watch};
use super::cluster_settings::Settings;
use super::cluster_state::ClusterState;
use super::door::{ApiCall, Door, ThirdPartyWrite};
use super::json_pointer::{set, text};
use super::managed_fields::Manager;
use super::object_kind::ObjectKind;
use super::object_store::Key;
use super::timeline::Timeline;
use super::work_queue::WorkItem;
use super::{
    defaults, deployment_controller, garbage, kubelet, patch, replicaset_controller,
    statefulset_controller, strategic,
};

/// A cluster: an API server, the controllers, a scheduler and kubelets.
///
/// It stands still between calls. [`advance_to`](Self::advance_to) lets what is due by a time
/// happen, in order, each at its own time; [`request`](Self::request) answers at the time that is
/// reached. The same settings and calls come to the same end.
#[derive(Clone, Debug)]
pub struct Cluster {
    state: ClusterState,
}

impl Cluster {
    /// Creates a cluster with its nodes and the namespace `default`.
    pub fn new(settings: Settings, now: Duration) -> Self {
        let mut cluster = Self { state: ClusterState::new(settings, now) };
        cluster.namespace("default");
        for (node, zone) in cluster.state.settings.nodes.clone() {
            let labels = serde_json::json!({
                "kubernetes.io/hostname": node, "topology.kubernetes.io/zone": zone,
                "topology.kubernetes.io/region": "region-1",
            });
            let object = serde_json::json!({"metadata": {"name": node, "labels": labels},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
            cluster.state.create(ObjectKind::Node, object, &Manager::update("kubelet"));
        }
        cluster
    }

    fn namespace(&mut self, name: &str) {
        if self.state.store.get(&Key::new(ObjectKind::Namespace, "", name)).is_none() {
            let object =
                serde_json::json!({"metadata": {"name": name}, "status": {"phase": "Active"}});
            self.state.create(ObjectKind::Namespace, object, &Manager::update("kubectl"));
        }
    }

    /// Returns the time that is reached.
    pub fn now(&self) -> Duration {
        self.state.now
    }

    /// Lets everything happen that is due by a time. A time in the past changes nothing.
    pub fn advance_to(&mut self, now: Duration) {
        while self.step(now) {}
        self.state.now = self.state.now.max(now);
    }

    /// Lets time pass.
    pub fn advance(&mut self, by: Duration) {
        self.advance_to(self.state.now + by);
    }

    /// Lets time pass until something is so, at most so long. Returns the time that it took.
    pub fn advance_until(
        &mut self,
        limit: Duration,
        is: impl Fn(&Self) -> bool,
    ) -> Option<Duration> {
        let (begin, end) = (self.state.now, self.state.now + limit);
        loop {
            if is(self) {
                return Some(self.state.now - begin);
            }
            if !self.step(end) {
                self.state.now = end;
                return is(self).then_some(limit);
            }
        }
    }

    /// Does the next thing that is due by a time.
    fn step(&mut self, until: Duration) -> bool {
        let Some((at, task)) = self.state.queue.pop(until) else { return false };
        self.state.now = self.state.now.max(at);
        match task {
            WorkItem::Sync(key) => match key.kind {
                ObjectKind::Deployment => deployment_controller::sync(&mut self.state, &key),
                ObjectKind::ReplicaSet => replicaset_controller::sync(&mut self.state, &key),
                ObjectKind::StatefulSet => statefulset_controller::sync(&mut self.state, &key),
                _ => {}
            },
            WorkItem::Pod(key, uid, step) => kubelet::step(&mut self.state, &key, &uid, step),
            WorkItem::Collect => garbage::collect(&mut self.state),
            WorkItem::Intervene(number) => self.intervene(number),
        }
        true
    }

    /// Returns when the next thing is due.
    pub fn next_due(&self) -> Option<Duration> {
        self.state.queue.next()
    }

    /// Answers a request. `query` is as in a URL, without the question mark.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> ApiResponse {
        self.answer(&ApiRequest::new(method, path, query, headers, body))
    }

    /// Answers a request.
    pub fn answer(&mut self, request: &ApiRequest) -> ApiResponse {
        api::answer(&mut self.state, request)
    }

    /// Returns what a watch has not told yet.
    pub fn watched(&self, watch: &mut Watch) -> Vec<Value> {
        watch.next(&self.state.store)
    }

    /// Keeps an object that was there before, without a request: with its namespace, its defaults,
    /// and `kubectl-client-side-apply` as its manager. One that is there is replaced.
    pub fn seed(&mut self, mut object: Value) -> Option<Key> {
        let kind = ObjectKind::of_document(&object)?;
        if kind.info().namespaced {
            if text(&object, "/metadata/namespace").is_empty() {
                set(&mut object, "/metadata/namespace", "default");
            }
            let namespace = text(&object, "/metadata/namespace").to_owned();
            self.namespace(&namespace);
        }
        defaults::apply(kind, &mut object);
        let (key, manager) = (Key::of(kind, &object), Manager::update("kubectl-client-side-apply"));
        if self.state.store.get(&key).is_some() {
            self.state.update(&key, &manager, |stored| *stored = object);
        } else {
            self.state.create(kind, object, &manager);
        }
        Some(key)
    }

    /// Returns an object.
    pub fn get(&self, kind: ObjectKind, namespace: &str, name: &str) -> Option<&Value> {
        self.state.store.get(&Key::new(kind, namespace, name)).map(|object| &**object)
    }

    /// Returns the objects of a kind in a namespace.
    pub fn list(&self, kind: ObjectKind, namespace: &str) -> Vec<Value> {
        let all = self.state.store.list(kind, Some(namespace));
        all.iter().map(|object| (**object).clone()).collect()
    }

    /// Returns the door, to set what goes wrong.
    pub fn door(&mut self) -> &mut Door {
        &mut self.state.door
    }

    /// Returns the settings; times of pods hold from the next step on.
    pub fn settings(&mut self) -> &mut Settings {
        &mut self.state.settings
    }

    /// Plans what somebody else does.
    pub fn plan(&mut self, intervention: ThirdPartyWrite) {
        let task = WorkItem::Intervene(self.state.interventions.len());
        self.state.queue.add(task, intervention.at.max(self.state.now));
        self.state.interventions.push(intervention);
    }

    fn intervene(&mut self, number: usize) {
        let Some(planned) = self.state.interventions.get(number).cloned() else { return };
        let key = Key::new(planned.kind, planned.namespace, planned.name);
        if planned.patch.is_null() {
            self.state.delete(&key);
            return;
        }
        let Some(mut object) = self.state.store.get(&key).map(|object| (**object).clone()) else {
            return;
        };
        if strategic::merge(&mut object, &planned.patch).is_err() {
            patch::merge(&mut object, &planned.patch);
        }
        defaults::apply(key.kind, &mut object);
        self.state.update(&key, &Manager::update(planned.manager), |stored| *stored = object);
    }

    /// Returns the requests so far.
    pub fn calls(&self) -> &[ApiCall] {
        &self.state.calls
    }

    /// Returns how sets changed.
    pub fn timeline(&self) -> &Timeline {
        &self.state.timeline
    }
}
