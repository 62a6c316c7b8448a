//! Manifests of Kubernetes.

use serde_json::{Value, json};

use super::{converted, deployed, warned};

fn manifest(kind: &str, spec: &Value) -> Value {
    let mut value = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": "web", "namespace": "shop" },
        "spec": { "template": { "spec": { "containers": [{ "name": "app", "image": "web:2" }] } } },
    });
    for (name, member) in spec.as_object().expect("members") {
        value["spec"][name] = member.clone();
    }
    value
}

fn workload(kind: &str, spec: &Value) -> (Value, Vec<String>) {
    deployed(&manifest(kind, spec).to_string(), None)
}

fn rolling(surge: Value, unavailable: Value) -> Value {
    json!({ "policy": "rolling", "max_surge": surge, "max_unavailable": unavailable })
}

/// As `helm template` prints a chart.
const CHART: &str = "\
---
# Source: shop/templates/service.yaml
apiVersion: v1
kind: Service
metadata:
  name: shop-web
spec:
  ports: [{port: 80}]
---
# Source: shop/templates/deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop-web
  labels:
    helm.sh/chart: shop-1.2.0
    app.kubernetes.io/managed-by: Helm
spec:
  replicas: 4
  minReadySeconds: 15
  progressDeadlineSeconds: 600
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 25%
      maxUnavailable: 0
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
      annotations:
        checksum/config: \"0123\"
    spec:
      initContainers:
        - name: migrate
          image: images.example.com/shop/migrate:2.1
      containers:
        - name: app
          image: \"images.example.com/shop/web:2.1\"
          ports:
            - {name: http, containerPort: 8080}
";

#[test]
fn a_chart_is_converted_by_its_only_workload() {
    let (config, warnings) = deployed(CHART, None);
    assert_eq!(
        config,
        json!({
            "policy": "rolling", "max_surge": "25%", "max_unavailable": 0,
            "health": { "min_healthy_time": "15s" }, "progress_deadline": "10m",
        })
    );
    assert_eq!(warnings, Vec::<String>::new());
    let conversion = converted(CHART, None).expect("a document");
    let target =
        &conversion.document["resource"]["rolling_deployment"]["shop-web"]["kubernetes_deployment"];
    let images = json!({
        "migrate": "images.example.com/shop/migrate:2.1", "app": "images.example.com/shop/web:2.1",
    });
    assert_eq!(*target, json!({ "name": "shop-web", "images": images }));
    let (_, warnings) = deployed(CHART, Some("auto_scaling_group/web"));
    assert!(warned(&warnings, "images is left out: a target of the kind auto_scaling_group"));
}

#[test]
fn a_strategy_of_a_deployment_becomes_a_policy() {
    let update =
        |bounds: Value| json!({ "strategy": { "type": "RollingUpdate", "rollingUpdate": bounds } });
    for (spec, wanted) in [
        (json!({}), rolling(json!("25%"), json!("25%"))),
        (update(json!({ "maxSurge": 1 })), rolling(json!(1), json!("25%"))),
        (
            update(json!({ "maxSurge": 0, "maxUnavailable": "50%" })),
            rolling(json!(0), json!("50%")),
        ),
        (
            update(json!({ "maxSurge": "200%", "maxUnavailable": 0 })),
            rolling(json!("100%"), json!(0)),
        ),
    ] {
        assert_eq!(workload("Deployment", &spec).0, wanted, "{spec}");
    }
    let (config, warnings) = workload("Deployment", &json!({ "strategy": { "type": "Recreate" } }));
    assert_eq!(config, json!({ "policy": "all_at_once" }));
    assert!(warned(&warnings, "warning at /spec/strategy/type: Recreate has no equal"));
    let spec = json!({ "paused": true, "progressDeadlineSeconds": 2_147_483_647 });
    let (config, warnings) = workload("Deployment", &spec);
    assert_eq!(config["progress_deadline"], Value::Null);
    assert!(warned(&warnings, "the Deployment is paused") && warned(&warnings, "365 days at most"));
    for (bounds, place) in [
        (json!({ "maxSurge": 0, "maxUnavailable": 0 }), "maxUnavailable"),
        (json!({ "maxSurge": "1" }), "maxSurge"),
        (json!({ "maxUnavailable": "101%" }), "maxUnavailable"),
        (json!({ "maxSurge": -1 }), "maxSurge"),
    ] {
        let refused = converted(&manifest("Deployment", &update(bounds)).to_string(), None);
        let refused = refused.expect_err("a bad bound");
        let place = format!("error at /spec/strategy/rollingUpdate/{place}: ");
        assert!(refused.starts_with(&place), "{refused}");
    }
}

