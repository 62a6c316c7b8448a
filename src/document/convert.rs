//! From what a document says to a checked deployment: the rules that span attributes, and the
//! defaults.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::check::{check, normalise};
use super::config::{
    BatchSizeType, DurationText, OnFailureName, PolicyName, ProcessName, ProviderConfig,
    RollingDeploymentConfig,
};
use super::diagnostic::Diagnostic;
use crate::spec::{BatchSize, Health, OnFailure, Policy, RollingDeployment};

const POLL_INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(60);

/// Checks the configuration of one `rolling_deployment` that stands at `pointer`.
///
/// # Errors
/// Every finding, each with its place. Nothing is looked up in a cloud for it.
pub fn deployment(
    value: &Value,
    pointer: &str,
) -> Result<(RollingDeploymentConfig, RollingDeployment), Vec<Diagnostic>> {
    let config: RollingDeploymentConfig = read(value, pointer)?;
    let mut found = Vec::new();
    check_target(&config, pointer, &mut found);
    let policy = policy(&config, pointer, &mut found);
    let poll_interval = get(&config.poll_interval, 10);
    if !POLL_INTERVALS.contains(&poll_interval) {
        let place = format!("{pointer}/poll_interval");
        found.push(Diagnostic::error(place, "must be from 100ms to 1m"));
    }
    let health = config.health.clone().unwrap_or_default();
    let healthy_timeout = get(&health.healthy_timeout, 600);
    if healthy_timeout.is_zero() {
        let place = format!("{pointer}/health/healthy_timeout");
        found.push(Diagnostic::error(place, "must be longer than nothing"));
    }
    let (Some(policy), true) = (policy, found.is_empty()) else { return Err(found) };
    let spec = RollingDeployment {
        policy,
        health: Health { min_healthy_time: get(&health.min_healthy_time, 10), healthy_timeout },
        on_failure: match config.on_failure {
            None | Some(OnFailureName::Stop) => OnFailure::Stop,
        },
        progress_deadline: config.progress_deadline.as_ref().map(DurationText::get),
        poll_interval,
        suspend_processes: processes(&config),
    };
    Ok((config, spec))
}

/// Checks the configuration of the provider that stands at `pointer`.
///
/// # Errors
/// Every finding, each with its place.
pub fn provider(value: &Value, pointer: &str) -> Result<ProviderConfig, Vec<Diagnostic>> {
    read(value, pointer)
}

fn read<T: DeserializeOwned + schemars::JsonSchema>(
    value: &Value,
    pointer: &str,
) -> Result<T, Vec<Diagnostic>> {
    let value = normalise(value);
    let found = check::<T>(&value, pointer);
    if !found.is_empty() {
        return Err(found);
    }
    // What the schema lets through, serde takes; should they ever differ, its words are shown.
    serde_json::from_value(value)
        .map_err(|error| vec![Diagnostic::error(pointer, error.to_string())])
}

fn check_target(config: &RollingDeploymentConfig, pointer: &str, found: &mut Vec<Diagnostic>) {
    let remedy = "give exactly one of auto_scaling_group and simulated_fleet";
    match (&config.auto_scaling_group, &config.simulated_fleet) {
        (None, None) => {
            found.push(Diagnostic::error(pointer, "there is no target").with_remedy(remedy));
        }
        (Some(_), Some(_)) => {
            found.push(Diagnostic::error(pointer, "there are two targets").with_remedy(remedy));
        }
        _ => {}
    }
    if let Some(group) = &config.auto_scaling_group {
        let template = &group.launch_template;
        if template.id.is_some() == template.name.is_some() {
            let place = format!("{pointer}/auto_scaling_group/launch_template");
            let words = match template.id {
                Some(_) => "the template is given by both id and name",
                None => "the template is given by neither id nor name",
            };
            found.push(Diagnostic::error(place, words).with_remedy("give exactly one of them"));
        }
    }
    let groups = config.simulated_fleet.iter().flat_map(|f| f.target_groups.iter().flatten());
    let mut names = BTreeSet::new();
    for (index, group) in groups.enumerate() {
        if !names.insert(&group.name) {
            let place = format!("{pointer}/simulated_fleet/target_groups/{index}/name");
            found.push(Diagnostic::error(place, format!("{:?} is there twice", group.name)));
        }
    }
}

fn policy(
    config: &RollingDeploymentConfig,
    pointer: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<Policy> {
    let kind: fn(BatchSize) -> Policy = match config.policy {
        PolicyName::AllAtOnce => {
            let fields = [
                ("batch_size_type", config.batch_size_type.is_some()),
                ("batch_size", config.batch_size.is_some()),
            ];
            for (name, _) in fields.iter().filter(|(_, given)| *given) {
                let words = "the policy all_at_once has no batches";
                let remedy = "remove it, or choose rolling or rolling_with_additional_batch";
                let place = format!("{pointer}/{name}");
                found.push(Diagnostic::error(place, words).with_remedy(remedy));
            }
            return Some(Policy::AllAtOnce);
        }
        PolicyName::Rolling => Policy::Rolling,
        PolicyName::RollingWithAdditionalBatch => Policy::RollingWithAdditionalBatch,
    };
    match (config.batch_size_type, config.batch_size) {
        (Some(BatchSizeType::Percentage), Some(percent)) if percent > 100 => {
            let place = format!("{pointer}/batch_size");
            let words = format!("a percentage is from 1 to 100, is {percent}");
            found.push(Diagnostic::error(place, words));
            None
        }
        (Some(BatchSizeType::Percentage), Some(size)) => Some(kind(BatchSize::Percentage(size))),
        (Some(BatchSizeType::Fixed), Some(size)) => Some(kind(BatchSize::Fixed(size))),
        (batch_type, size) => {
            for (name, given) in
                [("batch_size_type", batch_type.is_some()), ("batch_size", size.is_some())]
            {
                if !given {
                    let words = format!("the attribute {name:?} is missing");
                    let remedy = "this policy needs a batch size, for instance \
                                  \"batch_size_type\": \"percentage\", \"batch_size\": 30";
                    found.push(Diagnostic::error(pointer, words).with_remedy(remedy));
                }
            }
            None
        }
    }
}

fn processes(config: &RollingDeploymentConfig) -> BTreeSet<String> {
    let all =
        [ProcessName::AzRebalance, ProcessName::AlarmNotification, ProcessName::ScheduledActions];
    let chosen = config.suspend_processes.as_deref().unwrap_or(&all);
    let name = |process: &ProcessName| match process {
        ProcessName::AzRebalance => "AZRebalance",
        ProcessName::AlarmNotification => "AlarmNotification",
        ProcessName::ScheduledActions => "ScheduledActions",
    };
    chosen.iter().map(|process| name(process).to_owned()).collect()
}

fn get(text: &Option<DurationText>, default_seconds: u64) -> Duration {
    text.as_ref().map_or(Duration::from_secs(default_seconds), DurationText::get)
}
