//! The intended size of a fleet, the surge that is ours, and what others set.
//!
//! They are kept apart although the cloud keeps all three in one number, which can be set only
//! unconditionally. Unmanaged instances have no such number; see [`super::unmanaged`].
//!
//! N is the intended size of the fleet, s the surge that we added. We have asked for N + s.
//!
//! | A look, or an answer, shows a desired size of | which is | afterwards |
//! |---|---|---|
//! | N + s, as we believe it | nothing new | N is no less than a minimum that somebody raised |
//! | one that held in the last 30 s, and no minimum above N + s | a late look | nothing changes |
//! | anything else, v | set by others, who want v in all | N = v, s = 0 |
//! | v, just before our removal lowered it to v - 1 | the same | N = v, and one is to be added |
//! | (after a restart) N + s, or the recorded size before it | ours | s is what exceeds N |
//! | (after a restart) N to N + s, while we removed surge | ours | the same |
//! | (after a restart) any, and the recorded rollout is over | set by others | N = v, s = 0 |
//! | (after a restart) anything else, v | set by others meanwhile | N = v, s = 0 |
//!
//! A size that somebody sets to its current value cannot be noticed. A size that somebody sets
//! between our last look and our own write of another size is overwritten: the cloud has no
//! conditional write, and does not report what was there. Where the sizes are far apart (an
//! autoscaler's decision against half a fleet) it sets its size again.

use std::collections::BTreeMap;

use rolling_provider::{Capacity, Timestamp};

use super::LOOKS_LAG;
use crate::record::{Ending, Phase, Record};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    /// N.
    pub(super) size: u32,
    /// The desired size as we believe it: N + s. Less than N only after a removal of ours changed a
    /// size that somebody had just set.
    pub(super) desired: u32,
    /// Sizes that held before, and until when: a look may still show them.
    believed_until: BTreeMap<u32, Timestamp>,
    /// How often others have set a size, the size they set last, and the size it replaced.
    pub(super) others: (u32, u32, u32),
}

impl Sizes {
    /// Returns what an engine makes of the sizes that it finds.
    pub(super) fn found(record: Option<&Record>, shown: Capacity) -> Sizes {
        let desired = shown.desired;
        let foreign = Sizes { size: desired, desired, ..Sizes::default() };
        let Some(record) = record.filter(|record| !record.is_over()) else { return foreign };
        let more = desired.checked_sub(record.size);
        let was_written = more == Some(record.surge) || more == Some(record.surge_before);
        let gives_back = record.gives_back
            || matches!(record.phase, Phase::Halting(ending) if ending != Ending::Paused);
        let is_given_back = gives_back && more.is_some_and(|more| more <= record.surge);
        match was_written || is_given_back {
            true => Sizes { size: record.size.max(shown.min), ..foreign },
            false => foreign,
        }
    }

    /// Processes a look. Returns by how much the fleet has become smaller.
    pub(super) fn look(&mut self, shown: Capacity, at: Timestamp) -> u32 {
        self.believed_until.retain(|_, until| at.since(*until) <= LOOKS_LAG);
        if shown.desired == self.desired {
            self.size = self.size.max(shown.min.min(self.desired));
            return 0;
        }
        // No size can be below the minimum, so this is no late look.
        if shown.min <= self.desired && self.believed_until.contains_key(&shown.desired) {
            return 0;
        }
        let fewer = self.desired.saturating_sub(shown.desired);
        self.set_by_others(shown.desired, at);
        fewer
    }

    /// Notes a size that we set.
    pub(super) fn wrote(&mut self, desired: u32, at: Timestamp) {
        self.become_(desired, at);
    }

    /// Notes the sizes that somebody else had asked for, and that we set on their behalf.
    pub(super) fn caught_up(&mut self, desired: u32, at: Timestamp) {
        self.become_(desired, at);
        self.size = desired;
    }

    /// Notes that a removal of ours has lowered the size by one, from `was` where the cloud says
    /// so.
    pub(super) fn lowered(&mut self, was: Option<u32>, at: Timestamp) {
        if let Some(was) = was.filter(|was| *was != self.desired) {
            self.set_by_others(was, at);
        }
        self.become_(self.desired.saturating_sub(1), at);
    }

    /// Returns when the size will be known for sure, while `shown` differs from what we believe.
    pub(super) fn known_at(&self, shown: u32) -> Option<Timestamp> {
        let until = self.believed_until.get(&shown).filter(|_| shown != self.desired)?;
        Some(*until + LOOKS_LAG)
    }

    /// Returns N.
    pub(super) fn size(&self) -> u32 {
        self.size
    }

    /// Returns N + s.
    pub(super) fn desired(&self) -> u32 {
        self.desired
    }

    fn set_by_others(&mut self, desired: u32, at: Timestamp) {
        self.others = (self.others.0 + 1, desired, self.desired);
        self.become_(desired, at);
        self.size = desired;
    }

