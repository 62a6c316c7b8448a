//! A cluster, which opens fleets.

use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use rolling_provider::Clock;

use crate::fleet::WorkloadFleet;
use crate::namespace::NamespaceApi;
use crate::workload_target::WorkloadTarget;

/// Why a request could not be carried to a cluster, or its answer back.
pub type TransportError = Box<dyn std::error::Error + Send + Sync>;

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

    /// Reaches a cluster by `transport`, which carries requests to it. Where a target names no namespace
    /// it is in `namespace`. Needs a runtime of Tokio around it.
    pub fn with_transport<F, A>(transport: F, namespace: impl Into<String>) -> Self
    where
        F: Fn(Request<Vec<u8>>) -> A + Clone + Send + 'static,
        A: Future<Output = Result<Response<Vec<u8>>, TransportError>> + Send + 'static,
    {
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let transport = transport.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await?.to_bytes().to_vec();
                let answer = transport(Request::from_parts(parts, body)).await?;
                Ok::<_, TransportError>(answer.map(kube::client::Body::from))
            }
        });
        let namespace = namespace.into();
        Self::with_client(Client::new(service, namespace.clone()), namespace)
    }

    /// Opens a workload, which runs on `clock`. Calls nothing.
    pub fn workload(&self, target: WorkloadTarget, clock: Arc<dyn Clock>) -> WorkloadFleet {
        let namespace = target.namespace.clone().unwrap_or_else(|| self.namespace.clone());
        WorkloadFleet::new(NamespaceApi::new(&self.client, namespace), target, clock)
    }
}
