//! What others do to a Deployment while it is rolled.

use rolling::engine::{Rollout, Stop};
use rolling::model::event::Outcome;
use rolling::model::spec::{BatchSize, Checkpoint, Policy, RollingDeployment};
use rolling_kubernetes_testing::Settings;
use rolling_provider::Clock as _;
use serde_json::json;
use tokio::sync::watch;

use super::cluster::{FakeWorkload, stateful_set};
use super::{deployment, in_virtual_time, roll};
use crate::test_fleets::{Dies, Mortal};
use crate::world::{caller, seconds};

/// Somebody sets one of the bounds: that is told, theirs stays, and the other one is put back.
#[test]
fn half_of_the_bounds_that_somebody_else_sets_is_theirs_and_the_rest_is_put_back() {
    for (name, value) in [("maxSurge", json!(3)), ("maxUnavailable", json!("10%"))] {
        in_virtual_time(|clock| async move {
            let fake = FakeWorkload::new(&clock, 6, Settings::default());
            let patch = json!({ "spec": { "strategy": { "rollingUpdate": { name: value } } } });
            fake.plan_write(seconds(4), "kubectl-patch", patch);
            let spec = deployment(Policy::RollingWithAdditionalBatch(BatchSize::Fixed(1)), false);
            let (report, _) = roll(&fake, "v2", spec).await;
            assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
            let reason = report.reason.clone().unwrap_or_default();
            assert!(reason.contains("somebody else has set the bounds"), "{reason}");
            let mut wanted = json!({ "maxSurge": "25%", "maxUnavailable": "25%" });
            wanted[name] = value;
            let spec = &fake.workload()["spec"];
            assert_eq!(spec["strategy"]["rollingUpdate"], wanted, "{report:?}");
            assert_eq!(spec["minReadySeconds"].as_u64().unwrap_or(0), 0);
            assert!(report.borrowed.is_empty() || report.borrowed.len() == 1, "{report:?}");
        });
    }
}

/// A size that changes between the record and the call that goes with it makes the engine write another
/// record: what the controller has by then is still known as ours, and is put back.
#[test]
fn bounds_that_are_computed_anew_before_they_are_set_are_put_back() {
    for at in 0..24 {
        in_virtual_time(|clock| async move {
            let fake = FakeWorkload::new(&clock, 6, Settings::default());
            for (index, size) in [8, 5, 9].into_iter().enumerate() {
                let at = seconds(at + u64::try_from(index).expect("a number") * 3);
                fake.plan_write(at, "kubectl-scale", json!({ "spec": { "replicas": size } }));
            }
            let spec = deployment(Policy::Rolling(BatchSize::Percentage(30)), true);
            let (report, _) = roll(&fake, "v2", spec).await;
            assert_eq!(report.outcome, Outcome::Succeeded, "{at}: {report:?}");
            assert_eq!(fake.left(), Vec::<String>::new(), "{at}");
        });
    }
}

/// A fleet that shrinks at a checkpoint does not pass it: as many pods as the checkpoint let go may be
/// all that are left to run.
#[test]
fn a_size_that_changes_at_a_checkpoint_passes_no_checkpoint() {
    for set in [false, true] {
        for size in [2, 3, 4, 5, 7, 9] {
            in_virtual_time(|clock| async move {
                let workload = match set {
                    true => stateful_set(6, "OrderedReady"),
                    false => super::cluster::deployment(6),
                };
                let fake = FakeWorkload::of(&clock, workload, Settings::default());
                let scaled = json!({ "spec": { "replicas": size } });
                fake.plan_write(seconds(60), "kube-controller-manager", scaled);
                let mut spec = deployment(Policy::Rolling(BatchSize::Fixed(3)), true);
                let pause = Some(seconds(600));
                spec.checkpoints = vec![Checkpoint { percentage: 50, pause, expires: None }];
                let (report, _) = roll(&fake, "v2", spec).await;
                assert_eq!(report.outcome, Outcome::Succeeded, "{set} {size}: {report:?}");
                assert_eq!(fake.left(), Vec::<String>::new(), "{set} {size}");
                // A set that lost all of its new pods, or has only one, has nothing to wait for again.
                assert!(report.elapsed_ms >= 600_000, "{set} {size}: {report:?}");
            });
        }
    }
}

