//! A Deployment on a fake cluster, in virtual time, behind the real adapter and its client.

use std::sync::Arc;
use std::time::Duration;

use hyper::{Request, Response};
use rolling_kubernetes::{DeploymentTarget, Kubernetes, TransportError};
use rolling_kubernetes_testing::{
    Cluster, Delivery, Dropped, InMemoryService, ObjectKind, Settings, SizeWitness, head, read,
};
use rolling_provider::{Clock as _, Fleet, Timestamp};
use rolling_simulator::EPOCH;
use serde_json::{Value, json};

use crate::world::SharedClock;

const NAMESPACE: &str = "shop";
const NAME: &str = "web";

/// A cluster with one Deployment of `app:v1`, all of whose pods are available.
pub struct FakeDeployment {
    pub clock: Arc<SharedClock>,
    pub service: InMemoryService,
    kubernetes: Kubernetes,
    began: Duration,
}

/// The time of the engine's clock as that of the cluster.
fn since_1970(at: Timestamp) -> Duration {
    Duration::from_millis(at.0)
}

impl FakeDeployment {
    /// Makes one on this clock. Needs a runtime of Tokio around it.
    pub fn new(clock: &Arc<SharedClock>, replicas: u32, settings: Settings) -> Self {
        let clock = Arc::clone(clock);
        // What the pods need to become available, and old ones by then.
        let began = since_1970(EPOCH);
        let mut cluster = Cluster::new(settings, began - Duration::from_secs(600));
        cluster.seed(json!({
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
        }));
        cluster.advance_to(began);
        let time = Arc::clone(&clock);
        let service = InMemoryService::new(cluster, move || since_1970(time.now()));
        let kubernetes = kubernetes(service.clone(), Arc::clone(&clock));
        Self { clock, service, kubernetes, began }
    }

    /// Opens the Deployment as a fleet that is to run `app:TAG`.
    pub fn fleet(&self, tag: &str) -> Arc<dyn Fleet> {
        let target = DeploymentTarget {
            namespace: Some(NAMESPACE.into()),
            name: NAME.into(),
            images: [("app".to_owned(), format!("app:{tag}"))].into(),
            annotations: [].into(),
        };
        let clock = Arc::clone(&self.clock);
        Arc::new(self.kubernetes.deployment(target, clock))
    }

    /// Returns the Deployment as it is now.
    pub fn deployment(&self) -> Value {
        self.service.with(|cluster| {
            cluster.get(ObjectKind::Deployment, NAMESPACE, NAME).cloned().unwrap_or_default()
        })
    }

    /// Returns what is left of a rollout: whatever differs from how the Deployment was made.
    pub fn left(&self) -> Vec<String> {
        let leases = self.service.with(|cluster| cluster.list(ObjectKind::Lease, NAMESPACE));
        let mut left: Vec<String> = leases.iter().map(|_| "a Lease".to_owned()).collect();
        let spec = &self.deployment()["spec"];
        let bounds = json!({ "maxSurge": "25%", "maxUnavailable": "25%" });
        if spec["strategy"]["rollingUpdate"] != bounds {
            left.push(format!("bounds {}", spec["strategy"]["rollingUpdate"]));
        }
        for (name, usual) in [("minReadySeconds", 0), ("progressDeadlineSeconds", 600)] {
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

    /// Returns how many took requests at least, and how many lived at most, since the beginning.
    pub fn extremes(&self) -> (u32, u32) {
        self.service.with(|cluster| {
            let witness = SizeWitness::new(cluster.timeline(), NAMESPACE, NAME, self.began);
            let count = |count: i64| u32::try_from(count).expect("a count");
            (count(witness.least_ready()), count(witness.most_live()))
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
