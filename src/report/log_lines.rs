//! A rollout as plain lines, for logs and pipes.

use std::collections::BTreeMap;
use std::time::Duration;

use rolling_provider::{Action, InstanceId, Revision, TargetGroupId, Timestamp};

use crate::model::event::{Envelope, Event};
use crate::model::printable;
use crate::report::text;

/// How far a rollout is.
#[derive(Clone, Copy, Debug)]
struct Counts {
    updated: usize,
    serving: usize,
    size: u32,
}

/// Turns events into lines.
#[derive(Debug, Default)]
pub(crate) struct LogLines {
    started: Option<Timestamp>,
    target_groups: BTreeMap<TargetGroupId, String>,
    counts: Option<Counts>,
    /// The revision that the rollout goes back to, if it does.
    back_to: Option<Revision>,
    waits: Vec<String>,
}

impl LogLines {
    /// Returns the lines for `envelope`, if it is worth any.
    pub(crate) fn lines(&mut self, envelope: &Envelope) -> Vec<String> {
        let started = *self.started.get_or_insert(envelope.at);
        let elapsed = envelope.at.since(started);
        self.message(&envelope.event, envelope.at)
            .into_iter()
            .map(|message| format!("[{:>8}] {}", clock(elapsed), printable::line(&message)))
            .collect()
    }

    fn message(&mut self, event: &Event, at: Timestamp) -> Vec<String> {
        match event {
            Event::Started { preview } if !preview.changes => Vec::new(),
            Event::Started { preview } => {
                self.target_groups.clone_from(&preview.target_groups);
                text::begins(preview, false)
            }
            Event::BatchStarted { number, .. } => {
                vec![format!("batch {number}: {}", batch(event))]
            }
            Event::Replacing { .. } => vec![batch(event)],
            Event::RollingBack { reason, to, asked } => {
                self.back_to = Some(to.clone());
                text::rolling_back(reason, to, *asked)
            }
            Event::Acted { action: Action::WriteRecord { .. } } => Vec::new(),
            Event::Acted { action } => vec![self.act(action)],
            Event::Waiting { on } => {
                let now: Vec<String> =
                    on.iter().map(|wait| format!("waiting for {wait}")).collect();
                let before = std::mem::replace(&mut self.waits, now.clone());
                now.into_iter().filter(|message| !before.contains(message)).collect()
            }
            Event::Progressed { updated, serving, size } => {
                self.counts = Some(Counts { updated: *updated, serving: *serving, size: *size });
                Vec::new()
            }
            Event::BatchFinished { number } => vec![format!("batch {number} done{}", self.tally())],
            Event::GateAnswered { gate, passed, message } => {
                vec![text::gate(gate, *passed, message)]
            }
            Event::HookStarted { .. } | Event::HookFinished { .. } => vec![text::hook(event)],
            Event::DelegatedRollout { kind, id, step } => {
                vec![text::delegated_step(kind, id, *step)]
            }
            Event::Warned { warning } => vec![format!("warning: {warning}")],
            Event::Retrying { error } => vec![format!("trying again: {error}")],
            Event::Refused { action, error } => {
                vec![format!("could not {}: {error}", self.act(action))]
            }
            Event::Halting { reason, until } => {
                vec![format!("halting: {reason}"), text::putting_back(at, *until)]
            }
            Event::Finished { .. } => Vec::new(),
        }
    }

    /// Describes an action, with the names of target groups instead of their ids.
    fn act(&self, action: &Action) -> String {
        let (verb, group, instances) = match action {
            Action::Deregister { target_group, instances } => {
                ("deregister", target_group, instances)
            }
            Action::Register { target_group, instances } => ("register", target_group, instances),
            other => return other.to_string(),
        };
        let name = self.target_groups.get(group).map_or(group.as_str(), String::as_str);
        let join = if verb == "register" { "in" } else { "from" };
        let ids: Vec<&str> = instances.iter().map(InstanceId::as_str).collect();
        format!("{verb} {} {join} target group {name}", some(&ids))
    }

    fn tally(&self) -> String {
        let Some(Counts { updated, serving, size }) = self.counts else { return String::new() };
        let done = match &self.back_to {
            Some(revision) => format!("on {revision}"),
            None => "updated".into(),
        };
        // Surplus counts among the updated until it leaves.
        let updated = updated.min(size as usize);
        format!(": {updated} of {size} {done}, {serving} serving")
    }
}

/// Describes the instances of a batch, briefly.
pub(crate) fn batch(event: &Event) -> String {
    let (Event::BatchStarted { launches, instances, removed, .. }
    | Event::Replacing { launches, instances, removed }) = event
    else {
        return String::new();
    };
    if let Event::BatchStarted { at_most: Some(count), .. } = event {
        return format!("replacing {count}");
    }
    if *launches > 0 {
        return format!("launching {launches} extra");
    }
    let ids: Vec<&str> = instances.iter().map(InstanceId::as_str).collect();
    match removed {
        true => format!("removing {} without replacement", some(&ids)),
        false => format!("replacing {}", some(&ids)),
    }
}

/// Lists the first few of many.
fn some(ids: &[&str]) -> String {
    const SHOWN: usize = 5;
    match ids.len().saturating_sub(SHOWN) {
        0 => ids.join(", "),
        more => format!("{} and {more} more", ids[..SHOWN].join(", ")),
    }
}

fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{}:{:02}.{}", seconds / 60, seconds % 60, elapsed.subsec_millis() / 100)
}
