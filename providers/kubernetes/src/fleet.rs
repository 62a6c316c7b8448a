//! A Deployment as a fleet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::Deployment;
use rolling_provider::{
    Action, Activity, ActivityKind, Clock, Done, Effect, ErrorKind, Examination, Fleet,
    Observation, ProviderError, Target, Timestamp,
};

use crate::cluster::NamespaceApi;
use crate::error::{from_kube, is_missing};
use crate::lease_record::lease_name;
use crate::observe::Look;
use crate::revision::images;

/// A Deployment, and what its pods are to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentTarget {
    /// Its namespace; by default that of the context.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The image of each container, init containers included. Containers that are not named stay as
    /// they are.
    pub images: BTreeMap<String, String>,
    /// Annotations of the pod template, which make a revision, too.
    pub annotations: BTreeMap<String, String>,
}

/// A Deployment as a fleet.
pub struct DeploymentFleet {
    pub(crate) api: NamespaceApi,
    pub(crate) target: DeploymentTarget,
    pub(crate) clock: Arc<dyn Clock>,
    /// The name of the `Lease` with the record.
    pub(crate) lease: String,
    /// The last look: what is written holds only where that is still so.
    pub(crate) last: Mutex<Option<Look>>,
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

    pub(crate) fn last(&self) -> Option<Look> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers what a look has shown, or an answer since.
    pub(crate) fn saw(&self, change: impl FnOnce(&mut Option<Look>)) {
        change(&mut self.last.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[async_trait]
impl Fleet for DeploymentFleet {
    async fn resolve(&self) -> Result<Target, ProviderError> {
        self.look_up().await
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let look = self.look().await?;
        let observation = look.observation(self);
        self.saw(|last| *last = Some(look));
        Ok(observation)
    }

    async fn activities(&self, _since: Timestamp) -> Result<Vec<Activity>, ProviderError> {
        // What the controller cannot do stands in its status; that is all that it tells.
        let Some(look) = self.last() else { return Ok(Vec::new()) };
        let status = look.observation(self).controller;
        let refused = status.and_then(|status| status.refused);
        let failed = refused.map(|cause| Activity {
            at: self.clock.now(),
            instance: None,
            failed: true,
            kind: ActivityKind::Other,
            cause,
        });
        Ok(failed.into_iter().collect())
    }

    async fn examine(&self) -> Examination {
        self.look_for_trouble().await
    }

    /// Reads show what was written last, and a write names the version that it is based on.
    fn guards_record(&self) -> bool {
        true
    }

    async fn may_roll(&self, _begins: bool) -> Result<(), ProviderError> {
        self.refuse_foreign_pause().await
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        self.perform(action).await.map(|()| Done::default())
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }
}

/// The error of an action that has no meaning for a Deployment.
pub(crate) fn unsupported(action: &Action) -> ProviderError {
    let message = format!("a Deployment's own controller looks after its pods: cannot {action}");
    ProviderError { effect: Effect::NotApplied, ..ProviderError::invalid("act", "", message) }
}
