//! `metadata.managedFields`: which manager set which field.
//!
//! A write by update or patch makes its manager the owner of each field that it changed, and takes
//! those fields from the others (`managedfields.FieldManager.Update`). Elements of lists with a
//! merge key are told apart by that key; other lists are one field.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::json_pointer::{list, set, text};
use super::{instant, strategic};

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// The name: `kubectl-client-side-apply`, `rolling`.
    pub name: String,
    /// `Update`, or `Apply` for server-side apply.
    pub operation: &'static str,
    /// The subresource that is written, or the empty text.
    pub subresource: &'static str,
}

impl Manager {
    /// A manager that updates an object.
    pub fn update(name: impl Into<String>) -> Self {
        Self { name: name.into(), operation: "Update", subresource: "" }
    }

    /// A manager that updates the status of an object.
    pub fn status(name: impl Into<String>) -> Self {
        Self { name: name.into(), operation: "Update", subresource: "status" }
    }
}

/// Members of the metadata that nobody owns.
const UNOWNED: [&str; 10] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Notes in `new` that a manager changed what differs from `old`.
pub fn note(old: Option<&Value>, new: &mut Value, manager: &Manager, at: Duration) {
    let empty = json!({});
    let changed = changed_fields(old.unwrap_or(&empty), new);
    if changed.is_empty() {
        return;
    }
    let mut entries: Vec<Value> = list(new, "/metadata/managedFields").to_vec();
    for entry in &mut entries {
        if let Some(fields) = entry.get_mut("fieldsV1").and_then(Value::as_object_mut) {
            subtract(fields, &changed);
        }
    }
    let own = |entry: &Value| {
        text(entry, "/manager") == manager.name
            && text(entry, "/operation") == manager.operation
            && text(entry, "/subresource") == manager.subresource
    };
    match entries.iter_mut().find(|entry| own(entry)) {
        Some(entry) => {
            let mut fields = entry["fieldsV1"].as_object().cloned().unwrap_or_default();
            unite(&mut fields, &changed);
            entry["fieldsV1"] = Value::Object(fields);
            entry["time"] = instant::seconds(at).into();
        }
        None => entries.push(entry(new, manager, changed, at)),
    }
    entries.retain(|entry| entry["fieldsV1"].as_object().is_some_and(|fields| !fields.is_empty()));
    set(new, "/metadata/managedFields", entries);
}

/// Returns the fields that differ between two objects, as `FieldsV1`.
pub fn fields_of(old: &Value, new: &Value) -> Map<String, Value> {
    changed_fields(old, new)
}

/// Returns the paths of those fields of `changed` that are in `owned`, as messages write them:
/// `.spec.template.spec.containers[name="app"].image`.
pub fn covers(owned: &Map<String, Value>, changed: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    for (label, inner) in changed {
        let Some(here) = owned.get(label).and_then(Value::as_object) else { continue };
        let step = match (label.strip_prefix("f:"), label.strip_prefix("k:")) {
            (Some(name), _) => format!(".{name}"),
            (None, Some(key)) => {
                let key = key.trim_matches(['{', '}']).replacen('"', "", 2).replacen(':', "=", 1);
                format!("[{key}]")
            }
            _ => label.clone(),
        };
        let inner = inner.as_object().cloned().unwrap_or_default();
        if here.is_empty() || inner.is_empty() {
            found.push(step);
        } else {
            found.extend(
                covers(here, &inner).into_iter().map(|remainder| format!("{step}{remainder}")),
            );
        }
    }
    found
}

fn entry(new: &Value, manager: &Manager, fields: Map<String, Value>, at: Duration) -> Value {
    let mut entry = json!({
        "manager": manager.name, "operation": manager.operation,
        "apiVersion": new["apiVersion"], "time": instant::seconds(at),
        "fieldsType": "FieldsV1", "fieldsV1": fields,
    });
    if !manager.subresource.is_empty() {
        entry["subresource"] = manager.subresource.into();
    }
    entry
}

