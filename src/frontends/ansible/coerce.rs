//! Converts values from Ansible to the types of the schema.
//!
//! Ad-hoc arguments and templates arrive as text, and YAML turns some text into numbers.

use serde_json::{Map, Number, Value};

use super::literal::{self, LiteralError};
use crate::document::{Diagnostic, is_sensitive, resolve, step, types};

/// Converts every part of `value` to the type in the schema `root`, where that loses nothing.
///
/// It leaves the rest to the checker, or adds a finding where Ansible is the cause.
pub(crate) fn coerce(root: &Value, value: &Value, found: &mut Vec<Diagnostic>) -> Value {
    Coercion { root, found }.value(root, value, "")
}

struct Coercion<'a> {
    root: &'a Value,
    found: &'a mut Vec<Diagnostic>,
}

impl Coercion<'_> {
    fn value(&mut self, schema: &Value, value: &Value, pointer: &str) -> Value {
        let schema = resolve(self.root, schema);
        let types = types(schema);
        match value {
            Value::Object(object) => self.object(schema, object, pointer),
            Value::Array(items) => self.list(schema, items, pointer),
            Value::String(text) if types.contains(&"object") => match literal::parse(text) {
                Ok(Value::Object(object)) => self.object(schema, &object, pointer),
                read => self.unreadable("a dictionary", "{\"name\": \"web\"}", text, read, pointer),
            },
            Value::String(text) if types.contains(&"array") => self.list_in(schema, text, pointer),
            Value::String(text) => scalar(&types, text).unwrap_or_else(|| value.clone()),
            Value::Bool(_) | Value::Number(_) if types == ["string"] => {
                self.text(schema, value, pointer)
            }
            _ => value.clone(),
        }
    }

    fn object(&mut self, schema: &Value, object: &Map<String, Value>, pointer: &str) -> Value {
        let coerced = object.iter().map(|(key, value)| {
            let known = schema["properties"].get(key);
            let schema = known.unwrap_or(&schema["additionalProperties"]);
            let place = format!("{pointer}/{}", step(key));
            (key.clone(), self.value(schema, value, &place))
        });
        Value::Object(coerced.collect())
    }

    fn list(&mut self, schema: &Value, items: &[Value], pointer: &str) -> Value {
        let items = items.iter().enumerate();
        let coerced = items
            .map(|(index, item)| self.value(&schema["items"], item, &format!("{pointer}/{index}")));
        Value::Array(coerced.collect())
    }

    /// Reads a list from text: a literal or, for a list of strings, with commas between them.
    fn list_in(&mut self, schema: &Value, text: &str, pointer: &str) -> Value {
        if let read @ Ok(Value::Array(_)) = literal::parse(text) {
            let items = read.ok().and_then(|items| items.as_array().cloned()).unwrap_or_default();
            return self.list(schema, &items, pointer);
        }
        // Other text of a secret is one value, with its commas, and must not appear in an error.
        if is_sensitive(self.root, schema) {
            return Value::Array(vec![Value::from(text)]);
        }
        let is_text = types(resolve(self.root, &schema["items"])) == ["string"];
        if text.trim().is_empty() || text.trim_start().starts_with('[') || !is_text {
            let example = if is_text { "[\"a\", \"b\"]" } else { "[{\"name\": \"web\"}]" };
            return self.unreadable("a list", example, text, literal::parse(text), pointer);
        }
        let message = text.split(',').map(|word| Value::from(word.trim()));
        Value::Array(message.collect())
    }

    /// Restores text that YAML has read as another type. Only a whole number is surely as written.
    fn text(&mut self, schema: &Value, value: &Value, pointer: &str) -> Value {
        let is_whole = value.is_u64() || value.is_i64();
        let is_time = schema["format"] == "rolling-duration" && value.is_number();
        if is_whole || is_time {
            return Value::from(value.to_string());
        }
        let message = match value {
            Value::Bool(_) => format!("must be text, but YAML parsed it as {value}"),
            _ => format!("must be text, but as the number {value} it may have lost digits"),
        };
        self.found.push(Diagnostic::error(pointer, message).with_remedy("put it in quotes"));
        Value::Null
    }

    fn unreadable(
        &mut self,
        what: &str,
        example: &str,
        text: &str,
        read: Result<Value, LiteralError>,
        pointer: &str,
    ) -> Value {
        let why = match read {
            _ if text.trim().is_empty() => "is empty".to_owned(),
            Ok(_) => format!("is the text {text:?}"),
            Err(why) => format!("cannot be read: {why}"),
        };
        let message = format!("must be {what}, and {why}");
        let remedy = format!("write it as YAML below the attribute, or as JSON such as {example}");
        self.found.push(Diagnostic::error(pointer, message).with_remedy(remedy));
        Value::Null
    }
}