    fn become_(&mut self, desired: u32, at: Timestamp) {
        if desired != self.desired {
            self.believed_until.insert(self.desired, at);
            self.believed_until.remove(&desired);
            self.desired = desired;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp(second * 1000)
    }

    fn capacity(min: u32, desired: u32) -> Capacity {
        Capacity { min, max: 100, desired, units: None }
    }

    fn look(sizes: &mut Sizes, shown: Capacity, at: Timestamp) {
        sizes.look(shown, at);
    }

    /// Returns (N, s, what has to be added) of a fleet of 6 with a surge of 3, after `what`.
    fn after(what: impl FnOnce(&mut Sizes)) -> (u32, u32, u32) {
        let mut sizes = Sizes::found(None, capacity(2, 6));
        sizes.wrote(9, at(0));
        sizes.look(capacity(2, 9), at(1));
        what(&mut sizes);
        (
            sizes.size,
            sizes.desired.saturating_sub(sizes.size),
            sizes.size.saturating_sub(sizes.desired),
        )
    }

    #[test]
    fn live() {
        // Ours, or nothing new.
        assert_eq!(after(|_| ()), (6, 3, 0));
        assert_eq!(after(|s| look(s, capacity(2, 9), at(500))), (6, 3, 0));
        // A late look, and the same size when no look can be that late: somebody set it.
        assert_eq!(after(|s| look(s, capacity(2, 6), at(30))), (6, 3, 0));
        assert_eq!(after(|s| look(s, capacity(2, 6), at(31))), (6, 0, 0));
        // Set by others: below N, to nothing, between, above.
        for v in [4, 0, 7, 8, 12] {
            assert_eq!(after(|s| look(s, capacity(0, v), at(2))), (v, 0, 0));
        }
        // There and back: a look may still show the previous size for as long as it may be late.
        assert_eq!(
            after(|s| {
                assert_eq!(s.look(capacity(0, 0), at(2)), 9);
                s.look(capacity(0, 9), at(20));
                assert_eq!((s.size, s.known_at(9)), (0, Some(at(32))));
                s.look(capacity(0, 9), at(33));
            }),
            (9, 0, 0)
        );
        // A minimum that is raised into the surge is a size that somebody wants.
        assert_eq!(after(|s| look(s, capacity(8, 9), at(2))), (8, 1, 0));
    }

    #[test]
    fn removals() {
        assert_eq!(after(|s| s.lowered(Some(9), at(2))), (6, 2, 0));
        assert_eq!(after(|s| s.lowered(None, at(2))), (6, 2, 0));
        // Set back to 6 between our look and our removal: one too many has gone.
        assert_eq!(after(|s| s.lowered(Some(6), at(2))), (6, 0, 1));
        // Two removals of one plan: their looks may come in any order.
        assert_eq!(
            after(|s| {
                s.lowered(Some(9), at(2));
                s.lowered(Some(8), at(2));
                for late in [9, 8, 7, 9] {
                    s.look(capacity(2, late), at(4));
                }
            }),
            (6, 1, 0)
        );
    }

    #[test]
    fn after_a_restart() {
        let found = |phase, (size, surge, surge_before), gives_back, shown| {
            let record =
                Record { phase, size, surge, surge_before, gives_back, ..Record::example() };
            let sizes = Sizes::found(Some(&record), capacity(0, shown));
            (sizes.size, sizes.desired - sizes.size)
        };
        let rolling = |gives, shown| found(Phase::Rolling, (6, 3, 0), gives, shown);
        // Asked for, not asked for yet.
        assert_eq!((rolling(false, 9), rolling(false, 6)), ((6, 3), (6, 0)));
        // Given back one by one.
        assert_eq!(
            (rolling(true, 8), rolling(true, 7), rolling(true, 6)),
            ((6, 2), (6, 1), (6, 0))
        );
        // Somebody set it before that began.
        assert_eq!((rolling(false, 8), rolling(false, 7)), ((8, 0), (7, 0)));
        for (gives, shown) in [(false, 0), (true, 4), (true, 12)] {
            assert_eq!(rolling(gives, shown), (shown, 0));
        }
        // Nothing is left of a rollout that is over.
        let over = Phase::Halted(Ending::Interrupted);
        assert_eq!(found(over, (6, 0, 1), false, 7), (7, 0));
        // The second step of two.
        let second = |shown| found(Phase::Rolling, (6, 6, 1), false, shown);
        assert_eq!((second(7), second(12), second(8)), ((6, 1), (6, 6), (8, 0)));
        // On the way to an early end surge goes in any case; a pause keeps it.
        let aborting = Phase::Halting(Ending::Aborted);
        let pausing = Phase::Halting(Ending::Paused);
        assert_eq!(found(aborting, (6, 3, 3), false, 7), (6, 1));
        assert_eq!(found(pausing, (6, 3, 3), false, 7), (7, 0));
    }
}
