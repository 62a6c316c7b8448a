//! Instances that are updated in place, on the simulator: out of rotation, updated, and back.

use std::sync::Arc;

use proptest::prelude::*;
use rolling::model::event::{Event, Outcome};
use rolling::model::spec::{OnFailure, Policy, Replacement, RollingDeployment, Window};
use rolling::model::wait::WaitKind;
use rolling_provider::{Action, Fleet as _, InstanceId, Revision, TargetState};
use rolling_simulator::{Behaviour, FleetConfig, Simulator};

use crate::fast::properties::{self, Case, any_case, is_tidy, run, run_killed};
use crate::test_fleets::{Dies, Witness};
use crate::world::{Run, bad, fleet, roll, seconds, simulate, spec, thirty_percent};

pub fn updated(config: FleetConfig) -> FleetConfig {
    FleetConfig { update: Some(seconds(60)), ..config }
}

pub fn deploy(policy: Policy) -> RollingDeployment {
    RollingDeployment {
        replacement: Replacement::InPlace { within: seconds(300) },
        on_failure: OnFailure::Rollback,
        ..spec(policy)
    }
}

/// Rolls, and checks that the same ten instances are there afterwards, all in rotation.
async fn update(config: FleetConfig, spec: RollingDeployment) -> (Run, Arc<Simulator>) {
    let simulator = simulate(updated(config));
    let before = simulator.observe().await.expect("a look");
    let witness = Witness::new(simulator.clone(), spec.clone()).await;
    let run = roll(witness.clone(), spec).await;
    assert_eq!(witness.broken(0), Vec::<String>::new());
    let after = simulator.observe().await.expect("a look");
    assert!(before.instances.keys().eq(after.instances.keys()), "no instance comes or goes");
    assert_eq!(simulator.launched(), 10);
    assert_eq!(after.template, before.template, "what the fleet launches is left alone");
    assert!(after.suspended.is_empty(), "{after:?}");
    (run, simulator)
}

/// Checks that every instance runs `revision`, serves, and has nothing of the rollout on it.
async fn assert_all_on(simulator: &Simulator, revision: &str) {
    let look = simulator.observe().await.expect("a look");
    assert!(look.record.is_empty(), "{:?}", look.record);
    for (id, instance) in &look.instances {
        assert_eq!(instance.revision, Some(revision.into()), "{id}");
        assert_eq!((&instance.update, &instance.failed_in), (&None, &None), "{id}");
        let healthy = |state: TargetState| state == TargetState::Healthy;
        assert!(instance.targets.values().all(|health| healthy(health.state)), "{instance:?}");
    }
}

#[tokio::test]
async fn instances_are_drained_updated_and_put_back_batch_by_batch() {
    for unmanaged in [false, true] {
        let config = FleetConfig { unmanaged, ..fleet() };
        let (run, simulator) = update(config, deploy(thirty_percent())).await;
        assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
        assert_all_on(&simulator, "v2").await;
        assert_eq!(run.batches(), [(0, 3), (0, 3), (0, 3), (0, 1)]);
        assert_eq!(simulator.updated(), 10);
        let message: Vec<&str> = run
            .actions()
            .into_iter()
            .filter_map(|action| match action {
                Action::Deregister { .. } => Some("out"),
                Action::Update { instances, .. } => {
                    assert!(instances.len() <= 3, "one call a batch");
                    Some("update")
                }
                Action::Confirm { .. } => Some("done"),
                Action::Register { .. } => Some("in"),
                Action::Terminate { .. } | Action::MoveTemplate { .. } => Some("never"),
                _ => None,
            })
            .collect();
        assert_eq!(message, ["out", "update", "done", "in"].repeat(4));
        assert!(run.least_serving() >= 7);
        let waits = run.events.iter().filter_map(|envelope| match &envelope.event {
            Event::Waiting { on } => on.iter().find(|wait| wait.kind == WaitKind::Update),
            _ => None,
        });
        let message = waits.map(ToString::to_string).next().expect("a wait");
        assert!(message.ends_with("to be updated (v2)"), "{message}");
        let again = roll(simulator.clone(), deploy(thirty_percent())).await;
        assert_eq!(again.report.outcome, Outcome::Succeeded);
        assert!(again.actions().is_empty(), "{:?}", again.actions());
    }
}

