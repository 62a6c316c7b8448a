//! Whether this engine still owns the rollout, judged by looks. Pure.
//!
//! An engine owns a rollout by its lease, and knows the record as it left it. A look that shows
//! another lease, no lease, or a record that this engine has not written says that somebody else
//! is, or was, at work. Such a look may also be late. The engine believes it once a second look,
//! later than looks may lag, says the same. Until then the engine does nothing.
//!
//! A process may be suspended (Ctrl-Z, a paused container, a closed laptop) for longer than others
//! watch a lease. What it saw before says nothing then: it looks again before it does anything.

use std::time::Duration;

use rolling_provider::{Action, Tags, Timestamp};

use crate::record::lease::{LEASE_DURATION, Lease, RENEW_DEADLINE, RENEW_PERIOD};
use crate::record::{LEASE, ROLLOUT, Record, record_in};
use crate::rollout::state::LOOKS_LAG;

/// Two thirds of the watch. Another engine may soon take a lease that was renewed this long ago,
/// and what a look of that age shows no longer counts.
pub const LATE: Duration = Duration::from_secs(LEASE_DURATION.as_secs() * 2 / 3);
const _: () = assert!(
    LATE.as_secs() == RENEW_PERIOD.as_secs() * 2 && RENEW_DEADLINE.as_secs() <= LATE.as_secs()
);

/// A moment, by the engine's clock and by the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Moment {
    /// The clock that never steps back and that counts sleep.
    pub now: Timestamp,
    /// The wall clock, which jumps where a machine was stopped and moved.
    pub wall: Timestamp,
}

impl Moment {
    /// Returns how long before `later` this was, by the clock that says more. A wall clock that was
    /// set back says as much as one that was set forward: the real age is unknown.
    pub fn age(self, later: Moment) -> Duration {
        let wall = later.wall.since(self.wall).max(self.wall.since(later.wall));
        later.now.since(self.now).max(wall)
    }
}

/// Whether this engine owns the rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does, as far as that can be known.
    Ours,
    /// A look says that it does not, but may be late: do nothing, and look again.
    Doubtful,
    /// The guarded record is gone, and no other engine can have taken the rollout over: write it
    /// again, if there still is none.
    Deleted,
    /// It does not: why, as a sentence.
    Lost(String),
}

/// A record that this engine has left on the target; no tags for no record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct WrittenRecord {
    tags: Tags,
    /// When this engine wrote another record over it. Looks may show the old one for a while.
    replaced: Option<Timestamp>,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ownership {
    me: String,
    /// Whether the record is guarded: then reads do not lag, and no engine overwrites what it has
    /// not seen.
    guards: bool,
    /// The lease of this engine, once it holds one.
    lease: Option<Lease>,
    /// When the last call that renewed the lease began.
    renewed: Moment,
    /// Whether it is unknown if the lease was removed with the record.
    erasing: bool,
    /// Since when looks say that somebody else is, or was, at work.
    doubted: Option<Timestamp>,
    /// Whether no other engine can have taken the rollout over by then: the lease was renewed too
    /// recently.
    too_early: bool,
    /// Whether this process may have been suspended since a look showed everything as it had left
    /// it.
    was_suspended: bool,
    /// The records that may show, the latest last.
    left: Vec<WrittenRecord>,
}

impl Ownership {
    /// Returns the state of an engine called `me` that holds nothing yet.
    pub fn new(me: impl Into<String>, guards: bool) -> Self {
        Self {
            me: me.into(),
            guards,
            lease: None,
            renewed: Moment::default(),
            erasing: false,
            doubted: None,
            too_early: false,
            was_suspended: false,
            left: Vec::new(),
        }
    }

    /// Notes that `look` shows `lease`, which was written by a call that began at `renewed`.
    pub fn take(&mut self, lease: Lease, look: &Tags, renewed: Moment) {
        let tags = record_in(look);
        *self = Self { lease: Some(lease), renewed, ..Self::new(self.me.clone(), self.guards) };
        self.left.push(WrittenRecord { tags, replaced: None });
    }

    /// Whether this engine holds the lease.
    pub fn holds(&self) -> bool {
        self.lease.is_some()
    }

    /// Returns when the last call that renewed the lease began.
    pub fn renewed_at(&self) -> Moment {
        self.renewed
    }

    /// Whether the renewal of the lease is overdue at `now`: look again first.
    pub fn is_late(&self, now: Moment) -> bool {
        self.lease.is_some() && self.renewed.age(now) >= LATE
    }

    /// Whether no other engine can be at work at `now`, as far as that can be known.
    pub(crate) fn is_believed(&self, now: Moment) -> bool {
        !self.guards || self.lease.is_none() || self.renewed.age(now) < RENEW_DEADLINE
    }

