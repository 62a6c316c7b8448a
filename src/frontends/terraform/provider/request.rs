//! What the host gives: configurations and states, read and checked.

use serde_json::{Map, Value, json};

use super::super::convert::{self, diagnostic};
use super::super::proto as p;
use super::super::schema::{INSTANCE_IDS, Kind, TIMEOUTS, schemas};
use super::super::value::{Raw, Read};
use crate::document::{Diagnostic, normalised};

/// What this provider computes, as Terraform is told it: of every instance no more than its name.
pub const OURS: [&str; 12] = [
    "id",
    "status",
    "target_revision",
    "deployed_revision",
    "completed_revision",
    "batches",
    "floor",
    "ceiling",
    "expected_duration",
    "fleet",
    INSTANCE_IDS,
    "last_error",
];

/// [`OURS`] of a state as every front-end has it.
pub fn computed(state: &Value) -> Value {
    let mut ours = json!({});
    for name in OURS {
        ours[name] = state[name].clone();
    }
    if let Some(instances) = state["instances"].as_array() {
        let ids: Vec<&Value> = instances.iter().map(|instance| &instance["id"]).collect();
        ours[INSTANCE_IDS] = json!(ids);
    }
    ours
}

/// What goes to the host as findings.
pub type Found = Vec<p::Diagnostic>;

/// A configuration as it came, and what it says.
pub struct Config {
    pub raw: Raw,
    /// Without timeouts.
    pub value: Value,
    pub unknown: Vec<String>,
    pub timeouts: Value,
    /// What is set of what only the provider sets: Terraform leaves it to the provider to refuse that.
    pub computed: Vec<&'static str>,
}

impl Config {
    pub fn receive(value: Option<&p::DynamicValue>) -> Result<Config, Found> {
        let kind = &schemas().resource;
        let fail = |error: String| vec![convert::error(error, "")];
        let raw = Raw::receive(value, kind).map_err(fail)?;
        let read = raw.to_json(kind).map_err(fail)?;
        let mut value = read.value;
        let timeouts = match &mut value {
            Value::Object(attributes) => attributes.remove(TIMEOUTS).unwrap_or_default(),
            _ => return Err(fail("The host sent no configuration".into())),
        };
        let mut computed = Vec::new();
        for name in OURS {
            let given = value.as_object_mut().and_then(|attributes| attributes.remove(name));
            computed.extend(given.filter(|given| !given.is_null()).map(|_| name));
        }
        let is_of_config = |place: &String| !place.starts_with(&format!("/{TIMEOUTS}"));
        let unknown = read.unknown.into_iter().filter(is_of_config).collect();
        Ok(Config { raw, value: normalised(&value), unknown, timeouts, computed })
    }
}

/// A state of Terraform's as every front-end has it, as far as Terraform keeps it.
pub fn to_json(state: &Value) -> Value {
    let mut state = state.clone();
    for name in [TIMEOUTS, INSTANCE_IDS] {
        state.as_object_mut().map(|attributes| attributes.remove(name));
    }
    state
}

/// A state in which everything is known, if there is one.
pub fn known(
    type_name: &str,
    value: Option<&p::DynamicValue>,
) -> Result<Option<(Raw, Value)>, Found> {
    check_type(type_name)?;
    let kind = &schemas().resource;
    let fail = |error: String| vec![convert::error(error, "")];
    let raw = Raw::receive(value, kind).map_err(fail)?;
    if raw.is_null() {
        return Ok(None);
    }
    let read = raw.to_json(kind).map_err(fail)?;
    Ok(Some((raw, read.value)))
}

pub fn check_type(type_name: &str) -> Result<(), Found> {
    if type_name == TYPE {
        return Ok(());
    }
    let message = format!("There is no resource type {type_name:?}; there is {TYPE:?}");
    Err(vec![convert::error(message, "")])
}

pub fn all(found: &[Diagnostic], kind: &Kind) -> Found {
    found.iter().map(|finding| diagnostic(finding, kind)).collect()
}

pub fn provider_config(value: Option<&p::DynamicValue>) -> Result<Read, Found> {
    let kind = &schemas().provider;
    let fail = |error: String| vec![convert::error(error, "")];
    let raw = Raw::receive(value, kind).map_err(fail)?;
    let mut read = raw.to_json(kind).map_err(fail)?;
    if read.value.is_null() {
        read.value = Value::Object(Map::new());
    }
    Ok(read)
}

/// The one resource type.
pub const TYPE: &str = "rolling_deployment";
