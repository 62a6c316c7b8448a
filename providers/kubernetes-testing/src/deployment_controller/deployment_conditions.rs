//! The conditions of a Deployment (`deployment_util.go`, `progress.go`).

use std::time::Duration;

use serde_json::{Value, json};

use crate::instant;
use crate::json_pointer::{at, int, list, push, set, text};
use crate::workload::condition;

/// The condition of progress.
pub const PROGRESSING: &str = "Progressing";
/// Progressing: a set was made.
pub const NEW_REPLICA_SET: &str = "NewReplicaSetCreated";
/// Progressing: the set of the template was there.
pub const FOUND_NEW: &str = "FoundNewReplicaSet";
/// Progressing: there was a gain.
pub const UPDATED: &str = "ReplicaSetUpdated";
/// Progressing: the rollout is complete.
pub const NEW_AVAILABLE: &str = "NewReplicaSetAvailable";
/// Progressing: there was no gain before the deadline.
pub const TIMED_OUT: &str = "ProgressDeadlineExceeded";
/// Progressing: it is paused.
pub const PAUSED: &str = "DeploymentPaused";
/// Progressing: it goes on.
pub const RESUMED: &str = "DeploymentResumed";

/// Makes a condition (`NewDeploymentCondition`).
pub fn new(kind: &str, status: &str, reason: &str, message: &str, now: Duration) -> Value {
    let now = instant::seconds(now);
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastUpdateTime": now, "lastTransitionTime": now,
    })
}

/// Sets a condition, unless one with its status and reason is there; the time of the transition
/// stays where the status does (`SetDeploymentCondition`).
pub fn put(object: &mut Value, mut new: Value) {
    let kind = text(&new, "/type").to_owned();
    if let Some(current) = condition(object, &kind) {
        if current["status"] == new["status"] {
            if current["reason"] == new["reason"] {
                return;
            }
            new["lastTransitionTime"] = current["lastTransitionTime"].clone();
        }
        remove(object, &kind);
    }
    push(object, "/status/conditions", new);
}

/// Takes a condition away.
pub fn remove(object: &mut Value, kind: &str) {
    let mut stored = list(object, "/status/conditions").to_vec();
    stored.retain(|condition| text(condition, "/type") != kind);
    if !at(object, "/status/conditions").is_null() {
        set(object, "/status/conditions", stored);
    }
}

/// Returns the deadline, unless it is the largest number, which means none
/// (`HasProgressDeadline`).
pub fn deadline(deployment: &Value) -> Option<Duration> {
    let seconds = at(deployment, "/spec/progressDeadlineSeconds").as_i64()?;
    (seconds != i64::from(i32::MAX)).then(|| Duration::from_secs(seconds.unsigned_abs()))
}

/// Returns whether a Deployment with this status is complete (`DeploymentComplete`).
pub fn is_complete(deployment: &Value) -> bool {
    let replicas = int(deployment, "/spec/replicas", 1);
    let status = |key: &str| int(deployment, &format!("/status/{key}"), 0);
    status("updatedReplicas") == replicas
        && status("replicas") == replicas
        && status("availableReplicas") == replicas
        && status("observedGeneration") >= int(deployment, "/metadata/generation", 0)
}

/// Returns whether a status is a gain over another (`DeploymentProgressing`).
pub fn has_progressed(before: &Value, after: &Value) -> bool {
    let of = |object: &Value, key: &str| int(object, &format!("/status/{key}"), 0);
    let old = |object: &Value| of(object, "replicas") - of(object, "updatedReplicas");
    of(after, "updatedReplicas") > of(before, "updatedReplicas")
        || old(after) < old(before)
        || of(after, "readyReplicas") > of(before, "readyReplicas")
        || of(after, "availableReplicas") > of(before, "availableReplicas")
}

/// Returns whether the deadline is over (`DeploymentTimedOut`).
pub fn has_timed_out(deployment: &Value, now: Duration) -> bool {
    let (Some(deadline), Some(progressing)) =
        (deadline(deployment), condition(deployment, PROGRESSING))
    else {
        return false;
    };
    match text(progressing, "/reason") {
        // A set that is just being made: its condition is not written yet.
        NEW_AVAILABLE => false,
        TIMED_OUT => true,
        _ => instant::read(progressing, "/lastUpdateTime")
            .is_some_and(|since| since + deadline < now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_the_time_of_its_transition() {
        let at = Duration::from_secs;
        let mut object = json!({"status": {}});
        put(&mut object, new(PROGRESSING, "True", NEW_REPLICA_SET, "", at(1)));
        put(&mut object, new(PROGRESSING, "True", NEW_REPLICA_SET, "again", at(2)));
        assert_eq!(list(&object, "/status/conditions")[0]["message"], "");
        put(&mut object, new(PROGRESSING, "True", UPDATED, "", at(3)));
        let condition = condition(&object, PROGRESSING).expect("a condition");
        assert_eq!(condition["lastTransitionTime"], "1970-01-01T00:00:01Z");
        assert_eq!(condition["lastUpdateTime"], "1970-01-01T00:00:03Z");
    }

    #[test]
    fn a_deadline_counts_from_the_last_gain() {
        let mut object = json!({"spec": {"progressDeadlineSeconds": 8}, "status": {}});
        put(&mut object, new(PROGRESSING, "True", UPDATED, "", Duration::from_secs(10)));
        assert!(!has_timed_out(&object, Duration::from_secs(18)));
        assert!(has_timed_out(&object, Duration::from_millis(18_001)));
        object["spec"]["progressDeadlineSeconds"] = i32::MAX.into();
        assert!(!has_timed_out(&object, Duration::from_secs(99)));
    }
}
