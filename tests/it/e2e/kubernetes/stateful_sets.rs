//! StatefulSets, by their partition.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::cluster::{Namespace, namespace};

fn document(namespace: &Namespace, tag: &str, more: &Value) -> PathBuf {
    let mut all = json!({
        "kubernetes_deployment": null,
        "kubernetes_stateful_set": {
            "namespace": namespace.name, "name": "db", "images": { "app": format!("app:{tag}") },
        },
    });
    for (name, value) in more.as_object().expect("attributes") {
        all[name] = value.clone();
    }
    namespace.document(tag, &all)
}

fn assert_clean(namespace: &Namespace) {
    assert_eq!(namespace.kubectl(&["get", "leases", "--output", "name"]), "", "a record is left");
    let strategy = namespace.part_of("statefulset/db", "/spec/updateStrategy/rollingUpdate");
    assert_eq!(strategy, json!({ "partition": 0 }));
}

/// A batch goes no further than the partition, a checkpoint waits until somebody resumes, and one pod
/// is missing at most.
#[test]
fn batches_end_where_the_partition_says() {
    let Some(namespace) = namespace(1) else { return };
    namespace.stateful_set(5);
    let witness = namespace.witness_of("statefulset/db");
    let document = document(&namespace, "v2", &json!({ "checkpoints": [{ "percentage": 40 }] }));
    let ran = namespace.run("apply", &document);
    assert!(ran.stdout.contains("checkpoint at 40 percent"), "{ran:?}");
    let partition = "/spec/updateStrategy/rollingUpdate/partition";
    assert_eq!(namespace.part_of("statefulset/db", partition), json!(3));
    assert_eq!(namespace.part_of("statefulset/db", "/status/updatedReplicas"), json!(2));
    let ran = namespace.run("resume", &document);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_clean(&namespace);
    let seen = witness.seen("app:v2");
    let steps = [(0, 5), (1, 4), (2, 3), (3, 2), (4, 1), (5, 0)];
    assert!(super::passes_through(&seen.live, &steps), "{seen:?}");
    assert!(seen.least_ready >= 4, "{seen:?}");
}

/// With ordered pods Kubernetes waits for a broken pod for ever, also on the way back.
#[test]
fn a_bad_image_goes_back_without_help_by_hand() {
    let Some(namespace) = namespace(1) else { return };
    namespace.stateful_set(3);
    let witness = namespace.witness_of("statefulset/db");
    let health = json!({ "min_healthy_time": "0s", "healthy_timeout": "5s" });
    let document = document(&namespace, "no-image-2", &json!({ "health": health }));
    let ran = namespace.run("apply", &document);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stdout.contains("ImagePullBackOff"), "{ran:?}");
    let image = "/spec/template/spec/containers/0/image";
    assert_eq!(namespace.part_of("statefulset/db", image), json!("app:v1"));
    assert_eq!(namespace.part_of("statefulset/db", "/status/readyReplicas"), json!(3));
    assert_clean(&namespace);
    assert!(witness.seen("app:v1").least_ready >= 2);
}