#[tokio::test]
async fn an_update_that_fails_is_reported_with_its_output_and_undone() {
    for (behaviour, message) in [
        (Behaviour::FailLaunch, "failed: its update failed: exit code 1: it does not start"),
        (Behaviour::Hang, "its update did not end within 5m"),
        (Behaviour::Unhealthy, "Health checks failed with these codes: [502]"),
    ] {
        let (run, simulator) = update(bad(behaviour), deploy(thirty_percent())).await;
        assert_eq!(run.report.outcome, Outcome::RolledBack, "{behaviour:?}: {:?}", run.report);
        let reason = run.report.reason.clone().expect("a reason");
        assert!(reason.contains(message), "{reason}");
        assert_all_on(&simulator, "v1").await;
        assert_eq!(simulator.updated(), 6, "three updated, and three rolled back");
        assert!(run.least_serving() >= 7);
    }
}

#[tokio::test]
async fn where_failures_are_tolerated_an_update_is_tried_again_until_there_are_too_many() {
    let spec = RollingDeployment { failure_threshold: 3, ..deploy(Policy::Rolling(one())) };
    let (run, simulator) = update(bad(Behaviour::FailLaunch), spec).await;
    assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
    assert_all_on(&simulator, "v1").await;
    assert_eq!(simulator.updated(), 4, "three updates, and one rollback");
}

fn one() -> rolling::model::spec::BatchSize {
    rolling::model::spec::BatchSize::Fixed(1)
}

#[tokio::test]
async fn where_nothing_goes_back_the_failed_one_stays_out_of_rotation_and_is_named() {
    let spec = RollingDeployment { on_failure: OnFailure::Stop, ..deploy(Policy::Rolling(one())) };
    let (run, _) = update(bad(Behaviour::FailLaunch), spec).await;
    assert_eq!(run.report.outcome, Outcome::Failed, "{:?}", run.report);
    let idle: Vec<_> = run.report.instances.iter().filter(|i| !i.serves).collect();
    assert_eq!(idle.len(), 1, "{idle:?}");
    let trouble = idle[0].trouble.clone().expect("trouble");
    assert!(trouble.contains("its update to v2 failed: exit code 1"), "{trouble}");
    assert!(run.report.borrowed.is_empty(), "{:?}", run.report.borrowed);
}

#[tokio::test]
async fn what_failed_before_is_tried_again_and_not_counted_at_once() {
    let spec = RollingDeployment { on_failure: OnFailure::Stop, ..deploy(thirty_percent()) };
    let simulator = simulate(updated(bad(Behaviour::FailLaunch)));
    for times in 1..=3 {
        let run = roll(simulator.clone(), spec.clone()).await;
        assert_eq!(run.report.outcome, Outcome::Failed, "{:?}", run.report);
        assert_eq!(simulator.updated(), 3 * times, "tried again: {:?}", run.report.reason);
    }
    // What is given up is not rolled back; another revision finds the instances as they are.
    simulator.retarget("v3".into());
    let run = roll(simulator.clone(), spec).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    assert_all_on(&simulator, "v3").await;
}

