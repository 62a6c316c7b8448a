//! LocalStack with the lab in it: one for all tests of a run, ended with them.
//!
//! A runner with many test processes (nextest) starts it once before them and names it in
//! `ROLLING_TEST_ENDPOINT`; otherwise this process starts it. The launcher ends LocalStack when its
//! standard input ends, which happens however this process ends.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::process::{self, Ran};

/// An AWS account for one test: 12 digits that LocalStack takes as access key and as account.
pub struct Account {
    pub id: String,
    pub endpoint: &'static str,
    pub folder: tempfile::TempDir,
    lab: &'static Lab,
    /// Calls that others made: how many, by action; `None` for any number.
    foreign: Mutex<Option<BTreeMap<String, u64>>>,
}

struct Lab {
    endpoint: String,
    /// When the lab's time began, in seconds since 1970, and how many times as fast as real time it
    /// is.
    start: f64,
    speed: f64,
    _launcher: Option<Child>,
}

/// Returns a fresh account, or `None` after reporting why there is none.
pub fn account() -> Option<Account> {
    account_where("--for-tests")
}

/// The same in a lab that runs in real time, to measure times. (A lab that is already there keeps
/// its speed.)
#[allow(dead_code, reason = "the benchmarks share this file")]
pub fn account_in_real_time() -> Option<Account> {
    let account = account_where("--speed=1")?;
    assert_eq!(account.lab.speed, 1.0, "ROLLING_TEST_ENDPOINT names a lab faster than real time");
    Some(account)
}

fn account_where(speed: &str) -> Option<Account> {
    static LAB: OnceLock<Option<Lab>> = OnceLock::new();
    let lab = LAB.get_or_init(|| find(speed)).as_ref()?;
    // Other processes may use the same LocalStack.
    let number = RandomState::new().hash_one(std::process::id());
    Some(Account {
        id: format!("{:012}", number % 1_000_000_000_000),
        endpoint: &lab.endpoint,
        folder: tempfile::tempdir().expect("a folder"),
        lab,
        foreign: Mutex::new(Some(BTreeMap::new())),
    })
}

/// Returns the lab that is there, or starts one.
fn find(speed: &str) -> Option<Lab> {
    let (endpoint, launcher) = match std::env::var("ROLLING_TEST_ENDPOINT") {
        Ok(endpoint) => (endpoint, None),
        Err(_) => start(speed),
    };
    let mut clock = match ureq::get(format!("{endpoint}/_lab/000000000000/clock")).call() {
        Ok(clock) => clock,
        // Another LocalStack answers like this. No answer at all is a failure.
        Err(ureq::Error::StatusCode(400..=499)) if launcher.is_none() => {
            eprintln!("skipped: {endpoint} (ROLLING_TEST_ENDPOINT) has no lab door to control it");
            return None;
        }
        Err(error) => panic!("{endpoint} does not report its speed: {error}"),
    };
    let clock: Value = clock.body_mut().read_json().expect("JSON");
    let number = |name: &str| clock[name].as_f64().expect("a number");
    Some(Lab { endpoint, start: number("start"), speed: number("speed"), _launcher: launcher })
}

fn start(speed: &str) -> (String, Option<Child>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/localstack/lab.py");
    let mut launcher = Command::new("python3")
        .arg(script)
        .args(["serve", speed])
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
    let started: Value = serde_json::from_str(&line)
        .unwrap_or_else(|_| panic!("LocalStack did not start; its launcher says why above"));
    (started["endpoint"].as_str().expect("an endpoint").to_owned(), Some(launcher))
}

/// Calls `each` for each of `items`, three at once: each starts programs of its own.
pub fn three_at_once<T: Send>(items: impl IntoIterator<Item = T>, each: impl Fn(T) + Sync) {
    let left = Mutex::new(items.into_iter().collect::<Vec<T>>().into_iter());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let next = || left.lock().ok().and_then(|mut left| left.next());
                while let Some(item) = next() {
                    each(item);
                }
            });
        }
    });
}

/// Returns the actions of `docs/iam-policy.json`.
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

/// Whatever a test is about, the published policy must allow all of its calls.
impl Drop for Account {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let beyond: Vec<String> = self.called().difference(&policy()).cloned().collect();
        assert_eq!(beyond, Vec::<String>::new(), "not in docs/iam-policy.json");
        let refused = self.get("violations");
        assert_eq!(refused, serde_json::json!([]), "AWS would not take these requests");
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

    /// Makes what the lab makes at `path`, and sets the times.
    pub fn make(&self, path: &str, wanted: Value, times: Value) -> Value {
        let made = self.put(path, wanted);
        self.put("times", times);
        self.foreign();
        made
    }

