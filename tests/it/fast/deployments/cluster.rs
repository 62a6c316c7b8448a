//! A workload on a fake cluster, in virtual time, behind the real adapter and its client.

use std::sync::Arc;
use std::time::Duration;

use hyper::{Request, Response};
use rolling_kubernetes::{Kubernetes, TransportError, WorkloadKind, WorkloadTarget};
use rolling_kubernetes_testing::{
    Cluster, Delivery, Dropped, InMemoryService, ObjectKind, SetSize, Settings, SizeWitness,
    ThirdPartyWrite, TimelineEntry, head, read,
};
use rolling_provider::{Clock as _, Fleet, Timestamp};
use rolling_simulator::EPOCH;
use serde_json::{Value, json};

use crate::world::SharedClock;

const NAMESPACE: &str = "shop";
const NAME: &str = "web";

/// A cluster with one workload of `app:v1`, all of whose pods are available.
pub struct FakeWorkload {
    pub clock: Arc<SharedClock>,
    pub service: InMemoryService,
    kind: WorkloadKind,
    kubernetes: Kubernetes,
    began: Duration,
}

/// The time of the engine's clock as that of the cluster.
fn since_1970(at: Timestamp) -> Duration {
    Duration::from_millis(at.0)
}

/// A Deployment of so many pods.
pub fn deployment(replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": NAME, "namespace": NAMESPACE },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "app", "image": "app:v1" }] },
            },
        },
    })
}

/// A StatefulSet of so many pods, which are replaced in order, or `Parallel`.
pub fn stateful_set(replicas: u32, pod_management: &str) -> Value {
    let mut set = deployment(replicas);
    set["kind"] = json!("StatefulSet");
    set["spec"]["serviceName"] = json!("web");
    set["spec"]["podManagementPolicy"] = json!(pod_management);
    set
}

impl FakeWorkload {
    /// Makes a Deployment on this clock. Needs a runtime of Tokio around it.
    pub fn new(clock: &Arc<SharedClock>, replicas: u32, settings: Settings) -> Self {
        Self::of(clock, deployment(replicas), settings)
    }

    /// Makes a workload on this clock. Needs a runtime of Tokio around it.
    pub fn of(clock: &Arc<SharedClock>, workload: Value, settings: Settings) -> Self {
        let kind = match workload["kind"].as_str() {
            Some("StatefulSet") => WorkloadKind::StatefulSet,
            _ => WorkloadKind::Deployment,
        };
        let clock = Arc::clone(clock);
        // What the pods need to become available, and old ones by then.
        let began = since_1970(EPOCH);
        let mut cluster = Cluster::new(settings, began - Duration::from_secs(600));
        cluster.seed(workload);
        cluster.advance_to(began);
        let time = Arc::clone(&clock);
        let service = InMemoryService::new(cluster, move || since_1970(time.now()));
        let kubernetes = kubernetes(service.clone(), Arc::clone(&clock));
        Self { clock, service, kind, kubernetes, began }
    }

    /// Opens the workload as a fleet that is to run `app:TAG`.
    pub fn fleet(&self, tag: &str) -> Arc<dyn Fleet> {
        let target = WorkloadTarget {
            kind: self.kind,
            namespace: Some(NAMESPACE.into()),
            name: NAME.into(),
            images: [("app".to_owned(), format!("app:{tag}"))].into(),
            ..WorkloadTarget::default()
        };
        let clock = Arc::clone(&self.clock);
        Arc::new(self.kubernetes.workload(target, clock))
    }

    /// Returns the workload as it is now.
    pub fn workload(&self) -> Value {
        let kind = self.object_kind();
        self.service.with(|cluster| cluster.get(kind, NAMESPACE, NAME).cloned().unwrap_or_default())
    }

