//! A cloud that throttles, loses answers, or does not answer at all.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rolling::engine::Stop;
use rolling::model::event::{Event, Outcome};
use rolling::model::spec::{BatchSize, OnFailure, Policy, RollingDeployment};
use rolling_provider::{
    Action, Done, Effect, ErrorKind, Fleet, Observation, ProviderError, Target,
};
use rolling_simulator::{FleetConfig, Intervention, Simulator};
use rolling_testing::{Wrapper, impl_fleet};

use crate::test_fleets::Flaky;
use crate::world::{
    Run, fleet, roll, roll_until, seconds, simulate, simulate_and_stop, spec, thirty_percent,
};

/// A simulator under load: every call waits in a queue.
struct Crowded {
    inner: Arc<Simulator>,
    wait: Duration,
    /// How many of the first calls fail.
    fail: u32,
    /// Whether the first try of every action fails, and if so whether it takes effect.
    first_fails: Option<bool>,
    calls: AtomicU32,
    tried: Mutex<BTreeSet<String>>,
}

impl Crowded {
    async fn queue(&self, fault: Option<ErrorKind>) -> Result<(), ProviderError> {
        self.inner.clock().sleep(self.wait).await;
        let fails = self.calls.fetch_add(1, Ordering::Relaxed) < self.fail;
        match fault.or(fails.then_some(ErrorKind::Transient)) {
            Some(kind) => Err(ProviderError {
                operation: "Call".into(),
                kind,
                effect: match kind {
                    ErrorKind::Throttled => Effect::NotApplied,
                    _ => Effect::Unknown,
                },
                code: None,
                message: "too many at once".into(),
                attribute: None,
                remedy: None,
            }),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Wrapper for Crowded {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn resolve(&self) -> Result<Target, ProviderError> {
        self.queue(None).await?;
        self.inner.resolve().await
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        self.queue(None).await?;
        self.inner.observe().await
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        let is_first = self.tried.lock().expect("tries").insert(format!("{action:?}"));
        let fails = self.first_fails.filter(|_| is_first);
        if fails == Some(true) {
            self.inner.act(action).await?;
        }
        // A call that was not carried out was throttled; of one that was, the answer was lost.
        let kind = |done| if done { ErrorKind::Transient } else { ErrorKind::Throttled };
        self.queue(fails.map(kind)).await?;
        self.inner.act(action).await
    }
}

impl_fleet!(Crowded);

/// Rolls ten instances where every call takes `wait`.
async fn roll_in_a_crowd(
    config: FleetConfig,
    wait: Duration,
    fail: u32,
    first_fails: Option<bool>,
) -> Run {
    let simulator = simulate(config);
    let (inner, calls, tried) = (simulator.clone(), AtomicU32::new(0), Mutex::default());
    let crowded = Crowded { inner, wait, fail, first_fails, calls, tried };
    let mut spec = spec(Policy::Rolling(BatchSize::Fixed(1)));
    spec.health.healthy_timeout = seconds(3600);
    let run = roll(Arc::new(crowded), spec).await;
    assert_done(&run, &simulator).await;
    run
}

#[tokio::test]
async fn a_first_call_that_fails_after_a_long_wait_for_its_turn_is_tried_again() {
    roll_in_a_crowd(fleet(), seconds(10), 2, None).await;
}

#[tokio::test]
async fn failures_do_not_add_up_across_calls_that_succeed() {
    let run = roll_in_a_crowd(fleet(), seconds(5), 0, Some(false)).await;
    assert!(run.report.elapsed_ms > 600_000, "{}", run.report.elapsed_ms);
}

#[tokio::test]
async fn failures_of_long_ago_do_not_use_up_the_retry_budget_of_later_calls() {
    let mut config = fleet();
    config.target_groups[0].drain = seconds(400);
    roll_in_a_crowd(config, seconds(1), 0, Some(true)).await;
}

#[tokio::test]
async fn an_engine_still_acts_where_every_call_waits_as_long_as_a_lease_is_believed() {
    roll_in_a_crowd(fleet(), seconds(25), 0, None).await;
}

async fn assert_done(run: &Run, simulator: &Simulator) {
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    let newest = run.report.instances.iter().map(|instance| instance.id.as_str()).max();
    assert_eq!(newest, Some("i-0020"), "ten old ones, ten launches");
    let look = simulator.observe().await.expect("observe");
    assert!(look.suspended.is_empty() && look.record.is_empty(), "{look:?}");
    assert_eq!((look.desired(), look.max()), (10, 10));
}

#[tokio::test]
async fn faults_at_any_call_change_nothing_about_the_outcome_and_launch_nothing_twice() {
    for every in 2..12 {
        for policy in [thirty_percent(), Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3))] {
            let simulator = simulate(fleet());
            let flaky = Flaky::new(simulator.clone(), 0..0, every);
            let run = roll(flaky, spec(policy)).await;
            assert_done(&run, &simulator).await;
        }
    }
}

#[tokio::test]
async fn a_cloud_that_does_not_answer_for_a_minute_is_waited_for() {
    let simulator = simulate(fleet());
    let run = roll(Flaky::new(simulator.clone(), 50..110, 0), spec(thirty_percent())).await;
    assert_done(&run, &simulator).await;
}

#[tokio::test]
async fn a_stop_while_the_cloud_does_not_answer_ends_in_time_and_reports_what_is_borrowed() {
    let (simulator, stop) = simulate_and_stop(fleet(), Stop::Gracefully, seconds(60));
    let flaky = Flaky::new(simulator.clone(), 50..10_000, 0);
    let run = roll_until(flaky, spec(thirty_percent()), stop).await;
    assert_ne!(run.report.outcome, Outcome::Succeeded);
    assert!(run.report.elapsed_ms < 95_000, "{}", run.report.elapsed_ms);
    let left = run.report.borrowed.join("; ");
    assert!(left.contains("suspended processes: AZRebalance"), "{left}");
    assert!(left.contains("the template is v2, it was v1"), "{left}");
    // Once the cloud is back, the next run finishes.
    let run = roll(simulator.clone(), spec(thirty_percent())).await;
    assert_done(&run, &simulator).await;
}

/// With the policy immutable many instances are removed again, each by a call that takes 2 s.
#[tokio::test]
async fn a_stop_is_bounded_although_every_call_takes_its_time() {
    let mut config = FleetConfig { instances: 40, ..fleet() };
    config.target_groups[0].drain = seconds(5);
    let (inner, stop) = simulate_and_stop(config, Stop::Gracefully, seconds(90));
    let (simulator, calls, tried) = (inner.clone(), AtomicU32::new(0), Mutex::default());
    let crowded = Crowded { inner, wait: seconds(2), fail: 0, first_fails: None, calls, tried };
    let mut wanted = spec(Policy::Immutable);
    wanted.health.healthy_timeout = seconds(3600);
    let run = roll_until(Arc::new(crowded), wanted.clone(), stop).await;
    assert_eq!(run.report.outcome, Outcome::Aborted, "{:?}", run.report);
    // 40 s of waiting, 20 s for what is left, and the calls that were under way.
    assert!(run.report.elapsed_ms < 160_000, "{}", run.report.elapsed_ms);
    let halting = run.events.iter().find_map(|envelope| match &envelope.event {
        Event::Halting { until, .. } => until.map(|until| until.since(envelope.at)),
        _ => None,
    });
    assert_eq!(halting, Some(seconds(40)), "the stop is reported at once");
    let run = roll(simulator.clone(), wanted).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
}

/// Terminates, once, the instance that the engine is about to remove without a replacement.
struct Hasty {
    inner: Arc<Simulator>,
    done: Mutex<bool>,
}

#[async_trait]
impl Wrapper for Hasty {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        if let Action::Terminate { instance, decrement: true } = action
            && !std::mem::replace(&mut *self.done.lock().expect("it"), true)
        {
            self.inner.intervene(Intervention::Terminate(instance.clone()))?;
        }
        self.inner.act(action).await
    }
}

