//! Containers and their images: which one misbehaves, and the words for it
//! (`pkg/kubelet/images/image_manager.go`, containerd).

use std::time::Duration;

use serde_json::Value;

use crate::cluster_settings::PodBehaviour;
use crate::cluster_state::ClusterState;
use crate::json_pointer::{at, int, list, text};
use crate::object_kind::ObjectKind;

/// What a readiness probe says that fails.
pub const PROBE_FAILED: &str = "Readiness probe failed: HTTP probe failed with statuscode: 500";
/// The last words of a container that crashes (`terminationMessagePolicy`).
pub const TERMINATION_MESSAGE: &str = "fatal: cannot connect to the database\n";

/// Returns the first container whose image does not behave well, init containers first; or the
/// first container. Its name, image and behaviour.
pub fn odd_one(pod: &Value) -> (String, String, PodBehaviour) {
    let all = list(pod, "/spec/initContainers").iter().chain(list(pod, "/spec/containers"));
    let read = |container: &Value| {
        let image = text(container, "/image");
        (text(container, "/name").to_owned(), image.to_owned(), PodBehaviour::of_image(image))
    };
    let odd = all.map(read).find(|(_, _, behaviour)| *behaviour != PodBehaviour::Good);
    let first = || list(pod, "/spec/containers").first().map(read);
    odd.or_else(first).unwrap_or((String::new(), String::new(), PodBehaviour::Good))
}

/// Returns whether a container is an init container.
pub fn is_init(pod: &Value, container: &str) -> bool {
    list(pod, "/spec/initContainers").iter().any(|one| text(one, "/name") == container)
}

fn status<'a>(pod: &'a Value, container: &str) -> Option<&'a Value> {
    let all = list(pod, "/status/initContainerStatuses")
        .iter()
        .chain(list(pod, "/status/containerStatuses"));
    all.into_iter().find(|one| text(one, "/name") == container)
}

/// Returns whether a container runs.
pub fn is_running(pod: &Value, container: &str) -> bool {
    status(pod, container).is_some_and(|status| at(status, "/state/running").is_object())
}

/// Returns how often a container was started again.
pub fn restarts(pod: &Value, container: &str) -> u32 {
    let restarts = status(pod, container).map_or(0, |status| int(status, "/restartCount", 0));
    u32::try_from(restarts).unwrap_or(0)
}

/// Returns how often the image of a pod could not be pulled, by its event.
pub fn failed_pulls(state: &ClusterState, pod: &Value) -> u32 {
    let uid = text(pod, "/metadata/uid");
    let events = state.store.list(ObjectKind::Event, Some(text(pod, "/metadata/namespace")));
    let pulls = events.iter().filter(|event| {
        text(event, "/involvedObject/uid") == uid && text(event, "/reason") == "Pulling"
    });
    u32::try_from(pulls.map(|event| int(event, "/count", 1)).sum::<i64>()).unwrap_or(1)
}

/// Returns the pause before the try of a number, from 1: doubled each time, at most 30 times the
/// first (`client-go/util/flowcontrol/backoff.go`; 10 s up to 5 min).
pub fn back_off(first: Duration, number: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(number.saturating_sub(1))).min(first * 30)
}

/// Returns a duration as Go prints it: `10s`, `1m20s`.
pub fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

/// What is said of an image that is there.
pub fn present(image: &str) -> String {
    format!("Container image \"{image}\" already present on machine")
}

/// What the registry says of an image that it does not have.
pub fn not_found(image: &str) -> String {
    format!(
        "rpc error: code = NotFound desc = failed to pull and unpack image \"{image}\": failed to \
         resolve reference \"{image}\": {image}: not found"
    )
}

/// What is said of a name that cannot be read.
pub fn invalid(image: &str) -> String {
    format!(
        "Failed to apply default image tag \"{image}\": couldn't parse image name \"{image}\": invalid \
         reference format"
    )
}

/// Returns an address that is the pod's own, as far as its UID goes.
pub fn address(pod: &Value) -> String {
    let sum = text(pod, "/metadata/uid")
        .bytes()
        .fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    format!("10.1.{}.{}", sum >> 8 & 0xFF, sum % 254 + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_that_misbehaves_counts() {
        let pod = json!({"spec": {"initContainers": [{"name": "setup", "image": "setup:1"}],
            "containers": [{"name": "app", "image": "web:1"}, {"name": "proxy", "image": "proxy:crash"}]}});
        assert_eq!(odd_one(&pod).0, "proxy");
        assert!(is_init(&pod, "setup"));
    }

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let pauses: Vec<String> =
            (1..8).map(|number| go_duration(back_off(Duration::from_secs(10), number))).collect();
        assert_eq!(pauses, ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s"]);
    }
}
