//! Crash enumeration: the engine is killed before and after each of its mutations, those of the
//! record and the lease included, and started again. It always ends the same.

use std::sync::Arc;
use std::time::Duration;

use rolling::engine::{ControlOutcome, Rollout, Stop};
use rolling::model::event::{Outcome, Report};
use rolling::model::spec::{BatchSize, Gates, OnFailure, Policy, RollingDeployment};
use rolling::record::command::{Command, Control};
use rolling::record::{CONTROL, Ending, LEASE, Phase, Record};
use rolling_provider::{Fleet, Observation};
use rolling_simulator::{Behaviour, EPOCH, FleetConfig, Intervention, Simulator, VirtualClock};
use tokio::sync::watch;

use super::properties::an_hour_ago;
use crate::test_fleets::{Dies, Mortal, SECOND, Witness};
use crate::world::{
    bad, caller, fleet, group, roll_until, seconds, spec, thirty_percent, traffic_steps,
};

/// A rollout that is killed at every point.
struct Story {
    name: &'static str,
    config: FleetConfig,
    spec: RollingDeployment,
    outcome: Outcome,
    /// When somebody gives it a command.
    command: Option<(u64, Command)>,
}

/// What must be the same however often the engine died.
#[derive(Debug, PartialEq, Eq)]
struct End {
    outcome: Outcome,
    revisions: Vec<String>,
    serving: usize,
    desired: u32,
    max: u32,
    template: Option<String>,
    suspended: Vec<String>,
    tags: Vec<String>,
    launched: u64,
}

fn end(simulator: &Simulator, look: &Observation, outcome: Outcome) -> End {
    let live = look.instances.values().filter(|i| i.lifecycle.is_live());
    let mut revisions: Vec<String> =
        live.filter_map(|i| i.revision.as_ref()).map(ToString::to_string).collect();
    revisions.sort();
    End {
        outcome,
        revisions,
        serving: crate::test_fleets::count_serving(look),
        desired: look.desired(),
        max: look.max(),
        template: look.template.as_ref().map(ToString::to_string),
        suspended: look.suspended.iter().cloned().collect(),
        // A dead engine's lease has no effect; the next run removes it.
        tags: look
            .record
            .keys()
            .filter(|key| ![LEASE, CONTROL].contains(&key.as_str()))
            .cloned()
            .collect(),
        launched: simulator.launched() + simulator.updated(),
    }
}

/// Runs `story` and kills the engine at mutation number `at`, then runs it again until it ends.
/// Returns the end, whether the engine was killed there, and the broken promises.
async fn run(story: &Story, at: u32, dies: Dies) -> (End, bool, Vec<String>) {
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let simulator = Arc::new(Simulator::in_memory(story.config.clone(), clock.clone()));
    let witness = Witness::new(simulator.clone(), story.spec.clone()).await;
    if let Some((after, command)) = story.command {
        let simulator = simulator.clone();
        clock.at(EPOCH + seconds(after), move || leave_command(&simulator, command));
    }
    let mortal = Mortal::new(witness.clone(), at, dies);
    let (_keep, stop) = watch::channel(Stop::No);
    let first = mortal.survive(roll_until(mortal.clone(), story.spec.clone(), stop)).await;
    let died = first.is_none();
    let mut outcome = match first {
        Some(run) => run.report.outcome,
        // It had ended; running it again would be another rollout.
        None if at > 2 && is_over(&simulator, &story.config).await => story.outcome,
        None => {
            let (_keep, stop) = watch::channel(Stop::No);
            roll_until(witness.clone(), story.spec.clone(), stop).await.report.outcome
        }
    };
    if outcome == Outcome::Paused && story.outcome != Outcome::Paused {
        outcome = resume(witness.clone(), &story.spec).await.outcome;
    }
    let look = simulator.observe().await.expect("observe");
    (end(&simulator, &look, outcome), died, witness.broken(0))
}

