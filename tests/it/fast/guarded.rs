//! A record that is written only where it is as it was last seen: an engine that slept while
//! another took its lease over does nothing more, whatever it was at.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rolling::event::Outcome;
use rolling::record::{LEASE, ROLLOUT};
use rolling_provider::{
    Action, Activity, Alarm, Clock, Done, Effect, ErrorKind, Fleet, Observation, ProviderError,
    Tags, Target, Timestamp,
};
use rolling_simulator::Simulator;

use crate::world::{fleet, roll, seconds, simulate, spec, thirty_percent};

/// What another engine does while this one sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    Nothing,
    TakesOver,
    TakesOverAndIsDone,
}

/// A simulator whose record is kept beside it, under a number that every write raises. At its `at`th
/// mutation the engine falls asleep for longer than anybody watches a lease.
struct Guarded {
    inner: Arc<Simulator>,
    at: usize,
    other: Other,
    kept: Mutex<(Tags, u64)>,
    seen: Mutex<(Tags, u64)>,
    done: Mutex<Vec<Action>>,
}

impl Guarded {
    fn new(inner: Arc<Simulator>, at: usize, other: Other) -> Arc<Self> {
        let (kept, seen, done) = Default::default();
        Arc::new(Self { inner, at, other, kept, seen, done })
    }

    fn write(&self, change: impl FnOnce(&mut Tags)) -> Result<(), ProviderError> {
        let (mut kept, mut seen) = (self.kept.lock().expect("it"), self.seen.lock().expect("it"));
        if kept.1 != seen.1 {
            return Err(ProviderError {
                operation: "Write".into(),
                kind: ErrorKind::Transient,
                effect: Effect::NotApplied,
                code: None,
                message: "it has changed".into(),
                attribute: None,
                remedy: None,
            });
        }
        change(&mut kept.0);
        kept.1 += 1;
        *seen = kept.clone();
        Ok(())
    }

    async fn sleep(&self) {
        self.inner.clock().sleep(seconds(45)).await;
        let mut kept = self.kept.lock().expect("it");
        match self.other {
            Other::Nothing => {}
            Other::TakesOver => {
                kept.0.insert(LEASE.into(), "v=1 owner=other counter=9".into());
                kept.1 += 1;
            }
            Other::TakesOverAndIsDone => *kept = (Tags::new(), kept.1 + 9),
        }
    }
}

#[async_trait]
impl Fleet for Guarded {
    async fn resolve(&self) -> Result<Target, ProviderError> {
        self.inner.resolve().await
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let look = self.inner.observe().await?;
        let kept = self.kept.lock().expect("it").clone();
        *self.seen.lock().expect("it") = kept.clone();
        Ok(Observation { record: kept.0, ..look })
    }

    async fn alarms(&self, names: &BTreeSet<String>) -> Result<Vec<Alarm>, ProviderError> {
        self.inner.alarms(names).await
    }

    async fn activities(&self, since: Timestamp) -> Result<Vec<Activity>, ProviderError> {
        self.inner.activities(since).await
    }

    fn guards_record(&self) -> bool {
        true
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        let mut done = Done::default();
        match action {
            Action::WriteRecord { tags } => {
                self.write(|kept| kept.extend(tags.clone()))?;
            }
            Action::EraseRecord { keys } => {
                self.write(|kept| kept.retain(|key, _| !keys.contains(key)))?;
            }
            other => {
                done = self.inner.act(other).await?;
            }
        }
        self.done.lock().expect("it").push(action.clone());
        if self.done.lock().expect("it").len() == self.at {
            self.sleep().await;
        }
        Ok(done)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }
}

#[tokio::test]
async fn after_a_sleep_at_any_mutation_an_engine_without_its_lease_does_nothing_more() {
    let undisturbed = Guarded::new(simulate(fleet()), usize::MAX, Other::Nothing);
    let told = roll(undisturbed.clone(), spec(thirty_percent())).await;
    assert_eq!(told.report.outcome, Outcome::Succeeded, "{:?}", told.report.reason);
    let all = undisturbed.done.lock().expect("it").len();
    assert!(all > 20, "{all}");
    assert!(undisturbed.kept.lock().expect("it").0.is_empty(), "nothing is left");

    // The last one erases the record, lease and all.
    for at in 1..all {
        for other in [Other::TakesOver, Other::TakesOverAndIsDone] {
            let guarded = Guarded::new(simulate(fleet()), at, other);
            let told = roll(guarded.clone(), spec(thirty_percent())).await;
            let done = guarded.done.lock().expect("it").clone();
            assert_eq!(done.len(), at, "{other:?} after {at}: {:?}", &done[at..]);
            assert_ne!(told.report.outcome, Outcome::Succeeded, "{other:?} after {at}");
            if other == Other::TakesOver {
                assert_eq!(told.report.outcome, Outcome::Locked, "after {at}");
                let kept = guarded.kept.lock().expect("it");
                assert!(kept.0[LEASE].contains("owner=other"), "it is left alone: {kept:?}");
            }
        }
    }
}

#[tokio::test]
async fn after_a_sleep_that_nobody_used_a_rollout_goes_on() {
    for at in 1..40 {
        let guarded = Guarded::new(simulate(fleet()), at, Other::Nothing);
        let told = roll(guarded.clone(), spec(thirty_percent())).await;
        assert_eq!(told.report.outcome, Outcome::Succeeded, "{at}: {:?}", told.report.reason);
        let kept = guarded.kept.lock().expect("it");
        assert!(!kept.0.contains_key(ROLLOUT) && !kept.0.contains_key(LEASE), "{kept:?}");
    }
}
