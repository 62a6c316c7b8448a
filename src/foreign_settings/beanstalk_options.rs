//! Elastic Beanstalk's options of deployments as attributes.

use super::draft::Draft;
use super::iso_duration::span;
use super::known_shape::FoundSettings;
use super::option_list::{COMMAND, HEALTH, OptionSettings, TRAFFIC, UPDATES};
use super::setting::field;
use super::target_id::TargetId;
use super::{beanstalk_updates, fitted};
use serde_json::json;

/// The kind of target that the options are for.
pub(super) const ENVIRONMENT: &str = "elastic_beanstalk_environment";
/// What Elastic Beanstalk waits beyond `Timeout`, in seconds.
const LONGER: u64 = 240;
/// The options that say how a version is deployed.
const DEPLOYS: [&str; 4] = ["DeploymentPolicy", "BatchSizeType", "BatchSize", "Timeout"];

const POLICIES: [(&str, &str); 5] = [
    ("AllAtOnce", "all_at_once"),
    ("Rolling", "rolling"),
    ("RollingWithAdditionalBatch", "rolling_with_additional_batch"),
    ("Immutable", "immutable"),
    ("TrafficSplitting", "traffic_splitting"),
];

/// Converts option settings. Those of updates of the configuration say how a group is rolled where
/// nothing says how a version is deployed.
pub(super) fn draft(found: &FoundSettings<'_>, chosen: Option<&TargetId>) -> Draft {
    let mut draft = Draft::new(&[ENVIRONMENT, "auto_scaling_group"]);
    let options = OptionSettings::read(found);
    let is_environment = fitted::kind(&draft, chosen).attribute == ENVIRONMENT;
    name(found, &mut draft);
    let (deploys, updates) =
        (options.has_any(COMMAND, &DEPLOYS), beanstalk_updates::are_given(&options));
    match !deploys && !is_environment && updates {
        true => beanstalk_updates::convert(&options, &mut draft),
        false => deployment(&options, is_environment, &found.place, &mut draft),
    }
    warn_of_health(&options, &mut draft);
    warn_of_others(&options, is_environment, &found.place, &mut draft);
    draft
}

/// Reads what names the environment and its version, beside the options.
fn name(found: &FoundSettings<'_>, draft: &mut Draft) {
    let text = |names: &[&str]| {
        let mut fields = names.iter().filter_map(|name| field(found.value, &found.place, name));
        fields.find(|it| !it.is_expression() && it.value.is_string())
    };
    if let Some(name) = text(&["EnvironmentName", "Name"]) {
        draft.names.insert("name".into(), name.value.clone());
    }
    if let Some(label) = text(&["VersionLabel"]) {
        draft.revisions.insert("version_label", (label.value.clone(), label.place));
    }
}

fn deployment(options: &OptionSettings<'_>, is_environment: bool, place: &str, draft: &mut Draft) {
    let given = options.get(COMMAND, "DeploymentPolicy", draft);
    let policy = match &given {
        Some(given) => given.choice(&POLICIES, draft).unwrap_or("all_at_once"),
        None => "all_at_once",
    };
    let policy_place = given.as_ref().map_or(place, |given| given.place.as_str());
    draft.set("/policy", policy, policy_place);
    batch(options, policy, policy_place, given.is_some(), draft);
    if let Some(timeout) = options.get(COMMAND, "Timeout", draft)
        && let Some(seconds) = timeout.integer(1..=3600, draft)
    {
        draft.set("/health/healthy_timeout", span(seconds + LONGER), &timeout.place);
    }
    traffic(options, policy, is_environment, draft);
    if let Some(ignores) = options.get(COMMAND, "IgnoreHealthCheck", draft)
        && ignores.boolean(draft) == Some(true)
    {
        let summary = "IgnoreHealthCheck has no equivalent: a new instance always has to serve \
                       before the next batch begins";
        let remedy = "see that the health checks pass, or raise health.healthy_timeout";
        draft.warn(&ignores.place, summary, remedy);
    }
}

