//! Since when each place of the fleet has had no instance.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rolling_provider::{InstanceId, Timestamp};

/// A clock for each place that has no instance, the oldest first. Places are alike: whoever is
/// launched takes the one that has been empty for longest. One that is gone again before it has
/// served may have been taken by somebody: its place begins anew. The next one in that place has
/// filled none.
#[derive(Clone, Debug, Default)]
pub struct Missing {
    places: VecDeque<Place>,
    /// How many of the first were empty before the rollout began.
    before: usize,
    /// The places that were taken by instances that have not served yet.
    taken: BTreeMap<InstanceId, Place>,
    /// The same of those that were gone again. A late look may have missed one.
    gone: BTreeMap<InstanceId, Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// Since when nobody in it has served.
    since: Timestamp,
    /// Since when nobody is in it.
    empty: Timestamp,
    /// How many came to it since and were gone before they served.
    lost: u32,
}

impl Place {
    fn new(now: Timestamp) -> Place {
        Place { since: now, empty: now, lost: 0 }
    }
}

/// What has become of an instance that took a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It lives and has not served.
    Boots,
    /// It has served, or went by our doing.
    Settled,
    /// It is gone.
    Gone,
}

impl Missing {
    /// Takes in a look: who came that was never there before, and how many places are empty. Where
    /// fewer are although nobody came, the last ones were not (a look was late, or the fleet became
    /// smaller).
    pub(super) fn absorb(&mut self, arrived: &[InstanceId], empty: usize, now: Timestamp) {
        let filled = arrived.len().min(self.places.len());
        let places = self.places.drain(..filled).chain(std::iter::repeat(Place::new(now)));
        self.taken.extend(arrived.iter().cloned().zip(places));
        self.places.resize(empty, Place::new(now));
        self.before = self.before.saturating_sub(filled).min(empty);
    }

    /// Takes in what has become of those that came, before who comes in their places.
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

    /// Nobody has looked for `unseen`, and who came meanwhile had no chance to be seen.
    pub(super) fn not_looked(&mut self, unseen: Duration) {
        let taken = self.taken.values_mut().chain(self.gone.values_mut());
        for place in self.places.iter_mut().chain(taken) {
            place.since = place.since + unseen;
        }
    }

    /// What is empty now was empty before anything was begun.
    pub(super) fn begin(&mut self) {
        self.before = self.places.len();
    }

    /// How many places are empty that were so before the rollout began, for whatever reason.
    pub fn before(&self) -> usize {
        self.before
    }

    /// How many places are empty.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// So many places are given up, by a smaller size of ours: those that have been empty longest.
    pub(super) fn give_up(&mut self, places: usize) {
        let given_up = places.min(self.places.len());
        self.places.drain(..given_up);
        self.before = self.before.saturating_sub(given_up);
    }

    /// Since when nobody has served in the place where that is longest ago.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.unfilled().map(|place| place.since).min()
    }

    /// In how many places nobody has served for `long` or longer.
    pub fn unserved(&self, long: Duration, now: Timestamp) -> usize {
        self.unfilled().filter(|place| now.since(place.since) >= long).count()
    }

    /// Empty places, and those whose instances come and go: whoever is there now will go, too.
    fn unfilled(&self) -> impl Iterator<Item = &Place> {
        let in_vain = self.taken.values().filter(|place| place.lost > 1);
        self.places.iter().chain(in_vain)
    }

    /// How many places have been empty for `long` or longer.
    pub fn late(&self, long: Duration, now: Timestamp) -> usize {
        self.places.iter().filter(|place| now.since(place.empty) >= long).count()
    }

    /// When the next place will have been empty for `long`.
    pub fn next_late(&self, long: Duration, now: Timestamp) -> Option<Timestamp> {
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
        // One comes every five seconds, and another place becomes empty: none is old.
        for tick in 1..100 {
            missing.absorb(&ids(&["i"]), 3, at(5 * tick));
            assert!(missing.oldest() >= Some(at((5 * tick).saturating_sub(10))), "{missing:?}");
        }
        // Where one never comes, it is late, and only that one.
        let mut missing = Missing::default();
        missing.absorb(&[], 1, at(0));
        missing.absorb(&[], 2, at(12));
        let long = Duration::from_secs(15);
        assert_eq!(
            (missing.late(long, at(15)), missing.next_late(long, at(15))),
            (1, Some(at(27)))
        );
        // A look that does not show one for a moment takes nothing off another's clock.
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
            // The first one may have been taken by somebody.
            let began = if shows_empty { at(9) } else { at(15) };
            assert_eq!((missing.oldest(), missing.unserved(long, at(75))), (Some(began), 1));
            // It may be on its way again all the same.
            assert_eq!(missing.late(Duration::from_secs(15), at(100)), 0);
        }

        // One that served and was lost is another matter, and so is one that a late look missed.
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
