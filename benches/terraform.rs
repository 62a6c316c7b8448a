//! The provider as Terraform uses it: how fast it starts, and how much memory a rollout takes.
//!
//! `cargo bench --bench terraform`. The figures depend on the machine; the bounds are wide.
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
#[path = "../tests/it/terraform_host.rs"]
mod terraform_host;
#[path = "../tests/it/wire.rs"]
mod wire;

use std::path::Path;
use std::time::{Duration, Instant};

use rolling::frontends::terraform::proto as p;
use serde_json::json;

use terraform_host::{Identity, Plugin, Started, connect};

const STARTS: usize = 51;
const SHAKEN_WITHIN_MS: f64 = 50.0;
const SCHEMA_WITHIN_MS: f64 = 20.0;
const INSTANCES: u32 = 100;
const MEMORY_MB: f64 = 60.0;

fn median(mut took: Vec<Duration>) -> Duration {
    took.sort();
    took[took.len() / 2]
}

fn starts(folder: &Path) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (mut shaken, mut schema) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    // Made beforehand: Terraform takes longer than all of this for its own certificate.
    let identity = Identity::new();
    for _ in 0..STARTS {
        let begin = Instant::now();
        let mut command = process::rolling();
        command.current_dir(folder).env("TMPDIR", folder);
        let mut started = Started::start(&mut command, Some(&identity.pem));
        shaken.push(begin.elapsed());
        assert!(started.line.starts_with("1|6|unix|"), "{}", started.line);
        let (socket, certificate) = (started.socket(), started.certificate());
        runtime.block_on(async {
            let mut calls = connect(&socket, certificate, Some(&identity)).await.expect("calls");
            let begin = Instant::now();
            let method = "tfplugin6.Provider/GetProviderSchema";
            let answer: p::ProviderSchema =
                calls.call(method, p::Empty {}).await.expect("a schema");
            schema.push(begin.elapsed());
            bytes = prost::Message::encoded_len(&answer);
            let method = "plugin.GRPCController/Shutdown";
            let _: p::Empty = calls.call(method, p::Empty {}).await.expect("an answer");
        });
        assert_eq!(started.ends_within(Duration::from_secs(60)), Some(0));
    }
    let (shaken, schema) = (median(shaken), median(schema));
    let ms = |took: Duration| took.as_secs_f64() * 1000.0;
    figure::below("start to handshake, median", ms(shaken), SHAKEN_WITHIN_MS, "ms");
    let name = format!("schema asked to answered, {bytes} B, median");
    figure::below(&name, ms(schema), SCHEMA_WITHIN_MS, "ms");
}

/// Returns the peak memory of a process, in MB.
fn peak_mb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    let kb: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    kb / 1024
}

fn memory() {
    let Some(account) = emulator::account_in_real_time() else { return };
    let fleet = json!({ "name": "web", "size": INSTANCES });
    let template = account.fleet(fleet, json!({ "boot": 0.5, "register": 0.3, "drain": 0.3 }));
    let mut command = account.rolling();
    let plugin = Plugin::start_as(command.env("TMPDIR", account.folder.path()));
    assert_eq!(plugin.configure(&json!({})), []);
    let config = json!({
        "policy": "rolling", "batch_size_type": "percentage", "batch_size": 10,
        "poll_interval": "200ms", "health": { "min_healthy_time": "0s" },
        "auto_scaling_group": {
            "name": "web", "launch_template": { "id": template, "version": "2" },
        },
    });
    let begin = Instant::now();
    let plan = plugin.plan(None, &config);
    let applied = plugin.apply(None, &plan, &config);
    assert_eq!(applied.found, []);
    let peak = peak_mb(plugin.started.child.id());
    let took = begin.elapsed();
    let name = format!("{INSTANCES} instances in tens on LocalStack, {took:.1?}, peak memory");
    figure::below(&name, peak as f64, MEMORY_MB, "MB");
    plugin.shut_down();
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    starts(folder.path());
    memory();
}
