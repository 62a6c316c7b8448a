//! StatefulSets: by partition, from the highest ordinal down, one at a time.

use rolling_kubernetes_testing::{Cluster, ObjectKind, Settings, SizeWitness};
use serde_json::{Value, json};

use crate::support::{BEGIN, JSON, STRATEGIC, seconds, times};

const DB: &str = "/apis/apps/v1/namespaces/shop/statefulsets/db";

fn cluster(replicas: i64, partition: i64) -> Cluster {
    let mut cluster = Cluster::new(Settings { times: times(), ..Settings::default() }, BEGIN);
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": "shop"},
        "spec": {
            "replicas": replicas, "serviceName": "db", "minReadySeconds": 2,
            "selector": {"matchLabels": {"app": "db"}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}},
            "template": {"metadata": {"labels": {"app": "db"}},
                "spec": {"containers": [{"name": "app", "image": "db:v1"}]}},
        },
    });
    cluster.seed(set);
    cluster.advance(seconds(60));
    cluster
}

fn patch(cluster: &mut Cluster, patch: &Value) -> Value {
    let body = patch.to_string().into_bytes();
    let answer = cluster.request("PATCH", DB, "fieldManager=rolling", &[STRATEGIC], &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

fn template(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}})
}

fn partition(partition: i64) -> Value {
    json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": partition}}}})
}

/// The images of the pods, by ordinal.
fn images(cluster: &Cluster) -> Vec<String> {
    let pods = cluster.list(ObjectKind::Pod, "shop");
    let image =
        |pod: &Value| pod["spec"]["containers"][0]["image"].as_str().expect("text").to_owned();
    pods.iter().map(image).collect()
}

fn status(cluster: &Cluster) -> Value {
    cluster.get(ObjectKind::StatefulSet, "shop", "db").expect("the set")["status"].clone()
}

#[test]
fn pods_come_one_after_another() {
    let mut cluster = cluster(0, 0);
    patch(&mut cluster, &json!({"spec": {"replicas": 3}}));
    cluster.advance(seconds(2));
    assert_eq!(cluster.list(ObjectKind::Pod, "shop").len(), 1);
    cluster.advance(seconds(30));
    let pods = cluster.list(ObjectKind::Pod, "shop");
    let names: Vec<&str> = pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str()).collect();
    assert_eq!(names, ["db-0", "db-1", "db-2"]);
    assert_eq!(pods[1]["metadata"]["labels"]["apps.kubernetes.io/pod-index"], "1");
    assert_eq!(status(&cluster)["availableReplicas"], 3);
    patch(&mut cluster, &json!({"spec": {"replicas": 1}}));
    cluster.advance(seconds(30));
    assert_eq!(cluster.list(ObjectKind::Pod, "shop").len(), 1);
}

#[test]
fn pods_are_updated_down_to_the_partition() {
    let mut cluster = cluster(4, 4);
    let before = status(&cluster);
    let began = cluster.now();
    patch(&mut cluster, &template("db:v2"));
    cluster.advance(seconds(30));
    assert_eq!(images(&cluster), ["db:v1", "db:v1", "db:v1", "db:v1"]);
    assert_ne!(status(&cluster)["updateRevision"], before["updateRevision"]);
    assert_eq!(status(&cluster)["currentRevision"], before["currentRevision"]);
    patch(&mut cluster, &partition(2));
    cluster.advance(seconds(30));
    assert_eq!(images(&cluster), ["db:v1", "db:v1", "db:v2", "db:v2"]);
    assert_eq!(status(&cluster)["updatedReplicas"], 2);
    patch(&mut cluster, &partition(0));
    cluster.advance(seconds(30));
    assert_eq!(images(&cluster), ["db:v2", "db:v2", "db:v2", "db:v2"]);
    let end = status(&cluster);
    assert_eq!(end["currentRevision"], end["updateRevision"]);
    assert_eq!(end["observedGeneration"], 4);
    let witness = SizeWitness::new(cluster.timeline(), "shop", "db", began);
    // One at a time, each waited for: of those that are ready, and of those that are available.
    assert_eq!((witness.least_ready(), witness.least_available()), (3, 3));
    let updated: Vec<i64> = witness.live("db:v2").iter().map(|(new, _)| *new).collect();
    assert!(updated.windows(2).all(|pair| pair[1] - pair[0] <= 1), "{updated:?}");
}

