//! How a rollout ended, what it left, and what to do.

use std::time::Duration;

use rolling_provider::Revision;

use super::next_step::{NextStep, Wording, capital};
use super::status::{before_restart, counted, few, fleet, span, troubled};
use crate::model::event::{Cause, DelegatedRolloutReport, InstanceReport, Outcome, Report};
use crate::model::printable;

/// Describes how a rollout ended in one sentence, and what it left in further ones.
pub(crate) fn ended(report: &Report) -> (String, Vec<String>) {
    let Report { target, to, outcome, .. } = report;
    let elapsed = span(Duration::from_millis(report.elapsed_ms));
    let what = match outcome {
        Outcome::Succeeded => {
            let instances = count_on(report, Some(to));
            let how = match &report.delegated_rollout {
                Some(delegated) => delegated.kind.to_owned(),
                None => counted(report.batches as usize, "batch"),
            };
            let left = left_alone(report) + &pending(report);
            let what = format!("rolled {target} to {to}: {instances}{left}, {how}, {elapsed}");
            return (what, Vec::new());
        }
        Outcome::Aborted if still_running(report).is_some() => {
            format!("stopped following the rollout of {target} to {to}")
        }
        Outcome::RolledBack => {
            let back = back(report).map_or("the last revision", |revision| revision.as_str());
            format!("{target} was rolled back from {to} to {back}")
        }
        Outcome::Failed => format!("failed to roll {target} to {to}"),
        Outcome::Paused if report.cause == Some(Cause::Superseded) => {
            format!("the rollout of {target} to {to} has ended")
        }
        Outcome::Paused => format!("the rollout of {target} to {to} is paused"),
        Outcome::Aborted if report.interrupted => {
            format!("the rollout of {target} to {to} was interrupted")
        }
        Outcome::Aborted => format!("the rollout of {target} to {to} was aborted"),
        Outcome::Locked => format!("another engine is at work on {target}"),
    };
    let reason = report.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    let mut sentences = vec![format!("Now {}", left(report))];
    if !report.retained_failed.is_empty() {
        let retained: Vec<&str> = report.retained_failed.iter().map(|id| id.as_str()).collect();
        sentences.push(format!("Kept outside the fleet for inspection: {}", retained.join(", ")));
    }
    if let Some(delegated) = still_running(report) {
        sentences.push(going_on(delegated));
    } else {
        sentences.extend(borrowed(report).map(|sentence| capital(&sentence)));
    }
    (format!("{what}{reason}"), sentences)
}

/// Returns what somebody should know besides how the rollout ended: hooks that failed although it
/// went on, and what others changed meanwhile.
pub(crate) fn besides(report: &Report) -> Vec<String> {
    report.failed_hooks.iter().chain(&report.changed_by_others).cloned().collect()
}

/// Returns what is still borrowed from the fleet, as a sentence; none where another engine holds it
/// and nothing was seen.
pub(crate) fn borrowed(report: &Report) -> Option<String> {
    let left = report.borrowed.join("; ");
    match (report.outcome, left.is_empty()) {
        (Outcome::Locked, true) => None,
        (Outcome::Locked, false) => Some(format!("borrowed when last read: {left}")),
        (_, true) => Some("all temporary changes are undone".to_owned()),
        (_, false) => Some(format!("still borrowed: {left}")),
    }
}

/// How somebody acts on the command line.
const WORDING: Wording<'static> = Wording {
    again: "run apply again",
    decide: "`rolling resume` continues it, `rolling rollback` rolls it back, `rolling abort` ends \
             it",
    roll_back: "`rolling rollback` goes back",
    follow: "apply follows it again, `rolling abort` ends it, `rolling rollback` rolls it back",
    wait: "wait for it to end, or end it with `rolling abort`; for another revision `rolling apply \
           --supersede`",
    look: "`rolling status` shows the current state, and apply continues from it",
};

/// Returns the platform's own rollout that goes on although no engine follows it.
fn still_running(report: &Report) -> Option<&DelegatedRolloutReport> {
    report
        .delegated_rollout
        .as_ref()
        .filter(|r| r.still_running && report.outcome != Outcome::Locked)
}

fn going_on(delegated: &DelegatedRolloutReport) -> String {
    let DelegatedRolloutReport { kind, id, status, percent, takes_back, .. } = delegated;
    let back = takes_back.as_ref().map(|back| format!(", which takes {back} back,"));
    let back = back.unwrap_or_default();
    format!("{kind} {id}{back} continues without this program ({status}, {percent} %)")
}

/// Says who stays as it is: `, 3 left alone (i-1, i-2, i-3)`.
fn left_alone(report: &Report) -> String {
    match report.left_alone.len() {
        0 => String::new(),
        count => format!(", {count} left alone ({})", few(&report.left_alone)),
    }
}

/// Says how many instances of a size that was set at the end are still to be launched: `, 2 still to
/// be launched for the size of 6`.
fn pending(report: &Report) -> String {
    let size = report.size as usize;
    match size.saturating_sub(report.instances.len()) {
        0 => String::new(),
        pending => format!(", {pending} still to be launched for the size of {size}"),
    }
}

