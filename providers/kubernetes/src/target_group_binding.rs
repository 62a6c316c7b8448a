//! Pods that a load balancer of AWS sends requests to without asking Kubernetes.
//!
//! The AWS Load Balancer Controller gives the pods of a target group a readiness gate, but only in a
//! namespace with the label `elbv2.k8s.aws/pod-readiness-gate-inject: enabled`. Without it a pod is
//! ready, and counts, before the target group calls it healthy.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};

use crate::fleet::WorkloadFleet;
use crate::workload_look::WorkloadLook;

/// How the condition types of its readiness gates begin.
const GATE: &str = "target-health.elbv2.k8s.aws/";

impl WorkloadFleet {
    /// Returns the names of the bindings that send requests to pods without a gate. There is none where
    /// they may not be read, or the cluster does not know them.
    pub(crate) async fn unguarded_bindings(&self, look: &WorkloadLook) -> Vec<String> {
        if look.pods.iter().all(has_gate) {
            return Vec::new();
        }
        let kind = GroupVersionKind::gvk("elbv2.k8s.aws", "v1beta1", "TargetGroupBinding");
        let resource = ApiResource::from_gvk(&kind);
        let (client, namespace) = (self.api.client.clone(), &self.api.namespace);
        let bindings: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
        let all = ListParams::default();
        let Ok(bindings) = bindings.list(&all).await else { return Vec::new() };
        if bindings.items.is_empty() {
            return Vec::new();
        }
        let services: Api<Service> = Api::namespaced(self.api.client.clone(), namespace);
        let services = services.list(&all).await.map(|listed| listed.items).unwrap_or_default();
        let template = look.workload.template();
        let labels = template.metadata.and_then(|metadata| metadata.labels).unwrap_or_default();
        to_pods(&bindings.items, &services, &labels)
    }
}

/// Returns the names of the bindings whose Service selects pods with these labels, and that send requests
/// to pods and not to nodes.
fn to_pods(
    bindings: &[DynamicObject],
    services: &[Service],
    labels: &BTreeMap<String, String>,
) -> Vec<String> {
    let selects = |service: &&Service| {
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        selector.is_some_and(|selector| {
            !selector.is_empty() && selector.iter().all(|(key, it)| labels.get(key) == Some(it))
        })
    };
    let chosen: Vec<&str> = services
        .iter()
        .filter(selects)
        .filter_map(|service| service.metadata.name.as_deref())
        .collect();
    let of_pods = bindings.iter().filter(|binding| {
        let spec = &binding.data["spec"];
        let service = spec["serviceRef"]["name"].as_str();
        spec["targetType"] == "ip" && service.is_some_and(|name| chosen.contains(&name))
    });
    of_pods.filter_map(|binding| binding.metadata.name.clone()).collect()
}

fn has_gate(pod: &Pod) -> bool {
    let gates = pod.spec.as_ref().and_then(|spec| spec.readiness_gates.as_ref());
    gates.into_iter().flatten().any(|gate| gate.condition_type.starts_with(GATE))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_bindings_by_ip_whose_service_selects_the_pods_are_named() {
        let read = |value: Value| serde_json::from_value::<DynamicObject>(value).expect("one");
        let binding = |name: &str, service: &str, kind: &str| {
            read(json!({
                "apiVersion": "elbv2.k8s.aws/v1beta1", "kind": "TargetGroupBinding",
                "metadata": { "name": name },
                "spec": { "serviceRef": { "name": service, "port": 80 }, "targetType": kind },
            }))
        };
        let service = |name: &str, selector: Value| {
            let spec = json!({ "selector": selector });
            serde_json::from_value::<Service>(json!({ "metadata": { "name": name }, "spec": spec }))
                .expect("a service")
        };
        let bindings = [
            binding("web", "front", "ip"),
            binding("nodes", "front", "instance"),
            binding("other", "back", "ip"),
            binding("headless", "none", "ip"),
        ];
        let services = [
            service("front", json!({ "app": "web" })),
            service("back", json!({ "app": "web", "tier": "back" })),
            service("none", json!({})),
        ];
        let labels = [("app".to_owned(), "web".to_owned())].into();
        assert_eq!(to_pods(&bindings, &services, &labels), ["web"]);
    }

    #[test]
    fn only_a_gate_of_a_target_group_counts() {
        let pod = |gates: Value| {
            let spec = json!({ "containers": [], "readinessGates": gates });
            serde_json::from_value::<Pod>(json!({ "spec": spec })).expect("a pod")
        };
        assert!(!has_gate(&pod(json!([{ "conditionType": "example.com/checked" }]))));
        let of_group = json!([{ "conditionType": "target-health.elbv2.k8s.aws/k8s-web" }]);
        assert!(has_gate(&pod(of_group)));
    }
}
