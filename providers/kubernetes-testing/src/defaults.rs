//! Defaults and normal form of objects (`pkg/apis/apps/v1/defaults.go`, `core/v1/defaults.go`).
//!
//! Two documents that mean the same become the same JSON, so that a template can be compared by
//! its text: what is empty or has Go's zero value is left out where `omitempty` leaves it out.

use serde_json::{Map, Value, json};

use super::json_pointer::{at, place, text};
use super::object_kind::ObjectKind;

/// Puts an object in its normal form, with its defaults.
pub fn apply(kind: ObjectKind, object: &mut Value) {
    without_nulls(object);
    metadata(place(object, "/metadata"));
    match kind {
        ObjectKind::Deployment => deployment(place(object, "/spec")),
        ObjectKind::StatefulSet => stateful_set(place(object, "/spec")),
        ObjectKind::Pod => pod_spec(place(object, "/spec")),
        ObjectKind::HorizontalPodAutoscaler => {
            default(place(object, "/spec"), "minReplicas", json!(1))
        }
        _ => {}
    }
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

fn metadata(metadata: &mut Value) {
    without_empty(
        metadata,
        &["labels", "annotations", "ownerReferences", "finalizers", "managedFields"],
    );
}

/// Takes empty maps, lists and texts away.
fn without_empty(value: &mut Value, keys: &[&str]) {
    let Some(map) = value.as_object_mut() else { return };
    for key in keys {
        let empty = match map.get(*key) {
            Some(Value::Object(inner)) => inner.is_empty(),
            Some(Value::Array(inner)) => inner.is_empty(),
            Some(Value::String(inner)) => inner.is_empty(),
            _ => false,
        };
        if empty {
            map.remove(*key);
        }
    }
}

/// Takes members away that have Go's zero value.
fn without_zero(value: &mut Value, keys: &[&str]) {
    let Some(map) = value.as_object_mut() else { return };
    for key in keys {
        if matches!(map.get(*key), Some(zero) if *zero == json!(0) || *zero == json!(false)) {
            map.remove(*key);
        }
    }
}

fn default(value: &mut Value, key: &str, default: Value) {
    super::json_pointer::map(value).entry(key).or_insert(default);
}

fn deployment(spec: &mut Value) {
    without_zero(spec, &["minReadySeconds", "paused"]);
    default(spec, "replicas", json!(1));
    default(spec, "revisionHistoryLimit", json!(10));
    default(spec, "progressDeadlineSeconds", json!(600));
    let strategy = place(spec, "/strategy");
    default(strategy, "type", json!("RollingUpdate"));
    if text(strategy, "/type") == "RollingUpdate" {
        let rolling = place(strategy, "/rollingUpdate");
        default(rolling, "maxSurge", json!("25%"));
        default(rolling, "maxUnavailable", json!("25%"));
    }
    template(place(spec, "/template"));
}

fn stateful_set(spec: &mut Value) {
    without_zero(spec, &["minReadySeconds"]);
    default(spec, "replicas", json!(1));
    default(spec, "revisionHistoryLimit", json!(10));
    default(spec, "podManagementPolicy", json!("OrderedReady"));
    let strategy = place(spec, "/updateStrategy");
    default(strategy, "type", json!("RollingUpdate"));
    if text(strategy, "/type") == "RollingUpdate" {
        default(place(strategy, "/rollingUpdate"), "partition", json!(0));
    }
    let retention = place(spec, "/persistentVolumeClaimRetentionPolicy");
    default(retention, "whenDeleted", json!("Retain"));
    default(retention, "whenScaled", json!("Retain"));
    template(place(spec, "/template"));
}

fn template(template: &mut Value) {
    metadata(place(template, "/metadata"));
    if let Some(metadata) = template["metadata"].as_object_mut() {
        metadata.remove("creationTimestamp");
    }
    pod_spec(place(template, "/spec"));
}

fn pod_spec(spec: &mut Value) {
    without_empty(
        spec,
        &[
            "initContainers",
            "volumes",
            "nodeSelector",
            "tolerations",
            "imagePullSecrets",
            "readinessGates",
        ],
    );
    default(spec, "restartPolicy", json!("Always"));
    default(spec, "terminationGracePeriodSeconds", json!(30));
    default(spec, "dnsPolicy", json!("ClusterFirst"));
    default(spec, "securityContext", json!({}));
    default(spec, "schedulerName", json!("default-scheduler"));
    for list in ["containers", "initContainers"] {
        if let Some(containers) = spec.get_mut(list).and_then(Value::as_array_mut) {
            containers.iter_mut().filter(|one| one.is_object()).for_each(container);
        }
    }
    if let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) {
        volumes.iter_mut().filter(|one| one.is_object()).for_each(volume);
    }
}

