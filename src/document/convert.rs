//! Converts a document to a checked deployment: the rules that span attributes, and the defaults.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::config::{
    CommandGateConfig, DurationText, EngineName, HealthConfig, HttpGateConfig, LifecycleHooksName,
    OnFailureName, PacingName, ProcessName, ProviderConfig, RollingDeploymentConfig, RolloutMode,
    RunCommandConfig, SetAsideName, TimeText, UNSUPPORTED, Unsupported,
};
use super::diagnostic::Diagnostic;
use super::policy::{checkpoints, pacing, policy, zones};
use super::schema_check::{check, normalise};
use super::targets::check_target;
use crate::document::config::seconds_or;
use crate::model::spec::{
    Executor, Gates, Health, OnFailure, Probe, Replacement, RollingDeployment, Secret, SetAside,
};

const POLL_INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(60);

/// Checks the configuration of one `rolling_deployment` at `pointer`.
///
/// # Errors
/// Every finding, each with its place. No cloud is asked.
pub fn deployment(
    value: &Value,
    pointer: &str,
) -> Result<(RollingDeploymentConfig, RollingDeployment), Vec<Diagnostic>> {
    let config: RollingDeploymentConfig = read(value, pointer)?;
    let mut found = Vec::new();
    check_target(&config, pointer, &mut found);
    let policy = policy(&config, pointer, &mut found);
    super::traffic::check(&config, pointer, &mut found);
    let replacement = replacement(&config, pointer, &mut found);
    let checkpoints = checkpoints(&config, pointer, &mut found);
    let gates = gates(&config, pointer, &mut found);
    let hooks = super::hooks::hooks(&config, pointer, &mut found);
    super::instance_refresh::check(&config, pointer, &mut found);
    super::kubernetes::check(&config, pointer, &mut found);
    super::beanstalk::check(&config, pointer, &mut found);
    refuse_unsupported(&config, pointer, &mut found);
    let default = RollingDeployment::default();
    let poll_interval = span(&config.poll_interval, default.poll_interval);
    if !POLL_INTERVALS.contains(&poll_interval) {
        let place = format!("{pointer}/poll_interval");
        found.push(Diagnostic::error(place, "must be from 100ms to 1m"));
    }
    let given = config.health.clone().unwrap_or_default();
    let health = health(&given, default.health, pointer, &mut found);
    let (Some(policy), true) = (policy, found.is_empty()) else { return Err(found) };
    let spec = RollingDeployment {
        engine: executor(&config, &given),
        policy,
        replacement,
        restart: config.restart.as_ref().map(TimeText::get),
        zones: zones(&config),
        pacing: pacing(&config),
        pause_between_batches: span(&config.pause_between_batches, default.pause_between_batches),
        checkpoints,
        traffic_steps: super::traffic::steps(&config.traffic.clone().unwrap_or_default()),
        failure_threshold: config.failure_threshold.unwrap_or(default.failure_threshold),
        keep_failed_instances: config
            .keep_failed_instances
            .unwrap_or(default.keep_failed_instances),
        completes_hooks: config.lifecycle_hooks == Some(LifecycleHooksName::Complete),
        wait_for_termination: config.wait_for_termination,
        protected: set_aside(config.scale_in_protected_instances, default.protected),
        standby: set_aside(config.standby_instances, default.standby),
        health,
        on_failure: config.on_failure.map_or(default.on_failure, on_failure),
        progress_deadline: config.progress_deadline.as_ref().map(DurationText::get),
        poll_interval,
        suspend_processes: processes(&config),
        gates,
        hooks,
    };
    Ok((config, spec))
}

/// Returns who replaces the instances.
fn executor(config: &RollingDeploymentConfig, given: &HealthConfig) -> Executor {
    match config.engine {
        _ if config.workload().is_some() => {
            Executor::Controller { in_batches: config.pacing == Some(PacingName::Batch) }
        }
        _ if config.elastic_beanstalk_environment.is_some() => {
            Executor::Environment { timeout: super::beanstalk::command_timeout(given) }
        }
        None | Some(EngineName::Rolling) => Executor::Rolling,
        Some(EngineName::InstanceRefresh) => Executor::InstanceRefresh {
            warmup: given.min_healthy_time.as_ref().map(DurationText::get),
        },
    }
}

fn health(
    given: &HealthConfig,
    default: Health,
    pointer: &str,
    found: &mut Vec<Diagnostic>,
) -> Health {
    let healthy_timeout = span(&given.healthy_timeout, default.healthy_timeout);
    if healthy_timeout.is_zero() {
        let place = format!("{pointer}/health/healthy_timeout");
        found.push(Diagnostic::error(place, "must be above 0s"));
    }
    Health {
        min_healthy_time: span(&given.min_healthy_time, default.min_healthy_time),
        soak_is_given: given.min_healthy_time.is_some(),
        healthy_timeout,
        min_drain_time: span(&given.min_drain_time, default.min_drain_time),
    }
}

fn span(text: &Option<DurationText>, default: Duration) -> Duration {
    text.as_ref().map_or(default, DurationText::get)
}

