//! The pods of a StatefulSet by their ordinals (`stateful_set_utils.go`).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::controller_revisions::{REVISION_LABEL, template};
use crate::defaults;
use crate::json_pointer::{at, copy, int, member, text};
use crate::object_kind::ObjectKind;
use crate::workload::{controller_reference, is_available, is_ready, is_terminating, name};

/// Returns the ordinal of a pod, by its name.
pub fn ordinal(pod: &Value) -> Option<i64> {
    name(pod).rsplit_once('-')?.1.parse().ok()
}

/// Returns the revision of a pod.
pub fn revision(pod: &Value) -> &str {
    member(pod, "/metadata/labels", REVISION_LABEL).unwrap_or_default()
}

/// Returns whether a pod runs and is ready.
pub fn runs_ready(pod: &Value) -> bool {
    text(pod, "/status/phase") == "Running" && is_ready(pod)
}

/// Returns whether a pod runs and is available.
pub fn runs_available(pod: &Value, soak: i64, now: Duration) -> bool {
    text(pod, "/status/phase") == "Running" && is_available(pod, soak, now)
}

/// Returns the status that the pods give a StatefulSet.
pub fn status(
    set: &Value,
    pods: &[Arc<Value>],
    (current, update): (&str, &str),
    now: Duration,
) -> Value {
    let soak = int(set, "/spec/minReadySeconds", 0);
    let count = |counts: &dyn Fn(&Value) -> bool| pods.iter().filter(|pod| counts(pod)).count();
    let of = |wanted: &str| count(&|pod| !is_terminating(pod) && revision(pod) == wanted);
    let mut numbers = [
        ("readyReplicas", count(&runs_ready)),
        ("currentReplicas", of(current)),
        ("updatedReplicas", of(update)),
    ];
    let mut current = current;
    // completeRollingUpdate.
    let whole = usize::try_from(int(set, "/spec/replicas", 1)).unwrap_or(0);
    let rolling = text(set, "/spec/updateStrategy/type") == "RollingUpdate";
    if rolling && numbers[2].1 == whole && numbers[0].1 == whole && pods.len() == whole {
        numbers[1].1 = whole;
        current = update;
    }
    let mut status = json!({
        "observedGeneration": set["metadata"]["generation"], "replicas": pods.len(),
        "availableReplicas": count(&|pod| runs_available(pod, soak, now)),
        "currentRevision": current, "updateRevision": update,
        "collisionCount": int(set, "/status/collisionCount", 0),
    });
    for (key, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
        status[key] = number.into();
    }
    status
}

/// Makes the pod of an ordinal (`newStatefulSetPod`).
pub fn new_pod(set: &Value, of: &Value, ordinal: i64) -> Value {
    let pod_name = format!("{}-{ordinal}", name(set));
    let template = template(of);
    let mut pod = json!({
        "metadata": {
            "name": pod_name, "generateName": format!("{}-", name(set)),
            "namespace": set["metadata"]["namespace"],
            "ownerReferences": [controller_reference(set)],
        },
        "spec": template["spec"],
    });
    for key in ["labels", "annotations"] {
        copy(&mut pod["metadata"], at(template, "/metadata"), key);
    }
    let labels = &mut pod["metadata"]["labels"];
    labels[REVISION_LABEL] = name(of).into();
    labels["statefulset.kubernetes.io/pod-name"] = pod_name.clone().into();
    labels["apps.kubernetes.io/pod-index"] = ordinal.to_string().into();
    pod["spec"]["hostname"] = pod_name.into();
    copy(&mut pod["spec"], &json!({"subdomain": at(set, "/spec/serviceName")}), "subdomain");
    defaults::apply(ObjectKind::Pod, &mut pod);
    pod
}