fn container(container: &mut Value) {
    without_empty(container, &["args", "command", "env", "envFrom", "ports", "volumeMounts"]);
    let image = text(container, "/image");
    // `parsers.ParseImageName`: an image without a tag or a digest has the tag `latest`.
    let last = image.rsplit('/').next().unwrap_or_default();
    let latest = !image.contains('@') && (!last.contains(':') || last.ends_with(":latest"));
    let policy = if latest { "Always" } else { "IfNotPresent" };
    default(container, "imagePullPolicy", json!(policy));
    default(container, "terminationMessagePath", json!("/dev/termination-log"));
    default(container, "terminationMessagePolicy", json!("File"));
    default(container, "resources", json!({}));
    if let Some(ports) = container.get_mut("ports").and_then(Value::as_array_mut) {
        for port in ports.iter_mut().filter(|port| port.is_object()) {
            default(port, "protocol", json!("TCP"));
        }
    }
    for probe in ["readinessProbe", "livenessProbe", "startupProbe"] {
        if at(container, &format!("/{probe}")).is_object() {
            self::probe(&mut container[probe]);
        }
    }
}

fn probe(probe: &mut Value) {
    let periods = [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ];
    for (key, seconds) in periods {
        default(probe, key, json!(seconds));
    }
    if at(probe, "/httpGet").is_object() {
        default(&mut probe["httpGet"], "scheme", json!("HTTP"));
        default(&mut probe["httpGet"], "path", json!("/"));
    }
}

fn volume(volume: &mut Value) {
    for source in ["configMap", "secret", "projected"] {
        if at(volume, &format!("/{source}")).is_object() {
            default(&mut volume[source], "defaultMode", json!(420));
        }
    }
    // A volume without a source is an empty directory (`SetDefaults_Volume`).
    if volume.as_object().is_some_and(|map: &Map<String, Value>| map.len() == 1) {
        volume["emptyDir"] = json!({});
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_manifest_becomes_a_whole_one() {
        let mut object = json!({"metadata": {"name": "web", "annotations": {}}, "spec": {
            "paused": false, "minReadySeconds": 0, "template": {
                "metadata": {"labels": {"app": "web"}, "creationTimestamp": null},
                "spec": {"containers": [{"name": "app", "image": "host:5000/web", "env": [],
                    "ports": [{"containerPort": 80}], "readinessProbe": {"httpGet": {"port": 80}}}]}}}});
        apply(ObjectKind::Deployment, &mut object);
        let spec = &object["spec"];
        assert_eq!(spec["replicas"], 1);
        assert_eq!(spec["progressDeadlineSeconds"], 600);
        assert_eq!(
            spec["strategy"]["rollingUpdate"],
            json!({"maxSurge": "25%", "maxUnavailable": "25%"})
        );
        assert!(spec.get("paused").is_none() && spec.get("minReadySeconds").is_none());
        let container = &spec["template"]["spec"]["containers"][0];
        assert_eq!(container["imagePullPolicy"], "Always");
        assert_eq!(container["ports"][0]["protocol"], "TCP");
        assert_eq!(container["readinessProbe"]["periodSeconds"], 10);
        assert!(container.get("env").is_none());
        let once = object.clone();
        apply(ObjectKind::Deployment, &mut object);
        assert_eq!(object, once);
    }

    #[test]
    fn a_stateful_set_has_a_partition() {
        let mut object = json!({"spec": {"template": {"spec": {"containers": []}}}});
        apply(ObjectKind::StatefulSet, &mut object);
        assert_eq!(object["spec"]["updateStrategy"]["rollingUpdate"]["partition"], 0);
    }
}
