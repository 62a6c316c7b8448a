//! How pods of each image behave, and what they show.

use rolling_kubernetes_testing::{Cluster, ObjectKind, Quota, Settings};
use serde_json::{Value, json};

use crate::support::{BEGIN, JSON, Lab, STRATEGIC, condition, image, manifest, roll, seconds};

/// A lab in which two pods of an image have been tried for a time.
fn tried(to: &str, for_seconds: u64) -> Lab {
    let mut lab = Lab::new();
    lab.patch(&roll(to, json!(2), json!(0)));
    lab.cluster.advance(seconds(for_seconds));
    lab
}

fn status(lab: &Lab, image: &str) -> Value {
    lab.pods_of(image)[0]["status"]["containerStatuses"][0].clone()
}

#[test]
fn a_good_image_is_ready() {
    let mut lab = tried("web:v2", 0);
    lab.until(60, Lab::is_complete);
    let pod = &lab.pods_of("web:v2")[0];
    assert_eq!(pod["status"]["phase"], "Running");
    for kind in ["PodScheduled", "Initialized", "ContainersReady", "Ready"] {
        assert_eq!(condition(pod, kind)["status"], "True", "{kind}");
    }
    assert!(pod["status"]["podIP"].is_string() && pod["spec"]["nodeName"].is_string());
    assert!(pod["metadata"]["labels"]["pod-template-hash"].is_string());
    assert!(lab.warnings("Failed").is_empty());
}

#[test]
fn an_image_that_is_not_there() {
    let lab = tried("web:no-image", 1);
    let waiting = &status(&lab, "web:no-image")["state"]["waiting"];
    assert_eq!(waiting["reason"], "ErrImagePull");
    assert!(waiting["message"].as_str().expect("text").contains("web:no-image: not found"));
    let lab = tried("web:no-image", 8);
    let waiting = &status(&lab, "web:no-image")["state"]["waiting"];
    assert_eq!(waiting["reason"], "ImagePullBackOff");
    let message = waiting["message"].as_str().expect("text");
    assert!(message.starts_with("Back-off pulling image \"web:no-image\""), "{message}");
    assert_eq!(lab.pods_of("web:no-image")[0]["status"]["phase"], "Pending");
    assert!(lab.warnings("Failed").iter().any(|message| message == "Error: ErrImagePull"));
}