/// Whether no rollout is under way or paused.
pub async fn is_over(simulator: &Simulator, config: &FleetConfig) -> bool {
    let look = simulator.observe().await.expect("observe");
    let record = Record::from_tags(&look.record).expect("a record");
    let phase = record.map(|record| record.phase);
    let is_paused = phase == Some(Phase::Halted(Ending::Paused));
    simulator.launched() + simulator.updated() > u64::from(config.instances)
        && !is_paused
        && phase.is_none_or(|p| matches!(p, Phase::Halted(_)))
}

/// Leaves a command for the rollout, as another process would.
pub fn leave_command(simulator: &Simulator, command: Command) {
    leave_command_as(simulator, command, "word-1");
}

/// The same with this id.
pub fn leave_command_as(simulator: &Simulator, command: Command, id: &str) {
    let look = simulator.truth().expect("the fleet");
    let Ok(Some(record)) = Record::from_tags(&look.record) else { return };
    let control = Control {
        command,
        id: id.into(),
        rollout: record.id,
        by: "somebody".into(),
        supersedes_with: None,
    };
    simulator.intervene(Intervention::Tags(control.tags())).expect("tags");
}

/// Resumes a rollout that is paused.
pub async fn resume(fleet: Arc<dyn Fleet>, spec: &RollingDeployment) -> Report {
    let mut caller = caller();
    caller.rollout_id = "resumed".into();
    let rollout = Rollout::prepare(fleet, spec.clone(), &caller).await.expect("prepare");
    let (_keep, stop) = watch::channel(Stop::No);
    match rollout.command(Command::Resume, stop, &mut |_| {}).await.expect("resume") {
        ControlOutcome::RanHere(report) => *report,
        other => panic!("{other:?}"),
    }
}

async fn enumerate(story: Story) {
    let (reference, _, broken) = run(&story, 0, Dies::Before).await;
    assert_eq!(reference.outcome, story.outcome, "{}: {reference:?}", story.name);
    assert_eq!(broken, Vec::<String>::new(), "{}", story.name);
    let mut points = 0;
    for at in 1.. {
        let mut died = false;
        for dies in [Dies::Before, Dies::After] {
            let (end, died_now, broken) = run(&story, at, dies).await;
            assert_eq!(end, reference, "{}: killed {dies:?} mutation {at}", story.name);
            assert_eq!(broken, Vec::<String>::new(), "{}: {dies:?} {at}", story.name);
            died |= died_now;
            points += u32::from(died_now);
        }
        if !died {
            break;
        }
    }
    // Shown by `cargo test -- --nocapture`.
    eprintln!("{}: {points} points to die at, all end the same", story.name);
    assert!(points > 20, "{}: {points}", story.name);
}

fn story(name: &'static str, policy: Policy) -> Story {
    let command = None;
    Story { name, config: fleet(), spec: spec(policy), outcome: Outcome::Succeeded, command }
}

fn additional() -> Policy {
    Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3))
}

fn rolling_back(name: &'static str, policy: Policy, behaviour: Behaviour) -> Story {
    let spec = RollingDeployment { on_failure: OnFailure::Rollback, ..spec(policy) };
    Story { name, config: bad(behaviour), spec, outcome: Outcome::RolledBack, command: None }
}

/// The same with unmanaged instances, which only the engine launches and counts.
fn unmanaged(story: Story) -> Story {
    let config = FleetConfig { unmanaged: true, ..story.config };
    let spec = RollingDeployment { suspend_processes: Default::default(), ..story.spec };
    Story { config, spec, ..story }
}

#[tokio::test]
async fn unmanaged_instances() {
    enumerate(unmanaged(story("unmanaged rolling", thirty_percent()))).await;
    enumerate(unmanaged(story("unmanaged with an additional batch", additional()))).await;
    enumerate(unmanaged(story("unmanaged immutable", Policy::Immutable))).await;
    enumerate(unmanaged(story("unmanaged all at once", Policy::AllAtOnce))).await;
}