/// Reads a number or a boolean from `text`, if the schema asks for one.
fn scalar(types: &[&str], text: &str) -> Option<Value> {
    let text = text.trim();
    let number = || text.parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number);
    types.iter().find_map(|wanted| match *wanted {
        "integer" => match text.parse::<i64>() {
            Ok(whole) => Some(Value::from(whole)),
            // Arithmetic in a template leaves 30.0; the checker refuses 30.5.
            Err(_) if types.len() == 1 => number(),
            Err(_) => None,
        },
        "number" => number(),
        "boolean" => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" | "t" | "1" => Some(Value::Bool(true)),
            "false" | "no" | "off" | "n" | "f" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::frontends::ansible::arguments;

    fn coerced(value: &Value) -> Result<Value, Vec<String>> {
        let mut found = Vec::new();
        let value = coerce(&arguments::schema(), value, &mut found);
        if found.is_empty() {
            Ok(value)
        } else {
            Err(found.iter().map(arguments::message).collect())
        }
    }

    #[test]
    fn text_becomes_what_the_schema_wants() {
        for (given, wanted) in [
            (json!({ "batch_size": "30" }), json!({ "batch_size": 30 })),
            (json!({ "batch_size": " 30 " }), json!({ "batch_size": 30 })),
            (json!({ "batch_size": "30.0" }), json!({ "batch_size": 30.0 })),
            (json!({ "batch_size": "many" }), json!({ "batch_size": "many" })),
            (json!({ "max_surge": "2" }), json!({ "max_surge": 2 })),
            (json!({ "max_surge": "25%" }), json!({ "max_surge": "25%" })),
            (json!({ "max_surge": "0.25" }), json!({ "max_surge": "0.25" })),
            (
                json!({ "suspend_processes": "AZRebalance, ScheduledActions" }),
                json!({ "suspend_processes": ["AZRebalance", "ScheduledActions"] }),
            ),
            (
                json!({ "replacement": { "run_command": { "parameters": { "Key": "[a, b" } } } }),
                json!({ "replacement": { "run_command": { "parameters": { "Key": ["[a, b"] } } } }),
            ),
            (json!({ "suspend_processes": "[]" }), json!({ "suspend_processes": [] })),
            (
                json!({ "checkpoints": "[{'percentage': '50', 'pause': None}]" }),
                json!({ "checkpoints": [{ "percentage": 50, "pause": null }] }),
            ),
            (
                json!({ "simulated_fleet": r#"{"name": "web", "boot_sigma": "0.2", "zones": "2"}"# }),
                json!({ "simulated_fleet": { "name": "web", "boot_sigma": 0.2, "zones": 2 } }),
            ),
            (
                json!({ "provider": "{'simulator': {'speed': '500'}}" }),
                json!({ "provider": { "simulator": { "speed": 500.0 } } }),
            ),
            (json!({ "unknown": "1" }), json!({ "unknown": "1" })),
        ] {
            assert_eq!(coerced(&given), Ok(wanted), "{given}");
        }
    }

    #[test]
    fn whole_numbers_become_the_text_that_was_written() {
        let template = |version: Value| json!({ "auto_scaling_group": { "launch_template": { "version": version } } });
        assert_eq!(coerced(&template(json!(7))), Ok(template(json!("7"))));
        // The checker then says how to write a time span.
        let health = |time: Value| json!({ "health": { "healthy_timeout": time } });
        assert_eq!(coerced(&health(json!(600))), Ok(health(json!("600"))));
        assert_eq!(coerced(&health(json!(1.5))), Ok(health(json!("1.5"))));
    }

    #[test]
    fn what_yaml_has_changed_is_to_be_quoted() {
        let fleet = |revision: Value| json!({ "simulated_fleet": { "revision": revision } });
        let place = "simulated_fleet.revision: must be text";
        for (given, message) in [
            (json!(1.1), "as the number 1.1 it may have lost digits; put it in quotes"),
            (json!(2.0), "as the number 2.0 it may have lost digits; put it in quotes"),
            (json!(true), "YAML parsed it as true; put it in quotes"),
        ] {
            let errors = coerced(&fleet(given)).expect_err(message);
            assert_eq!(errors, [format!("{place}, but {message}")]);
        }
    }

    #[test]
    fn text_that_is_no_list_or_dictionary_is_told_with_a_way_out() {
        for (given, message) in [
            (json!({ "health": "10m" }), "health: must be a dictionary, and cannot be read: "),
            (json!({ "health": "[]" }), "health: must be a dictionary, and is the text \"[]\"; "),
            (json!({ "health": "" }), "health: must be a dictionary, and is empty; "),
            (json!({ "checkpoints": "50" }), "checkpoints: must be a list, and is the text \"50\""),
            (json!({ "suspend_processes": "" }), "suspend_processes: must be a list, and is empty"),
            (json!({ "suspend_processes": "[a" }), "must be a list, and cannot be read: "),
        ] {
            let errors = coerced(&given).expect_err(message).remove(0);
            assert!(errors.contains(message) && errors.contains("or as JSON such as"), "{errors}");
        }
    }

    #[test]
    fn yes_and_no_are_booleans_where_the_schema_has_one() {
        for (text, wanted) in [("Yes", Some(true)), ("off", Some(false)), ("maybe", None)] {
            assert_eq!(scalar(&["boolean"], text), wanted.map(Value::Bool), "{text}");
        }
    }
}
