//! Reads and checks what the host sends: configurations and states.

use serde_json::{Map, Value, json};

use super::super::convert::{self, diagnostic};
use super::super::proto as p;
use super::super::schema::{INSTANCE_IDS, Kind, TIMEOUTS, schemas};
use super::super::value::{Raw, Read};
use super::super::wire_error::WireError;
use crate::deployment::resource_state::COMPUTED;
use crate::document::{Diagnostic, normalised};

/// The attributes that this provider computes for Terraform: of every instance only its id.
pub(crate) fn ours() -> [&'static str; COMPUTED.len()] {
    COMPUTED.map(|name| if name == "instances" { INSTANCE_IDS } else { name })
}

/// Returns [`ours`] of a state in the form of every front-end.
pub(crate) fn computed(state: &Value) -> Value {
    let mut found = json!({});
    for name in ours() {
        found[name] = state[name].clone();
    }
    if let Some(instances) = state["instances"].as_array() {
        let ids: Vec<&Value> = instances.iter().map(|instance| &instance["id"]).collect();
        found[INSTANCE_IDS] = json!(ids);
    }
    found
}

/// Findings for the host.
pub(crate) type HostDiagnostics = Vec<p::Diagnostic>;

/// Returns the finding for a value that cannot be read.
pub(crate) fn unreadable(error: WireError) -> HostDiagnostics {
    vec![convert::error(error.to_string(), "")]
}

/// A configuration as received, and what it says.
pub(crate) struct Config {
    pub(crate) raw: Raw,
    /// The configuration without its timeouts.
    pub(crate) value: Value,
    pub(crate) unknown: Vec<String>,
    pub(crate) timeouts: Value,
    /// Attributes that the configuration sets although only the provider may: Terraform leaves
    /// their refusal to the provider.
    pub(crate) computed: Vec<&'static str>,
}

impl Config {
    pub(crate) fn receive(value: Option<&p::DynamicValue>) -> Result<Config, HostDiagnostics> {
        let kind = &schemas().resource;
        let raw = Raw::receive(value, kind).map_err(unreadable)?;
        let read = raw.to_json(kind).map_err(unreadable)?;
        let mut value = read.value;
        let timeouts = match &mut value {
            Value::Object(attributes) => attributes.remove(TIMEOUTS).unwrap_or_default(),
            _ => return Err(unreadable(WireError::NoConfiguration)),
        };
        let mut computed = Vec::new();
        for name in ours() {
            let given = value.as_object_mut().and_then(|attributes| attributes.remove(name));
            computed.extend(given.filter(|given| !given.is_null()).map(|_| name));
        }
        let is_of_config = |place: &String| !place.starts_with(&format!("/{TIMEOUTS}"));
        let unknown = read.unknown.into_iter().filter(is_of_config).collect();
        Ok(Config { raw, value: normalised(&value), unknown, timeouts, computed })
    }
}

/// Converts a state of Terraform's to the form of every front-end, as far as Terraform keeps it.
pub(crate) fn to_json(state: &Value) -> Value {
    let mut state = state.clone();
    for name in [TIMEOUTS, INSTANCE_IDS] {
        state.as_object_mut().map(|attributes| attributes.remove(name));
    }
    state
}

/// Reads a state in which everything is known; `None` if there is no state.
pub(crate) fn known(
    type_name: &str,
    value: Option<&p::DynamicValue>,
) -> Result<Option<(Raw, Value)>, HostDiagnostics> {
    check_type(type_name)?;
    let kind = &schemas().resource;
    let raw = Raw::receive(value, kind).map_err(unreadable)?;
    if raw.is_null() {
        return Ok(None);
    }
    let read = raw.to_json(kind).map_err(unreadable)?;
    Ok(Some((raw, read.value)))
}

pub(crate) fn check_type(type_name: &str) -> Result<(), HostDiagnostics> {
    if type_name == TYPE {
        return Ok(());
    }
    let message = format!("There is no resource type {type_name:?}; there is {TYPE:?}");
    Err(vec![convert::error(message, "")])
}

pub(crate) fn all(found: &[Diagnostic], kind: &Kind) -> HostDiagnostics {
    found.iter().map(|finding| diagnostic(finding, kind)).collect()
}

pub(crate) fn provider_config(value: Option<&p::DynamicValue>) -> Result<Read, HostDiagnostics> {
    let kind = &schemas().provider;
    let raw = Raw::receive(value, kind).map_err(unreadable)?;
    let mut read = raw.to_json(kind).map_err(unreadable)?;
    if read.value.is_null() {
        read.value = Value::Object(Map::new());
    }
    Ok(read)
}

/// The only resource type.
pub(crate) const TYPE: &str = "rolling_deployment";
