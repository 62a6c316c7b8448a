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

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodTemplateSpec;
    use serde_json::{Value, json};

    use super::*;

    fn set(partition: u32, more: &Value) -> StatefulSet {
        let mut spec = json!({
            "replicas": 3, "serviceName": "db", "selector": {}, "template": {},
            "updateStrategy": { "rollingUpdate": { "partition": partition } },
        });
        for (name, value) in more.as_object().expect("fields") {
            spec[name] = value.clone();
        }
        serde_json::from_value(json!({ "metadata": { "name": "db", "uid": "u" }, "spec": spec }))
            .expect("a StatefulSet")
    }

    fn pod(number: u32, revision: &str, ready: bool) -> Pod {
        let status = if ready { "True" } else { "False" };
        serde_json::from_value(json!({
            "metadata": {
                "name": format!("db-{number}"), "uid": format!("uid-of-{number}"),
                "labels": { "controller-revision-hash": revision },
            },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": status }] },
        }))
        .expect("a pod")
    }

    fn keeper(name: &str) -> StoredTemplate {
        StoredTemplate {
            name: name.to_owned(),
            uid: None,
            template: PodTemplateSpec::default(),
            asked: 0,
            available: 0,
        }
    }

    fn waited_for(set: &StatefulSet, pods: &[Pod]) -> Vec<String> {
        let found = blocked_by(set, Some(&keeper("new")), pods);
        found.into_iter().map(|id| id.to_string()).collect()
    }

    #[test]
    fn the_first_pod_that_is_not_ready_is_waited_for_in_vain_where_it_is_to_be_replaced() {
        let pods = [pod(0, "old", true), pod(1, "old", false), pod(2, "old", false)];
        assert_eq!(waited_for(&set(0, &json!({})), &pods), ["db-1:uid-of-1"]);
        assert_eq!(waited_for(&set(2, &json!({})), &pods), Vec::<String>::new());
        let told = refused(&set(2, &json!({})), Some(&keeper("new")), &pods, &[]);
        assert!(told.is_some_and(|told| told.starts_with("db-1 is not ready")));
        let parallel = json!({ "podManagementPolicy": "Parallel" });
        assert_eq!(waited_for(&set(0, &parallel), &pods), Vec::<String>::new());
        let mut ending = pods.clone();
        ending[2].metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).expect("a time"));
        assert_eq!(waited_for(&set(0, &json!({})), &ending), Vec::<String>::new());
        let good = [pod(0, "old", true), pod(1, "new", false), pod(2, "new", true)];
        assert_eq!(waited_for(&set(0, &json!({})), &good), Vec::<String>::new());
    }

    /// `StatefulSetSpec.ordinals` (Kubernetes 1.31): the partition still counts from the first pod.
    #[test]
    fn places_count_from_the_first_ordinal() {
        let ordinals = json!({ "ordinals": { "start": 5 } });
        let pods = [pod(5, "old", false), pod(6, "old", true), pod(7, "new", true)];
        let placed: Vec<u32> = places(&set(1, &ordinals), &pods).into_values().collect();
        assert_eq!(placed, [0, 1, 2]);
        assert_eq!(waited_for(&set(1, &ordinals), &pods), Vec::<String>::new());
        assert_eq!(waited_for(&set(0, &ordinals), &pods), ["db-5:uid-of-5"]);
    }

    #[test]
    fn an_event_about_a_pod_that_is_there_is_an_old_story() {
        let event = |pod: &str| -> Event {
            serde_json::from_value(json!({
                "metadata": {}, "reason": "FailedCreate",
                "involvedObject": { "uid": "u" },
                "message": format!("create Pod {pod} in StatefulSet db failed error: exceeded quota"),
            }))
            .expect("an event")
        };
        let pods = [pod(0, "old", true), pod(1, "old", true)];
        let told = |name| refused(&set(0, &json!({})), None, &pods, &[event(name)]);
        assert!(told("db-2").is_some_and(|told| told.contains("exceeded quota")));
        assert_eq!(told("db-1"), None);
    }
}
