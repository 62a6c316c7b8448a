//! Plans, reports and states as text.

use std::collections::BTreeMap;
use std::time::Duration;

use rolling_provider::{Revision, Timestamp};

use crate::engine::Rollout;
use crate::model::event::{
    InstanceRefreshReport, InstanceRefreshStep, InstanceReport, Outcome, Report,
};
use crate::model::preview::Preview;
use crate::record::lease::WATCH;
use crate::record::{Ending, Phase};

/// A time span for people, to the second: `4m 40s`.
pub fn span(duration: Duration) -> String {
    if duration < Duration::from_secs(10) {
        return format!("{:.1}s", duration.as_secs_f64());
    }
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

/// Describes what a rollout would do.
pub fn plan(name: &str, preview: &Preview) -> String {
    let mut lines = Vec::new();
    if preview.changes {
        let from = preview.from.as_ref().map_or("an unknown revision", |from| from.as_str());
        lines.push(format!(
            "{name}: roll {} {} from {from} to {}",
            preview.kind, preview.target, preview.to
        ));
        lines.push(format!("  policy     {}, {} instances", preview.policy, preview.size));
        let pace = if preview.continuous { "pace" } else { "batches" };
        if preview.instance_refresh.is_empty() {
            lines.push(format!("  {pace:<10} {}", batches(preview)));
        }
        for (index, told) in preview.instance_refresh.iter().enumerate() {
            let label = if index == 0 { "refresh" } else { "" };
            lines.push(format!("  {label:<10} {told}"));
        }
        if !preview.checkpoints.is_empty() && preview.instance_refresh.is_empty() {
            let at: Vec<String> = preview.checkpoints.iter().map(|p| format!("{p} %")).collect();
            lines.push(format!("  waits      at {}", at.join(" and ")));
        }
        lines.extend(preview.requests.iter().map(|message| format!("  requests   {message}")));
        for (index, gate) in preview.gates.iter().enumerate() {
            let label = if index == 0 { "gates" } else { "" };
            lines.push(format!("  {label:<10} {gate}"));
        }
        lines.push(format!(
            "  capacity   at least {} serve, at most {} live",
            preview.floor, preview.ceiling
        ));
        if !preview.target_groups.is_empty() {
            let names: Vec<&str> = preview.target_groups.values().map(String::as_str).collect();
            lines.push(format!("  serving    healthy in target group {}", names.join(" and ")));
        }
        for (index, borrowing) in preview.borrows.iter().enumerate() {
            let label = if index == 0 { "borrows" } else { "" };
            lines.push(format!("  {label:<10} {} {}", borrowing.what, borrowing.becomes));
        }
        let guess = if preview.boot_assumed { ", with a boot time assumed" } else { "" };
        let expected = span(Duration::from_secs(preview.expected_seconds));
        lines.push(format!("  expected   about {expected}{guess}"));
    } else {
        lines.push(nothing_to_do(name, preview));
    }
    lines.extend(preview.warnings.iter().map(|warning| format!("  warning: {warning}")));
    lines.join("\n")
}

/// Describes the pace of a rollout: `batches of 3, 3, 1`.
pub fn pace(preview: &Preview) -> String {
    if let Some(percentages) = preview.instance_refresh.first() {
        return format!("by instance refresh, {percentages}");
    }
    let message = batches(preview);
    if preview.continuous { message } else { format!("batches of {message}") }
}

/// Describes what a rollout would do, to follow "roll".
pub fn intent(preview: &Preview) -> String {
    let from = preview.from.as_ref().map_or("an unknown revision", |from| from.as_str());
    let pace = pace(preview);
    let time = span(Duration::from_secs(preview.expected_seconds));
    let Preview { target, to, policy, floor, ceiling, .. } = preview;
    format!(
        "{target} from {from} to {to} ({policy}): {pace}, at least {floor} serve, at most \
         {ceiling} live, about {time}"
    )
}

/// Returns the one line for a fleet that needs no rollout.
pub fn nothing_to_do(name: &str, preview: &Preview) -> String {
    format!(
        "{name}: nothing to do, {} {} of {} runs {}",
        preview.kind,
        preview.target,
        counted(preview.size as usize, "instance"),
        preview.to
    )
}

/// Sizes of the batches, equal ones counted: `3 x 30, 10`.
pub fn batches(preview: &Preview) -> String {
    if preview.continuous {
        return format!("up to {} at once", preview.ceiling - preview.floor);
    }
    let message: Vec<String> = preview
        .batches
        .iter()
        .map(|batch| match batch.launches {
            0 => batch.replaces.len().to_string(),
            launches => format!("{launches} extra"),
        })
        .collect();
    let mut runs: Vec<(String, usize)> = Vec::new();
    for word in message {
        match runs.last_mut() {
            Some((last, count)) if *last == word => *count += 1,
            _ => runs.push((word, 1)),
        }
    }
    let shown = runs.into_iter().flat_map(|(word, count)| match count {
        1..=5 => vec![word; count],
        _ => vec![format!("{count} x {word}")],
    });
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() { "none".into() } else { shown.join(", ") }
}

/// Describes how a rollout ended in one sentence, and what it left in further ones.
pub fn ended(report: &Report) -> (String, Vec<String>) {
    let Report { target, to, outcome, .. } = report;
    let elapsed = span(Duration::from_millis(report.elapsed_ms));
    let what = match outcome {
        Outcome::Succeeded => {
            let instances = counted(report.instances.len(), "instance");
            let how = match &report.instance_refresh {
                Some(_) => "instance refresh".to_owned(),
                None => counted(report.batches as usize, "batch"),
            };
            let what = format!("rolled {target} to {to}: {instances}, {how}, {elapsed}");
            return (what, Vec::new());
        }
        Outcome::Aborted if still_running(report).is_some() => {
            format!("the rollout of {target} to {to} is not followed any more")
        }
        Outcome::RolledBack => {
            let back = report.completed.as_ref().map_or("the last revision", |c| c.as_str());
            format!("{target} went back from {to} to {back}")
        }
        Outcome::Failed => format!("failed to roll {target} to {to}"),
        Outcome::Paused => format!("the rollout of {target} to {to} is paused"),
        Outcome::Aborted => format!("the rollout of {target} to {to} was given up"),
        Outcome::Locked => format!("{target} was left to another engine"),
    };
    let reason = report.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    let mut sentences = vec![format!("Now {}", left(report))];
    if !report.retained_failed.is_empty() {
        let retained: Vec<&str> = report.retained_failed.iter().map(|id| id.as_str()).collect();
        sentences.push(format!("Kept outside the fleet to be looked at: {}", retained.join(", ")));
    }
    if let Some(instance_refresh) = still_running(report) {
        sentences.push(format!("{}. {GOES_ON}", going_on(instance_refresh)));
    } else if *outcome == Outcome::Locked {
        let borrowed = Some(report.borrowed.join("; ")).filter(|borrowed| !borrowed.is_empty());
        sentences.extend(borrowed.map(|it| format!("Borrowed when last looked at: {it}")));
    } else {
        sentences.push(match report.borrowed.as_slice() {
            [] => "Nothing is borrowed any more".to_owned(),
            left => format!("Still borrowed: {}", left.join("; ")),
        });
    }
    (format!("{what}{reason}"), sentences)
}

/// Reports that a rollout goes back, and why.
pub fn rolling_back(reason: &str, to: &Revision, asked: bool) -> Vec<String> {
    match asked {
        true => vec![format!("rolling back to {to}: {reason}")],
        false => vec![format!("failed: {reason}"), format!("rolling back to {to}")],
    }
}

/// Describes what a rollout that ends early does from `at` on, and for how long at most.
pub fn putting_back(at: Timestamp, until: Option<Timestamp>) -> String {
    let what = "putting back what is borrowed";
    match until {
        Some(until) => format!(
            "{what}, for {} at most; asked once more it stops at once, and the next apply goes on",
            span(until.since(at))
        ),
        None => what.into(),
    }
}

/// What the operator can do about a refresh that goes on.
const GOES_ON: &str = "apply follows it again, rolling abort ends it where it is, rolling rollback \
                       has it go back";

/// Returns the refresh of a rollout that goes on although no engine follows it.
fn still_running(report: &Report) -> Option<&InstanceRefreshReport> {
    report
        .instance_refresh
        .as_ref()
        .filter(|r| r.still_running && report.outcome != Outcome::Locked)
}

fn going_on(instance_refresh: &InstanceRefreshReport) -> String {
    let InstanceRefreshReport { id, status, percent, .. } = instance_refresh;
    format!("instance refresh {id} goes on by itself ({status}, {percent} %)")
}

/// Describes a step of an instance refresh.
pub fn instance_refresh_step(id: &str, step: InstanceRefreshStep) -> String {
    match step {
        InstanceRefreshStep::Started => format!("instance refresh {id} is started"),
        InstanceRefreshStep::Joined => {
            format!("instance refresh {id} is under way, and is followed")
        }
        InstanceRefreshStep::Cancelled => format!("instance refresh {id} is being cancelled"),
        InstanceRefreshStep::RolledBack => format!("instance refresh {id} is to go back"),
    }
}

/// Counts the instances that run `revision`, with the total if those are not all.
fn count_on(report: &Report, revision: Option<&Revision>) -> String {
    let all = report.instances.len();
    let on = report.instances.iter().filter(|i| i.revision.as_ref() == revision).count();
    let of = if on == all { String::new() } else { format!("{on} of ") };
    format!("{of}{}", counted(all, "instance"))
}

/// Describes how a rollout ended.
pub fn report(name: &str, report: &Report) -> String {
    let mut lines = vec![headline(name, report)];
    if report.outcome == Outcome::Succeeded {
        let is_on = |i: &InstanceReport| i.serves && i.revision.as_ref() == Some(&report.to);
        if !report.instances.iter().all(is_on) {
            lines.push(format!("  fleet      {}", left(report)));
            lines.extend(troubled(&report.instances));
        }
        return lines.join("\n");
    }
    if let Some(reason) = &report.reason {
        lines.push(format!("  why        {reason}"));
    }
    lines.push(format!("  fleet      {}", left(report)));
    lines.extend(troubled(&report.instances));
    if !report.retained_failed.is_empty() {
        let retained: Vec<&str> = report.retained_failed.iter().map(|id| id.as_str()).collect();
        lines.push(format!(
            "  kept       {}, outside the fleet, to be looked at",
            retained.join(", ")
        ));
    }
    match (still_running(report), report.outcome) {
        (Some(instance_refresh), _) => {
            lines.push(format!("  refresh    {}", going_on(instance_refresh)));
            lines.push(format!("  next       {GOES_ON}"));
        }
        (None, Outcome::Locked) => lines.extend(left_to_another(report)),
        (None, _) => lines.extend(left_behind(report)),
    }
    lines.join("\n")
}

fn headline(name: &str, report: &Report) -> String {
    let elapsed = span(Duration::from_millis(report.elapsed_ms));
    let to = &report.to;
    match report.outcome {
        Outcome::Succeeded => {
            let count = count_on(report, Some(to));
            let how = match &report.instance_refresh {
                Some(_) => "by instance refresh".to_owned(),
                None => format!("after {}", counted(report.batches as usize, "batch")),
            };
            format!("{name}: succeeded, {count} on {to} {how} in {elapsed}")
        }
        Outcome::RolledBack => {
            let count = count_on(report, report.completed.as_ref());
            let back = report.completed.as_ref().map_or("the last revision", |c| c.as_str());
            format!("{name}: rolled back from {to}, {count} on {back} in {elapsed}")
        }
        Outcome::Locked if report.overtaken => {
            format!("{name}: locked after {elapsed}, nothing more was done")
        }
        Outcome::Locked => format!("{name}: locked, nothing was done"),
        outcome => format!("{name}: {} after {elapsed}", outcome.name()),
    }
}

/// What another engine is at work on, and what to do.
fn left_to_another(report: &Report) -> Vec<String> {
    let borrowed = (!report.borrowed.is_empty())
        .then(|| format!("  borrowed   when last looked at: {}", report.borrowed.join("; ")));
    let next = match report.overtaken {
        false => "  next       wait for it to end, or stop it there",
        true => "  next       rolling status tells what is so now, and apply goes on from there",
    };
    borrowed.into_iter().chain([next.to_owned()]).collect()
}

/// What a rollout that did not succeed has left borrowed, and what to do.
fn left_behind(report: &Report) -> Vec<String> {
    let mut lines = vec![match report.borrowed.is_empty() {
        true => "  borrowed   nothing any more: sizes, processes and template are back".to_owned(),
        false => format!("  borrowed   still: {}", report.borrowed.join("; ")),
    }];
    if let Some(completed) = &report.completed {
        lines.push(format!("  completed  {completed} is the last revision all instances ran"));
    }
    let next = match report.outcome {
        Outcome::Aborted => "  next       run apply again to finish",
        Outcome::Paused => {
            "  next       rolling resume goes on, rolling rollback goes back, rolling abort gives up"
        }
        Outcome::RolledBack => "  next       correct what failed, then apply again",
        _ => "  next       correct the cause, then run apply again",
    };
    lines.push(next.to_owned());
    lines
}

/// Reports that a deployment was not begun, since `before` did not succeed.
pub fn not_begun(name: &str, before: &str, why: &str) -> String {
    format!(
        "{name}: not begun, since {before} comes first and is {why}\n  next       see to {before}, \
         then run apply again; --resource {name} rolls this one alone"
    )
}

/// Describes which engine is at work on a target, or whether it may still be.
pub fn at_work(rollout: &Rollout) -> String {
    let next = match rollout.record().map(|record| record.phase) {
        Some(Phase::Halted(Ending::Paused)) => "rolling resume goes on",
        Some(Phase::Halted(Ending::Failed | Ending::Aborted)) => "apply begins anew",
        Some(_) => "apply goes on",
        None => "apply begins",
    };
    if let Some(owner) = rollout.ended_owner() {
        return format!("nobody, {owner} has ended; {next}");
    }
    let Some(lease) = rollout.lease() else { return format!("nobody; {next}") };
    let owner = &lease.owner;
    let Some(at) = lease.at else { return owner.clone() };
    let silent = rollout.clock().wall().since(at);
    if silent <= WATCH {
        return owner.clone();
    }
    // By the owner's clock, which may differ.
    let silent = span(silent);
    format!("{owner}, whose last sign of life was {silent} ago; if it has ended, {next}")
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
    lines.push(format!("  fleet      {}", fleet(&instances)));
    lines.extend(troubled(&instances));
    if let Some(instance_refresh) = rollout.instance_refresh().map(InstanceRefreshReport::from) {
        let InstanceRefreshReport { id, status, percent, reason, to, still_running } =
            instance_refresh;
        let to = to.map_or(String::new(), |to| format!(" to {to}"));
        lines.push(format!("  refresh    {id}{to}: {status}, {percent} %"));
        lines.extend(reason.map(|reason| format!("  why        {reason}")));
        if still_running {
            lines.push("  at work    EC2 Auto Scaling".into());
        }
    }
    match rollout.record() {
        None if rollout.instance_refresh().is_some() => {}
        None if rollout.lease().is_none() => lines.push("  rollout    none".into()),
        None => {
            lines.push("  rollout    about to begin: nothing is recorded yet".into());
            lines.push(format!("  at work    {}", at_work(rollout)));
        }
        Some(record) => {
            let (id, to, status) = (&record.id, &record.to, record.status().replace('_', " "));
            lines.push(format!("  rollout    {id} to {to}: {status}"));
            if let Some(reason) = &record.reason {
                lines.push(format!("  why        {reason}"));
            }
            lines.push(format!("  at work    {}", at_work(rollout)));
        }
    }
    if let Some(completed) = rollout.completed() {
        lines.push(format!("  completed  {completed}"));
    }
    lines.join("\n")
}

/// Describes what a rollout has left, with the missing instances.
fn left(report: &Report) -> String {
    let missing = (report.size as usize).saturating_sub(report.instances.len());
    let fleet = fleet(&report.instances);
    match missing {
        0 => fleet,
        _ => format!("{fleet}, {missing} of the {} wanted not launched", report.size),
    }
}

/// Counts the instances on each revision that serve: `7 of 7 on v1 serve`.
pub fn fleet(instances: &[InstanceReport]) -> String {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for instance in instances {
        let revision =
            instance.revision.as_ref().map_or("an unknown revision".into(), ToString::to_string);
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

fn troubled(instances: &[InstanceReport]) -> Vec<String> {
    const SHOWN: usize = 10;
    let idle: Vec<&InstanceReport> = instances.iter().filter(|i| !i.serves).collect();
    let mut lines: Vec<String> = idle
        .iter()
        .take(SHOWN)
        .map(|instance| {
            let revision = instance.revision.as_ref().map_or("?", |revision| revision.as_str());
            let trouble = instance.trouble.as_deref().unwrap_or("does not serve");
            format!("             {} on {revision} in {}: {trouble}", instance.id, instance.zone)
        })
        .collect();
    if idle.len() > SHOWN {
        lines.push(format!("             and {} more", idle.len() - SHOWN));
    }
    lines
}

/// A number of things: `1 batch`, `2 batches`.
pub fn counted(count: usize, noun: &str) -> String {
    let plural = if noun.ends_with("ch") { "es" } else { "s" };
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}{plural}") }
}

/// Describes the answer of a gate.
pub fn gate(gate: &str, passed: bool, message: &str) -> String {
    let verdict = if passed { "passed" } else { "did not pass" };
    format!("gate {gate} {verdict}: {message}")
}
