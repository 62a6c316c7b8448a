//! `kubectl` as a judge that is not ours. Without it on the PATH the test says so and passes.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Instant;

use rolling_kubernetes_testing::{HttpServer, InMemoryService};
use serde_json::Value;

use crate::support::{Lab, manifest};

/// How much faster than real time the cluster is.
const FASTER: u32 = 10;

struct Kubectl {
    server: HttpServer,
    config: PathBuf,
}

impl Kubectl {
    fn new(name: &str) -> Self {
        static BEGIN: OnceLock<Instant> = OnceLock::new();
        let lab = Lab::new();
        let (epoch, began) = (lab.cluster.now(), *BEGIN.get_or_init(real_now));
        let base = began.elapsed();
        let service =
            InMemoryService::new(lab.cluster, move || epoch + (began.elapsed() - base) * FASTER);
        let server = HttpServer::start(service).expect("a server");
        let config = std::env::temp_dir().join(format!("fake-{name}-{}.json", std::process::id()));
        std::fs::write(&config, server.kubeconfig("shop")).expect("written");
        Self { server, config }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program());
        command
            .arg("--kubeconfig")
            .arg(&self.config)
            .arg("--cache-dir")
            .arg(self.config.with_extension("cache"));
        let output = command.args(arguments).output().expect("kubectl");
        println!(
            "kubectl {}: {}{}{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Kubectl {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.config);
        let _ = std::fs::remove_dir_all(self.config.with_extension("cache"));
    }
}

fn real_now() -> Instant {
    Instant::now()
}

/// Another kubectl than that on the PATH, for a run by hand.
fn program() -> std::ffi::OsString {
    std::env::var_os("FAKE_KUBECTL").unwrap_or_else(|| "kubectl".into())
}

fn is_there() -> bool {
    let there = Command::new(program())
        .args(["version", "--client"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        println!("skipped: no kubectl on the PATH");
    }
    there
}

#[test]
fn it_rolls_waits_and_goes_back() {
    if !is_there() {
        return;
    }
    let kubectl = Kubectl::new("rolls");
    kubectl.good(&["set", "image", "deployment/web", "app=web:v2"]);
    let status = kubectl.good(&["rollout", "status", "deployment/web", "--timeout=30s"]);
    assert!(status.contains("deployment \"web\" successfully rolled out"), "{status}");
    assert!(status.contains("Waiting for deployment \"web\" rollout to finish"), "{status}");
    let object: Value =
        serde_json::from_str(&kubectl.good(&["get", "deployment/web", "-o", "json"]))
            .expect("JSON");
    assert_eq!(object["spec"]["template"]["spec"]["containers"][0]["image"], "web:v2");
    kubectl.good(&["rollout", "undo", "deployment/web"]);
    kubectl.good(&["rollout", "status", "deployment/web", "--timeout=30s"]);
    let image = kubectl.good(&[
        "get",
        "deploy",
        "web",
        "-o",
        "jsonpath={.spec.template.spec.containers[0].image}",
    ]);
    assert_eq!(image, "web:v1");
    let history = kubectl.good(&["rollout", "history", "deployment/web"]);
    assert!(history.contains('3') && !history.contains("\n1 "), "{history}");
    let pods: Value =
        serde_json::from_str(&kubectl.good(&["get", "pods", "-l", "app=web", "-o", "json"]))
            .expect("JSON");
    assert_eq!(pods["items"].as_array().map(Vec::len), Some(6));
    assert!(kubectl.server.url().starts_with("http://127.0.0.1:"));
}

#[test]
fn it_applies_pauses_scales_and_describes() {
    if !is_there() {
        return;
    }
    let kubectl = Kubectl::new("applies");
    let file = kubectl.config.with_extension("manifest.json");
    let mut wanted = manifest(4, "web:v3");
    std::fs::write(&file, wanted.to_string()).expect("written");
    let path = file.to_str().expect("a path");
    kubectl.good(&["apply", "--validate=false", "-f", path]);
    kubectl.good(&["rollout", "status", "deployment/web", "--timeout=30s"]);
    wanted["spec"]["strategy"]["rollingUpdate"]["maxSurge"] = 0.into();
    wanted["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] = 0.into();
    std::fs::write(&file, wanted.to_string()).expect("written");
    let refused = kubectl.run(&["apply", "--validate=false", "-f", path]);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && message.contains("may not be 0 when `maxSurge` is 0"),
        "{message}"
    );
    kubectl.good(&["rollout", "pause", "deployment/web"]);
    let again = kubectl.run(&["rollout", "undo", "deployment/web"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("paused"));
    kubectl.good(&["rollout", "resume", "deployment/web"]);
    kubectl.good(&["scale", "deployment/web", "--replicas=2"]);
    kubectl.good(&["rollout", "status", "deployment/web", "--timeout=30s"]);
    kubectl.good(&["wait", "--for=condition=Available", "deployment/web", "--timeout=30s"]);
    let described = kubectl.good(&["describe", "deployment", "web"]);
    assert!(
        described.contains("ScalingReplicaSet") && described.contains("NewReplicaSetAvailable"),
        "{described}"
    );
    kubectl.good(&["delete", "deployment", "web", "--timeout=30s"]);
    std::fs::remove_file(&file).expect("removed");
}

#[test]
fn it_sees_a_failure() {
    if !is_there() {
        return;
    }
    let kubectl = Kubectl::new("fails");
    kubectl.good(&[
        "patch",
        "deployment",
        "web",
        "-p",
        "{\"spec\":{\"progressDeadlineSeconds\":8}}",
    ]);
    kubectl.good(&["set", "image", "deployment/web", "app=web:no-image"]);
    let status = kubectl.run(&["rollout", "status", "deployment/web", "--timeout=30s"]);
    let message = String::from_utf8_lossy(&status.stderr).into_owned();
    assert!(message.contains("deployment \"web\" exceeded its progress deadline"), "{message}");
    let events =
        kubectl.good(&["get", "events", "--field-selector", "reason=Failed", "-o", "json"]);
    assert!(events.contains("Error: ErrImagePull"), "{events}");
}
