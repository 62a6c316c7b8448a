//! Checks a JSON value against the generated schema, and reports errors in terms for people.
//!
//! It knows only the part of JSON Schema that our own types generate. A test walks all our schemas
//! to check that they use nothing else.

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::config::{DurationText, NOT_ROLLED, TimeText};
use super::diagnostic::{Diagnostic, step};
use super::similarity::similarity;

/// The keyword for values that are never shown.
pub(crate) const SENSITIVE: &str = "x-sensitive";

/// The JSON Schema of a type of [`super::config`].
pub fn schema<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}

/// Returns `value` as the checker and serde want it. Null attributes are left out. Whole numbers
/// written as 3.0, as tools with one kind of number write them, become integers.
pub(crate) fn normalise(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let set = object.iter().filter(|(_, value)| !value.is_null());
            Value::Object(set.map(|(key, value)| (key.clone(), normalise(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(normalise).collect()),
        Value::Number(number) if number.is_f64() => {
            let whole = number.as_f64().filter(|n| n.fract() == 0.0 && (0.0..1e15).contains(n));
            // In that range the conversion is exact.
            whole.map_or_else(|| value.clone(), |n| Value::from(n as u64))
        }
        other => other.clone(),
    }
}

/// Checks a normalised `value` against the schema of `T`. `pointer` is the place of the value.
/// Reports all findings, in the order of the document.
pub(crate) fn check<T: JsonSchema>(value: &Value, pointer: &str) -> Vec<Diagnostic> {
    check_against(&schema::<T>(), value, pointer)
}

/// Checks a normalised `value` against a schema that is composed of ours.
pub(crate) fn check_against(root: &Value, value: &Value, pointer: &str) -> Vec<Diagnostic> {
    let mut checker = Checker { root, literals: true, found: Vec::new() };
    checker.value(root, value, pointer);
    checker.found
}

/// Checks a normalised `value` that a program wrote. Text in it is never an expression, whatever it
/// looks like.
pub(crate) fn fits<T: JsonSchema>(value: &Value) -> Vec<Diagnostic> {
    let root = schema::<T>();
    let mut checker = Checker { root: &root, literals: false, found: Vec::new() };
    checker.value(&root, value, "");
    checker.found
}

struct Checker<'a> {
    root: &'a Value,
    literals: bool,
    found: Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    fn value(&mut self, schema: &'a Value, value: &Value, pointer: &str) {
        let schema = resolve(self.root, schema);
        if let Some(text) = value.as_str().filter(|_| self.literals)
            && (text.contains("${") || text.contains("%{"))
        {
            let shown =
                if is_sensitive(self.root, schema) { "this".into() } else { format!("{text:?}") };
            let message = format!("{shown} is an expression, and a document holds literals only");
            let remedy = "write the value itself, or let Terraform run this resource";
            self.error(pointer, message, Some(remedy.into()));
            return;
        }
        let types = types(schema);
        let actual = type_name(value);
        if !types.is_empty() && !types.iter().any(|wanted| matches(wanted, value)) {
            let wanted: Vec<&str> = types.iter().map(|name| article(name)).collect();
            let shown = if is_sensitive(self.root, schema) {
                String::new()
            } else {
                format!(" {}", brief(value))
            };
            let message = format!("must be {}, is {actual}{shown}", wanted.join(" or "));
            let one_of_many = types == ["array"] && (value.is_string() || value.is_number());
            self.error(
                pointer,
                message,
                one_of_many.then(|| "put it in brackets, as a list".into()),
            );
            return;
        }
        match value {
            Value::Object(object) => self.object(schema, object, pointer),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(&schema["items"], item, &format!("{pointer}/{index}"));
                }
            }
            Value::String(text) => self.text(schema, text, pointer),
            Value::Number(number) => self.number(schema, number, pointer),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn object(&mut self, schema: &'a Value, object: &Map<String, Value>, pointer: &str) {
        let properties = schema["properties"].as_object();
        for (key, value) in object {
            let place = format!("{pointer}/{}", step(key));
            if let Some(schema) = properties.and_then(|known| known.get(key)) {
                self.value(schema, value, &place);
            } else if schema["additionalProperties"].is_object() {
                self.value(&schema["additionalProperties"], value, &place);
            } else {
                let known = properties.into_iter().flat_map(|known| known.keys());
                let why = NOT_ROLLED.iter().find(|(target, _)| target == key);
                let remedy = match why {
                    Some((_, why)) => (*why).to_owned(),
                    None => nearest(key, known.map(String::as_str)),
                };
                self.error(&place, format!("there is no attribute {key:?} here"), Some(remedy));
            }
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(name) {
                self.error(pointer, missing(name), None);
            }
        }
    }

    fn text(&mut self, schema: &Value, text: &str, pointer: &str) {
        if let Some(choices) = schema["enum"].as_array() {
            let choices = || choices.iter().filter_map(Value::as_str);
            if !choices().any(|choice| choice == text) {
                let remedy = nearest(text, choices());
                self.error(pointer, format!("{text:?} is not one of the choices"), Some(remedy));
            }
        }
        if schema["format"] == "rolling-duration" && DurationText::parse(text).is_none() {
            let remedy = Some(
                "write for instance 30s, 10m or 1h30m (ms, s, m, h, d), 365d at most".to_owned(),
            );
            let message = match DurationText::is_too_long(text) {
                true => format!("{text:?} is longer than 365d"),
                false => format!("{text:?} is not a time span"),
            };
            self.error(pointer, message, remedy);
        }
        if schema["format"] == "date-time" && TimeText::parse(text).is_none() {
            let remedy = Some("write for instance 2026-07-01T12:00:00Z".to_owned());
            self.error(
                pointer,
                format!("{text:?} is not a moment from 1970 on, as RFC 3339 writes it"),
                remedy,
            );
        }
        if schema["minLength"].as_u64().is_some_and(|least| (text.len() as u64) < least) {
            self.error(pointer, "must not be empty".into(), None);
        }
        if let Some(pattern) = schema["pattern"].as_str() {
            let fits = regex_lite::Regex::new(pattern).is_ok_and(|regex| regex.is_match(text));
            if !fits {
                let meaning = schema["description"].as_str();
                let help = meaning.map(|text| text.replace('\n', " "));
                self.error(pointer, format!("{text:?} must match {pattern}"), help);
            }
        }
    }

    fn number(&mut self, schema: &Value, number: &serde_json::Number, pointer: &str) {
        let Some(value) = number.as_f64() else { return };
        let format_max = (schema["format"] == "uint32").then_some(f64::from(u32::MAX));
        if let Some(least) = schema["minimum"].as_f64().filter(|least| value < *least) {
            self.error(pointer, format!("must be at least {least}, is {number}"), None);
        }
        let most = schema["maximum"].as_f64().or(format_max);
        if let Some(most) = most.filter(|most| value > *most) {
            self.error(pointer, format!("must be at most {most}, is {number}"), None);
        }
    }

    fn error(&mut self, pointer: &str, summary: String, remedy: Option<String>) {
        self.found.push(Diagnostic { remedy, ..Diagnostic::error(pointer, summary) });
    }
}

/// Whether the value that a schema describes is sensitive, or its items or entries are.
pub(crate) fn is_sensitive(root: &Value, schema: &Value) -> bool {
    let schema = resolve(root, schema);
    let within = ["items", "additionalProperties"].map(|within| &schema[within]);
    schema[SENSITIVE] == true
        || within.into_iter().any(|within| within.is_object() && is_sensitive(root, within))
}

/// Returns the message for a required attribute that is missing.
pub(super) fn missing(name: &str) -> String {
    format!("the attribute {name:?} is missing")
}

/// Returns the attribute that a finding reports as missing at its place, if it reports that.
pub(crate) fn missing_name(finding: &Diagnostic) -> Option<&str> {
    let name = finding.summary.strip_prefix("the attribute \"")?;
    name.strip_suffix("\" is missing")
}

/// Suggests the nearest known name where one is close, else lists all of them.
pub(super) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str> + Clone) -> String {
    let scored = known.clone().map(|known| (similarity(name, known), known));
    match scored.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((score, near)) if score > 0.8 => format!("did you mean {near:?}?"),
        _ => format!("known are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// Returns the part of the schema `root` behind `$ref` and behind "or null".
pub fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(name) = schema["$ref"].as_str() {
        let target = name.strip_prefix('#').and_then(|path| root.pointer(path));
        return target.map_or(schema, |target| resolve(root, target));
    }
    let choices = schema["anyOf"].as_array().into_iter().flatten();
    match choices.into_iter().find(|choice| choice["type"] != "null") {
        Some(choice) => resolve(root, choice),
        None => schema,
    }
}

/// Whether a `T` may have a value at `pointer`.
pub(crate) fn has_place<T: JsonSchema>(pointer: &str) -> bool {
    let root = schema::<T>();
    let Some(steps) = pointer.strip_prefix('/') else { return false };
    let mut at = &root;
    steps.split('/').all(|step| {
        let name = step.replace("~1", "/").replace("~0", "~");
        let here = resolve(&root, at);
        let list = step.parse::<usize>().ok().and_then(|_| here.get("items"));
        let member = here["properties"].get(&name).or(here.get("additionalProperties")).or(list);
        let found = member.filter(|member| member.is_object());
        at = found.unwrap_or(at);
        found.is_some()
    })
}

/// Returns the types that a resolved schema allows, apart from null.
pub fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => {
            names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect()
        }
        _ => Vec::new(),
    }
}

