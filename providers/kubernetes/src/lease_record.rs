//! The record of a rollout, as annotations of a `Lease` beside the workload.
//!
//! Never on the workload itself: its controller copies annotations to ReplicaSets, and a rollback
//! of somebody's would bring them back. A write holds only where the object is still as the last look
//! showed it.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use rolling_provider::{ProviderError, Tags, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::error::{from_kube, is_missing};
use crate::namespace::NamespaceApi;
use crate::workload_kind::WorkloadKind;

/// How the keys of the record begin, in the engine and as annotations: a colon is not allowed there.
const PREFIX: &str = "rolling:";
const ANNOTATION_PREFIX: &str = "rolling/";
/// Who writes, as Kubernetes shows it.
pub(crate) const MANAGER: &str = "rolling";
/// The longest name of an object.
const LONGEST_NAME: usize = 253;

/// The object as it was read last, or written since.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoredRecord {
    pub tags: Tags,
    /// Its identity and version; `None` where there is no object.
    pub version: Option<(String, String)>,
}

/// Returns the name of the `Lease` for the workload of this name. Those of different kinds have different
/// ones, whatever they are called.
pub(crate) fn lease_name(kind: WorkloadKind, workload: &str) -> String {
    let name = match kind {
        WorkloadKind::Deployment => format!("rolling-{workload}"),
        WorkloadKind::StatefulSet => format!("rolling.statefulset.{workload}"),
    };
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let digest = Sha256::digest(workload.as_bytes());
    let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{hash}", &name[..LONGEST_NAME - 17])
}

/// Returns the record in `lease`.
pub(crate) fn stored(lease: Option<Lease>) -> StoredRecord {
    let Some(lease) = lease else { return StoredRecord::default() };
    let metadata = lease.metadata;
    let annotations = metadata.annotations.unwrap_or_default().into_iter();
    let tags = annotations.filter_map(|(key, value)| {
        Some((format!("{PREFIX}{}", key.strip_prefix(ANNOTATION_PREFIX)?), value))
    });
    StoredRecord { tags: tags.collect(), version: metadata.uid.zip(metadata.resource_version) }
}

/// Reads the record.
///
/// # Errors
/// Those of the API; that there is none is no error.
pub(crate) async fn read(api: &NamespaceApi, name: &str) -> Result<StoredRecord, ProviderError> {
    match api.leases.get(name).await {
        Ok(lease) => Ok(stored(Some(lease))),
        Err(error) if is_missing(&error) => Ok(StoredRecord::default()),
        Err(error) => Err(from_kube(&format!("GET leases/{name}"), &error, false)),
    }
}

/// Writes `tags` beside those that are there, or takes off those without a value, where the record is
/// still `last`. `owner` is the object that the `Lease` goes with. Returns what is there then.
///
/// # Errors
/// Those of the API; a record that was written since is a conflict that changed nothing.
pub(crate) async fn write(
    api: &NamespaceApi,
    name: &str,
    owner: &Value,
    changes: &[(String, Option<String>)],
    last: &StoredRecord,
    now: Timestamp,
) -> Result<StoredRecord, ProviderError> {
    let mut tags = last.tags.clone();
    for (key, value) in changes {
        match value {
            Some(value) => tags.insert(key.clone(), value.clone()),
            None => tags.remove(key),
        };
    }
    match &last.version {
        None if tags.is_empty() => Ok(StoredRecord::default()),
        None => create(api, name, owner, &tags, now).await,
        Some(version) if tags.is_empty() => delete(api, name, version).await,
        Some((_, version)) => patch(api, name, changes, &tags, version, now).await,
    }
}

/// Returns what people see who look at the object: who holds the lease, and when it was written.
fn shown(tags: &Tags, now: Timestamp) -> Value {
    let written =
        i64::try_from(now.0).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    json!({ "holderIdentity": holder(tags), "renewTime": written.map(MicroTime) })
}

