//! Evaluates the instance refresh that is found on a group.

use std::time::Duration;

use rolling_provider::{
    Activity, DelegatedRollout, DelegatedRolloutState, Instance, InstanceId, Lifecycle,
    Observation, Revision, SetAside, TakenBack, Target, TargetState, Timestamp,
};

use crate::model::event::Outcome;
use crate::model::spec::RollingDeployment;
use crate::rollout::serving::{is_healthy_in_primary, trouble};

/// AWS ends a refresh after an hour in which it could replace nothing.
///
/// The engine follows it for a margin longer, and no further.
const AWS_GIVES_UP: Duration = Duration::from_secs(3600);
const BEYOND_THAT: Duration = Duration::from_secs(900);

/// What to do about a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DelegatedDecision<'a> {
    /// Nothing: everything is as it should be.
    Nothing,
    /// Start a refresh.
    Start,
    /// Follow the refresh that already leads to the revision.
    Join(&'a DelegatedRollout),
    /// Leave alone the refresh that leads to another revision.
    Foreign(&'a DelegatedRollout),
}

/// Returns what to do about a group whose latest refresh is `latest`.
pub(crate) fn next<'a>(
    latest: Option<&'a DelegatedRollout>,
    spec: &RollingDeployment,
    target: &Target,
    look: &Observation,
) -> DelegatedDecision<'a> {
    match latest.filter(|delegated| !delegated.state.is_over()) {
        Some(delegated) if leads_there(delegated, target) => DelegatedDecision::Join(delegated),
        Some(delegated) => DelegatedDecision::Foreign(delegated),
        None if is_done(spec, target, look) => DelegatedDecision::Nothing,
        None => DelegatedDecision::Start,
    }
}

/// Returns `delegated` as whoever wants the revision of `target` takes it: one that takes the rollout to
/// it back is that rollout, on its way back.
pub(crate) fn as_rollout_of(target: &Target, delegated: DelegatedRollout) -> DelegatedRollout {
    let Some(takes_back) = taken_back(&delegated, target).cloned() else { return delegated };
    let state = match delegated.state {
        DelegatedRolloutState::Pending
        | DelegatedRolloutState::Rolling
        | DelegatedRolloutState::Baking => DelegatedRolloutState::RollingBack,
        DelegatedRolloutState::Succeeded => DelegatedRolloutState::RolledBack,
        DelegatedRolloutState::RolledBack | DelegatedRolloutState::Failed => {
            DelegatedRolloutState::RollbackFailed
        }
        state => state,
    };
    let rollback_reason = takes_back.reason.or(delegated.rollback_reason);
    DelegatedRollout { state, rollback_reason, ..delegated }
}

/// Returns the rollout to the revision of `target` that `delegated` takes back, if it does.
pub(crate) fn taken_back<'a>(
    delegated: &'a DelegatedRollout,
    target: &Target,
) -> Option<&'a TakenBack> {
    let is_wanted = |to: &Revision| target.resolve(to) == &target.revision;
    let leads_there = delegated.to.as_ref().is_some_and(is_wanted);
    delegated.takes_back.as_ref().filter(|it| is_wanted(&it.to) && !leads_there)
}

/// Whether `delegated` leads to the revision that `target` is to run, or takes that back.
pub(crate) fn leads_there(delegated: &DelegatedRollout, target: &Target) -> bool {
    delegated.to.as_ref().map(|to| target.resolve(to)) == Some(&target.revision)
        || taken_back(delegated, target).is_some()
}

/// Whether every instance that is to run the revision does, and the group launches it.
pub(crate) fn is_done(spec: &RollingDeployment, target: &Target, look: &Observation) -> bool {
    let template = look.template.as_ref().map(|found| target.resolve(found));
    template == Some(&target.revision) && old(spec, target, look).next().is_none()
}