#[test]
fn below_the_partition_a_pod_comes_back_as_it_was() {
    let mut cluster = cluster(3, 3);
    patch(&mut cluster, &partition(2));
    patch(&mut cluster, &template("db:v2"));
    cluster.advance(seconds(30));
    assert_eq!(images(&cluster), ["db:v1", "db:v1", "db:v2"]);
    cluster.request("DELETE", "/api/v1/namespaces/shop/pods/db-0", "", &[JSON], b"");
    cluster.advance(seconds(30));
    assert_eq!(images(&cluster), ["db:v1", "db:v1", "db:v2"]);
}

#[test]
fn a_broken_pod_stays_after_going_back_until_it_is_deleted() {
    let mut cluster = cluster(3, 0);
    patch(&mut cluster, &template("db:no-image"));
    cluster.advance(seconds(30));
    assert_eq!(images(&cluster), ["db:v1", "db:v1", "db:no-image"]);
    patch(&mut cluster, &template("db:v1"));
    cluster.advance(seconds(60));
    assert_eq!(images(&cluster), ["db:v1", "db:v1", "db:no-image"]);
    cluster.request("DELETE", "/api/v1/namespaces/shop/pods/db-2", "", &[JSON], b"");
    cluster.advance(seconds(30));
    assert_eq!(images(&cluster), ["db:v1", "db:v1", "db:v1"]);
    // The first revision is taken up again, with the next number.
    let path = "/apis/apps/v1/namespaces/shop/controllerrevisions";
    let list = cluster.request("GET", path, "labelSelector=app%3Ddb", &[JSON], b"").body;
    let mut numbers: Vec<i64> = list["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["revision"].as_i64())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3]);
}

#[test]
fn only_some_fields_may_change() {
    let mut cluster = cluster(1, 0);
    let body = json!({"spec": {"serviceName": "other"}}).to_string().into_bytes();
    let answer = cluster.request("PATCH", DB, "", &[STRATEGIC], &body);
    assert_eq!(answer.status, 422);
    let message = answer.body["message"].as_str().expect("a message");
    let begin = "StatefulSet.apps \"db\" is invalid: spec: Forbidden: updates to statefulset spec for fields";
    assert!(message.starts_with(begin), "{message}");
    let body = partition(-1).to_string().into_bytes();
    let answer = cluster.request("PATCH", DB, "", &[STRATEGIC], &body);
    let sentence = "StatefulSet.apps \"db\" is invalid: spec.updateStrategy.rollingUpdate.partition: Invalid \
                    value: -1: must be greater than or equal to 0";
    assert_eq!(answer.body["message"], sentence);
}

#[test]
fn parallel_and_on_delete() {
    let mut cluster = Cluster::new(Settings { times: times(), ..Settings::default() }, BEGIN);
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"replicas": 3, "podManagementPolicy": "Parallel", "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}},
                "spec": {"containers": [{"name": "app", "image": "db:v1"}]}}},
    });
    cluster.seed(set);
    cluster.advance(seconds(1));
    assert_eq!(cluster.list(ObjectKind::Pod, "shop").len(), 3);
    patch(&mut cluster, &template("db:v2"));
    cluster.advance(seconds(30));
    assert_eq!(images(&cluster), ["db:v1", "db:v1", "db:v1"]);
    cluster.request("DELETE", "/api/v1/namespaces/shop/pods/db-1", "", &[JSON], b"");
    cluster.advance(seconds(30));
    assert_eq!(images(&cluster), ["db:v1", "db:v2", "db:v1"]);
}
