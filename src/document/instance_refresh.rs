//! Refuses what an instance refresh of EC2 Auto Scaling has no setting for, where that spans
//! attributes. What does not stands in [`super::config::UNSUPPORTED`].

use super::config::{BoundConfig, DurationText, EngineName, RollingDeploymentConfig};
use super::diagnostic::Diagnostic;
use crate::model::limits::{LONGEST_WAIT, MOST_ALARMS, WIDEST};

pub(super) fn check(config: &RollingDeploymentConfig, pointer: &str, found: &mut Vec<Diagnostic>) {
    if config.engine != Some(EngineName::InstanceRefresh) {
        return;
    }
    if width(config).is_some_and(|width| width > WIDEST) {
        let message = "the minimum and maximum healthy percentages of an instance refresh may \
                       differ by at most 100, but max_surge plus max_unavailable is more";
        let place = format!("{pointer}/max_surge");
        found.push(Diagnostic::error(place, message).with_remedy("lower one of them"));
    }
    check_checkpoints(config, pointer, found);
    check_gates(config, pointer, found);
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
            let message =
                "an instance refresh waits at a checkpoint for a set time, not until a command";
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
        let remedy = "combine some of them in a composite alarm";
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