    /// Returns the image that its template has now.
    pub fn image(&self) -> Value {
        self.workload()["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    }

    /// Returns the time of the cluster, so long after the beginning.
    pub fn at(&self, after: Duration) -> Duration {
        self.began + after
    }

    /// Returns how long it is since the beginning.
    pub fn elapsed(&self) -> Duration {
        since_1970(self.clock.now()) - self.began
    }

    /// Has somebody else patch the workload, so long after the beginning.
    pub fn plan_write(&self, after: Duration, manager: &str, patch: Value) {
        let at = self.at(after);
        let write = ThirdPartyWrite::patch(at, manager, NAMESPACE, NAME, patch);
        let kind = self.object_kind();
        self.service.with(|cluster| cluster.plan(ThirdPartyWrite { kind, ..write }));
    }

    fn object_kind(&self) -> ObjectKind {
        match self.kind {
            WorkloadKind::Deployment => ObjectKind::Deployment,
            WorkloadKind::StatefulSet => ObjectKind::StatefulSet,
        }
    }

    /// Returns what is left of a rollout: whatever differs from how the workload was made.
    pub fn left(&self) -> Vec<String> {
        let leases = self.service.with(|cluster| cluster.list(ObjectKind::Lease, NAMESPACE));
        let mut left: Vec<String> = leases.iter().map(|_| "a Lease".to_owned()).collect();
        let spec = &self.workload()["spec"];
        let (found, usual, deadline) = match self.kind {
            WorkloadKind::Deployment => (
                &spec["strategy"]["rollingUpdate"],
                json!({ "maxSurge": "25%", "maxUnavailable": "25%" }),
                600,
            ),
            WorkloadKind::StatefulSet => {
                (&spec["updateStrategy"]["rollingUpdate"], json!({ "partition": 0 }), 0)
            }
        };
        if *found != usual {
            left.push(format!("bounds {found}"));
        }
        for (name, usual) in [("minReadySeconds", 0), ("progressDeadlineSeconds", deadline)] {
            let value = spec[name].as_u64().unwrap_or(0);
            if value != usual {
                left.push(format!("{name} {value}"));
            }
        }
        if spec["paused"] == true {
            left.push("a pause".to_owned());
        }
        left
    }

    /// Returns why it cannot be said that all run `app:TAG` and have been ready for `soak`, as the cluster
    /// itself has seen it; nothing where it can.
    pub fn unproven(&self, tag: &str, soak: Duration) -> Option<String> {
        self.service.with(|cluster| {
            let image = format!("app:{tag}");
            let entries: Vec<_> = cluster.timeline().of(NAMESPACE, NAME).collect();
            let all_ready = |entry: &&&TimelineEntry| {
                let is_new = |set: &&SetSize| set.image == image && set.current;
                let new = entry.sets.iter().filter(is_new).map(|set| set.ready).sum::<i64>();
                new == entry.replicas
            };
            let proven = entries.iter().rev().take_while(all_ready).last();
            let since = proven.map(|entry| cluster.now().saturating_sub(entry.at));
            let is_alone = entries.last().is_some_and(|it| it.sum(|set| set.live) == it.replicas);
            (!is_alone || since.is_none_or(|since| since < soak))
                .then(|| format!("{since:?} of {soak:?}: {:?}", entries.last()))
        })
    }

    /// Returns how many took requests at least, and how many were asked for at most, since the beginning.
    pub fn extremes(&self) -> (u32, u32) {
        self.service.with(|cluster| {
            let witness = SizeWitness::new(cluster.timeline(), NAMESPACE, NAME, self.began);
            let count = |count: i64| u32::try_from(count).expect("a count");
            (count(witness.least_ready()), count(witness.most_asked()))
        })
    }
}

/// Returns the fake cluster behind the client of kube-rs. Time passes where an answer takes some.
fn kubernetes(service: InMemoryService, clock: Arc<SharedClock>) -> Kubernetes {
    let transport = move |request: Request<Vec<u8>>| {
        let (service, clock) = (service.clone(), Arc::clone(&clock));
        async move {
            let answer = service.answer(&read(&request));
            let Delivery::After(time) = answer.delivery else { return Err(Dropped.into()) };
            if !time.is_zero() {
                clock.sleep(time).await;
            }
            let body = answer.body.to_string().into_bytes();
            Ok::<Response<Vec<u8>>, TransportError>(head(&answer).map(|()| body))
        }
    };
    Kubernetes::with_transport(transport, "default")
}
