//! Leases: one holder, guarded by versions, gone with their owner.

use serde_json::{Value, json};

use crate::support::{JSON, Lab, MERGE, WEB, seconds};

const ALL: &str = "/apis/coordination.k8s.io/v1/namespaces/shop/leases";
const ONE: &str = "/apis/coordination.k8s.io/v1/namespaces/shop/leases/rolling-web";

fn lease(lab: &Lab) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": "rolling-web", "annotations": {"rolling/rollout": "web-3f9a12c4"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web",
                "uid": lab.get()["metadata"]["uid"]}],
        },
        "spec": {"holderIdentity": "host-1", "leaseDurationSeconds": 30,
            "renewTime": "2026-11-26T10:00:00.250000Z"},
    })
}

#[test]
fn of_two_who_make_it_one_gets_it() {
    let mut lab = Lab::new();
    let lease = lease(&lab);
    let made = lab.request("POST", ALL, JSON, &lease);
    assert_eq!(made.status, 201);
    assert_eq!(made.body["spec"]["renewTime"], "2026-11-26T10:00:00.250000Z");
    let again = lab.request("POST", ALL, JSON, &lease);
    assert_eq!((again.status, &again.body["reason"]), (409, &json!("AlreadyExists")));
    assert_eq!(again.body["message"], "leases.coordination.k8s.io \"rolling-web\" already exists");
    assert_eq!(lab.read(ALL)["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_patch_over_an_older_version_is_a_conflict() {
    let mut lab = Lab::new();
    let lease = lease(&lab);
    let version =
        lab.request("POST", ALL, JSON, &lease).body["metadata"]["resourceVersion"].clone();
    let patch = json!({"metadata": {"resourceVersion": version, "annotations": {"rolling/progress": "2/6"}}});
    let patched = lab.request("PATCH", ONE, MERGE, &patch);
    assert_eq!(patched.body["metadata"]["annotations"]["rolling/rollout"], "web-3f9a12c4");
    let refused = lab.request("PATCH", ONE, MERGE, &patch);
    assert_eq!((refused.status, &refused.body["reason"]), (409, &json!("Conflict")));
    let sentence = "Operation cannot be fulfilled on leases.coordination.k8s.io \"rolling-web\": the \
                    object has been modified; please apply your changes to the latest version and try again";
    assert_eq!(refused.body["message"], sentence);
}

#[test]
fn a_put_needs_a_version() {
    let mut lab = Lab::new();
    let mut lease = lease(&lab);
    // A PUT of a lease that is not there makes it.
    assert_eq!(lab.request("PUT", ONE, JSON, &lease).status, 201);
    let refused = lab.request("PUT", ONE, JSON, &lease);
    assert_eq!(refused.status, 422);
    assert!(
        refused.body["message"]
            .as_str()
            .expect("text")
            .ends_with("must be specified for an update")
    );
    lease["metadata"]["resourceVersion"] = lab.read(ONE)["metadata"]["resourceVersion"].clone();
    lease["spec"]["holderIdentity"] = "host-2".into();
    assert_eq!(lab.request("PUT", ONE, JSON, &lease).status, 200);
    assert_eq!(lab.request("PUT", ONE, JSON, &lease).status, 409);
}

#[test]
fn it_is_deleted_under_preconditions() {
    let mut lab = Lab::new();
    let lease = lease(&lab);
    let made = lab.request("POST", ALL, JSON, &lease).body;
    let (uid, version) = (
        &made["metadata"]["uid"],
        made["metadata"]["resourceVersion"].as_str().expect("a version"),
    );
    let options = |field: &str, value: Value| {
        let preconditions = json!({field: value});
        json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions})
    };
    let refused = lab.request("DELETE", ONE, JSON, &options("resourceVersion", json!("1")));
    let sentence = format!(
        "Operation cannot be fulfilled on Lease.coordination.k8s.io \"rolling-web\": the \
        ResourceVersion in the precondition (1) does not match the ResourceVersion in record ({version}). The \
        object might have been modified"
    );
    assert_eq!((refused.status, refused.body["message"].as_str()), (409, Some(sentence.as_str())));
    let refused = lab.request("DELETE", ONE, JSON, &options("uid", json!("other")));
    assert_eq!(refused.status, 409);
    let deleted = lab.request("DELETE", ONE, JSON, &options("uid", uid.clone()));
    assert_eq!((deleted.status, &deleted.body["status"]), (200, &json!("Success")));
    assert_eq!(lab.request("DELETE", ONE, JSON, &Value::Null).status, 404);
}

#[test]
fn what_is_not_valid_is_refused() {
    let mut lab = Lab::new();
    let mut lease = lease(&lab);
    lease["spec"]["leaseDurationSeconds"] = 0.into();
    let refused = lab.request("POST", ALL, JSON, &lease);
    assert_eq!(refused.status, 422);
    let sentence = "Lease.coordination.k8s.io \"rolling-web\" is invalid: spec.leaseDurationSeconds: \
                    Invalid value: 0: must be greater than 0";
    assert_eq!(refused.body["message"], sentence);
    lease["spec"]["leaseDurationSeconds"] = 30.into();
    lease["metadata"]["annotations"] = json!({"rolling:rollout": "x"});
    assert_eq!(lab.request("POST", ALL, JSON, &lease).status, 422);
}

#[test]
fn it_goes_with_the_deployment() {
    let mut lab = Lab::new();
    let lease = lease(&lab);
    lab.request("POST", ALL, JSON, &lease);
    lab.settle();
    assert_eq!(lab.read(ONE)["kind"], "Lease");
    lab.request("DELETE", WEB, JSON, &Value::Null);
    lab.cluster.advance(seconds(2));
    assert_eq!(lab.read(ONE)["code"], 404);
}
