//! Since when each place of the fleet has had no instance.

use std::collections::VecDeque;
use std::time::Duration;

use rolling_provider::Timestamp;

/// A clock for each place that has no instance, the oldest first. Places are alike: whoever is
/// launched takes the one that has been empty for longest.
#[derive(Clone, Debug, Default)]
pub struct Missing {
    since: VecDeque<Timestamp>,
    /// How many of the first were empty before the rollout began.
    before: usize,
}

impl Missing {
    /// Takes in a look: how many came that were never there before, and how many places are empty.
    /// Where fewer are although nobody came, the last ones were not (a look was late, or the fleet
    /// became smaller).
    pub(super) fn take_in(&mut self, arrived: usize, empty: usize, now: Timestamp) {
        let filled = arrived.min(self.since.len());
        self.since.drain(..filled);
        self.since.resize(empty, now);
        self.before = self.before.saturating_sub(filled).min(empty);
    }

    /// What is empty now was empty before anything was begun.
    pub(super) fn begin(&mut self) {
        self.before = self.since.len();
    }

    /// How many places are empty that were so before the rollout began, for whatever reason.
    pub fn before(&self) -> usize {
        self.before
    }

    /// How many places are empty.
    pub fn len(&self) -> usize {
        self.since.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.since.is_empty()
    }

    /// So many places are given up, by a smaller size of ours: those that have been empty longest.
    pub(super) fn give_up(&mut self, places: usize) {
        let given_up = places.min(self.since.len());
        self.since.drain(..given_up);
        self.before = self.before.saturating_sub(given_up);
    }

    /// Since when the place has been empty that has been so for longest.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.since.front().copied()
    }

    /// How many places have been empty for `long` or longer.
    pub fn late(&self, long: Duration, now: Timestamp) -> usize {
        self.since.iter().take_while(|since| now.since(**since) >= long).count()
    }

    /// When the next place will have been empty for `long`.
    pub fn next_late(&self, long: Duration, now: Timestamp) -> Option<Timestamp> {
        self.since.get(self.late(long, now)).map(|since| *since + long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp(second * 1000)
    }

    #[test]
    fn each_place_has_its_own_clock_and_who_comes_takes_the_oldest() {
        let mut missing = Missing::default();
        missing.take_in(0, 3, at(0));
        // One comes every five seconds, and another place becomes empty: none is old.
        for tick in 1..100 {
            missing.take_in(1, 3, at(5 * tick));
            assert!(missing.oldest() >= Some(at((5 * tick).saturating_sub(10))), "{missing:?}");
        }
        // Where one never comes, it is late, and only that one.
        let mut missing = Missing::default();
        missing.take_in(0, 1, at(0));
        missing.take_in(0, 2, at(12));
        let long = Duration::from_secs(15);
        assert_eq!(
            (missing.late(long, at(15)), missing.next_late(long, at(15))),
            (1, Some(at(27)))
        );
        // A look that does not show one for a moment takes nothing off another's clock.
        missing.take_in(0, 3, at(16));
        missing.take_in(0, 2, at(17));
        assert_eq!((missing.oldest(), missing.late(long, at(27))), (Some(at(0)), 2));
    }

    #[test]
    fn a_place_that_is_given_up_leaves_the_others_their_own_time() {
        let long = Duration::from_secs(15);
        let mut missing = Missing::default();
        missing.take_in(0, 1, at(0));
        missing.take_in(0, 2, at(10));
        missing.take_in(0, 3, at(14));
        assert_eq!(missing.late(long, at(15)), 1);
        missing.give_up(1);
        missing.take_in(0, 2, at(16));
        assert_eq!((missing.late(long, at(24)), missing.late(long, at(25))), (0, 1));
    }
}
