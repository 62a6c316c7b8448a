//! When a call that fails is tried again. The caller passes the time in; the pauses come from
//! `schedule`.

use std::time::Duration;

use rolling_provider::Timestamp;

use super::schedule::Schedule;

/// The tries of one call: since when it fails, how often it has failed, and the pause before the
/// next try.
#[derive(Debug)]
pub(crate) struct Retry {
    schedule: Schedule,
    since: Option<Timestamp>,
    failures: u32,
}

impl Retry {
    /// Counts from the first failure: the first try may have waited long for its turn.
    pub(crate) fn new(jitter: f64) -> Self {
        Self { schedule: Schedule::retrying(jitter), since: None, failures: 0 }
    }

    /// Counts from the first failure, and pauses for `pause` each time.
    pub(crate) fn every(pause: Duration) -> Self {
        Self { schedule: Schedule::every(pause), since: None, failures: 0 }
    }

    /// Counts from `begin`.
    pub(crate) fn since(self, begin: Timestamp) -> Self {
        Self { since: Some(begin), ..self }
    }

    /// Notes that a try has failed by `now`. Returns the pause before the next one, or `None` once
    /// the call has failed for `budget`.
    pub(crate) fn failed(&mut self, now: Timestamp, budget: Duration) -> Option<Duration> {
        self.failures += 1;
        let since = *self.since.get_or_insert(now);
        (now.since(since) < budget).then(|| self.schedule.pause())
    }

    /// How often the call has failed.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// The next pause, whether the budget is used up or not.
    pub(crate) fn pause(&mut self) -> Duration {
        self.schedule.pause()
    }

    /// Notes that the call has succeeded: the next failure is the first again.
    pub(crate) fn succeeded(&mut self) {
        (self.since, self.failures) = (None, 0);
        self.schedule.start_over();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_retried_for_its_budget_which_counts_from_the_first_failure() {
        let at = |second: u64| Timestamp(second * 1000);
        let budget = Duration::from_secs(20);
        let mut retry = Retry::new(0.0);
        assert_eq!(retry.failed(at(100), budget), Some(Duration::from_millis(200)));
        assert_eq!(retry.failed(at(119), budget), Some(Duration::from_millis(300)));
        assert_eq!((retry.failed(at(120), budget), retry.failures()), (None, 3));
        retry.succeeded();
        assert_eq!(retry.failed(at(121), budget), Some(Duration::from_millis(200)), "anew");
        let mut retry = Retry::new(0.0).since(at(100));
        assert_eq!(retry.failed(at(120), budget), None);
        assert_eq!(Retry::new(0.0).failed(at(0), Duration::ZERO), None);
    }

    #[test]
    fn tries_at_one_interval_have_the_same_pause_each_time() {
        let mut retry = Retry::every(Duration::from_secs(1));
        for second in 0..5 {
            let pause = retry.failed(Timestamp(second * 1000), Duration::MAX);
            assert_eq!(pause, Some(Duration::from_secs(1)));
        }
    }
}
