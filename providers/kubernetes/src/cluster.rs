//! A cluster, and the parts of its API that a rollout uses.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{Api, Client};
use rolling_provider::Clock;

use crate::fleet::{DeploymentFleet, DeploymentTarget};

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

/// The parts of the API of one namespace.
pub(crate) struct NamespaceApi {
    pub client: Client,
    pub namespace: String,
    pub deployments: Api<Deployment>,
    pub replica_sets: Api<ReplicaSet>,
    pub pods: Api<Pod>,
    pub events: Api<Event>,
    pub leases: Api<Lease>,
}

impl NamespaceApi {
    fn new(client: &Client, namespace: String) -> Self {
        Self {
            deployments: Api::namespaced(client.clone(), &namespace),
            replica_sets: Api::namespaced(client.clone(), &namespace),
            pods: Api::namespaced(client.clone(), &namespace),
            events: Api::namespaced(client.clone(), &namespace),
            leases: Api::namespaced(client.clone(), &namespace),
            client: client.clone(),
            namespace,
        }
    }
}