fn matches(wanted: &str, value: &Value) -> bool {
    match wanted {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => type_name(value) == other,
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn article(name: &str) -> &str {
    match name {
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a string",
        "array" => "a list",
        "object" => "an object",
        "boolean" => "true or false",
        other => other,
    }
}

fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::config::{ProviderConfig, RollingDeploymentConfig};

    /// The checker acts on every keyword that our own types generate, or the keyword does not
    /// affect validity.
    #[test]
    fn the_checker_knows_every_keyword_of_our_schemas() {
        let acted_on = [
            "$ref",
            "$defs",
            "anyOf",
            "type",
            "properties",
            "required",
            "additionalProperties",
            "items",
            "enum",
            "minimum",
            "maximum",
            "minLength",
            "pattern",
            "format",
        ];
        let silent = ["$schema", "title", "description", SENSITIVE];
        fn walk(schema: &Value, seen: &mut Vec<String>) {
            let Value::Object(object) = schema else { return };
            for (key, value) in object {
                seen.push(key.clone());
                match key.as_str() {
                    "properties" | "$defs" => {
                        value.as_object().into_iter().flatten().for_each(|(_, v)| walk(v, seen));
                    }
                    "anyOf" => value.as_array().into_iter().flatten().for_each(|v| walk(v, seen)),
                    "items" | "additionalProperties" => walk(value, seen),
                    _ => {}
                }
            }
        }
        let mut seen = Vec::new();
        walk(&schema::<RollingDeploymentConfig>(), &mut seen);
        walk(&schema::<ProviderConfig>(), &mut seen);
        for keyword in seen {
            assert!(
                acted_on.contains(&keyword.as_str()) || silent.contains(&keyword.as_str()),
                "{keyword}"
            );
        }
    }
}
