//! Hooks that are commands and requests.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc;

use rolling::engine::clock::TokioClock;
use rolling::model::event::Outcome;
use rolling::model::spec::{
    Hook, HookCall, HookPoint, Hooks, OnHookFailure, Policy, RollingDeployment, Secret,
};
use rolling_simulator::{EPOCH, Simulator};
use serde_json::Value;

use crate::world::{fleet, roll, seconds, spec};

fn deployment(call: HookCall, tries: u32) -> RollingDeployment {
    let hook = Hook { call, timeout: seconds(600), tries, on_failure: OnHookFailure::Fail };
    let hooks = Hooks(BTreeMap::from([(HookPoint::BeforeDeregister, hook)]));
    RollingDeployment { hooks, ..spec(Policy::AllAtOnce) }
}

/// Commands and requests take real time, so the fleet runs by a real clock, a fast one.
fn quick() -> Arc<Simulator> {
    Arc::new(Simulator::in_memory(fleet(), Arc::new(TokioClock::new(EPOCH, 100.0))))
}

#[tokio::test]
async fn a_command_finds_what_it_is_about_in_its_environment_and_its_input() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "cat > $FOLDER/input.$ROLLING_ATTEMPT; env | grep ROLLING_ | sort > $FOLDER/env; \
                  echo the key is $KEY; [ $ROLLING_ATTEMPT -gt 2 ]";
    let environment = BTreeMap::from([
        ("FOLDER".to_owned(), Secret(folder.path().display().to_string())),
        ("KEY".to_owned(), Secret("sesame".into())),
    ]);
    let run = ["sh", "-c", script].map(String::from).into();
    let run = roll(quick(), deployment(HookCall::Command { run, environment }, 3)).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    let shown = format!("{:?}", run.events);
    assert!(shown.contains("the key is (sensitive)") && !shown.contains("sesame"), "{shown}");

    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
    let json: Value = serde_json::from_str(&read("input.1")).expect("JSON");
    assert_eq!(json["hook"], "before_deregister");
    assert_eq!(json["instances"].as_array().expect("instances").len(), 10);
    assert_eq!(json["instances"][1]["private_address"], "10.0.0.2");
    let last: Value = serde_json::from_str(&read("input.3")).expect("JSON");
    assert_eq!((&last["id"], &last["attempt"]), (&json["id"], &Value::from(3)));
    let variables = read("env");
    let id = format!("ROLLING_HOOK_ID={}", json["id"].as_str().expect("an id"));
    for wanted in [
        id.as_str(),
        "ROLLING_HOOK=before_deregister",
        "ROLLING_TARGET=web",
        "ROLLING_REVISION=v2",
        "ROLLING_BATCH=1",
        "ROLLING_INSTANCES=i-0001 i-0002 ",
        "ROLLING_ADDRESSES=10.0.0.1 10.0.0.2 ",
        "ROLLING_ZONES=a b c a ",
    ] {
        assert!(variables.contains(wanted), "{wanted} is not in {variables}");
    }
}

#[tokio::test]
async fn an_address_is_sent_the_same_as_json_until_it_answers_with_a_success() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/drain?token=sesame", listener.local_addr().expect("one"));
    let (send, received) = mpsc::channel();
    std::thread::spawn(move || {
        for (status, stream) in [503, 404, 204].into_iter().zip(listener.incoming()) {
            let mut stream = stream.expect("a connection");
            let mut text = String::new();
            while !text.contains("\r\n\r\n{") || !text.trim_end().ends_with('}') {
                let mut some = [0; 4096];
                let count = stream.read(&mut some).expect("a request");
                text.push_str(&String::from_utf8_lossy(&some[..count]));
            }
            let answer = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).expect("an answer");
            send.send(text).expect("a test");
        }
    });
    let run = roll(quick(), deployment(HookCall::Http { url }, 3)).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    let requests: Vec<String> = received.iter().collect();
    assert_eq!(requests.len(), 3);
    assert!(requests[0].starts_with("POST /drain?token=sesame HTTP/1.1\r\n"), "{}", requests[0]);
    let bodies = requests.iter().map(|text| text.split_once("\r\n\r\n").expect("a body").1);
    let bodies: Vec<Value> = bodies.map(|body| serde_json::from_str(body).expect("JSON")).collect();
    assert_eq!(bodies[0]["instances"][9]["id"], "i-0010");
    assert_eq!(bodies[0]["id"], bodies[2]["id"]);
    assert!(!format!("{:?}", run.events).contains("sesame"));
}

/// The operating system takes the connections, and nobody ever reads from them.
#[tokio::test]
async fn an_address_that_never_answers_has_its_time_and_its_tries_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("one"));
    let mut wanted = deployment(HookCall::Http { url }, 2);
    wanted.hooks.0.get_mut(&HookPoint::BeforeDeregister).expect("it").timeout = seconds(30);
    let run = roll(quick(), wanted).await;
    assert_eq!(run.report.outcome, Outcome::Failed, "{:?}", run.report);
    let why = run.report.reason.expect("a reason");
    assert!(why.ends_with("it did not end within 30s, at the last of 2 tries"), "{why}");
    listener.set_nonblocking(true).expect("a listener");
    let asked = listener.incoming().map_while(Result::ok).count();
    assert_eq!(asked, 2, "one request a try");
}
