//! Calls and time of a rollout that waits for boots whose times are not published.
//!
//! Both are compared with the engine that looked at growing pauses.
//!
//! `cargo bench --bench looks`. Virtual time: the figures are the same on every machine.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails loudly"
)]

#[path = "support/figure.rs"]
mod figure;

use std::sync::Arc;
use std::time::Duration;

use rolling::engine::{Caller, Rollout, Stop};
use rolling::model::event::{Event, Outcome};
use rolling::model::spec::{BatchSize, Health, OnFailure, Pacing, Policy, RollingDeployment};
use rolling_simulator::{EPOCH, FleetConfig, SimulatedTargetGroup, Simulator, VirtualClock};
use tokio::sync::watch;

/// A look at a group with one target group: DescribeAutoScalingGroups and DescribeTargetHealth.
const CALLS_A_LOOK: u64 = 2;
const INSTANCES: u32 = 20;
const BATCH: u32 = 5;
const SEEDS: u64 = 3;
/// (median boot in seconds, calls and milliseconds of the engine at 9089b13, by seed).
const BEFORE: [(u64, [(u64, u64); SEEDS as usize]); 3] = [
    (5, [(277, 39_513), (263, 38_280), (277, 40_000)]),
    (20, [(357, 132_075), (373, 123_796), (357, 137_688)]),
    (60, [(449, 368_900), (457, 349_492), (483, 380_000)]),
];
const CALLS: f64 = 0.6;
const TIME: f64 = 1.05;

fn fleet(boot: u64, seed: u64) -> FleetConfig {
    FleetConfig {
        instances: INSTANCES,
        target_groups: vec![SimulatedTargetGroup {
            name: "web".into(),
            register: Duration::from_secs(1),
            drain: Duration::from_secs(1),
        }],
        boot: Duration::from_secs(boot),
        boot_sigma: 0.3,
        publishes_boot: false,
        seed,
        ..FleetConfig::default()
    }
}

fn spec() -> RollingDeployment {
    RollingDeployment {
        policy: Policy::Rolling(BatchSize::Fixed(BATCH)),
        pacing: Pacing::Batch,
        health: Health {
            min_healthy_time: Duration::ZERO,
            healthy_timeout: Duration::from_secs(600),
            ..Health::default()
        },
        on_failure: OnFailure::Stop,
        poll_interval: Duration::from_secs(10),
        ..RollingDeployment::default()
    }
}

/// Returns the calls of one rollout, and its time in milliseconds.
async fn roll(boot: u64, seed: u64) -> (u64, u64) {
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let simulator = Arc::new(Simulator::in_memory(fleet(boot, seed), clock));
    let caller = Caller {
        not_found_retry_for: Duration::ZERO,
        tell: |_| (),
        rollout_id: "bench".into(),
        owner: "host/1.1.aa".into(),
        is_gone: |_| false,
        jitter: 0.0,
        completed: None,
        previous: None,
        supersedes_with: None,
        search_path: None,
        hook_driver: None,
    };
    let rollout = Rollout::prepare(simulator, spec(), &caller).await.expect("prepare");
    let (_keep, stop) = watch::channel(Stop::No);
    let mut actions = 0;
    let report = rollout
        .run(stop, &mut |envelope| {
            actions += u64::from(matches!(envelope.event, Event::Acted { .. }));
        })
        .await;
    assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.reason);
    (report.ticks * CALLS_A_LOOK + actions, report.elapsed_ms)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for (boot, before) in BEFORE {
        for (seed, (calls_before, time_before)) in (1..).zip(before) {
            let (calls, time) = runtime.block_on(roll(boot, seed));
            println!(
                "boots of {boot} s, seed {seed}: {calls} calls ({calls_before}), {time} ms ({time_before})"
            );
            let name = format!("boots of {boot} s, seed {seed}");
            let ratio = |now: u64, before: u64| now as f64 / before as f64;
            figure::below(&format!("{name}: calls"), ratio(calls, calls_before), CALLS, "x");
            figure::below(&format!("{name}: time"), ratio(time, time_before), TIME, "x");
        }
    }
}
