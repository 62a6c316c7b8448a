//! A record that is written only if it is as the last look showed it: an engine that slept while
//! another took its lease over does nothing more, wherever it was.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rolling::model::event::{Envelope, Event, Outcome};
use rolling::model::spec::{BatchSize, Policy};
use rolling::record::{LEASE, ROLLOUT};
use rolling_provider::{Action, Done, Fleet, ProviderError, Tags};
use rolling_simulator::Simulator;
use rolling_testing::{Wrapper, impl_fleet};

use crate::test_fleets::{GuardedFleet, VersionedRecord};
use crate::world::{fleet, roll, seconds, simulate, spec, thirty_percent};

/// What another engine does while this one sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    Nothing,
    TakesOver,
    TakesOverAndIsDone,
    /// Deletes the object, as a person or a rule of the bucket does; nobody is at work.
    Deletes,
}

/// At mutation number `at` the engine sleeps: for longer than others watch a lease, or for a moment
/// in which somebody deletes the object.
struct Guarded {
    inner: GuardedFleet,
    at: usize,
    other: Other,
    done: Mutex<Vec<Action>>,
}

impl Guarded {
    fn new(inner: Arc<Simulator>, at: usize, other: Other) -> Arc<Self> {
        let inner = GuardedFleet::new(inner, VersionedRecord::default());
        Arc::new(Self { inner, at, other, done: Mutex::default() })
    }

    async fn sleep(&self) {
        let time = if self.other == Other::Deletes { 1 } else { 45 };
        self.inner().clock().sleep(seconds(time)).await;
        match self.other {
            Other::Nothing => {}
            Other::TakesOver => self.inner.record().change(|record| {
                record.insert(LEASE.into(), "v=2 owner=other counter=9".into());
            }),
            Other::TakesOverAndIsDone | Other::Deletes => {
                self.inner.record().change(Tags::clear);
            }
        }
    }
}

#[async_trait]
impl Wrapper for Guarded {
    fn inner(&self) -> &dyn Fleet {
        &self.inner
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        let done = self.inner().act(action).await?;
        self.done.lock().expect("it").push(action.clone());
        if self.done.lock().expect("it").len() == self.at {
            self.sleep().await;
        }
        Ok(done)
    }
}

impl_fleet!(Guarded);

#[tokio::test]
async fn after_a_sleep_at_any_mutation_an_engine_without_its_lease_does_nothing_more() {
    let undisturbed = Guarded::new(simulate(fleet()), usize::MAX, Other::Nothing);
    let run = roll(undisturbed.clone(), spec(thirty_percent())).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report.reason);
    let all = undisturbed.done.lock().expect("it").len();
    assert!(all > 20, "{all}");
    assert!(undisturbed.inner.record().tags().is_empty(), "nothing is left");

    // The last mutation erases the record and the lease.
    for at in 1..all {
        for other in [Other::TakesOver, Other::TakesOverAndIsDone] {
            let guarded = Guarded::new(simulate(fleet()), at, other);
            let run = roll(guarded.clone(), spec(thirty_percent())).await;
            let done = guarded.done.lock().expect("it").clone();
            assert_eq!(done.len(), at, "{other:?} after {at}: {:?}", &done[at..]);
            assert_ne!(run.report.outcome, Outcome::Succeeded, "{other:?} after {at}");
            if other == Other::TakesOver {
                assert_eq!(run.report.outcome, Outcome::Locked, "after {at}");
                let object = guarded.inner.record().tags();
                assert!(
                    object[LEASE].contains("owner=other"),
                    "the other's lease is left alone: {object:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn after_a_sleep_that_nobody_used_a_rollout_goes_on() {
    for at in 1..40 {
        let guarded = Guarded::new(simulate(fleet()), at, Other::Nothing);
        let run = roll(guarded.clone(), spec(thirty_percent())).await;
        assert_eq!(run.report.outcome, Outcome::Succeeded, "{at}: {:?}", run.report.reason);
        let object = guarded.inner.record().tags();
        assert!(!object.contains_key(ROLLOUT) && !object.contains_key(LEASE), "{object:?}");
    }
}

#[tokio::test]
async fn a_record_that_somebody_deletes_is_made_again_and_nothing_stays_borrowed() {
    let policy = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3));
    let mut remade = 0;
    // Before the first lease shows, nothing is begun.
    for at in 2..40 {
        let simulator = simulate(fleet());
        let guarded = Guarded::new(simulator.clone(), at, Other::Deletes);
        let run = roll(guarded.clone(), spec(policy)).await;
        assert_eq!(run.report.outcome, Outcome::Succeeded, "{at}: {:?}", run.report.reason);
        let warned = |event: &Envelope| matches!(&event.event, Event::Warned { .. });
        remade += usize::from(run.events.iter().any(warned));
        let look = simulator.truth().expect("the fleet");
        assert!(look.suspended.is_empty() && look.desired() == 10, "{at}: {look:?}");
        let object = guarded.inner.record().tags();
        assert!(!object.contains_key(ROLLOUT) && !object.contains_key(LEASE), "{at}: {object:?}");
    }
    assert!(remade > 20, "{remade}");
}
