//! `rolling serve` as its clients use it, on the simulator.

use serde_json::{Value, json};

use crate::process::{self, Ran, rolling, run_with};
use crate::wire;

fn config(name: &str) -> Value {
    json!({
        "policy": "AllAtOnce", "health": { "healthy_timeout": "1h" },
        "simulated_fleet": { "name": name, "revision": "v2" },
    })
}

fn call(id: u64, method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

fn initialize() -> String {
    call(0, "initialize", &json!({ "protocol_versions": [1] }))
}

/// Configures the simulator in a folder of its own, fast enough for a test.
fn configure(id: u64) -> String {
    call(id, "provider.configure", &json!({ "config": { "simulator": { "speed": 500 } } }))
}

fn apply(id: u64, name: &str) -> String {
    let params =
        json!({ "type": "rolling_deployment", "config": config(name), "progress_token": id });
    call(id, "resource.apply", &params)
}

fn talk(lines: &[String]) -> Ran {
    let folder = tempfile::tempdir().expect("a folder");
    run_with(rolling().arg("serve").current_dir(folder.path()), &lines.join("\n"))
}

fn answer(ran: &Ran, id: u64) -> Value {
    let lines = ran.lines();
    let mut found = lines.iter().filter(|line| line["id"] == id);
    let answer = found.next().unwrap_or_else(|| panic!("no answer to {id}: {ran:?}"));
    assert!(found.next().is_none(), "two answers to {id}");
    answer.clone()
}

fn error(ran: &Ran, id: u64) -> i64 {
    answer(ran, id)["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {ran:?}"))
}

#[test]
fn a_line_that_is_no_request_is_answered_and_reading_goes_on() {
    let ran = talk(&["{".into(), "[]".into(), initialize(), call(1, "ping", &Value::Null)]);
    assert_eq!(ran.code, 0, "the end of standard input is an orderly end");
    let codes: Vec<i64> =
        ran.lines().iter().filter_map(|line| line["error"]["code"].as_i64()).collect();
    assert_eq!(codes, [-32700, -32600]);
    assert_eq!(answer(&ran, 1)["result"], json!({}));
}

#[test]
fn protocol_faults_have_their_codes() {
    let ran = talk(&[
        call(1, "ping", &Value::Null),
        call(2, "initialize", &json!({ "protocol_versions": [7] })),
        initialize(),
        initialize().replace("\"id\":0", "\"id\":3"),
        call(4, "resource.dance", &Value::Null),
        call(5, "resource.validate", &json!({ "type": "other", "config": {} })),
        call(6, "resource.validate", &json!({ "type": "rolling_deployment" })),
        call(
            7,
            "resource.apply",
            &json!({ "type": "rolling_deployment", "config": config("x"),
             "operation_id": "a b" }),
        ),
    ]);
    let codes: Vec<i64> = (1..=7).map(|id| error(&ran, id)).collect();
    assert_eq!(codes, [-32002, 1001, -32600, -32601, 1002, -32602, -32602]);
    assert_eq!(answer(&ran, 2)["error"]["data"], json!({ "supported": [1] }));
}

#[test]
fn exit_without_shutdown_is_an_error_and_after_it_none() {
    let exit = json!({ "jsonrpc": "2.0", "method": "exit" }).to_string();
    assert_eq!(talk(&[initialize(), exit.clone()]).code, 1);
    assert_eq!(talk(&[initialize(), call(1, "shutdown", &Value::Null), exit]).code, 0);
}

#[test]
fn a_bad_configuration_is_a_diagnostic_and_no_protocol_fault() {
    let mut bad = config("x");
    bad["policy"] = json!("Rollin");
    let params = json!({ "type": "rolling_deployment", "config": bad });
    let ran = talk(&[
        initialize(),
        call(1, "resource.validate", &params),
        call(2, "resource.plan", &params),
        call(3, "resource.apply", &params),
        call(4, "provider.configure", &json!({ "config": { "aws": { "regoin": "x" } } })),
    ]);
    for id in 1..=3 {
        let found = answer(&ran, id)["result"]["diagnostics"].clone();
        assert_eq!(found[0]["pointer"], "/policy", "{id}");
        assert_eq!(found[0]["remedy"], "did you mean \"Rolling\"?");
    }
    let found = answer(&ran, 4)["result"]["diagnostics"].clone();
    assert_eq!(found[0]["pointer"], "/aws/regoin");
}

#[test]
fn two_applies_of_one_target_at_once_are_one_too_many() {
    let ran = talk(&[initialize(), configure(1), apply(2, "x"), apply(3, "x"), apply(4, "y")]);
    assert_eq!(answer(&ran, 2)["result"]["status"], "succeeded");
    assert_eq!(error(&ran, 3), 1004);
    assert_eq!(answer(&ran, 4)["result"]["status"], "succeeded");
}

