//! What the failure of a hook means, and how commands end one.

use std::sync::Arc;

use proptest::prelude::*;
use rolling::engine::{ControlOutcome, Rollout, Stop};
use rolling::model::event::{Event, HookNext, Outcome};
use rolling::model::spec::{
    BatchSize, Bound, HookPoint, OnFailure, OnHookFailure, Policy, RollingDeployment,
};
use rolling::record::command::Command;
use rolling_provider::{Action, Fleet as _};
use rolling_simulator::{Behaviour, EPOCH};
use tokio::sync::watch;

use super::driver::{Behave, Fails, World, hooks, ids};
use super::everywhere;
use crate::fast::crash::leave_command;
use crate::fast::properties::{block_on, look, settings};
use crate::world::{Run, bad, fleet, seconds, spec, thirty_percent};

/// Returns what followed the hooks that failed, in order.
fn followed(run: &Run) -> Vec<(HookPoint, HookNext)> {
    let failed = run.events.iter().filter_map(|envelope| match &envelope.event {
        Event::HookFinished { hook, passed: false, next, .. } => Some((*hook, *next)),
        _ => None,
    });
    failed.collect()
}

fn failing(point: HookPoint, meaning: OnHookFailure) -> RollingDeployment {
    let hooks = hooks(&[point], 2, meaning);
    RollingDeployment { hooks, on_failure: OnFailure::Rollback, ..spec(thirty_percent()) }
}

fn always() -> Behave {
    Behave { fails: |_, _| true, ..Behave::default() }
}

#[tokio::test]
async fn a_hook_that_fails_twice_and_then_passes_lets_the_rollout_go_on() {
    let behave = Behave { fails: |_, message| message.attempt < 3, ..Behave::default() };
    let world = World::new(fleet(), everywhere(thirty_percent()), behave).await;
    let run = world.roll("first").await.expect("a run");
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    assert_eq!(followed(&run), []);
    for tries in world.driver.attempts().chunks(3) {
        let numbers: Vec<u32> = tries.iter().map(|it| it.message.attempt).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert!(tries.iter().all(|it| it.message.id == tries[0].message.id), "{tries:?}");
    }
    assert_eq!(world.witness.broken(0), Vec::<String>::new());
}

#[tokio::test]
async fn a_failure_fails_the_rollout_before_anything_was_begun_or_rolls_it_back() {
    for (point, outcome) in [
        (HookPoint::BeforeRollout, Outcome::Failed),
        (HookPoint::BeforeDeregister, Outcome::RolledBack),
        (HookPoint::AfterHealthy, Outcome::RolledBack),
        (HookPoint::AfterBatch, Outcome::RolledBack),
    ] {
        let world = World::new(fleet(), failing(point, OnHookFailure::Fail), always()).await;
        let run = world.roll("first").await.expect("a run");
        assert_eq!(run.report.outcome, outcome, "{point:?}: {:?}", run.report);
        let reason = run.report.reason.clone().expect("a reason");
        let message = format!(
            "hook {} failed: command hook: it is not to be, at the last of 2 tries",
            point.name()
        );
        assert!(reason.contains(&message), "{reason}");
        assert_eq!(followed(&run)[0], (point, HookNext::Fail));
        let look = world.simulator.observe().await.expect("a look");
        assert!(look.record.is_empty() && look.suspended.is_empty(), "{:?}", look.record);
        assert!(run.report.instances.iter().all(|i| i.revision == Some("v1".into())));
        assert_eq!(world.witness.broken(0), Vec::<String>::new(), "{point:?}");
    }
}

#[tokio::test]
async fn a_failure_is_ignored_where_the_document_says_so() {
    let deploy = everywhere(thirty_percent());
    let hooks = hooks(&HookPoint::ALL, 1, OnHookFailure::Ignore);
    let world = World::new(fleet(), RollingDeployment { hooks, ..deploy }, always()).await;
    let run = world.roll("first").await.expect("a run");
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    assert_eq!(followed(&run).len(), 14);
    assert!(followed(&run).iter().all(|(_, next)| *next == HookNext::Continue));
}

