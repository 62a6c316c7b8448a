//! Plans, reports and states as text.

mod next_step;
mod outcome;
mod status;

use self::status::few;

use std::time::Duration;

use rolling_provider::{Revision, Timestamp};

use crate::model::event::{DelegatedRolloutStep, Event, HookNext};
use crate::model::preview::{AtWorst, DelegatedPreview, Preview, UnitsPreview};
use crate::model::printable;

pub(crate) use self::next_step::{NextStep, Wording, capital};
pub use self::outcome::report;
pub(crate) use self::outcome::{besides, borrowed, ended};
pub use self::status::status;
pub(crate) use self::status::{at_work, counted, fleet, span};

/// Describes what a rollout would do.
pub fn plan(name: &str, preview: &Preview) -> String {
    let mut lines = Vec::new();
    if preview.paused {
        lines.push(format!("{name}: {}", paused(preview)));
    } else if preview.changes {
        lines.extend(heading(name, preview));
        let size = counted(preview.size as usize, "instance");
        lines.push(format!("  policy     {}, {size}", preview.policy));
        let pace = if preview.continuous { "pace" } else { "batches" };
        let keeps_own_pace = !preview.controller.is_empty() && preview.batches.is_empty();
        let is_told = preview.delegated_rollout.is_none() || !preview.batches.is_empty();
        if is_told && !keeps_own_pace {
            lines.push(format!("  {pace:<10} {}", batches(preview)));
        }
        lines.extend(labelled("controller", &preview.controller));
        let delegated = preview.delegated_rollout.as_ref();
        lines.extend(delegated.iter().flat_map(|it| labelled("platform", &it.settings)));
        if !preview.checkpoints.is_empty() && delegated.is_none() {
            let at: Vec<String> = preview.checkpoints.iter().map(|p| format!("{p} %")).collect();
            lines.push(format!("  waits      at {}", at.join(" and ")));
        }
        lines.extend(preview.requests.iter().map(|message| format!("  requests   {message}")));
        lines.extend(labelled("hooks", &preview.hooks));
        lines.extend(labelled("gates", &preview.gates));
        lines.extend(labelled("runs", &preview.rollout_hooks));
        lines.push(format!("  capacity   {}", capacity(preview)));
        if !preview.target_groups.is_empty() {
            let names: Vec<&str> = preview.target_groups.values().map(String::as_str).collect();
            lines.push(format!("  serving    healthy in target group {}", names.join(" and ")));
        }
        for (index, borrowing) in preview.borrows.iter().enumerate() {
            let label = if index == 0 { "borrows" } else { "" };
            lines.push(format!("  {label:<10} {} {}", borrowing.what, borrowing.becomes));
        }
        lines.extend(preview.at_worst.map(|worst| at_worst(worst, preview)));
        let guess = if preview.boot_assumed { ", with an assumed boot time" } else { "" };
        let expected = span(Duration::from_secs(preview.expected_seconds));
        let besides = match preview.may_wait.is_empty() {
            true => String::new(),
            false => format!("; besides, {}", preview.may_wait.join(", ")),
        };
        lines.push(match preview.expected_seconds == 0 && !preview.may_wait.is_empty() {
            true => format!("  expected   {}", preview.may_wait.join(", ")),
            false if preview.expected_seconds == 0 => "  expected   a few seconds".into(),
            false => format!("  expected   about {expected}{guess}{besides}"),
        });
    } else {
        lines.push(nothing_to_do(name, preview));
    }
    lines.extend(preview.warnings.iter().map(|warning| format!("  warning: {warning}")));
    printable::join(&lines)
}

/// Returns a line for each phrase, the first of them with `label`.
fn labelled<'a>(label: &'a str, phrases: &'a [String]) -> impl Iterator<Item = String> + 'a {
    phrases.iter().enumerate().map(move |(index, phrase)| {
        let label = if index == 0 { label } else { "" };
        format!("  {label:<10} {phrase}")
    })
}

/// Says that an apply rolls nothing before somebody decides; a warning says why.
fn paused(preview: &Preview) -> String {
    let Preview { kind, target, to, .. } = preview;
    format!("the rollout of {kind} {target} to {to} is paused, and an apply leaves it so")
}

/// Says what is rolled: `web: roll auto scaling group web from lt-1:1 to lt-1:2`.
fn heading(name: &str, preview: &Preview) -> Vec<String> {
    let Preview { kind, target, from, to, .. } = preview;
    if let Some(what) = same_again(preview) {
        return vec![format!("{name}: restart {kind} {target} on {what}")];
    }
    let way = match from {
        Some(from) if from == to && preview.batches.is_empty() => {
            format!("to {to}, which its instances run already")
        }
        Some(from) if from == to => format!("to {to}, which is set already, and not run by all"),
        Some(from) => format!("from {from} to {to}"),
        None => format!("from an unknown revision to {to}"),
    };
    let mut lines = vec![format!("{name}: roll {kind} {target} {way}")];
    if let Some(before) = &preview.restart {
        lines.push(format!("  restart    of what was launched before {before}, on {to} too"));
    }
    lines
}