/// Converts the size of a batch. Elastic Beanstalk has a default for each; policies without batches
/// ignore both.
fn batch(
    options: &OptionSettings<'_>,
    policy: &str,
    policy_place: &str,
    policy_given: bool,
    draft: &mut Draft,
) {
    let kind = options.get(COMMAND, "BatchSizeType", draft);
    let size = options.get(COMMAND, "BatchSize", draft);
    let types = [("Percentage", "percentage"), ("Fixed", "fixed")];
    let batch_type = match &kind {
        Some(kind) => kind.choice(&types, draft),
        None => Some("percentage"),
    };
    let most = if batch_type == Some("percentage") { 100 } else { 10_000 };
    let batch_size = match &size {
        Some(size) => size.integer(1..=most, draft),
        None if batch_type == Some("fixed") => {
            let place = kind.as_ref().map_or(policy_place, |kind| kind.place.as_str());
            let summary = "BatchSizeType is Fixed, and its BatchSize is missing: the default, 100, \
                           would be 100 instances";
            draft.refuse(place, summary, "add BatchSize, the number of instances of a batch");
            None
        }
        None => Some(100),
    };
    if !["rolling", "rolling_with_additional_batch"].contains(&policy) {
        if let Some(given) = size.as_ref().or(kind.as_ref()).filter(|_| !policy_given) {
            let summary = "the size of a batch has no effect: without DeploymentPolicy, Elastic \
                           Beanstalk deploys AllAtOnce";
            draft.warn(&given.place, summary, "add DeploymentPolicy, for instance Rolling");
        }
        return;
    }
    let place = |it: &Option<super::setting::Setting<'_>>| {
        it.as_ref().map_or(policy_place.to_owned(), |it| it.place.clone())
    };
    if let (Some(batch_type), Some(batch_size)) = (batch_type, batch_size) {
        draft.set("/batch_size_type", batch_type, &place(&kind));
        draft.set("/batch_size", batch_size, &place(&size));
    }
}

/// Converts how requests are split; other policies ignore it.
fn traffic(options: &OptionSettings<'_>, policy: &str, is_environment: bool, draft: &mut Draft) {
    let percent = options.get(TRAFFIC, "NewVersionPercent", draft);
    let time = options.get(TRAFFIC, "EvaluationTime", draft);
    let share = percent.as_ref().and_then(|it| it.integer(1..=100, draft));
    let minutes = time.as_ref().and_then(|it| it.integer(3..=600, draft));
    if policy != "traffic_splitting" {
        return;
    }
    let all = percent.as_ref().filter(|_| share == Some(100));
    if let Some(percent) = all.filter(|_| !is_environment) {
        draft.set("/policy", "blue_green", &percent.place);
    } else if let Some(percent) = all {
        let summary = "NewVersionPercent 100 has no equivalent: a share of the requests is from 1 \
                       to 99 percent; it becomes 99";
        draft.warn(&percent.place, summary, "lower traffic.new_version_percent, or leave it");
        draft.set("/traffic/new_version_percent", 99, &percent.place);
    } else if let (Some(percent), Some(share)) = (&percent, share) {
        draft.set("/traffic/new_version_percent", share, &percent.place);
    }
    if let (Some(time), Some(minutes)) = (&time, minutes) {
        // With all requests from the beginning, it is how long the old set stays beside the new one.
        let name = match all.is_some() && !is_environment {
            true => "/traffic/terminate_after",
            false => "/traffic/evaluation_time",
        };
        draft.set(name, span(minutes * 60), &time.place);
    }
}

fn warn_of_health(options: &OptionSettings<'_>, draft: &mut Draft) {
    if let Some(threshold) = options.get(HEALTH, "HealthCheckSuccessThreshold", draft)
        && threshold.value != "Ok"
    {
        let summary = format!(
            "HealthCheckSuccessThreshold has no equivalent: an instance serves or it does not, and {} \
             is not a health of its own",
            json!(threshold.value)
        );
        let remedy = "see that healthy instances pass the load balancer's health checks";
        draft.warn(&threshold.place, summary, remedy);
    }
    if let Some(least) = options.get(UPDATES, "MinInstancesInService", draft) {
        let summary = "MinInstancesInService has no equivalent: how many instances serve at least \
                       follows from the policy and the size of a batch";
        let remedy = "choose the batch size by it, or max_surge and max_unavailable";
        draft.warn(&least.place, summary, remedy);
    }
}

/// Says how many options were not converted.
fn warn_of_others(
    options: &OptionSettings<'_>,
    is_environment: bool,
    place: &str,
    draft: &mut Draft,
) {
    let unused = options.unused();
    let count: usize = unused.values().sum();
    if count == 0 {
        return;
    }
    let namespaces: Vec<&str> = unused.keys().copied().collect();
    let settings = if count == 1 { "1 setting is" } else { &format!("{count} settings are") };
    let summary = format!(
        "{settings} left to Elastic Beanstalk, since they do not say how a version is deployed: {}",
        namespaces.join(", ")
    );
    let remedy = match is_environment {
        true => "keep them where they are",
        false => "what the target needs of them is in its launch template, or in its own settings",
    };
    draft.warn(place, summary, remedy);
}
