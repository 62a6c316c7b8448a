//! Hooks on a Deployment: each batch has its own, whatever the whole seconds of the API server say.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rolling::engine::{Caller, HookDriver, HookMessage, Rollout, Stop};
use rolling::model::event::Outcome;
use rolling::model::spec::{BatchSize, Hook, HookPoint, OnHookFailure, Policy, RollingDeployment};
use rolling_kubernetes_testing::{Settings, Times};
use rolling_provider::Clock as _;
use serde_json::json;
use tokio::sync::watch;

use super::cluster::FakeWorkload;
use super::{deployment, in_virtual_time};
use crate::fast::hooks::driver::hooks;
use crate::world::caller;

/// Succeeds at once, and notes what it was told.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<HookMessage>>);

#[async_trait]
impl HookDriver for Told {
    async fn attempt(&self, _: &Hook, message: &HookMessage) -> Result<String, String> {
        self.0.lock().expect("messages").push(message.clone());
        Ok("done".into())
    }
}

/// Pods that are replaced were created in the second in which the first of the rollout are: by their
/// times alone the batch would seem to have launched none, and its hooks would not be run.
#[test]
fn each_batch_has_its_hooks_whatever_was_created_in_the_same_second() {
    let short = Duration::from_millis(100);
    let times = Times { boot: short, ready: short, ..Times::default() };
    for late in [400, 600, 900, 1000, 2500] {
        let settings = Settings { times, ..Settings::default() };
        in_virtual_time(|clock| async move {
            let fake = FakeWorkload::new(&clock, 4, settings);
            fake.plan_write(Duration::ZERO, "hpa", json!({ "spec": { "replicas": 6 } }));
            clock.sleep(Duration::from_millis(late)).await;
            let points = [HookPoint::AfterHealthy, HookPoint::AfterBatch];
            let spec = RollingDeployment {
                hooks: hooks(&points, 1, OnHookFailure::Fail),
                ..deployment(Policy::Rolling(BatchSize::Fixed(2)), true)
            };
            let told = Arc::new(Told::default());
            let hook_driver: Arc<dyn HookDriver> = told.clone();
            let caller = Caller { hook_driver: Some(hook_driver), ..caller() };
            let rollout = Rollout::prepare(fake.fleet("v2"), spec, &caller).await.expect("one");
            let (_send, stop) = watch::channel(Stop::No);
            let report = rollout.run(stop, &mut |_| ()).await;
            assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
            let told = told.0.lock().expect("messages");
            let found: Vec<HookPoint> = told.iter().map(|message| message.hook).collect();
            assert_eq!(found, [points, points, points].concat(), "{late} ms: {told:?}");
            let of = |point| told.iter().filter(move |message| message.hook == point);
            let all: Vec<_> = of(HookPoint::AfterBatch).flat_map(|it| &it.instances).collect();
            let unique: BTreeSet<_> = all.iter().map(|instance| &instance.id).collect();
            assert_eq!((all.len(), unique.len()), (6, 6), "{late} ms: {told:?}");
        });
    }
}
