//! A cluster, which opens fleets.

use std::sync::Arc;

use kube::Client;
use rolling_provider::Clock;

use crate::fleet::DeploymentFleet;
use crate::namespace::NamespaceApi;
use crate::wanted::DeploymentTarget;

/// A cluster.
#[derive(Clone)]
pub struct Kubernetes {
    client: Client,
    namespace: String,
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubernetes").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Kubernetes {
    /// Reaches a cluster by `client`, which must not repeat calls by itself. Where a target names no
    /// namespace it is in `namespace`.
    pub fn with_client(client: Client, namespace: impl Into<String>) -> Self {
        Self { client, namespace: namespace.into() }
    }

    /// Opens a Deployment, which runs on `clock`. Calls nothing.
    pub fn deployment(&self, target: DeploymentTarget, clock: Arc<dyn Clock>) -> DeploymentFleet {
        let namespace = target.namespace.clone().unwrap_or_else(|| self.namespace.clone());
        DeploymentFleet::new(NamespaceApi::new(&self.client, namespace), target, clock)
    }
}