#[tokio::test]
async fn unmanaged_instances_that_are_rolled_back() {
    let back = |name, policy, behaviour| unmanaged(rolling_back(name, policy, behaviour));
    enumerate(back("unmanaged rollback", thirty_percent(), Behaviour::Unhealthy)).await;
    enumerate(back("unmanaged rollback with surge", additional(), Behaviour::HalfUnhealthy)).await;
    enumerate(back("unmanaged immutable rollback", Policy::Immutable, Behaviour::HalfUnhealthy))
        .await;
    enumerate(back("unmanaged launch failure", thirty_percent(), Behaviour::FailLaunch)).await;
}

#[tokio::test]
async fn unmanaged_instances_that_are_paused_aborted_or_stopped() {
    for (name, policy) in
        [("unmanaged pause", thirty_percent()), ("unmanaged pause, surge", additional())]
    {
        enumerate(unmanaged(Story { command: Some((70, Command::Pause)), ..story(name, policy) }))
            .await;
    }
    let (command, outcome) = (Some((70, Command::Abort)), Outcome::Aborted);
    enumerate(unmanaged(Story { command, outcome, ..story("unmanaged abort", additional()) }))
        .await;
    enumerate(unmanaged(Story {
        command,
        outcome,
        ..story("unmanaged abort, no surge", thirty_percent())
    }))
    .await;
    let (config, outcome, command) = (bad(Behaviour::Unhealthy), Outcome::Failed, None);
    let spec = spec(additional());
    enumerate(unmanaged(Story { name: "unmanaged stop", config, spec, outcome, command })).await;
}

#[tokio::test]
async fn a_rolling_rollout() {
    enumerate(story("rolling", thirty_percent())).await;
}

#[tokio::test]
async fn an_additional_batch() {
    enumerate(story("rolling with an additional batch", additional())).await;
}

#[tokio::test]
async fn an_immutable_rollout() {
    enumerate(story("immutable", Policy::Immutable)).await;
}

/// The same with a fleet that runs the revision already, and is restarted.
fn restarting(story: Story) -> Story {
    let initial_revision = story.config.revision.clone();
    let config = FleetConfig { initial_revision, ..story.config };
    let spec = RollingDeployment { restart: Some(an_hour_ago()), ..story.spec };
    Story { config, spec, ..story }
}

#[tokio::test]
async fn a_restart() {
    enumerate(restarting(story("restart", thirty_percent()))).await;
    enumerate(restarting(story("restart with an additional batch", additional()))).await;
    enumerate(restarting(shifting(story("restart, blue/green", MOVING)))).await;
    enumerate(restarting(unmanaged(story("restart, unmanaged", additional())))).await;
    let (command, outcome) = (Some((70, Command::Abort)), Outcome::Aborted);
    let aborted = story("restart that is aborted", additional());
    enumerate(restarting(Story { command, outcome, ..aborted })).await;
}

#[tokio::test]
async fn a_rollback() {
    enumerate(rolling_back("rollback", thirty_percent(), Behaviour::Unhealthy)).await;
    enumerate(rolling_back("rollback with surge", additional(), Behaviour::HalfUnhealthy)).await;
    enumerate(rolling_back("immutable rollback", Policy::Immutable, Behaviour::HalfUnhealthy))
        .await;
}

#[tokio::test]
async fn gates_that_pass_and_one_that_does_not() {
    let alarms = ["errors".to_owned()].into();
    let gates = Gates { alarms, bake_time: seconds(60), ..Gates::default() };
    let gated = |story: Story| {
        let spec = RollingDeployment { gates: gates.clone(), ..story.spec };
        Story { spec, ..story }
    };
    enumerate(gated(story("alarms", additional()))).await;
    enumerate(gated(rolling_back("an alarm", thirty_percent(), Behaviour::Alarm))).await;
    enumerate(gated(rolling_back(
        "an alarm in the bake time",
        Policy::AllAtOnce,
        Behaviour::Alarm,
    )))
    .await;
}

/// The same with requests that are shifted to a second target group.
fn shifting(story: Story) -> Story {
    let config = FleetConfig { second: Some(group(SECOND, 5)), ..story.config };
    let mut spec = story.spec;
    spec.suspend_processes.insert("AddToLoadBalancer".into());
    spec.traffic_steps = traffic_steps(&[(10, 30), (40, 30)]);
    Story { config, spec, ..story }
}

