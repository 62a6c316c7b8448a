//! The OpenRPC document, generated from the types of [`super::messages`].
//!
//! It has every method with its parameters, results and errors.

use std::sync::LazyLock;

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::messages as m;
use super::wire::{RpcError, code};
use crate::deployment::schema;

/// Returns the document. Pretty-printed, it has the same bytes as `schemas/openrpc.json`.
pub fn openrpc() -> Value {
    DOCUMENT.clone()
}

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut all = Methods { generator: schema::components(), methods: Vec::new() };
    all.describe();
    let errors = ERRORS
        .iter()
        .map(|(code, name, when)| (name.to_string(), json!({ "code": code, "message": when })));
    let errors: Map<String, Value> = errors.collect();
    let definitions = all.generator.take_definitions(true);
    json!({
        "openrpc": "1.3.2",
        "info": {
            "title": "rolling",
            "version": super::wire::PROTOCOL.to_string(),
            "license": { "name": "Apache-2.0" },
            "description": "JSON-RPC 2.0 over standard input and output of `rolling serve`: \
                UTF-8, one object a line, no batches. Methods without a result are notifications; \
                `x-from` says who sends them. A deployment that fails is a result with \
                diagnostics and state; errors are protocol faults only.",
        },
        "x-version": schema::VERSION,
        "methods": all.methods,
        "components": { "schemas": definitions, "errors": errors },
    })
});

/// Refuses parameters that `method` does not have, so that no typo is silently ignored.
pub(crate) fn check_names(method: &str, params: &Value) -> Result<(), RpcError> {
    let methods = DOCUMENT["methods"].as_array().into_iter().flatten();
    let mut found = methods.filter(|known| known["name"] == method);
    let Some(known) = found.next() else { return Ok(()) };
    let known = known["params"].as_array().into_iter().flatten();
    let known: Vec<&str> = known.filter_map(|param| param["name"].as_str()).collect();
    match params.as_object().into_iter().flatten().find(|(name, _)| !known.contains(&name.as_str()))
    {
        None => Ok(()),
        Some((name, _)) => {
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            let message = format!("{method} has no parameter {name:?}; it has {known}");
            Err(RpcError::new(code::INVALID_PARAMS, message))
        }
    }
}

/// (code, name, when)
const ERRORS: [(i64, &str, &str); 13] = [
    (code::PARSE, "ParseError", "the line is not JSON, or nested deeper than 127"),
    (
        code::INVALID_REQUEST,
        "InvalidRequest",
        "the JSON is not a valid request, or not allowed at this time",
    ),
    (code::METHOD_NOT_FOUND, "MethodNotFound", "there is no such method"),
    (code::INVALID_PARAMS, "InvalidParams", "the method does not take these parameters"),
    (code::INTERNAL, "InternalError", "a fault of the server's own"),
    (code::NOT_INITIALIZED, "NotInitialized", "the first request must be initialize"),
    (code::CANCELLED, "Cancelled", "cancelled before any mutation"),
    (code::VERSION, "Version", "no common protocol version; `data.supported` has the server's"),
    (code::TYPE, "Type", "there is no such resource type"),
    (code::TOO_LARGE, "TooLarge", "the line is longer than `max_message_bytes`"),
    (
        code::BUSY,
        "Busy",
        "too many requests are in flight, or another operation on this target is in progress",
    ),
    (code::LOCKED, "Locked", "another engine is at work on the target"),
    (code::STALE_PLAN, "StalePlan", "the plan was made for another configuration or revision"),
];

/// The errors that any request may get.
const ALWAYS: [&str; 4] = ["InvalidRequest", "InvalidParams", "NotInitialized", "InternalError"];
/// The further errors that a request that calls a cloud may get.
const WORKED_ON: [&str; 3] = ["Type", "Busy", "Cancelled"];

struct Methods {
    generator: SchemaGenerator,
    methods: Vec<Value>,
}

