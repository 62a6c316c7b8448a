//! What an engine waits for, as others see it: it shows it with the renewals of its lease, and makes
//! no call more for it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rolling::engine::{Caller, Rollout, Stop};
use rolling::model::event::Outcome;
use rolling::model::spec::{BatchSize, Gates, Policy, RollingDeployment};
use rolling::model::wait::WaitKind;
use rolling::record::{LEASE, ROLLOUT};
use rolling::report::text;
use rolling_provider::{Action, Done, ErrorKind, Fleet, ProviderError};
use rolling_simulator::{FleetConfig, Simulator};
use rolling_testing::{Wrapper, impl_fleet};

use crate::world::{caller, fleet, roll, roll_until, seconds, simulate, simulate_and_stop, spec};

/// Looks at the fleet from outside, after each renewal.
struct Watched {
    inner: Arc<Simulator>,
    spec: RollingDeployment,
    /// Whether terminations are refused.
    refuses: bool,
    renewals: AtomicU32,
    kinds: Mutex<BTreeSet<WaitKind>>,
    printed: Mutex<Vec<String>>,
}

impl Watched {
    fn new(spec: &RollingDeployment, refuses: bool) -> Arc<Watched> {
        let config = FleetConfig { instances: 3, ..fleet() };
        Arc::new(Watched {
            inner: simulate(config),
            spec: spec.clone(),
            refuses,
            renewals: AtomicU32::default(),
            kinds: Mutex::default(),
            printed: Mutex::default(),
        })
    }

    fn printed(&self) -> String {
        self.printed.lock().expect("it").join("\n")
    }
}

#[async_trait]
impl Wrapper for Watched {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        if self.refuses && matches!(action, Action::Terminate { .. }) {
            let error = ProviderError::invalid("Terminate", "", "Rate exceeded");
            return Err(ProviderError { kind: ErrorKind::Throttled, ..error });
        }
        let done = self.inner.act(action).await?;
        if let Action::WriteRecord { tags } = action
            && tags.contains_key(LEASE)
            && !tags.contains_key(ROLLOUT)
        {
            self.renewals.fetch_add(1, Ordering::Relaxed);
            let other = Caller { is_gone: |_| false, ..caller() };
            let (inner, spec) = (Arc::clone(&self.inner), self.spec.clone());
            let seen = Rollout::look_up(inner as _, spec, &other).await?;
            let kinds = seen.waits().into_iter().map(|wait| wait.kind);
            self.kinds.lock().expect("it").extend(kinds);
            self.printed.lock().expect("it").push(text::status("web", &seen));
        }
        Ok(done)
    }
}

impl_fleet!(Watched);

#[tokio::test]
async fn status_shows_what_the_engine_at_work_waits_for() {
    let mut spec = spec(Policy::Rolling(BatchSize::Fixed(1)));
    spec.pause_between_batches = seconds(60);
    spec.gates = Gates { bake_time: seconds(120), ..Gates::default() };
    let watched = Watched::new(&spec, false);
    let report = roll(watched.clone(), spec).await.report;
    assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
    let kinds = watched.kinds.lock().expect("it").clone();
    for kind in [WaitKind::Drain, WaitKind::Health, WaitKind::Pause, WaitKind::Bake] {
        assert!(kinds.contains(&kind), "{kind:?}: {kinds:?}");
    }
    let printed = watched.printed();
    assert!(printed.contains("  waits for  the bake time to pass"), "{printed}");
    let renewals = u64::from(watched.renewals.load(Ordering::Relaxed));
    let most = report.elapsed_ms / 10_000 + 1;
    assert!(renewals <= most, "{renewals} renewals in {} ms", report.elapsed_ms);
}

#[tokio::test]
async fn status_shows_a_call_that_the_cloud_does_not_take() {
    let spec = RollingDeployment {
        progress_deadline: Some(seconds(90)),
        ..spec(Policy::Rolling(BatchSize::Fixed(1)))
    };
    let watched = Watched::new(&spec, true);
    let report = roll(watched.clone(), spec).await.report;
    assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
    let printed = watched.printed();
    let wanted = "waits for  the cloud to take a call (terminate i-0001: ";
    assert!(printed.contains(wanted), "{printed}");
}

#[tokio::test]
async fn without_an_engine_at_work_status_says_that_the_next_one_waits() {
    let spec = spec(Policy::Rolling(BatchSize::Fixed(1)));
    let config = FleetConfig { instances: 3, ..fleet() };
    let (simulator, stop) = simulate_and_stop(config, Stop::Now, seconds(30));
    roll_until(simulator.clone(), spec.clone(), stop).await;
    let seen = Rollout::look_up(simulator, spec, &caller()).await.expect("a rollout");
    let printed = text::status("web", &seen);
    assert!(printed.contains("the next apply waits for "), "{printed}");
    assert!(!printed.contains("  waits for"), "{printed}");
}
