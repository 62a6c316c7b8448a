//! Fits a draft to its target: gives it the target, leaves out what that does not support, and checks
//! the result.

use serde_json::{Value, json};

use super::draft::Draft;
use super::target_id::TargetId;
use crate::document::config::{TARGET_KINDS, TargetKind, UNSUPPORTED, Unsupported};
use crate::document::{Diagnostic, Severity, deployment, step};

/// A document, and what has no equivalent in it.
#[derive(Debug)]
pub(crate) struct Conversion {
    /// The document.
    pub(crate) document: Value,
    /// One for each thing without an equivalent, and for each placeholder; its place is in the input.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// What stands in a document until somebody fills it in.
struct Placeholder {
    /// Its place in the deployment, as a JSON Pointer.
    place: String,
    /// What it is, for people.
    what: &'static str,
    /// What is written there.
    shown: Value,
    /// A value that could be there, for the check.
    sample: Value,
}

const SAMPLE_ARN: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef";

/// Returns the kind of target that `draft` is for.
pub(super) fn kind(draft: &Draft, chosen: Option<&TargetId>) -> &'static TargetKind {
    let known = |name: &&'static str| TARGET_KINDS.iter().find(|kind| kind.attribute == *name);
    let by_default = draft.kinds.iter().find_map(known);
    chosen.map(|id| id.kind).or(by_default).unwrap_or(&TARGET_KINDS[0])
}

/// Makes a document of `draft`, for the target `chosen`.
///
/// # Errors
/// Every value that cannot be converted, with its place in the input.
pub(super) fn fit(
    mut draft: Draft,
    chosen: Option<&TargetId>,
) -> Result<Conversion, Vec<Diagnostic>> {
    let kind = kind(&draft, chosen);
    let mut placeholders = Vec::new();
    let mut config = draft.attributes.clone();
    config[kind.attribute] = json!({});
    name(kind, chosen, &draft, &mut config, &mut placeholders);
    revision(kind, &mut draft, &mut config, &mut placeholders);
    bounds_to_batches(&mut draft, &mut config);
    leave_out_unsupported(&mut draft, &mut config);
    complete_bounds(&mut draft, &mut config);
    traffic(kind, &config, &mut placeholders);
    let mut sample = config.clone();
    for placeholder in &placeholders {
        put(&mut config, &placeholder.place, &placeholder.shown);
        put(&mut sample, &placeholder.place, &placeholder.sample);
    }
    if let Err(found) = deployment(&sample, "")
        && draft.errors.is_empty()
    {
        draft.errors = found.into_iter().map(|finding| in_input(finding, kind, &draft)).collect();
    }
    if !draft.errors.is_empty() {
        return Err(draft.errors);
    }
    let name = resource_name(kind, &config);
    let place = format!("/resource/rolling_deployment/{}", step(&name));
    draft.warnings.extend(placeholders.iter().map(|placeholder| {
        let summary = format!("the input does not say {}", placeholder.what);
        let remedy = format!("fill in {place}{} of the document", placeholder.place);
        Diagnostic::warning("", summary).with_remedy(remedy)
    }));
    let document = json!({ "resource": { "rolling_deployment": { name: config } } });
    Ok(Conversion { document, warnings: draft.warnings })
}

/// Sets the target's name: that of `chosen`, or what the input says.
fn name(
    kind: &TargetKind,
    chosen: Option<&TargetId>,
    draft: &Draft,
    config: &mut Value,
    placeholders: &mut Vec<Placeholder>,
) {
    for place in kind.names {
        let step = last_step(place);
        let known = match chosen {
            Some(chosen) => chosen.name_at(place).map(Value::from),
            None => draft.names.get(step).cloned(),
        };
        let is_needed = kind.names.last() == Some(place);
        match known {
            Some(name) => put(config, place, &name),
            None if is_needed => placeholders.push(Placeholder {
                place: (*place).to_owned(),
                what: "which target it is for",
                shown: json!("NAME"),
                sample: if step == "arn" { json!(SAMPLE_ARN) } else { json!("web-prod") },
            }),
            None => {}
        }
    }
}

