//! How the sets of pods of each workload changed.

use std::time::Duration;

/// The pods of one revision of a workload: of a ReplicaSet, or of a revision of a StatefulSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetSize {
    /// The name of the ReplicaSet or of the ControllerRevision.
    pub name: String,
    /// The image of the first container.
    pub image: String,
    /// Whether the workload's template is this one.
    pub current: bool,
    /// How many pods are asked for.
    pub asked: i64,
    /// How many there are, without those that end.
    pub live: i64,
    /// How many of those are ready.
    pub ready: i64,
    /// How many the status says are available.
    pub available: i64,
    /// How many end.
    pub terminating: i64,
}

/// The sets of a workload at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineEntry {
    /// When.
    pub at: Duration,
    /// The namespace and the name of the workload.
    pub workload: (String, String),
    /// How many replicas it asks for.
    pub replicas: i64,
    /// Whether it is paused.
    pub paused: bool,
    /// The reason of its condition Progressing, or the empty text.
    pub progressing: String,
    /// Its sets, by name.
    pub sets: Vec<SetSize>,
}

impl TimelineEntry {
    /// Returns the sum of a number over the sets.
    pub fn sum(&self, number: impl Fn(&SetSize) -> i64) -> i64 {
        self.sets.iter().map(number).sum()
    }

    /// Returns the sum of a number over the sets of the current template, and over the others.
    pub fn new_and_old(&self, number: impl Fn(&SetSize) -> i64) -> (i64, i64) {
        let of = |current: bool| {
            self.sets.iter().filter(|set| set.current == current).map(&number).sum::<i64>()
        };
        (of(true), of(false))
    }
}

/// The moments at which something differed from the moment before.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    moments: Vec<TimelineEntry>,
}

impl Timeline {
    /// Keeps a moment, unless it is as the last one of its workload.
    pub fn note(&mut self, moment: TimelineEntry) {
        let last = self.last_of(&moment.workload.0, &moment.workload.1);
        let same = last.is_some_and(|last| {
            last.sets == moment.sets
                && last.replicas == moment.replicas
                && last.paused == moment.paused
                && last.progressing == moment.progressing
        });
        if !same {
            self.moments.push(moment);
        }
    }

    /// Returns the last moment of a workload.
    pub fn last_of(&self, namespace: &str, name: &str) -> Option<&TimelineEntry> {
        let is =
            |moment: &&TimelineEntry| moment.workload.1 == name && moment.workload.0 == namespace;
        self.moments.iter().rev().find(is)
    }

    /// Returns the moments of a workload, in order.
    pub fn of<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> impl Iterator<Item = &'a TimelineEntry> {
        let is = move |moment: &&TimelineEntry| {
            moment.workload.0 == namespace && moment.workload.1 == name
        };
        self.moments.iter().filter(is)
    }

    /// Returns all moments, in order.
    pub fn moments(&self) -> &[TimelineEntry] {
        &self.moments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_kept() {
        let set = |asked, current| SetSize {
            name: "web-1".to_owned(),
            image: "web:1".to_owned(),
            current,
            asked,
            live: 0,
            ready: 0,
            available: 0,
            terminating: 0,
        };
        let moment = |at, asked| TimelineEntry {
            at: Duration::from_secs(at),
            workload: ("shop".to_owned(), "web".to_owned()),
            replicas: 3,
            paused: false,
            progressing: String::new(),
            sets: vec![set(asked, true), set(1, false)],
        };
        let mut timeline = Timeline::default();
        timeline.note(moment(1, 1));
        timeline.note(moment(2, 1));
        timeline.note(moment(3, 2));
        let asked = |moment: &TimelineEntry| moment.new_and_old(|set| set.asked);
        let found: Vec<_> = timeline.of("shop", "web").map(asked).collect();
        assert_eq!(found, [(1, 1), (2, 1)]);
        assert_eq!(timeline.moments()[1].sum(|set| set.asked), 3);
    }
}