const SPLITTING: Policy = Policy::TrafficSplitting;
const MOVING: Policy = Policy::BlueGreen { terminate_after: Duration::from_secs(60) };

#[tokio::test]
async fn requests_that_are_shifted() {
    enumerate(shifting(story("traffic splitting", SPLITTING))).await;
    enumerate(shifting(story("blue and green", MOVING))).await;
}

#[tokio::test]
async fn requests_that_are_shifted_back() {
    for policy in [SPLITTING, MOVING] {
        let back = |name, behaviour| shifting(rolling_back(name, policy, behaviour));
        enumerate(back("a new set that fails", Behaviour::HalfUnhealthy)).await;
        let mut alarmed = back("a new set that raises an alarm", Behaviour::Alarm);
        alarmed.spec.gates.alarms = ["errors".to_owned()].into();
        enumerate(alarmed).await;
        for at in [70, 110, 135] {
            let (command, outcome) = (Some((at, Command::Abort)), Outcome::Aborted);
            enumerate(shifting(Story { command, outcome, ..story("abort", policy) })).await;
            let command = Some((at, Command::Pause));
            enumerate(shifting(Story { command, ..story("pause", policy) })).await;
        }
    }
}

/// The same with instances that are updated in place.
fn in_place(story: Story) -> Story {
    let config = crate::fast::in_place::updated(story.config);
    let RollingDeployment { on_failure, ref gates, .. } = story.spec;
    let gates = gates.clone();
    let spec =
        RollingDeployment { on_failure, gates, ..crate::fast::in_place::deploy(story.spec.policy) };
    Story { config, spec, ..story }
}

#[tokio::test]
async fn updates_in_place() {
    enumerate(in_place(story("in place", thirty_percent()))).await;
    enumerate(in_place(unmanaged(story("unmanaged in place", thirty_percent())))).await;
    let back = |name, behaviour| in_place(rolling_back(name, thirty_percent(), behaviour));
    enumerate(back("an update that fails", Behaviour::FailLaunch)).await;
    enumerate(back("an update to what is not healthy", Behaviour::Unhealthy)).await;
    for at in [30, 60, 90] {
        let (command, outcome) = (Some((at, Command::Abort)), Outcome::Aborted);
        let policy = thirty_percent();
        enumerate(in_place(Story { command, outcome, ..story("abort in place", policy) })).await;
        let command = Some((at, Command::Pause));
        enumerate(in_place(Story { command, ..story("pause in place", policy) })).await;
    }
}

#[tokio::test]
async fn a_pause_that_is_resumed() {
    for (name, policy) in [("pause", thirty_percent()), ("pause with surge", additional())] {
        enumerate(Story { command: Some((70, Command::Pause)), ..story(name, policy) }).await;
    }
}

#[tokio::test]
async fn an_abort_and_a_rollback_that_somebody_asks_for() {
    let command = Some((70, Command::Abort));
    let outcome = Outcome::Aborted;
    enumerate(Story { command, outcome, ..story("abort", additional()) }).await;
    let command = Some((70, Command::Rollback));
    let outcome = Outcome::RolledBack;
    enumerate(Story { command, outcome, ..story("rollback on demand", thirty_percent()) }).await;
}

#[tokio::test]
async fn a_stop_after_a_failure() {
    let spec = spec(additional());
    let config = bad(Behaviour::Unhealthy);
    let (outcome, command) = (Outcome::Failed, None);
    enumerate(Story { name: "stop", config, spec, outcome, command }).await;
}

#[tokio::test]
async fn a_failure_that_is_tolerated() {
    // Every second launch fails; a failure that was counted is not counted again.
    let spec =
        RollingDeployment { failure_threshold: 2, ..spec(Policy::Rolling(BatchSize::Fixed(1))) };
    let config = FleetConfig { instances: 3, ..bad(Behaviour::HalfUnhealthy) };
    let (outcome, command) = (Outcome::Failed, None);
    enumerate(Story { name: "second failure", config, spec, outcome, command }).await;
}
