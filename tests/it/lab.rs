//! LocalStack with the lab in it: started once for all tests, gone when they are.
//!
//! The launcher ends LocalStack as soon as its standard input ends, which the system sees to
//! however this process ends.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};

use crate::process::{self, Ran};

/// An account of its own: 12 digits that LocalStack takes for the access key and the account.
pub struct Account {
    pub id: String,
    pub endpoint: &'static str,
    pub folder: tempfile::TempDir,
    /// Calls that were not made by this program: how many, by action; `None` for any number.
    foreign: Mutex<Option<BTreeMap<String, u64>>>,
}

struct Lab {
    endpoint: String,
    _launcher: Option<Child>,
}

/// A fresh account, or `None` after saying why there is none.
pub fn account() -> Option<Account> {
    static LAB: OnceLock<Lab> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(1);
    if let Ok(endpoint) = std::env::var("ROLLING_TEST_ENDPOINT") {
        let door = format!("{endpoint}/_lab/000000000000/times");
        if ureq::get(door).call().is_err() {
            eprintln!("skipped: {endpoint} (ROLLING_TEST_ENDPOINT) has no lab door to control it");
            return None;
        }
    }
    let lab = LAB.get_or_init(start);
    // Another process may use the same LocalStack.
    let number = u64::from(std::process::id()) * 1000 + NEXT.fetch_add(1, Ordering::Relaxed);
    Some(Account {
        id: format!("{:012}", number % 1_000_000_000_000),
        endpoint: &lab.endpoint,
        folder: tempfile::tempdir().expect("a folder"),
        foreign: Mutex::new(Some(BTreeMap::new())),
    })
}

fn start() -> Lab {
    if let Ok(endpoint) = std::env::var("ROLLING_TEST_ENDPOINT") {
        return Lab { endpoint, _launcher: None };
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/localstack/lab.py");
    let mut launcher = Command::new("python3")
        .arg(script)
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "these tests need Python 3.11 or newer as `python3`, with its venv module, to \
                 start LocalStack: {error}"
            )
        });
    let mut line = String::new();
    BufReader::new(launcher.stdout.take().expect("a pipe"))
        .read_line(&mut line)
        .expect("the launcher's answer");
    let told: Value = serde_json::from_str(&line)
        .unwrap_or_else(|_| panic!("LocalStack did not start; its launcher says why above"));
    let endpoint = told["endpoint"].as_str().expect("an endpoint").to_owned();
    Lab { endpoint, _launcher: Some(launcher) }
}

/// The actions of `docs/iam-policy.json`.
pub fn policy() -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/iam-policy.json");
    let policy = std::fs::read_to_string(file).expect("the policy");
    let policy: Value = serde_json::from_str(&policy).expect("JSON");
    let statements = policy["Statement"].as_array().expect("statements").iter();
    let actions = statements.flat_map(|statement| match &statement["Action"] {
        Value::Array(actions) => actions.clone(),
        action => vec![action.clone()],
    });
    actions.map(|action| action.as_str().expect("an action").to_owned()).collect()
}

/// Whatever a test was about, the policy that is handed out must have allowed it.
impl Drop for Account {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let beyond: Vec<String> = self.called().difference(&policy()).cloned().collect();
        assert_eq!(beyond, Vec::<String>::new(), "not in docs/iam-policy.json");
    }
}

impl Account {
    fn door(&self, path: &str) -> String {
        format!("{}/_lab/{}/{path}", self.endpoint, self.id)
    }

    pub fn get(&self, path: &str) -> Value {
        let mut answer = ureq::get(self.door(path)).call().expect("the door answers");
        answer.body_mut().read_json().expect("JSON")
    }

    pub fn put(&self, path: &str, body: Value) -> Value {
        let mut answer = ureq::put(self.door(path)).send_json(body).expect("the door answers");
        answer.body_mut().read_json().expect("JSON")
    }

    /// Makes a fleet, sets the times, and returns the id of its launch template.
    pub fn fleet(&self, fleet: Value, times: Value) -> String {
        let made = self.make("fleet", fleet, times);
        made["launch_template"].as_str().expect("a template").to_owned()
    }

    /// Makes what `path` of the door makes, and sets the times.
    pub fn make(&self, path: &str, wanted: Value, times: Value) -> Value {
        let made = self.put(path, wanted);
        self.put("times", times);
        self.foreign();
        made
    }

    /// The program on this account.
    pub fn rolling(&self) -> Command {
        let mut command = process::rolling();
        command
            .env("AWS_ACCESS_KEY_ID", &self.id)
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ENDPOINT_URL", self.endpoint)
            .current_dir(self.folder.path());
        command
    }

    /// Runs the program's `command` on a document with this one resource.
    pub fn run(&self, command: &str, resource: &Value) -> Ran {
        let document = json!({ "resource": { "rolling_deployment": { "web": resource } } });
        let file = process::write(self.folder.path(), &document);
        process::run(self.rolling().args([command, "--output", "json"]).arg(file))
    }

    /// What was called so far was called by somebody else.
    pub fn foreign(&self) {
        *self.foreign.lock().expect("calls") = Some(self.counts());
    }

    /// Others than this program call what they like on this account.
    pub fn shared(&self) {
        *self.foreign.lock().expect("calls") = None;
    }

    /// Calls a service that takes its parameters as a form, its version among them, as somebody
    /// else.
    pub fn query(&self, service: &str, form: &str) {
        let scope = format!("Credential={}/20260101/us-east-1/{service}/aws4_request", self.id);
        let signed = format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0");
        ureq::post(self.endpoint)
            .header("Authorization", signed)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .send(form)
            .expect("the service answers");
    }

    /// Calls a service that takes JSON, as somebody else.
    pub fn json(&self, service: &str, target: &str, body: &Value) -> Value {
        let scope = format!("Credential={}/20260101/us-east-1/{service}/aws4_request", self.id);
        let signed = format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0");
        let mut answer = ureq::post(self.endpoint)
            .header("Authorization", signed)
            .header("X-Amz-Target", target)
            .header("Content-Type", "application/x-amz-json-1.1")
            .send(body.to_string())
            .expect("the service answers");
        answer.body_mut().read_json().expect("JSON")
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        let calls = self.get("calls");
        let counts = calls["counts"].as_object().expect("counts").iter();
        counts.map(|(name, count)| (name.clone(), count.as_u64().unwrap_or_default())).collect()
    }

    /// What this program has called here, as IAM names it.
    pub fn called(&self) -> BTreeSet<String> {
        let foreign = self.foreign.lock().expect("calls");
        let Some(foreign) = foreign.as_ref() else { return BTreeSet::new() };
        let mut called = self.counts();
        called.retain(|name, count| *count > foreign.get(name).copied().unwrap_or_default());
        let names = called.into_keys();
        names
            .map(|name| {
                let (service, action) = name.split_once('.').expect("a service and an action");
                // IAM knows both generations of load balancers by one name.
                let service = if service == "elbv2" { "elasticloadbalancing" } else { service };
                format!("{service}:{action}")
            })
            .collect()
    }

    /// Actions called so far that are more than looking.
    pub fn mutations(&self) -> Vec<String> {
        let calls = self.get("calls");
        let counts = calls["counts"].as_object().expect("counts").keys();
        counts.filter(|name| !name.contains(".Describe")).cloned().collect()
    }

    pub fn count(&self, action: &str) -> u64 {
        self.get("calls")["counts"][action].as_u64().unwrap_or_default()
    }

    pub fn timeline(&self) -> Vec<Value> {
        self.get("timeline")["events"].as_array().expect("events").clone()
    }
}
