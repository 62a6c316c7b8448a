//! Pods that fail: how many may, and those that are kept to be looked at.

use rolling::model::event::Outcome;
use rolling::model::spec::{BatchSize, Policy, RollingDeployment};
use rolling_kubernetes_testing::{Matching, ObjectKind, Settings};
use rolling_provider::Clock as _;

use super::cluster::{FakeWorkload, stateful_set};
use super::{deployment, in_virtual_time, roll};
use crate::world::seconds;

fn tolerant(threshold: u32) -> RollingDeployment {
    let spec = deployment(Policy::Rolling(BatchSize::Fixed(1)), false);
    RollingDeployment { failure_threshold: threshold, ..spec }
}

fn deleted(fake: &FakeWorkload) -> usize {
    let is = |call: &&rolling_kubernetes_testing::ApiCall| {
        call.verb == "delete" && call.resource == "pods"
    };
    fake.service.with(|cluster| cluster.calls().iter().filter(is).count())
}

/// Below the threshold a pod that fails is removed, and its ReplicaSet creates another.
#[test]
fn a_pod_that_fails_below_the_threshold_is_replaced() {
    for set in [false, true] {
        in_virtual_time(|clock| async move {
            let workload =
                if set { stateful_set(3, "Parallel") } else { super::cluster::deployment(3) };
            let fake = FakeWorkload::of(&clock, workload, Settings::default());
            fake.service.with(|cluster| {
                cluster.door().readiness_gate = Some("example.com/checked".to_owned());
                cluster.door().held_gates = true;
            });
            // The first pod has failed by then, and the second one has not.
            let opens = async {
                clock.sleep(seconds(90)).await;
                fake.service.with(|cluster| cluster.door().held_gates = false);
            };
            let ((report, _), ()) = tokio::join!(roll(&fake, "gate-2", tolerant(2)), opens);
            assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
            assert_eq!(deleted(&fake), 1);
            assert_eq!(fake.left(), Vec::<String>::new());
        });
    }
}

#[test]
fn at_the_threshold_it_goes_back() {
    in_virtual_time(|clock| async move {
        let fake = FakeWorkload::new(&clock, 4, Settings::default());
        let (report, _) = roll(&fake, "unhealthy-2", tolerant(3)).await;
        assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
        assert_eq!(deleted(&fake), 2, "the third one is the last");
        let reason = report.reason.unwrap_or_default();
        assert!(reason.contains("failed"), "{reason}");
        assert_eq!(fake.left(), Vec::<String>::new());
    });
}

/// A pod that is kept runs on, belongs to no set and to no Service, and can be found.
#[test]
fn pods_that_failed_are_kept_apart_and_named() {
    in_virtual_time(|clock| async move {
        let fake = FakeWorkload::new(&clock, 4, Settings::default());
        let spec = deployment(Policy::Rolling(BatchSize::Fixed(2)), false);
        let spec = RollingDeployment { keep_failed_instances: 1, ..spec };
        let (report, _) = roll(&fake, "unhealthy-2", spec).await;
        assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
        assert_eq!(report.retained_failed.len(), 1, "{report:?}");
        let pods = fake.service.with(|cluster| cluster.list(ObjectKind::Pod, "shop"));
        let retained: Vec<_> = pods
            .iter()
            .filter(|pod| pod["metadata"]["labels"]["rolling/failed"] == "true")
            .collect();
        assert_eq!(retained.len(), 1, "{pods:?}");
        assert_eq!(retained[0]["metadata"]["name"], report.retained_failed[0].as_str());
        assert!(retained[0]["metadata"]["labels"]["app"].is_null(), "{}", retained[0]);
        assert!(retained[0]["metadata"]["deletionTimestamp"].is_null());
        let owned = retained[0]["metadata"]["ownerReferences"].as_array();
        assert!(owned.is_none_or(Vec::is_empty), "{}", retained[0]);
        assert_eq!(report.instances.len(), 4, "it does not count");
        assert_eq!(fake.left(), Vec::<String>::new());
    });
}

/// Without the permission to keep a pod the rollout goes back all the same, and says what was refused.
#[test]
fn a_pod_that_may_not_be_set_apart_does_not_keep_the_rollout_from_going_back() {
    in_virtual_time(|clock| async move {
        let fake = FakeWorkload::new(&clock, 4, Settings::default());
        let patch = Matching::of("patch", "pods");
        fake.service.with(|cluster| cluster.door().denied.push(patch));
        let spec = deployment(Policy::Rolling(BatchSize::Fixed(2)), false);
        let spec = RollingDeployment { keep_failed_instances: 1, ..spec };
        let (report, _) = roll(&fake, "unhealthy-2", spec).await;
        assert_eq!(fake.image(), "app:v1", "{report:?}");
        assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
        assert_eq!(report.retained_failed, [], "{report:?}");
        assert_eq!(fake.left(), Vec::<String>::new());
    });
}

/// Without the permission to remove the pod that its controller waits for, a StatefulSet cannot go back:
/// that is told with the call, and not as success.
#[test]
fn a_pod_that_may_not_be_removed_is_named_with_the_call() {
    in_virtual_time(|clock| async move {
        let fake = FakeWorkload::of(&clock, stateful_set(3, "OrderedReady"), Settings::default());
        let delete = Matching::of("delete", "pods");
        fake.service.with(|cluster| cluster.door().denied.push(delete));
        let spec = deployment(Policy::Rolling(BatchSize::Fixed(1)), true);
        let (report, _) = roll(&fake, "unhealthy-2", spec).await;
        assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
        let reason = report.reason.clone().unwrap_or_default();
        assert!(reason.contains("DELETE pods/web-2"), "{reason}");
        assert!(reason.contains("docs/kubernetes-role.yaml"), "{reason}");
    });
}
