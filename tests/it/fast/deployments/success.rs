//! Success is not told before all run the revision and have been ready for long enough. What decides
//! is what the cluster itself has seen.

use std::time::Duration;

use rolling::engine::{Rollout, Stop};
use rolling::model::event::Outcome;
use rolling::model::spec::{BatchSize, Policy, RollingDeployment};
use rolling_kubernetes_testing::Settings;
use serde_json::json;
use tokio::sync::watch;

use super::cluster::{FakeWorkload, stateful_set};
use super::{deployment, in_virtual_time, roll};
use crate::test_fleets::{Dies, Mortal};
use crate::world::{caller, seconds};

const SIZE: u32 = 4;

fn specs() -> [RollingDeployment; 3] {
    [
        deployment(Policy::AllAtOnce, false),
        deployment(Policy::Rolling(BatchSize::Fixed(2)), true),
        deployment(Policy::RollingWithAdditionalBatch(BatchSize::Fixed(2)), false),
    ]
}

/// Rolls it well, and holds the end against the cluster.
async fn succeeds(fake: &FakeWorkload, spec: &RollingDeployment, case: &str) {
    let (report, _) = roll(fake, "v2", spec.clone()).await;
    assert_eq!(report.outcome, Outcome::Succeeded, "{case}: {report:?}");
    assert_eq!(fake.unproven("v2", spec.health.min_healthy_time), None, "{case}");
    assert!(report.instances.iter().all(|instance| instance.serves), "{case}: {report:?}");
}

/// A controller that looks at a change only so long after it.
fn late(sync: Duration) -> Settings {
    Settings { sync: (sync, sync), ..Settings::default() }
}

/// All numbers of the status are still those of the revision before, and an engine looks for the first
/// time: the one that sent the patch has died with it.
#[test]
fn right_after_the_patch_it_is_not_done() {
    for spec in specs() {
        let mut patched = 0;
        for at in 1..12 {
            let looked = std::cell::Cell::new(false);
            in_virtual_time(|clock| {
                let (spec, looked) = (spec.clone(), &looked);
                async move {
                    let fake = FakeWorkload::new(&clock, SIZE, late(seconds(3)));
                    let mortal = Mortal::new(fake.fleet("v2"), at, Dies::After);
                    let (_send, stop) = watch::channel(Stop::No);
                    let engine = Rollout::prepare(mortal.clone(), spec.clone(), &caller()).await;
                    let mut ignore = |_| ();
                    let run = engine.expect("a rollout").run(stop, &mut ignore);
                    let has_died = mortal.survive(run).await.is_none();
                    let status = &fake.workload()["status"];
                    let seems_done = status["updatedReplicas"] == SIZE
                        && status["availableReplicas"] == SIZE
                        && fake.unproven("v2", Duration::ZERO).is_some();
                    looked.set(has_died && seems_done && fake.image() == "app:v2");
                    succeeds(&fake, &spec, &format!("{:?} died at {at}", spec.policy)).await;
                }
            });
            patched += u32::from(looked.get());
        }
        assert!(patched > 0, "{:?}: no engine died right after its patch", spec.policy);
    }
}

/// The condition `NewReplicaSetAvailable` of the revision before stays, and a controller that reads from
/// an old cache says that all are updated and available, of the newest generation.
#[test]
fn a_stale_status_is_not_believed() {
    for spec in specs() {
        for lies_from in [0, 1, 2, 3, 5] {
            in_virtual_time(|clock| {
                let spec = spec.clone();
                async move {
                    let fake = FakeWorkload::new(&clock, SIZE, late(seconds(8)));
                    for tick in 0..20 {
                        let at = seconds(lies_from) + Duration::from_millis(250) * tick;
                        let done = json!({ "status": {
                            "observedGeneration": 9, "replicas": SIZE, "updatedReplicas": SIZE,
                            "readyReplicas": SIZE, "availableReplicas": SIZE,
                            "conditions": [{
                                "type": "Progressing", "status": "True",
                                "reason": "NewReplicaSetAvailable",
                            }],
                        } });
                        fake.plan_write(at, "kube-controller-manager", done);
                    }
                    let case = format!("{:?}, lies from {lies_from} s", spec.policy);
                    succeeds(&fake, &spec, &case).await;
                }
            });
        }
    }
}

/// Pods that are ready, and never for as long as they have to be, serve nobody.
#[test]
fn pods_that_were_ready_for_too_short_a_time_are_not_done() {
    for (spec, ready) in specs().into_iter().flat_map(|spec| [(spec.clone(), 1), (spec, 4)]) {
        in_virtual_time(|clock| async move {
            let mut settings = Settings::default();
            settings.times.flap = (seconds(ready), seconds(3));
            let fake = FakeWorkload::new(&clock, SIZE, settings);
            let mut spec = spec;
            spec.health.min_healthy_time = seconds(6);
            let (report, _) = roll(&fake, "flap-2", spec.clone()).await;
            let case = format!("{:?}, ready for {ready} s", spec.policy);
            assert_eq!(report.outcome, Outcome::RolledBack, "{case}: {report:?}");
            assert_eq!(fake.image(), "app:v1", "{case}");
        });
    }
    for spec in specs() {
        in_virtual_time(|clock| async move {
            let fake = FakeWorkload::new(&clock, SIZE, Settings::default());
            let mut spec = spec;
            spec.health.min_healthy_time = seconds(30);
            // Somebody has the platform believe in pods at once.
            fake.plan_write(seconds(3), "helm", json!({ "spec": { "minReadySeconds": 0 } }));
            let (report, _) = roll(&fake, "v2", spec.clone()).await;
            let unproven = fake.unproven("v2", seconds(30));
            let case = format!("{:?}: {report:?}: {unproven:?}", spec.policy);
            assert!(report.outcome != Outcome::Succeeded || unproven.is_none(), "{case}");
        });
    }
}

/// The controller sees the patch late, and each change after it.
#[test]
fn what_is_observed_late_is_told_late() {
    for spec in specs() {
        for sync in [1, 5, 20] {
            in_virtual_time(|clock| {
                let spec = spec.clone();
                async move {
                    let fake = FakeWorkload::new(&clock, SIZE, late(seconds(sync)));
                    let case = format!("{:?}, observed {sync} s late", spec.policy);
                    succeeds(&fake, &spec, &case).await;
                    // Nothing is left to do then, and nothing is done.
                    let (again, _) = roll(&fake, "v2", spec).await;
                    assert_eq!(
                        (again.outcome, again.elapsed_ms),
                        (Outcome::Succeeded, 0),
                        "{case}"
                    );
                }
            });
        }
    }
    for pod_management in ["OrderedReady", "Parallel"] {
        in_virtual_time(|clock| async move {
            let fake = FakeWorkload::of(&clock, stateful_set(3, pod_management), late(seconds(5)));
            let spec = deployment(Policy::Rolling(BatchSize::Fixed(1)), false);
            succeeds(&fake, &spec, pod_management).await;
        });
    }
}
