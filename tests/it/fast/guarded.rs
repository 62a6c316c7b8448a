//! A record that is written only where it is as it was last seen: an engine that slept while
//! another took its lease over does nothing more, whatever it was at.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rolling::model::event::{Envelope, Event, Outcome};
use rolling::model::spec::{BatchSize, Policy};
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
    /// Nobody is at work: a person, or a rule of the bucket, deletes the object.
    Deletes,
}

/// A record that is kept beside a fleet, under a number that every write raises.
#[derive(Clone, Default)]
pub struct Object(Arc<Mutex<(Tags, u64)>>);

impl Object {
    pub fn tags(&self) -> Tags {
        self.0.lock().expect("it").0.clone()
    }

    /// What somebody does to it who asks for no number.
    pub fn change(&self, change: impl FnOnce(&mut Tags)) {
        let mut object = self.0.lock().expect("it");
        change(&mut object.0);
        object.1 += 1;
    }
}

/// One engine's view of a simulator whose record is kept in an object: it writes only over what it has
/// seen.
pub struct GuardedFleet {
    inner: Arc<Simulator>,
    object: Object,
    seen: Mutex<(Tags, u64)>,
}

impl GuardedFleet {
    pub fn new(inner: Arc<Simulator>, object: Object) -> Self {
        Self { inner, object, seen: Mutex::default() }
    }

    fn write(&self, change: impl FnOnce(&mut Tags)) -> Result<(), ProviderError> {
        let (mut object, mut seen) =
            (self.object.0.lock().expect("it"), self.seen.lock().expect("it"));
        if object.1 != seen.1 {
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
        change(&mut object.0);
        object.1 += 1;
        *seen = object.clone();
        Ok(())
    }
}

#[async_trait]
impl Fleet for GuardedFleet {
    async fn resolve(&self) -> Result<Target, ProviderError> {
        self.inner.resolve().await
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let look = self.inner.observe().await?;
        let object = self.object.0.lock().expect("it").clone();
        *self.seen.lock().expect("it") = object.clone();
        Ok(Observation { record: object.0, ..look })
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
        match action {
            Action::WriteRecord { tags } => self.write(|object| object.extend(tags.clone()))?,
            Action::EraseRecord { keys } => {
                self.write(|object| object.retain(|key, _| !keys.contains(key)))?;
            }
            other => return self.inner.act(other).await,
        }
        Ok(Done::default())
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }
}

/// At its `at`th mutation the engine falls asleep for longer than anybody watches a lease, or for a
/// moment in which somebody deletes the object.
struct Guarded {
    inner: GuardedFleet,
    at: usize,
    other: Other,
    done: Mutex<Vec<Action>>,
}

impl Guarded {
    fn new(inner: Arc<Simulator>, at: usize, other: Other) -> Arc<Self> {
        let inner = GuardedFleet::new(inner, Object::default());
        Arc::new(Self { inner, at, other, done: Mutex::default() })
    }

    async fn sleep(&self) {
        let time = if self.other == Other::Deletes { 1 } else { 45 };
        self.inner.clock().sleep(seconds(time)).await;
        match self.other {
            Other::Nothing => {}
            Other::TakesOver => self.inner.object.change(|object| {
                object.insert(LEASE.into(), "v=2 owner=other counter=9".into());
            }),
            Other::TakesOverAndIsDone | Other::Deletes => {
                self.inner.object.change(Tags::clear);
            }
        }
    }
}

#[async_trait]
impl Fleet for Guarded {
    async fn resolve(&self) -> Result<Target, ProviderError> {
        self.inner.resolve().await
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        self.inner.observe().await
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
        let done = self.inner.act(action).await?;
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
    assert!(undisturbed.inner.object.tags().is_empty(), "nothing is left");

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
                let object = guarded.inner.object.tags();
                assert!(object[LEASE].contains("owner=other"), "it is left alone: {object:?}");
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
        let object = guarded.inner.object.tags();
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
        let told = roll(guarded.clone(), spec(policy)).await;
        assert_eq!(told.report.outcome, Outcome::Succeeded, "{at}: {:?}", told.report.reason);
        let warned = |event: &Envelope| matches!(&event.event, Event::Warned { .. });
        remade += usize::from(told.events.iter().any(warned));
        let look = simulator.truth().expect("the fleet");
        assert!(look.suspended.is_empty() && look.desired() == 10, "{at}: {look:?}");
        let object = guarded.inner.object.tags();
        assert!(!object.contains_key(ROLLOUT) && !object.contains_key(LEASE), "{at}: {object:?}");
    }
    assert!(remade > 20, "{remade}");
}
