//! Wall time of a rollout on LocalStack beside what its waiting times add up to.
//!
//! `cargo bench --bench localstack`. Figures depend on the machine; the ratio hardly does.
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

use std::time::Instant;

use serde_json::json;

const RUNS: usize = 3;
/// Four batches, each: drain 1 s, boot 2 s, register 1 s, no soak.
const ADDS_UP_TO: f64 = 4.0 * (1.0 + 2.0 + 1.0);
const BOUND: f64 = 1.15;

fn main() {
    let mut ratios = Vec::new();
    println!("20 instances in batches of 5; boot 2 s, register 1 s, drain 1 s; poll 200 ms");
    for _ in 0..RUNS {
        let Some(account) = emulator::account_in_real_time() else { return };
        let fleet = json!({ "name": "web", "size": 20 });
        let template = account.fleet(fleet, json!({ "boot": 2, "register": 1, "drain": 1 }));
        let resource = json!({
            "policy": "rolling", "batch_size_type": "fixed", "batch_size": 5,
            "poll_interval": "200ms", "health": { "min_healthy_time": "0s" },
            "auto_scaling_group": {
                "name": "web", "launch_template": { "id": template, "version": "2" },
            },
        });
        let begin = Instant::now();
        let ran = account.run("apply", &resource);
        let wall = begin.elapsed().as_secs_f64();
        assert_eq!(ran.code, 0, "{ran:?}");
        let report = &ran.lines().pop().expect("a report")["event"]["report"];
        let ticks = report["ticks"].as_u64().expect("ticks") as f64;
        let group = account.count("autoscaling.DescribeAutoScalingGroups") as f64;
        let health = account.count("elbv2.DescribeTargetHealth") as f64;
        let instances = account.count("ec2.DescribeInstances");
        println!(
            "wall {wall:.2} s, waiting times {ADDS_UP_TO:.0} s, ratio {:.3}; {ticks} looks, {:.2} \
             calls a look, DescribeInstances {instances} in all",
            wall / ADDS_UP_TO,
            (group - 1.0 + health) / ticks,
        );
        ratios.push(wall / ADDS_UP_TO);
    }
    ratios.sort_by(f64::total_cmp);
    let name = "wall time beside what the waiting times add up to, median";
    figure::below(name, ratios[RUNS / 2], BOUND, "x");
}
