//! Validation, patches, dry runs and lists: what the API answers.

use rolling_kubernetes_testing::{ApiFault, Matching, ObjectKind, Rule};
use serde_json::{Value, json};

use crate::support::{JSON, Lab, MERGE, STRATEGIC, WEB, image, seconds};

fn strategy(surge: Value, unavailable: Value) -> Value {
    json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}})
}

#[test]
fn what_is_not_valid_is_refused_as_kubernetes_does() {
    let mut lab = Lab::new();
    let at = "Deployment.apps \"web\" is invalid: ";
    let cases = [
        (
            strategy(json!(0), json!(0)),
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: intstr.IntOrString{Type:0, IntVal:0, StrVal:\"\"}: may not be 0 when `maxSurge` is 0",
        ),
        (
            strategy(json!(0), json!("150%")),
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: intstr.IntOrString{Type:1, IntVal:0, StrVal:\"150%\"}: must not be greater than 100%",
        ),
        (
            strategy(json!(-1), json!(1)),
            "spec.strategy.rollingUpdate.maxSurge: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            json!({"spec": {"minReadySeconds": 700}}),
            "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
        ),
        (
            json!({"spec": {"template": {"metadata": {"labels": {"app": "api"}}}}}),
            "spec.template.metadata.labels: Invalid value: map[string]string{\"app\":\"api\"}: `selector` does not match template `labels`",
        ),
        (
            json!({"spec": {"template": {"spec": {"containers": [{"name": "new"}]}}}}),
            "spec.template.spec.containers[1].image: Required value",
        ),
        (
            json!({"spec": {"template": {"spec": {"containers": [{"$patch": "replace"}]}}}}),
            "spec.template.spec.containers: Required value",
        ),
        (
            json!({"spec": {"strategy": {"type": "Recreate"}}}),
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ),
        (
            json!({"spec": {"replicas": -2}}),
            "spec.replicas: Invalid value: -2: must be greater than or equal to 0",
        ),
    ];
    let before = lab.get();
    for (patch, sentence) in cases {
        assert_eq!(lab.refused(&patch), format!("{at}{sentence}"));
    }
    let message = lab.refused(&json!({"metadata": {"annotations": {"rolling:progress": "1"}}}));
    assert!(
        message.contains(
            "metadata.annotations: Invalid value: \"rolling:progress\": name part must consist of"
        ),
        "{message}"
    );
    let several = json!({"spec": {"replicas": -2, "minReadySeconds": -1}});
    assert!(lab.refused(&several).starts_with(&format!("{at}[spec.replicas: ")));
    let answer = lab.request("PATCH", WEB, STRATEGIC, &json!({"spec": {"replicas": "two"}}));
    assert_eq!(answer.status, 400);
    assert_eq!(lab.get(), before);
}

#[test]
fn causes_name_their_fields() {
    let mut lab = Lab::new();
    let body = lab.request("PATCH", WEB, STRATEGIC, &strategy(json!(0), json!(0))).body;
    assert_eq!((&body["reason"], &body["code"]), (&json!("Invalid"), &json!(422)));
    let cause = &body["details"]["causes"][0];
    assert_eq!(cause["reason"], "FieldValueInvalid");
    assert_eq!(cause["field"], "spec.strategy.rollingUpdate.maxUnavailable");
}

#[test]
fn a_dry_run_answers_and_keeps_nothing() {
    let mut lab = Lab::new();
    let before = lab.get();
    let path = format!("{WEB}?dryRun=All&fieldManager=rolling");
    let answer = lab.request("PATCH", &path, STRATEGIC, &image("web:v2"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["spec"]["template"]["spec"]["containers"][0]["image"], "web:v2");
    assert_eq!(answer.body["metadata"]["generation"], 2);
    assert_eq!(answer.body["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    let refused = lab.request("PATCH", &path, STRATEGIC, &strategy(json!(0), json!(0)));
    assert_eq!(refused.status, 422);
    lab.settle();
    assert_eq!(lab.get(), before);
    assert_eq!(lab.sets().len(), 1);
    let calls = lab.cluster.calls();
    assert!(calls.iter().all(|call| call.dry_run && !call.is_write()));
}

#[test]
fn the_generation_counts_changes_of_the_spec() {
    let mut lab = Lab::new();
    let generation = |object: &Value| object["metadata"]["generation"].as_i64().expect("a number");
    assert_eq!(generation(&lab.patch(&json!({"metadata": {"labels": {"a": "b"}}}))), 1);
    assert_eq!(
        generation(&lab.patch(&json!({"spec": {"paused": false, "minReadySeconds": 2}}))),
        1
    );
    let same = lab.get()["metadata"]["resourceVersion"].clone();
    assert_eq!(lab.patch(&json!({"spec": {"replicas": 6}}))["metadata"]["resourceVersion"], same);
    assert_eq!(generation(&lab.patch(&json!({"spec": {"paused": true}}))), 2);
    // The status is no part of it, and cannot be written that way.
    let body = lab.patch(&json!({"status": {"replicas": 99}, "spec": {"paused": false}}));
    assert_eq!((generation(&body), &body["status"]["replicas"]), (3, &json!(6)));
    let path = format!("{WEB}/status");
    let answer =
        lab.request("PATCH", &path, MERGE, &json!({"status": {"x": 1}, "spec": {"replicas": 1}}));
    assert_eq!(
        (&answer.body["status"]["x"], &answer.body["spec"]["replicas"]),
        (&json!(1), &json!(6))
    );
}

#[test]
fn managed_fields_name_who_set_what() {
    let mut lab = Lab::new();
    lab.patch(&image("web:v2"));
    lab.patch(&json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 2}}}}));
    let object = lab.get();
    let entries = object["metadata"]["managedFields"].as_array().expect("entries");
    let of = |name: &str| {
        let is = |entry: &&Value| entry["manager"] == name && entry["subresource"].is_null();
        entries.iter().find(is).expect("a manager")["fieldsV1"]["f:spec"].clone()
    };
    let app = "k:{\"name\":\"app\"}";
    let image = |fields: &Value| {
        fields["f:template"]["f:spec"]["f:containers"][app].get("f:image").is_some()
    };
    let (first, ours) = (of("kubectl-client-side-apply"), of("rolling"));
    assert!(image(&ours) && !image(&first));
    assert!(first.get("f:replicas").is_some());
    assert!(ours["f:strategy"]["f:rollingUpdate"].get("f:maxSurge").is_some());
    assert!(first["f:strategy"]["f:rollingUpdate"].get("f:maxUnavailable").is_some());
    let status = entries.iter().find(|entry| entry["subresource"] == "status").expect("the status");
    assert_eq!(status["manager"], "kube-controller-manager");
}

