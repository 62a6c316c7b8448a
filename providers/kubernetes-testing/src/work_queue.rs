//! The work queues of the controllers (`k8s.io/client-go/util/workqueue`), in virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::object_store::Key;

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkItem {
    /// A controller looks at one object: a Deployment, a ReplicaSet, a StatefulSet.
    Sync(Key),
    /// A step of a pod: its key, its UID and which one.
    Pod(Key, String, PodStep),
    /// What has no owner any more is deleted.
    Collect,
    /// The intervention of a number.
    Intervene(usize),
}

/// The steps of a pod's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PodStep {
    /// The scheduler looks for a node.
    Schedule,
    /// Its node takes it up.
    Start,
    /// The image is pulled again.
    Pull,
    /// The image could not be pulled; the kubelet waits.
    BackOff,
    /// Its containers run.
    Run,
    /// It becomes ready.
    Ready,
    /// It is ready no longer.
    Unready,
    /// A probe fails.
    Probe,
    /// Its readiness gates are looked at.
    Gates,
    /// A container ends.
    Exit,
    /// Its containers are told to end.
    Terminate,
    /// It is gone.
    Remove,
}

/// Tasks by their time.
///
/// A task that is queued is not queued twice; of two later times for one task the earlier holds
/// (`delaying_queue.go`); a task that failed comes again after 5 ms, doubled each time
/// (`default_rate_limiters.go`).
#[derive(Clone, Debug, Default)]
pub struct WorkQueue {
    due: BTreeMap<(Duration, u64), WorkItem>,
    soon: BTreeMap<WorkItem, (Duration, u64)>,
    later: BTreeMap<WorkItem, (Duration, u64)>,
    failures: BTreeMap<WorkItem, u32>,
    sequence: u64,
}

/// The longest pause of a task that fails.
const LONGEST: Duration = Duration::from_secs(1000);

impl WorkQueue {
    /// Queues a task for a time very soon, unless it is queued.
    pub fn add(&mut self, task: WorkItem, at: Duration) {
        if !self.soon.contains_key(&task) {
            let place = self.place(at);
            self.soon.insert(task.clone(), place);
            self.due.insert(place, task);
        }
    }

    /// Queues a task for a later time, or leaves it at an earlier one.
    pub fn add_later(&mut self, task: WorkItem, at: Duration) {
        if let Some(place) = self.later.get(&task) {
            if place.0 <= at {
                return;
            }
            self.due.remove(place);
        }
        let place = self.place(at);
        self.later.insert(task.clone(), place);
        self.due.insert(place, task);
    }

    /// Queues a task that failed, after its pause.
    pub fn add_rate_limited(&mut self, task: WorkItem, now: Duration) {
        let failures = self.failures.entry(task.clone()).or_default();
        let pause = Duration::from_millis(5).saturating_mul(2_u32.saturating_pow(*failures));
        *failures += 1;
        self.add_later(task, now + pause.min(LONGEST));
    }

    /// Forgets the failures of a task that went well.
    pub fn forget(&mut self, task: &WorkItem) {
        self.failures.remove(task);
    }

    /// Returns when the next task is due.
    pub fn next(&self) -> Option<Duration> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// Takes the next task that is due by a time.
    pub fn pop(&mut self, until: Duration) -> Option<(Duration, WorkItem)> {
        let place = *self.due.keys().next().filter(|(at, _)| *at <= until)?;
        let task = self.due.remove(&place)?;
        for waiting in [&mut self.soon, &mut self.later] {
            if waiting.get(&task) == Some(&place) {
                waiting.remove(&task);
            }
        }
        Some((place.0, task))
    }

    fn place(&mut self, at: Duration) -> (Duration, u64) {
        self.sequence += 1;
        (at, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_task_is_queued_once_soon_and_once_later() {
        let mut queue = WorkQueue::default();
        queue.add(WorkItem::Collect, at(20));
        queue.add(WorkItem::Collect, at(10));
        queue.add_later(WorkItem::Collect, at(500));
        queue.add_later(WorkItem::Collect, at(900));
        queue.add_later(WorkItem::Collect, at(400));
        let times: Vec<Duration> =
            std::iter::from_fn(|| queue.pop(at(1000))).map(|due| due.0).collect();
        assert_eq!(times, [at(20), at(400)]);
    }

    #[test]
    fn a_task_that_fails_comes_less_and_less_often() {
        let mut queue = WorkQueue::default();
        let mut now = Duration::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..4 {
            queue.add_rate_limited(WorkItem::Collect, now);
            let (due, _) = queue.pop(Duration::MAX).expect("a task");
            pauses.push((due - now).as_millis());
            now = due;
        }
        assert_eq!(pauses, [5, 10, 20, 40]);
        queue.forget(&WorkItem::Collect);
        queue.add_rate_limited(WorkItem::Collect, now);
        assert_eq!(queue.next(), Some(now + at(5)));
    }
}