/// Describes the pace of a rollout: `batches of 3, 3, 1`.
pub(crate) fn pace(preview: &Preview) -> String {
    if let Some(DelegatedPreview { kind, settings }) = &preview.delegated_rollout {
        let first = settings.first().map_or(String::new(), |setting| format!(", {setting}"));
        return format!("by {kind}{first}");
    }
    if let Some(how) = preview.controller.first().filter(|_| preview.batches.is_empty()) {
        return how.clone();
    }
    let message = batches(preview);
    match preview.continuous {
        true => message,
        false if preview.batches.is_empty() => nothing_replaced(preview),
        false => format!("batches of {message}"),
    }
}

/// Describes what a rollout would do, to follow "roll".
pub(crate) fn intent(preview: &Preview) -> String {
    let from = preview.from.as_ref().map_or("an unknown revision", |from| from.as_str());
    let pace = pace(preview);
    let time = span(Duration::from_secs(preview.expected_seconds));
    let Preview { target, to, policy, .. } = preview;
    let what = same_again(preview).unwrap_or_else(|| format!("from {from} to {to}"));
    format!("{target} {what} ({policy}): {pace}, {}, about {time}", capacity(preview))
}

/// Describes the bounds of a rollout: `at least 4 serve, at most 6 live`.
pub(crate) fn capacity(preview: &Preview) -> String {
    let Preview { floor, ceiling, .. } = preview;
    match preview.units {
        Some(UnitsPreview { floor, desired }) => {
            format!("at least {floor} of {desired} units serve")
        }
        None => format!("at least {floor} serve, at most {ceiling} live"),
    }
}

/// Describes what a rollout begins, in the first line `rolling web to v2: batches of 3, 3, about 2m`:
/// which engine has to end first, and what a reader should know. An end that somebody asks for only
/// restores.
pub(crate) fn begins(preview: &Preview, with_kind: bool) -> Vec<String> {
    let Preview { kind, target, to, .. } = preview;
    let fleet = if with_kind { format!("{kind} {target}") } else { target.clone() };
    let ending = [("abort", "aborting"), ("pause", "pausing")];
    let ending = ending.iter().find(|(command, _)| preview.command == Some(command));
    if let Some((_, ending)) = ending {
        return vec![format!("no engine is at work: {ending} the rollout of {fleet} to {to} here")];
    }
    let warnings = preview.warnings.iter().map(|message| format!("warning: {message}"));
    if preview.paused {
        return [paused(preview)].into_iter().chain(warnings).collect();
    }
    let what = match same_again(preview) {
        Some(what) => format!("restarting {fleet} on {what}"),
        None => format!("rolling {fleet} to {to}"),
    };
    let unless = preview
        .at_work
        .as_ref()
        .map_or(String::new(), |owner| format!("unless {owner} is still at work on {target}: "));
    let (pace, expected) = (pace(preview), expected(preview));
    [format!("{unless}{what}: {pace}, {expected}")].into_iter().chain(warnings).collect()
}

/// Says how long a rollout takes, and what it may wait for besides.
fn expected(preview: &Preview) -> String {
    let time = span(Duration::from_secs(preview.expected_seconds));
    match (preview.expected_seconds, preview.may_wait.is_empty()) {
        (0, false) => preview.may_wait.join(", "),
        _ => format!("about {time}"),
    }
}

/// Describes a rollout that only restarts what the fleet runs: `v2, what was launched before
/// 2026-07-01T12:00:00Z`.
fn same_again(preview: &Preview) -> Option<String> {
    let before = preview.restart.as_ref()?;
    let is_same = preview.from.as_ref() == Some(&preview.to);
    is_same.then(|| format!("{}, what was launched before {before}", preview.to))
}

/// Returns the one line for a fleet that needs no rollout.
pub(crate) fn nothing_to_do(name: &str, preview: &Preview) -> String {
    let Preview { kind, target, to, .. } = preview;
    let instances = counted(preview.size as usize, "instance");
    let message = match untouched(preview) {
        Some(untouched) => {
            format!("{name}: nothing to do, {kind} {target} of {instances}: {untouched}")
        }
        None if preview.size == 0 => {
            format!("{name}: nothing to do, {kind} {target} has no instances ({to} is wanted)")
        }
        None => format!("{name}: nothing to do, {kind} {target} of {instances} runs {to}"),
    };
    printable::line(&message).into_owned()
}

/// Says that some instances stay as they are:
/// `3 are left alone (i-1, i-2, i-3) and do not run v2, and no other instance has to be replaced`.
pub(crate) fn untouched(preview: &Preview) -> Option<String> {
    let left = preview.left_alone.len();
    if left == 0 {
        return None;
    }
    let (ids, to) = (few(&preview.left_alone), &preview.to);
    let (are, run) = if left == 1 { ("is", "does") } else { ("are", "do") };
    let restart = if preview.restart.is_some() { ", or not since the restart" } else { "" };
    Some(format!(
        "{left} {are} left alone ({ids}) and {run} not run {to}{restart}; no other instance has to be \
         replaced"
    ))
}