#[test]
fn lists_are_selected_and_come_in_parts() {
    let mut lab = Lab::new();
    let pods = "/api/v1/namespaces/shop/pods";
    let list = lab.read(&format!("{pods}?labelSelector=app%3Dweb"));
    assert_eq!(
        (&list["kind"], list["items"].as_array().map(Vec::len)),
        (&json!("PodList"), Some(6))
    );
    assert!(list["metadata"]["resourceVersion"].is_string());
    assert!(list["items"][0].get("kind").is_none());
    assert_eq!(lab.read(&format!("{pods}?labelSelector=app%3Dapi"))["items"], json!([]));
    assert_eq!(
        lab.read(&format!("{pods}?labelSelector=app+in+(web)"))["items"].as_array().map(Vec::len),
        Some(6)
    );
    let first = lab.read(&format!("{pods}?limit=4"));
    assert_eq!(first["metadata"]["remainingItemCount"], 2);
    let next = first["metadata"]["continue"].as_str().expect("more").to_owned();
    let remainder = lab.read(&format!("{pods}?limit=4&continue={next}"));
    assert_eq!(remainder["items"].as_array().map(Vec::len), Some(2));
    assert!(remainder["metadata"].get("continue").is_none());
    let uid = lab.pods()[0]["metadata"]["uid"].as_str().expect("a UID").to_owned();
    let events = lab
        .read(&format!("/api/v1/namespaces/shop/events?fieldSelector=involvedObject.uid%3D{uid}"));
    let reasons: Vec<&str> = events["items"]
        .as_array()
        .expect("events")
        .iter()
        .filter_map(|event| event["reason"].as_str())
        .collect();
    assert!(reasons.contains(&"Scheduled") && reasons.contains(&"Started"), "{reasons:?}");
}

