//! What controllers read from pods, sets and their owners.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::instant;
use super::json_pointer::{at, flag, int, list, text};
use super::object_kind::ObjectKind;
use super::object_store::{Key, ObjectStore};

/// The label by which a Deployment tells its ReplicaSets apart.
pub const HASH_LABEL: &str = "pod-template-hash";

/// The field manager of all controllers.
pub const CONTROLLER_MANAGER: &str = "kube-controller-manager";

/// Returns the controller of an object: the owner reference with `controller: true`.
pub fn controller(object: &Value) -> Option<&Value> {
    list(object, "/metadata/ownerReferences").iter().find(|owner| flag(owner, "/controller"))
}

/// Returns the key of an object's controller, where it is of a kind that is served.
pub fn controller_key(object: &Value) -> Option<Key> {
    let owner = controller(object)?;
    let kind = ObjectKind::of_document(owner)?;
    Some(Key::new(kind, text(object, "/metadata/namespace"), text(owner, "/name")))
}

/// Returns the owner reference that makes `owner` the controller (`metav1.NewControllerRef`).
pub fn controller_reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"],
        "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// Returns the objects of a kind whose controller is `owner`.
pub fn owned(store: &ObjectStore, kind: ObjectKind, owner: &Value) -> Vec<Arc<Value>> {
    let uid = text(owner, "/metadata/uid");
    let mut objects = store.list(kind, Some(text(owner, "/metadata/namespace")));
    objects.retain(|object| controller(object).is_some_and(|owner| text(owner, "/uid") == uid));
    objects
}

/// Returns whether an object is being deleted.
pub fn is_terminating(object: &Value) -> bool {
    !at(object, "/metadata/deletionTimestamp").is_null()
}

/// Returns whether a pod counts for its set (`IsPodActive`).
pub fn is_active(pod: &Value) -> bool {
    !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") && !is_terminating(pod)
}

/// Returns a condition of the status.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "/status/conditions").iter().find(|condition| text(condition, "/type") == kind)
}

/// Returns the reason of a Deployment's condition Progressing, or the empty text.
pub fn progress_reason(deployment: &Value) -> &str {
    condition(deployment, "Progressing").map_or("", |condition| text(condition, "/reason"))
}

/// Returns whether a pod is ready (`IsPodReady`).
pub fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|ready| text(ready, "/status") == "True")
}

/// Returns whether a pod has been ready for long enough (`IsPodAvailable`): the time of the
/// condition has whole seconds, so that up to one is missing.
pub fn is_available(pod: &Value, min_ready_seconds: i64, now: Duration) -> bool {
    let Some(ready) = condition(pod, "Ready").filter(|_| is_ready(pod)) else { return false };
    if min_ready_seconds == 0 {
        return true;
    }
    let since = instant::read(ready, "/lastTransitionTime");
    let soak = Duration::from_secs(min_ready_seconds.unsigned_abs());
    since.is_some_and(|since| since + soak < now)
}

/// Returns whether a ReplicaSet has a Deployment's template, but for the hash label
/// (`EqualIgnoreHash`).
pub fn same_template(set: &Value, deployment: &Value) -> bool {
    let (set, wanted) = (at(set, "/spec/template"), at(deployment, "/spec/template"));
    if set.get("spec") != wanted.get("spec") {
        return false;
    }
    let unlabelled = |template: &Value| {
        let mut metadata = template.get("metadata").cloned().unwrap_or_else(|| json!({}));
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            labels.remove(HASH_LABEL);
        }
        metadata
    };
    unlabelled(set) == unlabelled(wanted)
}

/// Returns the image of the first container of a template.
pub fn image(template: &Value) -> &str {
    text(template, "/spec/containers/0/image")
}

/// Returns the number of replicas that an object asks for.
pub fn replicas(object: &Value) -> i64 {
    int(object, "/spec/replicas", 1)
}

/// Returns the name of an object.
pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// Returns when an object was made, in whole seconds.
pub fn created(object: &Value) -> Duration {
    instant::read(object, "/metadata/creationTimestamp").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_no_part_of_a_template() {
        let spec = json!({"containers": [{"name": "app", "image": "web:1"}]});
        let template = |labels: Value| json!({"spec": {"template": {"metadata": {"labels": labels}, "spec": spec}}});
        let set = template(json!({"app": "web", HASH_LABEL: "5d"}));
        assert!(same_template(&set, &template(json!({"app": "web"}))));
        assert!(!same_template(&set, &template(json!({"app": "api"}))));
    }

    #[test]
    fn a_soak_begins_with_a_whole_second() {
        let pod = json!({"status": {"conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:00:10Z"}]}});
        let available = |millis| is_available(&pod, 2, Duration::from_millis(millis));
        assert!(!available(12_000));
        assert!(available(12_001));
    }
}
