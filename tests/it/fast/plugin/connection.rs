//! Who may connect, what the connection carries, and what is written beside it.

use std::time::Duration;

use rolling::frontends::terraform::proto as p;
use serde_json::{Value, json};
use tonic::Code;

use super::{config, created, fast};
use crate::process::{rolling, run};
use crate::terraform_host::connection::connect_plainly;
use crate::terraform_host::{Identity, Plugin, Started, connect};

#[test]
fn terraforms_streams_stay_open_and_unknown_methods_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = Plugin::start(folder.path());
    let mut calls = plugin.calls.clone().expect("a connection");
    plugin.runtime.block_on(async {
        for stream in ["plugin.GRPCStdio/StreamStdio", "plugin.GRPCBroker/StartStream"] {
            let mut reply = calls.listen(stream).await;
            let silence = tokio::time::timeout(Duration::from_millis(100), reply.message()).await;
            assert!(silence.is_err(), "{stream} has sent {silence:?}");
        }
        for method in ["tfplugin6.Provider/ReadDataSource", "tfplugin6.Provider/Nonsense"] {
            let answer = calls.call::<p::Empty, p::Empty>(method, p::Empty {}).await;
            assert_eq!(answer.expect_err(method).code(), Code::Unimplemented);
        }
        let other = p::HealthRequest { service: "other".into() };
        let method = "grpc.health.v1.Health/Check";
        let health = calls.call::<_, p::HealthResponse>(method, other).await;
        assert_eq!(health.expect_err("no such service").code(), Code::NotFound);
    });
    plugin.shut_down();
}

#[test]
fn only_the_host_that_started_it_is_let_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let (host, other) = (Identity::new(), Identity::new());
    let command = || {
        let mut command = rolling();
        command.current_dir(folder.path()).env("TMPDIR", folder.path());
        command
    };
    let started = Started::start(&mut command(), Some(&host.pem));
    let parts: Vec<&str> = started.line.split('|').collect();
    assert_eq!((&parts[..3], parts[4], parts.len()), (&["1", "6", "unix"][..], "grpc", 6));
    let socket = started.socket();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &socket.parent().expect("a folder").metadata().expect("a folder").permissions(),
    );
    assert_eq!(mode & 0o777, 0o700, "nobody else may enter");
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let certificate = || started.certificate();
        let refused = |who: &str, found: Result<_, String>| assert!(found.is_err(), "{who}");
        refused("without a certificate", connect(&socket, certificate(), None).await.map(drop));
        let wrong = connect(&socket, certificate(), Some(&other)).await.map(drop);
        refused("with another certificate", wrong);
        refused("without TLS", connect_plainly(&socket).await.map(drop));
        connect(&socket, certificate(), Some(&host)).await.expect("the host itself");
    });
    drop(started);

    // Only where the host asks for it the connection is without TLS.
    let mut unmanaged = Started::start(&mut command(), None);
    assert!(unmanaged.line.ends_with("|grpc|"), "{}", unmanaged.line);
    let socket = unmanaged.socket();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut calls = runtime.block_on(connect_plainly(&socket)).expect("a connection");
    let shut_down = calls.call::<_, p::Empty>("plugin.GRPCController/Shutdown", p::Empty {});
    runtime.block_on(shut_down).expect("an answer");
    assert_eq!(unmanaged.ends_within(Duration::from_secs(10)), Some(0));
    assert!(!socket.parent().expect("a folder").exists(), "the socket's folder is left");
    let mut refused = Started::start(command().env("TF_DISABLE_PLUGIN_TLS", ""), Some(""));
    assert_eq!(refused.ends_within(Duration::from_secs(5)), Some(1));
    let reply = refused.reply();
    assert!(reply.contains("no certificate (PLUGIN_CLIENT_CERT)"), "{reply}");
}

#[test]
fn a_host_that_is_too_old_is_told_what_it_needs() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = rolling();
    command
        .current_dir(folder.path())
        .env(
            "TF_PLUGIN_MAGIC_COOKIE",
            "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
        )
        .env("PLUGIN_PROTOCOL_VERSIONS", "5");
    let ran = run(&mut command);
    assert_eq!((ran.code, &*ran.stdout), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("use Terraform 1.0 or later"), "{ran:?}");
    // A subcommand is accepted, whoever has started the program.
    let ran = run(command.arg("--version"));
    assert_eq!(ran.code, 1, "an option is no subcommand: {ran:?}");
    let mut command = rolling();
    command.env(
        "TF_PLUGIN_MAGIC_COOKIE",
        "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
    );
    assert_eq!(run(command.arg("schema")).code, 0);
}

#[test]
fn five_megabytes_in_one_attribute_pass() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let mut large = config("v2");
    let bad: serde_json::Map<String, Value> =
        (0..50_000).map(|n| (format!("{n:0100}"), json!("unhealthy"))).collect();
    large["simulated_fleet"]["bad_revisions"] = Value::Object(bad);
    assert!(large.to_string().len() > 5_000_000);
    assert_eq!(plugin.validate(&large), []);
    let plan = plugin.plan(None, &large);
    assert!(plan.found.iter().all(|found| !found.is_error), "{:?}", plan.found);
    let bad = |value: &Value| value["simulated_fleet"]["bad_revisions"].clone();
    assert!(bad(&plan.value) == bad(&large), "it comes back unchanged");
    plugin.shut_down();
}

#[test]
fn events_are_logged_for_the_host_and_written_to_the_progress_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let progress = folder.path().join("progress");
    let mut command = rolling();
    command.current_dir(folder.path()).env("TMPDIR", folder.path());
    let plugin = Plugin::start_as(command.env("ROLLING_PROGRESS_DIR", &progress));
    plugin.configure(&json!({ "simulator": { "speed": 500 } }));
    let two = config("v2");
    created(&plugin, &two);
    let reply = plugin.shut_down();
    for line in reply.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        let message = line["@message"].as_str().expect("a message");
        assert_eq!((&line["@level"], &line["target"]), (&json!("info"), &json!("web")), "{line}");
        assert!(message.starts_with("web: "), "{line}");
        assert!(line["@timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
    }
    assert!(reply.contains("web: batch 2: replacing i-0004, i-0005, i-0006"), "{reply}");

    let file = progress.join("web.jsonl");
    let follow = |more: &[&str]| {
        let mut command = rolling();
        command.current_dir(folder.path()).args(["status", "--follow"]).args(more);
        run(command.arg(&file))
    };
    let ran = follow(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.starts_with("[  0:00.0] rolling web to v2: batches of 3, 3, 3, 1"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("batch 4 done"), "{ran:?}");
    assert!(ran.stdout.contains("web: succeeded, 10 instances on v2 after 4 batches"), "{ran:?}");
    let lines = follow(&["--output", "json"]).lines();
    assert_eq!(lines.last().expect("an end")["event"]["type"], "finished");
    // The document is in it, so the other commands accept it.
    let ran = run(rolling().current_dir(folder.path()).arg("plan").arg(&file));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("nothing to do"), "{ran:?}");

    // Of an engine that was killed it is reported that it was.
    let text = std::fs::read_to_string(&file).expect("progress");
    let cut: Vec<&str> = text.lines().take(5).collect();
    std::fs::write(&file, cut.join("\n") + "\n").expect("a part");
    let ran = follow(&[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("has ended;"), "{ran:?}");
}