    /// Returns the environment of a program on this account, in the lab's time.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        let start = Duration::from_secs_f64(self.lab.start).as_millis();
        [
            ("AWS_ACCESS_KEY_ID", self.id.clone()),
            ("AWS_SECRET_ACCESS_KEY", "test".into()),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_ENDPOINT_URL", self.endpoint.into()),
            ("ROLLING_TEST_CLOCK", format!("{start}:{}", self.lab.speed)),
        ]
    }

    /// Returns the program on this account.
    pub fn rolling(&self) -> Command {
        let mut command = process::rolling();
        command.envs(self.environment()).current_dir(self.folder.path());
        command
    }

    /// Returns the lab's time since 1970, which the programs have, too.
    pub fn now(&self) -> Duration {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs_f64();
        Duration::from_secs_f64(self.lab.start + (wall - self.lab.start) * self.lab.speed)
    }

    /// Waits until `action` has been called `times` times.
    pub fn until_called(&self, action: &str, times: u64) {
        process::until(&format!("{action} is called {times} times"), || {
            self.count(action) >= times
        });
    }

    /// Waits until `fact` holds for what the lab shows at `path`.
    pub fn until(&self, path: &str, what: &str, fact: impl Fn(&Value) -> bool) {
        process::until(what, || fact(&self.get(path)));
    }

    /// Applies `resource` and expects that it is refused at `place` of it, with `message` and a remedy.
    pub fn assert_refused(&self, resource: &Value, place: &str, message: &str) {
        let ran = self.run("apply", resource);
        assert_eq!(ran.code, 2, "{ran:?}");
        let found = ran.lines()[0]["diagnostics"][0].clone();
        let at = format!("/resource/rolling_deployment/web{place}");
        assert_eq!(found["pointer"], json!(at), "{found}");
        assert!(found["summary"].to_string().contains(message), "{found}");
        assert!(found["remedy"].is_string(), "{found}");
    }

    /// Runs the program's `command` on a document with this one resource.
    pub fn run(&self, command: &str, resource: &Value) -> Ran {
        let provider = json!({ "rolling": { "aws": { "region": "us-east-1" } } });
        let deployment = json!({ "rolling_deployment": { "web": resource } });
        let document = json!({ "provider": provider, "resource": deployment });
        let file = process::write(self.folder.path(), &document);
        process::run(self.rolling().args([command, "--output", "json"]).arg(file))
    }

    /// Returns the result of one call of the plugin protocol about a deployment.
    pub fn call(&self, method: &str, mut params: Value) -> Value {
        params["type"] = json!("rolling_deployment");
        let lines = [
            json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize",
                    "params": { "protocol_versions": [1] } }),
            json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }),
        ];
        let lines = lines.map(|line| line.to_string()).join("\n");
        let ran = process::run_with(self.rolling().arg("serve"), &lines);
        let answer = ran.lines().into_iter().find(|line| line["id"] == 1);
        answer.unwrap_or_else(|| panic!("no answer: {ran:?}"))["result"].clone()
    }

    /// Takes all calls so far as made by others.
    pub fn foreign(&self) {
        *self.foreign.lock().expect("calls") = Some(self.counts());
    }

    /// Lets others make any calls on this account.
    pub fn shared(&self) {
        *self.foreign.lock().expect("calls") = None;
    }

    /// Calls, as somebody else, a service that takes its parameters as a form with its version in
    /// it.
    pub fn query(&self, service: &str, form: &str) {
        self.post(service, ("Content-Type", "application/x-www-form-urlencoded"), form);
    }

    /// Sends `body` as it is to a service, with this header.
    pub fn post(&self, service: &str, (header, value): (&str, &str), body: &str) {
        let scope = format!("Credential={}/20260101/us-east-1/{service}/aws4_request", self.id);
        let signed = format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0");
        ureq::post(self.endpoint)
            .header("Authorization", signed)
            .header(header, value)
            .config()
            .http_status_as_error(false)
            .build()
            .send(body)
            .expect("the service answers");
    }

    /// Calls, as somebody else, a service that takes JSON.
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
        let counts = self.get("counts");
        let counts = counts.as_object().expect("counts").iter();
        counts.map(|(name, count)| (name.clone(), count.as_u64().unwrap_or_default())).collect()
    }

    /// Returns what this program has called here, by IAM's names.
    pub fn called(&self) -> BTreeSet<String> {
        let foreign = self.foreign.lock().expect("calls");
        let Some(foreign) = foreign.as_ref() else { return BTreeSet::new() };
        let mut called = self.counts();
        called.retain(|name, count| *count > foreign.get(name).copied().unwrap_or_default());
        // It needs no permission, and none can deny it.
        called.remove("sts.GetCallerIdentity");
        let names = called.into_keys();
        names
            .map(|name| {
                let (service, action) = name.split_once('.').expect("a service and an action");
                // IAM has one name for both generations of load balancers.
                let service = if service == "elbv2" { "elasticloadbalancing" } else { service };
                format!("{service}:{action}")
            })
            .collect()
    }

    /// Returns the actions called so far that change something.
    pub fn mutations(&self) -> Vec<String> {
        let looks = |name: &String| name.contains(".Describe") || name.starts_with("sts.");
        self.counts().into_keys().filter(|name| !looks(name)).collect()
    }

    pub fn count(&self, action: &str) -> u64 {
        self.get("counts")[action].as_u64().unwrap_or_default()
    }

    /// Returns what AWS would have refused of the calls so far, and clears it.
    #[allow(dead_code, reason = "the benchmarks share this file")]
    pub fn violations(&self) -> Vec<String> {
        let found = self.get("violations");
        let mut answer = ureq::delete(self.door("violations")).call().expect("the door answers");
        answer.body_mut().read_to_string().expect("text");
        found
            .as_array()
            .expect("them")
            .iter()
            .map(|it| it.as_str().expect("a violation").to_owned())
            .collect()
    }

    /// Returns every call so far, in order.
    pub fn calls(&self) -> Vec<Value> {
        self.get("calls").as_array().expect("calls").clone()
    }

    /// Returns the parameters of every call of an action so far.
    pub fn parameters(&self, action: &str) -> Vec<Value> {
        let of = self.calls().into_iter().filter(|call| call["action"] == action);
        of.map(|call| call["parameters"].clone()).collect()
    }

    /// Clears the log of calls.
    pub fn forget_calls(&self) {
        ureq::delete(self.door("calls")).call().expect("the door answers");
    }

    pub fn timeline(&self) -> Vec<Value> {
        self.get("timeline")["events"].as_array().expect("events").clone()
    }
}
