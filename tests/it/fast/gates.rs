//! Gates on the simulator: alarms, requests and commands that a rollout waits for.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use rolling::engine::clock::TokioClock;
use rolling::engine::{Rollout, Stop};
use rolling::model::event::{Event, Outcome};
use rolling::model::spec::{
    BatchSize, Checkpoint, Gates, Health, OnFailure, Pacing, Policy, Probe, RollingDeployment,
};
use rolling::model::wait::WaitKind;
use rolling::record::command::Command;
use rolling_provider::{Action, Fleet as _, ScheduledAction};
use rolling_simulator::{Behaviour, EPOCH, FleetConfig, Intervention, Simulator, VirtualClock};

use super::crash::leave_command;
use crate::world::{Told, bad, caller, fleet, roll, seconds, simulate, spec, thirty_percent};

fn gated(gates: Gates) -> RollingDeployment {
    let spec = spec(thirty_percent());
    // Some of these live by a fast clock: what a busy machine takes for a look is long there.
    let health = Health { healthy_timeout: seconds(6000), ..spec.health };
    RollingDeployment { gates, health, on_failure: OnFailure::Rollback, ..spec }
}

fn alarms(bake: u64) -> Gates {
    let alarms = ["errors".to_owned()].into();
    Gates { alarms, bake_time: seconds(bake), ..Gates::default() }
}

fn command(script: &str) -> Gates {
    let run = ["sh", "-c", script].map(String::from).into();
    Gates {
        probes: vec![Probe::Command {
            run,
            environment: Default::default(),
            timeout: seconds(6000),
        }],
        ..Gates::default()
    }
}

impl Told {
    /// What the gates said, by the number of events before.
    fn gates(&self) -> Vec<(String, bool, String)> {
        let reply = self.events.iter().filter_map(|told| match &told.event {
            Event::GateAnswered { gate, passed, message } => {
                Some((gate.clone(), *passed, message.clone()))
            }
            _ => None,
        });
        reply.collect()
    }

    fn launched(&self, revision: &str) -> usize {
        let on = |i: &&rolling::model::event::InstanceReport| {
            i.revision.as_ref().is_some_and(|found| found.as_str() == revision)
        };
        self.report.instances.iter().filter(on).count()
    }
}

