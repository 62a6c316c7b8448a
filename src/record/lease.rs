//! The lease: one engine at a time on one target.
//!
//! It is a tag with its owner and a counter. The owner raises the counter every `RENEW_PERIOD`. An
//! engine that wants the lease watches the counter on its own clock and never compares two hosts'
//! clocks. Tags have no compare-and-swap and reads lag, so two engines can overlap for a moment.
//! That is why every mutation names its instance or sets an absolute value, and why an engine that
//! sees a foreign lease stops before its next mutation.
//!
//! Where the record is guarded ([`rolling_provider::Fleet::guards_record`]) an engine writes a
//! lease only over the lease that it saw, so of several engines only one gets it. Its owner
//! believes in it for `RENEW_DEADLINE` only, which is over before another engine may take it.

use std::time::Duration;

use rolling_provider::{Tags, Timestamp};

use crate::record::fields::{LONGEST, Line, TagFields};
pub use crate::record::lease_wait::LeaseWait;
use crate::record::{LEASE, RecordError};

/// How often the owner raises the counter (RetryPeriod in Kubernetes' leader election).
pub(crate) const RENEW_PERIOD: Duration = Duration::from_secs(10);
/// How long a counter must stay unchanged before its owner counts as dead (LeaseDuration in
/// Kubernetes' leader election).
pub const LEASE_DURATION: Duration = Duration::from_secs(30);
/// How long after its last renewal the owner of a guarded lease may still act (RenewDeadline in
/// Kubernetes' leader election).
pub(crate) const RENEW_DEADLINE: Duration = Duration::from_secs(20);
/// How long a lease that was taken over must stay ours before the engine relies on it.
pub(crate) const SETTLE: Duration = Duration::from_secs(5);
/// The same for a lease that nobody held.
pub(crate) const SETTLE_FREE: Duration = Duration::from_secs(1);

/// The engine at work.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Host and process; see [`crate::engine::owner`].
    pub owner: String,
    /// Raised while the owner lives.
    pub counter: u64,
    /// When it was written, by the owner's wall clock. It is shown to people and decides nothing.
    pub at: Option<Timestamp>,
    /// What the owner waited for then, as far as it fits. It, too, is only shown to people.
    pub waits: Option<Vec<LeaseWait>>,
}

impl Lease {
    /// Whether its owner has shown a sign of life lately, by the time `wall`. Its clock may differ.
    pub(crate) fn is_recent(&self, wall: Timestamp) -> bool {
        self.at.is_none_or(|at| wall.since(at) <= LEASE_DURATION)
    }

    /// Returns the tag that holds this lease.
    pub fn tags(&self) -> Tags {
        let line = Line::new().with("owner", &self.owner).with("counter", self.counter);
        let line = line.with_some("at", self.at.map(|at| at.0));
        let line = match &self.waits {
            Some(waits) => LeaseWait::write(waits, line, LONGEST),
            None => line,
        };
        Tags::from([(LEASE.into(), line.done())])
    }

    /// Returns the name of a rollout that has no record yet: who began it, and when.
    pub(crate) fn rollout(&self) -> String {
        format!("{}+{}", self.owner, self.at.unwrap_or_default().0)
    }

    /// Whether `rollout` is the name, as by `Lease::rollout`, of a rollout that the owner of this
    /// lease began. The owner has written `first` before this lease and began the rollout between
    /// the two.
    pub fn has_begun(&self, rollout: &str, first: Option<&Lease>) -> bool {
        let named = rollout.rsplit_once('+');
        let named = named.and_then(|(owner, at)| Some((owner, Timestamp(at.parse().ok()?))));
        let since = first.and_then(|first| first.at).unwrap_or_default();
        named.is_some_and(|(owner, at)| {
            owner == self.owner && (since..=self.at.unwrap_or_default()).contains(&at)
        })
    }

    /// Returns the lease in these tags. An unreadable lease still counts as held.
    pub fn from_tags(tags: &Tags) -> Option<Lease> {
        let value = tags.get(LEASE)?;
        let read = || {
            let fields = TagFields::parse(LEASE, value)?;
            let owner = fields.text("owner")?.to_owned();
            let at = fields.optional_number("at")?.map(Timestamp);
            let (counter, waits) = (fields.number("counter")?, LeaseWait::read(&fields));
            Ok::<Lease, RecordError>(Lease { owner, counter, at, waits })
        };
        let unread = || Lease { owner: value.clone(), counter: 0, at: None, waits: None };
        Some(read().unwrap_or_else(|_| unread()))
    }
}

/// What an engine that wants the lease has to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// Write its own lease, and believe it once it has been in place for this long.
    Take(Duration),
    /// Look again, until this time at the latest.
    Watch(Timestamp),
    /// End: this owner lives.
    Held(String),
}

/// How old a look may be that judges a lease for the first time.
pub(crate) const FRESH: Duration = Duration::from_secs(1);

/// Whether a look that began at `looked` may judge a lease at `now`. Much may have happened since
/// an older look: for example, another deployment of the same document was rolled out.
pub fn is_fresh(looked: Timestamp, now: Timestamp) -> bool {
    now.since(looked) < FRESH
}

/// What an engine that wants the lease has seen of another engine's lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LeaseWatch {
    first: Option<(Lease, Timestamp)>,
}

