//! Two engines on one target, on shared virtual time: a live engine keeps its lease, and one that
//! finds its lease gone reports the truth.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use rolling::engine::{Caller, Rollout, Stop};
use rolling::model::event::{Outcome, Report};
use rolling::model::spec::{BatchSize, Policy, RollingDeployment};
use rolling::record::KEYS;
use rolling::record::lease::Lease;
use rolling_provider::{Action, Clock, Fleet, Observation, ProviderError};
use rolling_simulator::{FleetConfig, Simulator};
use rolling_testing::{Wrapper, impl_fleet};
use tokio::sync::watch;

use super::properties::look;
use crate::world::{SharedClock, caller, fleet, seconds, spec};

/// A fleet whose looks begin to take long at some time.
struct SlowReads {
    inner: Arc<Simulator>,
    slow: AtomicBool,
}

#[async_trait]
impl Wrapper for SlowReads {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        if self.slow.load(Ordering::Relaxed) {
            self.inner.clock().sleep(seconds(45)).await;
        }
        self.inner.observe().await
    }
}

impl_fleet!(SlowReads);

fn named(name: &str) -> Caller {
    Caller { owner: format!("{name}/1.1.aa"), is_gone: |_| false, ..caller() }
}

fn one_by_one() -> RollingDeployment {
    RollingDeployment { poll_interval: seconds(3), ..spec(Policy::Rolling(BatchSize::Fixed(1))) }
}

async fn prepare(fleet: Arc<dyn Fleet>, name: &str) -> Rollout {
    Rollout::prepare(fleet, one_by_one(), &named(name)).await.expect("prepare")
}

async fn run(rollout: Rollout) -> Report {
    let (_keep, stop) = watch::channel(Stop::No);
    rollout.run(stop, &mut |_| {}).await
}

fn simulator(clock: &Arc<SharedClock>) -> Arc<Simulator> {
    Arc::new(Simulator::in_memory(FleetConfig { instances: 4, ..fleet() }, clock.clone()))
}

/// Waits until the engine called `name` has replaced an instance.
async fn until_at_work(simulator: &Simulator, name: &str) {
    let is_at_work = || {
        let look = look(simulator);
        let lease = Lease::from_tags(&look.record);
        lease.is_some_and(|lease| lease.owner.starts_with(name)) && simulator.launched() > 4
    };
    while !is_at_work() {
        simulator.clock().sleep(seconds(1)).await;
    }
}

#[test]
fn an_engine_whose_reads_take_long_keeps_its_lease() {
    let clock = Arc::new(SharedClock::default());
    clock.clone().run(async {
        let simulator = simulator(&clock);
        let slow = SlowReads { inner: simulator.clone(), slow: AtomicBool::new(false) };
        let slow = Arc::new(slow);
        let engine = tokio::spawn(run(prepare(slow.clone(), "slow").await));
        until_at_work(&simulator, "slow").await;
        slow.slow.store(true, Ordering::Relaxed);
        for _ in 0..3 {
            clock.sleep(seconds(40)).await;
            let other = run(prepare(simulator.clone(), "other").await).await;
            assert_eq!(other.outcome, Outcome::Locked, "{:?}", other.reason);
        }
        slow.slow.store(false, Ordering::Relaxed);
        let ended = engine.await.expect("an end");
        assert_eq!(ended.outcome, Outcome::Succeeded, "{:?}", ended.reason);
    });
}

#[test]
fn a_deployment_that_starts_late_does_not_go_by_its_first_look() {
    let clock = Arc::new(SharedClock::default());
    clock.clone().run(async {
        let simulator = simulator(&clock);
        let second_of_a_document = prepare(simulator.clone(), "late").await;
        let engine = tokio::spawn(run(prepare(simulator.clone(), "engine").await));
        until_at_work(&simulator, "engine").await;
        let late = run(second_of_a_document).await;
        assert_eq!(late.outcome, Outcome::Locked, "{:?}", late.reason);
        let ended = engine.await.expect("an end");
        assert_eq!(ended.outcome, Outcome::Succeeded, "{:?}", ended.reason);
    });
}

#[test]
fn a_run_whose_tags_a_tool_removes_ends_and_reports_that_and_what_is_borrowed() {
    let clock = Arc::new(SharedClock::default());
    clock.clone().run(async {
        let simulator = simulator(&clock);
        let engine = tokio::spawn(run(prepare(simulator.clone(), "engine").await));
        until_at_work(&simulator, "engine").await;
        let keys = KEYS.iter().map(|key| (*key).to_owned()).collect();
        simulator.act(&Action::EraseRecord { keys }).await.expect("removed");
        let ended = engine.await.expect("an end");
        assert_eq!(ended.outcome, Outcome::Locked, "{:?}", ended.reason);
        let reason = ended.reason.unwrap_or_default();
        assert!(
            reason.contains("not by another engine") && reason.contains("ignore_tags"),
            "{reason}"
        );
        let borrowed = ended.borrowed.join("; ");
        assert!(borrowed.contains("suspended processes: AZRebalance"), "{borrowed}");
        assert!(borrowed.contains("the template is v2, it was v1"), "{borrowed}");
    });
}
