//! `rolling status --follow` of a rollout on its target.
//!
//! It follows the rollout until it ends or no engine is at work on it any more. It exits as the
//! `apply` that carries out the rollout would.

use std::time::Duration;

use rolling_provider::{DelegatedRollout, DelegatedRolloutState, Timestamp};

use crate::engine::Rollout;
use crate::model::spec::RollingDeployment;
use crate::record::lease::{LEASE_DURATION, Lease};
use crate::record::{Ending, Phase, Record};
use crate::report::exit_codes::{ABORTED, FAILED, ROLLED_BACK, exit_code};
use crate::rollout::delegated;

/// What the looks have shown of a rollout so far.
#[derive(Default)]
pub(super) struct Followed {
    /// The last record that a look showed.
    record: Option<Record>,
    /// The lease, and when a look first showed this value of it.
    lease: Option<(Lease, Timestamp)>,
    /// Whether a look has shown a rollout of the platform under way.
    is_under_way: bool,
    /// When a look first showed that it has failed.
    failed_at: Option<Timestamp>,
    /// The exit code once following is over, and a message to print with it.
    pub(super) end: Option<(u8, Option<&'static str>)>,
}

const ENDED: &str = "its engine ended before the rollout did; apply continues it";
const SILENT: &str = "no engine has shown a sign of life for 30 s, and the rollout is not over; \
                      apply continues it";

/// How long after a failure an engine that follows the rollout as well may take to begin the rollback.
const GOES_BACK_WITHIN: Duration = Duration::from_secs(60);
const STAYS: &str = "it failed, and no engine has begun the rollback within a minute; `rolling rollback` \
                     goes back";

const BACK: &str = "rolled back; the output of its engine says why";
const NOT_ARRIVED: &str = "ended before its revision ran everywhere, and left no record: aborted, \
                           stopped, or rolled back at once; the output of its engine says which";

impl Followed {
    /// Folds in the latest look at the rollout.
    pub(super) fn look(&mut self, rollout: &Rollout, spec: &RollingDeployment) {
        if let Some(found) = rollout.delegated_rollout() {
            self.end = self.look_at_platform(found, spec, rollout.clock().now());
            return;
        }
        let lease = rollout.lease();
        let record = rollout.record();
        self.end = match record.map(|record| record.phase) {
            Some(Phase::Halted(ending)) => Some((ended(ending), None)),
            Some(Phase::Rolling | Phase::Halting(_)) => {
                self.silence(rollout).map(|why| (FAILED, Some(why)))
            }
            // The rollout is about to begin.
            None if lease.is_some() && self.record.is_none() => {
                self.silence(rollout).map(|why| (FAILED, Some(why)))
            }
            None => Some(self.gone(rollout)),
        };
        self.record = record.cloned().or(self.record.take());
    }

    /// Folds in a rollout of the platform. Where an engine begins the rollback, one that has failed may be
    /// followed by it.
    fn look_at_platform(
        &mut self,
        found: &DelegatedRollout,
        spec: &RollingDeployment,
        now: Timestamp,
    ) -> Option<(u8, Option<&'static str>)> {
        let Some(outcome) = delegated::verdict(found) else {
            (self.is_under_way, self.failed_at) = (true, None);
            return None;
        };
        let is_failed = found.state == DelegatedRolloutState::Failed;
        let goes_back = is_failed && self.is_under_way && delegated::rolls_back_here(spec);
        if goes_back && now.since(*self.failed_at.get_or_insert(now)) <= GOES_BACK_WITHIN {
            return None;
        }
        Some((exit_code(outcome), goes_back.then_some(STAYS)))
    }

    /// Returns why no engine counts as at work any more, or `None` while one may be.
    fn silence(&mut self, rollout: &Rollout) -> Option<&'static str> {
        let now = rollout.clock().now();
        let Some(lease) = rollout.lease() else { return Some(ENDED) };
        match &self.lease {
            Some((seen, since)) if *seen == lease => {
                (now.since(*since) > LEASE_DURATION).then_some(SILENT)
            }
            _ => {
                self.lease = Some((lease, now));
                None
            }
        }
    }

    /// Returns the exit code of a rollout whose record is gone, and what there is to say of it.
    fn gone(&self, rollout: &Rollout) -> (u8, Option<&'static str>) {
        let Some(record) = &self.record else { return (0, None) };
        match record.rolls_back {
            true => (ROLLED_BACK, Some(BACK)),
            false if rollout.has_arrived(record) => (0, None),
            // A halt removes the record when nothing of the rollout is left to remember. A rollback
            // may be over between two looks.
            false => (ABORTED, Some(NOT_ARRIVED)),
        }
    }
}

fn ended(ending: Ending) -> u8 {
    match ending {
        Ending::Failed | Ending::Unrestored => FAILED,
        Ending::Paused | Ending::Aborted | Ending::Interrupted => ABORTED,
    }
}
