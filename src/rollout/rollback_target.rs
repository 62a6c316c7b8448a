//! The revision to roll back to once the rollout is over and its record gone. Pure.
//!
//! The state that a front-end keeps says it. Without one, the instances that the fleet has replaced
//! may show it; where they leave a doubt, nothing is begun and the candidates are named.

use std::collections::BTreeMap;

use rolling_provider::{Instance, Revision, TerminatedInstance, Timestamp};

/// A revision that a rollback could go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The revision.
    pub revision: Revision,
    /// What shows it, and when, as a phrase.
    pub shown_by: String,
}

/// Where a rollback goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollbackTarget {
    /// The one revision that is certain.
    Known(Candidate),
    /// The fleet is there already: it runs the revision before the one that the stored state has as
    /// the last.
    Done {
        /// The last revision by the stored state.
        from: Revision,
    },
    /// Nothing is certain; these are candidates.
    Unknown(Vec<Candidate>),
}

/// What is known of a fleet's past.
#[derive(Clone, Debug, Default)]
pub struct Past<'a> {
    /// The last revision that the whole fleet ran, by a stored state.
    pub completed: Option<&'a Revision>,
    /// The one before it, by that state.
    pub previous: Option<&'a Revision>,
    /// The fleet's template.
    pub template: Option<&'a Revision>,
    /// The instances that live.
    pub live: Vec<&'a Instance>,
    /// The instances that were terminated.
    pub terminated: Vec<&'a TerminatedInstance>,
    /// The size of the fleet.
    pub size: usize,
}

impl Past<'_> {
    /// Returns the revision to go back to from `present`, which is never a candidate.
    pub fn rollback_target(&self, present: &Revision) -> RollbackTarget {
        let is_other = |it: &&Revision| *it != present;
        if let Some(from) = self.completed.filter(|_| self.previous == Some(present))
            && from != present
        {
            // The state is from before a rollback: another one would go forward again.
            return RollbackTarget::Done { from: from.clone() };
        }
        if let Some(known) = [self.completed, self.previous].into_iter().flatten().find(is_other) {
            let shown_by = "the stored state".to_owned();
            return RollbackTarget::Known(Candidate { revision: known.clone(), shown_by });
        }
        let replaced = self.replaced(present);
        if let [one] = replaced.as_slice()
            && self.is_certain(&one.revision, present)
        {
            return RollbackTarget::Known(one.clone());
        }
        RollbackTarget::Unknown(self.shown_now(present).chain(replaced).collect())
    }

    /// Returns the other revisions that terminated instances ran, the latest first.
    fn replaced(&self, present: &Revision) -> Vec<Candidate> {
        let mut by_revision: BTreeMap<&Revision, Vec<&TerminatedInstance>> = BTreeMap::new();
        for instance in &self.terminated {
            if let Some(revision) = instance.revision.as_ref().filter(|it| *it != present) {
                by_revision.entry(revision).or_default().push(instance);
            }
        }
        let last = |of: &[&TerminatedInstance]| of.iter().filter_map(|it| it.terminated_at).max();
        let mut found: Vec<_> = by_revision.into_iter().collect();
        found.sort_by_key(|(_, instances)| std::cmp::Reverse(last(instances)));
        let candidate = |(revision, of): (&Revision, Vec<&TerminatedInstance>)| {
            let failed = of.iter().filter(|it| it.failed).count();
            let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
            let until =
                last(&of).map_or_else(String::new, |at| format!(", the last until {}", time(at)));
            let instances = if of.len() == 1 { "instance" } else { "instances" };
            let count = of.len();
            let shown_by = format!("{count} terminated {instances}{until}{failed}");
            Candidate { revision: revision.clone(), shown_by }
        };
        found.into_iter().map(candidate).collect()
    }

    /// Whether the terminated instances prove that the whole fleet ran `candidate` right before
    /// `present`: as many as the fleet has, none of which has failed, and all of them launched
    /// before any of `present`. A rollout that went back has launched its instances after those of
    /// the revision that it went back to.
    fn is_certain(&self, candidate: &Revision, present: &Revision) -> bool {
        let runs = |revision: &Option<Revision>, it| revision.as_ref() == Some(it);
        let ours = || self.terminated.iter().filter(|it| runs(&it.revision, candidate));
        let after = self.live.iter().map(|it| (&it.revision, it.launched_at));
        let gone = self.terminated.iter().map(|it| (&it.revision, it.launched_at));
        let after: Option<Vec<Timestamp>> = after
            .chain(gone.filter(|(revision, _)| runs(revision, present)))
            .map(|(_, launched)| launched)
            .collect();
        let last = ours().map(|it| it.launched_at).collect::<Option<Vec<_>>>();
        let last = last.and_then(|launched| launched.into_iter().max());
        let first = after.and_then(|launched| launched.into_iter().min());
        self.live.iter().all(|it| runs(&it.revision, present))
            && self.terminated.iter().all(|it| it.revision.is_some())
            && ours().count() >= self.size.max(1)
            && ours().all(|it| !it.failed)
            && last.zip(first).is_some_and(|(last, first)| last < first)
    }

    /// Returns the other revisions that the fleet shows now.
    fn shown_now<'a>(&'a self, present: &'a Revision) -> impl Iterator<Item = Candidate> + 'a {
        let mut live: BTreeMap<&Revision, usize> = BTreeMap::new();
        for revision in self.live.iter().filter_map(|it| it.revision.as_ref()) {
            *live.entry(revision).or_default() += 1;
        }
        let live = live.into_iter().filter(move |(revision, _)| *revision != present);
        let live = live.map(|(revision, count)| Candidate {
            revision: revision.clone(),
            shown_by: match count {
                1 => "1 instance runs it".to_owned(),
                count => format!("{count} instances run it"),
            },
        });
        let template = self.template.filter(move |template| *template != present);
        live.chain(template.map(|template| Candidate {
            revision: template.clone(),
            shown_by: "the fleet's template".to_owned(),
        }))
    }
}