#[tokio::test]
async fn alarms_are_read_before_each_batch_and_at_the_end() {
    let told = roll(simulate(fleet()), gated(alarms(0))).await;
    assert_eq!(told.report.outcome, Outcome::Succeeded, "{:?}", told.report);
    let reply = told.gates();
    assert_eq!(reply.len(), 5, "before each of four batches, and after the last: {reply:?}");
    assert!(reply.iter().all(|(gate, passed, _)| gate == "alarms errors" && *passed));
    let kinds: Vec<&str> = told
        .events
        .iter()
        .filter_map(|told| match &told.event {
            Event::GateAnswered { .. } => Some("gate"),
            Event::BatchStarted { .. } => Some("begin"),
            Event::BatchFinished { .. } => Some("end"),
            _ => None,
        })
        .collect();
    let batch = ["gate", "begin", "end"];
    assert_eq!(
        kinds,
        [batch, batch, batch, batch].concat().into_iter().chain(["gate"]).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn an_alarm_that_the_new_revision_raises_rolls_back_before_the_next_batch() {
    let simulator = simulate(bad(Behaviour::Alarm));
    let told = roll(simulator.clone(), gated(alarms(60))).await;
    assert_eq!(told.report.outcome, Outcome::RolledBack, "{:?}", told.report);
    let reason = told.report.reason.clone().expect("a reason");
    assert!(reason.contains("alarms errors did not pass: errors is raised: i-"), "{reason}");
    assert!(reason.contains("of v2 makes errors"), "{reason}");
    assert_eq!(told.batches()[0], (0, 3));
    assert_eq!(simulator.launched(), 10 + 3 + 3, "one batch of the new, and back");
    assert!(simulator.observe().await.expect("a look").record.is_empty());
}

#[tokio::test]
async fn while_an_alarm_is_raised_nothing_is_begun() {
    let mut config = bad(Behaviour::Alarm);
    config.bad_revisions.insert("v1".into(), Behaviour::Alarm);
    let simulator = simulate(config);
    let wanted = gated(alarms(0));
    let rollout = Rollout::prepare(simulator.clone(), wanted.clone(), &caller()).await;
    let warnings = rollout.expect("a rollout").preview().warnings;
    assert!(warnings.iter().any(|w| w.starts_with("alarm errors is raised: ")), "{warnings:?}");
    let told = roll(simulator.clone(), wanted).await;
    assert_eq!(told.report.outcome, Outcome::Failed);
    let reason = told.report.reason.clone().expect("a reason");
    assert!(reason.ends_with("before anything was begun"), "{reason}");
    assert!(told.actions().is_empty(), "{:?}", told.actions());
    assert!(simulator.observe().await.expect("a look").record.is_empty());
}

#[tokio::test]
async fn a_fleet_bakes_and_an_alarm_meanwhile_rolls_it_back() {
    let told = roll(simulate(fleet()), gated(alarms(300))).await;
    assert_eq!(told.report.outcome, Outcome::Succeeded);
    let bakes = told.events.iter().find(|told| {
        matches!(&told.event, Event::Waiting { on } if on.iter().any(|w| w.kind == WaitKind::Bake))
    });
    let (bakes, end) = (bakes.expect("a wait").at, told.events.last().expect("an end").at);
    assert!(end.since(bakes) >= seconds(300), "{:?}", end.since(bakes));

    // Everything at once, so that there is no batch before which it could be seen.
    let deploy = RollingDeployment { policy: Policy::AllAtOnce, ..gated(alarms(300)) };
    let told = roll(simulate(bad(Behaviour::Alarm)), deploy).await;
    assert_eq!(told.report.outcome, Outcome::RolledBack, "{:?}", told.report);
    assert_eq!(told.launched("v1"), 10);
}

#[tokio::test]
async fn a_fleet_follows_its_load_and_its_schedule_while_it_bakes() {
    let processes = ["AZRebalance", "AlarmNotification", "InstanceRefresh", "ScheduledActions"];
    let suspend_processes = processes.map(String::from).into();
    let deploy = RollingDeployment { suspend_processes, ..gated(alarms(600)) };
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let simulator = Arc::new(Simulator::in_memory(fleet(), clock.clone()));
    let quiet = roll(simulator, deploy.clone()).await;
    let bakes = |told: &Told| {
        let bakes = told.events.iter().find(|told| {
            matches!(&told.event, Event::Waiting { on } if on.iter().any(|w| w.kind == WaitKind::Bake))
        });
        bakes.expect("a wait").at
    };
    let ends = |told: &Told| told.events.last().expect("an end").at;
    let begin = bakes(&quiet);

    let clock = Arc::new(VirtualClock::new(EPOCH));
    let scheduled = ScheduledAction {
        name: "morning".into(),
        at: begin + seconds(60),
        min: None,
        max: Some(14),
        desired: Some(14),
    };
    let config = FleetConfig { schedule: vec![scheduled], ..fleet() };
    let simulator = Arc::new(Simulator::in_memory(config, clock.clone()));
    let (early, late) = (simulator.clone(), simulator.clone());
    let suspended = Arc::new(Mutex::new(None));
    let seen = suspended.clone();
    clock.at(begin + seconds(50), move || {
        *seen.lock().expect("what is suspended") = Some(early.truth().expect("a look").suspended);
    });
    // The load goes down again.
    clock.at(begin + seconds(300), move || {
        late.intervene(Intervention::Resize(12)).expect("a size");
    });
    let told = roll(simulator.clone(), deploy).await;
    assert_eq!(told.report.outcome, Outcome::Succeeded, "{:?}", told.report);
    let suspended = suspended.lock().expect("what is suspended").clone().expect("a look");
    assert_eq!(suspended, ["AZRebalance", "InstanceRefresh"].map(String::from).into());
    assert_eq!(told.report.instances.len(), 12, "the schedule is not set once more at the end");
    let (quiet, scaled) = (ends(&quiet).since(begin), ends(&told).since(begin));
    assert!(scaled <= quiet + seconds(30), "{scaled:?} instead of {quiet:?}");
    let look = simulator.observe().await.expect("a look");
    assert!(look.suspended.is_empty() && look.record.is_empty(), "{look:?}");
}

#[tokio::test]
async fn where_there_are_no_batches_the_alarms_are_watched_all_the_time() {
    let deploy = RollingDeployment { pacing: Pacing::Continuous, ..gated(alarms(0)) };
    let simulator = simulate(bad(Behaviour::Alarm));
    let told = roll(simulator.clone(), deploy).await;
    assert_eq!(told.report.outcome, Outcome::RolledBack, "{:?}", told.report);
    assert!(simulator.launched() < 10 + 10 + 10, "{}", simulator.launched());
    assert_eq!(told.gates().iter().filter(|(_, passed, _)| *passed).count(), 1, "at first");
}

#[tokio::test]
async fn a_command_is_run_after_each_batch_and_knows_what_it_is_about() {
    let deploy =
        gated(command("echo $ROLLING_TARGET $ROLLING_REVISION $ROLLING_BATCH; echo to >&2 you"));
    let told = roll(quick(), deploy).await;
    assert_eq!(told.report.outcome, Outcome::Succeeded, "{:?}", told.report);
    let reply: Vec<String> = told.gates().into_iter().map(|(_, _, reply)| reply).collect();
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
        (command("echo broken; exit 3"), "did not pass: exit code 3: broken"),
        (missing, "cannot start /no/such/test: No such file"),
        (slow, "it did not end within 1s"),
    ];
    for (gates, message) in cases {
        let told = roll(quick(), gated(gates)).await;
        assert_eq!(told.report.outcome, Outcome::RolledBack, "{message}");
        let reason = told.report.reason.clone().expect("a reason");
        assert!(reason.contains(message), "{reason}");
        assert_eq!(told.launched("v1"), 10);
    }
}

/// What it prints is kept in bounds, and what it leaves running is not waited for.
#[tokio::test]
async fn a_command_that_prints_without_end_or_leaves_something_running_ends_with_its_own_end() {
    for (script, message) in [
        ("yes | head -c 50000000; echo the end; exit 3", "exit code 3: "),
        ("sleep 1000 & echo started $!; exit 3", "exit code 3: started"),
    ] {
        let told = roll(quick(), gated(command(script))).await;
        let reply = told.gates().into_iter().map(|(_, _, reply)| reply).next().expect("an answer");
        assert!(reply.starts_with(message), "{reply}");
        assert!(reply.len() < 600, "{} bytes", reply.len());
        let Some((_, pid)) = reply.split_once("started ") else {
            assert!(reply.ends_with("y\nthe end"), "{reply}");
            continue;
        };
        // It is killed; until somebody has taken note of that it has no command line.
        crate::process::until("what it left running is killed", || {
            std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default().is_empty()
        });
    }
}

/// Rolls until the first has been terminated, as somebody does who presses Ctrl-C then.
async fn interrupted(simulator: &Arc<Simulator>, spec: RollingDeployment) -> Outcome {
    let (send, stop) = tokio::sync::watch::channel(Stop::No);
    let rollout = Rollout::prepare(simulator.clone(), spec, &caller()).await.expect("prepare");
    let report = rollout
        .run(stop, &mut |told| {
            if matches!(told.event, Event::Acted { action: Action::Terminate { .. } }) {
                send.send_replace(Stop::Gracefully);
            }
        })
        .await;
    report.outcome
}

#[tokio::test]
async fn alarms_that_were_quiet_before_anything_served_do_not_stand_for_the_command_after_it() {
    let deploy = RollingDeployment {
        policy: Policy::AllAtOnce,
        ..gated(Gates { alarms: ["errors".to_owned()].into(), ..command("exit 1") })
    };
    let simulator = quick();
    assert_eq!(interrupted(&simulator, deploy.clone()).await, Outcome::Aborted);
    let told = roll(simulator.clone(), deploy).await;
    assert_eq!(told.report.outcome, Outcome::RolledBack, "{:?}", told.report);
    let reason = told.report.reason.clone().expect("a reason");
    assert!(reason.contains("did not pass: exit code 1"), "{reason}");
    assert_eq!(told.launched("v1"), 10);
}

#[tokio::test]
async fn what_a_checkpoint_asks_somebody_to_approve_has_passed_the_gates() {
    for pause in [None, Some(seconds(3600))] {
        let checkpoints = vec![Checkpoint { percentage: 30, pause }];
        let deploy = RollingDeployment { checkpoints, ..gated(command("exit 1")) };
        let told = roll(quick(), deploy).await;
        assert_eq!(told.report.outcome, Outcome::RolledBack, "{:?}", told.report);
        assert_eq!(told.launched("v1"), 10);
        // One without an end pauses the rollout instead of waiting.
        let waited = told.events.iter().any(|told| {
            let Event::Waiting { on } = &told.event else { return false };
            on.iter().any(|wait| wait.kind == WaitKind::Checkpoint)
        });
        assert!(!waited, "nobody is asked, and no time is spent");
    }
}

/// Whoever waits on purpose still watches.
#[tokio::test]
async fn an_alarm_that_is_raised_at_a_checkpoint_or_in_a_pause_ends_it_at_once() {
    let hour = seconds(3600);
    let checkpoints = vec![Checkpoint { percentage: 30, pause: Some(hour) }];
    let watched = gated(alarms(0));
    for (deploy, kind) in [
        (RollingDeployment { checkpoints, ..watched.clone() }, WaitKind::Checkpoint),
        (RollingDeployment { pause_between_batches: hour, ..watched }, WaitKind::Pause),
    ] {
        let events = vec![(seconds(600), Intervention::Alarm(true))];
        let simulator = simulate(FleetConfig { events, ..fleet() });
        let told = roll(simulator.clone(), deploy).await;
        assert_eq!(told.report.outcome, Outcome::RolledBack, "{:?}", told.report);
        let waited = told.events.iter().any(|told| {
            let Event::Waiting { on } = &told.event else { return false };
            on.iter().any(|wait| wait.kind == kind)
        });
        assert!(waited, "{kind:?}");
        let back = told.events.iter().find(|e| matches!(e.event, Event::RollingBack { .. }));
        let late = back.expect("a rollback").at.since(EPOCH) - seconds(600);
        assert!(late <= seconds(11), "{late:?} after the alarm was raised");
        assert_eq!(simulator.launched(), 10 + 3 + 3, "one batch, and back");
    }
}

/// A checkpoint that somebody passes while its gates are asked does not take their answer away.
#[tokio::test]
async fn whoever_resumes_while_a_checkpoint_has_its_gates_asked_overrides_none() {
    for (script, outcome) in
        [("sleep 1; exit 1", Outcome::RolledBack), ("sleep 1", Outcome::Succeeded)]
    {
        let checkpoints = vec![Checkpoint { percentage: 30, pause: None }];
        let deploy = RollingDeployment { checkpoints, ..gated(command(script)) };
        let simulator = quick();
        let rollout = Rollout::prepare(simulator.clone(), deploy, &caller()).await;
        let (_keep, stop) = tokio::sync::watch::channel(Stop::No);
        let (mut resumed, mut begun) = (false, 0);
        let report = rollout
            .expect("prepare")
            .run(stop, &mut |told| match &told.event {
                Event::BatchStarted { .. } => begun += 1,
                Event::Waiting { on }
                    if !resumed && on.iter().any(|wait| wait.kind == WaitKind::Gate) =>
                {
                    leave_command(&simulator, Command::Resume);
                    resumed = true;
                }
                Event::RollingBack { .. } => assert_eq!(begun, 1, "nothing more was begun"),
                _ => {}
            })
            .await;
        assert!(resumed);
        assert_eq!(report.outcome, outcome, "{report:?}");
    }
}

#[tokio::test]
async fn a_failed_gate_stops_where_that_is_asked_for() {
    let deploy = RollingDeployment { on_failure: OnFailure::Stop, ..gated(command("exit 1")) };
    let told = roll(quick(), deploy).await;
    assert_eq!(told.report.outcome, Outcome::Failed);
    assert_eq!((told.launched("v2"), told.launched("v1")), (3, 7));
    assert!(told.report.borrowed.is_empty(), "{:?}", told.report.borrowed);
}

#[tokio::test]
async fn a_batch_beside_the_fleet_is_tried_before_any_other() {
    let additional = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(2));
    for (policy, first) in [(additional, (2, 0)), (Policy::Immutable, (1, 0))] {
        let deploy = RollingDeployment { policy, ..gated(command("exit 1")) };
        let simulator = quick();
        let told = roll(simulator.clone(), deploy).await;
        assert_eq!(told.report.outcome, Outcome::RolledBack, "{:?}", told.report);
        assert_eq!(told.batches()[0], first);
        assert_eq!(simulator.launched(), 10 + u64::from(first.0), "no more than the first ones");
    }
}

