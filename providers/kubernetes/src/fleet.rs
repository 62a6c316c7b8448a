//! A Deployment as a fleet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::apps::v1::Deployment;
use rolling_provider::{Clock, ErrorKind, ProviderError};

use crate::deployment_look::DeploymentLook;
use crate::error::{from_kube, is_missing};
use crate::lease_record::lease_name;
use crate::namespace::NamespaceApi;
use crate::pod_revision::images;
use crate::wanted::DeploymentTarget;

/// A Deployment as a fleet.
pub struct DeploymentFleet {
    pub(crate) api: NamespaceApi,
    pub(crate) target: DeploymentTarget,
    pub(crate) clock: Arc<dyn Clock>,
    /// The name of the `Lease` with the record.
    pub(crate) lease: String,
    /// The last look: what is written holds only where that is still so.
    pub(crate) last: Mutex<Option<DeploymentLook>>,
}

impl std::fmt::Debug for DeploymentFleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeploymentFleet").field("target", &self.target).finish_non_exhaustive()
    }
}

impl DeploymentFleet {
    pub(crate) fn new(api: NamespaceApi, target: DeploymentTarget, clock: Arc<dyn Clock>) -> Self {
        let lease = lease_name(&target.name);
        Self { api, target, clock, lease, last: Mutex::default() }
    }

    /// Returns the image of each container, as the Deployment has it now.
    ///
    /// # Errors
    /// Those of the API, and that there is no such Deployment.
    pub async fn images(&self) -> Result<BTreeMap<String, String>, ProviderError> {
        let deployment = self.get().await?;
        Ok(deployment.spec.map(|spec| images(&spec.template)).unwrap_or_default())
    }

    /// Reads the Deployment.
    pub(crate) async fn get(&self) -> Result<Deployment, ProviderError> {
        let name = &self.target.name;
        let operation = format!("GET deployments/{name}");
        self.api.deployments.get(name).await.map_err(|error| match is_missing(&error) {
            true => {
                let namespace = &self.api.namespace;
                let message = format!("there is no Deployment {name} in namespace {namespace}");
                let error =
                    ProviderError::invalid(operation, "kubernetes_deployment/name", message);
                ProviderError { kind: ErrorKind::Missing, ..error }
            }
            false => from_kube(&operation, &error, false),
        })
    }

    pub(crate) fn last(&self) -> Option<DeploymentLook> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers what a look has shown, or an answer since.
    pub(crate) fn saw(&self, change: impl FnOnce(&mut Option<DeploymentLook>)) {
        change(&mut self.last.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
