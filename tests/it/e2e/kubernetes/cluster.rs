//! A Kubernetes control plane for the tests of a run, ended with them: a real API server and its
//! controllers, from `tests/kubernetes`.
//!
//! `ROLLING_TEST_KUBECONFIG` names another cluster instead. Where neither is to be had, the tests say
//! why they are skipped.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::process::{Ran, rolling, run};

/// Exit code of the control plane's program where it can neither be found nor be built.
const NOT_HERE: i32 = 69;

struct Plane {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    _process: Option<Child>,
}

/// A namespace of one test, removed with it.
pub struct Namespace {
    pub name: String,
    pub folder: tempfile::TempDir,
    plane: &'static Plane,
}

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubernetes")
}

/// Starts the control plane. `None` after saying why there is none.
fn start() -> Option<Plane> {
    if let Some(kubeconfig) = std::env::var_os("ROLLING_TEST_KUBECONFIG") {
        return Some(Plane {
            kubeconfig: kubeconfig.into(),
            kubectl: "kubectl".into(),
            _process: None,
        });
    }
    let mut child = Command::new("python3")
        .arg(tools().join("control_plane.py"))
        .args(["run", "--boot", "0.3", "--ready", "0.2", "--drain", "0.2", "--backoff", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("its standard output");
    let Ok(found) = serde_json::from_str::<Value>(&line) else {
        let mut why = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut why).expect("UTF-8");
        let code = child.wait().expect("an end").code();
        assert_eq!(code, Some(NOT_HERE), "{line} {why}");
        eprintln!("skipped: {}", why.trim());
        return None;
    };
    let path = |name: &str| PathBuf::from(found[name].as_str().expect("a path"));
    Some(Plane {
        kubeconfig: path("kubeconfig"),
        kubectl: path("kubectl"),
        // Its standard input ends with this process, and it with that.
        _process: Some(child),
    })
}

/// Returns a new namespace with a Deployment `web` of `replicas` pods of `app:v1`, all of them
/// available; `None` after saying why there is no cluster.
pub fn namespace(replicas: u32) -> Option<Namespace> {
    static PLANE: OnceLock<Option<Plane>> = OnceLock::new();
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let plane = PLANE.get_or_init(start).as_ref()?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("rolling-test-{}-{number}", std::process::id());
    let namespace = Namespace { name, folder: tempfile::tempdir().expect("a folder"), plane };
    namespace.kubectl(&["create", "namespace", &namespace.name]);
    namespace.apply(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "app", "image": "app:v1" }] },
            },
        },
    }));
    namespace.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    Some(namespace)
}

