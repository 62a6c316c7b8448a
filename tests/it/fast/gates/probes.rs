//! Gates that are commands and addresses.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rolling::model::event::{Event, Outcome};
use rolling::model::spec::{Gates, Policy, Probe, RollingDeployment};
use rolling_provider::Fleet as _;
use rolling_simulator::Simulator;

use super::{at_speed, command, command_within, failing, gated, quick};
use crate::world::{roll, seconds};

/// Answers with these statuses in order, then always with the last one.
fn server(statuses: &'static [u16]) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/health", listener.local_addr().expect("an address"));
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let number = count.fetch_add(1, Ordering::SeqCst) as usize;
            let status = statuses[number.min(statuses.len() - 1)];
            let answer =
                format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (url, asked)
}

fn http(url: &str, timeout: u64) -> Gates {
    let probe = Probe::Http { url: url.into(), status: 200, timeout: seconds(timeout) };
    Gates { probes: vec![probe], ..Gates::default() }
}

/// Slow enough for requests to be answered in time on a busy machine, too.
fn answering() -> Arc<Simulator> {
    at_speed(20.0)
}

#[tokio::test]
async fn a_command_is_run_after_each_batch_and_knows_what_it_is_about() {
    let deploy =
        gated(command("echo $ROLLING_TARGET $ROLLING_REVISION $ROLLING_BATCH; echo to >&2 you"));
    let run = roll(quick(), deploy).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    let reply: Vec<String> = run.gates().into_iter().map(|(_, _, reply)| reply).collect();
    let of = |batch: u32| format!("exit code 0: web v2 {batch}\nto you");
    assert_eq!(reply, [of(1), of(2), of(3), of(4)]);
}

#[tokio::test]
async fn a_command_that_fails_cannot_be_started_or_takes_too_long_is_a_failure() {
    let mut missing = command("");
    missing.probes = vec![Probe::Command {
        run: vec!["/no/such/test".into()],
        environment: Default::default(),
        timeout: seconds(6000),
    }];
    let mut slow = command("sleep 1000 | cat");
    let Probe::Command { timeout, .. } = &mut slow.probes[0] else { unreachable!() };
    *timeout = seconds(1);
    let cases = [
        (failing("echo broken; exit 3"), "did not pass: exit code 3: broken"),
        (missing, "cannot start /no/such/test: No such file"),
        (slow, "it did not end within 1s"),
    ];
    for (gates, message) in cases {
        let run = roll(quick(), gated(gates)).await;
        assert_eq!(run.report.outcome, Outcome::RolledBack, "{message}");
        let reason = run.report.reason.clone().expect("a reason");
        assert!(reason.contains(message), "{reason}");
        assert_eq!(run.launched("v1"), 10);
    }
}

/// Its output is limited, and what it leaves running is not waited for.
#[tokio::test]
async fn a_command_that_prints_without_end_or_leaves_something_running_ends_with_its_own_end() {
    for (script, message) in [
        ("yes | head -c 50000000; echo the end; exit 3", "exit code 3: "),
        ("sleep 1000 & echo started $!; exit 3", "exit code 3: started"),
    ] {
        let run = roll(quick(), gated(command_within(script, 400))).await;
        let reply = run.gates().into_iter().map(|(_, _, reply)| reply).next().expect("an answer");
        let reply = reply.split(", at the last of").next().expect("an answer");
        assert!(reply.starts_with(message), "{reply}");
        assert!(reply.len() < 600, "{} bytes", reply.len());
        let Some((_, pid)) = reply.split_once("started ") else {
            assert!(reply.ends_with("y\nthe end"), "{reply}");
            continue;
        };
        // A killed process has no command line, even before its parent has waited for it.
        crate::process::until("what it left running is killed", || {
            std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default().is_empty()
        });
    }
}

/// A command is tried again until its time is over, and one that comes to pass lets the rollout go on.
#[tokio::test]
async fn a_command_that_fails_twice_and_then_passes_lets_the_rollout_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tries");
    let script = format!("echo x >> {0}; [ $(wc -l < {0}) -gt 2 ]", file.display());
    let deploy = RollingDeployment { policy: Policy::AllAtOnce, ..gated(command(&script)) };
    let run = roll(quick(), deploy).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    assert_eq!(run.gates().len(), 1, "{:?}", run.gates());
    assert_eq!(std::fs::read_to_string(&file).expect("tries").lines().count(), 3);

    let run = roll(quick(), gated(failing("exit 7"))).await;
    let waits = run.events.iter().filter_map(|envelope| match &envelope.event {
        Event::Waiting { on } => Some(on.iter().filter_map(|wait| wait.detail.clone())),
        _ => None,
    });
    let tried = waits.flatten().find(|detail| detail.contains("failed: exit code 7"));
    assert!(tried.is_some_and(|detail| detail.contains("; try ")), "each try is told");
    let reason = run.report.reason.clone().expect("a reason");
    assert!(reason.contains("did not pass: exit code 7, at the last of "), "{reason}");
}

#[tokio::test]
async fn an_address_is_asked_until_it_answers_as_it_should() {
    let (url, asked) = server(&[503, 503, 200]);
    let deploy = RollingDeployment { policy: Policy::AllAtOnce, ..gated(http(&url, 100)) };
    let run = roll(answering(), deploy).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    // A request that takes too long on a busy machine is repeated.
    assert!(asked.load(Ordering::SeqCst) >= 3);
    assert_eq!(run.gates(), [(format!("GET {url}"), true, "200".to_owned())]);
}

#[tokio::test]
async fn an_address_that_answers_something_else_or_nothing_is_a_failure() {
    let (url, _) = server(&[500]);
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("one");
    let nobody = format!("http://{closed}/");
    for (url, message) in
        [(url, "it returned status 500, expected 200, for 1m 40s"), (nobody, "refused")]
    {
        let simulator = answering();
        let began = simulator.clock().now();
        let deploy = RollingDeployment { policy: Policy::AllAtOnce, ..gated(http(&url, 100)) };
        let run = roll(simulator.clone(), deploy).await;
        assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
        let reason = run.report.reason.clone().expect("a reason");
        assert!(reason.contains(message), "{reason}");
        assert!(simulator.clock().now().since(began) >= seconds(100));
    }
}