impl Methods {
    fn describe(&mut self) {
        let none: &[&str] = &[];
        self.call::<m::InitializeParams, m::InitializeResult>(
            "initialize",
            "Starts the session. It must be the first request, and is sent once.",
            &["Version"],
        );
        self.call::<m::NoParams, Value>(
            "rpc.discover",
            "This document. May come before `initialize`.",
            none,
        );
        self.call::<m::NoParams, m::SchemaResult>(
            "provider.schema",
            "Returns the schemas of the provider and its resource types.",
            none,
        );
        self.call::<m::ConfigureParams, m::Diagnostics>(
            "provider.configure",
            "Configures access to the cloud. Without it, the environment's settings apply. \
             Operations in flight keep their configuration.",
            none,
        );
        self.call::<m::ValidateParams, m::Diagnostics>(
            "resource.validate",
            "Checks a configuration without calling a cloud.",
            &["Type"],
        );
        self.call::<m::PlanParams, m::PlanResult>(
            "resource.plan",
            "Returns what apply would do. Changes nothing.",
            &WORKED_ON,
        );
        self.call::<m::ApplyParams, m::ApplyResult>(
            "resource.apply",
            "Rolls the fleet, and answers when the rollout has ended. After a failure or a crash, \
             another apply continues the rollout.",
            &["Type", "Busy", "Cancelled", "Locked", "StalePlan"],
        );
        self.call::<m::ReadParams, m::StateResult>(
            "resource.read",
            "Returns the current state of the target; null if the target is gone.",
            &WORKED_ON,
        );
        self.call::<m::ImportParams, m::StateResult>(
            "resource.import",
            "Returns a state for an existing target. It has the target and no policy; the next \
             apply adds the policy.",
            &WORKED_ON,
        );
        self.call::<m::UpgradeParams, m::StateResult>(
            "resource.upgrade_state",
            "Converts a state of another version into the current form. No cloud is called.",
            &["Type"],
        );
        self.call::<m::DeleteParams, m::DeleteResult>(
            "resource.delete",
            "Ends the deployment: a rollout in progress is aborted, what is borrowed is restored, \
             and the record is removed. Apart from what ending that rollout needs, no instance is \
             changed.",
            &["Type", "Busy", "Cancelled", "Locked"],
        );
        self.call::<m::StatusParams, m::StatusResult>(
            "resource.status",
            "Returns the record on the target, and the revision of every instance.",
            &WORKED_ON,
        );
        self.call::<m::ControlParams, m::ControlResult>(
            "resource.control",
            "Pauses, resumes, aborts or rolls back a rollout. The engine at work obeys, on any \
             host; if there is none, this server carries the command out.",
            &["Type", "Busy", "Cancelled", "Locked"],
        );
        self.call::<m::NoParams, m::Empty>("ping", "Answers at once.", none);
        self.call::<m::NoParams, ()>(
            "shutdown",
            "Answered when all requests in flight are answered. After it only `exit` is accepted.",
            none,
        );
        self.notice::<m::CancelParams>(
            "$/cancel_request",
            "client",
            "The first notification stops the operation at its next safe point, a second one after \
             the current call. The request is still answered, with what happened.",
        );
        self.notice::<m::NoParams>(
            "exit",
            "client",
            "Ends the program: with 0 after `shutdown`, else with 1 after stopping what is in \
             flight.",
        );
        self.notice::<m::ProgressParams>(
            "$/progress",
            "server",
            "The progress of an operation. At most 10 notifications per second, none after its \
             answer.",
        );
        self.notice::<m::LogParams>(
            "$/log",
            "server",
            "What the server logs, where `initialize` asked for it.",
        );
    }

    fn call<P: JsonSchema, R: JsonSchema>(&mut self, name: &str, what: &str, errors: &[&str]) {
        let params = self.params::<P>();
        let result = self.generator.subschema_for::<R>();
        let errors: Vec<Value> = ALWAYS
            .iter()
            .chain(errors)
            .map(|name| json!({ "$ref": format!("#/components/errors/{name}") }))
            .collect();
        self.methods.push(json!({
            "name": name,
            "summary": what,
            "paramStructure": "by-name",
            "params": params,
            "result": { "name": "result", "schema": result },
            "errors": errors,
            "x-from": "client",
        }));
    }

    fn notice<P: JsonSchema>(&mut self, name: &str, from: &str, what: &str) {
        let params = self.params::<P>();
        self.methods.push(json!({
            "name": name, "summary": what, "paramStructure": "by-name", "params": params,
            "x-from": from,
        }));
    }

    /// Returns one content descriptor for each attribute of `P`.
    fn params<P: JsonSchema>(&mut self) -> Vec<Value> {
        let schema = P::json_schema(&mut self.generator).to_value();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let properties = schema["properties"].as_object().into_iter().flatten();
        properties
            .map(|(name, schema)| {
                let is_required = required.contains(&json!(name));
                let mut param = json!({ "name": name, "schema": schema, "required": is_required });
                if let Some(message) = schema.get("description") {
                    param["description"] = message.clone();
                }
                param
            })
            .collect()
    }
}
