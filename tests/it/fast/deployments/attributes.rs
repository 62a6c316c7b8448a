//! Attributes of a document on a Deployment or StatefulSet, each by what it leads to.

use std::time::Duration;

use rolling::model::event::{Cause, Outcome};
use rolling::model::spec::{BatchSize, OnFailure, Policy, RollingDeployment};
use rolling_kubernetes_testing::{ObjectKind, Quota, Settings, ThirdPartyWrite};
use serde_json::{Value, json};

use super::cluster::{FakeWorkload, stateful_set};
use super::{deployment, in_virtual_time, roll};
use crate::world::seconds;

fn batches_of(count: u32) -> RollingDeployment {
    deployment(Policy::Rolling(BatchSize::Fixed(count)), true)
}

#[test]
fn a_pause_between_batches_is_kept() {
    for workload in [super::cluster::deployment(4), stateful_set(4, "OrderedReady")] {
        in_virtual_time(|clock| async move {
            let fake = FakeWorkload::of(&clock, workload, Settings::default());
            let spec = RollingDeployment { pause_between_batches: seconds(300), ..batches_of(2) };
            let (report, _) = roll(&fake, "v2", spec).await;
            assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
            let took = Duration::from_millis(report.elapsed_ms);
            assert!(took >= seconds(300) && took < seconds(600), "{took:?}");
            assert_eq!(fake.left(), Vec::<String>::new());
        });
    }
}

/// With `pause`, what has failed waits for a decision, and the controller replaces nothing more.
#[test]
fn a_failure_pauses_the_controller_where_that_is_asked_for() {
    for workload in [super::cluster::deployment(4), stateful_set(4, "OrderedReady")] {
        in_virtual_time(|clock| async move {
            let fake = FakeWorkload::of(&clock, workload, Settings::default());
            let spec = RollingDeployment { on_failure: OnFailure::Pause, ..batches_of(1) };
            let (report, _) = roll(&fake, "unhealthy-2", spec).await;
            assert_eq!(report.outcome, Outcome::Paused, "{report:?}");
            assert_eq!(fake.image(), "app:unhealthy-2");
            assert!(!report.borrowed.is_empty(), "{report:?}");
            let spec = &fake.workload()["spec"];
            let partition = &spec["updateStrategy"]["rollingUpdate"]["partition"];
            assert!(spec["paused"] == true || *partition == 3, "{spec}");
            let (least, _) = fake.extremes();
            assert!(least >= 3, "{least}");
        });
    }
}

/// Without progress the rollout goes back after its own deadline, with the scheduler's words.
#[test]
fn a_progress_deadline_ends_what_the_scheduler_has_no_place_for() {
    in_virtual_time(|clock| async move {
        let fake = FakeWorkload::new(&clock, 4, Settings::default());
        let mut spec = deployment(Policy::Rolling(BatchSize::Fixed(1)), false);
        spec.health.healthy_timeout = seconds(7200);
        spec.progress_deadline = Some(seconds(60));
        let (report, _) = roll(&fake, "unschedulable-2", spec).await;
        assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
        assert!(report.elapsed_ms < 300_000, "{report:?}");
        let reason = report.reason.clone().unwrap_or_default();
        assert!(reason.contains("Unschedulable"), "{reason}");
        assert_eq!(fake.left(), Vec::<String>::new());
    });
}

/// A quota is no fault of the revision, and is told in Kubernetes' words.
#[test]
fn a_quota_is_told_as_what_it_is() {
    for workload in [super::cluster::deployment(4), stateful_set(4, "OrderedReady")] {
        in_virtual_time(|clock| async move {
            let is_set = workload["kind"] == "StatefulSet";
            let fake = FakeWorkload::of(&clock, workload, Settings::default());
            let (name, namespace) = ("pods".to_owned(), "shop".to_owned());
            let quota = Quota { name, namespace, pods: if is_set { 3 } else { 4 } };
            fake.service.with(|cluster| cluster.door().quota = Some(quota));
            let mut spec = match is_set {
                true => deployment(Policy::Rolling(BatchSize::Fixed(1)), false),
                false => deployment(Policy::RollingWithAdditionalBatch(BatchSize::Fixed(1)), false),
            };
            spec.progress_deadline = Some(seconds(60));
            let (report, _) = roll(&fake, "v2", spec).await;
            assert_ne!(report.outcome, Outcome::Succeeded, "{report:?}");
            let reason = report.reason.clone().unwrap_or_default();
            assert!(reason.contains("exceeded quota"), "{reason}");
            assert_ne!(report.cause, Some(Cause::Revision), "{report:?}");
        });
    }
}

/// Pods that others delete in the middle of a batch come back, of the revision that their place has.
#[test]
fn pods_that_somebody_deletes_come_back() {
    for after in (1..40).step_by(3) {
        in_virtual_time(|clock| async move {
            let fake =
                FakeWorkload::of(&clock, stateful_set(6, "OrderedReady"), Settings::default());
            for (index, name) in ["web-1", "web-5", "web-3"].into_iter().enumerate() {
                let index = u64::try_from(index).expect("a number");
                let at = fake.at(seconds(after + 2 * index));
                let gone = ThirdPartyWrite::patch(at, "kubectl", "shop", name, Value::Null);
                let gone = ThirdPartyWrite { kind: ObjectKind::Pod, ..gone };
                fake.service.with(|cluster| cluster.plan(gone));
            }
            let (report, _) = roll(&fake, "v2", batches_of(2)).await;
            assert_eq!(report.outcome, Outcome::Succeeded, "{after}: {report:?}");
            assert_eq!(report.instances.len(), 6);
            assert_eq!(fake.left(), Vec::<String>::new(), "{after}");
        });
    }
}

/// A StatefulSet is scaled in the middle of a rollout, to nothing and back, too.
#[test]
fn a_stateful_set_that_is_scaled_meanwhile_arrives() {
    for size in [0, 1, 3, 8] {
        for after in [2, 7, 15] {
            in_virtual_time(|clock| async move {
                let set = stateful_set(5, "OrderedReady");
                let fake = FakeWorkload::of(&clock, set, Settings::default());
                for (at, size) in [(after, size), (after + 30, 4)] {
                    let scaled = json!({ "spec": { "replicas": size } });
                    fake.plan_write(seconds(at), "kubectl-scale", scaled);
                }
                let (report, _) = roll(&fake, "v2", batches_of(2)).await;
                assert_eq!(report.outcome, Outcome::Succeeded, "{size} {after}: {report:?}");
                assert_eq!(fake.left(), Vec::<String>::new(), "{size} {after}");
            });
        }
    }
}