#[tokio::test]
async fn a_failure_that_pauses_can_be_resumed_and_updates_anew() {
    let spec = RollingDeployment { on_failure: OnFailure::Pause, ..deploy(thirty_percent()) };
    let simulator = simulate(updated(bad(Behaviour::FailLaunch)));
    let run = roll(simulator.clone(), spec.clone()).await;
    assert_eq!(run.report.outcome, Outcome::Paused, "{:?}", run.report);
    let mut caller = crate::world::caller();
    caller.rollout_id = "resumed".into();
    let rollout = rolling::engine::Rollout::prepare(simulator.clone(), spec, &caller).await;
    let (_keep, stop) = tokio::sync::watch::channel(rolling::engine::Stop::No);
    let command = rolling::record::command::Command::Resume;
    let done = rollout.expect("a rollout").command(command, stop, &mut |_| {}).await;
    assert!(matches!(done, Ok(rolling::engine::ControlOutcome::RanHere(_))), "{done:?}");
    assert_eq!(simulator.updated(), 6, "another token, so another update");
}

/// Any fleet and failure, with updates in place.
fn cases() -> impl Strategy<Value = Case> {
    (any_case(), 1..=60u64).prop_filter_map("nothing is launched", |(mut case, update)| {
        let policy = case.spec.policy;
        if Window::resolve(policy, case.config.instances).surge > 0 || policy.shifts() {
            return None;
        }
        case.config.update = Some(seconds(update));
        case.spec.replacement = Replacement::InPlace { within: seconds(300) };
        // A launch time says nothing of what is updated.
        case.spec.restart = None;
        case.spec.keep_failed_instances = 0;
        Some(case)
    })
}

/// Returns each instance, with its revision and whether it serves.
fn roll_call(simulator: &Simulator) -> Vec<(InstanceId, Option<Revision>, bool)> {
    let look = properties::look(simulator);
    let each = look.instances.into_iter();
    each.map(|(id, it)| (id, it.revision.clone(), crate::test_fleets::serves(&it))).collect()
}

proptest! {
    #![proptest_config(properties::settings())]

    #[test]
    fn whatever_happens_the_bounds_hold_and_no_instance_comes_or_goes(case in cases()) {
        let ran = run(&case);
        for property in 1..=3 {
            prop_assert_eq!(ran.witness.broken(property), Vec::<String>::new());
        }
        let instances = case.config.instances;
        prop_assert_eq!(ran.simulator.launched(), u64::from(instances));
        prop_assert_eq!(roll_call(&ran.simulator).len(), instances as usize);
        prop_assert!(properties::look(&ran.simulator).suspended.is_empty());
        let mild = [Behaviour::HalfUnhealthy, Behaviour::Flap];
        let mild = case.config.bad_revisions.values().any(|how| mild.contains(how));
        let runs = match ran.run.report.outcome {
            Outcome::Succeeded if case.config.bad_revisions.is_empty() || mild => "v2",
            Outcome::RolledBack => "v1",
            outcome => {
                prop_assert!(!case.config.bad_revisions.is_empty(), "{:?}", ran.run.report);
                prop_assert!([Outcome::Failed, Outcome::Paused].contains(&outcome), "{:?}", outcome);
                return Ok(());
            }
        };
        if !mild {
            is_tidy(&ran, instances as usize, runs)?;
        }
    }

    #[test]
    fn killed_anywhere_it_ends_the_same(case in cases(), at in 1..60u32, after in any::<bool>()) {
        let is = |how| case.config.bad_revisions.values().any(|known| *known == how);
        prop_assume!(!is(Behaviour::Flap) && !is(Behaviour::HalfUnhealthy));
        let mut case = Case { lag: seconds(0), ..case };
        case.spec.progress_deadline = Some(seconds(10_000));
        let reference = run(&case);
        let dies = if after { Dies::After } else { Dies::Before };
        let (outcome, simulator, broken) = run_killed(&case, &reference, at, dies);
        prop_assert_eq!(broken, Vec::<String>::new());
        prop_assert_eq!(outcome, reference.run.report.outcome);
        // How far the rollout is when it halts depends on timing.
        if [Outcome::Succeeded, Outcome::RolledBack].contains(&outcome) {
            prop_assert_eq!(roll_call(&simulator), roll_call(&reference.simulator));
        }
    }
}
