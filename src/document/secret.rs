//! Removes the parts of a document that only the cloud may see.

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::schema_check::{is_sensitive, resolve, schema};

/// Returns `value` without what the schema of `T` marks as sensitive.
pub(crate) fn without_secrets<T: JsonSchema>(value: &Value) -> Value {
    let schema = schema::<T>();
    without(&schema, &schema, value)
}

fn without(root: &Value, schema: &Value, value: &Value) -> Value {
    let schema = resolve(root, schema);
    match value {
        Value::Object(object) => {
            let properties = schema["properties"].as_object();
            let keep = |(name, value): (&String, &Value)| {
                let Some(schema) = properties.and_then(|known| known.get(name)) else {
                    return Some((name.clone(), value.clone()));
                };
                (!is_sensitive(root, schema)).then(|| (name.clone(), without(root, schema, value)))
            };
            Value::Object(object.iter().filter_map(keep).collect::<Map<_, _>>())
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| without(root, &schema["items"], item)).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::document::config::ProviderConfig;

    #[test]
    fn what_is_sensitive_is_left_out_wherever_it_stands() {
        let role = json!({ "role_arn": "r" });
        let mut secret = role.clone();
        secret["external_id"] = json!("x");
        let whole = json!({ "aws": {
            "region": "r", "access_key": "a", "secret_key": "b", "token": "c",
            "assume_role": [secret], "assume_role_with_web_identity": { "web_identity_token": "t" },
        } });
        let left = json!({ "aws": {
            "region": "r", "assume_role": [role], "assume_role_with_web_identity": {},
        } });
        assert_eq!(without_secrets::<ProviderConfig>(&whole), left);
    }
}
