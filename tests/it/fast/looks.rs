//! When an engine looks, on virtual time.

use std::sync::Arc;
use std::time::Duration;

use rolling::model::event::Outcome;
use rolling::model::spec::{BatchSize, Bound, Pacing, Policy, RollingDeployment};
use rolling_simulator::{
    Behaviour, EPOCH, FleetConfig, SimulatedTargetGroup, Simulator, VirtualClock,
};

use crate::test_fleets::Witness;
use crate::world::{fleet, roll, seconds, spec};

/// Twenty instances whose boot times are not published.
fn unknown(boot: u64, drain: u64) -> FleetConfig {
    let group =
        SimulatedTargetGroup { name: "web".into(), register: seconds(1), drain: seconds(drain) };
    FleetConfig {
        instances: 20,
        target_groups: vec![group],
        boot: seconds(boot),
        boot_sigma: 0.3,
        publishes_boot: false,
        ..fleet()
    }
}

/// Returns the number of looks, the time of the rollout, and the longest time between two looks.
async fn looks(config: FleetConfig, spec: RollingDeployment) -> (usize, Duration, Duration) {
    let simulator = Simulator::in_memory(config, Arc::new(VirtualClock::new(EPOCH)));
    let witness = Witness::new(Arc::new(simulator), spec.clone()).await;
    let run = roll(witness.clone(), spec).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    let looks = witness.looks();
    let gaps = looks.windows(2).map(|pair| pair[1].since(pair[0]));
    let elapsed = Duration::from_millis(run.report.elapsed_ms);
    (looks.len(), elapsed, gaps.max().unwrap_or_default())
}

/// An engine that looked at growing pauses, begun anew at each change, took 155 looks and 131 s for
/// the first of these; `benches/looks.rs` has more.
#[tokio::test]
async fn it_looks_when_something_is_likely_to_have_changed() {
    for (boot, most_looks, most_time) in [(20, 75, 137), (60, 100, 380)] {
        let mut wanted = spec(Policy::Rolling(BatchSize::Fixed(5)));
        wanted.health.min_healthy_time = Duration::ZERO;
        let (looks, elapsed, _) = looks(unknown(boot, 1), wanted).await;
        assert!(looks <= most_looks, "{looks} looks for boots of {boot} s");
        assert!(elapsed <= seconds(most_time), "{elapsed:?} for boots of {boot} s");
    }
}

/// What others write shows within that time.
#[tokio::test]
async fn whatever_is_waited_for_it_looks_within_the_poll_interval() {
    let within = Policy::RollingWithin { surge: Bound::Count(2), unavailable: Bound::Count(1) };
    for policy in [Policy::Rolling(BatchSize::Fixed(5)), within, Policy::Immutable] {
        for pacing in [Pacing::Batch, Pacing::Continuous] {
            let (poll_interval, soak) = (seconds(7), seconds(100));
            let mut wanted = RollingDeployment { pacing, poll_interval, ..spec(policy) };
            wanted.health.min_healthy_time = soak;
            wanted.health.healthy_timeout = seconds(3600);
            wanted.pause_between_batches = seconds(40);
            let (_, _, longest) = looks(unknown(200, 300), wanted).await;
            assert!(longest <= poll_interval, "{policy:?}, {pacing:?}: {longest:?}");
        }
    }
}

/// It is healthy half of the time: looks in step with that would see nothing else.
#[tokio::test]
async fn an_instance_that_flaps_does_not_soak() {
    for soak in [20, 40, 60, 120] {
        for poll_interval in [1, 10, 60].map(seconds) {
            let mut config = FleetConfig { instances: 2, ..fleet() };
            config.bad_revisions.insert("v2".into(), Behaviour::Flap);
            let policy = Policy::Rolling(BatchSize::Fixed(1));
            let mut wanted = RollingDeployment { poll_interval, ..spec(policy) };
            wanted.health.min_healthy_time = seconds(soak);
            wanted.health.healthy_timeout = seconds(720);
            let clock = Arc::new(VirtualClock::new(EPOCH));
            let run = roll(Arc::new(Simulator::in_memory(config, clock)), wanted).await;
            let outcome = run.report.outcome;
            assert_ne!(outcome, Outcome::Succeeded, "{soak} s, looks within {poll_interval:?}");
        }
    }
}
