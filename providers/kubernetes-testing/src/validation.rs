//! Validation of Deployments, StatefulSets and leases, in the words of
//! `pkg/apis/apps/validation`, `core/validation` and `coordination/validation`.

mod field_errors;

use serde_json::Value;

use self::field_errors::FieldErrors;
use super::api_error::ApiError;
use super::json_pointer::{at, int, list, text};
use super::object_kind::ObjectKind;
use super::selector;

/// Refuses an object that is not valid, or a change that is not allowed.
pub fn check(kind: ObjectKind, old: Option<&Value>, new: &Value) -> Result<(), ApiError> {
    types(kind, new)?;
    let mut found = FieldErrors::default();
    field_errors::metadata(&mut found, "metadata", at(new, "/metadata"));
    match kind {
        ObjectKind::Deployment => deployment(&mut found, old, new),
        ObjectKind::StatefulSet => stateful_set(&mut found, old, new),
        ObjectKind::Lease => lease(&mut found, new),
        _ => {}
    }
    if found.causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(kind, text(new, "/metadata/name"), &found.causes))
}

/// Numbers that must be numbers: the decoder refuses others before validation.
const NUMBERS: [(&str, &str); 6] = [
    ("replicas", "int32"),
    ("minReadySeconds", "int32"),
    ("progressDeadlineSeconds", "int32"),
    ("revisionHistoryLimit", "int32"),
    ("leaseDurationSeconds", "int32"),
    ("leaseTransitions", "int32"),
];

fn types(kind: ObjectKind, new: &Value) -> Result<(), ApiError> {
    let name = kind.info().name;
    let refuse = |value: &Value, field: &str, wanted: &str| {
        let found = match value {
            Value::String(_) => "string",
            Value::Number(_) => "number",
            Value::Bool(_) => "bool",
            Value::Array(_) => "array",
            _ => "object",
        };
        ApiError::bad_request(format!(
            "{name} in version \"{}\" cannot be handled as a {name}: json: cannot unmarshal {found} into \
             Go struct field {name}Spec.spec.{field} of type {wanted}",
            kind.info().version
        ))
    };
    for (field, wanted) in NUMBERS {
        let value = at(new, &format!("/spec/{field}"));
        if !value.is_null() && value.as_i64().is_none() {
            return Err(refuse(value, field, wanted));
        }
    }
    let paused = at(new, "/spec/paused");
    if !paused.is_null() && !paused.is_boolean() {
        return Err(refuse(paused, "paused", "bool"));
    }
    Ok(())
}

fn deployment(found: &mut FieldErrors, old: Option<&Value>, new: &Value) {
    found.not_negative("spec.replicas", at(new, "/spec/replicas"));
    selector_and_template(found, new);
    strategy(found, at(new, "/spec/strategy"));
    found.not_negative("spec.minReadySeconds", at(new, "/spec/minReadySeconds"));
    found.not_negative("spec.revisionHistoryLimit", at(new, "/spec/revisionHistoryLimit"));
    let deadline = at(new, "/spec/progressDeadlineSeconds");
    found.not_negative("spec.progressDeadlineSeconds", deadline);
    if let Some(deadline) = deadline.as_i64()
        && deadline <= int(new, "/spec/minReadySeconds", 0)
    {
        let why = "must be greater than minReadySeconds";
        found.invalid("spec.progressDeadlineSeconds", &deadline.to_string(), why);
    }
    // ValidateDeploymentUpdate: apps/v1 does not let the selector change.
    if let Some(old) = old
        && at(old, "/spec/selector") != at(new, "/spec/selector")
    {
        let value = go_selector(at(new, "/spec/selector"));
        found.invalid("spec.selector", &value, "field is immutable");
    }
}

fn selector_and_template(found: &mut FieldErrors, new: &Value) {
    let selector = at(new, "/spec/selector");
    let labels = at(new, "/spec/template/metadata/labels");
    if selector.is_null() {
        found.required("spec.selector", "");
    } else if selector.as_object().is_some_and(serde_json::Map::is_empty) {
        let why = "empty selector is invalid for deployment";
        found.invalid("spec.selector", &go_selector(selector), why);
    } else if !selector::selects(selector, labels) {
        let why = "`selector` does not match template `labels`";
        found.invalid("spec.template.metadata.labels", &go_map(labels), why);
    }
    field_errors::metadata(found, "spec.template", at(new, "/spec/template/metadata"));
    let spec = at(new, "/spec/template/spec");
    if list(spec, "/containers").is_empty() {
        found.required("spec.template.spec.containers", "");
    }
    for field in ["initContainers", "containers"] {
        containers(found, &format!("spec.template.spec.{field}"), list(spec, &format!("/{field}")));
    }
    let policy = text(spec, "/restartPolicy");
    if policy != "Always" {
        let message = format!("Unsupported value: \"{policy}\": supported values: \"Always\"");
        found.add("FieldValueNotSupported", "spec.template.spec.restartPolicy", message);
    }
}

