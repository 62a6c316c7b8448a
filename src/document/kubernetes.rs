//! Rules of a Kubernetes workload as a target, and its revisions as text.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::config::{
    DurationText, KubernetesWorkloadConfig, PacingName, PolicyName, RollingDeploymentConfig,
};
use super::diagnostic::{Diagnostic, step};

/// The shortest time for which an instance must be ready where the controller is paused between
/// batches. Kubernetes counts in whole seconds: with one second an instance may be available at once,
/// before the controller is paused.
const SHORTEST_SOAK: Duration = Duration::from_secs(2);

pub(super) fn check(config: &RollingDeploymentConfig, pointer: &str, found: &mut Vec<Diagnostic>) {
    let Some((attribute, workload)) = config.workload() else { return };
    let place = format!("{pointer}/{attribute}");
    check_revision(workload, &place, found);
    let names = [("namespace", workload.namespace.as_ref()), ("name", Some(&workload.name))];
    for (attribute, name) in names {
        if let Some(name) = name.filter(|name| !is_name(name)) {
            let message = format!("{name:?} is no name of Kubernetes'");
            let remedy = "use lower case letters, digits, `-` and `.`";
            let at = format!("{place}/{attribute}");
            found.push(Diagnostic::error(at, message).with_remedy(remedy));
        }
    }
    let soak = config.health.as_ref().and_then(|health| health.min_healthy_time.as_ref());
    let soak = soak.map(DurationText::get);
    if let Some(soak) = soak.filter(|soak| *soak < SHORTEST_SOAK && is_paused(config)) {
        let soak = humantime::format_duration(soak);
        let message = format!(
            "the controller is paused between batches, and with {soak} an instance counts before \
             that could be done"
        );
        let at = format!("{pointer}/health/min_healthy_time");
        found.push(Diagnostic::error(at, message).with_remedy("set it to at least 2s"));
    }
}

/// Whether the document asks for something that the controller has to be paused for. A StatefulSet's
/// stops by itself.
fn is_paused(config: &RollingDeploymentConfig) -> bool {
    let (gates, hooks) = (config.gates.as_ref(), config.hooks.as_ref());
    if config.kubernetes_deployment.is_none() {
        return false;
    }
    config.pacing == Some(PacingName::Batch)
        || config.policy == PolicyName::Immutable
        || config.checkpoints.as_ref().is_some_and(|all| !all.is_empty())
        || config.pause_between_batches.as_ref().is_some_and(|pause| !pause.get().is_zero())
        || gates.is_some_and(|gates| gates.http.is_some() || gates.command.is_some())
        || hooks.is_some_and(|hooks| hooks.after_healthy.is_some() || hooks.after_batch.is_some())
}

