//! How long rollouts take on the simulator, compared with the least time that the work allows.
//!
//! `cargo bench --bench makespan`. Virtual time: the figures are the same on every machine.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails loudly"
)]

use std::sync::Arc;
use std::time::Duration;

use rolling::engine::{Caller, Rollout, Stop};
use rolling::model::event::{Event, Outcome};
use rolling::model::spec::{
    BatchSize, Bound, Health, OnFailure, Pacing, Policy, RollingDeployment,
};
use rolling_simulator::{EPOCH, FleetConfig, Hangs, SimulatedTargetGroup, Simulator, VirtualClock};
use tokio::sync::watch;

/// (instances, window, seeds). A large fleet takes a minute per seed to simulate, and differs less
/// from seed to seed.
const RUNS: [(u32, u32, u64); 2] = [(100, 10, 50), (1000, 100, 3)];
const REGISTER: Duration = Duration::from_secs(10);
const SOAK: Duration = Duration::from_secs(10);
const DRAIN: Duration = Duration::from_secs(20);
/// The longest time until a launch is listed, in the runs that have such a lag.
const LAG: Duration = Duration::from_secs(10);

fn fleet(instances: u32, seed: u64) -> FleetConfig {
    FleetConfig {
        instances,
        target_groups: vec![SimulatedTargetGroup {
            name: "web".into(),
            register: REGISTER,
            drain: DRAIN,
        }],
        boot: Duration::from_secs(120),
        boot_sigma: 0.3,
        seed,
        hangs: Some(Hangs { share: 0.02, boot: Duration::from_secs(600) }),
        ..FleetConfig::default()
    }
}

fn spec(policy: Policy, pacing: Pacing) -> RollingDeployment {
    RollingDeployment {
        policy,
        pacing,
        health: Health {
            min_healthy_time: SOAK,
            healthy_timeout: Duration::from_secs(1200),
            ..Health::default()
        },
        on_failure: OnFailure::Stop,
        poll_interval: Duration::from_secs(1),
        ..RollingDeployment::default()
    }
}

async fn makespan(config: FleetConfig, spec: RollingDeployment) -> Duration {
    let simulator = Arc::new(Simulator::in_memory(config, Arc::new(VirtualClock::new(EPOCH))));
    let caller = Caller {
        not_found_retry_for: std::time::Duration::ZERO,
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
    let rollout = Rollout::prepare(simulator, spec, &caller).await.expect("prepare");
    let (_keep, stop) = watch::channel(Stop::No);
    let mut began = None;
    let report = rollout
        .run(stop, &mut |envelope| {
            // Count from the first action: taking the lease is not part of the work.
            if matches!(envelope.event, Event::Acted { .. }) {
                began.get_or_insert(envelope.at);
            }
        })
        .await;
    assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.reason);
    let lease = began.expect("something was done").since(EPOCH);
    Duration::from_millis(report.elapsed_ms) - lease
}

/// Returns how long it takes to replace one instance, from its launch to the end of its soak.
fn launch(config: &FleetConfig, number: u64) -> Duration {
    config.boot_of(number) + REGISTER + SOAK
}

/// Returns all the work divided by the window, or the longest single piece of it if that is longer.
fn work_bound(config: &FleetConfig, window: u32) -> Duration {
    let n = u64::from(config.instances);
    let launches = || (n + 1..=2 * n).map(|number| launch(config, number));
    let work: Duration = launches().map(|launch| launch + DRAIN).sum();
    (work / window).max(launches().max().unwrap_or_default())
}

/// Returns the sum over all batches, each of which takes as long as its slowest instance.
fn batch_bound(config: &FleetConfig, window: u32) -> Duration {
    let n = u64::from(config.instances);
    let numbers: Vec<u64> = (n + 1..=2 * n).collect();
    let batches = numbers.chunks(window as usize);
    batches
        .map(|batch| {
            let slowest = batch.iter().map(|number| launch(config, *number)).max();
            slowest.unwrap_or_default() + DRAIN
        })
        .sum()
}

fn report(name: &str, mut ratios: Vec<f64>, bound: f64) {
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    let (ninth, worst) = (ratios[ratios.len() * 9 / 10], ratios[ratios.len() - 1]);
    println!("{name:<40} median {median:.3}  90 % {ninth:.3}  worst {worst:.3}  bound {bound:.2}");
    assert!(worst <= bound, "{name}: {worst:.3} is above {bound}");
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    println!("makespan as a multiple of the least possible");
    for (n, window, seeds) in RUNS {
        let surge = Bound::Count(window);
        let within = Policy::RollingWithin { surge, unavailable: Bound::Count(0) };
        let (mut continuous, mut late, mut batched) = (Vec::new(), Vec::new(), Vec::new());
        for seed in 1..=seeds {
            let config = fleet(n, seed);
            let bound = work_bound(&config, window);
            let took = runtime.block_on(makespan(config.clone(), spec(within, Pacing::Continuous)));
            continuous.push(took.as_secs_f64() / bound.as_secs_f64());
            let listed_late = FleetConfig { launch_lag: LAG, ..config.clone() };
            let took = runtime.block_on(makespan(listed_late, spec(within, Pacing::Continuous)));
            late.push((took - LAG).as_secs_f64() / bound.as_secs_f64());
            let bound = batch_bound(&config, window);
            let policy = Policy::Rolling(BatchSize::Fixed(window));
            let took = runtime.block_on(makespan(config, spec(policy, Pacing::Batch)));
            batched.push(took.as_secs_f64() / bound.as_secs_f64());
        }
        report(&format!("{n} by {window}, continuous, {seeds} seeds"), continuous, 1.10);
        report("the same, listed up to 10 s late, - 10 s", late, 1.10);
        report(&format!("{n} by {window}, in batches, {seeds} seeds"), batched, 1.02);
    }
}
