//! The status of a pod, as the kubelet writes it (`pkg/kubelet/status/generate.go`).

use std::time::Duration;

use serde_json::{Value, json};

use crate::instant;
use crate::json_pointer::{at, int, list, place, push, set, text};
use crate::workload::condition;

/// Sets a condition; the time of the transition changes with its status only.
pub fn put(pod: &mut Value, kind: &str, is: bool, why: Option<(&str, &str)>, now: Duration) {
    let status = if is { "True" } else { "False" };
    let mut new = json!({
        "type": kind, "status": status, "lastProbeTime": null,
        "lastTransitionTime": instant::seconds(now),
    });
    if let Some((reason, message)) = why {
        new["reason"] = reason.into();
        if !message.is_empty() {
            new["message"] = message.into();
        }
    }
    if let Some(current) = condition(pod, kind)
        && current["status"] == new["status"]
    {
        new["lastTransitionTime"] = current["lastTransitionTime"].clone();
    }
    let mut conditions = list(pod, "/status/conditions").to_vec();
    match conditions.iter_mut().find(|condition| text(condition, "/type") == kind) {
        Some(condition) => *condition = new,
        None => conditions.push(new),
    }
    set(pod, "/status/conditions", conditions);
}

/// Makes the statuses of all containers: they wait to be created.
pub fn begin(pod: &mut Value, node: usize, now: Duration) {
    for (from, into) in
        [("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")]
    {
        let containers = list(pod, &format!("/spec/{from}")).to_vec();
        let waiting = if !list(pod, "/spec/initContainers").is_empty() {
            "PodInitializing"
        } else {
            "ContainerCreating"
        };
        for container in containers {
            let status = json!({
                "name": container["name"], "image": container["image"], "imageID": "",
                "ready": false, "started": false, "restartCount": 0, "lastState": {},
                "state": {"waiting": {"reason": waiting}},
            });
            push(pod, &format!("/status/{into}"), status);
        }
    }
    let address = format!("10.0.0.{}", node + 1);
    set(pod, "/status/hostIP", address.clone());
    set(pod, "/status/startTime", instant::seconds(now));
    conditions(pod, now);
}

/// Returns the statuses of the containers among which one is named.
fn statuses_with<'a>(pod: &'a mut Value, container: &str) -> Option<&'a mut Value> {
    let is = |list: &Value| {
        list.as_array().is_some_and(|all| all.iter().any(|one| text(one, "/name") == container))
    };
    let field = ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .find(|field| is(at(pod, &format!("/status/{field}"))))?;
    let all = place(pod, &format!("/status/{field}")).as_array_mut()?;
    all.iter_mut().find(|one| text(one, "/name") == container)
}

/// A container waits.
pub fn waiting(pod: &mut Value, container: &str, reason: &str, message: &str) {
    let Some(status) = statuses_with(pod, container) else { return };
    status["state"] = json!({"waiting": {"reason": reason, "message": message}});
    status["ready"] = false.into();
    status["started"] = false.into();
}

/// A container runs. What it was before becomes `lastState`.
pub fn running(pod: &mut Value, container: &str, now: Duration) {
    let Some(status) = statuses_with(pod, container) else { return };
    if at(status, "/state/terminated").is_object() {
        status["lastState"] = status["state"].clone();
        status["restartCount"] = (int(status, "/restartCount", 0) + 1).into();
    } else if at(status, "/state/waiting/reason") == "CrashLoopBackOff" {
        status["restartCount"] = (int(status, "/restartCount", 0) + 1).into();
    }
    status["state"] = json!({"running": {"startedAt": instant::seconds(now)}});
    status["started"] = true.into();
}

/// How a container ends.
pub struct End<'a> {
    /// Its exit code.
    pub code: i64,
    /// `Completed`, `Error` or `OOMKilled`.
    pub reason: &'a str,
    /// Its last words, or the empty text.
    pub message: &'a str,
}

/// A container has ended.
pub fn terminated(pod: &mut Value, container: &str, end: &End<'_>, now: Duration) {
    let Some(status) = statuses_with(pod, container) else { return };
    let started = at(status, "/state/running/startedAt").clone();
    let mut terminated = json!({
        "exitCode": end.code, "reason": end.reason, "startedAt": started,
        "finishedAt": instant::seconds(now),
    });
    if !end.message.is_empty() {
        terminated["message"] = end.message.into();
    }
    status["state"] = json!({"terminated": terminated});
    status["ready"] = (end.code == 0).into();
    status["started"] = false.into();
}

/// A container that has ended waits for its next start.
pub fn back_off(pod: &mut Value, container: &str, message: &str) {
    let Some(status) = statuses_with(pod, container) else { return };
    status["lastState"] = status["state"].clone();
    waiting(pod, container, "CrashLoopBackOff", message);
}

/// Sets whether all containers that run are ready.
pub fn ready(pod: &mut Value, is: bool) {
    let Some(all) = place(pod, "/status/containerStatuses").as_array_mut() else { return };
    for status in all {
        status["ready"] = (is && at(status, "/state/running").is_object()).into();
    }
}

/// Writes the conditions Initialized, ContainersReady and Ready, and the phase, from the statuses
/// of the containers and of the readiness gates (`GeneratePodReadyCondition`).
pub fn conditions(pod: &mut Value, now: Duration) {
    let names = |list: &[Value], bad: &dyn Fn(&Value) -> bool| {
        let bad: Vec<&str> =
            list.iter().filter(|one| bad(one)).map(|one| text(one, "/name")).collect();
        bad.join(" ")
    };
    let unfinished = |status: &Value| at(status, "/state/terminated/exitCode") != 0;
    let incomplete = names(list(pod, "/status/initContainerStatuses"), &unfinished);
    let message = format!("containers with incomplete status: [{incomplete}]");
    let why = (!incomplete.is_empty()).then_some(("ContainersNotInitialized", message.as_str()));
    put(pod, "Initialized", incomplete.is_empty(), why, now);

    let statuses = list(pod, "/status/containerStatuses");
    let unready = names(statuses, &|status| status["ready"] != true);
    let begun = !statuses.is_empty()
        && incomplete.is_empty()
        && statuses.iter().any(|status| {
            status["started"] == true
                || int(status, "/restartCount", 0) > 0
                || at(status, "/state/terminated").is_object()
        });
    let message = format!("containers with unready status: [{unready}]");
    let why = (!unready.is_empty()).then_some(("ContainersNotReady", message.as_str()));
    put(pod, "ContainersReady", unready.is_empty(), why, now);

    let gates = gates(pod);
    let gate_message = gates.join(", ");
    let why =
        why.or((!gates.is_empty()).then_some(("ReadinessGatesNotReady", gate_message.as_str())));
    put(pod, "Ready", why.is_none(), why, now);
    set(pod, "/status/phase", if begun { "Running" } else { "Pending" });
}

/// Returns what is wrong with each readiness gate.
fn gates(pod: &Value) -> Vec<String> {
    let gates = list(pod, "/spec/readinessGates").iter().map(|gate| text(gate, "/conditionType"));
    let wrong =
        gates.filter_map(|gate| match condition(pod, gate).map(|found| text(found, "/status")) {
            Some("True") => None,
            Some(status) => Some(format!(
                "the status of pod readiness gate \"{gate}\" is not \"True\", but {status}"
            )),
            None => Some(format!(
                "corresponding condition of pod readiness gate \"{gate}\" does not exist."
            )),
        });
    wrong.collect()
}
