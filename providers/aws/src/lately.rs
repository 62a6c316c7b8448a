//! What was read a moment ago, for whoever asks for the same next: resolving a target, a first look
//! and the question whether a rollout may begin follow one another.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_autoscaling::types::{AutoScalingGroup, InstanceRefresh};
use rolling_provider::Timestamp;

/// So long ago is a moment ago: reads lag by more than that.
const LATELY: Duration = Duration::from_secs(1);

/// One answer, and when it was asked for. Taken once.
#[derive(Debug)]
struct Once<T>(Mutex<Option<(T, Timestamp)>>);

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Once<T> {
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
    resolved: Once<AutoScalingGroup>,
    looked_at: Once<AutoScalingGroup>,
    refreshes: Once<Option<Vec<InstanceRefresh>>>,
}

impl Lately {
    /// The target was resolved with `group`.
    pub fn resolved_with(&self, group: &AutoScalingGroup, at: Timestamp) {
        self.resolved.put(Some((group.clone(), at)));
    }

    /// `group` was looked at.
    pub fn looked_at(&self, group: &AutoScalingGroup, at: Timestamp) {
        self.looked_at.put(Some((group.clone(), at)));
    }

    /// It was asked which refreshes there are.
    pub fn refreshes_are(&self, refreshes: Option<Vec<InstanceRefresh>>, at: Timestamp) {
        self.refreshes.put(Some((refreshes, at)));
    }

    /// The group with which the target was resolved, for the first look.
    pub fn to_look(&self, now: Timestamp) -> Option<AutoScalingGroup> {
        self.resolved.take(now)
    }

    /// The group as it was last looked at, to see whether it may be rolled.
    pub fn to_check(&self, now: Timestamp) -> Option<AutoScalingGroup> {
        self.looked_at.take(now)
    }

    /// The refreshes that were asked for to look, to see the same.
    pub fn refreshes(&self, now: Timestamp) -> Option<Option<Vec<InstanceRefresh>>> {
        self.refreshes.take(now)
    }

    /// Something is done: what was read before says nothing of what comes after.
    pub fn forget(&self) {
        self.resolved.put(None);
        self.looked_at.put(None);
        self.refreshes.put(None);
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
        lately.refreshes_are(None, Timestamp(5000));
        lately.forget();
        assert!(lately.to_check(Timestamp(5001)).is_none(), "something was done since");
        assert!(lately.refreshes(Timestamp(5001)).is_none());
    }
}
