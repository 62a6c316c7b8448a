//! What a fleet runs now and who is at work on it, and how numbers and times read.

use std::collections::BTreeMap;
use std::time::Duration;

use rolling_provider::InstanceId;

use crate::engine::Rollout;
use crate::model::event::{DelegatedRolloutReport, InstanceReport};
use crate::model::printable;
use crate::record::{Ending, Phase};

/// A time span for people, to the second: `4m 40s`.
pub(crate) fn span(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".into();
    }
    if duration < Duration::from_secs(10) {
        return format!("{:.1}s", duration.as_secs_f64());
    }
    let mut text = humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string();
    for unit in ["year", "month", "day"] {
        text = text.replace(unit, &format!(" {unit}"));
    }
    text
}

/// Describes which engine is at work on a target, or whether it may still be.
pub(crate) fn at_work(rollout: &Rollout) -> String {
    let next = match rollout.record().map(|record| record.phase) {
        Some(Phase::Halted(Ending::Paused)) => "`rolling resume` continues it",
        Some(Phase::Halted(Ending::Failed | Ending::Aborted)) => "apply starts a new rollout",
        Some(Phase::Halting(Ending::Unrestored)) => "apply restores what is still borrowed",
        Some(Phase::Halting(Ending::Failed | Ending::Aborted)) => {
            "apply restores what is still borrowed and ends it; the one after that begins"
        }
        Some(_) => "apply continues it",
        None => "apply begins",
    };
    if let Some(owner) = rollout.ended_owner() {
        return format!("none: {owner} has ended; {next}");
    }
    let Some(lease) = rollout.lease() else { return format!("none; {next}") };
    let owner = &lease.owner;
    let Some(at) = lease.at else { return owner.clone() };
    let silent = rollout.clock().wall().since(at);
    if lease.is_recent(rollout.clock().wall()) {
        return owner.clone();
    }
    // By the owner's clock, which may differ.
    let silent = span(silent);
    format!("{owner}, last sign of life {silent} ago; if it has ended, {next}")
}

/// Describes what a fleet runs now.
pub fn status(name: &str, rollout: &Rollout) -> String {
    let instances = rollout.instances();
    let target = rollout.target();
    let mut lines = vec![format!(
        "{name}: {} {}, wanted {}, size {}",
        target.kind,
        target.name,
        rollout.wanted(),
        rollout.size()
    )];
    let before = before_restart(rollout.to_restart());
    lines.push(format!("  fleet      {}{before}", fleet(&instances)));
    if let Some((missing, why)) = rollout.missing() {
        let why = why.map_or(String::new(), |why| format!(": {why}"));
        lines.push(format!("  missing    {missing} of {}{why}", rollout.size()));
    }
    lines.extend(troubled(&instances));
    let retained = rollout.record().and_then(|record| record.last_retained.as_ref());
    lines.extend(retained.map(|id| format!("  retained   {id}, outside the fleet")));
    let since = if rollout.restart().is_some() { ", or not since the restart" } else { "" };
    let revision = format!("{}{since}", rollout.wanted());
    lines.extend(left_alone(&rollout.left_alone(), &revision));
    lines.extend(platform(rollout));
    match rollout.record() {
        None if rollout.delegated_rollout().is_some() => {}
        None if rollout.lease().is_none() => lines.push("  rollout    none".into()),
        None => {
            lines.push("  rollout    about to begin: nothing is recorded yet".into());
            lines.push(format!("  at work    {}", at_work(rollout)));
        }
        Some(record) => {
            let (id, to, status) =
                (&record.id, record.goal_shown(), record.status().replace('_', " "));
            lines.push(format!("  rollout    {id} to {to}: {status}"));
            if let Some(reason) = &record.reason {
                lines.push(format!("  why        {reason}"));
            }
            lines.push(format!("  at work    {}", at_work(rollout)));
            lines.extend(waits(rollout));
            let borrowed = rollout.borrowed();
            if !borrowed.is_empty() {
                lines.push(format!("  borrowed   {}", borrowed.join("; ")));
            }
        }
    }
    if let Some(completed) = rollout.completed() {
        lines.push(format!("  completed  {completed}"));
    }
    printable::join(&lines)
}