impl LeaseWatch {
    /// Judges one look. `is_gone` says whether an owner is known to be dead, which only the owner's
    /// own host can know.
    pub fn judge(
        &mut self,
        found: Option<&Lease>,
        me: &str,
        is_gone: impl Fn(&str) -> bool,
        now: Timestamp,
    ) -> Claim {
        let Some(found) = found else {
            let settle = if self.first.is_some() { SETTLE } else { SETTLE_FREE };
            return Claim::Take(settle);
        };
        if found.owner == me {
            return Claim::Take(SETTLE_FREE);
        }
        if is_gone(&found.owner) {
            return Claim::Take(SETTLE);
        }
        let (first, since) = self.first.get_or_insert_with(|| (found.clone(), now));
        if first != found {
            Claim::Held(found.owner.clone())
        } else if now.since(*since) >= LEASE_DURATION {
            Claim::Take(SETTLE)
        } else {
            Claim::Watch(*since + LEASE_DURATION)
        }
    }
}

#[cfg(test)]
mod tests {
    use rolling_provider::InstanceId;

    use super::*;
    use crate::model::wait::{Wait, WaitKind};

    fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    fn lease(owner: &str, counter: u64) -> Lease {
        Lease { owner: owner.into(), counter, at: Some(at(5)), waits: None }
    }

    #[test]
    fn a_lease_survives_the_way_through_tags_and_a_damaged_one_is_still_held() {
        let mine = lease("host-1/4711.9.ab", 12);
        assert_eq!(Lease::from_tags(&mine.tags()), Some(mine));
        assert_eq!(Lease::from_tags(&Tags::new()), None);
        let damaged = Tags::from([(LEASE.into(), "?".into())]);
        assert_eq!(Lease::from_tags(&damaged), Some(Lease { at: None, ..lease("?", 0) }));
    }

    #[test]
    fn a_lease_names_what_is_waited_for_within_the_length_of_a_tag() {
        let wait = |kind, count: usize, detail: &str| Wait {
            kind,
            instances: (0..count).map(|n| InstanceId::new(format!("i-{n:017}"))).collect(),
            detail: Some(detail.into()),
            deadline: at(75),
        };
        let waits = [wait(WaitKind::Soak, 1, "10s: 1/2"), wait(WaitKind::Gate, 0, "check")];
        let waits_of = |waits: &[Wait]| Some(LeaseWait::of(waits, at(60)));
        let mine = Lease { waits: waits_of(&waits), ..lease("host-1/4711.9.ab", 12) };
        let read = Lease::from_tags(&mine.tags());
        assert_eq!(read.as_ref(), Some(&mine));
        let shown = read.and_then(|lease| lease.waits).expect("waits");
        let shown: Vec<Wait> = shown.iter().map(|it| it.at(at(900), LEASE_DURATION / 6)).collect();
        let deadline = at(910);
        let same = |wait: &Wait| Wait { deadline, ..wait.clone() };
        assert_eq!(shown, waits.iter().map(same).collect::<Vec<_>>());
        // Nothing that is waited for differs from a lease that does not say.
        let none = Lease { waits: Some(Vec::new()), ..lease("a", 1) };
        assert_eq!(Lease::from_tags(&none.tags()), Some(none));

        let many = vec![wait(WaitKind::Termination, 9, &"long ".repeat(50)); 2];
        let host = "h".repeat(120);
        for owner in ["h", host.as_str()] {
            let lease = Lease { waits: waits_of(&many), ..lease(owner, u64::MAX) };
            assert!(lease.tags()[LEASE].len() <= LONGEST, "{:?}", lease.tags());
            let read = Lease::from_tags(&lease.tags()).and_then(|lease| lease.waits);
            let shown =
                read.expect("waits").first().map(|it| it.at(at(0), LEASE_DURATION).to_string());
            let wanted = "i-00000000000000000 and 1 more to be gone (9 in all)";
            assert_eq!(shown.as_deref(), Some(wanted), "{owner}");
        }
    }

    #[test]
    fn a_counter_that_moves_is_held_and_one_that_stands_still_is_taken_over() {
        let mut watch = LeaseWatch::default();
        let mut judge = |found: Lease, now| watch.judge(Some(&found), "me", |_| false, at(now));
        assert_eq!(judge(lease("other", 3), 100), Claim::Watch(at(130)));
        assert_eq!(judge(lease("other", 3), 129), Claim::Watch(at(130)));
        assert_eq!(judge(lease("other", 3), 130), Claim::Take(SETTLE));
        assert_eq!(judge(lease("other", 4), 129), Claim::Held("other".into()));
        assert_eq!(judge(lease("third", 3), 130), Claim::Held("third".into()));
    }

    #[test]
    fn nobodys_lease_ones_own_and_a_dead_neighbours_are_taken_at_once() {
        let judge = |found: Option<&Lease>, gone| {
            LeaseWatch::default().judge(found, "me", |_| gone, at(100))
        };
        assert_eq!(judge(None, false), Claim::Take(SETTLE_FREE));
        assert_eq!(judge(Some(&lease("me", 7)), false), Claim::Take(SETTLE_FREE));
        assert_eq!(judge(Some(&lease("other", 7)), true), Claim::Take(SETTLE));
    }
}