    /// Notes that this process may have been suspended.
    pub fn note_suspension(&mut self) {
        self.was_suspended = true;
    }

    /// Whether this process may have been suspended since a look showed everything as it had left
    /// it.
    pub(crate) fn was_suspended(&self) -> bool {
        self.was_suspended
    }

    /// Returns the lease for the next renewal, after `look`. The look may show a renewal whose
    /// answer was lost, and the counter has to move beyond it.
    pub fn next_lease(&self, look: &Tags, wall: Timestamp) -> Option<Lease> {
        let lease = self.lease.as_ref()?;
        let seen = Lease::from_tags(look).filter(|seen| seen.owner == self.me);
        let last = seen.map_or(lease.counter, |seen| seen.counter.max(lease.counter));
        Some(Lease { counter: last + 1, at: Some(wall), ..lease.clone() })
    }

    /// Whether the lease may be renewed at `now` although no look has shown it since the last
    /// renewal: no other engine can have taken it over meanwhile.
    pub(crate) fn may_renew_unseen(&self, now: Moment) -> bool {
        self.holds() && !self.is_late(now) && self.doubted.is_none() && !self.was_suspended
    }

    /// Notes that `lease` was written by a call that began at `at`.
    pub fn renew(&mut self, lease: Lease, at: Moment) {
        (self.lease, self.renewed) = (Some(lease), at);
    }

    /// Notes that the cloud accepted `action` at `now`. `sure` is `false` where no answer confirms
    /// it.
    pub fn did(&mut self, action: &Action, sure: bool, now: Timestamp) {
        match action {
            Action::WriteRecord { tags } if tags.contains_key(ROLLOUT) => {
                self.leave(record_in(tags), sure, now);
            }
            Action::EraseRecord { keys } => {
                if keys.contains(ROLLOUT) {
                    self.leave(Tags::new(), sure, now);
                }
                if keys.contains(LEASE) {
                    self.lease = self.lease.take().filter(|_| !sure);
                    self.erasing = !sure;
                }
            }
            _ => {}
        }
    }

    fn leave(&mut self, tags: Tags, sure: bool, now: Timestamp) {
        for left in self.left.iter_mut().filter(|left| sure && left.replaced.is_none()) {
            left.replaced = Some(now);
        }
        self.left.push(WrittenRecord { tags, replaced: None });
    }

    /// Judges at `now` what `look` says. Reading its tags began at `looked`.
    pub fn judge(&mut self, look: &Tags, looked: Timestamp, now: Moment) -> Standing {
        if self.lease.is_none() {
            return Standing::Ours;
        }
        let lag = if self.guards { Duration::ZERO } else { LOOKS_LAG };
        self.left.retain(|left| left.replaced.is_none_or(|at| looked.since(at) <= lag));
        if self.doubted.is_none() {
            self.too_early = self.renewed.age(now) < LATE && !self.was_suspended;
        }
        let Some(sign) = self.sign(look) else {
            (self.doubted, self.was_suspended) = (None, false);
            // On tags, a late look may still show a lease that is removed.
            self.erasing &= !self.guards;
            return Standing::Ours;
        };
        // Lease and record go together: a record without our lease is another engine's. A lease
        // without a record is of an engine that has come since.
        let is_off = Lease::from_tags(look).is_none_or(|lease| lease.owner != self.me);
        if self.erasing && is_off && !look.contains_key(ROLLOUT) {
            self.lease = None;
            return Standing::Ours;
        }
        if self.guards {
            let is_deleted = !look.contains_key(LEASE) && !look.contains_key(ROLLOUT);
            return match is_deleted && self.too_early {
                true => Standing::Deleted,
                false => Standing::Lost(sign),
            };
        }
        // From now on: a look that took long is not a second look.
        let doubted = *self.doubted.get_or_insert(now.now);
        if looked.since(doubted) > LOOKS_LAG { Standing::Lost(sign) } else { Standing::Doubtful }
    }

    /// Returns what about `look` says that somebody else is, or was, at work, as a sentence.
    fn sign(&self, look: &Tags) -> Option<String> {
        match Lease::from_tags(look) {
            None if self.too_early => return Some(REMOVED.into()),
            None => return Some(format!("{TAKEN_OFF}; {}", shown(look))),
            Some(lease) if lease.owner != self.me => {
                return Some(format!("{} has taken the rollout over", lease.owner));
            }
            Some(_) => {}
        }
        if self.left.iter().any(|left| left.shows_in(look)) {
            return None;
        }
        Some(format!("another engine has worked on the rollout; {}", shown(look)))
    }
}

