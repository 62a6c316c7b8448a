//! Kubernetes Deployments and StatefulSets behind the port.
//!
//! The crate connects the client of kube-rs with [`rolling_provider`] and does nothing else: no
//! policy and no waiting. Kubernetes' own controller replaces the pods; the engine tells it within
//! which bounds, and how far to go. A call is repeated in one case: a change that only a status written
//! meanwhile keeps from being made.
//!
//! [`Kubernetes::connect`] finds the cluster and credentials, and opens fleets on it, each with the
//! clock that the caller waits by. Opening one calls nothing: `Fleet::resolve` does first, and refuses
//! what the adapter does not support by its attribute. The record of a rollout is kept in a `Lease`
//! beside the workload, which is removed at the end.
//!
//! ```no_run
//! # use std::sync::Arc;
//! use rolling_kubernetes::{Kubernetes, KubernetesConfig, WorkloadTarget};
//! use rolling_provider::{Clock, Fleet as _, ProviderError};
//!
//! # async fn example(clock: Arc<dyn Clock>) -> Result<(), ProviderError> {
//! let images = [("app".to_owned(), "images.example.com/shop/web:2.1".to_owned())];
//! let web = WorkloadTarget {
//!     namespace: Some("shop".into()),
//!     name: "web".into(),
//!     images: images.into(),
//!     ..WorkloadTarget::default()
//! };
//! let kubernetes = Kubernetes::connect(&KubernetesConfig::default()).await?;
//! let fleet = kubernetes.workload(web, clock);
//! let target = fleet.resolve().await?;
//! let look = fleet.observe().await?;
//! println!("{} of {} in {}", look.instances.len(), look.desired(), target.name);
//! # Ok(())
//! # }
//! ```

mod act;
mod act_on_pod;
mod cluster;
mod connect;
mod error;
mod examine;
mod fleet;
mod lease_record;
mod managers;
mod namespace;
mod observe;
mod pod_list;
mod pod_revision;
mod pods;
mod port;
mod resolve;
mod stateful_set;
mod stored_template;
mod target_group_binding;
mod trouble;
mod workload_kind;
mod workload_look;
mod workload_object;
mod workload_target;

pub use cluster::{Kubernetes, TransportError};
pub use connect::KubernetesConfig;
pub use fleet::WorkloadFleet;
pub use workload_kind::WorkloadKind;
pub use workload_target::WorkloadTarget;