impl_fleet!(Hasty);

#[tokio::test]
async fn a_removal_of_an_instance_that_is_gone_does_not_lower_the_size() {
    for policy in [Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3)), Policy::Immutable] {
        let simulator = simulate(fleet());
        let hasty = Hasty { inner: simulator.clone(), done: Mutex::new(false) };
        let run = roll(Arc::new(hasty), spec(policy)).await;
        assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
        let look = simulator.observe().await.expect("observe");
        assert_eq!((look.desired(), look.max()), (10, 10), "{policy:?}");
    }
}

/// Refuses to terminate instances of `v1` once a number of them is gone.
struct Refusing {
    inner: Arc<Simulator>,
    passes: AtomicU32,
}

#[async_trait]
impl Wrapper for Refusing {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        let look = self.inner.truth()?;
        let is_old = |id| look.instances[id].revision.as_ref().is_some_and(|r| r.as_str() == "v1");
        if let Action::Terminate { instance, .. } = action
            && is_old(instance)
            && self.passes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                == Err(0)
        {
            let error = ProviderError::invalid("Terminate", "", "it may not be terminated");
            return Err(ProviderError { kind: ErrorKind::Refused, attribute: None, ..error });
        }
        self.inner.act(action).await
    }
}

impl_fleet!(Refusing);

#[tokio::test]
async fn a_refusal_half_way_ends_as_the_document_says() {
    for (passes, on_failure, outcome, old) in [
        (0, OnFailure::Rollback, Outcome::Failed, 10),
        (4, OnFailure::Rollback, Outcome::RolledBack, 10),
        (4, OnFailure::Stop, Outcome::Failed, 6),
        (4, OnFailure::Pause, Outcome::Paused, 6),
    ] {
        let simulator = simulate(fleet());
        let refusing = Refusing { inner: simulator.clone(), passes: AtomicU32::new(passes) };
        let deploy = RollingDeployment { on_failure, ..spec(Policy::Rolling(BatchSize::Fixed(2))) };
        let run = roll(Arc::new(refusing), deploy).await;
        assert_eq!(run.report.outcome, outcome, "{passes} {on_failure:?}: {:?}", run.report);
        let reason = run.report.reason.as_deref().unwrap_or_default();
        assert!(reason.contains("it may not be terminated"), "{reason}");
        let look = simulator.observe().await.expect("observe");
        let on = |i: &&rolling_provider::Instance| {
            i.lifecycle.is_live() && i.revision.as_ref().is_some_and(|r| r.as_str() == "v1")
        };
        assert_eq!(look.instances.values().filter(on).count(), old, "{on_failure:?}");
    }
}
