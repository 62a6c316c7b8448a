//! The door: what goes wrong on the way, and who may do what.

use rolling_kubernetes_testing::{ApiFault, Delivery, Matching, Rule};
use serde_json::{Value, json};

use crate::support::{JSON, Lab, STRATEGIC, WEB, image, seconds};

fn rule(lab: &mut Lab, rule: Rule) {
    lab.cluster.door().rules.push(rule);
}

#[test]
fn refusals_have_no_effect() {
    let cases = [
        (ApiFault::TooManyRequests(3), 429, "TooManyRequests"),
        (ApiFault::InternalError, 500, "InternalError"),
        (ApiFault::Unavailable, 503, "ServiceUnavailable"),
    ];
    for (fault, code, reason) in cases {
        let mut lab = Lab::new();
        let before = lab.get();
        rule(&mut lab, Rule::once(Matching::of("patch", "deployments"), fault));
        let answer = lab.request("PATCH", WEB, STRATEGIC, &image("web:v2"));
        assert_eq!((answer.status, &answer.body["reason"]), (code, &json!(reason)));
        if code == 429 {
            assert_eq!(answer.headers, [("retry-after".to_owned(), "3".to_owned())]);
        }
        assert_eq!(lab.get(), before);
        lab.patch(&image("web:v2"));
    }
}

#[test]
fn a_connection_is_closed_before_or_after_the_effect() {
    for (fault, image_after) in
        [(ApiFault::DroppedBefore, "web:v1"), (ApiFault::DroppedAfter, "web:v2")]
    {
        let mut lab = Lab::new();
        let second = lab.cluster.calls().len() + 2;
        rule(&mut lab, Rule::always(Matching::number(second), fault));
        lab.read(WEB);
        let answer = lab.request("PATCH", WEB, STRATEGIC, &image("web:v2"));
        assert_eq!(answer.delivery, Delivery::Dropped);
        let found = lab.read(WEB)["spec"]["template"]["spec"]["containers"][0]["image"].clone();
        assert_eq!(found, image_after);
        let call = &lab.cluster.calls()[second - 1];
        assert_eq!(
            (call.verb, call.resource.as_str(), call.name.as_str(), call.status),
            ("patch", "deployments", "web", 0)
        );
    }
    let mut lab = Lab::new();
    rule(&mut lab, Rule::once(Matching::default(), ApiFault::Timeout));
    assert_eq!(lab.request("PATCH", WEB, STRATEGIC, &image("web:v2")).status, 504);
    assert_eq!(lab.get()["metadata"]["generation"], 2);
}

#[test]
fn lists_may_be_stale_and_answers_slow() {
    let mut lab = Lab::new();
    let sets = "/apis/apps/v1/namespaces/shop/replicasets";
    lab.patch(&image("web:v2"));
    lab.cluster.advance(seconds(1));
    rule(&mut lab, Rule::once(Matching::of("list", "replicasets"), ApiFault::Stale(seconds(2))));
    let stale = lab.read(sets);
    assert_eq!(stale["items"].as_array().map(Vec::len), Some(1));
    let fresh = lab.read(sets);
    assert_eq!(fresh["items"].as_array().map(Vec::len), Some(2));
    let version = |list: &Value| -> u64 {
        list["metadata"]["resourceVersion"].as_str().expect("text").parse().expect("a number")
    };
    assert!(version(&stale) < version(&fresh));
    rule(&mut lab, Rule::once(Matching::of("get", "deployments"), ApiFault::Stale(seconds(2))));
    assert_eq!(lab.read(WEB)["metadata"]["generation"], 1);
    rule(&mut lab, Rule::always(Matching::default(), ApiFault::Slow(seconds(7))));
    let answer = lab.request("GET", WEB, JSON, &Value::Null);
    assert_eq!((answer.status, answer.delivery), (200, Delivery::After(seconds(7))));
}

#[test]
fn a_webhook_refuses_writes_also_of_a_dry_run() {
    let mut lab = Lab::new();
    let webhook =
        ApiFault::Webhook("policy.example.com".to_owned(), "no images from web".to_owned());
    rule(&mut lab, Rule::always(Matching::default(), webhook));
    let path = format!("{WEB}?dryRun=All");
    let answer = lab.request("PATCH", &path, STRATEGIC, &image("web:v2"));
    assert_eq!(answer.status, 403);
    let sentence =
        "admission webhook \"policy.example.com\" denied the request: no images from web";
    assert_eq!(answer.body["message"], sentence);
    assert_eq!(lab.read(WEB)["kind"], "Deployment");
}

#[test]
fn what_is_forbidden_is_refused_and_reviewed() {
    let mut lab = Lab::new();
    let denied = Matching::of("patch", "deployments");
    lab.cluster.door().denied.push(denied);
    let answer = lab.request("PATCH", WEB, STRATEGIC, &image("web:v2"));
    let sentence = "deployments.apps \"web\" is forbidden: User \"system:serviceaccount:shop:rolling\" cannot \
                    patch resource \"deployments\" in API group \"apps\" in the namespace \"shop\"";
    assert_eq!((answer.status, answer.body["message"].as_str()), (403, Some(sentence)));
    lab.cluster.door().denied.push(Matching::of("list", "pods"));
    let list = lab.read("/api/v1/namespaces/shop/pods");
    let sentence = "pods is forbidden: User \"system:serviceaccount:shop:rolling\" cannot list resource \
                    \"pods\" in API group \"\" in the namespace \"shop\"";
    assert_eq!(list["message"], sentence);
    let mut review = |verb: &str, group: &str, resource: &str| {
        let attributes =
            json!({"namespace": "shop", "verb": verb, "group": group, "resource": resource});
        let body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes}});
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let answer = lab.request("POST", path, JSON, &body);
        assert_eq!(answer.status, 201);
        answer.body["status"]["allowed"].clone()
    };
    assert_eq!(review("patch", "apps", "deployments"), false);
    assert_eq!(review("get", "apps", "deployments"), true);
    assert_eq!(review("create", "coordination.k8s.io", "leases"), true);
}

#[test]
fn a_token_is_asked_for() {
    let mut lab = Lab::new();
    lab.cluster.settings().token = Some("secret".to_owned());
    assert_eq!(lab.read(WEB)["code"], 401);
    let answer = lab.request("GET", WEB, ("Authorization", "Bearer secret"), &Value::Null);
    assert_eq!(answer.status, 200);
}

#[test]
fn the_same_seed_comes_to_the_same_end() {
    let run = |seed| {
        let mut lab = Lab::seeded(seed);
        lab.patch(&image("web:v2"));
        lab.cluster.advance(seconds(30));
        lab.cluster.timeline().moments().to_vec()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