/// Returns the instances to replace.
pub(crate) fn old<'a>(
    spec: &'a RollingDeployment,
    target: &'a Target,
    look: &'a Observation,
) -> impl Iterator<Item = (&'a InstanceId, &'a Instance)> {
    look.instances.iter().filter(|(_, instance)| {
        let left_alone = match instance.lifecycle {
            Lifecycle::Terminating => true,
            Lifecycle::Standby => spec.standby == SetAside::Ignore,
            _ => instance.protected && spec.protected == SetAside::Ignore,
        };
        !left_alone && !target.wants(instance)
    })
}

/// What does not serve in a fleet, although it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Idle {
    /// The instances that do not serve.
    pub(crate) instances: Vec<InstanceId>,
    /// `2 of 3 instances do not serve (i-1: ...)`.
    pub(crate) message: String,
    /// When the last of them was launched, as far as that is known.
    pub(crate) launched_at: Option<Timestamp>,
}

/// Returns what keeps a fleet from serving.
///
/// Every instance that counts must be healthy in every target group. AWS itself waits for that only
/// where the group's health checks are of type ELB
/// (<https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-add-elb-healthcheck.html>). Instances
/// in standby, and those left alone, do not count.
pub(crate) fn idle(spec: &RollingDeployment, target: &Target, look: &Observation) -> Option<Idle> {
    let is_left_alone = |instance: &Instance| {
        let left_alone = instance.protected && spec.protected == SetAside::Ignore;
        instance.ignored || left_alone && !target.wants(instance)
    };
    let is_there = |instance: &&Instance| instance.lifecycle != Lifecycle::Terminating;
    let there = look.instances.values().filter(is_there).count();
    let counts: Vec<(&InstanceId, &Instance)> = look
        .instances
        .iter()
        .filter(|(_, instance)| is_there(instance) && instance.lifecycle != Lifecycle::Standby)
        .filter(|(_, instance)| !is_left_alone(instance))
        .collect();
    // A desired capacity in units does not count instances.
    let desired = look.capacity.filter(|_| target.no_surge.is_none()).map(|it| it.desired as usize);
    let missing = desired.unwrap_or_default().saturating_sub(there);
    let serves = |instance: &Instance| {
        instance.lifecycle == Lifecycle::InService
            && instance.healthy
            && is_healthy_in_primary(target, instance)
    };
    let idle: Vec<_> = counts.iter().filter(|(_, instance)| !serves(instance)).collect();
    if idle.is_empty() && missing == 0 {
        return None;
    }
    let why = match idle.first() {
        Some((id, instance)) => format!("{id}: {}", trouble(target, instance)),
        None => "not launched yet".to_owned(),
    };
    let (some, all) = (idle.len() + missing, counts.len() + missing);
    let do_not = if some == 1 { "does not" } else { "do not" };
    Some(Idle {
        message: format!("{some} of {all} instances {do_not} serve ({why})"),
        launched_at: idle.iter().filter_map(|(_, instance)| instance.launched_at).max(),
        instances: idle.iter().map(|(id, _)| (*id).clone()).collect(),
    })
}

/// Returns how long nothing may change before the engine stops following a refresh.
///
/// That is longer than AWS itself waits, and than its preferences make it wait.
pub(crate) fn gives_up_after(spec: &RollingDeployment, target: &Target) -> Duration {
    let pauses = spec.checkpoints.iter().filter_map(|checkpoint| checkpoint.pause);
    let remaining = pauses.chain([spec.gates.bake_time]).max().unwrap_or_default();
    AWS_GIVES_UP + BEYOND_THAT + remaining + spec.health.min_healthy_time + target.drain()
}

/// Returns how `delegated` ended, if it has.
pub(crate) fn verdict(delegated: &DelegatedRollout) -> Option<Outcome> {
    match delegated.state {
        DelegatedRolloutState::Succeeded => Some(Outcome::Succeeded),
        DelegatedRolloutState::RolledBack => Some(Outcome::RolledBack),
        DelegatedRolloutState::Cancelled => Some(Outcome::Aborted),
        DelegatedRolloutState::Failed | DelegatedRolloutState::RollbackFailed => {
            Some(Outcome::Failed)
        }
        DelegatedRolloutState::Superseded => Some(Outcome::Locked),
        _ => None,
    }
}

