//! Writes over a version that is not the latest, and what others do meanwhile.

use rolling_kubernetes_testing::{ObjectKind, ThirdPartyWrite};
use serde_json::{Value, json};

use crate::support::{JSON, Lab, STRATEGIC, WEB, image, roll, seconds};

const SENTENCE: &str = "Operation cannot be fulfilled on deployments.apps \"web\": the object has been \
     modified; please apply your changes to the latest version and try again";

#[test]
fn a_patch_over_an_older_version_is_a_conflict() {
    let mut lab = Lab::new();
    let seen = lab.get()["metadata"]["resourceVersion"].clone();
    let mut patch = image("web:v2");
    patch["metadata"] = json!({"resourceVersion": seen});
    lab.patch(&patch);
    // The same again: the answer may have been lost.
    let answer = lab.request("PATCH", WEB, STRATEGIC, &patch);
    assert_eq!((answer.status, &answer.body["reason"]), (409, &json!("Conflict")));
    assert_eq!(answer.body["message"], SENTENCE);
    assert_eq!(
        answer.body["details"],
        json!({"name": "web", "group": "apps", "kind": "deployments"})
    );
}

#[test]
fn a_put_over_an_older_version_is_a_conflict() {
    let mut lab = Lab::new();
    let mut object = lab.get();
    object["spec"]["replicas"] = 4.into();
    assert_eq!(lab.request("PUT", WEB, JSON, &object).status, 200);
    object["spec"]["replicas"] = 5.into();
    assert_eq!(lab.request("PUT", WEB, JSON, &object).body["message"], SENTENCE);
    // Without a version it is not asked for.
    object["metadata"].as_object_mut().expect("a map").remove("resourceVersion");
    assert_eq!(lab.request("PUT", WEB, JSON, &object).status, 200);
    object["metadata"]["uid"] = "other".into();
    let refused = lab.request("PUT", WEB, JSON, &object);
    assert!(refused.body["message"].as_str().expect("text").contains("UID in precondition: other"));
}

#[test]
fn a_test_of_a_json_patch_that_fails_is_refused() {
    let mut lab = Lab::new();
    let kind = ("content-type", "application/json-patch+json");
    let mut patch = json!([
        {"op": "test", "path": "/spec/replicas", "value": 6},
        {"op": "replace", "path": "/spec/replicas", "value": 7},
    ]);
    assert_eq!(lab.request("PATCH", WEB, kind, &patch).body["spec"]["replicas"], 7);
    patch[0]["value"] = 6.into();
    assert_eq!(lab.request("PATCH", WEB, kind, &patch).status, 422);
    let version = json!([{"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}]);
    assert_eq!(lab.request("PATCH", WEB, kind, &version).status, 409);
}

#[test]
fn an_autoscaler_sets_the_replicas_meanwhile() {
    let mut lab = Lab::new();
    let at = lab.cluster.now() + seconds(2);
    lab.cluster.plan(ThirdPartyWrite::scale(at, "shop", "web", 10));
    lab.patch(&roll("web:v2", json!("25%"), json!(0)));
    lab.until(120, |lab| lab.is_complete() && lab.sizes() == (10, 0));
    assert!(lab.witness().least_ready() >= 6);
}

#[test]
fn another_manager_sets_the_image_back() {
    let mut lab = Lab::new();
    let at = lab.cluster.now() + seconds(1);
    lab.cluster.plan(ThirdPartyWrite::image(at, "argocd", "shop", "web", "app", "web:v1"));
    lab.patch(&roll("web:v2", json!(1), json!(0)));
    lab.cluster.advance(seconds(2));
    let object = lab.get();
    let owns = |entry: &&Value| {
        entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"app\"}"]
            .get("f:image")
            .is_some()
    };
    let owner = object["metadata"]["managedFields"].as_array().expect("entries").iter().find(owns);
    assert_eq!(owner.expect("an owner")["manager"], "argocd");
    lab.until(60, Lab::is_complete);
    assert_eq!(lab.pods_of("web:v1").len(), 6);
}

#[test]
fn another_manager_deletes_the_deployment() {
    let mut lab = Lab::new();
    let at = lab.cluster.now() + seconds(1);
    let planned = ThirdPartyWrite::patch(at, "kubectl", "shop", "web", Value::Null);
    lab.cluster.plan(planned);
    lab.cluster.advance(seconds(5));
    assert!(lab.cluster.get(ObjectKind::Deployment, "shop", "web").is_none());
    assert!(lab.pods().is_empty());
}

#[test]
fn server_side_apply_takes_no_field_of_others() {
    let mut lab = Lab::new();
    lab.patch(&image("web:v2"));
    let kind = ("content-type", "application/apply-patch+yaml");
    let mut applied = image("web:v3");
    applied["apiVersion"] = "apps/v1".into();
    applied["kind"] = "Deployment".into();
    let refused = lab.request("PATCH", &format!("{WEB}?fieldManager=argocd"), kind, &applied);
    assert_eq!(refused.status, 409);
    let message = refused.body["message"].as_str().expect("a message");
    assert!(message.contains("conflict with \"rolling\" using apps/v1: .spec.template.spec.containers[name=\"app\"].image"), "{message}");
    let forced =
        lab.request("PATCH", &format!("{WEB}?fieldManager=argocd&force=true"), kind, &applied);
    assert_eq!(forced.status, 200);
}
