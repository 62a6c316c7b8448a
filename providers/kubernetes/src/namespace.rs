//! The parts of Kubernetes' API that a rollout uses.

use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{Api, Client};

/// The parts of the API of one namespace.
pub(crate) struct NamespaceApi {
    pub client: Client,
    pub namespace: String,
    pub deployments: Api<Deployment>,
    pub replica_sets: Api<ReplicaSet>,
    pub stateful_sets: Api<StatefulSet>,
    pub controller_revisions: Api<ControllerRevision>,
    pub pods: Api<Pod>,
    pub events: Api<Event>,
    pub leases: Api<Lease>,
}

impl NamespaceApi {
    pub fn new(client: &Client, namespace: String) -> Self {
        Self {
            deployments: Api::namespaced(client.clone(), &namespace),
            replica_sets: Api::namespaced(client.clone(), &namespace),
            stateful_sets: Api::namespaced(client.clone(), &namespace),
            controller_revisions: Api::namespaced(client.clone(), &namespace),
            pods: Api::namespaced(client.clone(), &namespace),
            events: Api::namespaced(client.clone(), &namespace),
            leases: Api::namespaced(client.clone(), &namespace),
            client: client.clone(),
            namespace,
        }
    }
}
