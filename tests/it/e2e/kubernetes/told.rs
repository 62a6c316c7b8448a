//! Revisions that fail, and what is said of them.

use serde_json::json;

use super::cluster::namespace;
use super::images;

/// A revision that fails as its tag says goes back by itself, and the text of Kubernetes says why.
fn goes_back(tag: &str, messages: &[&str]) {
    let Some(namespace) = namespace(4) else { return };
    let witness = namespace.witness();
    let more = json!({ "max_unavailable": 1, "health": {
        "min_healthy_time": "2s", "healthy_timeout": "8s",
    } });
    let ran = namespace.run("apply", &namespace.document(tag, &more));
    assert_eq!(ran.code, 3, "{ran:?}");
    for message in messages {
        assert!(ran.stdout.contains(message), "{message}: {}", ran.stdout);
    }
    assert!(ran.stdout.contains("is the last revision all instances ran"), "{ran:?}");
    namespace.kubectl(&["rollout", "status", "deployment/web", "--timeout=30s"]);
    assert_eq!(namespace.deployment("/spec/template/spec/containers/0/image"), json!("app:v1"));
    namespace.assert_clean();
    let seen = witness.seen("app:v1");
    assert!(seen.least_ready >= 3 && seen.most_asked <= 4, "{seen:?}");
}

#[test]
fn a_bad_image_goes_back_and_is_named() {
    goes_back("no-image-2", &["ImagePullBackOff", "app:no-image-2"]);
}

#[test]
fn a_crash_loop_is_told_with_how_its_container_ended() {
    goes_back("crash-2", &["it ended with code 1", "restart"]);
}

#[test]
fn an_unready_pod_is_told_by_its_probe() {
    goes_back("unready-2", &["Readiness probe failed: HTTP probe failed with statuscode: 500"]);
}

/// `kubectl rollout undo` goes to the second highest revision number, which is a bad one here.
#[test]
fn after_two_bad_revisions_it_goes_back_to_the_good_one() {
    let Some(namespace) = namespace(4) else { return };
    let health = json!({ "min_healthy_time": "2s", "healthy_timeout": "5s" });
    let stops = json!({ "max_unavailable": 1, "on_failure": "stop", "health": health });
    let first = namespace.run("apply", &namespace.document("no-image-1", &stops));
    assert_eq!(first.code, 1, "{first:?}");
    let back = json!({ "max_unavailable": 1, "health": health });
    let second = namespace.run("apply", &namespace.document("no-image-2", &back));
    assert_eq!(second.code, 3, "{second:?}");
    crate::process::until("the others are gone", || images(&namespace) == ["app:v1"]);
    namespace.assert_clean();
}

/// Somebody who sets another image in the middle is told of, and not fought.
#[test]
fn a_template_that_somebody_else_sets_ends_the_rollout() {
    let Some(namespace) = namespace(4) else { return };
    let more =
        json!({ "max_unavailable": 1, "checkpoints": [{ "percentage": 25, "pause": "20s" }] });
    let document = namespace.document("v2", &more);
    let child = namespace.command("apply", &document).stdout(std::process::Stdio::piped()).spawn();
    let child = child.expect("the program starts");
    crate::process::until("the first batch is there", || {
        namespace.deployment("/status/updatedReplicas") == json!(1)
            && namespace.deployment("/spec/paused") == json!(true)
    });
    namespace.kubectl(&["set", "image", "deployment/web", "app=app:v3"]);
    let done = child.wait_with_output().expect("an end");
    let stdout = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{stdout}");
    assert!(stdout.contains("somebody else has set the template to app=app:v3"), "{stdout}");
    namespace.kubectl(&["rollout", "status", "deployment/web", "--timeout=30s"]);
    crate::process::until("the others are gone", || images(&namespace) == ["app:v3"]);
}
