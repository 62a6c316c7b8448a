//! Why a pod does not serve, the most telling cause first, in the text of Kubernetes.
//!
//! Names of reasons are those of the kubelet (`pkg/kubelet/images`, `pkg/kubelet/kuberuntime`) and of
//! the scheduler.

use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod, PodCondition};
use rolling_provider::InstanceTrouble;

/// What waiting does not change: the kubelet tries neither again with success.
const FINAL: [&str; 2] = ["InvalidImageName", "ErrImageNeverPull"];
/// States of every container on its way, which say nothing.
const USUAL: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// Returns why `pod` is not ready, with what `events` say of it.
pub(crate) fn trouble(pod: &Pod, events: &[Event]) -> Option<InstanceTrouble> {
    if condition(pod, "Ready").is_some_and(|ready| ready.status == "True") {
        return None;
    }
    let found = unscheduled(pod)
        .or_else(|| containers(pod).find_map(|container| unpulled(container, pod, events)))
        .or_else(|| containers(pod).find_map(waiting))
        .or_else(|| containers(pod).find_map(crashed))
        .or_else(|| told(pod, events).map(|message| (message, false)))
        .or_else(|| gate(pod).map(|message| (message, false)))
        .or_else(|| ended(pod).map(|message| (message, false)))
        .or_else(|| not_ready(pod).map(|message| (message, false)));
    found.map(|(message, is_final)| InstanceTrouble { message, is_final })
}

/// Returns a condition of `pod` by its type.
pub(crate) fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_ref());
    let own = status.and_then(|status| status.container_statuses.as_ref());
    init.into_iter().chain(own).flatten()
}

fn unscheduled(pod: &Pod) -> Option<(String, bool)> {
    let scheduled = condition(pod, "PodScheduled").filter(|found| found.status == "False")?;
    Some((told_of(scheduled), false))
}

/// `Unschedulable: 0/3 nodes are available`.
fn told_of(condition: &PodCondition) -> String {
    let parts = [&condition.reason, &condition.message];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    if parts.is_empty() {
        format!("{} is {}", condition.type_, condition.status)
    } else {
        parts.join(": ")
    }
}

/// Says why an image cannot be pulled: the same text while the kubelet tries and while it waits to try
/// again.
fn unpulled(container: &ContainerStatus, pod: &Pod, events: &[Event]) -> Option<(String, bool)> {
    const REASONS: [&str; 2] = ["ErrImagePull", "ImagePullBackOff"];
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| REASONS.contains(reason))?;
    let told = || of_pod(pod, events).filter_map(|event| event.message.as_deref());
    let waited = reason == REASONS[1] || told().any(|message| message.contains(REASONS[1]));
    let why = told().find(|message| message.starts_with("Failed to pull image"));
    let why = why.or(waiting.message.as_deref()).unwrap_or("no reason given");
    let reason = REASONS[usize::from(waited)];
    Some((format!("container {}: {reason}: {why}", container.name), false))
}

fn of_pod<'a>(pod: &'a Pod, events: &'a [Event]) -> impl Iterator<Item = &'a Event> {
    events.iter().filter(|event| {
        event.involved_object.uid.is_some() && event.involved_object.uid == pod.metadata.uid
    })
}

fn waiting(container: &ContainerStatus) -> Option<(String, bool)> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| !USUAL.contains(reason))?;
    let mut message = format!("container {}: {reason}", container.name);
    if let Some(text) = waiting.message.as_deref().filter(|text| !text.is_empty()) {
        message.push_str(": ");
        message.push_str(text);
    }
    if let Some(last) = last_end(container) {
        message.push_str("; ");
        message.push_str(&last);
    }
    Some((message, FINAL.contains(&reason)))
}

/// Says how a container ended that runs again, or that does not.
fn crashed(container: &ContainerStatus) -> Option<(String, bool)> {
    let state = container.state.as_ref();
    let ended = state.and_then(|state| state.terminated.as_ref()).filter(|it| it.exit_code != 0);
    let restarted = container.restart_count > 0 && !container.ready;
    if ended.is_none() && !restarted {
        return None;
    }
    let last = last_end(container)?;
    Some((format!("container {}: {last}", container.name), false))
}

/// `it ended with code 1 (Error), 3 restarts: last output`.
fn last_end(container: &ContainerStatus) -> Option<String> {
    let now = container.state.as_ref().and_then(|state| state.terminated.as_ref());
    let before = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let ended = now.or(before)?;
    let reason = ended.reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
    let restarts = match container.restart_count {
        0 => String::new(),
        1 => ", 1 restart".to_owned(),
        count => format!(", {count} restarts"),
    };
    let message = ended.message.as_deref().map(str::trim).filter(|message| !message.is_empty());
    let message = message.map_or(String::new(), |message| format!(": {message}"));
    Some(format!("it ended with code {}{reason}{restarts}{message}", ended.exit_code))
}

