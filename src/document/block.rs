//! Blocks in Terraform's JSON syntax. A single block is an object, or a list of one object. A
//! repeatable block is a list, or an object where there is only one. The key `//` in any of them is
//! a comment (<https://developer.hashicorp.com/terraform/language/syntax/json>).

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::diagnostic::Diagnostic;
use super::schema_check::{normalise, resolve, schema};

/// The key of a comment.
pub(super) const COMMENT: &str = "//";

/// Returns the objects at `pointer`, each with its place: one object, or a list of them. Whatever
/// else is there is reported.
pub(super) fn bodies<'v>(
    value: &'v Value,
    pointer: &str,
    found: &mut Vec<Diagnostic>,
) -> Vec<(&'v Map<String, Value>, String)> {
    let mut of = |value: &'v Value, place: String| match value {
        Value::Object(object) => Some((object, place)),
        Value::Null => {
            found.push(Diagnostic::error(place, "must be an object, is null"));
            None
        }
        _ => {
            found.push(Diagnostic::error(place, "must be an object"));
            None
        }
    };
    match value {
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.filter_map(|(index, item)| of(item, format!("{pointer}/{index}"))).collect()
        }
        _ => of(value, pointer.to_owned()).into_iter().collect(),
    }
}

/// Returns the members of a block, without comments.
pub(super) fn members(block: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    block.iter().filter(|(name, _)| *name != COMMENT)
}

/// Returns `value` in the plain form of the schema of `T`: a single block as an object, repeatable
/// blocks as a list, no nulls and no comments. Anything else stays as it is, for the checker to
/// report.
pub(crate) fn without_blocks<T: JsonSchema>(value: &Value) -> Value {
    let schema = schema::<T>();
    of(&schema, &schema, &normalise(value)).unwrap_or_default()
}

/// Returns the plain form of a normalised value; `None` where there is no block.
fn of(root: &Value, schema: &Value, value: &Value) -> Option<Value> {
    let schema = resolve(root, schema);
    if let Some(properties) = schema["properties"].as_object() {
        return match value {
            Value::Array(items) if items.is_empty() => None,
            Value::Array(items) if items.len() == 1 && items[0].is_object() => {
                of(root, schema, &items[0])
            }
            Value::Object(object) => Some(body(root, properties, object)),
            other => Some(other.clone()),
        };
    }
    if resolve(root, &schema["items"])["properties"].is_object() {
        let items = match value {
            Value::Array(items) if items.is_empty() => return None,
            Value::Array(items) => items.as_slice(),
            Value::Object(_) => std::slice::from_ref(value),
            other => return Some(other.clone()),
        };
        // An item that is a list stays a list: inside a list, that is no valid block.
        let item = |item: &Value| match item.is_object() {
            true => of(root, &schema["items"], item),
            false => Some(item.clone()),
        };
        return Some(Value::Array(items.iter().filter_map(item).collect()));
    }
    Some(value.clone())
}

fn body(root: &Value, properties: &Map<String, Value>, object: &Map<String, Value>) -> Value {
    let entry = |(name, value): (&String, &Value)| {
        let value = match properties.get(name) {
            Some(schema) => of(root, schema, value)?,
            None if name == COMMENT => return None,
            None => value.clone(),
        };
        Some((name.clone(), value))
    };
    Value::Object(object.iter().filter_map(entry).collect())
}

/// Returns findings about the plain form of `value` at `pointer`, with the places as written.
pub(crate) fn as_written(
    mut found: Vec<Diagnostic>,
    value: &Value,
    pointer: &str,
) -> Vec<Diagnostic> {
    for finding in &mut found {
        if let Some(within) = finding.pointer.strip_prefix(pointer) {
            finding.pointer = format!("{pointer}{}", place(value, within));
        }
    }
    found
}

/// Returns the place in `value` of what is at `pointer` in its plain form.
fn place(value: &Value, pointer: &str) -> String {
    let mut written = String::new();
    let mut at = Some(value);
    for step in pointer.split('/').skip(1) {
        let is_index = step.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(Value::Array(items)) = at
            && !is_index
        {
            written += "/0";
            at = items.first();
        } else if at.is_some_and(|at| at.get(step).is_none() && at.is_object()) && step == "0" {
            // The one block of a list, written without the list.
            continue;
        }
        written += &format!("/{step}");
        at = at.and_then(|at| at.pointer(&format!("/{step}")));
    }
    written
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::document::Document;

    fn written(health: &Value, checkpoints: &Value) -> Value {
        json!({
            "policy": "rolling", "max_surge": 1, "//": "why",
            "simulated_fleet": [{ "name": "web", "revision": "v2", "//": ["anything", 1] }],
            "health": health, "checkpoints": checkpoints,
        })
    }

    fn parse(deployment: &Value) -> Result<Document, Vec<Diagnostic>> {
        let document = json!({ "resource": { "rolling_deployment": { "web": deployment } } });
        Document::parse(&document.to_string())
    }

    /// The places of findings, below the deployment.
    fn places(parsed: Result<Document, Vec<Diagnostic>>) -> Vec<String> {
        let of = "/resource/rolling_deployment/web";
        let found = parsed.expect_err("findings").into_iter();
        found.map(|finding| finding.pointer.replace(of, "")).collect()
    }

    #[test]
    fn one_block_is_an_object_or_a_list_of_it_and_comments_are_none() {
        let config = |health, checkpoints| {
            let document = parse(&written(&health, &checkpoints)).expect("a document");
            document.resources[0].config.clone()
        };
        let without_blocks =
            config(json!({ "healthy_timeout": "5m" }), json!([{ "percentage": 20 }]));
        for (health, checkpoints) in [
            (json!([{ "healthy_timeout": "5m" }]), json!({ "percentage": 20 })),
            (
                json!([{ "healthy_timeout": "5m", "//": 1 }]),
                json!([{ "percentage": 20, "//": "" }]),
            ),
        ] {
            assert_eq!(config(health, checkpoints), without_blocks);
        }
        let none = config(json!([]), Value::Null);
        assert_eq!((none.health, none.checkpoints), (None, None));
    }

    #[test]
    fn what_is_wrong_is_named_where_it_is_written() {
        let wrong = written(
            &json!([{ "healthy_timeout": "soon", "min_healthy_time": "1s" }]),
            &json!({ "percentage": 200 }),
        );
        assert_eq!(places(parse(&wrong)), ["/checkpoints/percentage", "/health/0/healthy_timeout"]);
        // A rule across attributes, too.
        let wrong = written(&json!([{ "healthy_timeout": "0s" }]), &Value::Null);
        assert_eq!(places(parse(&wrong)), ["/health/0/healthy_timeout"]);
        let two = written(&json!([{}, {}]), &Value::Null);
        assert_eq!(places(parse(&two)), ["/health"]);
        let document = json!({
            "resource": [{ "rolling_deployment": { "web": [wrong] } }],
            "provider": { "rolling": [{ "aws": [{ "regoin": "x" }] }] },
        });
        assert_eq!(
            places(Document::parse(&document.to_string())),
            [
                "/provider/rolling/0/aws/0/regoin",
                "/resource/0/rolling_deployment/web/0/health/0/healthy_timeout"
            ]
        );
    }
}
