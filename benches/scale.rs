//! What a large rollout costs, and a small one compared with the script that people write by hand.
//!
//! `cargo bench --bench scale`. Figures depend on the machine; the bounds are wide.
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
#[path = "../tests/it/wire.rs"]
mod wire;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const INSTANCES: u64 = 500;
const WITHIN_SECONDS: f64 = 60.0;
const MEMORY_MB: f64 = 80.0;
const FEW: u64 = 6;

fn resource(template: &str, batch: u64) -> Value {
    json!({
        "policy": "rolling", "batch_size_type": "fixed", "batch_size": batch,
        "health": { "min_healthy_time": "0s" },
        "auto_scaling_group": {
            "name": "web", "launch_template": { "id": template, "version": "2" },
        },
    })
}

/// Rolls, and returns the report, the wall time and the peak memory in MB.
fn roll(account: &emulator::Account, resource: &Value) -> (Value, Duration, u64) {
    let document = json!({ "resource": { "rolling_deployment": { "web": resource } } });
    let file = process::write(account.folder.path(), &document);
    let mut command = account.rolling();
    command.args(["apply", "--output", "json"]).arg(file).stdout(Stdio::piped());
    let begin = Instant::now();
    let mut child = command.spawn().expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let stdout = child.stdout.take().expect("a pipe");
    let reader = std::thread::spawn(move || std::io::read_to_string(stdout).expect("text"));
    let mut peak_kb = 0;
    while child.try_wait().expect("a process").is_none() {
        let told = std::fs::read_to_string(&status).unwrap_or_default();
        let peak = told.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kb = peak.and_then(|line| line.split_whitespace().next()?.parse().ok());
        peak_kb = peak_kb.max(kb.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = begin.elapsed();
    let told = reader.join().expect("the output");
    let last: Value = serde_json::from_str(told.lines().last().expect("a report")).expect("JSON");
    let report = last["event"]["report"].clone();
    assert_eq!(report["outcome"], "succeeded", "{report}");
    (report, took, peak_kb / 1024)
}

fn calls(account: &emulator::Account) -> u64 {
    account.calls().len() as u64
}

fn large() {
    let Some(account) = emulator::account_in_real_time() else { return };
    let none = json!({ "boot": 0, "register": 0, "drain": 0, "terminate": 0 });
    let template = account.fleet(json!({ "name": "web", "size": INSTANCES }), none);
    let (report, took, peak) = roll(&account, &resource(&template, 50));
    let ticks = report["ticks"].as_u64().expect("ticks");
    let (calls, most) = (calls(&account), 3 * (INSTANCES + ticks));
    println!("{INSTANCES} instances in fifties, lab times zero, {ticks} looks");
    figure::below("  wall time", took.as_secs_f64(), WITHIN_SECONDS, "s");
    figure::below("  calls", calls as f64, most as f64, "");
    figure::below("  peak memory", peak as f64, MEMORY_MB, "MB");
}

/// Returns the path of the lab's Python, which has boto3.
fn python() -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/localstack/lab.py");
    let told = Command::new("python3").args([script, "install"]).output().expect("Python");
    String::from_utf8(told.stdout).expect("a path").trim().to_owned()
}

fn beside_a_script() {
    let times = json!({ "boot": 2, "register": 1, "drain": 1 });
    let Some(account) = emulator::account_in_real_time() else { return };
    let template = account.fleet(json!({ "name": "web", "size": FEW }), times.clone());
    let (_, ours, _) = roll(&account, &resource(&template, 1));
    let our_calls = calls(&account);

    let Some(account) = emulator::account_in_real_time() else { return };
    account.shared();
    let template = account.fleet(json!({ "name": "web", "size": FEW }), times);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/boto3/roll.py");
    let begin = Instant::now();
    let ran = Command::new(python())
        .args([script, account.endpoint, "web", &template, "2"])
        .env("AWS_ACCESS_KEY_ID", &account.id)
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .output()
        .expect("the script runs");
    let theirs = begin.elapsed();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let told: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    println!(
        "{FEW} instances one by one, boot 2 s, register 1 s, drain 1 s: {ours:.1?} and {our_calls} \
         calls; a boto3 script with sleeps of 10 s: {theirs:.1?} and {} calls; {:.1} times as fast",
        told["calls"],
        theirs.as_secs_f64() / ours.as_secs_f64(),
    );
}

fn main() {
    large();
    beside_a_script();
}
