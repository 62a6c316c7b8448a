//! A rollout to another revision takes the place of one that was paused for it: when the engine at
//! work has ended, or has died.

use std::sync::{Arc, Mutex};

use rolling::engine::{Caller, Rollout, Stop};
use rolling::model::event::Outcome;
use rolling::model::spec::{BatchSize, Policy, RollingDeployment};
use rolling::record::lease::{LEASE_DURATION, Lease};
use rolling::record::{Ending, LEASE};
use rolling::rollout::control::ControlState;
use rolling_provider::{Action, Clock as _, Fleet as _};
use rolling_simulator::{FleetConfig, Simulator};
use tokio::sync::watch;

use super::situation::{Noting, Situation, arrive, named};
use crate::fast::properties::look;
use crate::world::{SharedClock, fleet, seconds, spec};

/// Runs `work` with a fleet of three that is replaced one by one, each in two minutes.
fn with_fleet<F: Future<Output = ()>>(
    work: impl FnOnce(Arc<SharedClock>, Arc<Noting>, RollingDeployment) -> F,
) {
    let clock = Arc::new(SharedClock::default());
    clock.clone().run(async {
        let config = FleetConfig { instances: 3, boot: seconds(120), ..fleet() };
        let inner = Arc::new(Simulator::in_memory(config, clock.clone()));
        let noting =
            Arc::new(Noting { inner, acknowledged: Mutex::default(), refuses: Mutex::default() });
        let policy = Policy::Rolling(BatchSize::Fixed(1));
        let spec = RollingDeployment { poll_interval: seconds(3), ..spec(policy) };
        work(clock, noting, spec).await;
    });
}

/// Returns a rollout to v3 from another host, where nothing is known of processes of this one.
async fn supersede(fleet: &Arc<Noting>, spec: &RollingDeployment) -> Rollout {
    fleet.inner.retarget("v3".into());
    let rollout_id = "superseding".to_owned();
    let elsewhere = Caller { rollout_id, is_gone: |_| false, ..named("elsewhere") };
    Rollout::look_up(fleet.clone(), spec.clone(), &elsewhere).await.expect("look up")
}

#[test]
fn an_engine_that_dies_after_its_acknowledgement_is_waited_for_as_long_as_its_lease_counts() {
    with_fleet(|clock, fleet, spec| async move {
        let paused = Situation { state: ControlState::Halting(Ending::Paused), lives: false };
        arrive(&fleet, &spec, paused).await;
        let mut rollout = supersede(&fleet, &spec).await;
        assert!(rollout.has_predecessor());
        let (_keep, stop) = watch::channel(Stop::No);
        let began = clock.now();
        assert!(rollout.wait_for_predecessor(&stop).await.expect("no error"));
        let waited = clock.now().since(began);
        assert!(waited >= LEASE_DURATION && waited < LEASE_DURATION + seconds(5), "{waited:?}");
        let report = rollout.run(stop, &mut |_| {}).await;
        assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
        let now = look(&fleet.inner);
        assert!(now.instances.values().all(|it| it.revision == Some("v3".into())), "{now:?}");
    });
}

#[test]
fn an_engine_that_lives_is_waited_for_until_it_has_ended() {
    with_fleet(|clock, fleet, spec| async move {
        let paused = Situation { state: ControlState::Halting(Ending::Paused), lives: false };
        arrive(&fleet, &spec, paused).await;
        let mut rollout = supersede(&fleet, &spec).await;
        let (_keep, stop) = watch::channel(Stop::No);
        let began = clock.now();
        // It renews its lease for three times as long as a lease counts, and then releases it.
        let renewals = LEASE_DURATION.as_secs() * 3 / 10;
        let ends = async {
            for counter in 100..100 + renewals {
                let lease = Lease { owner: "dead/1.1.aa".into(), counter, at: None, waits: None };
                let renew = Action::WriteRecord { tags: lease.tags() };
                fleet.act(&renew).await.expect("a renewal");
                clock.sleep(seconds(10)).await;
            }
            let release = Action::EraseRecord { keys: [LEASE.to_owned()].into() };
            fleet.act(&release).await.expect("a release");
        };
        let (waited, ()) = tokio::join!(rollout.wait_for_predecessor(&stop), ends);
        assert!(waited.expect("no error"));
        let waited = clock.now().since(began);
        let lived = LEASE_DURATION * 3;
        assert!(waited >= lived && waited < lived + seconds(5), "{waited:?}");
    });
}

#[test]
fn a_request_to_end_ends_the_wait() {
    with_fleet(|_, fleet, spec| async move {
        let paused = Situation { state: ControlState::Halting(Ending::Paused), lives: false };
        arrive(&fleet, &spec, paused).await;
        let mut rollout = supersede(&fleet, &spec).await;
        let (_keep, stop) = watch::channel(Stop::Gracefully);
        assert!(!rollout.wait_for_predecessor(&stop).await.expect("no error"));
        assert!(rollout.has_predecessor());
    });
}