#[test]
fn plan_apply_and_read_agree_and_a_stale_plan_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let talk = |lines: &[String]| {
        run_with(rolling().arg("serve").current_dir(folder.path()), &lines.join("\n"))
    };
    let kind = "rolling_deployment";
    let plan = json!({ "type": kind, "prior": null, "config": config("x") });
    let planned = answer(&talk(&[initialize(), call(1, "resource.plan", &plan)]), 1);
    let planned = planned["result"].clone();
    assert_eq!(planned["action"], "create");
    assert_eq!(planned["batches"], json!([{ "launches": 0, "replaces": 10 }]));
    for pointer in planned["unknown"].as_array().expect("pointers") {
        let pointer = pointer.as_str().expect("a pointer");
        assert_eq!(planned["planned"].pointer(pointer), Some(&Value::Null), "{pointer}");
    }

    let stale = json!({ "type": kind, "config": config("x"), "private": { "plan_hash": "0" } });
    let apply = json!({
        "type": kind, "prior": null, "config": config("x"), "planned": planned["planned"],
        "private": planned["private"],
    });
    let ran = talk(&[initialize(), configure(1), call(2, "resource.apply", &stale)]);
    assert_eq!(error(&ran, 2), 1006);
    let ran = talk(&[initialize(), configure(1), call(2, "resource.apply", &apply)]);
    let state = answer(&ran, 2)["result"]["state"].clone();
    // What was known in the plan is so after the apply.
    for (name, value) in planned["planned"].as_object().expect("a state") {
        let unknown = planned["unknown"].as_array().expect("pointers");
        if !unknown.contains(&json!(format!("/{name}"))) {
            assert_eq!(state[name], *value, "{name}");
        }
    }
    assert_eq!(
        (&state["status"], &state["deployed_revision"]),
        (&json!("succeeded"), &json!("v2"))
    );

    let read = json!({ "type": kind, "prior": state });
    let again = json!({ "type": kind, "prior": state, "config": config("x") });
    let ran =
        talk(&[initialize(), call(1, "resource.read", &read), call(2, "resource.plan", &again)]);
    assert_eq!(answer(&ran, 1)["result"]["state"], state);
    assert_eq!(answer(&ran, 2)["result"]["action"], "none");
}

