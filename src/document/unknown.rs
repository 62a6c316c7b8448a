//! Configurations of which some values are not known yet, as planning tools have them: a launch
//! template's version is known only after the template was changed.

use schemars::JsonSchema;
use serde_json::{Value, json};

use super::check::{check, missing_name, normalise};
use super::config::{ProviderConfig, RollingDeploymentConfig};
use super::diagnostic::Diagnostic;

/// Checks what is known of the provider's configuration. `unknown` holds JSON Pointers into it. Rules
/// that span attributes are left for when all is known.
pub fn partial_provider(config: &Value, unknown: &[String]) -> Vec<Diagnostic> {
    known_part::<ProviderConfig>(&mut config.clone(), unknown)
}

/// The same of a deployment's.
pub fn partial(config: &Value, unknown: &[String]) -> Vec<Diagnostic> {
    let mut config = config.clone();
    let mut found = known_part::<RollingDeploymentConfig>(&mut config, unknown);
    if found.is_empty() && unknown.iter().all(|pointer| is_text(pointer)) {
        // Text is all there is to be unknown of a target, and of where the record is kept; any text
        // does for the other rules.
        for pointer in unknown {
            put_in(&mut config, pointer);
        }
        let judged = super::convert::deployment(&config, "").err().unwrap_or_default();
        found.extend(judged.into_iter().filter(|finding| !is_below(&finding.pointer, unknown)));
    }
    found
}

/// Whether a place is one of these, or within.
fn is_below(place: &str, unknown: &[String]) -> bool {
    unknown.iter().any(|pointer| {
        place == pointer || place.strip_prefix(pointer).is_some_and(|rest| rest.starts_with('/'))
    })
}

/// Takes out of `config` what is not known, and checks the rest against the schema of `T`.
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
    // A target of which everything is unknown is not there at all, and neither is its parent.
    let mut found = check::<T>(&normalise(config), "");
    found.retain(|finding| !is_below(&finding.pointer, unknown) && !is_missing(finding));
    found
}

fn is_text(pointer: &str) -> bool {
    let first = |place: &str| place.split('/').nth(1).map(str::to_owned);
    let of = first(pointer);
    let is_below = pointer.matches('/').count() > 1;
    let is_target = super::places::TARGETS.iter().any(|target| first(target) == of);
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
            // As good a bucket as a number.
            _ => "111",
        };
        object.insert(name.into(), json!(any));
    }
}
