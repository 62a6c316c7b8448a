//! Strategic merge patches (`k8s.io/apimachinery/pkg/util/strategicpatch`).

use serde_json::{Map, Value};

use super::api_error::ApiError;

/// How a list is merged: by which key its elements are told apart, or `SCALARS` for one of plain
/// values. Lists that are not here are replaced.
///
/// The keys are the `patchMergeKey` tags of the structures in `k8s.io/api`. `finalizers` are the
/// only plain values that are merged.
const LISTS: [(&str, &str); 16] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("ephemeralContainers", "name"),
    ("env", "name"),
    ("ports", "containerPort"),
    ("volumes", "name"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("imagePullSecrets", "name"),
    ("hostAliases", "ip"),
    ("topologySpreadConstraints", "topologyKey"),
    ("resourceClaims", "name"),
    ("ownerReferences", "uid"),
    ("conditions", "type"),
    ("finalizers", SCALARS),
    ("taints", "key"),
];
const SCALARS: &str = "";

/// Returns the key that tells the elements of a list apart.
pub fn merge_key(list: &str) -> Option<&'static str> {
    LISTS.iter().find(|(name, _)| *name == list).map(|(_, key)| *key)
}

/// Merges a patch into an object.
pub fn merge(object: &mut Value, patch: &Value) -> Result<(), ApiError> {
    let Some(patch) = patch.as_object() else {
        return Err(ApiError::bad_request("a strategic merge patch must be an object"));
    };
    let merged = merged(object.as_object(), patch)?;
    *object = Value::Object(merged);
    Ok(())
}

fn merged(
    object: Option<&Map<String, Value>>,
    patch: &Map<String, Value>,
) -> Result<Map<String, Value>, ApiError> {
    let mut result = match patch.get("$patch").and_then(Value::as_str) {
        Some("replace") | Some("delete") => Map::new(),
        None | Some("merge") => object.cloned().unwrap_or_default(),
        Some(other) => {
            let message = format!("Unknown patch type found: {other}");
            return Err(ApiError::bad_request(message));
        }
    };
    if patch.get("$patch").and_then(Value::as_str) == Some("delete") {
        return Ok(result);
    }
    retain(&mut result, patch);
    for (key, value) in patch.iter().filter(|(key, _)| !key.starts_with('$')) {
        match value {
            Value::Null => {
                result.remove(key);
            }
            Value::Object(inner) => {
                let before = result.get(key).and_then(Value::as_object);
                let inner = merged(before, inner)?;
                result.insert(key.clone(), Value::Object(inner));
            }
            Value::Array(inner) => {
                let before = result.get(key).and_then(Value::as_array);
                let inner = merged_list(key, before.map_or(&[], Vec::as_slice), inner)?;
                result.insert(key.clone(), Value::Array(inner));
            }
            unlabelled => {
                result.insert(key.clone(), unlabelled.clone());
            }
        }
    }
    delete_from_primitive_lists(&mut result, patch);
    for (key, order) in patch {
        let Some(name) = key.strip_prefix("$setElementOrder/") else { continue };
        if let (Some(list), Some(order)) =
            (result.get_mut(name).and_then(Value::as_array_mut), order.as_array())
        {
            in_order(list, order, merge_key(name).unwrap_or(SCALARS));
        }
    }
    Ok(result)
}

/// `$retainKeys`: of the map only these remain (kubectl sends it for the strategy).
fn retain(result: &mut Map<String, Value>, patch: &Map<String, Value>) {
    if let Some(keys) = patch.get("$retainKeys").and_then(Value::as_array) {
        result.retain(|key, _| keys.iter().any(|stored| stored.as_str() == Some(key)));
    }
}

/// `$deleteFromPrimitiveList/NAME`: these plain values go.
fn delete_from_primitive_lists(result: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, gone) in patch {
        let Some(name) = key.strip_prefix("$deleteFromPrimitiveList/") else { continue };
        if let (Some(list), Some(gone)) =
            (result.get_mut(name).and_then(Value::as_array_mut), gone.as_array())
        {
            list.retain(|value| !gone.contains(value));
        }
    }
}

fn merged_list(name: &str, before: &[Value], patch: &[Value]) -> Result<Vec<Value>, ApiError> {
    let replaced = patch.iter().any(|element| {
        element.get("$patch").and_then(Value::as_str) == Some("replace")
            && element.as_object().is_some_and(|map| map.len() == 1)
    });
    // The key of a Service's ports is `port`; those of containers have `containerPort`.
    let key = merge_key(name);
    let Some(key) = key.filter(|_| !replaced) else {
        let marker = |element: &&Value| element.get("$patch").is_none();
        return Ok(patch.iter().filter(marker).cloned().collect());
    };
    if key == SCALARS {
        let new = patch.iter().filter(|value| !before.contains(value));
        return Ok(before.iter().chain(new).cloned().collect());
    }
    let mut result = before.to_vec();
    for element in patch {
        let Some(value) = element.get(key) else {
            let message = format!("map: {element} does not contain declared merge key: {key}");
            return Err(ApiError::bad_request(message));
        };
        let found = result.iter().position(|other| other.get(key) == Some(value));
        if element.get("$patch").and_then(Value::as_str) == Some("delete") {
            result.retain(|other| other.get(key) != Some(value));
            continue;
        }
        let Some(map) = element.as_object() else { continue };
        match found {
            Some(index) => {
                let merged = merged(result[index].as_object(), map)?;
                result[index] = Value::Object(merged);
            }
            None => result.push(Value::Object(merged(None, map)?)),
        }
    }
    Ok(result)
}

