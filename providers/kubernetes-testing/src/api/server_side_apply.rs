//! Server-side apply (`k8s.io/apimachinery/pkg/util/managedfields`, structured merge).

use serde_json::{Map, Value};

use crate::api_error::ApiError;
use crate::json_pointer::{list, text};
use crate::managed_fields::{Manager, covers, fields_of};
use crate::strategic;

/// Returns the object with what a manager applies, or the conflicts with other managers.
pub fn merged(
    old: &Value,
    document: &Value,
    manager: &Manager,
    force: bool,
) -> Result<Value, ApiError> {
    let mut patch = document.clone();
    if let Some(metadata) = patch.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    let mut new = old.clone();
    remove_given_up(&mut new, &patch, manager);
    strategic::merge(&mut new, &patch)?;
    let conflicts = if force { Vec::new() } else { conflicts(old, &new, manager) };
    if !conflicts.is_empty() {
        return Err(ApiError::apply_conflict(&conflicts));
    }
    Ok(new)
}

/// Takes away what the manager applied before and now leaves out.
fn remove_given_up(new: &mut Value, patch: &Value, manager: &Manager) {
    let before = entries(new)
        .find(|entry| {
            text(entry, "/manager") == manager.name && text(entry, "/operation") == "Apply"
        })
        .and_then(|entry| entry["fieldsV1"].as_object().cloned());
    if let Some(before) = before {
        drop_fields(new, &before, patch);
    }
}

fn drop_fields(object: &mut Value, fields: &Map<String, Value>, applied: &Value) {
    for (label, inner) in fields {
        let inner = inner.as_object().cloned().unwrap_or_default();
        if let Some(name) = label.strip_prefix("f:") {
            let stored = applied.get(name);
            let Some(map) = object.as_object_mut() else { continue };
            if stored.is_none() && inner.is_empty() {
                map.remove(name);
            } else if let Some(value) = map.get_mut(name) {
                drop_fields(value, &inner, stored.unwrap_or(&Value::Null));
            }
        } else if let Some(key) = label.strip_prefix("k:") {
            let Ok(key) = serde_json::from_str::<Map<String, Value>>(key) else { continue };
            let is =
                |element: &Value| key.iter().all(|(name, value)| element.get(name) == Some(value));
            let stored = applied.as_array().and_then(|all| all.iter().find(|element| is(element)));
            let Some(elements) = object.as_array_mut() else { continue };
            match stored {
                None => elements.retain(|element| !is(element)),
                Some(stored) => {
                    if let Some(element) = elements.iter_mut().find(|element| is(element)) {
                        drop_fields(element, &inner, stored);
                    }
                }
            }
        }
    }
}

fn entries(object: &Value) -> impl Iterator<Item = &Value> {
    list(object, "/metadata/managedFields").iter()
}

/// Returns the fields that would change and that others own, with the sentence for each.
fn conflicts(old: &Value, new: &Value, manager: &Manager) -> Vec<(String, String)> {
    let changed = fields_of(old, new);
    let others = entries(old).filter(|entry| text(entry, "/manager") != manager.name);
    let mut found = Vec::new();
    for entry in others {
        let Some(owned) = entry["fieldsV1"].as_object() else { continue };
        let who = format!(
            "conflict with \"{}\" using {}",
            text(entry, "/manager"),
            text(entry, "/apiVersion")
        );
        found.extend(covers(owned, &changed).into_iter().map(|field| (who.clone(), field)));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::managed_fields::note;

    #[test]
    fn a_field_of_another_manager_conflicts() {
        let mut old = json!({"apiVersion": "apps/v1", "metadata": {"name": "web"},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "app", "image": "web:1"}]}}}});
        note(None, &mut old, &Manager::update("rolling"), Duration::ZERO);
        let who = Manager { operation: "Apply", ..Manager::update("argocd") };
        let containers = json!([{"name": "app", "image": "web:2"}]);
        let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        let refused = merged(&old, &patch, &who, false).expect_err("a conflict");
        assert_eq!(refused.code, 409);
        let sentence = "Apply failed with 1 conflict: conflict with \"rolling\" using apps/v1: \
                        .spec.template.spec.containers[name=\"app\"].image";
        assert_eq!(refused.message, sentence);
        let new = merged(&old, &patch, &who, true).expect("forced");
        assert_eq!(new["spec"]["template"]["spec"]["containers"], containers);
    }

    #[test]
    fn what_is_not_applied_any_more_is_removed() {
        let who = Manager { operation: "Apply", ..Manager::update("argocd") };
        let base =
            json!({"apiVersion": "apps/v1", "metadata": {"name": "web"}, "spec": {"replicas": 2}});
        let mut old = base.clone();
        old["spec"]["minReadySeconds"] = 5.into();
        note(Some(&base), &mut old, &who, Duration::ZERO);
        let new = merged(&old, &json!({"spec": {"paused": true}}), &who, false).expect("applied");
        assert_eq!(new["spec"], json!({"replicas": 2, "paused": true}));
    }
}
