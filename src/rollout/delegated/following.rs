//! What a look at a refresh under way, or at a group whose refresh is over, leads to.

use std::time::Duration;

use rolling_provider::{DelegatedRollout, DelegatedRolloutState, Target, Timestamp};

use super::follow::{gives_up_after, idle, summary, verdict};
use super::found::DelegatedContext;
use crate::model::event::Outcome;
use crate::model::spec::{Executor, RollingDeployment};
use crate::model::wait::{Wait, WaitKind};

/// How long a refresh may not show after it was started or found, since reads lag: as long as reads
/// that fail are retried.
const SHOWS_WITHIN: Duration = Duration::from_secs(300);

/// How long a refresh's last instances may still show after it is over, since reads lag.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// What is known of a refresh that is followed.
#[derive(Clone, Debug)]
pub(crate) struct Following {
    begin: Timestamp,
    /// How long nothing may change.
    limit: Duration,
    progressed_at: Timestamp,
    /// What was wrong with an instance of the new revision when it was last called unhealthy.
    unhealthy: Option<String>,
    /// Whether the refresh was seen to roll back.
    rolls_back: bool,
}

/// What a look at a refresh leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FollowOutcome {
    /// The refresh is over.
    Over(Outcome),
    /// It makes no progress: why it is followed no further.
    Stuck(String),
    /// Look again.
    Wait(Wait),
}

impl Following {
    /// Returns what is known of a refresh that is followed from `begin` on.
    pub(crate) fn new(begin: Timestamp, spec: &RollingDeployment, target: &Target) -> Self {
        let limit = gives_up_after(spec, target);
        Self { begin, limit, progressed_at: begin, unhealthy: None, rolls_back: false }
    }

    /// Whether reads may still lag, at `now`, where the refresh does not show.
    pub(crate) fn may_lag(&self, now: Timestamp) -> bool {
        now.since(self.begin) <= SHOWS_WITHIN
    }

    /// Takes in a look at `now`: the refresh, whether anything `changed` since the last look, and
    /// what is wrong with an instance that is called `unhealthy`. Returns whether the refresh has
    /// begun to roll back.
    pub(crate) fn observe(
        &mut self,
        found: &DelegatedRollout,
        changed: bool,
        unhealthy: Option<String>,
        now: Timestamp,
    ) -> bool {
        if changed {
            self.progressed_at = now;
        }
        self.unhealthy = unhealthy.or(self.unhealthy.take());
        let rolls_back = found.state == DelegatedRolloutState::RollingBack;
        let begins = rolls_back && !self.rolls_back;
        self.rolls_back |= rolls_back;
        begins
    }

    /// Returns what was wrong with an instance of the new revision when it was last called
    /// unhealthy.
    pub(crate) fn unhealthy(&self) -> Option<&str> {
        self.unhealthy.as_deref()
    }

    /// Returns what `found`, the refresh at `now`, leads to.
    pub(crate) fn next(&self, found: &DelegatedRollout, now: Timestamp) -> FollowOutcome {
        if let Some(outcome) = verdict(found) {
            return FollowOutcome::Over(outcome);
        }
        let summary = summary(found);
        if now.since(self.progressed_at) > self.limit {
            let limit = humantime::format_duration(self.limit);
            return FollowOutcome::Stuck(format!(
                "{} {} has made no progress for {limit} ({summary}), and still runs",
                found.kind, found.id
            ));
        }
        let (kind, deadline) = (WaitKind::DelegatedRollout, self.progressed_at + self.limit);
        FollowOutcome::Wait(Wait { kind, instances: Vec::new(), detail: Some(summary), deadline })
    }
}

/// What is missing in a group whose refresh is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unsettled {
    /// What is missing.
    pub(crate) message: String,
    /// Whether instances run the revision and do not serve.
    pub(crate) is_idle: bool,
    /// How long to wait for it.
    pub(crate) deadline: Timestamp,
    /// The wait to report; none where only reads lag.
    pub(crate) wait: Option<Wait>,
}

