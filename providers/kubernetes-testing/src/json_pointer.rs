//! Reading and writing JSON values by pointer.
//!
//! Objects are kept as JSON, as the API server keeps them: a field that this crate does not know
//! survives a write.

use serde_json::{Map, Value};

static NULL: Value = Value::Null;

/// Returns the value at a JSON pointer without escapes, or null.
pub fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    // `Value::pointer` makes new texts for each step, and this is called most.
    let step = |here: &'a Value, key: &str| match here {
        Value::Array(list) => list.get(key.parse::<usize>().ok()?),
        other => other.get(key),
    };
    pointer.split('/').skip(1).try_fold(value, step).unwrap_or(&NULL)
}

/// Returns the text at a pointer, or the empty text.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    at(value, pointer).as_str().unwrap_or_default()
}

/// Returns the integer at a pointer, or `default`.
pub fn int(value: &Value, pointer: &str, default: i64) -> i64 {
    at(value, pointer).as_i64().unwrap_or(default)
}

/// Returns whether the value at a pointer is `true`.
pub fn flag(value: &Value, pointer: &str) -> bool {
    at(value, pointer).as_bool().unwrap_or(false)
}

/// Returns the elements of the list at a pointer; none where there is no list.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    at(value, pointer).as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Returns the text of a member of the map at a pointer. Its key may contain slashes.
pub fn member<'a>(value: &'a Value, pointer: &str, key: &str) -> Option<&'a str> {
    at(value, pointer).get(key).and_then(Value::as_str)
}

/// Returns the map at a value, which becomes an empty one when it is something else.
pub fn map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        // Not reached: it has just been made a map.
        _ => unreachable!("a map"),
    }
}

/// Returns the place at a pointer, with the maps above it made where they are missing.
pub fn place<'a>(value: &'a mut Value, pointer: &str) -> &'a mut Value {
    let mut here = value;
    for key in pointer.split('/').skip(1) {
        here = map(here).entry(key).or_insert(Value::Null);
    }
    here
}

/// Sets the value at a pointer.
pub fn set(value: &mut Value, pointer: &str, new: impl Into<Value>) {
    *place(value, pointer) = new.into();
}

/// Sets a member of the map at a pointer. Its key may contain slashes.
pub fn set_member(value: &mut Value, pointer: &str, key: &str, new: impl Into<Value>) {
    map(place(value, pointer)).insert(key.to_owned(), new.into());
}

/// Takes the member of a map away, where the map is there.
pub fn remove(value: &mut Value, pointer: &str, key: &str) -> Option<Value> {
    value.pointer_mut(pointer)?.as_object_mut()?.remove(key)
}

/// Adds an element to the list at a pointer.
pub fn push(value: &mut Value, pointer: &str, element: Value) {
    let here = place(value, pointer);
    match here {
        Value::Array(list) => list.push(element),
        other => *other = Value::Array(vec![element]),
    }
}

/// Replaces the value at a pointer with that of another object, or takes it away where the other
/// has none.
pub fn copy(into: &mut Value, from: &Value, key: &str) {
    match from.get(key) {
        Some(value) => {
            map(into).insert(key.to_owned(), value.clone());
        }
        None => {
            map(into).remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn maps_are_made_on_the_way() {
        let mut value = json!({"spec": {"replicas": 1}});
        set(&mut value, "/spec/template/spec/image", "web:1");
        set_member(&mut value, "/metadata/annotations", "example.com/a", "b");
        push(&mut value, "/status/conditions", json!({"type": "Ready"}));
        assert_eq!(text(&value, "/spec/template/spec/image"), "web:1");
        assert_eq!(member(&value, "/metadata/annotations", "example.com/a"), Some("b"));
        assert_eq!(list(&value, "/status/conditions").len(), 1);
        assert_eq!(int(&value, "/spec/replicas", 0), 1);
    }
}
