//! The progress of a rollout, measured by what is left to do.

use rolling_provider::Timestamp;

/// The least that was left to do: instances of the fleet's size that are not updated, plus those
/// that do not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeastRemaining {
    /// How much that was, at the size the fleet has now.
    left: u64,
    /// The size that it is measured by.
    size: u32,
    /// The largest size so far.
    largest: u32,
    /// When it was reached.
    pub(crate) at: Timestamp,
}

impl LeastRemaining {
    /// Returns the state before anything is done: whatever is found next is progress.
    pub(crate) fn none(at: Timestamp) -> Self {
        LeastRemaining { left: u64::MAX, size: 0, largest: 0, at }
    }

    /// Notes what is found `now`. Another size is another measure, and no progress on its own:
    /// otherwise a fleet that is rescaled again and again would never be noticed. A fleet that
    /// becomes larger than it ever was gets the whole time for that.
    pub(crate) fn find(&mut self, size: u32, updated: usize, serving: usize, now: Timestamp) {
        let lacks = |count: usize| u64::from(size).saturating_sub(count as u64);
        let left = lacks(updated) + lacks(serving);
        if size != self.size {
            let grown = u64::from(size.saturating_sub(self.size));
            self.left = left.min(self.left.saturating_add(2 * grown));
            if size > self.largest {
                (self.largest, self.at) = (size, now);
            }
            self.size = size;
        } else if left < self.left {
            (self.left, self.at) = (left, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp(second * 1000)
    }

    /// Returns when there was progress last, after these sizes, updated and serving instances.
    fn last(found: &[(u32, usize, usize)]) -> Timestamp {
        let mut least = LeastRemaining::none(at(0));
        for (second, (size, updated, serving)) in (1..).zip(found) {
            least.find(*size, *updated, *serving, at(second));
        }
        least.at
    }

    #[test]
    fn a_fleet_that_shrinks_goes_on_from_what_is_left_and_one_that_swings_gains_no_time() {
        assert_eq!(last(&[(20, 5, 20), (9, 2, 9), (9, 3, 9)]), at(3));
        assert_eq!(last(&[(10, 0, 10), (9, 0, 9), (10, 0, 9), (10, 0, 10), (9, 0, 9)]), at(4));
        let swings = [(10, 0, 10), (9, 0, 9)].repeat(20);
        assert_eq!(last(&swings), at(1));
    }

    #[test]
    fn one_that_grows_has_more_to_do_and_the_time_for_it_once() {
        assert_eq!(last(&[(10, 9, 10), (20, 9, 10)]), at(2));
        assert_eq!(last(&[(10, 9, 10), (20, 9, 10), (20, 9, 11), (20, 9, 11)]), at(3));
    }
}