/// Sets what the target is to run, where the input says it in the target's own terms.
fn revision(
    kind: &TargetKind,
    draft: &mut Draft,
    config: &mut Value,
    placeholders: &mut Vec<Placeholder>,
) {
    let revisions = std::mem::take(&mut draft.revisions);
    let mut is_set = false;
    for (name, (value, origin)) in revisions {
        if let Some(place) = kind.revision.iter().find(|place| last_step(place) == name) {
            put(config, place, &value);
            draft.comes_from(place, &origin);
            is_set = true;
        } else {
            let summary =
                format!("{name} is left out: a target of the kind {} has none", kind.attribute);
            draft.warn(&origin, summary, "name what the target is to run in its own terms");
        }
    }
    let Some(place) = kind.revision.first().filter(|_| !is_set) else { return };
    let template = |id, version| json!({ "id": id, "version": version });
    let (shown, sample) = match last_step(place) {
        "launch_template" => (template("lt-...", "..."), template("lt-1", "1")),
        "images" => (json!({ "CONTAINER": "IMAGE" }), json!({ "app": "web:1" })),
        other => (json!(other.to_uppercase()), json!("v1")),
    };
    let what = "what the target is to run";
    placeholders.push(Placeholder { place: (*place).to_owned(), what, shown, sample });
}

/// Makes a batch of the bounds of a rolling policy where the target has batches in their place: of those
/// that may be out, or else of those that may come beside the fleet.
fn bounds_to_batches(draft: &mut Draft, config: &mut Value) {
    let has_batches =
        UNSUPPORTED.iter().any(|row| row.place == "/max_unavailable" && row.by.is_chosen(config));
    if !has_batches || config["policy"] != "rolling" {
        return;
    }
    let batch = |bound: &Value| match bound.as_str().and_then(|text| text.strip_suffix('%')) {
        Some(percent) => percent.parse().ok().map(|percent: u64| ("percentage", percent.min(100))),
        None => bound.as_u64().map(|count| ("fixed", count)),
    };
    let of = |name: &str| batch(&config[name]).filter(|(_, size)| *size > 0);
    let (policy, name, (kind, size)) = match (of("max_unavailable"), of("max_surge")) {
        (Some(out), _) => ("rolling", "max_unavailable", out),
        (None, Some(beside)) => ("rolling_with_additional_batch", "max_surge", beside),
        (None, None) => return,
    };
    let origin = draft.origin(&format!("/{name}"));
    for (attribute, value) in
        [("policy", json!(policy)), ("batch_size_type", json!(kind)), ("batch_size", json!(size))]
    {
        config[attribute] = value;
    }
    let is_both = ["max_surge", "max_unavailable"].iter().all(|bound| !is_none(&config[*bound]));
    for bound in ["max_surge", "max_unavailable"] {
        remove(config, &format!("/{bound}"));
    }
    let more = if is_both { ", and max_surge is left out" } else { "" };
    let summary = format!("{name} becomes the size of a batch{more}: the platform has batches");
    draft.warn(&origin, summary, "see that the batches are as large as they should be");
}

/// Whether a bound lets nothing be replaced.
fn is_none(bound: &Value) -> bool {
    bound.is_null() || *bound == 0 || *bound == "0%"
}

/// Leaves out what the target or its engine does not support, each with a warning.
fn leave_out_unsupported(draft: &mut Draft, config: &mut Value) {
    // Who rolls and how comes first: what else is supported follows from it.
    let rank = |row: &&Unsupported| match row.place {
        "/engine" => 0,
        "/policy" => 1,
        _ => 2,
    };
    // Each row is asked for at most once, unless no policy is left.
    for _ in UNSUPPORTED {
        let asked = UNSUPPORTED.iter().filter(|row| row.is_asked(config));
        let Some(row) = asked.min_by_key(rank) else { return };
        let origin = draft.origin(row.place);
        let name = row.place.trim_start_matches('/').replace('/', ".");
        let before = config["policy"].as_str().unwrap_or_default().to_owned();
        let summary = match row.place {
            "/policy" => {
                substitute_policy(row, config);
                format!(
                    "the policy {before} becomes {}",
                    config["policy"].as_str().unwrap_or_default()
                )
            }
            _ => {
                remove(config, row.place);
                format!("{name} is left out")
            }
        };
        draft.warn(&origin, format!("{summary}: {}", row.why), &remedy(row));
    }
}

/// Returns what to do about what was left out.
fn remedy(row: &Unsupported) -> String {
    let more = row.remedy.strip_prefix("remove it").or(row.remedy.strip_prefix("remove them"));
    match more.map(|more| more.trim_start_matches([',', ';', ' '])) {
        Some("") => "see that the rollout does without it".to_owned(),
        Some(more) => {
            more.strip_prefix("or ").or(more.strip_prefix("and ")).unwrap_or(more).to_owned()
        }
        None => row.remedy.to_owned(),
    }
}