/// Counts the instances that run `revision`, with how many are wanted if those are not all.
fn count_on(report: &Report, revision: Option<&Revision>) -> String {
    let all = report.instances.len().max(report.size as usize);
    let on = report.instances.iter().filter(|i| i.revision.as_ref() == revision).count();
    let of = if on == all { String::new() } else { format!("{on} of ") };
    format!("{of}{}", counted(all, "instance"))
}

/// Describes how a rollout ended.
pub fn report(name: &str, report: &Report) -> String {
    let mut lines = vec![headline(name, report)];
    if report.outcome == Outcome::Succeeded {
        let is_on = |i: &InstanceReport| i.serves && i.revision.as_ref() == Some(&report.to);
        if !report.instances.iter().all(is_on) || !report.left_alone.is_empty() {
            lines.push(format!("  fleet      {}", left(report)));
            lines.extend(troubled(&report.instances));
        }
        lines.extend(besides(report).iter().map(|besides| format!("  besides    {besides}")));
        return printable::join(&lines);
    }
    if let Some(reason) = &report.reason {
        lines.push(format!("  why        {reason}"));
    }
    lines.push(format!("  fleet      {}", left(report)));
    lines.extend(troubled(&report.instances));
    lines.extend(besides(report).iter().map(|besides| format!("  besides    {besides}")));
    if !report.retained_failed.is_empty() {
        let retained: Vec<&str> = report.retained_failed.iter().map(|id| id.as_str()).collect();
        lines.push(format!(
            "  retained   {}, outside the fleet, to be looked at",
            retained.join(", ")
        ));
    }
    match (still_running(report), report.outcome) {
        (Some(delegated), _) => {
            lines.push(format!("  platform   {}", going_on(delegated)));
        }
        (None, Outcome::Locked) => lines.extend(left_to_another(report)),
        (None, _) => lines.extend(left_behind(report)),
    }
    lines.push(format!("  next       {}", NextStep::after(report).sentence(&WORDING)));
    printable::join(&lines)
}

/// Returns the revision that a rollout went back to.
fn back(report: &Report) -> Option<&Revision> {
    report.restored.as_ref().or(report.completed.as_ref())
}

fn headline(name: &str, report: &Report) -> String {
    let elapsed = span(Duration::from_millis(report.elapsed_ms));
    let to = &report.to;
    match report.outcome {
        Outcome::Succeeded => {
            let count = count_on(report, Some(to));
            let how = match &report.delegated_rollout {
                Some(delegated) => format!("by {} ", delegated.kind),
                None if report.batches == 0 => String::new(),
                None => format!("after {} ", counted(report.batches as usize, "batch")),
            };
            let (left, pending) = (left_alone(report), pending(report));
            let left = format!("{left}{pending}");
            let left = if left.is_empty() { left } else { left + "," };
            format!("{name}: succeeded, {count} on {to}{left} {how}in {elapsed}")
        }
        Outcome::RolledBack => {
            let count = count_on(report, back(report));
            let back = back(report).map_or("the last revision", |revision| revision.as_str());
            let left = left_alone(report);
            format!("{name}: rolled back from {to}, {count} on {back}{left} in {elapsed}")
        }
        Outcome::Locked if report.overtaken => {
            format!("{name}: locked after {elapsed}, nothing more was done")
        }
        Outcome::Locked => format!("{name}: locked, nothing was done"),
        Outcome::Paused if report.cause == Some(Cause::Superseded) => {
            format!("{name}: superseded after {elapsed}")
        }
        Outcome::Aborted if report.interrupted => format!("{name}: interrupted after {elapsed}"),
        outcome => format!("{name}: {} after {elapsed}", outcome.name()),
    }
}

/// What is borrowed on a target that another engine is at work on.
fn left_to_another(report: &Report) -> Option<String> {
    (!report.borrowed.is_empty())
        .then(|| format!("  borrowed   when last read: {}", report.borrowed.join("; ")))
}

/// What a rollout that did not succeed has left borrowed.
fn left_behind(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if !report.borrowed.is_empty() {
        lines.push(format!("  borrowed   still: {}", report.borrowed.join("; ")));
    } else if report.is_unrestored() {
        lines.push("  borrowed   nothing, but the record of the rollout is still there".to_owned());
    } else if report.delegated_rollout.is_none() {
        let back = "nothing: what was changed for the time of the rollout is restored";
        lines.push(format!("  borrowed   {back}"));
    }
    let Some(completed) = report.completed.as_ref().filter(|it| **it != report.to) else {
        return lines;
    };
    if !report.all_run(&report.to) {
        // Instances that are left alone need never have run it.
        let who = if report.left_alone.is_empty() { "all instances" } else { "the others" };
        lines.push(format!("  completed  {completed} is the last revision {who} ran"));
    } else if !report.is_unrestored() {
        // All run the new one by now, which is not accepted.
        lines.push(format!("  completed  {completed}, to which a rollback returns"));
    }
    lines
}

/// Describes what a rollout has left, with the missing instances.
fn left(report: &Report) -> String {
    let missing = (report.size as usize).saturating_sub(report.instances.len());
    let fleet = fleet(&report.instances) + &before_restart(report.to_restart);
    match missing {
        0 => fleet,
        _ => format!("{fleet}, {missing} of the {} wanted not launched", report.size),
    }
}
