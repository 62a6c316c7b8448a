//! Preferences of an instance refresh as attributes, for the same engine.

use serde_json::{Value, json};

use super::draft::Draft;
use super::iso_duration::span;
use super::known_shape::{FoundSettings, PREFERENCES};
use super::setting::{Setting, block, field, spellings};
use super::template_reference;
use crate::model::limits::{LONGEST_WAIT, WIDEST};

/// The kind of target that the preferences are for.
const GROUP: &[&str] = &["auto_scaling_group"];
/// How long AWS waits at a checkpoint unless told otherwise, in seconds.
const CHECKPOINT_DELAY: u64 = 3600;
/// What AWS keeps healthy unless told otherwise, in percent.
const MIN_HEALTHY: u64 = 90;
/// The ways to handle instances that are set aside: AWS's names, and ours.
const SET_ASIDE: [(&str, &str); 4] =
    [("Refresh", "refresh"), ("Terminate", "refresh"), ("Ignore", "ignore"), ("Wait", "wait")];

/// Converts preferences as StartInstanceRefresh takes them: alone, or in a whole request.
pub(super) fn draft(found: &FoundSettings<'_>) -> Draft {
    let mut draft = Draft::new(GROUP);
    let (value, place) = (found.value, found.place.as_str());
    if let Some(name) = field(value, place, "AutoScalingGroupName").filter(|it| is_known(it)) {
        draft.names.insert("name".into(), name.value.clone());
    }
    if let Some(desired) = field(value, place, "DesiredConfiguration") {
        let (value, place) = block(desired.value, &desired.place);
        template_reference::read(value, &place, &mut draft);
    }
    strategy(field(value, place, "Strategy").as_ref(), &mut draft);
    let inner = field(value, place, "Preferences");
    let none = json!({});
    let is_request = ["AutoScalingGroupName", "Strategy", "DesiredConfiguration"]
        .iter()
        .any(|name| field(value, place, name).is_some());
    let (preferences, place) = match &inner {
        Some(inner) => block(inner.value, &inner.place),
        None if is_request => (&none, place.to_owned()),
        None => (value, place.to_owned()),
    };
    convert(preferences, &place, "wait", &mut draft);
    draft
}

/// Converts the block `instance_refresh` of Terraform's `aws_autoscaling_group`, with what the group
/// runs.
pub(super) fn draft_of_block(found: &FoundSettings<'_>) -> Draft {
    let mut draft = Draft::new(GROUP);
    let (group, place) = (found.value, found.place.as_str());
    if let Some(name) = group_name(group, place) {
        draft.names.insert("name".into(), name);
    }
    template_reference::read(group, place, &mut draft);
    let Some(instance_refresh) = field(group, place, "InstanceRefresh") else { return draft };
    strategy(instance_refresh.field("Strategy").as_ref(), &mut draft);
    if let Some(triggers) = instance_refresh.field("Triggers") {
        let summary = "triggers have no equivalent: a rollout begins when the document names \
                       another revision";
        let remedy = "change launch_template where a tag or a size was to trigger a refresh, or set \
                      restart";
        draft.warn(&triggers.place, summary, remedy);
    }
    let none = json!({});
    let preferences = instance_refresh.field("Preferences");
    let (preferences, place) = match &preferences {
        Some(given) => block(given.value, &given.place),
        None => (&none, instance_refresh.place.clone()),
    };
    // Terraform's own default for instances that are set aside differs from that of the API.
    convert(preferences, &place, "ignore", &mut draft);
    draft
}

fn group_name(group: &Value, place: &str) -> Option<Value> {
    let named = ["Name", "AutoScalingGroupName"].iter().find_map(|name| field(group, place, name));
    named.filter(is_known).map(|it| it.value.clone())
}

fn is_known(name: &Setting<'_>) -> bool {
    name.value.is_string() && !name.is_expression()
}

fn strategy(given: Option<&Setting<'_>>, draft: &mut Draft) {
    let Some(given) = given else { return };
    let strategies = [("Rolling", true), ("ReplaceRootVolume", false)];
    if given.choice(&strategies, draft) == Some(false) {
        let summary = "the strategy ReplaceRootVolume has no equivalent with engine \
                       instance_refresh: this document replaces the instances";
        let remedy = "to keep them, set replacement.replace_root_volume and remove engine";
        draft.warn(&given.place, summary, remedy);
    }
}

/// Converts each preference. `set_aside` is what happens to instances that are set aside where
/// nothing is said.
fn convert(preferences: &Value, place: &str, set_aside: &str, draft: &mut Draft) {
    let given = |name: &str| field(preferences, place, name);
    draft.set("/policy", "rolling", place);
    draft.set("/engine", "instance_refresh", place);
    bounds(given("MinHealthyPercentage"), given("MaxHealthyPercentage"), place, draft);
    let longest = LONGEST_WAIT.as_secs();
    for (name, attribute, most) in [
        ("InstanceWarmup", "/health/min_healthy_time", 365 * 86_400),
        ("BakeTime", "/gates/bake_time", longest),
    ] {
        let Some(setting) = given(name) else { continue };
        if let Some(seconds) = setting.integer(0..=most, draft) {
            draft.set(attribute, span(seconds), &setting.place);
        }
    }
    checkpoints(given("CheckpointPercentages"), given("CheckpointDelay"), draft);
    let rolls_back = given("AutoRollback");
    let back = rolls_back.as_ref().and_then(|it| it.boolean(draft)) == Some(true);
    let at = rolls_back.map_or_else(|| place.to_owned(), |it| it.place);
    draft.set("/on_failure", if back { "rollback" } else { "stop" }, &at);
    alarms(given("AlarmSpecification"), draft);
    for (name, attribute) in [
        ("ScaleInProtectedInstances", "/scale_in_protected_instances"),
        ("StandbyInstances", "/standby_instances"),
    ] {
        let setting = given(name);
        let chosen = match &setting {
            Some(setting) => setting.choice(&SET_ASIDE, draft),
            None => Some(set_aside),
        };
        let at = setting.map_or_else(|| place.to_owned(), |it| it.place);
        // What is the default here is not written.
        if let Some(chosen) = chosen.filter(|chosen| *chosen != "wait") {
            draft.set(attribute, chosen, &at);
        }
    }
    if let Some(skips) = given("SkipMatching")
        && skips.boolean(draft) == Some(false)
    {
        let summary = "SkipMatching false has no equivalent: an instance that runs the revision \
                       already is never replaced";
        let remedy = "name another launch template version, or set restart with engine rolling";
        draft.warn(&skips.place, summary, remedy);
    }
    warn_of_unknown(preferences, place, draft);
}

