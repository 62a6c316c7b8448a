//! What a large simulated fleet costs: planning it, rolling it, and ending either by a signal.
//!
//! `cargo bench --bench simulator`. Times depend on the machine; the bounds are wide.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and measures time; what does not succeed fails loudly"
)]

#[path = "support/figure.rs"]
mod figure;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

/// Instances to plan, and the bounds in seconds and MB.
const PLAN: (u32, f64, f64) = (100_000, 2.0, 300.0);
/// Instances to roll, the speed, and the bound in seconds.
const APPLY: (u32, u32, f64) = (10_000, 100, 90.0);
/// The bound on the seconds from a signal to the end of either.
const END: f64 = 1.0;
/// Batches of one instance in the two plans to compare, and the bound on the ratio of their times.
const BATCHES: (u32, u32, f64) = (1_000, 2_000, 3.0);

fn document(folder: &Path, instances: u32, batch: (&str, u32)) {
    let document = json!({
        "provider": { "rolling": { "simulator": { "speed": APPLY.1 } } },
        "resource": { "rolling_deployment": { "web": {
            "policy": "rolling", "batch_size_type": batch.0, "batch_size": batch.1,
            "simulated_fleet": { "name": "web", "revision": "v2", "instances": instances },
        } } },
    });
    std::fs::write(folder.join("web.tf.json"), document.to_string()).expect("a document");
}

fn start(folder: &Path, command: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_rolling"))
        .args([command, "web.tf.json", "--output", "json"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts")
}

/// Returns the most memory that `child` has held so far, in MB.
fn peak(child: &Child) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024.0)
}

/// Runs `command` to its end. Returns the seconds, the peak memory in MB, and the exit code.
fn run(folder: &Path, command: &str) -> (f64, f64, Option<i32>) {
    let begin = Instant::now();
    let mut child = start(folder, command);
    let mut most = 0.0f64;
    loop {
        most = most.max(peak(&child).unwrap_or_default());
        if let Some(status) = child.try_wait().expect("a child") {
            return (begin.elapsed().as_secs_f64(), most, status.code());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Asks `command` to stop after `after`, and returns the seconds that it took to end.
fn ends(folder: &Path, command: &str, after: Duration) -> f64 {
    let mut child = start(folder, command);
    std::thread::sleep(after);
    let id = child.id().to_string();
    Command::new("kill").args(["-TERM", &id]).status().expect("a signal");
    let begin = Instant::now();
    child.wait().expect("it ends");
    begin.elapsed().as_secs_f64()
}

fn main() {
    let folder = || tempfile::tempdir().expect("a folder");

    let (instances, within, memory) = PLAN;
    let planned = folder();
    document(planned.path(), instances, ("percentage", 10));
    let mut runs: Vec<(f64, f64, Option<i32>)> =
        (0..3).map(|_| run(planned.path(), "plan")).collect();
    assert!(runs.iter().all(|(.., code)| *code == Some(0)), "{runs:?}");
    runs.sort_by(|one, other| one.0.total_cmp(&other.0));
    figure::below(&format!("plan of {instances}, median"), runs[1].0, within, "s");
    let most = runs.iter().map(|run| run.1).fold(0.0, f64::max);
    figure::below(&format!("plan of {instances}, peak memory"), most, memory, "MB");
    let ended = ends(planned.path(), "plan", Duration::from_millis(200));
    figure::below(&format!("plan of {instances}, from SIGTERM to its end"), ended, END, "s");

    let (instances, speed, within) = APPLY;
    let rolled = folder();
    document(rolled.path(), instances, ("percentage", 10));
    let ended = ends(rolled.path(), "apply", Duration::from_secs(3));
    figure::below(&format!("apply of {instances}, from SIGTERM to its end"), ended, END, "s");
    let rolled = folder();
    document(rolled.path(), instances, ("percentage", 10));
    let (took, _, code) = run(rolled.path(), "apply");
    assert_eq!(code, Some(0), "apply of {instances} at speed {speed}");
    figure::below(&format!("apply of {instances} at speed {speed}"), took, within, "s");

    let (few, many, most) = BATCHES;
    let of = |batches| {
        let folder = folder();
        document(folder.path(), batches, ("fixed", 1));
        (0..5).map(|_| run(folder.path(), "plan").0).fold(f64::MAX, f64::min)
    };
    let growth = of(many) / of(few);
    figure::below(&format!("plan of {many} batches beside one of {few}"), growth, most, "x");
}
