//! Label and field selectors.

use serde_json::Value;

use super::json_pointer::{at, list, text};

/// Returns whether an object has what a label selector of a query asks for (`labels.Parse`), or
/// what of the selector cannot be read.
pub fn labels_match(selector: &str, object: &Value) -> Result<bool, String> {
    let labels = at(object, "/metadata/labels");
    for requirement in split(selector) {
        if !meets(&requirement, labels)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Splits at commas outside of parentheses.
fn split(selector: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for letter in selector.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if letter == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(letter);
        }
    }
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn meets(requirement: &str, labels: &Value) -> Result<bool, String> {
    let value = |key: &str| labels.get(key.trim()).and_then(Value::as_str);
    if let Some((key, among)) = requirement.split_once(" notin ") {
        return Ok(value(key).is_none_or(|value| !among_of(among).any(|one| one == value)));
    }
    if let Some((key, among)) = requirement.split_once(" in ") {
        return Ok(value(key).is_some_and(|value| among_of(among).any(|one| one == value)));
    }
    if let Some((key, wanted)) = requirement.split_once("!=") {
        return Ok(value(key) != Some(wanted.trim()));
    }
    if let Some((key, wanted)) = requirement.split_once('=') {
        return Ok(value(key) == Some(wanted.trim_start_matches('=').trim()));
    }
    if let Some(key) = requirement.strip_prefix('!') {
        return Ok(value(key).is_none());
    }
    if requirement.contains([' ', '(', ')']) {
        return Err(format!("unable to parse requirement: {requirement}"));
    }
    Ok(value(requirement).is_some())
}

fn among_of(text: &str) -> impl Iterator<Item = &str> {
    text.trim().trim_start_matches('(').trim_end_matches(')').split(',').map(str::trim)
}

/// Returns whether labels have what a `metav1.LabelSelector` asks for. An empty one selects
/// everything, a missing one nothing.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    let Some(selector) = selector.as_object() else { return false };
    let equal = selector.get("matchLabels").and_then(Value::as_object);
    let equal =
        equal.is_none_or(|all| all.iter().all(|(key, value)| labels.get(key) == Some(value)));
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    equal && expressions.is_none_or(|all| all.iter().all(|one| expression(one, labels)))
}

fn expression(expression: &Value, labels: &Value) -> bool {
    let value = labels.get(text(expression, "/key"));
    let among = || value.is_some_and(|value| list(expression, "/values").contains(value));
    match text(expression, "/operator") {
        "In" => among(),
        "NotIn" => !among(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

/// Returns whether an object has what a field selector asks for. Fields that the object does not
/// have are empty.
pub fn fields_match(selector: &str, object: &Value) -> bool {
    let mut requirements = selector.split(',').filter(|part| !part.trim().is_empty());
    requirements.all(|requirement| {
        let (field, wanted, equal) = match requirement.split_once("!=") {
            Some((field, wanted)) => (field, wanted, false),
            None => match requirement.split_once('=') {
                Some((field, wanted)) => (field, wanted.trim_start_matches('='), true),
                None => return false,
            },
        };
        let pointer = format!("/{}", field.trim().replace('.', "/"));
        (text(object, &pointer) == wanted.trim()) == equal
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_are_selected() {
        let object = json!({"metadata": {"labels": {"app": "web", "tier": "front"}}});
        let cases = [
            ("app=web", true),
            ("app==web,tier=front", true),
            ("app!=web", false),
            ("app in (api, web),tier", true),
            ("app notin (api,web)", false),
            ("!zone", true),
            ("zone", false),
            ("", true),
        ];
        for (selector, expected) in cases {
            assert_eq!(labels_match(selector, &object), Ok(expected), "{selector}");
        }
        assert!(labels_match("app (web)", &object).is_err());
    }

    #[test]
    fn a_label_selector_selects_labels() {
        let labels = json!({"app": "web"});
        assert!(selects(&json!({"matchLabels": {"app": "web"}}), &labels));
        assert!(selects(&json!({}), &labels));
        assert!(!selects(&Value::Null, &labels));
        let not_in =
            json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]});
        assert!(!selects(&not_in, &labels));
    }

    #[test]
    fn fields_are_selected() {
        let event = json!({"involvedObject": {"kind": "Pod", "uid": "u"}, "type": "Warning"});
        assert!(fields_match("involvedObject.uid=u,type!=Normal", &event));
        assert!(!fields_match("involvedObject.name=web", &event));
    }
}
