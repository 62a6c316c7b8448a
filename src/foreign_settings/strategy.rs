//! The update strategies of Kubernetes' workloads as policies.

use serde_json::{Value, json};

use super::draft::Draft;
use super::setting::{Setting, field};

/// Kubernetes' default for both bounds of a Deployment.
const DEFAULT_BOUND: &str = "25%";

/// Converts the strategy of a Deployment, whose `spec` is at `place`.
pub(super) fn of_deployment(spec: &Value, place: &str, draft: &mut Draft) {
    let strategy = field(spec, place, "strategy");
    let kinds = [("RollingUpdate", "rolling"), ("Recreate", "all_at_once")];
    let kind = strategy.as_ref().and_then(|it| it.field("type"));
    let policy = match &kind {
        Some(kind) => kind.choice(&kinds, draft).unwrap_or("rolling"),
        None => "rolling",
    };
    let at = strategy.as_ref().map_or_else(|| place.to_owned(), |it| it.place.clone());
    draft.set("/policy", policy, &at);
    if let Some(kind) = kind.filter(|_| policy == "all_at_once") {
        let summary = "Recreate has no equal: all_at_once ends all old pods and creates all new \
                       ones at the same time, and does not wait until the old ones are gone";
        let remedy = "choose rolling where old and new pods must not run together at any moment, \
                      or keep kubectl for this one";
        draft.warn(&kind.place, summary, remedy);
        return;
    }
    let bounds = strategy.as_ref().and_then(|it| it.field("rollingUpdate"));
    for (name, attribute) in [("maxSurge", "/max_surge"), ("maxUnavailable", "/max_unavailable")] {
        match bounds.as_ref().and_then(|it| it.field(name)) {
            Some(given) => bound(&given, attribute, draft),
            None => draft.set(attribute, DEFAULT_BOUND, &at),
        }
    }
}

/// Converts the strategy of a StatefulSet, whose `spec` is at `place`.
pub(super) fn of_stateful_set(spec: &Value, place: &str, draft: &mut Draft) {
    let strategy = field(spec, place, "updateStrategy");
    let at = strategy.as_ref().map_or_else(|| place.to_owned(), |it| it.place.clone());
    draft.set("/policy", "rolling", &at);
    let kinds = [("RollingUpdate", true), ("OnDelete", false)];
    if let Some(kind) = strategy.as_ref().and_then(|it| it.field("type"))
        && kind.choice(&kinds, draft) == Some(false)
    {
        let summary = "OnDelete has no equivalent: with it a pod is replaced when somebody deletes \
                       it, and this document replaces one after the other";
        let remedy = "set updateStrategy.type to RollingUpdate before the rollout";
        draft.warn(&kind.place, summary, remedy);
    }
    let rolling = strategy.as_ref().and_then(|it| it.field("rollingUpdate"));
    match rolling.as_ref().and_then(|it| it.field("maxUnavailable")) {
        Some(given) => bound(&given, "/max_unavailable", draft),
        None => draft.set("/max_unavailable", 1, &at),
    }
    if let Some(partition) = rolling.and_then(|it| it.field("partition"))
        && partition.integer(0..=u64::from(u32::MAX), draft).is_some_and(|from| from > 0)
    {
        let summary = format!(
            "partition {} is left out: a rollout replaces all pods, and sets the partition itself",
            partition.value
        );
        draft.warn(&partition.place, summary, "add a checkpoint where the rollout is to wait");
    }
}

/// Sets a bound as it is written.
fn bound(given: &Setting<'_>, attribute: &str, draft: &mut Draft) {
    let percent = given.value.as_str().and_then(|text| text.strip_suffix('%'));
    let percent = percent.and_then(|text| text.parse::<u64>().ok());
    let count = given.value.as_u64().filter(|count| u32::try_from(*count).is_ok());
    match (percent, count) {
        (Some(percent), _) if percent > 100 && attribute == "/max_surge" => {
            let summary = format!("maxSurge {percent}% becomes 100%: more is never needed");
            draft.warn(&given.place, summary, "leave it");
            draft.set(attribute, "100%", &given.place);
        }
        (Some(0..=100), _) => draft.set(attribute, given.value.clone(), &given.place),
        (_, Some(count)) => draft.set(attribute, json!(count), &given.place),
        _ => {
            let wanted = "a number of pods, or a percentage from 0% to 100%";
            given.refuse(wanted, "write for instance 1 or \"25%\"", draft);
        }
    }
}
