//! The time of one planning tick, and the memory of a whole rollout of a large fleet.
//!
//! `cargo bench --bench planning`. Times depend on the machine; that they grow linearly does not.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and measures time; what does not succeed fails loudly"
)]

#[path = "support/figure.rs"]
mod figure;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rolling::engine::{Caller, Rollout, Stop};
use rolling::model::event::Outcome;
use rolling::model::spec::{BatchSize, Health, OnFailure, Pacing, Policy, RollingDeployment};
use rolling::record::{Borrowed, Phase, Record};
use rolling::rollout::planner::{self, Input};
use rolling::rollout::state::RolloutState;
use rolling_provider::{
    Capacity, Instance, InstanceId, Observation, Tags, Target, TargetGroup, Timestamp,
};
use rolling_simulator::{EPOCH, FleetConfig, Simulator, VirtualClock};
use tokio::sync::watch;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
/// (instances, bound on the median in milliseconds)
const PLANS: [(u32, f64); 3] = [(1_000, 0.5), (10_000, 5.0), (100_000, 60.0)];
const RUNS: usize = 31;
/// Instances of the rollout whose memory is measured, and the bound in MB.
const ROLLOUT: (u32, f64) = (10_000, 100.0);

fn target() -> Target {
    Target {
        target_groups: vec![TargetGroup {
            id: "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123".into(),
            name: "web".into(),
            drain: Duration::from_secs(20),
            register: Duration::from_secs(10),
            slow_start: Duration::ZERO,
            stops_routing: Duration::ZERO,
            warnings: Vec::new(),
        }],
        ..Target::new("web", "web", "fleet", "lt-0123456789abcdef0:8".into())
    }
}

/// A fleet in the middle of a rollout: half is new, and a batch is about to begin.
fn half_way(n: u32, target: &Target) -> Observation {
    let instances = (0..n).map(|number| {
        // Spread as if at random, as real ids are.
        let id = InstanceId::new(format!("i-{:017x}", u64::from(number).wrapping_mul(0x9e37_79b9)));
        let version = if number.is_multiple_of(2) { 8 } else { 7 };
        let instance = Instance {
            zone: format!("eu-west-1{}", ["a", "b", "c"][number as usize % 3]),
            launched_at: Some(Timestamp(NOW.0 - u64::from(number) * 1000)),
            ..Instance::serving(
                Some(format!("lt-0123456789abcdef0:{version}").as_str().into()),
                [target.target_groups[0].id.clone()],
            )
        };
        (id, instance)
    });
    Observation {
        controller: None,
        shifted: None,
        at: NOW,
        instances: instances.collect(),
        capacity: Some(Capacity { min: 0, max: n, desired: n, units: None }),
        template: Some(target.revision.clone()),
        reserve: BTreeMap::new(),
        suspended: BTreeSet::new(),
        record: Tags::new(),
    }
}

fn spec() -> RollingDeployment {
    RollingDeployment {
        policy: Policy::Rolling(BatchSize::Percentage(10)),
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

fn record(n: u32, target: &Target) -> Record {
    Record {
        id: "bench".into(),
        generation: 1,
        to: target.revision.clone(),
        restart: None,
        zone: None,
        started: NOW,
        phase: Phase::Rolling,
        rolls_back: false,
        fault: false,
        size: n,
        surge: 0,
        surge_before: 0,
        gives_back: false,
        promoted: false,
        released: None,
        failures: 0,
        last_failed: None,
        retained_failed: 0,
        last_retained: None,
        checkpoints_passed: 0,
        reached: None,
        victims: Default::default(),
        hooks: None,
        paused: Duration::ZERO,
        pause_changed_at: None,
        acknowledged: Vec::new(),
        owned: false,
        borrowed: Borrowed::default(),
        completed: None,
        reason: None,
    }
}

/// Returns the milliseconds of the median run.
fn plan_one_tick(n: u32) -> f64 {
    let (target, spec) = (target(), spec());
    let look = half_way(n, &target);
    let mut progress = RolloutState::new("bench", NOW);
    progress.record = Some(record(n, &target));
    progress.observe(&target, &spec.health, &look);
    let input = Input { spec: &spec, target: &target, look: &look, state: &progress, now: NOW };
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let begin = Instant::now();
            let plan = planner::plan(&input);
            let took = begin.elapsed();
            let victims = plan.begins.expect("a batch begins").victims.len();
            assert_eq!(victims, n as usize / 10);
            took.as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}

async fn roll(n: u32) {
    let config = FleetConfig { instances: n, ..FleetConfig::default() };
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let simulator = Arc::new(Simulator::in_memory(config, clock));
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
    let report = rollout.run(stop, &mut |_| {}).await;
    assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.reason);
}

/// Returns the most memory this process has held so far, in MB; `None` if the system does not
/// report it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024)
}

fn main() {
    let (instances, most) = ROLLOUT;
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(roll(instances));
    let peak = peak_memory();
    let name = format!("a whole rollout of {instances}, peak memory");
    match peak {
        Some(peak) => figure::below(&name, peak as f64, most, "MB"),
        None => println!("{name}: the system does not say"),
    }

    let mut each = Vec::new();
    for (n, bound) in PLANS {
        let median = plan_one_tick(n);
        each.push(median / f64::from(n));
        figure::below(&format!("planning one tick of {n}, median"), median, bound, "ms");
    }
    let growth = each[PLANS.len() - 1] / each[0];
    println!("per instance, {} to {}: {growth:.2} times as long", PLANS[2].0, PLANS[0].0);
}