#[test]
fn an_image_that_crashes() {
    let lab = tried("web:crash", 8);
    let status = status(&lab, "web:crash");
    assert_eq!(status["state"]["waiting"]["reason"], "CrashLoopBackOff");
    let message = status["state"]["waiting"]["message"].as_str().expect("text");
    assert!(
        message.starts_with("back-off 10s restarting failed container=app pod=web-"),
        "{message}"
    );
    let last = &status["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["reason"]), (&json!(1), &json!("Error")));
    assert_eq!(status["restartCount"], 1);
    assert_eq!(lab.pods_of("web:crash")[0]["status"]["phase"], "Running");
    let lab = tried("web:crash", 30);
    assert!(self::status(&lab, "web:crash")["restartCount"].as_i64() >= Some(2));
    let ready = condition(&lab.pods_of("web:crash")[0], "Ready");
    assert_eq!(ready["message"], "containers with unready status: [app]");
}

#[test]
fn an_image_that_needs_too_much_memory() {
    let lab = tried("web:oom", 8);
    let last = &status(&lab, "web:oom")["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["reason"]), (&json!(137), &json!("OOMKilled")));
}

#[test]
fn an_image_that_fails_its_probe() {
    let lab = tried("web:unhealthy", 25);
    let status = status(&lab, "web:unhealthy");
    assert!(status["state"]["running"].is_object());
    assert_eq!(status["ready"], false);
    let warnings = lab.warnings("Unhealthy");
    assert_eq!(warnings[0], "Readiness probe failed: HTTP probe failed with statuscode: 500");
    let events = lab.cluster.list(ObjectKind::Event, "shop");
    let counted = events.iter().find(|event| event["reason"] == "Unhealthy").expect("an event");
    assert!(counted["count"].as_i64() >= Some(2));
    assert_eq!(counted["involvedObject"]["kind"], "Pod");
}

#[test]
fn pods_that_wait_for_good() {
    for (to, reason) in [
        ("web:invalid-name", "InvalidImageName"),
        ("web:config-error", "CreateContainerConfigError"),
    ] {
        let lab = tried(to, 20);
        assert_eq!(status(&lab, to)["state"]["waiting"]["reason"], reason);
        assert!(!lab.warnings("Failed").is_empty());
    }
    let lab = tried("web:unschedulable", 20);
    let scheduled = condition(&lab.pods_of("web:unschedulable")[0], "PodScheduled");
    assert_eq!(
        (&scheduled["status"], &scheduled["reason"]),
        (&json!("False"), &json!("Unschedulable"))
    );
    assert!(lab.warnings("FailedScheduling")[0].starts_with("0/3 nodes are available"));
}

#[test]
fn slow_and_flapping_images() {
    let mut lab = tried("web:slow", 2);
    assert_eq!(condition(&lab.pods_of("web:slow")[0], "Ready")["status"], "False");
    lab.until(120, Lab::is_complete);
    let mut lab = tried("web:flap", 0);
    let ready = |lab: &Lab| {
        lab.pods_of("web:flap")
            .first()
            .is_some_and(|pod| condition(pod, "Ready")["status"] == "True")
    };
    lab.until(20, ready);
    lab.until(20, |lab| !ready(lab));
    lab.until(20, ready);
}

#[test]
fn a_readiness_gate_is_held_by_the_door() {
    let mut lab = Lab::new();
    let gate = "target-health.elbv2.k8s.aws/web".to_owned();
    lab.cluster.door().readiness_gate = Some(gate.clone());
    lab.cluster.door().held_gates = true;
    lab.patch(&roll("web:gate", json!(2), json!(0)));
    lab.settle();
    let pod = lab.pods_of("web:gate")[0].clone();
    assert_eq!(condition(&pod, "ContainersReady")["status"], "True");
    let ready = condition(&pod, "Ready");
    assert_eq!(ready["reason"], "ReadinessGatesNotReady");
    let message = format!("the status of pod readiness gate \"{gate}\" is not \"True\", but False");
    assert_eq!(ready["message"], message);
    assert_eq!(condition(&pod, &gate)["reason"], "Target.FailedHealthChecks");
    lab.cluster.door().held_gates = false;
    lab.until(60, Lab::is_complete);
}

#[test]
fn a_pod_that_hangs_goes_after_its_grace() {
    let mut lab = Lab::of(manifest(2, "web:hang"), 1);
    lab.patch(&roll("web:v2", json!(0), json!("100%")));
    lab.cluster.advance(seconds(20));
    let old = lab.pods_of("web:hang");
    assert_eq!(old.len(), 2);
    assert!(old[0]["metadata"]["deletionTimestamp"].is_string());
    lab.cluster.advance(seconds(11));
    assert!(lab.pods_of("web:hang").is_empty());
}

#[test]
fn a_quota_refuses_pods_with_its_message() {
    let mut lab = Lab::new();
    let quota = Quota { name: "q".to_owned(), namespace: "shop".to_owned(), pods: 7 };
    lab.cluster.door().quota = Some(quota);
    lab.patch(&roll("web:v2", json!(4), json!(0)));
    lab.cluster.advance(seconds(1));
    let failure = condition(&lab.get(), "ReplicaFailure");
    assert_eq!((&failure["status"], &failure["reason"]), (&json!("True"), &json!("FailedCreate")));
    let message = failure["message"].as_str().expect("a message");
    assert!(message.starts_with("pods \"web-"), "{message}");
    let end = "is forbidden: exceeded quota: q, requested: pods=1, used: pods=7, limited: pods=7";
    assert!(message.ends_with(end), "{message}");
    assert!(lab.warnings("FailedCreate")[0].starts_with("Error creating: pods \"web-"));
    assert_eq!(lab.pods_of("web:v2").len(), 1);
    lab.cluster.door().quota = None;
    lab.until(120, Lab::is_complete);
    assert_eq!(condition(&lab.get(), "ReplicaFailure"), Value::Null);
}

#[test]
fn a_pod_without_the_label_is_let_go_and_replaced() {
    let mut lab = Lab::new();
    let name = lab.pods()[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    let path = format!("/api/v1/namespaces/shop/pods/{name}");
    let answer =
        lab.request("PATCH", &path, STRATEGIC, &json!({"metadata": {"labels": {"app": null}}}));
    assert_eq!(answer.status, 200);
    lab.settle();
    assert_eq!(lab.pods().len(), 7);
    let stored = lab.read(&path);
    assert!(stored["metadata"].get("ownerReferences").is_none());
    // With the label it is adopted, and one too many.
    lab.request("PATCH", &path, STRATEGIC, &json!({"metadata": {"labels": {"app": "web"}}}));
    lab.settle();
    assert_eq!(lab.pods().len(), 6);
}

#[test]
fn deleted_pods_come_back() {
    let mut lab = Lab::new();
    let name = lab.pods()[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    let answer =
        lab.request("DELETE", &format!("/api/v1/namespaces/shop/pods/{name}"), JSON, &Value::Null);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["metadata"]["deletionGracePeriodSeconds"], 30);
    lab.until(30, |lab| lab.pods().len() == 7);
    lab.until(30, |lab| lab.pods().len() == 6 && lab.is_complete());
    assert!(lab.pods().iter().all(|pod| pod["metadata"]["name"] != name));
}

#[test]
fn a_bad_init_container_is_told_from_the_others() {
    let mut lab = Lab::new();
    let mut patch = image("web:v2");
    patch["spec"]["template"]["spec"]["initContainers"] =
        json!([{"name": "setup", "image": "setup:crash"}]);
    lab.patch(&patch);
    lab.settle();
    let pod = lab.pods_of("web:v2")[0].clone();
    let init = &pod["status"]["initContainerStatuses"][0];
    assert_eq!(init["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"],
        "PodInitializing"
    );
    assert_eq!(
        condition(&pod, "Initialized")["message"],
        "containers with incomplete status: [setup]"
    );
}

#[test]
fn another_scheduler_and_kubelet_may_tend_the_pods() {
    let settings = Settings { kubelet: false, ..Settings::default() };
    let mut cluster = Cluster::new(settings, BEGIN);
    let mut deployment = manifest(1, "web:v1");
    deployment["spec"]["minReadySeconds"] = 0.into();
    cluster.seed(deployment);
    cluster.advance(seconds(5));
    let pod = cluster.list(ObjectKind::Pod, "shop")[0].clone();
    assert_eq!(pod["status"]["phase"], "Pending");
    let path = format!(
        "/api/v1/namespaces/shop/pods/{}",
        pod["metadata"]["name"].as_str().expect("a name")
    );
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "target": {"kind": "Node", "name": "node-b"}});
    let answer = cluster.request(
        "POST",
        &format!("{path}/binding"),
        "",
        &[JSON],
        binding.to_string().as_bytes(),
    );
    assert_eq!(answer.status, 201);
    let ready =
        json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-26T10:00:05Z"});
    let status = json!({"status": {"phase": "Running", "conditions": [ready]}}).to_string();
    let answer =
        cluster.request("PATCH", &format!("{path}/status"), "", &[STRATEGIC], status.as_bytes());
    assert_eq!(answer.body["spec"]["nodeName"], "node-b");
    cluster.advance(seconds(5));
    let web = cluster.get(ObjectKind::Deployment, "shop", "web").expect("it").clone();
    assert_eq!(web["status"]["availableReplicas"], 1);
    // Deleted, it stays until its kubelet takes it away.
    cluster.request("DELETE", &path, "", &[JSON], b"");
    cluster.advance(seconds(60));
    assert_eq!(cluster.list(ObjectKind::Pod, "shop").len(), 2);
    let options =
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}).to_string();
    cluster.request("DELETE", &path, "", &[JSON], options.as_bytes());
    assert_eq!(cluster.list(ObjectKind::Pod, "shop").len(), 1);
}

#[test]
fn newer_servers_count_pods_that_end() {
    let mut lab = Lab::new();
    assert!(lab.get()["status"].get("terminatingReplicas").is_none());
    lab.cluster.settings().version = (1, 35);
    lab.patch(&roll("web:v2", json!(0), json!("100%")));
    lab.until(5, |lab| lab.get()["status"]["terminatingReplicas"] == 6);
    lab.until(60, |lab| lab.is_complete() && lab.get()["status"]["terminatingReplicas"] == 0);
}