/// Chooses the nearest policy that `row` does not refuse.
fn substitute_policy(row: &Unsupported, config: &mut Value) {
    for policy in ["immutable", "rolling", "all_at_once"] {
        config["policy"] = json!(policy);
        if !row.is_asked(config) {
            return;
        }
    }
}

/// Sees that a rolling policy may replace something, where what it could was left out. Where the
/// input itself has neither bound, the check says so.
fn complete_bounds(draft: &mut Draft, config: &mut Value) {
    let bounds = ["max_surge", "max_unavailable"];
    let before = &draft.attributes;
    let lost = |name: &&str| !is_none(&before[*name]) && is_none(&config[*name]);
    let is_changed = before["policy"] != config["policy"] || bounds.iter().any(lost);
    let has_none = config["batch_size"].is_null() && bounds.iter().all(|it| is_none(&config[*it]));
    if config["policy"] == "rolling" && is_changed && has_none {
        let origin = draft.origin(if lost(&"max_surge") { "/max_surge" } else { "/policy" });
        config["max_unavailable"] = json!(1);
        let summary = "max_unavailable becomes 1, since nothing else would be replaced";
        draft.warn(&origin, summary, "set it to how many may be out at a time");
    }
}

/// Adds what shifts requests of a group, which no other tool names.
fn traffic(kind: &TargetKind, config: &Value, placeholders: &mut Vec<Placeholder>) {
    let shifts = ["traffic_splitting", "blue_green"].iter().any(|it| config["policy"] == *it);
    if !shifts || kind.attribute != "auto_scaling_group" {
        return;
    }
    let rule = "arn:aws:elasticloadbalancing:...:listener-rule/...";
    placeholders.push(Placeholder {
        place: "/traffic/second_target_group_arn".into(),
        what: "in which target group the new instances serve first",
        shown: json!("arn:aws:elasticloadbalancing:...:targetgroup/..."),
        sample: json!(SAMPLE_ARN),
    });
    placeholders.push(Placeholder {
        place: "/traffic/listener_rule_arns".into(),
        what: "which listener rules forward to both target groups",
        shown: json!([rule]),
        sample: json!([rule]),
    });
}

/// Returns a finding about the deployment as one about the input that it comes from.
fn in_input(finding: Diagnostic, kind: &TargetKind, draft: &Draft) -> Diagnostic {
    let images = format!("/{}/images", kind.attribute);
    let pointer = match finding.pointer.strip_prefix(&images) {
        Some(container) => draft.origin(&format!("/images{container}")),
        None => draft.origin(&finding.pointer),
    };
    let attribute = finding.pointer.trim_start_matches('/').replace('/', ".");
    let summary = match attribute.is_empty() {
        true => finding.summary,
        false => format!("{attribute}: {}", finding.summary),
    };
    Diagnostic { pointer, summary, severity: Severity::Error, remedy: finding.remedy }
}

/// Returns the name of the resource, after that of its target: a name as Terraform has it.
fn resource_name(kind: &TargetKind, config: &Value) -> String {
    let name = kind.names.last().and_then(|place| config.pointer(place)).and_then(Value::as_str);
    let name = name.unwrap_or("NAME");
    let name = match name.split_once(":targetgroup/") {
        Some((_, after)) => after.split('/').next().unwrap_or(after),
        None => name,
    };
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name: String = name.chars().map(|c| if is_allowed(c) { c } else { '_' }).collect();
    match name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        true => name,
        false => format!("_{name}"),
    }
}

fn last_step(place: &str) -> &str {
    place.rsplit('/').next().unwrap_or(place)
}

/// Sets the value at `place`, and the objects around it where they are not there.
fn put(config: &mut Value, place: &str, value: &Value) {
    let mut at = config;
    for step in place.split('/').skip(1) {
        at = &mut at[step];
    }
    *at = value.clone();
}

/// Removes the value at `place`, and the object around it where nothing else is in it.
fn remove(config: &mut Value, place: &str) {
    let Some((around, name)) = place.rsplit_once('/') else { return };
    let is_empty =
        config.pointer_mut(around).and_then(Value::as_object_mut).is_some_and(|object| {
            object.remove(name);
            object.is_empty()
        });
    if is_empty && !around.is_empty() {
        remove(config, around);
    }
}
