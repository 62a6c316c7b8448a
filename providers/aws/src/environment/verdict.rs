//! How an update stands, purely: by what each instance runs, and not by what an event says. An event
//! may call a success a failure, and the other way round.

use aws_sdk_elasticbeanstalk::types::{
    EnvironmentStatus, EventDescription, EventSeverity, SingleInstanceHealth,
};
use rolling_provider::{DelegatedRollout, DelegatedRolloutState, Revision};

use super::environment_look::{FoundEnvironment, is_deploying, runs, trouble};
use crate::convert::timestamp;

/// How many reasons are told of an update that is over.
const MOST_REASONS: usize = 5;
/// How long after the end of an update a command on an instance may go on, in milliseconds.
const FINISH_WITHIN: u64 = 300_000;
/// The status of an update that has just begun or ended.
const HEALTH_TO_COME: &str = "Ready, health not refreshed yet";
/// What is known of an update after which another one has begun.
const SUPERSEDED: &str = "something else has begun since, so that nothing tells how it ended";
/// What Elastic Beanstalk says when it has completed something.
const COMPLETIONS: [&str; 2] =
    ["Environment update completed successfully", "Successfully launched environment"];
/// What Elastic Beanstalk says first of an update.
pub(super) const BEGINS: &str = "update is starting";
/// What Elastic Beanstalk says of an update that changes options, and deploys no version.
pub(super) const OF_OPTIONS: &str = "configuration settings";
/// How Elastic Beanstalk gives a deployment up by itself.
const GIVES_UP: &str = "aborting the operation";
/// What it says of every deployment that it did not complete.
const IS_MIXED: &str = "during an aborted deployment";
/// What Elastic Beanstalk calls what this module tells of.
pub(super) const KIND: &str = "environment update";

/// What is known of an update besides what its environment shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct UpdateContext {
    /// Whether it is followed from its beginning.
    pub is_followed: bool,
    /// Whether nothing has begun since.
    pub is_newest: bool,
}

/// Returns the update of this id to `to`. `events` are its own, the newest first. One that is followed
/// from its beginning is over only when the health of the instances is newer than its end.
pub(super) fn update(
    id: &str,
    to: Option<Revision>,
    found: &FoundEnvironment,
    events: &[EventDescription],
    context: UpdateContext,
) -> DelegatedRollout {
    let state = state(to.as_ref(), found, events, context);
    let status = found.environment.status().map_or("Pending", |status| status.as_str());
    let is_open = state == DelegatedRolloutState::Pending && status == "Ready";
    let status = match state {
        _ if is_open => HEALTH_TO_COME,
        // What the environment shows is something else's.
        DelegatedRolloutState::Superseded => "superseded",
        _ => status,
    };
    let deployed =
        found.instances.iter().filter(|it| runs(it) == to.as_ref().map(Revision::as_str));
    let percent = deployed.count() * 100 / found.instances.len().max(1);
    let reason = match state {
        DelegatedRolloutState::Succeeded => None,
        DelegatedRolloutState::Superseded => Some(SUPERSEDED.to_owned()),
        // Whoever waits sees it again at each look.
        state if !state.is_over() => reason(found, events, 1),
        _ => reason(found, events, MOST_REASONS),
    };
    let is_back = state == DelegatedRolloutState::RolledBack;
    let started = events.iter().filter_map(|event| timestamp(event.event_date())).min();
    DelegatedRollout {
        kind: KIND,
        id: id.to_owned(),
        state,
        status: status.to_owned(),
        reason: reason.clone().filter(|_| !is_back),
        rollback_reason: reason.filter(|_| is_back),
        percent: u32::try_from(percent).unwrap_or(100),
        started: started.unwrap_or_default(),
        to,
        completed_before: None,
        takes_back: None,
    }
}

fn state(
    to: Option<&Revision>,
    found: &FoundEnvironment,
    events: &[EventDescription],
    UpdateContext { is_followed, is_newest }: UpdateContext,
) -> DelegatedRolloutState {
    match found.environment.status() {
        Some(EnvironmentStatus::Ready) => {}
        _ if !is_newest => return DelegatedRolloutState::Superseded,
        Some(EnvironmentStatus::Aborting) => return DelegatedRolloutState::Cancelling,
        Some(EnvironmentStatus::Terminating | EnvironmentStatus::Terminated) => {
            return DelegatedRolloutState::Superseded;
        }
        _ => return DelegatedRolloutState::Rolling,
    }
    // One that has just been launched has no deployment yet, and no word in this.
    let there = found.instances.iter().filter(|it| it.deployment().is_some());
    let labels: Vec<Option<&str>> = there.map(runs).collect();
    let are_all = |label: &str| labels.iter().all(|runs| *runs == Some(label));
    // Right after the request the environment may still be as it was, and health comes later than the
    // end: what the instances ran before says nothing.
    let dates = events.iter().map(|event| event.event_date());
    let dates = dates.chain([found.environment.date_updated()]);
    let newest = dates.filter_map(timestamp).max();
    let since =
        found.refreshed_at.zip(newest).map(|(health, newest)| health.0.checked_sub(newest.0));
    let is_seen = since.flatten();
    let is_new = is_seen.is_some_and(|since| since < FINISH_WITHIN);
    let is_beginning = events.len() == 1 && events.iter().all(|event| says(event, BEGINS));
    match labels.first().copied().flatten() {
        _ if is_beginning => DelegatedRolloutState::Pending,
        _ if is_followed && (events.len() < 2 || is_seen.is_none() || labels.is_empty()) => {
            DelegatedRolloutState::Pending
        }
        Some(only) if are_all(only) && to.is_some_and(|to| to.as_str() == only) => {
            DelegatedRolloutState::Succeeded
        }
        _ if !is_newest => DelegatedRolloutState::Superseded,
        // A command may outlive its timeout, and end well.
        _ if is_followed && is_new && found.instances.iter().any(is_deploying) => {
            DelegatedRolloutState::Rolling
        }
        Some(only) if are_all(only) => DelegatedRolloutState::RolledBack,
        _ => DelegatedRolloutState::Failed,
    }
}

