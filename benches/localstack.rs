//! Calls and wall time of a rollout on LocalStack.
//!
//! Both are compared with the engine that looked at growing pauses; the time also with the sum of
//! the waiting times.
//!
//! `cargo bench --bench localstack`. Wall times depend on the machine; the ratios hardly do.
#![allow(
    missing_docs,
    dead_code,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a benchmark prints, and measures time; what does not succeed fails loudly. It shares the tests' helpers"
)]

#[path = "../tests/it/emulator.rs"]
mod emulator;
#[path = "support/figure.rs"]
mod figure;
#[path = "../tests/it/process.rs"]
mod process;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/wire.rs"]
mod wire;

use std::collections::BTreeMap;
use std::time::Instant;

use emulator::Account;
use serde_json::json;

const RUNS: usize = 3;
/// Instances, the batch size, and the calls and seconds of the engine at 9089b13 with these.
const SHAPES: [(u32, u32, f64, f64); 2] = [(20, 5, 158.0, 18.7), (4, 2, 83.0, 9.5)];
/// The bound on the calls, by shape.
const CALLS: [f64; 2] = [90.0, 45.0];
/// The bounds on the time, as multiples of that engine's time and of the sum of the waiting times.
const TIME: f64 = 1.05;
const BOUND: f64 = 1.15;
/// Drain 1 s, boot 2 s, register 1 s, no soak.
const BATCH_ADDS_UP_TO: f64 = 1.0 + 2.0 + 1.0;
/// How long a lease has to stand before the engine trusts it, in seconds.
const LEASE: f64 = 1.0;

fn main() {
    println!("boot 2 s, register 1 s, drain 1 s; poll_interval as it is by default");
    for ((instances, batch, calls_before, wall_before), most) in SHAPES.into_iter().zip(CALLS) {
        let (mut calls, mut walls) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            let Some(account) = emulator::account_in_real_time() else { return };
            let (made, wall) = roll(&account, instances, batch);
            println!(
                "{instances} by {batch}: {made} calls ({calls_before}), {wall:.2} s ({wall_before})"
            );
            calls.push(made);
            walls.push(wall);
        }
        let name = |what: &str| format!("{instances} by {batch}: {what}, median");
        let adds_up_to = LEASE + BATCH_ADDS_UP_TO * f64::from(instances / batch);
        let wall = median(&mut walls);
        figure::below(&name("calls"), median(&mut calls), most, "");
        figure::below(&name("time beside 9089b13"), wall / wall_before, TIME, "x");
        figure::below(&name("time beside the waiting times"), wall / adds_up_to, BOUND, "x");
    }
}

/// Returns the calls and the seconds of one rollout.
fn roll(account: &Account, instances: u32, batch: u32) -> (f64, f64) {
    let fleet = json!({ "name": "web", "size": instances });
    let template = account.fleet(fleet, json!({ "boot": 2, "register": 1, "drain": 1 }));
    let resource = json!({
        "policy": "rolling", "batch_size_type": "fixed", "batch_size": batch,
        "health": { "min_healthy_time": "0s" },
        "auto_scaling_group": {
            "name": "web", "launch_template": { "id": template, "version": "2" },
        },
    });
    account.forget_calls();
    let begin = Instant::now();
    let ran = account.run("apply", &resource);
    let wall = begin.elapsed().as_secs_f64();
    assert_eq!(ran.code, 0, "{ran:?}");
    let calls = account.calls();
    let mut by_name: BTreeMap<&str, u32> = BTreeMap::new();
    for call in &calls {
        *by_name.entry(call["action"].as_str().unwrap_or_default()).or_default() += 1;
    }
    println!("  {by_name:?}");
    (calls.len() as f64, wall)
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