#[test]
fn a_cancelled_apply_still_answers_with_what_happened() {
    let slow =
        call(1, "provider.configure", &json!({ "config": { "simulator": { "speed": 20 } } }));
    let cancel = |id| {
        json!({ "jsonrpc": "2.0", "method": "$/cancel_request",
                              "params": { "id": id } })
        .to_string()
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = rolling()
        .arg("serve")
        .current_dir(folder.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut out = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    use std::io::{BufRead as _, Write as _};
    writeln!(stdin, "{}\n{slow}\n{}", initialize(), apply(2, "x")).expect("the program reads");
    let mut cancelled = false;
    let mut acknowledged = Vec::new();
    let answer = loop {
        let mut line = String::new();
        assert_ne!(out.read_line(&mut line).expect("a line"), 0, "no answer");
        let message: Value = serde_json::from_str(&line).expect("JSON");
        acknowledged.push(message.clone());
        // Before anything is done, there would be nothing to tell.
        if line.contains("\"acted\"") && !cancelled {
            cancelled = true;
            writeln!(stdin, "{}", cancel(2)).expect("the program reads");
        }
        if message["id"] == 2 {
            break message;
        }
    };
    assert!(cancelled);
    wire::conversation(&[initialize(), slow.clone(), apply(2, "x")].join("\n"), &acknowledged);
    assert_eq!(answer["result"]["status"], "aborted", "{answer}");
    assert_eq!(answer["result"]["state"]["status"], "aborted");
    drop(stdin);
    assert_eq!(child.wait().expect("an end").code(), Some(0));
}

#[test]
fn signals_stop_at_a_safe_point_answer_and_tell_by_the_exit_code() {
    use std::io::{BufRead as _, Write as _};
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let mut signals = vec![("TERM", 143), ("INT", 130)];
    // Under nohup SIGHUP is ignored, also by the programs that are started here.
    signals.extend(ignored.is_none_or(|mask| mask & 1 == 0).then_some(("HUP", 129)));
    for (signal, code) in signals {
        let slow =
            call(1, "provider.configure", &json!({ "config": { "simulator": { "speed": 20 } } }));
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = rolling()
            .arg("serve")
            .current_dir(folder.path())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let mut out = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
        writeln!(stdin, "{}\n{slow}\n{}", initialize(), apply(2, "x")).expect("it reads");
        let mut has_stopped = false;
        let answer = loop {
            let mut line = String::new();
            assert_ne!(out.read_line(&mut line).expect("a line"), 0, "no answer");
            let message: Value = serde_json::from_str(&line).expect("JSON");
            if line.contains("batch_started") && !has_stopped {
                has_stopped = true;
                process::signal(child.id(), &format!("-{signal}"));
            }
            if message["id"] == 2 {
                break message;
            }
        };
        assert_eq!(answer["result"]["status"], "aborted", "{answer}");
        assert_eq!(child.wait().expect("an end").code(), Some(code));
    }
}

#[test]
fn another_target_is_a_replacement_in_the_plan_and_refused_by_apply() {
    let prior = json!({
        "policy": "AllAtOnce", "simulated_fleet": { "name": "x", "revision": "v1" },
        "id": "simulated:x", "completed_revision": "v1",
    });
    let params = json!({ "type": "rolling_deployment", "prior": prior, "config": config("y") });
    let ran = talk(&[
        initialize(),
        call(1, "resource.plan", &params),
        call(2, "resource.apply", &params),
    ]);
    assert_eq!(answer(&ran, 1)["result"]["requires_replace"], json!(["/simulated_fleet/name"]));
    let result = answer(&ran, 2)["result"].clone();
    assert_eq!((&result["status"], &result["state"]), (&json!("failed"), &prior));
    assert_eq!(result["diagnostics"][0]["pointer"], "/simulated_fleet/name");
}

/// A deadline counts from the request, also while the endpoint does not answer.
#[test]
#[cfg(feature = "aws")]
fn a_deadline_ends_a_read_only_request_and_is_named() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    let config = json!({
        "policy": "all_at_once",
        "auto_scaling_group": {
            "name": "web", "launch_template": { "id": "lt-0123456789abcdef0", "version": "2" },
        },
    });
    let params = json!({ "type": "rolling_deployment", "config": config, "deadline_ms": 500 });
    let control = json!({
        "type": "rolling_deployment", "config": config, "deadline_ms": 500, "action": "abort",
    });
    let lines =
        [initialize(), call(1, "resource.apply", &params), call(2, "resource.control", &control)];
    let folder = tempfile::tempdir().expect("a folder");
    let mut serve = rolling();
    serve.arg("serve").current_dir(folder.path()).envs([
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
    ]);
    let ran = run_with(&mut serve, &lines.join("\n"));
    for id in [1, 2] {
        assert_eq!(error(&ran, id), -32800, "{ran:?}");
        let message = answer(&ran, id)["error"]["message"].clone();
        let late = "it took longer than 500 ms (deadline_ms), and ended before anything was done";
        assert_eq!(message, late, "{ran:?}");
    }
    drop(silent);
}

#[test]
fn a_server_without_commands_refuses_gates_and_hooks_that_run_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let ran_file = folder.path().join("ran");
    let mut gated = config("web");
    gated["gates"] = json!({ "command": { "run": ["touch", ran_file] } });
    let mut hooked = config("third");
    hooked["hooks"] = json!({
        "before_rollout": { "http": { "url": "https://localhost:1" } },
        "after_rollout": { "command": { "run": ["touch", ran_file] } },
    });
    let hooked = json!({ "type": "rolling_deployment", "config": hooked });
    let params = |more: Value| {
        let mut params = json!({ "type": "rolling_deployment", "config": gated });
        params.as_object_mut().expect("params").extend(more.as_object().expect("more").clone());
        params
    };
    let lines = [
        initialize(),
        configure(1),
        call(2, "resource.plan", &params(json!({}))),
        call(7, "resource.validate", &params(json!({}))),
        call(3, "resource.apply", &params(json!({}))),
        call(4, "resource.control", &params(json!({ "action": "resume" }))),
        apply(5, "other"),
        call(8, "resource.apply", &hooked),
        call(6, "resource.read", &json!({ "type": "rolling_deployment", "prior": gated })),
    ];
    let mut serve = rolling();
    serve.args(["serve", "--no-commands"]).current_dir(folder.path());
    let ran = run_with(&mut serve, &lines.join("\n"));
    for id in [2, 3, 4, 7] {
        let found = &answer(&ran, id)["result"]["diagnostics"][0];
        assert_eq!(found["pointer"], "/gates/command", "{id}: {found}");
        assert!(found["summary"].to_string().contains("--no-commands"), "{found}");
    }
    assert_eq!(
        answer(&ran, 8)["result"]["diagnostics"][0]["pointer"],
        "/hooks/after_rollout/command"
    );
    assert!(!ran_file.exists());
    assert_eq!(answer(&ran, 5)["result"]["status"], "succeeded", "without a command");
    assert_eq!(answer(&ran, 6)["result"]["diagnostics"], json!([]), "a look runs nothing");
}