/// Whether `event` says `what`.
pub(super) fn says(event: &EventDescription, what: &str) -> bool {
    event.message().is_some_and(|message| message.contains(what))
}

/// Whether the health of the instances is older than the newest of `events`.
pub(super) fn is_health_old(found: &FoundEnvironment, events: &[EventDescription]) -> bool {
    let newest = events.iter().filter_map(|event| timestamp(event.event_date())).max();
    found.refreshed_at.zip(newest).is_some_and(|(health, newest)| health < newest)
}

/// Whether `events` say that an update changes options.
pub(super) fn tell_of_options(events: &[EventDescription]) -> bool {
    events.iter().any(|event| says(event, OF_OPTIONS))
}

/// Whether `events` say that their update has come to its end. It may not be over yet.
pub(super) fn tell_of_end(events: &[EventDescription]) -> bool {
    events.iter().any(|event| {
        let is_mixed = event.message().unwrap_or_default().to_lowercase().starts_with(IS_MIXED);
        is_mixed || is_completion(event)
    })
}

/// Whether `event` says that Elastic Beanstalk has completed something.
pub(super) fn is_completion(event: &EventDescription) -> bool {
    COMPLETIONS.iter().any(|it| says(event, it))
}

/// Whether `events` say that somebody has aborted an update. What they say of one is not documented; what
/// Elastic Beanstalk says when it gives up a deployment by itself is known, and speaks of aborting, too.
pub(super) fn tell_of_abort(events: &[EventDescription]) -> bool {
    let messages = events.iter().filter_map(|event| event.message());
    messages.map(str::to_lowercase).any(|message| {
        message.replace(GIVES_UP, "").contains("abort") && !message.starts_with(IS_MIXED)
    })
}

/// Returns what went wrong, up to `most`: warnings and errors, and instances that do not serve.
fn reason(found: &FoundEnvironment, events: &[EventDescription], most: usize) -> Option<String> {
    let is_idle = |it: &&SingleInstanceHealth| !is_deploying(it) && runs(it).is_none();
    let idle = found.instances.iter().filter(is_idle);
    let idle = idle.map(|it| format!("{}: {}", it.instance_id().unwrap_or("?"), trouble(it)));
    some_of(warnings(events).chain(idle), most)
}

/// Returns the warnings and errors of `events`, which are the newest first: the oldest first.
fn warnings<'a>(
    events: impl IntoIterator<Item = &'a EventDescription, IntoIter: DoubleEndedIterator>,
) -> impl Iterator<Item = String> {
    let is_bad = |event: &&EventDescription| {
        matches!(
            event.severity(),
            Some(EventSeverity::Warn | EventSeverity::Error | EventSeverity::Fatal)
        )
    };
    let told = events.into_iter().rev().filter(is_bad).filter_map(|event| event.message());
    told.map(|message| message.trim().to_owned())
}

/// Returns what `events` say that went wrong with an update.
pub(super) fn told_reason(events: &[&EventDescription]) -> Option<String> {
    some_of(warnings(events.iter().copied()), MOST_REASONS)
}

