//! Places in a document, as JSON Pointers.

use serde_json::Value;

use super::config::{TARGET_KINDS, TargetKind};

/// The place of the provider's configuration in a document.
pub(crate) const PROVIDER: &str = "/provider/rolling";

/// Returns the places of a target's name; a deployment has one of them. A change means another
/// deployment.
pub(crate) fn target_names() -> impl Iterator<Item = &'static str> {
    TARGET_KINDS.iter().flat_map(|kind| kind.names).copied()
}

/// Returns the target that `config`, a deployment, names: the place of the name, and the name.
pub(crate) fn named_target(config: &Value) -> Option<(&'static str, String)> {
    let named = |kind: &TargetKind| Some((*kind.names.last()?, kind.name_in(config)?));
    TARGET_KINDS.iter().find_map(named)
}

/// Attributes that say how the target is found, beside the target itself.
const FOUND_BY: [&str; 3] = ["engine", "record", "replacement"];

/// Returns the part of a deployment that says what its target is, with `more` attributes.
pub(crate) fn target_of(config: &Value, more: &[&str]) -> Value {
    let kinds = TARGET_KINDS.iter().map(|kind| kind.attribute);
    let names = kinds.chain(FOUND_BY).chain(more.iter().copied());
    let given = names.filter_map(|name| Some((name.to_owned(), config.get(name)?.clone())));
    Value::Object(given.collect())
}

/// Returns the place of the launch template of a deployment, where it has one.
pub(crate) fn launch_template(config: &Value) -> Option<&'static str> {
    let mut places = TARGET_KINDS.iter().filter_map(|kind| kind.launch_template);
    places.find(|place| config.pointer(place).is_some_and(|found| !found.is_null()))
}
