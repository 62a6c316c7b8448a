//! Gates on the simulator: alarms, addresses and commands that a rollout waits for.

mod checkpoints;
mod probes;

use std::sync::{Arc, Mutex};

use rolling::engine::Rollout;
use rolling::engine::clock::TokioClock;
use rolling::model::event::{Event, Outcome};
use rolling::model::spec::{
    BatchSize, Gates, Health, OnFailure, Pacing, Policy, Probe, RollingDeployment,
};
use rolling::model::wait::WaitKind;
use rolling::record::command::Command;
use rolling_provider::{Fleet as _, ScheduledAction};
use rolling_simulator::{Behaviour, EPOCH, FleetConfig, Intervention, Simulator, VirtualClock};

use crate::test_fleets::Witness;
use crate::world::{Run, bad, caller, fleet, roll, seconds, simulate, spec, thirty_percent};

fn gated(gates: Gates) -> RollingDeployment {
    let spec = spec(thirty_percent());
    // Some of these run by a fast clock, by which a look takes long on a busy machine.
    let health = Health { healthy_timeout: seconds(6000), ..spec.health };
    RollingDeployment { gates, health, on_failure: OnFailure::Rollback, ..spec }
}

fn alarms(bake: u64) -> Gates {
    let alarms = ["errors".to_owned()].into();
    Gates { alarms, bake_time: seconds(bake), ..Gates::default() }
}

fn command(script: &str) -> Gates {
    command_within(script, 6000)
}

/// The same for a command that fails: half a second of real time, in which it is tried some times.
fn failing(script: &str) -> Gates {
    command_within(script, 100)
}

fn command_within(script: &str, timeout: u64) -> Gates {
    let run = ["sh", "-c", script].map(String::from).into();
    let timeout = seconds(timeout);
    let probe = Probe::Command { run, environment: Default::default(), timeout };
    Gates { probes: vec![probe], ..Gates::default() }
}