/// Converts what stays healthy to bounds. Without room, AWS replaces one instance at a time.
fn bounds(min: Option<Setting<'_>>, max: Option<Setting<'_>>, place: &str, draft: &mut Draft) {
    let at = |given: &Option<Setting<'_>>| {
        given.as_ref().map_or_else(|| place.to_owned(), |it| it.place.clone())
    };
    let least = match &min {
        Some(min) => min.integer(0..=100, draft),
        None => Some(MIN_HEALTHY),
    };
    let most = match &max {
        Some(max) => max.integer(100..=200, draft),
        None => Some(100),
    };
    let (Some(least), Some(most)) = (least, most) else { return };
    if most - least > u64::from(WIDEST) {
        let summary = format!(
            "MinHealthyPercentage {least} and MaxHealthyPercentage {most} are further apart than \
             {WIDEST}, which AWS refuses"
        );
        return draft.refuse(&at(&max), summary, "raise the one, or lower the other");
    }
    match (100 - least, most - 100) {
        (0, 0) => draft.set("/max_unavailable", 1, &at(&min)),
        (unavailable, surge) => {
            if unavailable > 0 {
                draft.set("/max_unavailable", format!("{unavailable}%"), &at(&min));
            }
            if surge > 0 {
                draft.set("/max_surge", format!("{surge}%"), &at(&max));
            }
        }
    }
}

/// Converts checkpoints, all with the same delay. The last is at 100 percent, where nothing waits.
fn checkpoints(percentages: Option<Setting<'_>>, delay: Option<Setting<'_>>, draft: &mut Draft) {
    let longest = LONGEST_WAIT.as_secs();
    let seconds = match &delay {
        Some(delay) => delay.integer(0..=longest, draft),
        None => Some(CHECKPOINT_DELAY),
    };
    let listed = percentages.as_ref().map(|it| (it, it.value.as_array()));
    let (given, list) = match (listed, &delay) {
        (Some((given, Some(list))), _) if !list.is_empty() => (given, list),
        (Some((given, None)), _) => {
            return given.refuse(
                "a list of percentages",
                "write for instance [20, 50, 100]",
                draft,
            );
        }
        (_, Some(delay)) => {
            let summary = "CheckpointDelay is left out: without CheckpointPercentages there is no \
                           checkpoint on the way";
            let remedy = "set gates.bake_time to wait at the end";
            return draft.warn(&delay.place, summary, remedy);
        }
        _ => return,
    };
    let mut all = Vec::new();
    let mut last = 0;
    for (index, value) in list.iter().enumerate() {
        let place = format!("{}/{index}", given.place);
        let item = Setting { name: format!("{}[{index}]", given.name), value, place };
        let Some(percentage) = item.integer(1..=100, draft) else { continue };
        if percentage <= last {
            let wanted = format!("more than {last}, the one before it");
            item.refuse(&wanted, "list them in ascending order", draft);
        }
        last = percentage;
        if percentage < 100 {
            draft.comes_from(&format!("/checkpoints/{}", all.len()), &item.place);
            let pause = span(seconds.unwrap_or(CHECKPOINT_DELAY));
            all.push(json!({ "percentage": percentage, "pause": pause }));
        }
    }
    if last < 100 {
        let summary = format!(
            "the refresh would end at its last checkpoint, with {last} percent replaced; a rollout \
             goes on to 100 after the pause"
        );
        let remedy =
            "to wait there for a decision, use engine rolling and a checkpoint without pause";
        draft.warn(&given.place, summary, remedy);
    }
    if !all.is_empty() {
        draft.set("/checkpoints", all, &given.place);
    }
}

fn alarms(specification: Option<Setting<'_>>, draft: &mut Draft) {
    let Some(alarms) = specification.and_then(|it| it.field("Alarms")) else { return };
    let names = alarms.value.as_array().filter(|list| list.iter().all(Value::is_string));
    match names {
        Some(names) if names.is_empty() => {}
        Some(_) => draft.set("/gates/alarms", alarms.value.clone(), &alarms.place),
        None => {
            alarms.refuse("a list of names of alarms", "write for instance [\"web-5xx\"]", draft)
        }
    }
}

/// Warns of preferences that are not known here.
fn warn_of_unknown(preferences: &Value, place: &str, draft: &mut Draft) {
    let known: Vec<String> = PREFERENCES.iter().flat_map(|name| spellings(name)).collect();
    for (key, value) in preferences.as_object().into_iter().flatten() {
        if !known.contains(key) && !value.is_null() {
            let summary = format!("{key} has no equivalent");
            let place = format!("{place}/{}", crate::document::step(key));
            draft.warn(&place, summary, "see that the rollout does without it");
        }
    }
}