fn changed_fields(old: &Value, new: &Value) -> Map<String, Value> {
    let mut changed = Map::new();
    let empty = Map::new();
    let (old, new) = (old.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
    for key in new.keys().chain(old.keys()) {
        if key == "apiVersion" || key == "kind" {
            continue;
        }
        let (mut before, mut after) = (old.get(key).cloned(), new.get(key).cloned());
        if key == "metadata" {
            for value in [&mut before, &mut after].into_iter().flatten() {
                if let Some(map) = value.as_object_mut() {
                    map.retain(|key, _| !UNOWNED.contains(&key.as_str()));
                }
            }
        }
        differ(key, before.as_ref(), after.as_ref(), &format!("f:{key}"), &mut changed);
    }
    changed
}

fn differ(
    name: &str,
    old: Option<&Value>,
    new: Option<&Value>,
    label: &str,
    into: &mut Map<String, Value>,
) {
    // What is gone has no owner.
    let Some(new) = new else { return };
    if old == Some(new) {
        return;
    }
    let mut inner = Map::new();
    match new {
        Value::Object(map) => {
            for (key, value) in map {
                let before = old.and_then(|old| old.get(key));
                differ(key, before, Some(value), &format!("f:{key}"), &mut inner);
            }
            if old.is_none() && inner.is_empty() {
                into.insert(label.to_owned(), json!({}));
                return;
            }
        }
        Value::Array(elements) if strategic::merge_key(name).is_some_and(|key| !key.is_empty()) => {
            let key = strategic::merge_key(name).unwrap_or_default();
            let none = Vec::new();
            let before = old.and_then(Value::as_array).unwrap_or(&none);
            for element in elements {
                let same = before.iter().find(|other| other.get(key) == element.get(key));
                let label = format!("k:{}", json!({key: element.get(key)}));
                differ("", same, Some(element), &label, &mut inner);
            }
        }
        _ => {
            into.insert(label.to_owned(), json!({}));
            return;
        }
    }
    if !inner.is_empty() {
        into.insert(label.to_owned(), Value::Object(inner));
    }
}

fn unite(into: &mut Map<String, Value>, other: &Map<String, Value>) {
    for (key, value) in other {
        let here = into.entry(key.clone()).or_insert_with(|| json!({}));
        if let (Some(here), Some(value)) = (here.as_object_mut(), value.as_object()) {
            unite(here, value);
        }
    }
}

fn subtract(from: &mut Map<String, Value>, other: &Map<String, Value>) {
    for (key, value) in other {
        let Some(here) = from.get_mut(key).and_then(Value::as_object_mut) else { continue };
        let value = value.as_object().cloned().unwrap_or_default();
        if !value.is_empty() {
            subtract(here, &value);
        }
        if here.is_empty() || value.is_empty() {
            from.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sets_a_field_owns_it() {
        let at = Duration::from_secs(60);
        let mut first = json!({"apiVersion": "apps/v1", "metadata": {"name": "web"}, "spec": {"replicas": 2,
            "template": {"spec": {"containers": [{"name": "app", "image": "web:1"}]}}}});
        note(None, &mut first, &Manager::update("helm"), at);
        let mut second = first.clone();
        second["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2".into();
        note(Some(&first), &mut second, &Manager::update("rolling"), at);
        let managed = list(&second, "/metadata/managedFields");
        let image = "/fieldsV1/f:spec/f:template/f:spec/f:containers/k:{\"name\":\"app\"}/f:image";
        let owners: Vec<&str> = managed
            .iter()
            .filter(|entry| entry.pointer(image).is_some())
            .map(|entry| text(entry, "/manager"))
            .collect();
        assert_eq!(owners, ["rolling"]);
        assert!(managed[0].pointer("/fieldsV1/f:spec/f:replicas").is_some());
        assert_eq!(text(&managed[1], "/time"), "1970-01-01T00:01:00Z");
    }

    #[test]
    fn nothing_changed_is_nothing_owned() {
        let mut object =
            json!({"apiVersion": "apps/v1", "metadata": {"name": "web"}, "spec": {"replicas": 2}});
        let same = object.clone();
        note(Some(&same), &mut object, &Manager::update("rolling"), Duration::ZERO);
        assert!(list(&object, "/metadata/managedFields").is_empty());
    }
}
