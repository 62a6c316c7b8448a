//! Upgrades states of other versions.

use serde_json::{Map, Value};

use super::resource_state::COMPUTED;
use super::schema::{DeploymentState, VERSION};
use crate::document::{Diagnostic, normalised};

/// Returns a state of an earlier version, or of another program that knows more, in the form that
/// this version writes.
///
/// # Errors
/// What is wrong with it, with the place.
pub fn upgrade(version: u64, state: &Value) -> Result<(Value, Vec<Diagnostic>), Vec<Diagnostic>> {
    if version != u64::from(VERSION) {
        let current = VERSION;
        let message =
            format!("the state has version {version}, but this program knows version {current}");
        let remedy = "use the version of rolling that wrote it, or a later one";
        return Err(vec![Diagnostic::error("", message).with_remedy(remedy)]);
    }
    let Some(given) = state.as_object() else {
        return Err(vec![Diagnostic::error("", "a state is an object")]);
    };
    let known = crate::document::schema::<DeploymentState>();
    let known = known["properties"].as_object();
    let mut upgraded = Map::new();
    let mut warnings = Vec::new();
    for (name, value) in given {
        if known.is_some_and(|known| known.contains_key(name)) {
            upgraded.insert(name.clone(), value.clone());
        } else {
            let place = format!("/{}", crate::document::step(name));
            warnings.push(Diagnostic::warning(place, "unknown attribute; it is removed"));
        }
    }
    for name in COMPUTED {
        upgraded.entry(name).or_insert(Value::Null);
    }
    let upgraded = Value::Object(upgraded);
    let found = crate::document::fits::<DeploymentState>(&normalised(&upgraded));
    if found.is_empty() { Ok((upgraded, warnings)) } else { Err(found) }
}
