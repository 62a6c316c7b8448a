//! What the StatefulSet controller shows, which is less than what that of Deployments does.
//!
//! Source: `updateStatefulSet` in `pkg/controller/statefulset/stateful_set_control.go`.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{RollingUpdateStatefulSetStrategy, StatefulSet};
use k8s_openapi::api::core::v1::{Event, Pod};
use rolling_provider::InstanceId;

use crate::pods::{id_of, is_ready};
use crate::stored_template::StoredTemplate;
use crate::workload_kind::WorkloadKind;

/// How the StatefulSet rolls.
pub(crate) fn rolling_update(set: &StatefulSet) -> Option<&RollingUpdateStatefulSetStrategy> {
    set.spec.as_ref()?.update_strategy.as_ref()?.rolling_update.as_ref()
}

/// How many pods, those of the lowest ordinals, keep the revision that they have.
pub(crate) fn partition(set: &StatefulSet) -> u32 {
    let partition = rolling_update(set).and_then(|rolling| rolling.partition);
    u32::try_from(partition.unwrap_or_default()).unwrap_or_default()
}

/// How many pods of a revision take requests.
pub(crate) fn ready_of(keeper: Option<&StoredTemplate>, pods: &[Pod]) -> u32 {
    let Some(keeper) = keeper else { return 0 };
    let ready = pods.iter().filter(|pod| !is_ending(pod) && is_ready(pod) && keeper.has(pod));
    u32::try_from(ready.count()).unwrap_or(u32::MAX)
}

fn is_ending(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// The place of a pod among those of the StatefulSet, from 0: the number at the end of its name, less
/// the first one. The partition counts places.
fn place(set: &StatefulSet, pod: &Pod) -> Option<u32> {
    let number: u32 = pod.metadata.name.as_ref()?.rsplit_once('-')?.1.parse().ok()?;
    let ordinals = set.spec.as_ref().and_then(|spec| spec.ordinals.as_ref());
    let first = ordinals.and_then(|ordinals| ordinals.start).unwrap_or_default();
    number.checked_sub(u32::try_from(first).ok()?)
}

/// Returns the pod that the controller waits for before it replaces any, where its pods are ordered.
fn first_unready<'p>(set: &StatefulSet, pods: &'p [Pod]) -> Option<&'p Pod> {
    let policy = set.spec.as_ref().and_then(|spec| spec.pod_management_policy.as_deref());
    let unready = pods.iter().filter(|pod| is_ending(pod) || !is_ready(pod));
    // One without a number is not of this controller's making.
    let first = unready.min_by_key(|pod| place(set, pod).unwrap_or(u32::MAX));
    first.filter(|_| policy != Some("Parallel"))
}

/// Returns the place of each pod.
pub(crate) fn places(set: &StatefulSet, pods: &[Pod]) -> BTreeMap<InstanceId, u32> {
    let placed = pods
        .iter()
        .filter_map(|pod| Some((id_of(WorkloadKind::StatefulSet, pod)?, place(set, pod)?)));
    placed.collect()
}

/// Returns the pod that the controller waits for although it is to replace it.
///
/// With ordered pods it waits for the first one that is not ready, before it replaces any: also where
/// that one never becomes ready, and another revision would mend it (kubernetes/kubernetes#67250).
pub(crate) fn blocked_by(
    set: &StatefulSet,
    keeper: Option<&StoredTemplate>,
    pods: &[Pod],
) -> Vec<InstanceId> {
    // With another one on its way, it has its turn after that one.
    let Some(keeper) = keeper.filter(|_| !pods.iter().any(is_ending)) else { return Vec::new() };
    let first = first_unready(set, pods);
    let is_to_go = |pod: &&Pod| {
        let is_kept = place(set, pod).is_none_or(|place| place < partition(set));
        !is_ending(pod) && !is_kept && !keeper.has(pod)
    };
    first
        .filter(is_to_go)
        .and_then(|pod| id_of(WorkloadKind::StatefulSet, pod))
        .into_iter()
        .collect()
}

/// Returns why the controller cannot go on. Its status does not say so: an event says that it cannot
/// create a pod, and an ordered pod that is not ready keeps it from replacing any.
pub(crate) fn refused(
    set: &StatefulSet,
    keeper: Option<&StoredTemplate>,
    pods: &[Pod],
    events: &[Event],
) -> Option<String> {
    not_created(set, pods, events).or_else(|| {
        let first = first_unready(set, pods)?;
        let is_kept = place(set, first).is_some_and(|place| place < partition(set));
        let is_old = keeper.is_none_or(|keeper| !keeper.has(first));
        let name = first.metadata.name.as_deref()?;
        (is_kept && is_old && !is_ending(first)).then(|| {
            format!(
                "{name} is not ready, and the controller replaces no pod before it is; the partition \
                 keeps it as it is, until its own batch"
            )
        })
    })
}

/// Whether the event is about the creation of this pod: `create Pod db-0 in StatefulSet db failed`.
fn is_about(event: &Event, pod: &Pod) -> bool {
    let told = event.message.as_deref().and_then(|message| message.strip_prefix("create Pod "));
    told.and_then(|told| told.split(' ').next()) == pod.metadata.name.as_deref()
}

fn not_created(set: &StatefulSet, pods: &[Pod], events: &[Event]) -> Option<String> {
    let size = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    if usize::try_from(size).is_ok_and(|size| pods.len() >= size) {
        return None;
    }
    let own = events.iter().filter(|event| {
        event.reason.as_deref() == Some("FailedCreate")
            && event.involved_object.uid == set.metadata.uid
            // It is an old story where the pod is there.
            && !pods.iter().any(|pod| is_about(event, pod))
    });
    let last = own.max_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0))?;
    last.message.clone()
}
