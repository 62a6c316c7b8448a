//! What a Deployment of a thousand pods costs: calls, memory, and how soon its end is told.
//!
//! `cargo bench --bench kubernetes`. The cluster is the fake one of the tests, over HTTP and in real
//! time.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and measures time; what does not succeed fails loudly"
)]

#[path = "support/figure.rs"]
mod figure;

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rolling_kubernetes_testing::{Cluster, HttpServer, InMemoryService, Settings};
use serde_json::{Value, json};

const PODS: u32 = 1_000;
const RUNS: usize = 3;
/// The bounds on calls of one look, on memory in MB, and on the seconds from the last pod that is
/// available to the exit of the program.
const CALLS: f64 = 5.0;
const MEMORY: f64 = 60.0;
const END: f64 = 10.0;

/// What one rollout has cost.
struct Cost {
    calls: f64,
    memory: f64,
    end: f64,
    seconds: f64,
}

fn main() {
    println!(
        "{PODS} pods, a quarter at once, min_healthy_time 2 s; poll_interval as it is by default"
    );
    let costs: Vec<Cost> = (0..RUNS).map(|_| roll()).collect();
    let median = |of: fn(&Cost) -> f64| {
        let mut values: Vec<f64> = costs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    figure::below("reads of one look, median", median(|cost| cost.calls), CALLS, "");
    figure::below("peak memory, median", median(|cost| cost.memory), MEMORY, "MB");
    figure::below(
        "from the last available pod to exit 0, median",
        median(|cost| cost.end),
        END,
        "s",
    );
    println!("the whole rollout, median {:.1} s", median(|cost| cost.seconds));
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time since 1970")
}

/// Returns a cluster with the Deployment, all of whose pods are available.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new(Settings::default(), since_1970() - Duration::from_secs(600));
    cluster.seed(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "shop" },
        "spec": {
            "replicas": PODS,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "app", "image": "app:v1" }] },
            },
        },
    }));
    cluster.advance_to(since_1970());
    cluster
}

/// Rolls it to another image.
fn roll() -> Cost {
    let server = HttpServer::start(InMemoryService::new(cluster(), since_1970)).expect("a server");
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let kubeconfig = file("kubeconfig", server.kubeconfig("shop"));
    let document = json!({
        "provider": { "rolling": { "kubernetes": { "kubeconfig": kubeconfig } } },
        "resource": { "rolling_deployment": { "web": {
            "policy": "rolling", "max_surge": 0, "max_unavailable": "25%",
            "health": { "min_healthy_time": "2s" },
            "kubernetes_deployment": {
                "namespace": "shop", "name": "web", "images": { "app": "app:v2" },
            },
        } } },
    });
    let document = file("web.tf.json", document.to_string());
    let reads = || {
        server.service().with(|cluster| cluster.calls().iter().filter(|it| !it.is_write()).count())
    };
    let (before, began) = (reads(), Instant::now());
    let mut child = Command::new(env!("CARGO_BIN_EXE_rolling"))
        .arg("apply")
        .arg(&document)
        .args(["--output", "json"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut output = child.stdout.take().expect("a pipe");
    let printed = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).expect("UTF-8");
        text
    });
    let mut memory = 0.0_f64;
    let status = loop {
        memory = memory.max(peak(&child).unwrap_or_default());
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let ended = since_1970();
    let text = printed.join().expect("its output");
    assert_eq!(status.code(), Some(0), "{text}");
    let ticks = ticks(&text).expect("a report");
    let available = server.service().with(|cluster| {
        let all = cluster.timeline().of("shop", "web");
        let done = all.filter(|it| {
            it.new_and_old(|set| set.available) == (i64::from(PODS), 0)
                && it.sets.iter().any(|set| set.current && set.image == "app:v2")
        });
        done.map(|moment| moment.at).min().expect("all are available")
    });
    Cost {
        calls: (reads() - before) as f64 / ticks,
        memory,
        end: ended.saturating_sub(available).as_secs_f64(),
        seconds: began.elapsed().as_secs_f64(),
    }
}

/// Returns how many looks the report counts.
fn ticks(text: &str) -> Option<f64> {
    let lines = text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter_map(|line| find(&line, "ticks")).next()
}

fn find(value: &Value, name: &str) -> Option<f64> {
    match value {
        Value::Object(fields) => fields.iter().find_map(|(key, value)| match key == name {
            true => value.as_f64(),
            false => find(value, name),
        }),
        Value::Array(items) => items.iter().find_map(|item| find(item, name)),
        _ => None,
    }
}

/// Returns the most memory that `child` has held so far, in MB.
fn peak(child: &Child) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024.0)
}