/// Checks the configuration of the provider at `pointer`.
///
/// # Errors
/// Every finding, each with its place.
pub(crate) fn provider(value: &Value, pointer: &str) -> Result<ProviderConfig, Vec<Diagnostic>> {
    let config: ProviderConfig = read(value, pointer)?;
    let mut found = Vec::new();
    if let Some(aws) = &config.aws {
        super::aws::check(aws, &format!("{pointer}/aws"), &mut found);
    }
    if found.is_empty() { Ok(config) } else { Err(found) }
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
    // Serde accepts what the schema accepts. Should they ever differ, serde's message is shown.
    serde_json::from_value(value)
        .map_err(|error| vec![Diagnostic::error(pointer, error.to_string())])
}

/// Refuses what means nothing to the way of rolling that the document chooses.
fn refuse_unsupported(
    config: &RollingDeploymentConfig,
    pointer: &str,
    found: &mut Vec<Diagnostic>,
) {
    let value = serde_json::json!(config);
    found.extend(UNSUPPORTED.iter().filter(|row| row.is_asked(&value)).map(|row| {
        Diagnostic::error(format!("{pointer}{}", row.place), row.why).with_remedy(row.remedy)
    }));
}

/// Returns how long a command may take on an instance.
pub(crate) fn command_timeout(command: &RunCommandConfig) -> Duration {
    seconds_or(&command.timeout, 600)
}

/// Converts how instances come to run the revision, and checks what goes with that.
fn replacement(
    config: &RollingDeploymentConfig,
    pointer: &str,
    found: &mut Vec<Diagnostic>,
) -> Replacement {
    let Some(given) = &config.replacement else { return Replacement::Launch };
    let within = match (&given.run_command, &given.replace_root_volume) {
        (Some(command), None) => command_timeout(command),
        (None, Some(volume)) => seconds_or(&volume.timeout, 900),
        (both, _) => {
            let message = match both {
                Some(_) => "both run_command and replace_root_volume are set",
                None => "neither run_command nor replace_root_volume is set",
            };
            let remedy = "give exactly one of run_command and replace_root_volume";
            let place = format!("{pointer}/replacement");
            found.push(Diagnostic::error(place, message).with_remedy(remedy));
            Duration::ZERO
        }
    };
    Replacement::InPlace { within }
}

fn gates(config: &RollingDeploymentConfig, pointer: &str, found: &mut Vec<Diagnostic>) -> Gates {
    let given = config.gates.clone().unwrap_or_default();
    let mut probes = Vec::new();
    if let Some(HttpGateConfig { url, status, timeout }) = given.http {
        let status = status.and_then(|status| u16::try_from(status).ok()).unwrap_or(200);
        if url.parse::<hyper::Uri>().is_err() {
            let place = format!("{pointer}/gates/http/url");
            found.push(Diagnostic::error(place, format!("{url:?} is not a URL")));
        }
        probes.push(Probe::Http { url, status, timeout: seconds_or(&timeout, 60) });
    }
    if let Some(CommandGateConfig { run, environment, timeout }) = given.command {
        if run.first().is_none_or(String::is_empty) {
            let place = format!("{pointer}/gates/command/run");
            let remedy = "write for instance [\"./smoke-test\", \"--quick\"]";
            found.push(Diagnostic::error(place, "the command is empty").with_remedy(remedy));
        }
        let environment = environment.into_iter().flatten();
        let environment = environment.map(|(name, value)| (name, Secret(value.0))).collect();
        probes.push(Probe::Command { run, environment, timeout: seconds_or(&timeout, 300) });
    }
    Gates {
        alarms: given.alarms.unwrap_or_default().into_iter().collect(),
        probes,
        bake_time: seconds_or(&given.bake_time, 0),
    }
}

fn on_failure(name: OnFailureName) -> OnFailure {
    match name {
        OnFailureName::Rollback => OnFailure::Rollback,
        OnFailureName::Pause => OnFailure::Pause,
        OnFailureName::Stop => OnFailure::Stop,
    }
}

fn set_aside(name: Option<SetAsideName>, default: SetAside) -> SetAside {
    match name {
        None => default,
        Some(SetAsideName::Refresh) => SetAside::Refresh,
        Some(SetAsideName::Ignore) => SetAside::Ignore,
        Some(SetAsideName::Wait) => SetAside::Wait,
    }
}

fn processes(config: &RollingDeploymentConfig) -> BTreeSet<String> {
    let value = serde_json::json!(config);
    let has_none = |row: &Unsupported| {
        row.place == "/suspend_processes"
            && matches!(row.by, RolloutMode::Target(_))
            && row.by.is_chosen(&value)
    };
    if UNSUPPORTED.iter().any(has_none) {
        return BTreeSet::new();
    }
    // A group registers the instances that it launches in every attached target group.
    let registers = config.policy.shifts().then_some("AddToLoadBalancer");
    // The group would replace instances that reboot or are out of rotation for long.
    let heals = config.replacement.is_some();
    let heals = heals.then_some(["HealthCheck", "ReplaceUnhealthy"]).into_iter().flatten();
    let more = registers.into_iter().chain(heals).map(str::to_owned);
    let chosen = config.suspend_processes.as_deref().unwrap_or(&ProcessName::ALL);
    chosen.iter().map(|process| process.as_str().to_owned()).chain(more).collect()
}