/// Orders a list by `$setElementOrder/NAME`, which kubectl sends: the named elements come in that
/// order; the others keep their place behind them.
fn in_order(list: &mut [Value], order: &[Value], key: &str) {
    let place = |element: &Value| {
        let same =
            |named: &Value| named.get(key).unwrap_or(named) == element.get(key).unwrap_or(element);
        order.iter().position(same).unwrap_or(order.len())
    };
    list.sort_by_key(place);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(object: Value, patch: Value) -> Value {
        let mut object = object;
        merge(&mut object, &patch).expect("a patch");
        object
    }

    fn pod() -> Value {
        json!({"metadata": {"annotations": {"a": "1", "b": "2"}}, "spec": {
            "containers": [
                {"name": "app", "image": "web:1", "args": ["-v", "-q"],
                 "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                 "ports": [{"containerPort": 80, "name": "http"}]},
                {"name": "proxy", "image": "proxy:1"}],
            "initContainers": [{"name": "setup", "image": "setup:1"}],
            "volumes": [{"name": "data", "emptyDir": {}}],
            "tolerations": [{"key": "a"}]}})
    }

    #[test]
    fn containers_are_merged_by_name() {
        let patch = json!({"spec": {"containers": [{"name": "app", "image": "web:2"}],
            "initContainers": [{"name": "setup", "image": "setup:2"}]}});
        let new = patched(pod(), patch);
        let mut expected = pod();
        expected["spec"]["containers"][0]["image"] = "web:2".into();
        expected["spec"]["initContainers"][0]["image"] = "setup:2".into();
        assert_eq!(new, expected);
    }

    #[test]
    fn each_list_has_its_own_key() {
        let patch = json!({"spec": {"containers": [{"name": "app",
            "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}],
            "ports": [{"containerPort": 80, "name": "web"}, {"containerPort": 443}],
            "args": ["-x"]}],
            "volumes": [{"name": "data", "emptyDir": {"medium": "Memory"}}],
            "tolerations": [{"key": "b"}]}});
        let new = patched(pod(), patch);
        let app = &new["spec"]["containers"][0];
        let env = json!([{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"}]);
        assert_eq!(app["env"], env);
        assert_eq!(
            app["ports"],
            json!([{"containerPort": 80, "name": "web"}, {"containerPort": 443}])
        );
        assert_eq!(app["args"], json!(["-x"]));
        assert_eq!(
            new["spec"]["volumes"],
            json!([{"name": "data", "emptyDir": {"medium": "Memory"}}])
        );
        assert_eq!(new["spec"]["tolerations"], json!([{"key": "b"}]));
    }

    #[test]
    fn null_and_directives_delete_and_replace() {
        let patch = json!({"metadata": {"annotations": {"a": null, "c": "3"}},
            "spec": {"containers": [{"name": "proxy", "$patch": "delete"}],
                     "volumes": [{"$patch": "replace"}, {"name": "other"}]}});
        let new = patched(pod(), patch);
        assert_eq!(new["metadata"]["annotations"], json!({"b": "2", "c": "3"}));
        assert_eq!(new["spec"]["containers"].as_array().map(Vec::len), Some(1));
        assert_eq!(new["spec"]["volumes"], json!([{"name": "other"}]));
        let whole =
            patched(pod(), json!({"spec": {"$patch": "replace", "containers": [{"name": "x"}]}}));
        assert_eq!(whole["spec"], json!({"containers": [{"name": "x"}]}));
        let stored =
            json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}});
        let patch = json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}});
        assert_eq!(patched(stored, patch), json!({"strategy": {"type": "Recreate"}}));
    }

    #[test]
    fn plain_values_are_merged_where_the_type_says_so() {
        let object = json!({"metadata": {"finalizers": ["a", "b"]}});
        let new = patched(
            object,
            json!({"metadata": {"finalizers": ["b", "c"],
            "$deleteFromPrimitiveList/finalizers": ["a"]}}),
        );
        assert_eq!(new["metadata"]["finalizers"], json!(["b", "c"]));
    }

    #[test]
    fn kubectl_orders_elements() {
        let patch = json!({"spec": {"$setElementOrder/containers": [{"name": "proxy"}, {"name": "app"}],
            "containers": [{"name": "app", "image": "web:2"}]}});
        let new = patched(pod(), patch);
        assert_eq!(new["spec"]["containers"][0]["name"], "proxy");
        assert_eq!(new["spec"]["containers"][1]["image"], "web:2");
    }

    #[test]
    fn an_element_without_its_key_is_refused() {
        let mut pod = pod();
        let patch = json!({"spec": {"containers": [{"image": "web:2"}]}});
        let refused = merge(&mut pod, &patch).expect_err("no name");
        assert!(refused.message.contains("does not contain declared merge key: name"));
    }
}