fn holder(tags: &Tags) -> Option<&str> {
    let lease = tags.get("rolling:lease")?;
    lease.split(' ').find_map(|field| field.strip_prefix("owner="))
}

fn annotation(key: &str) -> String {
    format!("{ANNOTATION_PREFIX}{}", key.strip_prefix(PREFIX).unwrap_or(key))
}

async fn create(
    api: &NamespaceApi,
    name: &str,
    owner: &Value,
    tags: &Tags,
    now: Timestamp,
) -> Result<StoredRecord, ProviderError> {
    let annotations: serde_json::Map<String, Value> =
        tags.iter().map(|(key, value)| (annotation(key), json!(value))).collect();
    let body = json!({
        "metadata": { "name": name, "annotations": annotations, "ownerReferences": [owner] },
        "spec": shown(tags, now),
    });
    let operation = format!("POST leases/{name}");
    let lease: Lease = serde_json::from_value(body)
        .map_err(|error| ProviderError::invalid(&operation, "", error.to_string()))?;
    let parameters = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
    let written = api.leases.create(&parameters, &lease).await;
    written.map(|lease| stored(Some(lease))).map_err(|error| from_kube(&operation, &error, true))
}

async fn patch(
    api: &NamespaceApi,
    name: &str,
    changes: &[(String, Option<String>)],
    tags: &Tags,
    version: &str,
    now: Timestamp,
) -> Result<StoredRecord, ProviderError> {
    let annotations: serde_json::Map<String, Value> =
        changes.iter().map(|(key, value)| (annotation(key), json!(value))).collect();
    let body = json!({
        "metadata": { "resourceVersion": version, "annotations": annotations },
        "spec": shown(tags, now),
    });
    let parameters = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    let written = api.leases.patch(name, &parameters, &Patch::Merge(&body)).await;
    let operation = format!("PATCH leases/{name}");
    written.map(|lease| stored(Some(lease))).map_err(|error| from_kube(&operation, &error, true))
}

async fn delete(
    api: &NamespaceApi,
    name: &str,
    (uid, version): &(String, String),
) -> Result<StoredRecord, ProviderError> {
    let preconditions =
        Preconditions { uid: Some(uid.clone()), resource_version: Some(version.clone()) };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match api.leases.delete(name, &parameters).await {
        Ok(_) => Ok(StoredRecord::default()),
        Err(error) if is_missing(&error) => Ok(StoredRecord::default()),
        Err(error) => Err(from_kube(&format!("DELETE leases/{name}"), &error, true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_comes_back_from_annotations() {
        let lease: Lease = serde_json::from_value(json!({
            "metadata": {
                "name": "rolling-web", "uid": "u", "resourceVersion": "7",
                "annotations": { "rolling/rollout": "v=2 id=r", "other": "x" },
            },
        }))
        .expect("a lease");
        let found = stored(Some(lease));
        let tags = Tags::from([("rolling:rollout".into(), "v=2 id=r".into())]);
        assert_eq!((found.tags, found.version), (tags, Some(("u".into(), "7".into()))));
        assert_eq!(annotation("rolling:progress"), "rolling/progress");
        let tags = Tags::from([("rolling:lease".into(), "v=2 owner=host-1 n=3".into())]);
        assert_eq!(holder(&tags), Some("host-1"));
    }

    #[test]
    fn names_fit_whatever_the_workloads_name_is() {
        let (deployment, set) = (WorkloadKind::Deployment, WorkloadKind::StatefulSet);
        assert_eq!(lease_name(deployment, "web"), "rolling-web");
        assert_eq!(lease_name(set, "web"), "rolling.statefulset.web");
        let long = |last| lease_name(deployment, &format!("{}{last}", "x".repeat(252)));
        let names = ["a", "b"].map(long);
        assert!(names.iter().all(|name| name.len() <= LONGEST_NAME), "{names:?}");
        assert_ne!(names[0], names[1]);
    }
}