/// What the latest warning about `pod` says.
fn told(pod: &Pod, events: &[Event]) -> Option<String> {
    let own = of_pod(pod, events);
    let at = |event: &Event| {
        let series = event.series.as_ref().and_then(|series| series.last_observed_time.clone());
        let series = series.map(|time| time.0);
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        let first = event.event_time.as_ref().map(|time| time.0);
        series.or(last).or(first).or(event.metadata.creation_timestamp.as_ref().map(|time| time.0))
    };
    let latest =
        own.filter(|event| event.type_.as_deref() == Some("Warning")).max_by_key(|e| at(e))?;
    let message = latest.message.as_deref().unwrap_or_default().trim();
    match (latest.reason.as_deref(), message) {
        // Its message says it all: `Readiness probe failed: ...`.
        (Some("Unhealthy"), message) if !message.is_empty() => Some(message.to_owned()),
        (Some(reason), "") => Some(reason.to_owned()),
        (Some(reason), message) => Some(format!("{reason}: {message}")),
        (None, message) => Some(message.to_owned()).filter(|message| !message.is_empty()),
    }
}

/// What a readiness gate says that does not hold: on EKS the load balancer's verdict.
fn gate(pod: &Pod) -> Option<String> {
    let gates = pod.spec.as_ref()?.readiness_gates.as_ref()?;
    gates.iter().find_map(|gate| {
        let kind = &gate.condition_type;
        match condition(pod, kind) {
            None => Some(format!("readiness gate {kind} is not reported yet")),
            Some(found) if found.status == "True" => None,
            Some(found) => {
                let parts = [&found.reason, &found.message];
                let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
                Some(format!("readiness gate {kind} is {}: {}", found.status, parts.join(": ")))
            }
        }
    })
}

/// How the whole pod ended: evicted, for instance.
fn ended(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let phase = status.phase.as_deref().filter(|phase| *phase == "Failed")?;
    let parts = [&status.reason, &status.message];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    Some(if parts.is_empty() { phase.to_owned() } else { parts.join(": ") })
}

fn not_ready(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    match status.phase.as_deref() {
        Some("Running") => {
            let ready = condition(pod, "Ready")?;
            let message = ready.message.clone().or_else(|| ready.reason.clone());
            Some(format!("not ready: {}", message.unwrap_or_else(|| "no reason given".into())))
        }
        Some("Pending") => {
            let starting = containers(pod)
                .find_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.clone());
            Some(starting.unwrap_or_else(|| "not started yet".to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "web-1", "uid": "u1" },
            "spec": { "containers": [{ "name": "app" }], "readinessGates": [
                { "conditionType": "target-health.elbv2.k8s.aws/web" },
            ] },
            "status": status,
        }))
        .expect("a pod")
    }

    fn running(state: Value, last: Value, restarts: u32) -> Pod {
        pod(json!({
            "phase": "Running",
            "conditions": [{ "type": "Ready", "status": "False", "reason": "ContainersNotReady",
                "message": "containers with unready status: [app]" }],
            "containerStatuses": [{ "name": "app", "ready": false, "restartCount": restarts,
                "image": "x", "imageID": "x", "state": state, "lastState": last }],
        }))
    }

    fn told_of_pod(pod: &Pod, events: &[Event]) -> (String, bool) {
        let found = trouble(pod, events).expect("trouble");
        (found.message, found.is_final)
    }

    #[test]
    fn the_most_telling_cause_comes_first() {
        let unscheduled = pod(json!({ "phase": "Pending", "conditions": [
            { "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
              "message": "0/3 nodes are available: 3 Insufficient cpu." },
        ] }));
        let told = told_of_pod(&unscheduled, &[]).0;
        assert_eq!(told, "Unschedulable: 0/3 nodes are available: 3 Insufficient cpu.");

        let waiting = |reason: &str, message: &str| {
            let state = json!({ "waiting": { "reason": reason, "message": message } });
            told_of_pod(&running(state, json!({}), 0), &[])
        };
        let message = "Back-off pulling image \"web:9\"";
        let told = format!("container app: ImagePullBackOff: {message}");
        assert_eq!(waiting("ImagePullBackOff", message), (told, false));
        assert!(waiting("InvalidImageName", "Failed to apply default image tag").1, "it is final");

        let crash = json!({ "waiting": { "reason": "CrashLoopBackOff",
            "message": "back-off 10s restarting failed container" } });
        let last = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
        let told = told_of_pod(&running(crash, last, 3), &[]).0;
        assert!(told.contains("CrashLoopBackOff: back-off 10s"), "{told}");
        assert!(told.ends_with("; it ended with code 137 (OOMKilled), 3 restarts"), "{told}");
    }

    #[test]
    fn what_a_probe_says_is_told_before_what_the_condition_says() {
        let unready = running(json!({ "running": {} }), json!({}), 0);
        let event: Event = serde_json::from_value(json!({
            "metadata": {}, "type": "Warning", "reason": "Unhealthy",
            "involvedObject": { "kind": "Pod", "uid": "u1" },
            "message": "Readiness probe failed: HTTP probe failed with statuscode: 500",
        }))
        .expect("an event");
        let told = told_of_pod(&unready, &[event]).0;
        assert_eq!(told, "Readiness probe failed: HTTP probe failed with statuscode: 500");
        let told = told_of_pod(&unready, &[]).0;
        assert_eq!(told, "readiness gate target-health.elbv2.k8s.aws/web is not reported yet");
    }

    #[test]
    fn a_pod_that_is_ready_has_none() {
        let ready = pod(json!({ "phase": "Running", "conditions": [
            { "type": "Ready", "status": "True" },
        ] }));
        assert_eq!(trouble(&ready, &[]), None);
    }
}
