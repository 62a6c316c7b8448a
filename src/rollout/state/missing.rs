//! Since when each place of the fleet has had no instance.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rolling_provider::{InstanceId, Timestamp};

/// A timer for each place that has no instance, the oldest first. Places are alike: a launched
/// instance takes the place that has been empty longest. If it disappears before it has served, the
/// timer of its place starts over, once: somebody may have removed it. If the next instance in that
/// place disappears as well, the timer continues.
#[derive(Clone, Debug, Default)]
pub(crate) struct Missing {
    places: VecDeque<Place>,
    /// How many of the first places were empty before the rollout began.
    before: usize,
    /// The places of instances that have not served yet.
    taken: BTreeMap<InstanceId, Place>,
    /// The places of such instances that are gone again. A late look may have missed one.
    gone: BTreeMap<InstanceId, Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// Since when no instance in it has served.
    since: Timestamp,
    /// Since when no instance is in it.
    empty: Timestamp,
    /// How many instances came to it since and went before they served.
    lost: u32,
}

impl Place {
    fn new(now: Timestamp) -> Place {
        Place { since: now, empty: now, lost: 0 }
    }
}

/// What happened to an instance that took a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It lives and has not served.
    Boots,
    /// It has served, or was removed by us.
    Settled,
    /// It is gone.
    Gone,
}

impl Missing {
    /// Processes a look: the instances that were never there before, and how many places are empty.
    /// Where fewer places are empty although no instance came, the last ones were not empty (a look
    /// was late, or the fleet became smaller).
    pub(super) fn absorb(&mut self, arrived: &[InstanceId], empty: usize, now: Timestamp) {
        let filled = arrived.len().min(self.places.len());
        let places = self.places.drain(..filled).chain(std::iter::repeat(Place::new(now)));
        self.taken.extend(arrived.iter().cloned().zip(places));
        self.places.resize(empty, Place::new(now));
        self.before = self.before.saturating_sub(filled).min(empty);
    }

    /// Notes what happened to the instances that came, before others come in their places.
    pub(super) fn follow(&mut self, now: Timestamp, fate: impl Fn(&InstanceId) -> Fate) {
        for (id, was) in std::mem::take(&mut self.gone) {
            match fate(&id) {
                Fate::Gone => drop(self.gone.insert(id, was)),
                fate => {
                    // It was there all the time, and left no place empty.
                    let its = self.places.iter().position(|place| place.lost == was.lost + 1);
                    its.map(|its| self.places.remove(its));
                    if fate == Fate::Boots {
                        self.taken.insert(id, was);
                    }
                }
            }
        }
        for (id, was) in std::mem::take(&mut self.taken) {
            match fate(&id) {
                Fate::Boots => drop(self.taken.insert(id, was)),
                Fate::Settled => {}
                Fate::Gone => {
                    let since = if was.lost == 0 { now } else { was.since };
                    self.places.push_back(Place { since, empty: now, lost: was.lost + 1 });
                    self.gone.insert(id, was);
                }
            }
        }
        let before = self.before.min(self.places.len());
        self.places.make_contiguous()[before..].sort_by_key(|place| place.since);
    }

    /// Notes that the engine has not looked for `unseen`, and could not see instances that came.
    pub(super) fn not_looked(&mut self, unseen: Duration) {
        let taken = self.taken.values_mut().chain(self.gone.values_mut());
        for place in self.places.iter_mut().chain(taken) {
            place.since = place.since + unseen;
        }
    }

    /// Notes that the places empty now were empty before the rollout began.
    pub(super) fn begin(&mut self) {
        self.before = self.places.len();
    }

    /// Returns how many places were empty before the rollout began, for whatever reason, and still
    /// are.
    pub(crate) fn before(&self) -> usize {
        self.before
    }

    /// Returns how many places are empty.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Gives up `places` places, as we set a smaller size: those that have been empty longest.
    pub(super) fn give_up(&mut self, places: usize) {
        let given_up = places.min(self.places.len());
        self.places.drain(..given_up);
        self.before = self.before.saturating_sub(given_up);
    }

