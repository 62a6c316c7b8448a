//! Patches by their content type.

use serde_json::Value;

use super::api_error::ApiError;
use super::{json_pointer, strategic};

/// Applies a patch to an object and returns what comes out.
pub fn apply(content_type: &str, object: &Value, patch: &Value) -> Result<Value, ApiError> {
    let mut result = object.clone();
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/strategic-merge-patch+json" => strategic::merge(&mut result, patch)?,
        "application/merge-patch+json" => merge(&mut result, patch),
        "application/json-patch+json" => json_patch(&mut result, patch)?,
        _ => return Err(ApiError::unsupported_media_type()),
    }
    Ok(result)
}

/// Merges a patch (RFC 7386).
pub fn merge(object: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    let map = json_pointer::map(object);
    for (key, value) in patch {
        if value.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Applies a JSON patch (RFC 6902) of `test`, `add`, `replace` and `remove`.
fn json_patch(object: &mut Value, patch: &Value) -> Result<(), ApiError> {
    let Some(operations) = patch.as_array() else {
        return Err(ApiError::bad_request(
            "json: cannot unmarshal object into Go value of type jsonpatch.Patch",
        ));
    };
    for operation in operations {
        let word = |name| operation.get(name).and_then(Value::as_str).unwrap_or_default();
        let path = word("path");
        let value = operation.get("value").cloned().unwrap_or(Value::Null);
        match word("op") {
            "test" => {
                if object.pointer(path).unwrap_or(&Value::Null) != &value {
                    return Err(refused(&format!("testing value {path} failed: test failed")));
                }
            }
            "replace" => match object.pointer_mut(path) {
                Some(place) => *place = value,
                None => return Err(refused(&missing("replace", path))),
            },
            "add" => add(object, path, value)?,
            "remove" => {
                take(object, path).ok_or_else(|| refused(&missing("remove", path)))?;
            }
            other => return Err(ApiError::bad_request(format!("Unexpected kind: {other}"))),
        }
    }
    Ok(())
}

fn missing(operation: &str, path: &str) -> String {
    format!("{operation} operation does not apply: doc is missing path: {path}: missing value")
}

fn refused(message: &str) -> ApiError {
    ApiError::unprocessable(message)
}

fn parent<'a>(object: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((object.pointer_mut(parent)?, last.replace("~1", "/").replace("~0", "~")))
}

fn add(object: &mut Value, path: &str, value: Value) -> Result<(), ApiError> {
    let Some((parent, last)) = parent(object, path) else {
        return Err(refused(&missing("add", path)));
    };
    match parent {
        Value::Object(map) => {
            map.insert(last, value);
        }
        Value::Array(list) => {
            let index = if last == "-" { Some(list.len()) } else { last.parse().ok() };
            let Some(index) = index.filter(|index| *index <= list.len()) else {
                return Err(refused(&missing("add", path)));
            };
            list.insert(index, value);
        }
        _ => return Err(refused(&missing("add", path))),
    }
    Ok(())
}

fn take(object: &mut Value, path: &str) -> Option<Value> {
    let (parent, last) = parent(object, path)?;
    match parent {
        Value::Object(map) => map.remove(&last),
        Value::Array(list) => {
            let index: usize = last.parse().ok()?;
            (index < list.len()).then(|| list.remove(index))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::apply;

    const JSON: &str = "application/json-patch+json";

    #[test]
    fn a_merge_patch_replaces_lists() {
        let object = json!({"a": {"b": 1, "c": [1, 2]}});
        let patch = json!({"a": {"b": null, "c": [3]}});
        let new = apply("application/merge-patch+json; charset=utf-8", &object, &patch);
        assert_eq!(new, Ok(json!({"a": {"c": [3]}})));
    }

    #[test]
    fn a_json_patch_tests_and_writes() {
        let object = json!({"metadata": {"annotations": {"a/b": "1"}}, "list": [1, 2]});
        let patch = json!([
            {"op": "test", "path": "/list/0", "value": 1},
            {"op": "replace", "path": "/metadata/annotations/a~1b", "value": "2"},
            {"op": "add", "path": "/list/-", "value": 3},
            {"op": "remove", "path": "/list/0"},
        ]);
        let new = apply(JSON, &object, &patch);
        assert_eq!(new, Ok(json!({"metadata": {"annotations": {"a/b": "2"}}, "list": [2, 3]})));
        let failed = apply(JSON, &object, &json!([{"op": "test", "path": "/list/0", "value": 9}]));
        assert_eq!(failed.expect_err("a test that fails").code, 422);
        let missing = apply(JSON, &object, &json!([{"op": "remove", "path": "/other"}]));
        assert_eq!(missing.expect_err("no such path").code, 422);
    }

    #[test]
    fn other_types_are_refused() {
        let refused = apply("application/json", &json!({}), &json!({})).expect_err("a type");
        assert_eq!(refused.code, 415);
    }
}
