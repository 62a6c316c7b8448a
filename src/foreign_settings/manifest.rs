//! The manifest of a Kubernetes workload as a deployment.

use serde_json::{Map, Value, json};

use super::draft::Draft;
use super::iso_duration::span;
use super::known_shape::place_of;
use super::setting::{Setting, field};
use super::strategy;
use super::target_id::TargetId;
use crate::document::config::{DurationText, NOT_ROLLED};
use crate::document::{Diagnostic, step};

/// The kinds that are rolled, with their targets.
const KINDS: [(&str, &[&str]); 2] =
    [("Deployment", &["kubernetes_deployment"]), ("StatefulSet", &["kubernetes_stateful_set"])];

/// An object of Kubernetes, and where it is.
#[derive(Debug)]
pub(super) struct ManifestObject<'v> {
    value: &'v Value,
    place: String,
}

impl ManifestObject<'_> {
    fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.value["metadata"][name].as_str().filter(|text| !text.is_empty())
    }

    /// Returns the kinds of targets that it may be, none where it is not rolled.
    fn targets(&self) -> Option<&'static [&'static str]> {
        let version = self.value["apiVersion"].as_str().unwrap_or_default();
        let is_workload = version.starts_with("apps/") || version.starts_with("extensions/");
        let known = KINDS.iter().find(|(kind, _)| is_workload && *kind == self.kind());
        known.map(|(_, targets)| *targets)
    }

    /// Whether it is what `chosen` names.
    fn is(&self, chosen: &TargetId) -> bool {
        let [scope, name] = chosen.kind.names else { return false };
        let scope = chosen.name_at(scope);
        self.targets().is_some_and(|targets| targets.contains(&chosen.kind.attribute))
            && self.text("name") == chosen.name_at(name)
            && (scope.is_none() || self.text("namespace").is_none_or(|it| Some(it) == scope))
    }

    fn shown(&self) -> String {
        let names = [self.text("namespace"), self.text("name")];
        let names: Vec<&str> = names.into_iter().flatten().collect();
        format!("{} {}", self.kind(), names.join("/"))
    }
}

/// Returns the objects of Kubernetes in `documents`, those of lists included.
pub(super) fn objects(documents: &[Value]) -> Vec<ManifestObject<'_>> {
    let mut found = Vec::new();
    for (index, value) in documents.iter().enumerate() {
        let place = place_of(documents, index);
        let is_text = |name: &str| value[name].is_string();
        if !is_text("kind") || !is_text("apiVersion") {
            continue;
        }
        match value["items"].as_array() {
            Some(items) => {
                let numbered = items.iter().enumerate();
                let place = |index| format!("{place}/items/{index}");
                found.extend(
                    numbered.map(|(index, value)| ManifestObject { value, place: place(index) }),
                );
            }
            None => found.push(ManifestObject { value, place }),
        }
    }
    found
}

