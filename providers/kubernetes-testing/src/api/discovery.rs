//! Discovery: which groups, versions and resources there are.

use serde_json::{Value, json};

use crate::object_kind::{ObjectKind, ObjectKindInfo};

/// Returns the answer for a path of discovery.
pub fn answer(path: &str, (major, minor): (u32, u32)) -> Option<Value> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["version"] => Some(json!({
            "major": major.to_string(), "minor": minor.to_string(),
            "gitVersion": format!("v{major}.{minor}.0"), "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z", "goVersion": "go1.23", "compiler": "gc",
            "platform": "linux/amd64",
        })),
        ["healthz" | "livez" | "readyz"] => Some(json!("ok")),
        ["api"] => Some(json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}],
        })),
        ["apis"] => Some(json!({
            "kind": "APIGroupList", "apiVersion": "v1",
            "groups": groups().map(|(group, version)| described(group, version)).collect::<Vec<_>>(),
        })),
        ["apis", group] => {
            let (group, version) = groups().find(|(name, _)| name == group)?;
            let mut found = described(group, version);
            found["kind"] = "APIGroup".into();
            found["apiVersion"] = "v1".into();
            Some(found)
        }
        ["api", "v1"] => Some(resources("", "v1")),
        ["apis", group, version] => {
            groups().find(|found| *found == (*group, *version)).map(|_| resources(group, version))
        }
        _ => None,
    }
}

/// The groups but the core one. The load balancer's is not discovered.
fn groups() -> impl Iterator<Item = (&'static str, &'static str)> {
    [
        ("apps", "v1"),
        ("authorization.k8s.io", "v1"),
        ("autoscaling", "v2"),
        ("coordination.k8s.io", "v1"),
    ]
    .into_iter()
}

fn described(group: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

fn resources(group: &str, version: &str) -> Value {
    let mut resources = Vec::new();
    for kind in ObjectKind::ALL {
        let info = kind.info();
        if info.group != group || info.version != version {
            continue;
        }
        resources.push(resource(info));
        for subresource in info.subresources {
            resources.push(self::subresource(info, subresource));
        }
    }
    if group == "authorization.k8s.io" {
        resources.push(json!({
            "name": "selfsubjectaccessreviews", "singularName": "selfsubjectaccessreview",
            "namespaced": false, "kind": "SelfSubjectAccessReview", "verbs": ["create"],
        }));
    }
    let version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources})
}

fn resource(info: &ObjectKindInfo) -> Value {
    let mut resource = json!({
        "name": info.plural, "singularName": info.name.to_lowercase(), "namespaced": info.namespaced,
        "kind": info.name,
        "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
    });
    if !info.short.is_empty() {
        resource["shortNames"] = json!([info.short]);
    }
    // `kubectl get all`.
    if matches!(info.group, "apps" | "autoscaling") || info.plural == "pods" {
        resource["categories"] = json!(["all"]);
    }
    resource
}

fn subresource(info: &ObjectKindInfo, name: &str) -> Value {
    let mut resource = json!({
        "name": format!("{}/{name}", info.plural), "singularName": "",
        "namespaced": info.namespaced, "kind": info.name, "verbs": ["get", "patch", "update"],
    });
    match name {
        "scale" => {
            resource["kind"] = "Scale".into();
            resource["group"] = "autoscaling".into();
            resource["version"] = "v1".into();
        }
        "binding" => {
            resource["kind"] = "Binding".into();
            resource["verbs"] = json!(["create"]);
        }
        _ => {}
    }
    resource
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_discovered() {
        let list = answer("/apis/apps/v1", (1, 32)).expect("a group");
        let names: Vec<&str> = list["resources"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|one| one["name"].as_str())
            .collect();
        assert!(names.contains(&"deployments/scale") && names.contains(&"controllerrevisions"));
        assert_eq!(answer("/version", (1, 30)).expect("a version")["gitVersion"], "v1.30.0");
        assert!(answer("/openapi/v2", (1, 32)).is_none());
        assert!(answer("/apis/batch/v1", (1, 32)).is_none());
    }
}