/// Returns up to `most` of these reasons, each once.
fn some_of(all: impl Iterator<Item = String>, most: usize) -> Option<String> {
    let mut reasons: Vec<String> = Vec::new();
    for reason in all {
        if !reason.is_empty() && !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let more = reasons.len().saturating_sub(most);
    reasons.truncate(most);
    reasons.extend((more > 0).then(|| format!("and {more} more")));
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use aws_sdk_elasticbeanstalk::primitives::DateTime;
    use aws_sdk_elasticbeanstalk::types::{Deployment, EnvironmentDescription};
    use rolling_provider::Timestamp;

    use super::*;

    fn instance(label: &str, status: &str) -> SingleInstanceHealth {
        let deployment = Deployment::builder().version_label(label).status(status).build();
        SingleInstanceHealth::builder()
            .instance_id(format!("i-{label}"))
            .color("Green")
            .health_status("Ok")
            .deployment(deployment)
            .build()
    }

    fn event(second: i64, severity: EventSeverity, message: &str) -> EventDescription {
        EventDescription::builder()
            .event_date(DateTime::from_secs(second))
            .severity(severity)
            .message(message)
            .build()
    }

    fn update_of(
        status: EnvironmentStatus,
        instances: &[(&str, &str)],
        refreshed_at: u64,
        events: &[EventDescription],
    ) -> DelegatedRollout {
        let found = FoundEnvironment {
            environment: EnvironmentDescription::builder().status(status).build(),
            instances: instances.iter().map(|(label, status)| instance(label, status)).collect(),
            refreshed_at: Some(Timestamp(refreshed_at * 1000)),
        };
        let context = UpdateContext { is_followed: true, is_newest: true };
        update("r-1", Some("v2".into()), &found, events, context)
    }

    #[test]
    fn an_update_after_which_another_one_has_begun_is_judged_by_its_instances_or_not_at_all() {
        let events = [
            event(20, EventSeverity::Error, "Failed to deploy application."),
            event(10, EventSeverity::Info, "Environment update is starting."),
        ];
        let state = |status: EnvironmentStatus, runs: &str| {
            let found = FoundEnvironment {
                environment: EnvironmentDescription::builder().status(status).build(),
                instances: vec![instance(runs, "Deployed")],
                refreshed_at: Some(Timestamp(30_000)),
            };
            let context = UpdateContext { is_followed: true, is_newest: false };
            format!("{:?}", update("r-1", Some("v2".into()), &found, &events, context).state)
        };
        assert_eq!(state(EnvironmentStatus::Ready, "v2"), "Succeeded");
        for (status, runs) in [
            (EnvironmentStatus::Ready, "v3"),
            (EnvironmentStatus::Updating, "v2"),
            (EnvironmentStatus::Aborting, "v1"),
        ] {
            assert_eq!(state(status, runs), "Superseded");
        }
    }

    #[test]
    fn the_instances_decide_and_not_the_events() {
        let begun = event(10, EventSeverity::Info, "Environment update is starting.");
        let well = [event(20, EventSeverity::Info, "completed successfully"), begun.clone()];
        let badly = [event(20, EventSeverity::Error, "Failed to deploy application."), begun];
        let ready = EnvironmentStatus::Ready;
        for (status, instances, refreshed_at, events, wanted) in [
            (EnvironmentStatus::Updating, vec![("v2", "Deployed")], 30, &well[..], "Rolling"),
            (EnvironmentStatus::Aborting, vec![("v2", "Deployed")], 30, &well, "Cancelling"),
            // Right after the request, and before the health of the instances is new.
            (ready.clone(), vec![("v1", "Deployed")], 30, &[], "Pending"),
            (ready.clone(), vec![("v1", "Deployed")], 30, &well[1..], "Pending"),
            (ready.clone(), vec![("v1", "Deployed")], 15, &well, "Pending"),
            // An event calls a success a failure, and a failure a success.
            (ready.clone(), vec![("v2", "Deployed"); 2], 30, &badly, "Succeeded"),
            (ready.clone(), vec![("v1", "Deployed"), ("v2", "Deployed")], 30, &well, "Failed"),
            (ready.clone(), vec![("v2", "Failed"), ("v1", "Deployed")], 30, &badly, "Failed"),
            (ready.clone(), vec![("v1", "Deployed"); 2], 30, &badly, "RolledBack"),
            (ready.clone(), vec![("v2", "In Progress"), ("v2", "Deployed")], 30, &badly, "Rolling"),
            (ready.clone(), vec![("v2", "In Progress")], 400, &badly, "Failed"),
            (ready, Vec::new(), 30, &well, "Pending"),
        ] {
            let found = update_of(status.clone(), &instances, refreshed_at, events);
            assert_eq!(format!("{:?}", found.state), wanted, "{status:?} {instances:?}");
        }
    }

    #[test]
    fn an_abort_is_told_from_what_elastic_beanstalk_gives_up_by_itself() {
        let told = |message: &str| tell_of_abort(&[event(10, EventSeverity::Error, message)]);
        assert!(told("Environment update is aborting."));
        assert!(told("Environment named web-prod aborted operation."));
        assert!(!told(
            "Unsuccessful command execution on instance id(s) 'i-0e'. Aborting the operation."
        ));
        assert!(!told(
            "During an aborted deployment, some instances may have deployed the new one."
        ));
        assert!(!told("Failed to deploy application."));
    }

    #[test]
    fn reasons_are_beanstalks_own_the_oldest_first() {
        let command = "Command failed on instance i-0e: Return code: 1 Output: no such file.";
        let failed = "Failed to deploy application.";
        let events = [
            event(30, EventSeverity::Error, failed),
            event(20, EventSeverity::Error, command),
            event(19, EventSeverity::Error, command),
            event(10, EventSeverity::Info, "Environment update is starting."),
        ];
        let found = update_of(
            EnvironmentStatus::Ready,
            &[("v1", "Deployed"), ("v2", "Deployed")],
            40,
            &events,
        );
        assert_eq!(found.reason, Some(format!("{command}; {failed}")));
        assert_eq!((found.percent, found.started), (50, Timestamp(10_000)));
    }
}