/// Somebody raises the partition and leaves it so: the rollout says who has stopped it, and ends.
#[test]
fn a_partition_that_somebody_raises_ends_the_rollout_after_a_while() {
    in_virtual_time(|clock| async move {
        let fake = FakeWorkload::of(&clock, stateful_set(6, "OrderedReady"), Settings::default());
        let patch =
            json!({ "spec": { "updateStrategy": { "rollingUpdate": { "partition": 6 } } } });
        fake.plan_write(seconds(5), "kubectl-patch", patch);
        let spec = deployment(Policy::Rolling(BatchSize::Fixed(2)), false);
        let (report, _) = roll(&fake, "v2", spec).await;
        assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
        let reason = report.reason.unwrap_or_default();
        assert!(reason.contains("somebody has stopped the StatefulSet controller"), "{reason}");
    });
}

/// Kills an engine that rolls to `app:v2` at its `at`th call. Returns whether it had one.
async fn dies(fake: &FakeWorkload, at: u32, spec: &RollingDeployment) -> bool {
    let mortal = Mortal::new(fake.fleet("v2"), at, Dies::After);
    let (_send, stop) = watch::channel(Stop::No);
    let engine = Rollout::prepare(mortal.clone(), spec.clone(), &caller()).await;
    let ignore = &mut |_| ();
    mortal.survive(engine.expect("a rollout").run(stop, ignore)).await.is_none()
}

/// What the controller has completed without an engine is what a failure goes back to, and not what an
/// engine has completed last.
#[test]
fn a_rollout_goes_back_to_what_all_pods_ran_when_it_began() {
    let went = std::cell::Cell::new(0);
    for at in 1..12 {
        in_virtual_time(|clock| {
            let went = &went;
            async move {
                let fake = FakeWorkload::new(&clock, 4, Settings::default());
                let spec = deployment(Policy::Rolling(BatchSize::Fixed(2)), false);
                dies(&fake, at, &spec).await;
                clock.sleep(seconds(120)).await;
                if fake.image() != "app:v2" {
                    return;
                }
                let (report, _) = roll(&fake, "no-image-3", spec).await;
                assert_eq!(report.outcome, Outcome::RolledBack, "{at}: {report:?}");
                assert_eq!(fake.image(), "app:v2", "{at}");
                assert_eq!(fake.left(), Vec::<String>::new(), "{at}");
                went.set(went.get() + 1);
            }
        });
    }
    assert!(went.get() > 2, "{}", went.get());
}

/// What somebody sets while no engine is at work is theirs, each field for itself.
#[test]
fn what_somebody_sets_between_two_engines_stays() {
    let mut killed = 0;
    for at in 2..30 {
        let died = std::cell::Cell::new(false);
        in_virtual_time(|clock| {
            let died = &died;
            async move {
                let fake = FakeWorkload::new(&clock, 4, Settings::default());
                let spec = deployment(Policy::Rolling(BatchSize::Fixed(1)), true);
                died.set(dies(&fake, at, &spec).await);
                let theirs = json!({ "spec": {
                    "progressDeadlineSeconds": 111,
                    "strategy": { "rollingUpdate": { "maxSurge": 3 } },
                } });
                fake.plan_write(fake.elapsed() + seconds(1), "kubectl-patch", theirs);
                clock.sleep(seconds(2)).await;
                let (report, _) = roll(&fake, "v2", spec).await;
                assert_eq!(report.outcome, Outcome::Succeeded, "{at}: {report:?}");
                let spec = &fake.workload()["spec"];
                assert_eq!(spec["progressDeadlineSeconds"], 111, "{at}");
                let wanted = json!({ "maxSurge": 3, "maxUnavailable": "25%" });
                assert_eq!(spec["strategy"]["rollingUpdate"], wanted, "{at}");
                assert_eq!(spec["minReadySeconds"].as_u64().unwrap_or(0), 0, "{at}");
            }
        });
        killed += u32::from(died.get());
    }
    assert!(killed > 10, "{killed}");
}

/// Nothing is replaced in a fleet of size 0, and it rolls all the same.
#[test]
fn a_fleet_of_size_zero_gets_its_template() {
    for (policy, in_batches) in [
        (Policy::Rolling(BatchSize::Fixed(1)), true),
        (Policy::Rolling(BatchSize::Fixed(1)), false),
        (Policy::RollingWithAdditionalBatch(BatchSize::Fixed(1)), true),
        (Policy::Immutable, false),
        (Policy::AllAtOnce, false),
    ] {
        in_virtual_time(|clock| async move {
            let fake = FakeWorkload::new(&clock, 0, Settings::default());
            let (report, _) = roll(&fake, "v2", deployment(policy, in_batches)).await;
            assert_eq!(report.outcome, Outcome::Succeeded, "{policy:?}: {report:?}");
            assert_eq!(fake.image(), "app:v2");
            assert_eq!(fake.left(), Vec::<String>::new(), "{policy:?}");
        });
    }
}