/// Returns the state of `delegated`, in the terms of a rollout's record.
pub(crate) fn status(delegated: &DelegatedRollout) -> &'static str {
    match delegated.state {
        DelegatedRolloutState::Pending
        | DelegatedRolloutState::Rolling
        | DelegatedRolloutState::Baking => "rolling",
        DelegatedRolloutState::RollingBack => "rolling_back",
        DelegatedRolloutState::Cancelling => "aborting",
        DelegatedRolloutState::Succeeded => "succeeded",
        DelegatedRolloutState::RolledBack => "rolled_back",
        DelegatedRolloutState::Cancelled => "aborted",
        DelegatedRolloutState::Failed
        | DelegatedRolloutState::RollbackFailed
        | DelegatedRolloutState::Superseded => "failed",
    }
}

/// Returns `delegated` as a phrase: `InProgress, 30 %: Waiting for ...`.
pub(crate) fn summary(delegated: &DelegatedRollout) -> String {
    let reason = delegated.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    format!("{}, {} %{reason}", delegated.status, delegated.percent)
}

/// Returns what is wrong with an instance of the new revision that is reported as unhealthy, if one
/// is.
pub(crate) fn unhealthy(target: &Target, look: &Observation) -> Option<String> {
    let is_called_so = |instance: &Instance| {
        let in_a_group = |health: &rolling_provider::TargetHealth| {
            health.state == TargetState::Unhealthy && health.reason.is_some()
        };
        !instance.healthy || instance.targets.values().any(in_a_group)
    };
    let mut new = look.instances.iter().filter(|(_, instance)| {
        instance.lifecycle == Lifecycle::InService && target.wants(instance)
    });
    let (id, instance) = new.find(|(_, instance)| is_called_so(instance))?;
    Some(format!("{id}: {}", trouble(target, instance)))
}