/// What the pods are to run must be given, and be readable in the name of a revision.
fn check_revision(workload: &KubernetesWorkloadConfig, place: &str, found: &mut Vec<Diagnostic>) {
    let images = workload.images.iter().flatten();
    let annotations = workload.annotations.iter().flatten();
    if images.clone().next().is_none() && annotations.clone().next().is_none() {
        let remedy = "give images, with an image for each container that changes";
        let message = "it does not say what the pods are to run";
        found.push(Diagnostic::error(place, message).with_remedy(remedy));
    }
    for (container, image) in images {
        if image.is_empty() || image.contains(char::is_whitespace) {
            let at = format!("{place}/images/{}", step(container));
            found.push(Diagnostic::error(at, format!("{image:?} is no image")));
        }
    }
    for (key, value) in annotations {
        if key.contains(char::is_whitespace) || value.contains(char::is_whitespace) {
            let at = format!("{place}/annotations/{}", step(key));
            let message = "an annotation that makes a revision has no spaces";
            found.push(Diagnostic::error(at, message).with_remedy("use a checksum, or a time"));
        }
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let ends = [name.chars().next(), name.chars().last()];
    name.chars().all(allowed)
        && ends.into_iter().flatten().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
}

/// Returns images and annotations of a revision as `status` shows it: `app=web:2 in web-5d9c`. Which
/// of them are images follows from `config`, the part of the workload; `None` where it names
/// something else.
pub(super) fn parts_of(revision: &str, config: &Value) -> Option<Value> {
    let text = revision.rsplit_once(" in ").map_or(revision, |(text, _)| text);
    let (mut images, mut annotations) = (Map::new(), Map::new());
    for part in text.split_whitespace() {
        let (name, value) = part.split_once('=')?;
        let is_image = !config["images"][name].is_null();
        if !is_image && config["annotations"][name].is_null() {
            return None;
        }
        let parts = if is_image { &mut images } else { &mut annotations };
        parts.insert(name.to_owned(), json!(value));
    }
    let is_none = images.is_empty() && annotations.is_empty();
    (!is_none).then(|| {
        let given = |parts: Map<String, Value>| {
            if parts.is_empty() { Value::Null } else { Value::Object(parts) }
        };
        json!({ "images": given(images), "annotations": given(annotations) })
    })
}

#[cfg(test)]
mod tests {
    use super::super::convert::deployment;
    use super::*;

    fn refused(more: &Value) -> Vec<String> {
        let mut config = json!({
            "policy": "rolling", "max_unavailable": 1,
            "kubernetes_deployment": { "name": "web", "images": { "app": "web:2" } },
        });
        for (key, value) in more.as_object().expect("attributes") {
            config[key] = value.clone();
        }
        let found = deployment(&config, "").err().unwrap_or_default();
        found.into_iter().map(|finding| finding.pointer).collect()
    }

    #[test]
    fn what_makes_no_revision_and_what_cannot_be_paused_in_time_is_refused() {
        assert_eq!(refused(&json!({})), Vec::<String>::new());
        let none = json!({ "kubernetes_deployment": { "name": "web" } });
        assert_eq!(refused(&none), ["/kubernetes_deployment"]);
        let space = json!({ "kubernetes_deployment": {
            "name": "We b", "images": { "app": "" }, "annotations": { "x": "a b" },
        } });
        assert_eq!(refused(&space).len(), 3);
        let short = json!({ "min_healthy_time": "1s" });
        assert_eq!(refused(&json!({ "health": short })), Vec::<String>::new());
        let paused = json!({ "health": short, "pacing": "batch" });
        assert_eq!(refused(&paused), ["/health/min_healthy_time"]);
    }

    #[test]
    fn a_daemon_set_is_refused_by_name() {
        let config = json!({
            "policy": "rolling", "max_unavailable": 1, "kubernetes_daemonset": { "name": "agent" },
        });
        let found = deployment(&config, "").expect_err("nothing rolls one");
        let told =
            found.iter().find(|it| it.pointer == "/kubernetes_daemonset").expect("a finding");
        let remedy = told.remedy.as_deref().unwrap_or_default();
        assert!(remedy.contains("a DaemonSet has neither a pause nor a partition"), "{remedy}");
    }

    #[test]
    fn a_stateful_set_is_stopped_by_its_partition_without_a_race() {
        let set = json!({
            "kubernetes_deployment": null, "pacing": "batch",
            "kubernetes_stateful_set": { "name": "db", "images": { "app": "db:2" } },
            "health": { "min_healthy_time": "0s" },
        });
        assert_eq!(refused(&set), Vec::<String>::new());
    }

    #[test]
    fn a_revision_is_read_as_it_is_shown() {
        let config = json!({ "images": { "app": "web:2" }, "annotations": { "sum": "1" } });
        let read = parts_of("app=web:1 sum=0 in web-5d9c", &config);
        let wanted = json!({ "images": { "app": "web:1" }, "annotations": { "sum": "0" } });
        assert_eq!(read, Some(wanted));
        assert_eq!(parts_of("web:1", &config), None);
        assert_eq!(parts_of("other=web:1", &config), None);
    }
}