fn containers(found: &mut FieldErrors, path: &str, containers: &[Value]) {
    let mut seen = Vec::new();
    for (index, container) in containers.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let name = text(container, "/name");
        if name.is_empty() {
            found.required(format!("{path}.name"), "");
        } else if seen.contains(&name) {
            let message = format!("Duplicate value: \"{name}\"");
            found.add("FieldValueDuplicate", format!("{path}.name"), message);
        } else {
            field_errors::label(found, &format!("{path}.name"), name);
        }
        seen.push(name);
        let image = text(container, "/image");
        if image.is_empty() {
            found.required(format!("{path}.image"), "");
        } else if image != image.trim() {
            let why = "must not have leading or trailing whitespace";
            found.invalid(format!("{path}.image"), &format!("{image:?}"), why);
        }
    }
}

fn strategy(found: &mut FieldErrors, strategy: &Value) {
    let rolling = at(strategy, "/rollingUpdate");
    match text(strategy, "/type") {
        "Recreate" if !rolling.is_null() => {
            let message = "Forbidden: may not be specified when strategy `type` is 'Recreate'";
            found.add("FieldValueForbidden", "spec.strategy.rollingUpdate", message.to_owned());
        }
        "RollingUpdate" => rolling_update(found, rolling),
        "Recreate" => {}
        other => {
            let message = format!(
                "Unsupported value: \"{other}\": supported values: \"Recreate\", \"RollingUpdate\""
            );
            found.add("FieldValueNotSupported", "spec.strategy.type", message);
        }
    }
}

/// `ValidateRollingUpdateDeployment`.
fn rolling_update(found: &mut FieldErrors, rolling: &Value) {
    let (unavailable, surge) = (at(rolling, "/maxUnavailable"), at(rolling, "/maxSurge"));
    let at_unavailable = "spec.strategy.rollingUpdate.maxUnavailable";
    int_or_percent(found, at_unavailable, unavailable);
    int_or_percent(found, "spec.strategy.rollingUpdate.maxSurge", surge);
    if number(unavailable) == 0 && number(surge) == 0 {
        let why = "may not be 0 when `maxSurge` is 0";
        found.invalid(at_unavailable, &go_int_or_string(unavailable), why);
    }
    if unavailable.is_string() && number(unavailable) > 100 {
        let why = "must not be greater than 100%";
        found.invalid(at_unavailable, &go_int_or_string(unavailable), why);
    }
}

/// `ValidatePositiveIntOrPercent`.
fn int_or_percent(found: &mut FieldErrors, field: &str, value: &Value) {
    match value {
        Value::String(text) => {
            let digits = text.strip_suffix('%').unwrap_or_default();
            if digits.is_empty() || !digits.bytes().all(|letter| letter.is_ascii_digit()) {
                let why = "a valid percent string must be a numeric string followed by an ending '%' \
                           (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
                found.invalid(field, &go_int_or_string(value), why);
            }
        }
        other => found.not_negative(field, other),
    }
}

/// `getIntOrPercentValue`: the number before the percent sign, or the number.
fn number(value: &Value) -> i64 {
    match value {
        Value::String(text) => text.trim_end_matches('%').parse().unwrap_or(0),
        other => other.as_i64().unwrap_or(0),
    }
}

fn stateful_set(found: &mut FieldErrors, old: Option<&Value>, new: &Value) {
    found.not_negative("spec.replicas", at(new, "/spec/replicas"));
    found.not_negative("spec.minReadySeconds", at(new, "/spec/minReadySeconds"));
    let partition = at(new, "/spec/updateStrategy/rollingUpdate/partition");
    found.not_negative("spec.updateStrategy.rollingUpdate.partition", partition);
    selector_and_template(found, new);
    let Some(old) = old else { return };
    // ValidateStatefulSetUpdate: the fields that may change.
    const MAY_CHANGE: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let remainder = |object: &Value| {
        let mut spec = object["spec"].clone();
        let map = super::json_pointer::map(&mut spec);
        map.retain(|key, _| !MAY_CHANGE.contains(&key.as_str()));
        spec
    };
    if remainder(old) != remainder(new) {
        let message = "Forbidden: updates to statefulset spec for fields other than 'replicas', \
                       'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', \
                       'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        found.add("FieldValueForbidden", "spec", message.to_owned());
    }
}

fn lease(found: &mut FieldErrors, new: &Value) {
    if let Some(seconds) = at(new, "/spec/leaseDurationSeconds").as_i64()
        && seconds <= 0
    {
        found.invalid("spec.leaseDurationSeconds", &seconds.to_string(), "must be greater than 0");
    }
    found.not_negative("spec.leaseTransitions", at(new, "/spec/leaseTransitions"));
    if at(new, "/spec/holderIdentity").as_str() == Some("") {
        found.invalid("spec.holderIdentity", "\"\"", "must not be empty");
    }
}

/// A value as Go prints it with `%#v`, which is what messages have.
fn go_int_or_string(value: &Value) -> String {
    match value {
        Value::String(text) => format!("intstr.IntOrString{{Type:1, IntVal:0, StrVal:{text:?}}}"),
        other => {
            let number = other.as_i64().unwrap_or(0);
            format!("intstr.IntOrString{{Type:0, IntVal:{number}, StrVal:\"\"}}")
        }
    }
}

fn go_map(value: &Value) -> String {
    let Some(map) = value.as_object() else { return "map[string]string(nil)".to_owned() };
    let pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key:?}:{value}")).collect();
    format!("map[string]string{{{}}}", pairs.join(", "))
}

fn go_selector(selector: &Value) -> String {
    format!(
        "v1.LabelSelector{{MatchLabels:{}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}}",
        go_map(at(selector, "/matchLabels"))
    )
}
