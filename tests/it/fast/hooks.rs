//! Hooks on the simulator: when they are run, for which instances, and what their failure means.

mod calls;
pub mod driver;
mod joined;
pub mod killed;
mod meaning;

use std::collections::BTreeSet;

use rolling::model::event::{Event, Outcome};
use rolling::model::spec::{HookPoint, OnHookFailure, Policy, RollingDeployment};
use rolling_provider::{Action, InstanceId};
use rolling_simulator::{FleetConfig, Intervention};

use self::driver::{Behave, World, hooks, ids};
use crate::world::{fleet, seconds, spec, thirty_percent};

/// A rollout of ten instances in batches of three with a hook at every point, tried three times.
pub fn everywhere(policy: Policy) -> RollingDeployment {
    let hooks = hooks(&HookPoint::ALL, 3, OnHookFailure::Fail);
    RollingDeployment { hooks, ..spec(policy) }
}

#[tokio::test]
async fn every_hook_is_run_at_its_point_and_is_about_the_right_instances() {
    let world = World::new(fleet(), everywhere(thirty_percent()), Behave::default()).await;
    let run = world.roll("first").await.expect("a run");
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    assert_eq!(world.witness.broken(0), Vec::<String>::new());
    let batch = ["before_deregister", "after_healthy", "after_batch"];
    let batches = [batch, batch, batch, batch].concat();
    let wanted = [vec!["before_rollout"], batches, vec!["after_rollout"]].concat();
    assert_eq!(world.driver.points(), wanted);

    let of = |point| world.driver.attempts().into_iter().filter(move |it| it.message.hook == point);
    let replaced: Vec<BTreeSet<InstanceId>> = run
        .events
        .iter()
        .filter_map(|envelope| match &envelope.event {
            Event::BatchStarted { instances, .. } => Some(instances.iter().cloned().collect()),
            _ => None,
        })
        .collect();
    let prepared: Vec<_> = of(HookPoint::BeforeDeregister).map(|it| ids(&it.message)).collect();
    assert_eq!(prepared, replaced);
    let healthy: Vec<_> = of(HookPoint::AfterHealthy).map(|it| ids(&it.message)).collect();
    let ended: Vec<_> = of(HookPoint::AfterBatch).map(|it| ids(&it.message)).collect();
    assert_eq!(healthy, ended, "both are about the new instances of the batch");
    assert_eq!(healthy.iter().map(BTreeSet::len).collect::<Vec<_>>(), [3, 3, 3, 1]);
    let all: BTreeSet<&InstanceId> = healthy.iter().flatten().collect();
    assert!(run.report.instances.iter().all(|instance| all.contains(&instance.id)));
    for attempt in of(HookPoint::AfterHealthy) {
        assert_eq!(
            attempt.serving.intersection(&ids(&attempt.message)).count(),
            ids(&attempt.message).len()
        );
    }
    let numbers: Vec<u32> = of(HookPoint::AfterBatch).map(|it| it.message.batch).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let first = &of(HookPoint::BeforeDeregister).next().expect("one").message;
    assert_eq!((first.target.as_str(), first.revision.as_str()), ("web", "v2"));
    assert_eq!(first.instances[0].private_address.as_deref(), Some("10.0.0.1"));
    assert_eq!(first.instances[0].zone, "a");
    let last = of(HookPoint::AfterRollout).next().expect("one").message;
    assert_eq!(last.outcome, Some(Outcome::Succeeded));
    let unique: BTreeSet<String> =
        world.driver.attempts().into_iter().map(|it| it.message.id).collect();
    assert_eq!(unique.len(), wanted.len(), "each has an id of its own");
}

#[tokio::test]
async fn before_rollout_comes_before_anything_but_the_record() {
    let world = World::new(fleet(), everywhere(thirty_percent()), Behave::default()).await;
    let run = world.roll("first").await.expect("a run");
    let kinds = run.events.iter().filter_map(|envelope| match &envelope.event {
        Event::Acted { action: Action::WriteRecord { .. } } => Some("record"),
        Event::Acted { .. } => Some("act"),
        Event::HookStarted { hook: HookPoint::BeforeRollout, .. } => Some("starts"),
        Event::HookFinished { hook: HookPoint::BeforeRollout, .. } => Some("ends"),
        _ => None,
    });
    let kinds: Vec<&str> = kinds.take(5).collect();
    assert_eq!(kinds, ["record", "starts", "ends", "record", "act"]);
}

#[tokio::test]
async fn a_hook_may_take_longer_than_the_progress_deadline() {
    let behave = Behave { takes: 3600, ..Behave::default() };
    let deploy = everywhere(thirty_percent());
    let deploy = RollingDeployment { progress_deadline: Some(seconds(300)), ..deploy };
    let world = World::new(fleet(), deploy, behave).await;
    let run = world.roll("first").await.expect("a run");
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
}

/// While a drain takes its time, others may fail: the victims serve, and stay where they are needed.
#[tokio::test]
async fn victims_that_the_floor_needs_by_then_are_not_deregistered() {
    // Shortly before the first hook is over; those launched in their place serve later than that.
    let lost = ["i-0008", "i-0009", "i-0010"];
    let lost = lost.map(|id| (seconds(50), Intervention::Terminate(id.into())));
    let config = FleetConfig { events: lost.into(), ..fleet() };
    let behave = Behave { takes: 60, ..Behave::default() };
    let hooks = hooks(&[HookPoint::BeforeDeregister], 1, OnHookFailure::Fail);
    let deploy = RollingDeployment { hooks, ..spec(thirty_percent()) };
    let world = World::new(config, deploy, behave).await;
    let run = world.roll("first").await.expect("a run");
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    assert_eq!(world.witness.broken(0), Vec::<String>::new());
    assert!(run.least_serving() >= 4, "{}", run.least_serving());
    let ends = run.events.iter().find(|it| matches!(it.event, Event::HookFinished { .. }));
    let out = run
        .events
        .iter()
        .find(|it| matches!(&it.event, Event::Acted { action: Action::Deregister { .. } }));
    let late = out.expect("one").at.since(ends.expect("one").at);
    assert!(late > seconds(10), "{late:?}: they wait until others serve");
}

#[tokio::test]
async fn whoever_is_protected_while_its_hook_is_run_stays() {
    let events = vec![(seconds(180), Intervention::Protect("i-0001".into(), true))];
    let config = FleetConfig { events, ..fleet() };
    let behave = Behave { takes: 120, ..Behave::default() };
    let protected = rolling::model::spec::SetAside::Ignore;
    let deploy = RollingDeployment { protected, ..everywhere(thirty_percent()) };
    let world = World::new(config, deploy, behave).await;
    let run = world.roll("first").await.expect("a run");
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    assert_eq!(run.report.left_alone, ["i-0001".into()]);
    assert_eq!(world.witness.broken(0), Vec::<String>::new());
}

#[tokio::test]
async fn launches_without_victims_are_a_batch_with_hooks_too() {
    let world = World::new(fleet(), everywhere(Policy::Immutable), Behave::default()).await;
    let run = world.roll("first").await.expect("a run");
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    let healthy = world.driver.instances(HookPoint::AfterHealthy);
    let sizes: Vec<usize> = healthy.values().map(BTreeSet::len).collect();
    assert_eq!(sizes, [1, 9], "one to begin with, then the others");
    assert_eq!(world.witness.broken(0), Vec::<String>::new());
}
