//! Refuses by name what an instance refresh of EC2 Auto Scaling has no setting for.

use super::config::{
    BoundConfig, DurationText, EngineName, LifecycleHooksName, OnFailureName, PolicyName,
    RollingDeploymentConfig, TARGET_KINDS,
};
use super::diagnostic::Diagnostic;
use crate::model::limits::{LONGEST_WAIT, MOST_ALARMS, WIDEST};

const LEAVE_OUT: &str = "remove it, or roll with engine rolling";

pub(super) fn check(config: &RollingDeploymentConfig, pointer: &str, found: &mut Vec<Diagnostic>) {
    if config.engine != Some(EngineName::InstanceRefresh) {
        return;
    }
    let value = serde_json::json!(config);
    for kind in TARGET_KINDS.iter().filter(|kind| kind.is_given(&value) && !kind.instance_refresh) {
        let place = format!("{pointer}/{}", kind.attribute);
        let message = "only Auto Scaling groups have instance refreshes";
        found.push(Diagnostic::error(place, message).with_remedy("roll with engine rolling"));
    }
    for (name, message, remedy) in untranslatable(config) {
        let place = format!("{pointer}/{name}");
        found.push(Diagnostic::error(place, message).with_remedy(remedy));
    }
    check_checkpoints(config, pointer, found);
    check_gates(config, pointer, found);
}

/// Returns the given attributes that mean nothing to EC2 Auto Scaling: place, reason, and remedy.
fn untranslatable(
    config: &RollingDeploymentConfig,
) -> Vec<(&'static str, &'static str, &'static str)> {
    let group = config.auto_scaling_group.as_ref();
    let gates = config.gates.as_ref();
    let shifts = matches!(config.policy, PolicyName::TrafficSplitting | PolicyName::BlueGreen);
    let is_more = |given: Option<u32>, than| given.is_some_and(|given| given > than);
    let pauses = config.pause_between_batches.as_ref().is_some_and(|time| !time.get().is_zero());
    let suspends = config.suspend_processes.as_ref().is_some_and(|names| !names.is_empty());
    let completes = config.lifecycle_hooks == Some(LifecycleHooksName::Complete);
    let cases = [
        (
            group.is_some_and(|group| group.target_group_arns.is_some()),
            "auto_scaling_group/target_group_arns",
            "an instance refresh goes by the group's own health checks, in every target group",
            LEAVE_OUT,
        ),
        (
            shifts,
            "policy",
            "an instance refresh shifts no requests",
            "choose immutable, or roll with engine rolling",
        ),
        (
            config.replacement.is_some(),
            "replacement",
            "an instance refresh replaces instances",
            LEAVE_OUT,
        ),
        (
            config.record.is_some(),
            "record",
            "an instance refresh is recorded by EC2 Auto Scaling itself",
            LEAVE_OUT,
        ),
        (
            config.pacing.is_some(),
            "pacing",
            "an instance refresh has a pace of its own, within its percentages",
            LEAVE_OUT,
        ),
        (
            pauses,
            "pause_between_batches",
            "an instance refresh does not pause between batches",
            "use checkpoints with a pause, or roll with engine rolling",
        ),
        (
            is_more(config.failure_threshold, 1),
            "failure_threshold",
            "an instance refresh does not count failures",
            LEAVE_OUT,
        ),
        (
            config.on_failure == Some(OnFailureName::Pause),
            "on_failure",
            "an instance refresh cannot be paused",
            "choose rollback or stop, or roll with engine rolling",
        ),
        (
            is_more(config.keep_failed_instances, 0),
            "keep_failed_instances",
            "an instance refresh keeps none of them",
            LEAVE_OUT,
        ),
        (
            completes,
            "lifecycle_hooks",
            "an instance refresh waits for lifecycle hooks",
            "choose wait, or roll with engine rolling",
        ),
        (
            config.progress_deadline.is_some(),
            "progress_deadline",
            "an instance refresh gives up by its own rule: after an hour without progress",
            LEAVE_OUT,
        ),
        (suspends, "suspend_processes", "an instance refresh suspends nothing", LEAVE_OUT),
        (
            width(config).is_some_and(|width| width > WIDEST),
            "max_surge",
            "an instance refresh has a minimum and a maximum at most 100 percent apart, and this \
             and max_unavailable are further",
            "lower one of them",
        ),
        (
            gates.is_some_and(|gates| gates.http.is_some()),
            "gates/http",
            "an instance refresh asks no address",
            "remove it, use alarms, or roll with engine rolling",
        ),
        (
            gates.is_some_and(|gates| gates.command.is_some()),
            "gates/command",
            "an instance refresh runs no command",
            "remove it, use alarms, or roll with engine rolling",
        ),
    ];
    cases
        .into_iter()
        .filter(|(given, ..)| *given)
        .map(|(_, name, message, remedy)| (name, message, remedy))
        .collect()
}

/// Returns how far minimum and maximum are apart, in percent, where the document alone shows it.
fn width(config: &RollingDeploymentConfig) -> Option<u32> {
    let percent = |bound: &Option<BoundConfig>| match bound {
        Some(BoundConfig::Percentage(text)) => text.strip_suffix('%')?.parse::<u32>().ok(),
        _ => None,
    };
    percent(&config.max_surge)?.checked_add(percent(&config.max_unavailable)?)
}

/// Checks that a refresh's one delay, which always ends by itself, can serve for all checkpoints.
fn check_checkpoints(config: &RollingDeploymentConfig, pointer: &str, found: &mut Vec<Diagnostic>) {
    let mut first = None;
    for (index, checkpoint) in config.checkpoints.iter().flatten().enumerate() {
        let place = format!("{pointer}/checkpoints/{index}");
        let Some(pause) = checkpoint.pause.as_ref().map(DurationText::get) else {
            let message = "an instance refresh waits at a checkpoint for a time, not for a word";
            found.push(Diagnostic::error(place, message).with_remedy("give it a pause"));
            continue;
        };
        let place = format!("{place}/pause");
        if pause > LONGEST_WAIT {
            found.push(too_long(place));
        } else if *first.get_or_insert(pause) != pause {
            let message = "an instance refresh waits equally long at all checkpoints";
            found.push(Diagnostic::error(place, message).with_remedy("give all the same pause"));
        }
    }
}

fn check_gates(config: &RollingDeploymentConfig, pointer: &str, found: &mut Vec<Diagnostic>) {
    let Some(gates) = &config.gates else { return };
    if gates.alarms.as_ref().is_some_and(|alarms| alarms.len() > MOST_ALARMS) {
        let place = format!("{pointer}/gates/alarms");
        let message = format!("an instance refresh watches at most {MOST_ALARMS} alarms");
        let remedy = "join some of them in a composite alarm";
        found.push(Diagnostic::error(place, message).with_remedy(remedy));
    }
    if gates.bake_time.as_ref().is_some_and(|time| time.get() > LONGEST_WAIT) {
        found.push(too_long(format!("{pointer}/gates/bake_time")));
    }
}

fn too_long(place: String) -> Diagnostic {
    let message = "an instance refresh waits for at most 48h";
    Diagnostic::error(place, message).with_remedy("shorten it")
}