    /// Returns since when no instance has served in the place where that is longest ago.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.unfilled().map(|place| place.since).min()
    }

    /// Returns in how many places no instance has served for `long` or longer.
    pub(crate) fn unserved(&self, long: Duration, now: Timestamp) -> usize {
        self.unfilled().filter(|place| now.since(place.since) >= long).count()
    }

    /// Returns empty places, and those whose instances come and go: the current one will go too.
    fn unfilled(&self) -> impl Iterator<Item = &Place> {
        let in_vain = self.taken.values().filter(|place| place.lost > 1);
        self.places.iter().chain(in_vain)
    }

    /// Returns how many places have been empty for `long` or longer.
    pub(crate) fn late(&self, long: Duration, now: Timestamp) -> usize {
        self.places.iter().filter(|place| now.since(place.empty) >= long).count()
    }

    /// Returns when the next place will have been empty for `long`.
    pub(crate) fn next_late(&self, long: Duration, now: Timestamp) -> Option<Timestamp> {
        let due = self.places.iter().map(|place| place.empty + long);
        due.filter(|due| *due > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp(second * 1000)
    }

    fn ids(names: &[&str]) -> Vec<InstanceId> {
        names.iter().map(|name| InstanceId::new(*name)).collect()
    }

    #[test]
    fn each_place_has_its_own_clock_and_who_comes_takes_the_oldest() {
        let mut missing = Missing::default();
        missing.absorb(&[], 3, at(0));
        // An instance comes every five seconds, and another place becomes empty: no place is old.
        for tick in 1..100 {
            missing.absorb(&ids(&["i"]), 3, at(5 * tick));
            assert!(missing.oldest() >= Some(at((5 * tick).saturating_sub(10))), "{missing:?}");
        }
        // Where no instance ever comes, the place is late, and only that one.
        let mut missing = Missing::default();
        missing.absorb(&[], 1, at(0));
        missing.absorb(&[], 2, at(12));
        let long = Duration::from_secs(15);
        assert_eq!(
            (missing.late(long, at(15)), missing.next_late(long, at(15))),
            (1, Some(at(27)))
        );
        // A look that misses an instance for a moment does not change another place's timer.
        missing.absorb(&[], 3, at(16));
        missing.absorb(&[], 2, at(17));
        assert_eq!((missing.oldest(), missing.late(long, at(27))), (Some(at(0)), 2));
    }

    #[test]
    fn a_place_that_is_given_up_leaves_the_others_their_own_time() {
        let long = Duration::from_secs(15);
        let mut missing = Missing::default();
        missing.absorb(&[], 1, at(0));
        missing.absorb(&[], 2, at(10));
        missing.absorb(&[], 3, at(14));
        assert_eq!(missing.late(long, at(15)), 1);
        missing.give_up(1);
        missing.absorb(&[], 2, at(16));
        assert_eq!((missing.late(long, at(24)), missing.late(long, at(25))), (0, 1));
    }

    #[test]
    fn who_dies_before_it_has_served_has_filled_no_place() {
        let long = Duration::from_secs(60);
        let boots = |ids: Vec<InstanceId>| {
            move |id: &InstanceId| match ids.contains(id) {
                true => Fate::Boots,
                false => Fate::Gone,
            }
        };
        for shows_empty in [true, false] {
            let mut missing = Missing::default();
            missing.absorb(&[], 1, at(0));
            for tick in 0..10 {
                let come = ids(&[format!("i-{tick}").as_str()]);
                missing.follow(at(10 * tick + 5), |_| Fate::Gone);
                missing.absorb(&come, 0, at(10 * tick + 5));
                missing.follow(at(10 * tick + 6), boots(come));
                if shows_empty {
                    missing.follow(at(10 * tick + 9), |_| Fate::Gone);
                    missing.absorb(&[], 1, at(10 * tick + 9));
                }
            }
            missing.follow(at(99), |_| Fate::Gone);
            missing.absorb(&[], 1, at(99));
            // Somebody may have removed the first one.
            let began = if shows_empty { at(9) } else { at(15) };
            assert_eq!((missing.oldest(), missing.unserved(long, at(75))), (Some(began), 1));
            // An instance may still be on its way.
            assert_eq!(missing.late(Duration::from_secs(15), at(100)), 0);
        }

        // An instance that served and was lost is another matter, and so is one that a late look
        // missed.
        for fate in [Fate::Settled, Fate::Boots] {
            let mut missing = Missing::default();
            for (id, second) in [("i-1", 0), ("i-2", 20)] {
                missing.follow(at(second), |_| Fate::Gone);
                missing.absorb(&[], 1, at(second));
                missing.follow(at(second + 5), |_| Fate::Gone);
                missing.absorb(&ids(&[id]), 0, at(second + 5));
            }
            missing.follow(at(50), |_| Fate::Gone);
            missing.absorb(&[], 1, at(50));
            assert_eq!(missing.oldest(), Some(at(20)));
            missing.follow(at(51), |id| if id.as_str() == "i-2" { fate } else { Fate::Gone });
            missing.absorb(&[], 1, at(51));
            assert_eq!(missing.oldest(), Some(at(51)));
        }
    }
}
