//! A Kubernetes API server with the workload controllers, as a test double.
//!
//! [`Cluster`] is a pure value in virtual time: objects as JSON, the controllers of Deployments,
//! ReplicaSets and StatefulSets, a scheduler and kubelets whose pods behave by their image's tag
//! ([`PodBehaviour`]). [`InMemoryService`] puts it on a clock, for a client with a transport of its
//! own; [`HttpServer`] serves it on a free port. [`Door`] is what goes wrong, [`Timeline`] how the
//! sizes of sets changed, [`SizeWitness`] what held throughout.
//!
//! The rules come from the source of Kubernetes, which each file names; recordings of the
//! controllers of 1.20.2 are replayed against it.
//!
//! ```
//! use std::time::Duration;
//!
//! use rolling_kubernetes_testing::{Cluster, ObjectKind, Settings, SizeWitness};
//! use serde_json::json;
//!
//! let mut cluster = Cluster::new(Settings::default(), Duration::from_secs(1_800_000_000));
//! cluster.seed(json!({
//!     "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
//!     "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "web"}}, "template": {
//!         "metadata": {"labels": {"app": "web"}},
//!         "spec": {"containers": [{"name": "app", "image": "web:1"}]}}},
//! }));
//! cluster.advance(Duration::from_secs(10));
//! let began = cluster.now();
//!
//! let path = "/apis/apps/v1/namespaces/default/deployments/web";
//! let kind = ("content-type", "application/strategic-merge-patch+json");
//! let containers = json!([{"name": "app", "image": "web:no-image"}]);
//! let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}}).to_string();
//! let answer = cluster.request("PATCH", path, "fieldManager=rolling", &[kind], patch.as_bytes());
//! assert_eq!(answer.status, 200);
//!
//! cluster.advance(Duration::from_secs(700));
//! let web = cluster.get(ObjectKind::Deployment, "default", "web").expect("it is there");
//! assert_eq!(web["status"]["updatedReplicas"], 2);
//! let witness = SizeWitness::new(cluster.timeline(), "default", "web", began);
//! assert_eq!(witness.reasons().last(), Some(&"ProgressDeadlineExceeded"));
//! assert_eq!((witness.least_ready(), witness.most_live()), (3, 5));
//! ```

mod api;
mod api_error;
mod cluster_settings;
mod cluster_state;
mod defaults;
mod deployment_controller;
mod door;
mod garbage;
mod http_server;
mod in_memory_service;
mod instant;
mod json_pointer;
mod kubelet;
mod managed_fields;
mod object_kind;
mod object_store;
mod patch;
mod random;
mod recorder;
mod replicaset_controller;
mod selector;
mod size_witness;
mod snapshot;
mod statefulset_controller;
mod strategic;
mod timeline;
mod validation;
mod virtual_cluster;
mod work_queue;
mod workload;

pub use api::api_request::{ApiRequest, ApiResponse, Delivery};
pub use api::watch::Watch;
pub use cluster_settings::{PodBehaviour, Settings, Times};
pub use door::{ApiCall, ApiFault, Door, Matching, Quota, Rule, ThirdPartyWrite};
pub use http_server::HttpServer;
pub use in_memory_service::{ClusterClock, Dropped, InMemoryService, head, read};
pub use object_kind::ObjectKind;
pub use object_store::Key;
pub use size_witness::SizeWitness;
pub use timeline::{SetSize, Timeline, TimelineEntry};
pub use virtual_cluster::Cluster;
