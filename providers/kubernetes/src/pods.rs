//! Pods as instances.

use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use rolling_provider::{Instance, InstanceId, Lifecycle, Revision, Timestamp};

use crate::trouble::{condition, trouble};
use crate::workload_kind::WorkloadKind;

/// Returns a pod as an instance of `revision`.
pub(crate) fn instance(pod: &Pod, revision: Option<Revision>, events: &[Event]) -> Instance {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let is_over = matches!(phase, Some("Failed" | "Succeeded"));
    let lifecycle = match phase {
        _ if pod.metadata.deletion_timestamp.is_some() || is_over => Lifecycle::Terminating,
        Some("Running") => Lifecycle::InService,
        _ => Lifecycle::Pending,
    };
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    Instance {
        zone: node.unwrap_or_default(),
        lifecycle,
        lifecycle_name: phase.map(str::to_owned),
        healthy: is_ready(pod),
        launched_at: pod.metadata.creation_timestamp.as_ref().map(at),
        trouble: trouble(pod, events),
        ..Instance::serving(revision, [])
    }
}

/// Returns the id of a pod: its name. Of a StatefulSet's, whose successor has the same name, also the
/// beginning of its uid: `web-3:5f3c2a1b`.
pub(crate) fn id_of(kind: WorkloadKind, pod: &Pod) -> Option<InstanceId> {
    let name = pod.metadata.name.as_deref()?;
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    Some(match kind {
        WorkloadKind::Deployment => InstanceId::new(name),
        WorkloadKind::StatefulSet => {
            InstanceId::new(format!("{name}:{}", uid.get(..8).unwrap_or(uid)))
        }
    })
}

/// Whether the pod takes requests: its condition `Ready`, which holds its readiness gates as well.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
}

/// Returns how long each ready pod took from its creation until it was ready, in milliseconds.
pub(crate) fn boots(pods: &[Pod]) -> Vec<u64> {
    let boots = pods.iter().filter(|pod| is_ready(pod)).filter_map(|pod| {
        let created = pod.metadata.creation_timestamp.as_ref().map(at)?;
        let ready = condition(pod, "Ready")?.last_transition_time.as_ref().map(at)?;
        // One that was not ready for a while shows when it came back, and not when it first was.
        let restarts = pod.status.as_ref()?.container_statuses.iter().flatten();
        let is_first = restarts.map(|container| container.restart_count).sum::<i32>() == 0;
        is_first.then(|| ready.0.saturating_sub(created.0))
    });
    boots.collect()
}

/// Returns a time of Kubernetes', which has whole seconds.
pub(crate) fn at(time: &Time) -> Timestamp {
    Timestamp(u64::try_from(time.0.as_millisecond()).unwrap_or_default())
}

/// Returns the uid of the controller that an object belongs to.
pub(crate) fn owner(metadata: &ObjectMeta) -> Option<&str> {
    let owners = metadata.owner_references.as_ref()?;
    owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str())
}