impl Run {
    /// Returns what the gates answered, in order.
    fn gates(&self) -> Vec<(String, bool, String)> {
        let reply = self.events.iter().filter_map(|envelope| match &envelope.event {
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

/// Commands and requests take real time, so the fleet runs by a real clock, a fast one.
fn quick() -> Arc<Simulator> {
    at_speed(200.0)
}

fn at_speed(speed: f64) -> Arc<Simulator> {
    Arc::new(Simulator::in_memory(fleet(), Arc::new(TokioClock::new(EPOCH, speed))))
}

#[tokio::test]
async fn alarms_are_read_before_each_batch_and_at_the_end() {
    let run = roll(simulate(fleet()), gated(alarms(0))).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    let reply = run.gates();
    assert_eq!(reply.len(), 5, "before each of four batches, and after the last: {reply:?}");
    assert!(reply.iter().all(|(gate, passed, _)| gate == "alarms errors" && *passed));
    let kinds: Vec<&str> = run
        .events
        .iter()
        .filter_map(|envelope| match &envelope.event {
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
    let run = roll(simulator.clone(), gated(alarms(60))).await;
    assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
    let reason = run.report.reason.clone().expect("a reason");
    assert!(reason.contains("alarms errors did not pass: errors is in ALARM: i-"), "{reason}");
    assert!(reason.contains("of v2 makes errors"), "{reason}");
    assert_eq!(run.batches()[0], (0, 3));
    assert_eq!(simulator.launched(), 10 + 3 + 3, "one batch, and the rollback");
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
    assert!(warnings.iter().any(|w| w.starts_with("alarm errors is in ALARM: ")), "{warnings:?}");
    let run = roll(simulator.clone(), wanted).await;
    assert_eq!(run.report.outcome, Outcome::Failed);
    let reason = run.report.reason.clone().expect("a reason");
    assert!(reason.ends_with("before anything was begun"), "{reason}");
    assert!(run.actions().is_empty(), "{:?}", run.actions());
    assert!(simulator.observe().await.expect("a look").record.is_empty());
}

#[tokio::test]
async fn a_fleet_bakes_and_an_alarm_meanwhile_rolls_it_back() {
    let run = roll(simulate(fleet()), gated(alarms(300))).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded);
    let bakes = run.events.iter().find(|envelope| {
        matches!(&envelope.event, Event::Waiting { on } if on.iter().any(|w| w.kind == WaitKind::Bake))
    });
    let (bakes, end) = (bakes.expect("a wait").at, run.events.last().expect("an end").at);
    assert!(end.since(bakes) >= seconds(300), "{:?}", end.since(bakes));

    // All at once, so that there is no batch before which the alarm could be seen.
    let deploy = RollingDeployment { policy: Policy::AllAtOnce, ..gated(alarms(300)) };
    let run = roll(simulate(bad(Behaviour::Alarm)), deploy).await;
    assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
    assert_eq!(run.launched("v1"), 10);
}

#[tokio::test]
async fn a_fleet_follows_its_load_and_its_schedule_while_it_bakes() {
    let processes = ["AZRebalance", "AlarmNotification", "InstanceRefresh", "ScheduledActions"];
    let suspend_processes = processes.map(String::from).into();
    let deploy = RollingDeployment { suspend_processes, ..gated(alarms(600)) };
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let simulator = Arc::new(Simulator::in_memory(fleet(), clock.clone()));
    let quiet = roll(simulator, deploy.clone()).await;
    let bakes = |run: &Run| {
        let bakes = run.events.iter().find(|envelope| {
            matches!(&envelope.event, Event::Waiting { on } if on.iter().any(|w| w.kind == WaitKind::Bake))
        });
        bakes.expect("a wait").at
    };
    let ends = |run: &Run| run.events.last().expect("an end").at;
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
    let run = roll(simulator.clone(), deploy).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    let suspended = suspended.lock().expect("what is suspended").clone().expect("a look");
    assert_eq!(suspended, ["AZRebalance", "InstanceRefresh"].map(String::from).into());
    assert_eq!(run.report.instances.len(), 12, "the scheduled size is not set again at the end");
    let (quiet, scaled) = (ends(&quiet).since(begin), ends(&run).since(begin));
    assert!(scaled <= quiet + seconds(30), "{scaled:?} instead of {quiet:?}");
    let look = simulator.observe().await.expect("a look");
    assert!(look.suspended.is_empty() && look.record.is_empty(), "{look:?}");
}

/// The bake time lets the fleet scale. A rollback in it replaces instances, so it does not.
#[tokio::test]
async fn a_rollback_in_the_bake_time_suspends_the_processes_again() {
    let processes = ["AZRebalance", "AlarmNotification", "InstanceRefresh", "ScheduledActions"];
    let suspend_processes = processes.map(String::from).into();
    let policy = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3));
    let deploy = RollingDeployment { suspend_processes, policy, ..gated(alarms(3_000)) };
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let simulator = Arc::new(Simulator::in_memory(fleet(), clock.clone()));
    let meanwhile = simulator.clone();
    clock.at(EPOCH + seconds(1_500), move || {
        let scales = |process: &String| process == "ScheduledActions";
        let look = meanwhile.truth().expect("a look");
        assert!(!look.suspended.iter().any(scales), "the bake time: {:?}", look.suspended);
        super::crash::leave_command(&meanwhile, Command::Rollback);
    });
    let witness = Witness::new(simulator.clone(), deploy.clone()).await;
    let run = roll(witness.clone(), deploy).await;
    assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
    assert_eq!(witness.broken(29), Vec::<String>::new());
    let look = simulator.observe().await.expect("a look");
    assert!(look.suspended.is_empty() && look.record.is_empty(), "{look:?}");
}

#[tokio::test]
async fn where_there_are_no_batches_the_alarms_are_watched_all_the_time() {
    let deploy = RollingDeployment { pacing: Pacing::Continuous, ..gated(alarms(0)) };
    let simulator = simulate(bad(Behaviour::Alarm));
    let run = roll(simulator.clone(), deploy).await;
    assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
    assert!(simulator.launched() < 10 + 10 + 10, "{}", simulator.launched());
    assert_eq!(run.gates().iter().filter(|(_, passed, _)| *passed).count(), 1, "at first");
}

#[tokio::test]
async fn a_failed_gate_stops_where_that_is_asked_for() {
    let deploy = RollingDeployment { on_failure: OnFailure::Stop, ..gated(failing("exit 1")) };
    let run = roll(quick(), deploy).await;
    assert_eq!(run.report.outcome, Outcome::Failed);
    assert_eq!((run.launched("v2"), run.launched("v1")), (3, 7));
    assert!(run.report.borrowed.is_empty(), "{:?}", run.report.borrowed);
}

#[tokio::test]
async fn an_additional_batch_passes_the_gates_before_any_other() {
    let additional = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(2));
    for (policy, first) in [(additional, (2, 0)), (Policy::Immutable, (1, 0))] {
        let deploy = RollingDeployment { policy, ..gated(failing("exit 1")) };
        let simulator = quick();
        let run = roll(simulator.clone(), deploy).await;
        assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
        assert_eq!(run.batches()[0], first);
        assert_eq!(
            simulator.launched(),
            10 + u64::from(first.0),
            "only the first batch was launched"
        );
    }
}
