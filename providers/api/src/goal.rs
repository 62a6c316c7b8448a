//! What every instance of a fleet is to be.

use crate::{Instance, Revision, Timestamp};

/// Where a rollout leads: the revision, and whether instances that run it already are replaced all
/// the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Goal {
    /// The revision that every instance is to run.
    pub revision: Revision,
    /// Which instances are old although they run it; `None` for none.
    pub restart: Option<Restart>,
}

/// A restart: instances launched before a time are old, whatever they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Restart {
    /// The time that somebody has given.
    pub before: Timestamp,
    /// The time that launches are compared with: the one that was given, or the last launch that
    /// was known when the rollout began, where that is earlier. So instances that are launched after
    /// the start never count as old, also where the cloud's clock is behind.
    pub since: Timestamp,
}

impl Restart {
    /// Returns a restart of everything launched before this time.
    pub fn before(before: Timestamp) -> Self {
        Self { before, since: before }
    }
}

impl Goal {
    /// Returns the goal that every instance runs `revision`, whenever it was launched.
    pub fn of(revision: Revision) -> Self {
        Self { revision, restart: None }
    }

    /// Whether `instance` is as wanted.
    pub fn is_met_by(&self, instance: &Instance) -> bool {
        is_met(&self.revision, self.restart, instance)
    }

    /// Whether `other` asks for the same.
    pub fn is(&self, other: &Goal) -> bool {
        let before = |goal: &Goal| goal.restart.map(|restart| restart.before);
        self.revision == other.revision && before(self) == before(other)
    }
}

/// Whether `instance` runs `revision` and was launched since the restart. The one rule that says
/// which instances are up to date.
///
/// A launch time that is not read yet is of an instance that was launched a moment ago.
pub(crate) fn is_met(revision: &Revision, restart: Option<Restart>, instance: &Instance) -> bool {
    let is_since = |restart: Restart| instance.launched_at.is_none_or(|at| at >= restart.since);
    instance.revision.as_ref() == Some(revision) && restart.is_none_or(is_since)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(revision: Option<&str>, launched_at: Option<u64>) -> Instance {
        let launched_at = launched_at.map(Timestamp);
        Instance { launched_at, ..Instance::serving(revision.map(Revision::from), []) }
    }

    #[test]
    fn an_instance_is_up_to_date_if_it_runs_the_revision_and_was_launched_since_the_restart() {
        let always = Goal::of("v2".into());
        let restart = Goal { restart: Some(Restart::before(Timestamp(100))), ..always.clone() };
        let early = Restart { before: Timestamp(100), since: Timestamp(90) };
        let begun = Goal { restart: Some(early), ..always.clone() };
        for (revision, launched_at, is_met) in [
            (Some("v2"), Some(0), [true, false, false]),
            (Some("v2"), Some(89), [true, false, false]),
            (Some("v2"), Some(90), [true, false, true]),
            (Some("v2"), Some(99), [true, false, true]),
            (Some("v2"), Some(100), [true, true, true]),
            (Some("v2"), None, [true, true, true]),
            (Some("v1"), Some(100), [false, false, false]),
            (None, Some(100), [false, false, false]),
        ] {
            let instance = instance(revision, launched_at);
            let found = [&always, &restart, &begun].map(|goal| goal.is_met_by(&instance));
            assert_eq!(found, is_met, "{revision:?} {launched_at:?}");
        }
        assert!(begun.is(&restart) && !begun.is(&always));
        let later = Goal { restart: Some(Restart::before(Timestamp(101))), ..always };
        assert!(!later.is(&restart));
    }
}
