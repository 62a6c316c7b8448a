//! Configurations with values that are not known yet, as planning tools have them: a launch
//! template's version is known only after the template is changed.

use schemars::JsonSchema;
use serde_json::{Value, json};

use super::config::{ProviderConfig, RollingDeploymentConfig, TARGET_KINDS};
use super::diagnostic::Diagnostic;
use super::schema_check::{check, missing_name, normalise};

/// Checks the known part of the provider's configuration. `unknown` holds JSON Pointers into it.
/// Rules that span attributes are not checked until everything is known.
pub(crate) fn partial_provider(config: &Value, unknown: &[String]) -> Vec<Diagnostic> {
    known_part::<ProviderConfig>(&mut config.clone(), unknown)
}

/// Checks the known part of a deployment's configuration.
pub fn partial(config: &Value, unknown: &[String]) -> Vec<Diagnostic> {
    let mut config = config.clone();
    let mut found = known_part::<RollingDeploymentConfig>(&mut config, unknown);
    if found.is_empty() && unknown.iter().all(|pointer| is_text(pointer)) {
        // Every unknown attribute of a target or of the record's place is text here. Any text will
        // do for the other rules.
        for pointer in unknown {
            put_in(&mut config, pointer);
        }
        let judged = super::convert::deployment(&config, "").err().unwrap_or_default();
        found.extend(judged.into_iter().filter(|finding| !is_below(&finding.pointer, unknown)));
    }
    found
}

/// Whether a place is one of these, or within one of them.
fn is_below(place: &str, unknown: &[String]) -> bool {
    unknown.iter().any(|pointer| {
        place == pointer
            || place.strip_prefix(pointer).is_some_and(|remaining| remaining.starts_with('/'))
    })
}

/// Removes what is not known from `config`, and checks the rest against the schema of `T`.
fn known_part<T: JsonSchema>(config: &mut Value, unknown: &[String]) -> Vec<Diagnostic> {
    for pointer in unknown {
        take_out(config, pointer);
    }
    let is_missing = |finding: &Diagnostic| {
        unknown.iter().any(|pointer| {
            let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
            finding.pointer == parent && missing_name(finding) == Some(name)
        })
    };
    // A target whose attributes are all unknown is missing entirely, and so is its parent.
    let mut found = check::<T>(&normalise(config), "");
    found.retain(|finding| !is_below(&finding.pointer, unknown) && !is_missing(finding));
    found
}

fn is_text(pointer: &str) -> bool {
    let first = |place: &str| place.split('/').nth(1).map(str::to_owned);
    let of = first(pointer);
    let is_below = pointer.matches('/').count() > 1;
    let is_target = TARGET_KINDS.iter().any(|kind| of.as_deref() == Some(kind.attribute));
    is_below && (is_target || of.as_deref() == Some("record"))
}

fn take_out(config: &mut Value, pointer: &str) {
    let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
    if let Some(Value::Object(object)) = config.pointer_mut(parent) {
        object.remove(name);
    }
}

fn put_in(config: &mut Value, pointer: &str) {
    let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
    if let Some(Value::Object(object)) = config.pointer_mut(parent) {
        let any = match pointer {
            "/target_group/arn" => "arn:aws:elasticloadbalancing:-:0:targetgroup/-",
            // Valid both as a bucket and as a number.
            _ => "111",
        };
        object.insert(name.into(), json!(any));
    }
}
