//! What held throughout a rollout, read from the timeline.

use std::time::Duration;

use super::timeline::{SetSize, Timeline, TimelineEntry};

/// Reads the timeline of one workload, from a time on.
#[derive(Clone, Debug)]
pub struct SizeWitness<'a> {
    moments: Vec<&'a TimelineEntry>,
}

impl<'a> SizeWitness<'a> {
    /// Reads the moments of a workload from a time on, and what held when it began.
    pub fn new(timeline: &'a Timeline, namespace: &'a str, name: &'a str, from: Duration) -> Self {
        let all: Vec<&TimelineEntry> = timeline.of(namespace, name).collect();
        let first = all.iter().rposition(|moment| moment.at <= from).unwrap_or(0);
        Self { moments: all[first..].to_vec() }
    }

    /// Returns the least number of ready pods that do not end: what serves.
    pub fn least_ready(&self) -> i64 {
        self.least(|set| set.ready)
    }

    /// Returns the least number of available pods, by the sets' statuses.
    pub fn least_available(&self) -> i64 {
        self.least(|set| set.available)
    }

    /// Returns the most pods at once, without those that end.
    pub fn most_live(&self) -> i64 {
        self.most(|moment| moment.sum(|set| set.live))
    }

    /// Returns the most pods that were asked for at once.
    pub fn most_asked(&self) -> i64 {
        self.most(|moment| moment.sum(|set| set.asked))
    }

    /// Returns the most pods that were asked for of the sets with an image.
    pub fn most_asked_of(&self, image: &str) -> i64 {
        self.most(|moment| {
            let of = moment.sets.iter().filter(|set| set.image == image);
            of.map(|set| set.asked).sum()
        })
    }

    /// Returns the most pods that were asked for of the template.
    pub fn most_asked_of_new(&self) -> i64 {
        self.most(|moment| moment.new_and_old(|set| set.asked).0)
    }

    /// Returns the sizes that were asked for, of an image and of all others, each once.
    pub fn asked(&self, image: &str) -> Vec<(i64, i64)> {
        self.sizes(image, |set| set.asked)
    }

    /// Returns the numbers of pods, of an image and of all others, each once.
    pub fn live(&self, image: &str) -> Vec<(i64, i64)> {
        self.sizes(image, |set| set.live)
    }

    fn sizes(&self, image: &str, number: impl Fn(&SetSize) -> i64) -> Vec<(i64, i64)> {
        let sum = |moment: &TimelineEntry, own: bool| {
            let sets = moment.sets.iter().filter(|set| (set.image == image) == own);
            sets.map(&number).sum::<i64>()
        };
        let mut sizes: Vec<(i64, i64)> =
            self.moments.iter().map(|moment| (sum(moment, true), sum(moment, false))).collect();
        sizes.dedup();
        sizes
    }

    /// Returns the reasons of the condition Progressing, each as it came.
    pub fn reasons(&self) -> Vec<&'a str> {
        let mut reasons: Vec<&str> =
            self.moments.iter().map(|moment| moment.progressing.as_str()).collect();
        reasons.dedup();
        reasons
    }

    fn least(&self, number: impl Fn(&SetSize) -> i64) -> i64 {
        self.moments.iter().map(|moment| moment.sum(&number)).min().unwrap_or(0)
    }

    fn most(&self, number: impl Fn(&TimelineEntry) -> i64) -> i64 {
        self.moments.iter().map(|moment| number(moment)).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_hold_from_the_beginning_on() {
        let set = |image: &str, asked, ready| SetSize {
            name: image.to_owned(),
            image: image.to_owned(),
            current: image == "web:2",
            asked,
            live: asked,
            ready,
            available: ready,
            terminating: 0,
        };
        let mut timeline = Timeline::default();
        let sizes =
            [(1, (0, 0), (2, 0)), (2, (0, 0), (2, 2)), (3, (1, 0), (1, 1)), (4, (2, 2), (0, 0))];
        for (at, new, old) in sizes {
            timeline.note(TimelineEntry {
                at: Duration::from_secs(at),
                workload: ("shop".to_owned(), "web".to_owned()),
                replicas: 2,
                paused: false,
                progressing: String::new(),
                sets: vec![set("web:2", new.0, new.1), set("web:1", old.0, old.1)],
            });
        }
        let witness = SizeWitness::new(&timeline, "shop", "web", Duration::from_millis(2500));
        assert_eq!((witness.least_ready(), witness.least_available()), (1, 1));
        assert_eq!((witness.most_asked(), witness.most_asked_of_new()), (2, 2));
        assert_eq!(witness.asked("web:2"), [(0, 2), (1, 1), (2, 0)]);
        assert_eq!((witness.most_asked_of("web:1"), witness.most_live()), (2, 2));
    }
}
