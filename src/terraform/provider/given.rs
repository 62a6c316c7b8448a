//! What the host gives: configurations and states, read and checked.

use serde_json::{Map, Value};

use super::super::convert::{self, diagnostic};
use super::super::proto as p;
use super::super::schema::{Kind, TIMEOUTS, schemas};
use super::super::value::{Raw, Read};
use super::TYPE;
use crate::document::{Diagnostic, normalised};
use crate::state::COMPUTED;

/// What goes to the host as findings.
pub type Found = Vec<p::Diagnostic>;

/// A configuration as it came, and what it says.
pub struct Config {
    pub raw: Raw,
    /// Without timeouts.
    pub value: Value,
    pub unknown: Vec<String>,
    pub timeouts: Value,
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
        for name in COMPUTED {
            value.as_object_mut().map(|attributes| attributes.remove(name));
        }
        let is_of_config = |place: &String| !place.starts_with(&format!("/{TIMEOUTS}"));
        let unknown = read.unknown.into_iter().filter(is_of_config).collect();
        Ok(Config { raw, value: normalised(&value), unknown, timeouts })
    }
}

pub fn without_timeouts(state: &Value) -> Value {
    let mut state = state.clone();
    state.as_object_mut().map(|attributes| attributes.remove(TIMEOUTS));
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
    let words = format!("There is no resource type {type_name:?}; there is {TYPE:?}");
    Err(vec![convert::error(words, "")])
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