#[test]
fn what_is_not_there_is_not_found() {
    let mut lab = Lab::new();
    let body = lab.read("/apis/apps/v1/namespaces/shop/deployments/api");
    assert_eq!(body["message"], "deployments.apps \"api\" not found");
    assert_eq!(body["details"], json!({"name": "api", "group": "apps", "kind": "deployments"}));
    assert_eq!(lab.read("/api/v1/namespaces/none")["message"], "namespaces \"none\" not found");
    assert_eq!(
        lab.read("/apis/elbv2.k8s.aws/v1beta1/namespaces/shop/targetgroupbindings")["message"],
        "the server could not find the requested resource"
    );
    assert_eq!(lab.request("POST", WEB, JSON, &json!({})).status, 405);
    assert_eq!(
        lab.read("/api/v1/nodes/node-a")["metadata"]["labels"]["topology.kubernetes.io/zone"],
        "zone-a"
    );
    assert_eq!(lab.read("/api/v1/namespaces/shop")["status"]["phase"], "Active");
    assert_eq!(lab.read("/version")["gitVersion"], "v1.32.0");
    let binding = json!({"apiVersion": "elbv2.k8s.aws/v1beta1", "kind": "TargetGroupBinding",
        "metadata": {"name": "web", "namespace": "shop"}, "spec": {"targetType": "ip"}});
    lab.cluster.seed(binding);
    let list = lab.read("/apis/elbv2.k8s.aws/v1beta1/namespaces/shop/targetgroupbindings");
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_deployment_is_made_scaled_and_deleted_with_what_it_owns() {
    let mut lab = Lab::new();
    let all = "/apis/apps/v1/namespaces/shop/deployments";
    let mut api = crate::support::manifest(2, "api:v1");
    api["metadata"] = json!({"name": "api"});
    assert_eq!(lab.request("POST", &format!("{all}?dryRun=All"), JSON, &api).status, 201);
    assert_eq!(lab.request("POST", all, JSON, &api).status, 201);
    let again = lab.request("POST", all, JSON, &api);
    assert_eq!(again.body["message"], "deployments.apps \"api\" already exists");
    assert_eq!(again.body["reason"], "AlreadyExists");
    let scale = format!("{all}/api/scale");
    assert_eq!(lab.read(&scale)["spec"]["replicas"], 2);
    let answer = lab.request("PATCH", &scale, MERGE, &json!({"spec": {"replicas": 3}}));
    assert_eq!(answer.body["spec"]["replicas"], 3);
    lab.cluster.advance(seconds(10));
    let count = |lab: &Lab| lab.pods_of("api:v1").len();
    assert_eq!(count(&lab), 3);
    assert_eq!(lab.request("DELETE", &format!("{all}/api"), JSON, &Value::Null).status, 200);
    lab.cluster.advance(seconds(10));
    assert_eq!(count(&lab), 0);
    assert_eq!(lab.cluster.list(ObjectKind::ReplicaSet, "shop").len(), 1);
}

#[test]
fn autoscalers_are_listed_and_events_are_written() {
    let mut lab = Lab::new();
    let hpa = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"maxReplicas": 10, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
    lab.cluster.seed(hpa).expect("a kind that is served");
    let list = lab.read("/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers");
    assert_eq!(list["kind"], "HorizontalPodAutoscalerList");
    assert_eq!(list["items"][0]["spec"]["minReplicas"], 1);
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"generateName": "web."},
        "involvedObject": {"kind": "Deployment", "name": "web"}, "type": "Normal", "reason": "Tested", "message": "m"});
    let events = "/api/v1/namespaces/shop/events";
    assert_eq!(lab.request("POST", events, JSON, &event).status, 201);
    let list = lab.read(&format!("{events}?fieldSelector=reason%3DTested"));
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_watch_begins_with_what_is_there_and_may_be_too_old() {
    let mut lab = Lab::new();
    let path = "/apis/apps/v1/namespaces/shop/deployments?watch=1";
    let initial =
        "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";
    let answer = lab.request("GET", &format!("{path}&{initial}"), JSON, &Value::Null);
    let mut watch = answer.watch.expect("a watch");
    let events = lab.cluster.watched(&mut watch);
    assert_eq!((&events[0]["type"], &events[1]["type"]), (&json!("ADDED"), &json!("BOOKMARK")));
    let annotations = &events[1]["object"]["metadata"]["annotations"];
    assert_eq!(annotations["k8s.io/initial-events-end"], "true");
    let gone = Rule::once(Matching::of("watch", "deployments"), ApiFault::Gone);
    lab.cluster.door().rules.push(gone);
    let answer = lab.request("GET", path, JSON, &Value::Null);
    assert_eq!((answer.status, &answer.body["reason"]), (410, &json!("Expired")));
}

#[test]
fn no_document_however_wrong_ends_the_server() {
    let places = [
        "metadata",
        "metadata/labels",
        "metadata/annotations",
        "metadata/ownerReferences",
        "metadata/managedFields",
        "spec",
        "spec/selector",
        "spec/strategy",
        "spec/strategy/rollingUpdate",
        "spec/strategy/rollingUpdate/maxSurge",
        "spec/replicas",
        "spec/paused",
        "spec/template",
        "spec/template/metadata",
        "spec/template/metadata/labels",
        "spec/template/spec",
        "spec/template/spec/containers",
        "spec/template/spec/volumes",
        "spec/template/spec/terminationGracePeriodSeconds",
        "spec/template/spec/readinessGates",
        "spec/progressDeadlineSeconds",
        "spec/revisionHistoryLimit",
        "spec/minReadySeconds",
        "status",
        "status/conditions",
    ];
    let values = [
        json!(null),
        json!(1),
        json!(-1),
        json!("x"),
        json!([]),
        json!([1]),
        json!([{}]),
        json!({}),
        json!({"x": []}),
        json!(true),
    ];
    let fresh = Lab::new();
    for place in places {
        for value in &values {
            let mut patch = value.clone();
            for key in place.split('/').rev() {
                patch = json!({ key: patch });
            }
            let mut lab = fresh.clone();
            for path in [WEB.to_owned(), format!("{WEB}/status"), format!("{WEB}/scale")] {
                lab.request("PATCH", &path, MERGE, &patch);
                lab.request("PATCH", &path, STRATEGIC, &patch);
                lab.request("PUT", &path, JSON, &patch);
                lab.cluster.advance(seconds(3));
            }
        }
    }
}