/// Converts the only workload among `objects`, or the one that `chosen` names.
///
/// # Errors
/// When there is none, or several.
pub(super) fn draft(
    objects: &[ManifestObject<'_>],
    chosen: Option<&TargetId>,
) -> Result<Draft, Vec<Diagnostic>> {
    let all: Vec<_> =
        objects.iter().filter_map(|object| Some((object, object.targets()?))).collect();
    let named = all.iter().filter(|(object, _)| chosen.is_some_and(|id| object.is(id)));
    let named: Vec<_> = named.copied().collect();
    let (object, targets) = match (named.as_slice(), all.as_slice()) {
        ([one], _) | (_, [one]) => *one,
        (_, []) => return Err(vec![no_workload(objects)]),
        (_, several) => {
            let names: Vec<String> = several.iter().map(|(object, _)| object.shown()).collect();
            let summary = format!("there are several workloads: {}", names.join(", "));
            let remedy = "give one of them alone, or name it by --target \
                          kubernetes_deployment/NAMESPACE/NAME";
            return Err(vec![Diagnostic::error("", summary).with_remedy(remedy)]);
        }
    };
    Ok(workload(object, targets))
}

fn no_workload(objects: &[ManifestObject<'_>]) -> Diagnostic {
    let mut kinds: Vec<&str> = objects.iter().map(ManifestObject::kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let daemon_set = NOT_ROLLED.iter().find(|(name, _)| *name == "kubernetes_daemon_set");
    let why = daemon_set.filter(|_| kinds.contains(&"DaemonSet")).map(|(_, why)| *why);
    let remedy = why.unwrap_or("give a Deployment or a StatefulSet of apps/v1");
    let summary = format!("there is no Deployment and no StatefulSet, only {}", kinds.join(", "));
    Diagnostic::error("", summary).with_remedy(remedy)
}

fn workload(object: &ManifestObject<'_>, targets: &'static [&'static str]) -> Draft {
    let mut draft = Draft::new(targets);
    for name in ["namespace", "name"] {
        if let Some(text) = object.text(name) {
            draft.names.insert(name.into(), json!(text));
        }
    }
    let (spec, place) = (&object.value["spec"], format!("{}/spec", object.place));
    match object.kind() {
        "Deployment" => strategy::of_deployment(spec, &place, &mut draft),
        _ => strategy::of_stateful_set(spec, &place, &mut draft),
    }
    let longest = DurationText::LONGEST.as_secs();
    if let Some(ready) = field(spec, &place, "minReadySeconds")
        && let Some(seconds) = ready.integer(0..=longest, &mut draft)
    {
        draft.set("/health/min_healthy_time", span(seconds), &ready.place);
    }
    deadline(spec, &place, &mut draft);
    if let Some(paused) = field(spec, &place, "paused").filter(|it| it.value == true) {
        let summary = "the Deployment is paused: a rollout lets its controller go on";
        draft.warn(&paused.place, summary, "add a checkpoint where the rollout is to wait");
    }
    images(spec, &place, &mut draft);
    draft
}

fn deadline(spec: &Value, place: &str, draft: &mut Draft) {
    let Some(deadline) = field(spec, place, "progressDeadlineSeconds") else { return };
    // The greatest number that Kubernetes takes means that there is no deadline.
    let Some(seconds) = deadline.integer(1..=u64::from(i32::MAX.unsigned_abs()), draft) else {
        return;
    };
    if seconds <= DurationText::LONGEST.as_secs() {
        return draft.set("/progress_deadline", span(seconds), &deadline.place);
    }
    let summary = "progressDeadlineSeconds is left out: a time span is 365 days at most";
    draft.warn(&deadline.place, summary, "set progress_deadline, if one is wanted");
}

/// Reads the images of all containers.
fn images(spec: &Value, place: &str, draft: &mut Draft) {
    let pod = &spec["template"]["spec"];
    let place = format!("{place}/template/spec");
    let mut images = Map::new();
    for list in ["containers", "initContainers"] {
        for (index, container) in pod[list].as_array().into_iter().flatten().enumerate() {
            let place = format!("{place}/{list}/{index}");
            let name = container["name"].as_str().unwrap_or_default();
            let Some(image) = field(container, &place, "image") else { continue };
            if name.is_empty() || !image.value.is_string() || image.is_expression() {
                let wanted = "the image of a container with a name";
                image.refuse(wanted, "give the manifest as it is applied", draft);
                continue;
            }
            draft.comes_from(&format!("/images/{}", step(name)), &image.place);
            images.insert(name.to_owned(), image.value.clone());
        }
    }
    match images.is_empty() {
        false => {
            draft.revisions.insert("images", (Value::Object(images), place));
        }
        true => {
            let spec = Setting { name: "the pod template".into(), value: pod, place };
            let remedy = "give the manifest with its containers";
            spec.refuse("one with the image of a container", remedy, draft);
        }
    }
}
