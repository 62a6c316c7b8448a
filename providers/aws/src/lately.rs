//! A cache of the reads of a moment ago, each for the next call that needs the same.
//!
//! The engine resolves a target, takes a first look and asks whether a rollout may begin, one after
//! another.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_autoscaling::types::{AutoScalingGroup, InstanceRefresh};
use rolling_provider::Timestamp;

/// The age below which an answer still serves. Reads lag by more than that.
const LATELY: Duration = Duration::from_secs(1);

/// One answer, and when it was asked for. It is used once.
#[derive(Debug)]
struct OneShotCache<T>(Mutex<Option<(T, Timestamp)>>);

impl<T> Default for OneShotCache<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> OneShotCache<T> {
    fn put(&self, answer: Option<(T, Timestamp)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    fn take(&self, now: Timestamp) -> Option<T> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.filter(|(_, at)| now.since(*at) < LATELY).map(|(answer, _)| answer)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Lately {
    resolved: OneShotCache<AutoScalingGroup>,
    looked_at: OneShotCache<AutoScalingGroup>,
    instance_refreshes: OneShotCache<Option<Vec<InstanceRefresh>>>,
}

impl Lately {
    /// Notes that the target was resolved with `group`.
    pub fn resolved_with(&self, group: &AutoScalingGroup, at: Timestamp) {
        self.resolved.put(Some((group.clone(), at)));
    }

    /// Notes that a look showed `group`.
    pub fn looked_at(&self, group: &AutoScalingGroup, at: Timestamp) {
        self.looked_at.put(Some((group.clone(), at)));
    }

    /// Notes which refreshes there are.
    pub fn instance_refreshes_are(
        &self,
        instance_refreshes: Option<Vec<InstanceRefresh>>,
        at: Timestamp,
    ) {
        self.instance_refreshes.put(Some((instance_refreshes, at)));
    }

    /// Returns the group with which the target was resolved, for the first look.
    pub fn to_look(&self, now: Timestamp) -> Option<AutoScalingGroup> {
        self.resolved.take(now)
    }

    /// Returns the group of the last look, to check whether it may be rolled.
    pub fn to_check(&self, now: Timestamp) -> Option<AutoScalingGroup> {
        self.looked_at.take(now)
    }

    /// Returns the refreshes that the last look asked for, for the same check.
    pub fn instance_refreshes(&self, now: Timestamp) -> Option<Option<Vec<InstanceRefresh>>> {
        self.instance_refreshes.take(now)
    }

    /// Forgets everything after an action: earlier reads say nothing about what comes after.
    pub fn forget(&self) {
        self.resolved.put(None);
        self.looked_at.put(None);
        self.instance_refreshes.put(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_serves_once_and_only_a_moment_later() {
        let (lately, group) = (Lately::default(), AutoScalingGroup::builder().build());
        lately.resolved_with(&group, Timestamp(5000));
        assert!(lately.to_check(Timestamp(5000)).is_none(), "it was not looked at");
        assert!(lately.to_look(Timestamp(5999)).is_some());
        assert!(lately.to_look(Timestamp(5999)).is_none(), "the next look is a look");
        lately.looked_at(&group, Timestamp(5000));
        assert!(lately.to_check(Timestamp(6000)).is_none(), "that was long ago");
        lately.looked_at(&group, Timestamp(5000));
        lately.instance_refreshes_are(None, Timestamp(5000));
        lately.forget();
        assert!(lately.to_check(Timestamp(5001)).is_none(), "something was done since");
        assert!(lately.instance_refreshes(Timestamp(5001)).is_none());
    }
}