impl Namespace {
    /// Runs kubectl in the namespace, and returns what it prints.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let ran = run(Command::new(&self.plane.kubectl)
            .env("KUBECONFIG", &self.plane.kubeconfig)
            .args(["--namespace", &self.name])
            .args(arguments));
        assert_eq!(ran.code, 0, "kubectl {arguments:?}: {ran:?}");
        ran.stdout
    }

    /// Creates or changes an object, as somebody with a manifest does.
    pub fn apply(&self, object: &Value) {
        let file = self.folder.path().join("object.json");
        std::fs::write(&file, object.to_string()).expect("a file");
        self.kubectl(&["apply", "--filename", file.to_str().expect("UTF-8")]);
    }

    /// Returns a part of the Deployment.
    pub fn deployment(&self, pointer: &str) -> Value {
        self.part_of("deployment/web", pointer)
    }

    /// Creates a StatefulSet `db` of `replicas` pods of `app:v1`, and waits until all are available.
    pub fn stateful_set(&self, replicas: u32) {
        self.apply(&json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "db" },
            "spec": {
                "replicas": replicas, "serviceName": "db",
                "selector": { "matchLabels": { "app": "db" } },
                "template": {
                    "metadata": { "labels": { "app": "db" } },
                    "spec": { "containers": [{ "name": "app", "image": "app:v1" }] },
                },
            },
        }));
        self.kubectl(&["rollout", "status", "statefulset/db", "--timeout=60s"]);
    }

    /// Returns a part of a workload.
    pub fn part_of(&self, workload: &str, pointer: &str) -> Value {
        let text = self.kubectl(&["get", workload, "--output", "json"]);
        let found: Value = serde_json::from_str(&text).expect("JSON");
        found.pointer(pointer).cloned().unwrap_or_default()
    }

    /// Returns the provider's configuration.
    pub fn provider(&self) -> Value {
        json!({ "kubernetes": { "kubeconfig": self.plane.kubeconfig } })
    }

    /// Returns a deployment that rolls to this tag, with `more` attributes.
    pub fn config(&self, tag: &str, more: &Value) -> Value {
        let mut deployment = json!({
            "policy": "rolling", "max_unavailable": 2, "poll_interval": "1s",
            "health": { "min_healthy_time": "2s", "healthy_timeout": "15s" },
            "kubernetes_deployment": {
                "namespace": self.name, "name": "web", "images": { "app": format!("app:{tag}") },
            },
        });
        for (name, value) in more.as_object().expect("attributes") {
            deployment[name] = value.clone();
        }
        deployment
    }

    /// Writes a document with [`Self::config`].
    pub fn document(&self, tag: &str, more: &Value) -> PathBuf {
        let document = json!({
            "provider": { "rolling": self.provider() },
            "resource": { "rolling_deployment": { "web": self.config(tag, more) } },
        });
        let file = self.folder.path().join(format!("{tag}.tf.json"));
        std::fs::write(&file, document.to_string()).expect("a file");
        file
    }

    /// Makes the cluster's user without permissions one with the documented role in this namespace, and
    /// returns `document` as that user's.
    pub fn as_documented_user(&self, document: &Path) -> PathBuf {
        let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kubernetes-role.yaml");
        self.kubectl(&["apply", "--filename", role.to_str().expect("UTF-8")]);
        let binding = ["create", "rolebinding", "rolling", "--role=rolling", "--user=nobody"];
        self.kubectl(&binding);
        let text = std::fs::read_to_string(document).expect("a document");
        let mut read: Value = serde_json::from_str(&text).expect("JSON");
        read["provider"]["rolling"]["kubernetes"]["context"] = json!("nobody");
        let file = self.folder.path().join("nobody.tf.json");
        std::fs::write(&file, read.to_string()).expect("a file");
        file
    }

    /// Returns the program with this subcommand for `document`.
    pub fn command(&self, subcommand: &str, document: &Path) -> Command {
        let mut command = rolling();
        command.current_dir(self.folder.path()).arg(subcommand).arg(document);
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, subcommand: &str, document: &Path) -> Ran {
        run(&mut self.command(subcommand, document))
    }

    /// Checks that nothing of a rollout is left: no `Lease`, nothing borrowed, and the controller
    /// goes on.
    pub fn assert_clean(&self) {
        let leases = self.kubectl(&["get", "leases", "--output", "name"]);
        assert_eq!(leases, "", "a record is left");
        let rolling = self.deployment("/spec/strategy/rollingUpdate");
        assert_eq!(rolling, json!({ "maxSurge": "25%", "maxUnavailable": "25%" }));
        let [ready, paused] =
            ["minReadySeconds", "paused"].map(|name| self.deployment(&format!("/spec/{name}")));
        assert!([Value::Null, json!(0)].contains(&ready), "{ready}");
        assert!(paused.is_null(), "{paused}");
        assert_eq!(self.deployment("/spec/progressDeadlineSeconds"), json!(600));
    }

    /// Begins to watch the pods.
    pub fn witness(&self) -> Witness {
        self.witness_of("deployment/web")
    }

    /// Begins to watch the pods of a workload.
    pub fn witness_of(&self, workload: &str) -> Witness {
        let mut process = Command::new("python3")
            .arg(tools().join("witness.py"))
            .arg("--kubeconfig")
            .arg(&self.plane.kubeconfig)
            .args(["--namespace", &self.name, workload])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python");
        let mut output = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut first = String::new();
        output.read_line(&mut first).expect("its first line");
        Witness { process, output, first }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let done = Command::new(&self.plane.kubectl)
            .env("KUBECONFIG", &self.plane.kubeconfig)
            .args(["delete", "namespace", &self.name, "--wait=false"])
            .output();
        drop(done);
    }
}

/// Who watches the pods, whatever the program says of them.
pub struct Witness {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
    first: String,
}

/// What a witness has seen.
#[derive(Debug)]
pub struct WitnessedSizes {
    /// How many pods of the last revision, and of all others, were asked for, in order.
    pub asked: Vec<(u64, u64)>,
    /// How many of them lived.
    pub live: Vec<(u64, u64)>,
    /// How many took requests at least.
    pub least_ready: u64,
    /// How many were asked for at most, of all revisions. What Kubernetes bounds is this: the pod of a
    /// ReplicaSet that is lowered may live a moment longer than the one that takes its place waits.
    pub most_asked: u64,
}

impl Witness {
    /// Stops watching. `image` is that of the last revision.
    pub fn seen(mut self, image: &str) -> WitnessedSizes {
        drop(self.process.stdin.take());
        let mut text = self.first;
        self.output.read_to_string(&mut text).expect("UTF-8");
        self.process.wait().expect("an end");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let lines: Vec<Value> = lines.collect();
        let [asked, live] = ["asked", "live"].map(|number| sizes(&lines, image, number));
        let summary = &lines.last().expect("a summary")["summary"];
        let figure = |name: &str| summary[name].as_u64().expect("a figure");
        WitnessedSizes {
            asked,
            live,
            least_ready: figure("min_ready"),
            most_asked: figure("max_asked"),
        }
    }
}

/// Returns a number of pods of `image`, and of all others, whenever one of them changed.
fn sizes(lines: &[Value], image: &str, number: &str) -> Vec<(u64, u64)> {
    let mut sizes = Vec::new();
    for line in lines.iter().filter(|line| line["asked"].is_u64()) {
        let revisions = line["revisions"].as_array().expect("revisions");
        let of = |new: bool| -> u64 {
            let them = revisions.iter().filter(|it| (it["images"] == json!([image])) == new);
            them.map(|it| it[number].as_u64().expect("a number")).sum()
        };
        let now = (of(true), of(false));
        if sizes.last() != Some(&now) {
            sizes.push(now);
        }
    }
    sizes
}