/// Describes the latest rollout of the platform's own.
fn platform(rollout: &Rollout) -> Vec<String> {
    let Some(delegated) = rollout.delegated_rollout().map(DelegatedRolloutReport::from) else {
        return Vec::new();
    };
    let DelegatedRolloutReport { kind, id, status, percent, to, takes_back, .. } = &delegated;
    let to = to.as_ref().map_or(String::new(), |to| format!(" to {to}"));
    let back = takes_back.as_ref().map(|back| format!(", which takes {back} back"));
    let back = back.unwrap_or_default();
    let mut lines = vec![format!("  platform   {kind} {id}{to}{back}: {status}, {percent} %")];
    lines.extend(delegated.reason.map(|reason| format!("  why        {reason}")));
    if delegated.still_running {
        lines.push(format!("  at work    {}", rollout.platform()));
    }
    lines
}

/// Counts the instances that a restart has still to replace: `, 7 launched before the restart`.
pub(super) fn before_restart(count: u32) -> String {
    match count {
        0 => String::new(),
        count => format!(", {count} launched before the restart"),
    }
}

/// Describes what the engine at work waits for, or what the next one would.
fn waits(rollout: &Rollout) -> Vec<String> {
    let next = if rollout.is_at_work() { "" } else { "the next apply waits for " };
    let waits = rollout.waits();
    // The engine notes what it waits for with each renewal of its lease.
    let noted = rollout.waits_noted().filter(|age| *age >= Duration::from_secs(2));
    let noted = noted.map_or(String::new(), |age| format!(" (as of {} ago)", span(age)));
    let lines = waits.iter().enumerate().map(|(index, wait)| {
        let label = if index == 0 && next.is_empty() { "waits for" } else { "" };
        let left = wait.deadline.since(rollout.observed_at());
        let left = match left.is_zero() {
            true => String::new(),
            false => format!(", {} more at most", span(left)),
        };
        format!("  {label:<10} {next}{wait}{left}{noted}")
    });
    lines.collect()
}

/// Names the instances that stay as they are although they do not run `revision`.
pub(super) fn left_alone(ids: &[InstanceId], revision: &str) -> Option<String> {
    let names = few(ids);
    (!ids.is_empty()).then(|| format!("  left alone {names}, not on {revision}"))
}

/// Lists ids, the first ten of many.
pub(super) fn few(ids: &[InstanceId]) -> String {
    const SHOWN: usize = 10;
    let mut names: Vec<String> = ids.iter().take(SHOWN).map(ToString::to_string).collect();
    if ids.len() > SHOWN {
        names.push(format!("{} more", ids.len() - SHOWN));
    }
    names.join(", ")
}

/// Counts the instances on each revision that serve: `7 of 7 on v1 serve`.
pub(crate) fn fleet(instances: &[InstanceReport]) -> String {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for instance in instances {
        let revision =
            instance.revision.as_ref().map_or("no known revision".into(), ToString::to_string);
        let (all, serving) = counts.entry(revision).or_default();
        *all += 1;
        *serving += usize::from(instance.serves);
    }
    if counts.is_empty() {
        return "no instances".into();
    }
    let message: Vec<String> = counts
        .into_iter()
        .map(|(revision, (all, serving))| format!("{serving} of {all} on {revision} serve"))
        .collect();
    message.join(", ")
}

pub(super) fn troubled(instances: &[InstanceReport]) -> Vec<String> {
    const SHOWN: usize = 10;
    let idle: Vec<&InstanceReport> = instances.iter().filter(|i| !i.serves).collect();
    let mut lines: Vec<String> = idle
        .iter()
        .take(SHOWN)
        .map(|instance| {
            let on = instance.revision.as_ref().map(|revision| format!(" on {revision}"));
            let on = on.unwrap_or_default();
            let trouble = instance.trouble.as_deref().unwrap_or("does not serve");
            format!("             {}{on} in {}: {trouble}", instance.id, instance.zone)
        })
        .collect();
    if idle.len() > SHOWN {
        lines.push(format!("             and {} more", idle.len() - SHOWN));
    }
    lines
}

/// A number of things: `1 batch`, `2 batches`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    let plural = if noun.ends_with("ch") { "es" } else { "s" };
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}{plural}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_with_a_space_before_each_long_unit() {
        for (milliseconds, expected) in [
            (0, "0s"),
            (1_250, "1.2s"),
            (60_000, "1m"),
            (86_400_000, "1 day"),
            (700_000_000, "8 days 2h 26m 40s"),
        ] {
            assert_eq!(span(Duration::from_millis(milliseconds)), expected);
        }
    }
}
