//! A workload as a fleet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rolling_provider::{Clock, ErrorKind, ProviderError};

use crate::error::{from_kube, is_missing};
use crate::lease_record::lease_name;
use crate::namespace::NamespaceApi;
use crate::pod_revision::images;
use crate::workload_kind::WorkloadKind;
use crate::workload_look::WorkloadLook;
use crate::workload_object::Workload;
use crate::workload_target::WorkloadTarget;

/// A workload as a fleet.
pub struct WorkloadFleet {
    pub(crate) api: NamespaceApi,
    pub(crate) target: WorkloadTarget,
    pub(crate) clock: Arc<dyn Clock>,
    /// The name of the `Lease` with the record.
    pub(crate) lease: String,
    /// The last look: what is written holds only where that is still so.
    pub(crate) last: Mutex<Option<WorkloadLook>>,
}

impl std::fmt::Debug for WorkloadFleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkloadFleet").field("target", &self.target).finish_non_exhaustive()
    }
}

impl WorkloadFleet {
    pub(crate) fn new(api: NamespaceApi, target: WorkloadTarget, clock: Arc<dyn Clock>) -> Self {
        let lease = lease_name(target.kind, &target.name);
        Self { api, target, clock, lease, last: Mutex::default() }
    }

    /// Returns the image of each container, as the workload has it now.
    ///
    /// # Errors
    /// Those of the API, and that there is no such workload.
    pub async fn images(&self) -> Result<BTreeMap<String, String>, ProviderError> {
        Ok(images(&self.get().await?.template()))
    }

    /// Reads the workload.
    pub(crate) async fn get(&self) -> Result<Workload, ProviderError> {
        let WorkloadTarget { kind, name, .. } = &self.target;
        let found = match kind {
            WorkloadKind::Deployment => {
                let found = self.api.deployments.get(name).await;
                found.map(|found| Workload::Deployment(Box::new(found)))
            }
            WorkloadKind::StatefulSet => {
                let found = self.api.stateful_sets.get(name).await;
                found.map(|found| Workload::StatefulSet(Box::new(found)))
            }
        };
        let operation = self.operation("GET");
        found.map_err(|error| match is_missing(&error) {
            true => {
                let (kind, namespace) = (kind.name(), &self.api.namespace);
                let message = format!("there is no {kind} {name} in namespace {namespace}");
                let error = ProviderError::invalid(operation, self.place("name"), message);
                ProviderError { kind: ErrorKind::Missing, ..error }
            }
            false => from_kube(&operation, &error, false),
        })
    }

    /// Returns how errors name a call on the workload: `GET deployments/web`.
    pub(crate) fn operation(&self, verb: &str) -> String {
        format!("{verb} {}/{}", self.target.kind.resource(), self.target.name)
    }

    /// Returns the place of an attribute of the workload in a document.
    pub(crate) fn place(&self, attribute: &str) -> String {
        format!("{}/{attribute}", self.target.kind.attribute())
    }

    pub(crate) fn last(&self) -> Option<WorkloadLook> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers what a look has shown, or an answer since.
    pub(crate) fn saw(&self, change: impl FnOnce(&mut Option<WorkloadLook>)) {
        change(&mut self.last.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