/// Answers with these statuses, the last one for ever.
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

/// Commands and requests take real time, so the fleet must live by a real clock, if a fast one.
fn quick() -> Arc<Simulator> {
    at_speed(200.0)
}

/// Slow enough for requests to be answered in time on a busy machine, too.
fn answering() -> Arc<Simulator> {
    at_speed(20.0)
}

fn at_speed(speed: f64) -> Arc<Simulator> {
    Arc::new(Simulator::in_memory(fleet(), Arc::new(TokioClock::new(EPOCH, speed))))
}

#[tokio::test]
async fn an_address_is_asked_until_it_answers_as_it_should() {
    let (url, asked) = server(&[503, 503, 200]);
    let deploy = RollingDeployment { policy: Policy::AllAtOnce, ..gated(http(&url, 100)) };
    let told = roll(answering(), deploy).await;
    assert_eq!(told.report.outcome, Outcome::Succeeded, "{:?}", told.report);
    // One that takes too long on a busy machine is asked once more.
    assert!(asked.load(Ordering::SeqCst) >= 3);
    assert_eq!(told.gates(), [(format!("GET {url}"), true, "200".to_owned())]);
}

#[tokio::test]
async fn an_address_that_answers_something_else_or_nothing_is_a_failure() {
    let (url, _) = server(&[500]);
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("one");
    let nobody = format!("http://{closed}/");
    for (url, message) in [(url, "it answers 500 and not 200, for 1m 40s"), (nobody, "refused")] {
        let simulator = answering();
        let began = simulator.clock().now();
        let deploy = RollingDeployment { policy: Policy::AllAtOnce, ..gated(http(&url, 100)) };
        let told = roll(simulator.clone(), deploy).await;
        assert_eq!(told.report.outcome, Outcome::RolledBack, "{:?}", told.report);
        let reason = told.report.reason.clone().expect("a reason");
        assert!(reason.contains(message), "{reason}");
        assert!(simulator.clock().now().since(began) >= seconds(100));
    }
}
