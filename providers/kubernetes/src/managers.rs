//! Who else sets what a rollout sets, by the managed fields of the Deployment.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;

use crate::lease_record::MANAGER;

/// Commands of people, which set something once and do not set it back.
const ONCE: [&str; 6] = [
    "kubectl-create",
    "kubectl-set",
    "kubectl-edit",
    "kubectl-patch",
    "kubectl-rollout",
    "kubectl-run",
];
/// The controllers of Kubernetes itself, which set no template and no strategy.
const CONTROLLERS: [&str; 3] =
    ["kube-controller-manager", "deployment-controller", "statefulset-controller"];

/// Returns who sets the template or the strategy, but this program.
pub(crate) fn of_rollout(fields: &[ManagedFieldsEntry]) -> Vec<String> {
    who(fields, |owned| {
        let spec = &owned["f:spec"];
        spec["f:template"]["f:spec"]["f:containers"].is_object()
            || spec["f:strategy"].is_object()
            || spec["f:updateStrategy"].is_object()
    })
}

/// Returns who sets an image of the template again and again, but this program.
pub(crate) fn of_images(fields: &[ManagedFieldsEntry]) -> Vec<String> {
    let mut names = who(fields, |owned| {
        let containers = &owned["f:spec"]["f:template"]["f:spec"]["f:containers"];
        let mut each = containers.as_object().into_iter().flat_map(|it| it.values());
        each.any(|container| !container["f:image"].is_null())
    });
    names.retain(|name| !ONCE.contains(&name.as_str()));
    names
}

fn who(fields: &[ManagedFieldsEntry], owns: impl Fn(&Value) -> bool) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for entry in fields {
        let Some(name) = entry.manager.as_deref() else { continue };
        let owned = entry.fields_v1.as_ref().is_some_and(|owned| owns(&owned.0));
        if owned
            && name != MANAGER
            && !CONTROLLERS.contains(&name)
            && !names.iter().any(|n| n == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whoever_sets_an_image_is_named_and_nobody_else() {
        let entry = |manager: &str, owned: Value| {
            serde_json::from_value(json!({ "manager": manager, "fieldsV1": owned })).expect("one")
        };
        let image = json!({ "f:spec": { "f:template": { "f:spec": { "f:containers": {
            "k:{\"name\":\"app\"}": { ".": {}, "f:image": {} },
        } } } } });
        let size = json!({ "f:spec": { "f:replicas": {} } });
        let fields: Vec<ManagedFieldsEntry> = vec![
            entry("argocd-controller", image.clone()),
            entry("rolling", image.clone()),
            entry("kubectl-create", image),
            entry("horizontal-pod-autoscaler", size),
        ];
        assert_eq!(of_images(&fields), ["argocd-controller"]);
        assert_eq!(of_rollout(&fields), ["argocd-controller", "kubectl-create"]);
    }
}
