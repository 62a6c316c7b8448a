//! What is done for single pods: those that fail, and hooks that are about those of a batch.

use serde_json::{Value, json};

use super::cluster::namespace;

/// A pod that failed is kept apart, and found by its label; its ReplicaSet has created another.
#[test]
fn a_pod_that_failed_is_kept_apart() {
    let Some(namespace) = namespace(3) else { return };
    let more = json!({
        "max_unavailable": 1, "keep_failed_instances": 1,
        "health": { "min_healthy_time": "2s", "healthy_timeout": "5s" },
    });
    let document = namespace.document("unready-2", &more);
    let ran = namespace.run("apply", &namespace.as_documented_user(&document));
    assert_eq!(ran.code, 3, "{ran:?}");
    let retained = namespace.kubectl(&["get", "pods", "-l", "rolling/failed", "--output", "json"]);
    let retained: Value = serde_json::from_str(&retained).expect("JSON");
    assert_eq!(retained["items"].as_array().map(Vec::len), Some(1), "{retained}");
    let name = retained["items"][0]["metadata"]["name"].as_str().expect("a name");
    assert!(ran.stdout.contains(name), "{ran:?}");
    assert!(retained["items"][0]["metadata"]["ownerReferences"].is_null(), "{retained}");
    assert_eq!(namespace.deployment("/status/readyReplicas"), json!(3));
    namespace.assert_clean();
}

/// Below the threshold a pod that fails makes way for another; at the threshold the rollout goes back.
#[test]
fn pods_that_fail_are_replaced_below_the_threshold() {
    let Some(namespace) = namespace(3) else { return };
    let more = json!({
        "max_unavailable": 1, "failure_threshold": 2,
        "health": { "min_healthy_time": "2s", "healthy_timeout": "4s" },
    });
    let document = namespace.document("unready-2", &more);
    let ran = namespace.run("apply", &namespace.as_documented_user(&document));
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stdout.contains("terminate web-"), "{ran:?}");
    namespace.assert_clean();
}

/// `after_healthy` and `after_batch` are run for the pods of each batch, before the next begins.
#[test]
fn hooks_are_about_the_pods_of_a_batch() {
    let Some(namespace) = namespace(4) else { return };
    let log = namespace.folder.path().join("hooks");
    let script = format!("cat >> {0}; echo >> {0}", log.display());
    let hook = json!({ "command": { "run": ["sh", "-c", script] } });
    let more = json!({ "hooks": { "after_healthy": hook, "after_batch": hook } });
    let ran = namespace.run("apply", &namespace.document("v2", &more));
    assert_eq!(ran.code, 0, "{ran:?}");
    namespace.assert_clean();
    let text = std::fs::read_to_string(&log).expect("hooks were run");
    let lines = text.lines().filter(|line| !line.is_empty());
    let told: Vec<Value> = lines.map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let points: Vec<&str> = told.iter().filter_map(|it| it["hook"].as_str()).collect();
    let batch = ["after_healthy", "after_batch"];
    assert_eq!(points, [batch, batch].concat(), "{text}");
    for hook in &told {
        assert_eq!(hook["instances"].as_array().map(Vec::len), Some(2), "{hook}");
    }
    assert_ne!(told[0]["instances"], told[2]["instances"]);
}