/// Returns what is missing, by the look that `found` has, in a group whose refresh is over since
/// `begin`: every instance has to serve and, with `rolled`, the refresh to have done its work. A
/// refresh that is Successful proves none of this.
pub(crate) fn unsettled(
    found: DelegatedContext<'_>,
    rolled: bool,
    begin: Timestamp,
) -> Option<Unsettled> {
    let earliest = begin + SETTLES_WITHIN;
    if let Some(message) = found.not_rolled().filter(|_| rolled) {
        return Some(Unsettled { message, is_idle: false, deadline: earliest, wait: None });
    }
    let idle = idle(found.spec, found.target, found.look)?;
    // What is updated in place was launched long ago.
    let launched_at = match found.spec.engine {
        Executor::Environment { .. } => begin,
        _ => idle.launched_at.unwrap_or(begin),
    };
    let deadline = (launched_at + found.spec.health.healthy_timeout).max(earliest);
    let (kind, detail) = (WaitKind::Health, Some(idle.message.clone()));
    let wait = Some(Wait { kind, instances: idle.instances, detail, deadline });
    Some(Unsettled { message: idle.message, is_idle: true, deadline, wait })
}

#[cfg(test)]
mod tests {
    use super::super::example::{delegated, spec};
    use super::*;
    use crate::rollout::example::{look, target, with_instance};

    const ROLLING: DelegatedRolloutState = DelegatedRolloutState::Rolling;

    fn at(second: u64) -> Timestamp {
        Timestamp(0) + Duration::from_secs(second)
    }

    #[test]
    fn a_refresh_is_followed_until_it_is_over_or_gets_no_further() {
        let mut following = Following::new(at(0), &spec(), &target());
        let rolling = delegated(ROLLING, Some("lt-1:2"));
        following.observe(&rolling, true, None, at(100));
        let limit = following.limit;
        let FollowOutcome::Wait(wait) = following.next(&rolling, at(100) + limit) else {
            panic!("a wait")
        };
        assert_eq!(wait.deadline, at(100) + limit);
        let FollowOutcome::Stuck(reason) = following.next(&rolling, at(101) + limit) else {
            panic!("it is stuck")
        };
        assert!(reason.contains("r-1 has made no progress for"), "{reason}");
        let over = delegated(DelegatedRolloutState::Cancelled, Some("lt-1:2"));
        assert_eq!(following.next(&over, at(101) + limit), FollowOutcome::Over(Outcome::Aborted));
    }

    #[test]
    fn a_rollback_begins_once_and_the_last_trouble_is_remembered() {
        let mut following = Following::new(at(0), &spec(), &target());
        let rolling = delegated(ROLLING, None);
        let back = delegated(DelegatedRolloutState::RollingBack, None);
        assert!(!following.observe(&rolling, true, Some("i-1: [502]".into()), at(1)));
        assert!(following.observe(&back, true, None, at(2)));
        assert!(!following.observe(&back, true, None, at(3)));
        assert_eq!(following.unhealthy(), Some("i-1: [502]"));
    }

    #[test]
    fn one_that_does_not_show_may_be_a_matter_of_lag_for_a_while() {
        let following = Following::new(at(10), &spec(), &target());
        let last = at(10) + SHOWS_WITHIN;
        assert!(following.may_lag(last) && !following.may_lag(last + Duration::from_secs(1)));
    }

    #[test]
    fn a_group_is_settled_once_it_runs_the_revision_and_serves() {
        let (spec, target) = (spec(), target());
        let left = |runs: &str, healthy: bool, rolled: bool| {
            let mut look = with_instance(look("lt-1:2"), "i-1", runs);
            for instance in look.instances.values_mut() {
                (instance.healthy, instance.launched_at) = (healthy, Some(at(50)));
            }
            let (latest, known_completed) = (None, None);
            let found = DelegatedContext {
                kind: "instance refresh",
                latest,
                spec: &spec,
                target: &target,
                look: &look,
                known_completed,
            };
            unsettled(found, rolled, at(100))
        };
        assert_eq!(left("lt-1:2", true, true), None);
        assert_eq!(left("lt-1:1", true, false), None, "it went back");
        let old = left("lt-1:1", true, true).expect("an old instance");
        assert_eq!(old.message, "i-1 still runs lt-1:1");
        assert_eq!((old.deadline, old.wait), (at(100) + SETTLES_WITHIN, None));
        let idle = left("lt-1:2", false, true).expect("an idle instance");
        assert_eq!(idle.deadline, at(50) + spec.health.healthy_timeout);
        assert_eq!(idle.wait.map(|wait| wait.kind), Some(WaitKind::Health));
    }
}
