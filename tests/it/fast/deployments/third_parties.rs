//! What others do to a Deployment while it is rolled.

use rolling::model::event::Outcome;
use rolling::model::spec::{BatchSize, Policy};
use rolling_kubernetes_testing::Settings;
use serde_json::json;

use super::cluster::FakeWorkload;
use super::{deployment, in_virtual_time, roll};
use crate::world::seconds;

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