fn time(at: Timestamp) -> String {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(at.0);
    humantime::format_rfc3339_seconds(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns terminated instances of a revision, launched and terminated at these seconds.
    fn gone(revision: &str, count: u64, launched: u64, terminated: u64) -> Vec<TerminatedInstance> {
        let one = |number| TerminatedInstance {
            id: format!("i-{revision}-{number}").as_str().into(),
            revision: Some(revision.into()),
            launched_at: Some(Timestamp((launched + number) * 1000)),
            terminated_at: Some(Timestamp((terminated + number) * 1000)),
            failed: false,
        };
        (0..count).map(one).collect()
    }

    /// Returns live instances of a revision, launched at these seconds.
    fn live(revision: &str, count: u64, launched: u64) -> Vec<Instance> {
        let at = |number| Some(Timestamp((launched + number) * 1000));
        let one =
            |n| Instance { launched_at: at(n), ..Instance::serving(Some(revision.into()), []) };
        (0..count).map(one).collect()
    }

    fn rollback_target(live: &[Instance], terminated: &[TerminatedInstance]) -> RollbackTarget {
        let (live, terminated) = (live.iter().collect(), terminated.iter().collect());
        Past { live, terminated, size: 3, ..Past::default() }.rollback_target(&"v2".into())
    }

    fn to(revision: &str, shown_by: &str) -> Candidate {
        Candidate { revision: revision.into(), shown_by: shown_by.into() }
    }

    #[test]
    fn a_rollback_by_the_same_state_once_more_does_not_go_forward_again() {
        let (two, three): (Revision, Revision) = ("v2".into(), "v3".into());
        let past = Past { completed: Some(&three), previous: Some(&two), ..Past::default() };
        assert_eq!(past.rollback_target(&two), RollbackTarget::Done { from: three.clone() });
        assert!(
            matches!(past.rollback_target(&three), RollbackTarget::Known(to) if to.revision == two)
        );
        assert!(
            matches!(past.rollback_target(&"v4".into()), RollbackTarget::Known(to) if to.revision == three)
        );
    }

    #[test]
    fn a_state_that_was_kept_says_it_unless_it_names_what_runs() {
        let (one, two, three): (Revision, Revision, Revision) =
            ("v1".into(), "v2".into(), "v3".into());
        for (completed, previous, wanted) in [
            (Some(&two), Some(&one), Some("v1")),
            // Somebody has rolled since the state was kept.
            (Some(&one), None, Some("v1")),
            (Some(&three), Some(&one), Some("v3")),
            (Some(&three), None, Some("v3")),
            (Some(&two), Some(&two), None),
            (Some(&two), None, None),
        ] {
            let found = Past { completed, previous, ..Past::default() }.rollback_target(&two);
            let wanted = wanted.map(|it| to(it, "the stored state"));
            assert_eq!(
                found,
                wanted.map_or(RollbackTarget::Unknown(Vec::new()), RollbackTarget::Known)
            );
        }
    }

    #[test]
    fn a_whole_fleet_that_was_replaced_once_says_it_with_the_time() {
        let found = rollback_target(&live("v2", 3, 500), &gone("v1", 3, 10, 600));
        let shown_by = "3 terminated instances, the last until 1970-01-01T00:10:02Z";
        assert_eq!(found, RollbackTarget::Known(to("v1", shown_by)));
    }

    #[test]
    fn whatever_leaves_a_doubt_only_names_candidates() {
        let now = live("v2", 3, 500);
        let failed = TerminatedInstance { failed: true, ..gone("v1", 1, 10, 600).remove(0) };
        let undated = TerminatedInstance { launched_at: None, ..gone("v1", 1, 10, 600).remove(0) };
        let unknown = TerminatedInstance { revision: None, ..gone("v1", 1, 10, 600).remove(0) };
        let with = |mut all: Vec<TerminatedInstance>, more: TerminatedInstance| {
            all.push(more);
            all
        };
        for (why, terminated, candidates) in [
            ("fewer than the fleet has", gone("v1", 2, 10, 600), vec!["v1"]),
            (
                "two revisions",
                [gone("v0", 3, 1, 300), gone("v1", 3, 10, 600)].concat(),
                vec!["v1", "v0"],
            ),
            // v2, then v1, then v2 again: v1 may never have been whole.
            ("a rollback", [gone("v2", 3, 1, 300), gone("v1", 3, 350, 600)].concat(), vec!["v1"]),
            ("a failed one", with(gone("v1", 3, 10, 600), failed), vec!["v1"]),
            ("a launch without a time", with(gone("v1", 3, 10, 600), undated), vec!["v1"]),
            ("an unknown revision", with(gone("v1", 3, 10, 600), unknown), vec!["v1"]),
            ("nothing", Vec::new(), vec![]),
        ] {
            let RollbackTarget::Unknown(found) = rollback_target(&now, &terminated) else {
                panic!("{why}")
            };
            let found: Vec<&str> = found.iter().map(|it| it.revision.as_str()).collect();
            assert_eq!(found, candidates, "{why}");
        }
        let mixed = [live("v2", 2, 500), live("v1", 1, 10)].concat();
        let RollbackTarget::Unknown(found) = rollback_target(&mixed, &gone("v1", 3, 10, 600))
        else {
            panic!("a mixed fleet");
        };
        assert_eq!(found[0], to("v1", "1 instance runs it"));
    }
}
