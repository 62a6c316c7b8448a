//! `rolling serve` under load: how fast it starts, and what a thousand deployments at once cost.
//!
//! `cargo bench --bench protocol`. The figures depend on the machine; the bounds are wide.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and measures time; what does not succeed fails loudly"
)]

#[path = "support/figure.rs"]
mod figure;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const STARTS: usize = 51;
const START_WITHIN_MS: f64 = 10.0;
const DEPLOYMENTS: u64 = 1000;
const MEMORY_MB: f64 = 200.0;
const PINGS_A_SECOND: f64 = 10_000.0;
/// The number of pings in a burst, and of bursts a second.
const BURST: u64 = 120;
const BURSTS_A_SECOND: u32 = 100;

fn start(folder: &Path) -> (Child, ChildStdin, BufReader<ChildStdout>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rolling"))
        .arg("serve")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let stdin = child.stdin.take().expect("a pipe");
    let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    (child, stdin, stdout)
}

fn call(id: &Value, method: &str, params: &Value) -> String {
    let call = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    format!("{call}\n")
}

fn initialize() -> String {
    call(&json!("init"), "initialize", &json!({ "protocol_versions": [1] }))
}

/// Measures the time from the start of the process to the answer to its first request.
fn starts(folder: &Path) {
    let mut took: Vec<Duration> = (0..STARTS)
        .map(|_| {
            let begin = Instant::now();
            let (mut child, mut stdin, mut stdout) = start(folder);
            stdin.write_all(initialize().as_bytes()).expect("the program reads");
            let mut line = String::new();
            stdout.read_line(&mut line).expect("an answer");
            let took = begin.elapsed();
            assert!(line.contains("protocol_version"), "{line}");
            drop(stdin);
            child.wait().expect("an end");
            took
        })
        .collect();
    took.sort();
    let median = took[STARTS / 2];
    let name = "start to the answer to initialize, median";
    figure::below(name, median.as_secs_f64() * 1000.0, START_WITHIN_MS, "ms");
}

/// Returns the peak memory of a process, in MB.
fn peak_mb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    let kb: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    kb / 1024
}

fn apply(number: u64) -> String {
    let config = json!({
        "policy": "rolling", "batch_size_type": "percentage", "batch_size": 30,
        "simulated_fleet": { "name": format!("fleet-{number}"), "revision": "v2" },
    });
    let params =
        json!({ "type": "rolling_deployment", "config": config, "progress_token": number });
    call(&json!(number), "resource.apply", &params)
}

fn thousand(folder: &Path) {
    let (mut child, mut stdin, stdout) = start(folder);
    let over = AtomicBool::new(false);
    let begin = Instant::now();
    let (pinged, outcomes, peak) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
            let mut pings: Vec<Instant> = Vec::new();
            for line in stdout.lines() {
                let line = line.expect("UTF-8");
                if line.contains("\"ping-") {
                    pings.push(Instant::now());
                    continue;
                }
                let message: Value = serde_json::from_str(&line).expect("JSON");
                if message["id"].is_u64() {
                    let status = message["result"]["status"].as_str().unwrap_or("error");
                    *outcomes.entry(status.to_owned()).or_default() += 1;
                    if outcomes.values().sum::<u64>() == DEPLOYMENTS {
                        over.store(true, Ordering::Relaxed);
                    }
                }
            }
            (pings, outcomes)
        });
        let mut text = initialize();
        for number in 0..DEPLOYMENTS {
            text.push_str(&apply(number));
        }
        stdin.write_all(text.as_bytes()).expect("the program reads");
        let mut sent = 0;
        while !over.load(Ordering::Relaxed) {
            let burst: String = (sent..sent + BURST)
                .map(|n| call(&json!(format!("ping-{n}")), "ping", &json!({})))
                .collect();
            stdin.write_all(burst.as_bytes()).expect("the program reads");
            sent += BURST;
            std::thread::sleep(Duration::from_secs(1) / BURSTS_A_SECOND);
        }
        let peak = peak_mb(child.id());
        drop(stdin);
        let (pings, outcomes) = reader.join().expect("a reader");
        assert_eq!(pings.len() as u64, sent, "every ping is answered");
        (pings, outcomes, peak)
    });
    child.wait().expect("an end");
    println!("1,000 deployments at once              {outcomes:?} in {:.1?}", begin.elapsed());
    assert_eq!(outcomes, BTreeMap::from([("succeeded".into(), DEPLOYMENTS)]));
    figure::below("  peak memory", peak as f64, MEMORY_MB, "MB");
    let mut seconds: BTreeMap<u64, u64> = BTreeMap::new();
    for at in &pinged {
        *seconds.entry(at.duration_since(begin).as_secs()).or_default() += 1;
    }
    // The last second is incomplete.
    seconds.pop_last();
    let mut rates: Vec<u64> = seconds.into_values().collect();
    rates.sort_unstable();
    // Empty if it all took less than a second.
    let median = rates.get(rates.len() / 2).copied().unwrap_or_default();
    figure::above("  pings answered meanwhile, median", median as f64, PINGS_A_SECOND, "/s");
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    starts(folder.path());
    thousand(folder.path());
}
