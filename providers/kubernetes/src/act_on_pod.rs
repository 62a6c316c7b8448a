//! What a rollout does to one pod: it removes it, or keeps it apart from the others.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use rolling_provider::{Effect, InstanceId, ProviderError};
use serde_json::{Map, Value, json};

use crate::error::{from_kube, is_missing};
use crate::fleet::WorkloadFleet;
use crate::lease_record::MANAGER;
use crate::pods::id_of;
use crate::workload_look::WorkloadLook;

/// The label of pods that failed and are kept. It is left on them.
const FAILED: &str = "rolling/failed";

impl WorkloadFleet {
    /// Removes a pod of the last look, and no other of its name: the controller creates another. One
    /// that is gone is no error.
    pub(crate) async fn remove(
        &self,
        look: &WorkloadLook,
        id: &InstanceId,
    ) -> Result<(), ProviderError> {
        let Some(pod) = self.pod(look, id) else { return Ok(()) };
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let operation = format!("DELETE pods/{name}");
        let preconditions =
            Preconditions { uid: pod.metadata.uid.clone(), ..Preconditions::default() };
        let parameters =
            DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match self.api.pods.delete(name, &parameters).await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(from_kube(&operation, &error, true)),
        }
    }

    fn pod<'l>(&self, look: &'l WorkloadLook, id: &InstanceId) -> Option<&'l Pod> {
        look.pods.iter().find(|pod| id_of(self.target.kind, pod).as_ref() == Some(id))
    }

    /// Takes off a pod the labels that its template gave it: its ReplicaSet lets it go and creates
    /// another, and no Service sends it requests.
    ///
    /// Source: "Isolating Pods from a ReplicaSet" in the documentation of ReplicaSets.
    pub(crate) async fn set_apart(
        &self,
        look: &WorkloadLook,
        id: &InstanceId,
    ) -> Result<(), ProviderError> {
        let Some(pod) = self.pod(look, id) else {
            let message = format!("pod {id} is gone");
            let error = ProviderError::invalid("PATCH pods", "keep_failed_instances", message);
            return Err(ProviderError { effect: Effect::NotApplied, ..error });
        };
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let operation = format!("PATCH pods/{name}");
        let given = pod.metadata.labels.iter().flatten();
        let mut labels: Map<String, Value> =
            given.map(|(key, _)| (key.clone(), Value::Null)).collect();
        labels.insert(FAILED.to_owned(), json!("true"));
        let body = json!({ "metadata": { "uid": pod.metadata.uid, "labels": labels } });
        let parameters =
            PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        let sent = self.api.pods.patch(name, &parameters, &Patch::Merge(&body)).await;
        sent.map(|_| ()).map_err(|error| from_kube(&operation, &error, true))
    }
}
