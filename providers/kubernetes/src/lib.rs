//! Kubernetes Deployments behind the port.
//!
//! The crate connects the client of kube-rs with [`rolling_provider`] and does nothing else: no
//! policy, no waiting, no retry. Kubernetes' own controller replaces the pods; the engine tells it
//! within which bounds, and when to pause.
//!
//! [`Kubernetes::connect`] finds the cluster and credentials, and opens fleets on it, each with the
//! clock that the caller waits by. Opening one calls nothing: `Fleet::resolve` does first, and refuses
//! what the adapter does not support by its attribute. The record of a rollout is kept in a `Lease`
//! beside the Deployment, which is removed at the end.
//!
//! ```no_run
//! # use std::sync::Arc;
//! use rolling_kubernetes::{DeploymentTarget, Kubernetes, KubernetesConfig};
//! use rolling_provider::{Clock, Fleet as _, ProviderError};
//!
//! # async fn example(clock: Arc<dyn Clock>) -> Result<(), ProviderError> {
//! let images = [("app".to_owned(), "images.example.com/shop/web:2.1".to_owned())];
//! let web = DeploymentTarget {
//!     namespace: Some("shop".into()),
//!     name: "web".into(),
//!     images: images.into(),
//!     annotations: [].into(),
//! };
//! let kubernetes = Kubernetes::connect(&KubernetesConfig::default()).await?;
//! let fleet = kubernetes.deployment(web, clock);
//! let target = fleet.resolve().await?;
//! let look = fleet.observe().await?;
//! println!("{} of {} in {}", look.instances.len(), look.desired(), target.name);
//! # Ok(())
//! # }
//! ```

mod act;
mod cluster;
mod connect;
mod deployment_look;
mod error;
mod examine;
mod fleet;
mod lease_record;
mod managers;
mod namespace;
mod observe;
mod pod_revision;
mod pods;
mod port;
mod resolve;
mod trouble;
mod wanted;

pub use cluster::{Kubernetes, TransportError};
pub use connect::KubernetesConfig;
pub use fleet::DeploymentFleet;
pub use wanted::DeploymentTarget;