#[test]
fn a_strategy_of_a_stateful_set_becomes_a_policy() {
    let update = |more: Value| json!({ "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": more } });
    let one = json!({ "policy": "rolling", "max_unavailable": 1 });
    assert_eq!(workload("StatefulSet", &json!({})).0, one);
    let (config, warnings) = workload("StatefulSet", &update(json!({ "partition": 2 })));
    assert_eq!(config, one);
    assert!(warned(&warnings, "partition 2 is left out"), "{warnings:?}");
    let (config, warnings) =
        workload("StatefulSet", &update(json!({ "maxUnavailable": "20%", "partition": 0 })));
    assert_eq!((config["max_unavailable"].clone(), warnings.len()), (json!("20%"), 0));
    let (_, warnings) =
        workload("StatefulSet", &json!({ "updateStrategy": { "type": "OnDelete" } }));
    assert!(warned(&warnings, "OnDelete has no equivalent"), "{warnings:?}");
    let spec = update(json!({ "maxUnavailable": 2 }));
    let text = manifest("StatefulSet", &spec).to_string();
    let (config, _) = deployed(&text, Some("kubernetes_deployment/shop/web"));
    assert_eq!(config["max_unavailable"], 2);
}

#[test]
fn one_workload_is_taken_of_a_list_and_several_are_listed() {
    let list =
        |items: &[Value]| json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string();
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web" } });
    let (web, mut api) = (manifest("Deployment", &json!({})), manifest("Deployment", &json!({})));
    api["metadata"]["name"] = json!("api");
    let conversion = converted(&list(&[service.clone(), web.clone()]), None).expect("a document");
    let images = "/resource/rolling_deployment/web/kubernetes_deployment/images/app";
    assert_eq!(conversion.document.pointer(images), Some(&json!("web:2")));
    let both = list(&[web, api]);
    let refused = converted(&both, None).expect_err("two");
    let message = "there are several workloads: Deployment shop/web, Deployment shop/api";
    assert!(refused.contains(message), "{refused}");
    for target in ["kubernetes_deployment/shop/api", "kubernetes_deployment/api"] {
        let conversion = converted(&both, Some(target)).expect("a document");
        assert!(conversion.document.pointer("/resource/rolling_deployment/api").is_some());
    }
    let refused = converted(&list(&[service.clone(), service]), None).expect_err("none");
    assert!(refused.contains("no Deployment and no StatefulSet, only Service"), "{refused}");
    let refused =
        converted(&manifest("DaemonSet", &json!({})).to_string(), None).expect_err("none");
    assert!(refused.contains("has neither a pause nor a partition"), "{refused}");
}

#[test]
fn a_bad_image_or_time_points_at_its_place() {
    let mut bad = manifest("Deployment", &json!({}));
    let image = "/spec/template/spec/containers/0/image";
    for value in [json!("{{ .Values.image }}"), json!("a b"), json!(1)] {
        *bad.pointer_mut(image).expect("an image") = value;
        let refused = converted(&bad.to_string(), None).expect_err("no image");
        assert!(refused.starts_with(&format!("error at {image}: ")), "{refused}");
    }
    let none = manifest("Deployment", &json!({ "template": { "spec": {} } }));
    let refused = converted(&none.to_string(), None).expect_err("no image");
    assert!(refused.contains("error at /spec/template/spec: the pod template must be one with"));
    let late = manifest("Deployment", &json!({ "minReadySeconds": "soon" }));
    let refused = converted(&late.to_string(), None).expect_err("no time");
    assert!(refused.starts_with("error at /spec/minReadySeconds: "), "{refused}");
}
