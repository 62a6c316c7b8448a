//! Holds every message that a test sends or gets against our own schemas.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use rolling::frontends::json_rpc::openrpc;
use serde_json::{Value, json};

static DOCUMENT: LazyLock<Value> = LazyLock::new(openrpc);
static SCHEMAS: LazyLock<BTreeMap<&str, Value>> =
    LazyLock::new(|| rolling::frontends::schemas::all().into_iter().collect());
static BUILT: Mutex<BTreeMap<String, Arc<Validator>>> = Mutex::new(BTreeMap::new());

/// Holds `value` against `schema`, whose references lead into the OpenRPC document.
fn fits(name: &str, schema: impl FnOnce() -> Value, value: &Value) {
    let whole = || {
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "components": DOCUMENT["components"],
            "allOf": [schema()],
        })
    };
    fits_whole(name, whole, value);
}

/// Holds `value` against a whole schema.
fn fits_whole(name: &str, schema: impl FnOnce() -> Value, value: &Value) {
    let mut built = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let validator = built
        .entry(name.to_owned())
        .or_insert_with(|| Arc::new(jsonschema::validator_for(&schema()).expect("a schema")));
    let validator = Arc::clone(validator);
    drop(built);
    let wrong: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{name}: {}\n{value}", wrong.join("; "));
}

fn method(name: &str) -> Option<&'static Value> {
    let methods = DOCUMENT["methods"].as_array().expect("methods");
    methods.iter().find(|method| method["name"] == name)
}

fn params_fit(name: &str, params: &Value) {
    let known = method(name).unwrap_or_else(|| panic!("no method {name}"));
    let schema = || {
        let params = known["params"].as_array().expect("parameters");
        let properties: serde_json::Map<String, Value> = params
            .iter()
            .map(|param| (param["name"].as_str().expect("a name").into(), param["schema"].clone()))
            .collect();
        let required: Vec<&Value> =
            params.iter().filter(|p| p["required"] == true).map(|p| &p["name"]).collect();
        json!({
            "type": ["object", "null"], "properties": properties, "required": required,
            "additionalProperties": false,
        })
    };
    fits(&format!("{name} params"), schema, params);
}

/// One event, as the engine reports it.
pub fn event(event: &Value) {
    fits("event", || json!({ "$ref": "#/components/schemas/Envelope" }), event);
}

/// What a subcommand prints with `--output json`.
pub fn answer(subcommand: &str, answer: &Value) {
    let name = match subcommand {
        "pause" | "resume" | "abort" | "rollback" => "cli_command".to_owned(),
        other => format!("cli_{other}"),
    };
    if let Some(schema) = SCHEMAS.get(name.as_str()) {
        let closed = || {
            let mut schema = schema.clone();
            close(&mut schema);
            schema
        };
        fits_whole(&name, closed, answer);
    }
}

/// Allows no members but those that a schema has, so that no test overlooks one. Clients are to
/// ignore others.
fn close(schema: &mut Value) {
    if schema.get("properties").is_some() {
        schema["unevaluatedProperties"] = json!(false);
    }
    let Some(definitions) = schema["$defs"].as_object_mut() else { return };
    for definition in definitions.values_mut().filter(|it| it.get("properties").is_some()) {
        definition["unevaluatedProperties"] = json!(false);
    }
}

/// Checks what the lines `sent` led to. Requests in which nothing was wrong fit the schemas, too.
pub fn conversation(sent: &str, received: &[Value]) {
    let requests: Vec<Value> =
        sent.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for message in received {
        assert_eq!(message["jsonrpc"], "2.0", "{message}");
        if let Some(name) = message["method"].as_str() {
            assert!(message.get("id").is_none(), "a notification with an id: {message}");
            assert_eq!(method(name).expect("a method")["x-from"], "server", "{message}");
            params_fit(name, &message["params"]);
            continue;
        }
        let is_asked = |request: &&Value| request["id"] == message["id"];
        let request = requests.iter().rfind(is_asked).filter(|_| !message["id"].is_null());
        let name = request.and_then(|request| request["method"].as_str());
        let known = name.and_then(method);
        match (message.get("result"), message.get("error")) {
            (Some(result), None) => {
                let (name, known) = name.zip(known).expect("a request that is known");
                let found = result["diagnostics"].as_array().into_iter().flatten();
                let is_wrong = found.into_iter().any(|finding| finding["severity"] == "error");
                let params = &request.expect("a request")["params"];
                // What is not known yet may be missing.
                if !is_wrong && params.get("unknown").is_none() {
                    params_fit(name, params);
                }
                fits(&format!("{name} result"), || known["result"]["schema"].clone(), result);
            }
            (None, Some(error)) => error_fits(known, error),
            _ => panic!("neither result nor error, or both: {message}"),
        }
    }
}

/// An error has a code that the document lists, for its method where that is known.
fn error_fits(known: Option<&Value>, error: &Value) {
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
    let errors = DOCUMENT["components"]["errors"].as_object().expect("errors");
    let names: Vec<&String> = errors
        .iter()
        .filter(|(_, listed)| listed["code"] == error["code"])
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names.len(), 1, "one name for {error}");
    if let Some(known) = known {
        let wanted = json!(format!("#/components/errors/{}", names[0]));
        let listed = known["errors"].as_array().expect("errors");
        assert!(
            listed.iter().any(|e| e["$ref"] == wanted),
            "{} may not give {error}",
            known["name"]
        );
    }
}