/// Returns why `delegated` did not succeed.
///
/// Quotes AWS, and adds the instance that was `unhealthy` and the launch that failed, as far as
/// they are known.
pub(crate) fn cause(
    delegated: &DelegatedRollout,
    unhealthy: Option<&str>,
    activities: &[Activity],
) -> String {
    let own = delegated.rollback_reason.as_deref();
    let ended = delegated.reason.as_deref().filter(|reason| Some(*reason) != own);
    let failed = activities.iter().find(|activity| activity.failed);
    let failed = failed.map(|activity| activity.cause.as_str());
    let known = [own, ended, unhealthy, failed].into_iter().flatten();
    let message: Vec<&str> = known.filter(|message| !message.is_empty()).collect();
    let message =
        if message.is_empty() { "no reason is given".to_owned() } else { message.join("; ") };
    let DelegatedRollout { kind, id, state, status, takes_back, .. } = delegated;
    let is_back = matches!(
        state,
        DelegatedRolloutState::RollingBack
            | DelegatedRolloutState::RolledBack
            | DelegatedRolloutState::RollbackFailed
    );
    match takes_back {
        Some(TakenBack { to, .. }) if *state == DelegatedRolloutState::Cancelled => {
            format!("{kind} {id}, which takes {to} back, was aborted: {message}")
        }
        Some(TakenBack { to, .. }) if is_back => {
            format!("{to} is taken back by {kind} {id}, which is {status}: {message}")
        }
        _ => format!("{kind} {id} is {status}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use rolling_provider::{ActivityKind, TakenBack};

    use super::super::example::{delegated, spec};
    use super::*;
    use crate::rollout::example::{look, target};

    #[test]
    fn one_that_leads_there_is_joined_another_is_left_alone_and_one_that_is_over_is_none() {
        let (spec, target) = (spec(), target());
        let next = |latest: Option<&DelegatedRollout>, template: &str| {
            format!("{:?}", super::next(latest, &spec, &target, &look(template)))
        };
        for (state, to, template, wanted) in [
            (DelegatedRolloutState::Rolling, Some("lt-1:2"), "lt-1:1", "Join"),
            (DelegatedRolloutState::Rolling, Some("lt-1:$Latest"), "lt-1:1", "Join"),
            (DelegatedRolloutState::Baking, Some("lt-1:2"), "lt-1:2", "Join"),
            (DelegatedRolloutState::Rolling, Some("lt-1:3"), "lt-1:2", "Foreign"),
            (DelegatedRolloutState::Pending, None, "lt-1:2", "Foreign"),
            (DelegatedRolloutState::Failed, Some("lt-1:2"), "lt-1:1", "Start"),
            (DelegatedRolloutState::Succeeded, Some("lt-1:2"), "lt-1:$Latest", "Nothing"),
        ] {
            let found = delegated(state, to);
            let summary = next(Some(&found), template);
            assert!(summary.starts_with(wanted), "{state:?} {to:?}: {summary}");
        }
        assert_eq!(next(None, "lt-1:1"), "Start");
        assert_eq!(next(None, "lt-1:2"), "Nothing");
    }

    #[test]
    fn one_that_takes_the_wanted_revision_back_is_its_rollout_on_the_way_back() {
        let target = target();
        let seen = |to: &str, taken_back: &str, state| {
            let reason = Some("it failed".to_owned());
            let takes_back = Some(TakenBack { to: taken_back.into(), reason });
            as_rollout_of(&target, DelegatedRollout { takes_back, ..delegated(state, Some(to)) })
        };
        for (state, wanted) in [
            (DelegatedRolloutState::Pending, DelegatedRolloutState::RollingBack),
            (DelegatedRolloutState::Rolling, DelegatedRolloutState::RollingBack),
            (DelegatedRolloutState::Cancelling, DelegatedRolloutState::Cancelling),
            (DelegatedRolloutState::Succeeded, DelegatedRolloutState::RolledBack),
            // It is not back: the platform has taken the way back itself back.
            (DelegatedRolloutState::RolledBack, DelegatedRolloutState::RollbackFailed),
            (DelegatedRolloutState::Failed, DelegatedRolloutState::RollbackFailed),
        ] {
            let found = seen("lt-1:1", "lt-1:2", state);
            assert_eq!((found.state, &found.to), (wanted, &Some("lt-1:1".into())), "{state:?}");
            assert!(leads_there(&found, &target));
            assert_eq!(found.rollback_reason.as_deref(), Some("it failed"));
        }
        // Whoever goes back, or wants another one, sees it as it is.
        for (to, taken_back) in [("lt-1:2", "lt-1:3"), ("lt-1:1", "lt-1:3")] {
            let found = seen(to, taken_back, DelegatedRolloutState::Rolling);
            assert_eq!(found.state, DelegatedRolloutState::Rolling);
            assert_eq!(leads_there(&found, &target), to == "lt-1:2");
        }
    }

    #[test]
    fn it_is_followed_for_longer_than_aws_itself_waits_and_is_told_to() {
        let hours = |count: u64| Duration::from_secs(count * 3600);
        assert!(gives_up_after(&spec(), &target()) > hours(3));
        assert!(gives_up_after(&spec(), &target()) < hours(4));
    }

    #[test]
    fn a_cause_has_awss_message_and_what_was_seen() {
        let mut found = delegated(DelegatedRolloutState::RolledBack, Some("lt-1:2"));
        found.rollback_reason = Some("it failed".into());
        found.reason = Some("it failed".into());
        let activity = Activity {
            at: Timestamp(0),
            instance: None,
            failed: true,
            kind: ActivityKind::Other,
            cause: "InsufficientInstanceCapacity".into(),
        };
        assert_eq!(
            cause(&found, Some("i-1: [502]"), &[activity]),
            "instance refresh r-1 is RolledBack: it failed; i-1: [502]; \
             InsufficientInstanceCapacity"
        );
    }
}