/// Says what a rollout costs at worst:
/// `2 of 8 instances (25 %) are unavailable at once, for up to 1m`.
fn at_worst(worst: AtWorst, preview: &Preview) -> String {
    let size = preview.size;
    let share = |count: u32| (count * 100).checked_div(size).unwrap_or_default();
    let time = |seconds| span(Duration::from_secs(seconds));
    let out = match worst.out {
        0 => "no instance unavailable".to_owned(),
        out => format!(
            "{out} of {} ({} %) unavailable at once, for up to {}{}",
            counted(size as usize, "instance"),
            share(out),
            time(worst.out_seconds),
            if worst.recovers { "" } else { " and until somebody decides" }
        ),
    };
    if preview.requests.is_some() {
        // The new set gets its first request once all of it serves.
        return format!(
            "  worst case {out}; no request goes to a revision that never becomes healthy"
        );
    }
    let exposed = worst.exposed;
    let later = if exposed < size { ", all on one that fails later" } else { "" };
    format!(
        "  worst case {out}; {exposed} ({} %) on a revision that never becomes healthy, for up to \
         {}{later}",
        share(exposed),
        time(worst.exposed_seconds)
    )
}

/// Sizes of the batches, equal ones counted: `3 x 30, 10`.
pub(crate) fn batches(preview: &Preview) -> String {
    if preview.continuous {
        return format!("up to {} at once", preview.ceiling - preview.floor);
    }
    let message: Vec<String> = preview
        .batches
        .iter()
        .map(|batch| match batch.launches {
            0 => batch.size().to_string(),
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
    if shown.is_empty() { format!("none: {}", nothing_replaced(preview)) } else { shown.join(", ") }
}

/// Says why there is no batch.
fn nothing_replaced(preview: &Preview) -> String {
    let why = match preview.may_wait.is_empty() {
        true => "no instance is to be replaced now",
        false => "no instance may be replaced yet",
    };
    match &preview.sets_template {
        Some(to) => format!("{why}, and the group's template is set to {to}"),
        None => why.into(),
    }
}

/// Reports that a rollout goes back, and why.
pub(crate) fn rolling_back(reason: &str, to: &Revision, asked: bool) -> Vec<String> {
    match asked {
        true => vec![format!("rolling back to {to}: {reason}")],
        false => vec![format!("failed: {reason}"), format!("rolling back to {to}")],
    }
}

/// Describes what a rollout that ends early does from `at` on, and for how long at most.
pub(crate) fn putting_back(at: Timestamp, until: Option<Timestamp>) -> String {
    let what = "restoring what is borrowed";
    match until {
        Some(until) => format!(
            "{what}, for about {}; a second request stops it at once, and the next apply \
             continues",
            span(until.since(at))
        ),
        None => what.into(),
    }
}

/// Describes a step of a rollout that the platform itself carries out.
pub(crate) fn delegated_step(kind: &str, id: &str, step: DelegatedRolloutStep) -> String {
    match step {
        DelegatedRolloutStep::Started => format!("{kind} {id} is started"),
        DelegatedRolloutStep::Joined => format!("{kind} {id} is under way, and is followed"),
        DelegatedRolloutStep::Cancelled => format!("{kind} {id} is being ended"),
        DelegatedRolloutStep::RolledBack => format!("{kind} {id} is being rolled back"),
    }
}

/// Reports that a deployment was not begun, since `before` did not succeed.
pub(crate) fn not_begun(name: &str, before: &str, why: &str) -> String {
    let next = "then run apply again; --resource";
    printable::join(&[
        format!("{name}: not begun, because {before} comes first and is {why}"),
        format!("  next       complete {before}, {next} {name} rolls only this one"),
    ])
}

/// Describes the answer of a gate.
pub(crate) fn gate(gate: &str, passed: bool, message: &str) -> String {
    let verdict = if passed { "passed" } else { "did not pass" };
    format!("gate {gate} {verdict}: {message}")
}

/// Describes the beginning of a hook, `hook before_deregister of i-1, i-2: command drain, with the id
/// x`, or its end, and what follows. Empty for other events.
pub(crate) fn hook(event: &Event) -> String {
    match event {
        Event::HookStarted { hook, id, call, instances } => {
            let of = match instances.is_empty() {
                true => String::new(),
                false => format!(" of {}", few(instances)),
            };
            format!("hook {}{of}: {call}, with the id {id}", hook.name())
        }
        Event::HookFinished { hook, passed, message, next, .. } => {
            let verdict = if *passed { "succeeded" } else { "failed" };
            let next = match next {
                HookNext::Continue if *passed => "",
                HookNext::Continue => "; the rollout goes on all the same",
                HookNext::Fail => "; the rollout fails",
                HookNext::Pause => "; the rollout pauses",
            };
            format!("hook {} {verdict}: {message}{next}", hook.name())
        }
        _ => String::new(),
    }
}