/// Resumes a rollout that is paused.
async fn resume(world: &World) -> Outcome {
    let caller = world.caller("resumed");
    let rollout = Rollout::prepare(world.witness.clone(), world.spec.clone(), &caller).await;
    let (_keep, stop) = watch::channel(Stop::No);
    let done = rollout.expect("prepare").command(Command::Resume, stop, &mut |_| {}).await;
    match done.expect("done") {
        ControlOutcome::RanHere(report) => report.outcome,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_failure_pauses_and_whoever_resumes_has_the_hook_run_again() {
    for point in [
        HookPoint::BeforeRollout,
        HookPoint::BeforeDeregister,
        HookPoint::AfterHealthy,
        HookPoint::AfterBatch,
    ] {
        // The two tries of the first hook fail.
        let behave = Behave { fails: |number, _| number <= 2, ..Behave::default() };
        let world = World::new(fleet(), failing(point, OnHookFailure::Pause), behave).await;
        let run = world.roll("first").await.expect("a run");
        assert_eq!(run.report.outcome, Outcome::Paused, "{point:?}: {:?}", run.report);
        assert_eq!(resume(&world).await, Outcome::Succeeded, "{point:?}");
        let attempts = world.driver.attempts();
        assert_eq!(attempts[0].message.id, attempts[2].message.id, "{point:?}");
        assert_eq!(world.witness.broken(0), Vec::<String>::new(), "{point:?}");
    }
}

/// A rollback cannot be prevented, and no outcome is changed.
#[tokio::test]
async fn the_way_back_goes_on_whatever_becomes_of_a_hook() {
    let behave = Behave {
        fails: |_, message| message.revision == "v1" || message.outcome.is_some(),
        ..Behave::default()
    };
    let deploy = everywhere(thirty_percent());
    let deploy = RollingDeployment { on_failure: OnFailure::Rollback, ..deploy };
    let world = World::new(bad(Behaviour::Unhealthy), deploy, behave).await;
    let run = world.roll("first").await.expect("a run");
    assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
    let points: Vec<HookPoint> = followed(&run).into_iter().map(|(point, _)| point).collect();
    assert_eq!(points[0], HookPoint::BeforeRollback);
    assert!(points.contains(&HookPoint::BeforeDeregister), "{points:?}");
    assert_eq!(points.last(), Some(&HookPoint::AfterRollout));
    assert!(followed(&run).iter().all(|(_, next)| *next == HookNext::Continue));
    let last = world.driver.attempts().last().expect("one").message.clone();
    assert_eq!(last.outcome, Some(Outcome::RolledBack));
    assert_eq!(world.witness.broken(0), Vec::<String>::new());
}

/// Commands are obeyed while a hook is run, which ends; whoever is chosen again is prepared again.
#[tokio::test]
async fn a_pause_ends_a_hook_and_after_rollout_follows_an_abort() {
    for (command, outcome) in
        [(Command::Pause, Outcome::Paused), (Command::Abort, Outcome::Aborted)]
    {
        let behave = Behave { takes: 300, ..Behave::default() };
        let points = [HookPoint::BeforeDeregister, HookPoint::AfterRollout];
        let hooks = hooks(&points, 1, OnHookFailure::Fail);
        let deploy = RollingDeployment { hooks, ..spec(thirty_percent()) };
        let world = World::new(fleet(), deploy, behave).await;
        let simulator = Arc::clone(&world.simulator);
        world.clock.at(EPOCH + seconds(120), move || leave_command(&simulator, command));
        let run = world.roll("first").await.expect("a run");
        assert_eq!(run.report.outcome, outcome, "{:?}", run.report);
        let outcomes = world.driver.attempts().into_iter().filter_map(|it| it.message.outcome);
        let outcomes: Vec<Outcome> = outcomes.collect();
        let wanted = if outcome == Outcome::Paused { vec![] } else { vec![outcome] };
        assert_eq!(outcomes, wanted, "a pause is no end");
        assert_eq!(world.witness.broken(0), Vec::<String>::new());
    }
}

/// A pause puts victims back into rotation: whoever is chosen again is prepared again, with another
/// id, by the same engine as by the next.
#[tokio::test]
async fn whoever_was_put_back_is_prepared_again() {
    let world = World::new(
        fleet(),
        failing(HookPoint::BeforeDeregister, OnHookFailure::Fail),
        Behave::default(),
    )
    .await;
    let simulator = Arc::clone(&world.simulator);
    world.clock.at(EPOCH + seconds(15), move || leave_command(&simulator, Command::Pause));
    let run = world.roll("first").await.expect("a run");
    assert_eq!(run.report.outcome, Outcome::Paused, "{:?}", run.report);
    let put_back = run.events.iter().any(|envelope| {
        matches!(&envelope.event, Event::Acted { action: Action::Register { .. } })
    });
    assert!(put_back, "they were out of rotation");
    assert_eq!(resume(&world).await, Outcome::Succeeded);
    let attempts = world.driver.attempts();
    assert_eq!(ids(&attempts[0].message), ids(&attempts[1].message), "the same are chosen again");
    assert_ne!(attempts[0].message.id, attempts[1].message.id);
    assert_eq!(world.witness.broken(0), Vec::<String>::new());
}

/// How a rollout that has surge ends early.
#[derive(Clone, Copy, Debug)]
enum Early {
    Abort,
    Stop,
}

proptest! {
    #![proptest_config(settings())]

    /// Surge that is given back goes like any other instance: its hook has its time, and then
    /// nothing is borrowed any more.
    #[test]
    fn surge_that_is_given_back_early_has_its_hook_and_all_is_restored(
        policy in prop_oneof![
            Just(Policy::Immutable),
            (1u32..6).prop_map(|size| Policy::RollingWithAdditionalBatch(BatchSize::Fixed(size))),
            (1u32..4).prop_map(|surge| {
                let (surge, unavailable) = (Bound::Count(surge), Bound::Count(0));
                Policy::RollingWithin { surge, unavailable }
            }),
        ],
        takes in 0u64..600,
        early in prop_oneof![
            (30u64..400).prop_map(|at| (Early::Abort, at)),
            Just((Early::Stop, 0)),
        ],
        fails in any::<bool>(),
    ) {
        let points = [HookPoint::BeforeDeregister];
        let hooks = hooks(&points, 2, OnHookFailure::Fail);
        let deploy = RollingDeployment { hooks, on_failure: OnFailure::Stop, ..spec(policy) };
        let fails: Fails = if fails { |_, _| true } else { |_, _| false };
        let behave = Behave { takes, fails, ..Behave::default() };
        let config = match early.0 {
            Early::Abort => fleet(),
            Early::Stop => bad(Behaviour::Unhealthy),
        };
        let (run, world) = block_on(async {
            let world = World::new(config, deploy, behave).await;
            let simulator = Arc::clone(&world.simulator);
            if let (Early::Abort, at) = early {
                world.clock.at(EPOCH + seconds(at), move || {
                    leave_command(&simulator, Command::Abort);
                });
            }
            (world.roll("first").await.expect("a run"), world)
        });
        let ends = [Outcome::Aborted, Outcome::Failed, Outcome::Succeeded];
        prop_assert!(ends.contains(&run.report.outcome), "{:?}", run.report);
        prop_assert!(run.report.borrowed.is_empty(), "{:?}", run.report);
        let found = look(&world.simulator);
        prop_assert_eq!(run.report.instances.len(), 10, "{:?}", run.report);
        let capacity = found.capacity.expect("a group");
        prop_assert_eq!((capacity.desired, found.suspended.len()), (10, 0));
        prop_assert_eq!(world.witness.broken(0), Vec::<String>::new());
    }
}
