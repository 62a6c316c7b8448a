//! Where a rollback goes once the rollout is over: what the engine takes from its caller, and when
//! it asks the cloud.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use rolling::engine::{Caller, Rollout};
use rolling::model::event::Outcome;
use rolling::rollout::rollback_target::{Candidate, RollbackTarget};
use rolling_provider::{Fleet, InstanceId, ProviderError, Revision, TerminatedInstance, Timestamp};
use rolling_simulator::Simulator;
use rolling_testing::{Wrapper, impl_fleet};

use super::in_place;
use super::properties::block_on;
use crate::world::{caller, fleet, roll, simulate, spec, thirty_percent};

/// A fleet whose cloud still knows the instances that it had.
struct RememberingFleet {
    inner: Arc<Simulator>,
    asked: AtomicU32,
}

#[async_trait]
impl Wrapper for RememberingFleet {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn terminated(&self) -> Result<Vec<TerminatedInstance>, ProviderError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let one = |number| TerminatedInstance {
            id: InstanceId::new(format!("i-{number:04}")),
            revision: Some("v1".into()),
            launched_at: Some(Timestamp(number)),
            terminated_at: None,
            failed: false,
        };
        Ok((1..=10).map(one).collect())
    }
}

impl_fleet!(RememberingFleet);

/// Rolls a fleet to v2, and returns it.
fn rolled() -> Arc<RememberingFleet> {
    let inner = simulate(fleet());
    let run = block_on(roll(inner.clone(), spec(thirty_percent())));
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    assert_eq!(run.report.completed, Some("v2".into()));
    assert_eq!(run.report.previous, Some("v1".into()), "what the fleet ran before");
    Arc::new(RememberingFleet { inner, asked: AtomicU32::new(0) })
}

fn rollback_target(fleet: &Arc<RememberingFleet>, caller: &Caller) -> (RollbackTarget, u32) {
    let rollout = Rollout::look_up(fleet.clone(), spec(thirty_percent()), caller);
    let rollout = block_on(rollout).expect("a fleet");
    let found = block_on(rollout.rollback_target(None, None));
    (found, fleet.asked.swap(0, Ordering::Relaxed))
}

fn known(revision: &str, shown_by: &str) -> RollbackTarget {
    RollbackTarget::Known(Candidate { revision: revision.into(), shown_by: shown_by.into() })
}

#[test]
fn the_cloud_is_asked_once_and_only_where_the_caller_does_not_know() {
    let fleet = rolled();
    let derived = known("v1", "10 terminated instances");
    assert_eq!(rollback_target(&fleet, &caller()), (derived.clone(), 1));
    let keeps = |completed: &str, previous: Option<Revision>| Caller {
        completed: Some(completed.into()),
        previous,
        ..caller()
    };
    let stored = |revision: &str| known(revision, "the stored state");
    assert_eq!(rollback_target(&fleet, &keeps("v2", Some("v0".into()))), (stored("v0"), 0));
    assert_eq!(
        rollback_target(&fleet, &keeps("v1", None)),
        (stored("v1"), 0),
        "others have rolled since"
    );
    assert_eq!(rollback_target(&fleet, &keeps("v2", None)), (derived, 1));
}

/// What terminated instances were launched from says nothing of updates in place.
#[test]
fn nothing_is_derived_where_instances_are_updated_in_place() {
    let inner = simulate(in_place::updated(fleet()));
    let fleet = Arc::new(RememberingFleet { inner, asked: AtomicU32::new(0) });
    let deploy = in_place::deploy(thirty_percent());
    let rollout = block_on(Rollout::look_up(fleet.clone(), deploy, &caller())).expect("a fleet");
    let found = block_on(rollout.rollback_target(None, None));
    assert_eq!(
        (found, fleet.asked.load(Ordering::Relaxed)),
        (RollbackTarget::Unknown(Vec::new()), 0)
    );
}

/// The revision before stays known over rollouts that lead nowhere, and is never the present one.
#[test]
fn the_revision_before_is_kept_until_another_rollout_succeeds() {
    let fleet = rolled();
    let state = Caller { completed: Some("v2".into()), previous: Some("v1".into()), ..caller() };
    let looked = Rollout::look_up(fleet.clone(), spec(thirty_percent()), &state);
    assert_eq!(block_on(looked).expect("a fleet").previous(), Some("v1".into()));
    fleet.inner.retarget("v1".into());
    let back = Rollout::prepare(fleet.clone(), spec(thirty_percent()), &state);
    let (_keep, stop) = tokio::sync::watch::channel(rolling::engine::Stop::No);
    let report = block_on(async { back.await.expect("a fleet").run(stop, &mut |_| {}).await });
    assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
    assert_eq!((report.completed, report.previous), (Some("v1".into()), Some("v2".into())));
}