/// Returns which record `look` shows, as a part of a sentence.
fn shown(look: &Tags) -> String {
    match Record::from_tags(look) {
        Ok(None) => "no rollout is recorded there now".into(),
        Ok(Some(Record { id, to, reason, .. })) if reason.is_some() => {
            format!("rollout {id} to {to} is recorded there, {}", reason.unwrap_or_default())
        }
        Ok(Some(record)) => {
            let (id, to, status) = (&record.id, &record.to, record.status_shown());
            format!("rollout {id} to {to} is recorded there, {status}")
        }
        Err(why) => format!("what is recorded there cannot be read: {why}"),
    }
}

/// Why a lease is gone that was last renewed a while ago.
const TAKEN_OFF: &str = "this engine's lease was removed from the target: another engine was at \
                         work, or a tool removes unknown tags";

/// Why a lease is gone that no other engine can have taken over yet.
const REMOVED: &str = "the tags that start with rolling: were removed from the target, but not by \
                       another engine: a tool removes unknown tags (for Terraform's AWS provider, \
                       ignore_tags { key_prefixes = [\"rolling:\"] } keeps them)";

impl WrittenRecord {
    fn shows_in(&self, look: &Tags) -> bool {
        let is_there = look.contains_key(ROLLOUT);
        is_there != self.tags.is_empty()
            && self.tags.iter().all(|(key, value)| look.get(key) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment { now: Timestamp(seconds * 1000), wall: Timestamp(seconds * 1000) }
    }

    fn lease(owner: &str) -> Lease {
        Lease { owner: owner.into(), counter: 1, at: None, waits: None }
    }

    fn tags(lease: &Lease, record: Option<&Record>) -> Tags {
        lease.tags().into_iter().chain(record.map(Record::tags).unwrap_or_default()).collect()
    }

    /// Returns the state of an engine that took its lease at 100 s over `record`.
    fn owning(guards: bool, record: Option<&Record>) -> Ownership {
        let mut own = Ownership::new("me", guards);
        own.take(lease("me"), &tags(&lease("me"), record), at(100));
        own
    }

    #[test]
    fn a_wall_clock_that_jumps_either_way_makes_a_renewal_old() {
        let own = owning(false, None);
        let after = |wall: u64| Moment { wall: Timestamp(wall * 1000), ..at(105) };
        assert!(!own.is_late(after(105)) && !own.is_late(after(119)) && !own.is_late(after(90)));
        assert!(own.is_late(after(120)) && own.is_late(after(80)));
        assert!(own.is_late(at(120)), "it may have stood still");
    }

    #[test]
    fn another_lease_none_and_another_record_are_believed_once_a_later_look_says_so() {
        let record = Record::example();
        let theirs = Record { acknowledged: vec!["word".into()], ..record.clone() };
        for shown in [
            tags(&lease("other"), Some(&record)),
            Record::example().tags(),
            tags(&lease("me"), Some(&theirs)),
            tags(&lease("me"), None),
        ] {
            let mut own = owning(false, Some(&record));
            let mut judge = |seconds| own.judge(&shown, at(seconds).now, at(seconds));
            assert_eq!(judge(105), Standing::Doubtful);
            assert_eq!(judge(135), Standing::Doubtful);
            assert!(matches!(judge(136), Standing::Lost(_)), "{shown:?}");
            assert!(matches!(
                owning(true, Some(&record)).judge(&shown, at(105).now, at(105)),
                Standing::Lost(_)
            ));
        }
    }

    #[test]
    fn a_look_that_is_late_shows_what_this_engine_has_left_before_and_costs_a_moment_only() {
        let record = Record::example();
        let next = Record { acknowledged: vec!["word".into()], ..record.clone() };
        let mut own = owning(false, Some(&record));
        own.did(&Action::WriteRecord { tags: next.tags() }, true, at(110).now);
        let before = tags(&lease("me"), Some(&record));
        assert_eq!(own.judge(&before, at(140).now, at(112)), Standing::Ours);
        assert_eq!(own.judge(&before, at(141).now, at(112)), Standing::Doubtful);
        assert_eq!(
            own.judge(&tags(&lease("me"), Some(&next)), at(142).now, at(112)),
            Standing::Ours
        );
    }

    #[test]
    fn a_guarded_record_that_is_gone_is_made_again_where_nobody_can_have_taken_it_over() {
        let gone = |seconds| owning(true, None).judge(&Tags::new(), at(seconds).now, at(seconds));
        assert_eq!(gone(119), Standing::Deleted);
        assert!(matches!(gone(120), Standing::Lost(_)));
    }
}
