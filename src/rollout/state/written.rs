//! What we wrote lately, beside looks that may still show the values before.
//!
//! For as long as looks may lag, a look that shows the value that we replaced says nothing. So what
//! is borrowed is restored in any case, and a value that somebody else has set since is not mistaken
//! for ours.

use std::collections::BTreeSet;

use rolling_provider::{Action, Observation, Revision, Timestamp};

use super::LOOKS_LAG;

/// A value that we wrote, and the value that it replaced.
#[derive(Clone, Debug)]
pub(super) struct RecentWrite<T> {
    value: T,
    over: T,
    at: Timestamp,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct RecentWrites {
    pub(super) max: Option<RecentWrite<u32>>,
    pub(super) template: Option<RecentWrite<Option<Revision>>>,
    /// Processes that we suspended, and when.
    pub(super) suspended: BTreeSet<String>,
    pub(super) suspended_at: Timestamp,
    /// What the last look showed.
    shown: (u32, Option<Revision>),
}

impl<T: PartialEq + Clone> RecentWrite<T> {
    /// Returns what `shown` stands for in a look at `now`.
    pub(super) fn believe(write: Option<&Self>, shown: T, now: Timestamp) -> T {
        let late = write.filter(|w| w.over == shown && now.since(w.at) <= LOOKS_LAG);
        late.map_or(shown, |write| write.value.clone())
    }

    fn over(before: Option<&Self>, shown: T, value: T, at: Timestamp) -> Option<Self> {
        let over = match before {
            // Written again before a look has shown it: the first value that it replaced may still
            // show.
            Some(write) if write.value == value && at.since(write.at) <= LOOKS_LAG => {
                write.over.clone()
            }
            _ => Self::believe(before, shown, at),
        };
        Some(RecentWrite { value, over, at })
    }
}

impl RecentWrites {
    /// Notes what a look shows.
    pub(super) fn look(&mut self, look: &Observation) {
        self.shown = (look.max(), look.template.clone());
    }

    /// Notes that the cloud accepted `action`.
    pub(super) fn accepted(&mut self, action: &Action, now: Timestamp) {
        match action {
            Action::SetCapacity { max: Some(max), .. }
            | Action::ApplyScheduledAction { max: Some(max), .. } => {
                self.max = RecentWrite::over(self.max.as_ref(), self.shown.0, *max, now);
            }
            Action::MoveTemplate { to } => {
                let shown = self.shown.1.clone();
                self.template =
                    RecentWrite::over(self.template.as_ref(), shown, Some(to.clone()), now);
            }
            Action::SuspendProcesses { processes } => {
                self.suspended.extend(processes.iter().cloned());
                self.suspended_at = now;
            }
            Action::ResumeProcesses { processes } => {
                self.suspended.retain(|process| !processes.contains(process));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp(second * 1000)
    }

    #[test]
    fn what_a_write_replaced_is_not_believed_until_no_look_can_be_late() {
        let first = RecentWrite::over(None, 4, 6, at(0));
        let believe = |write: &Option<RecentWrite<u32>>, shown, second| {
            RecentWrite::believe(write.as_ref(), shown, at(second))
        };
        assert_eq!((believe(&first, 4, 30), believe(&first, 4, 31)), (6, 4));
        // A value that somebody else wrote is believed at once.
        assert_eq!(believe(&first, 9, 1), 9);
        // Written back while a look still shows what was there at first: that is no change.
        let back = RecentWrite::over(first.as_ref(), 4, 4, at(2));
        assert_eq!((believe(&back, 6, 3), believe(&back, 4, 3)), (4, 4));
        // Written twice before a look shows it.
        let twice = RecentWrite::over(first.as_ref(), 6, 6, at(5));
        assert_eq!((believe(&twice, 4, 6), believe(&twice, 6, 6)), (6, 6));
    }
}
