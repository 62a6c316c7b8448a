//! The JSON Schemas of what front-ends hand out, generated from the types.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::resource_state::Computed;
use crate::document::config::RollingDeploymentConfig;

/// Version of every schema here, and of the state. It rises when something that was valid before no
/// longer is.
pub(crate) const VERSION: u32 = 1;

const PROMISE: &str = "Within a version, attributes and events may be added and limits widened; \
                       nothing is removed, renamed or narrowed, and nothing becomes required.";

/// Returns the schema of a type, with its version and what that means.
pub fn of<T: JsonSchema>() -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    schema["x-version"] = json!(VERSION);
    schema["$comment"] = json!(PROMISE);
    schema
}

/// Returns a generator for schemas that share their definitions below `/components/schemas`.
pub(crate) fn components() -> SchemaGenerator {
    let place = |settings: &mut SchemaSettings| {
        settings.definitions_path = "/components/schemas".into();
    };
    SchemaSettings::draft2020_12().with(place).into_generator()
}

/// A planned state: what the configuration says as far as it is known, beside what is planned.
#[derive(Debug)]
pub(crate) struct PlannedState;

impl JsonSchema for PlannedState {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PlannedState".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut planned = Computed::json_schema(generator);
        // Of the configuration, any part may be unknown.
        planned.remove("additionalProperties");
        let message = "A planned state: what the configuration says as far as it is known, beside \
                       what is planned.";
        planned.insert("description".into(), json!(message));
        planned
    }
}

/// The state of a deployment: what the configuration says, beside what the provider computed.
/// After an import the configuration may lack everything but the target.
#[derive(Debug)]
pub(crate) struct DeploymentState;

impl JsonSchema for DeploymentState {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "State".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut state = Computed::json_schema(generator);
        let config = RollingDeploymentConfig::json_schema(generator).to_value();
        if let Some(properties) = state.get_mut("properties").and_then(Value::as_object_mut) {
            for (name, schema) in config["properties"].as_object().into_iter().flatten() {
                properties.insert(name.clone(), schema.clone());
            }
        }
        let message = "The state of a deployment: what the configuration says, beside what the \
                     provider computed. After an import the configuration may lack everything \
                     but the target.";
        state.insert("description".into(), json!(message));
        state
    }
}
