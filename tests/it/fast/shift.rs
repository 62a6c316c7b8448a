//! Requests that are shifted from one target group to a second one, and back, on the simulator.

mod steps;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use rolling::engine::{Caller, ControlOutcome, Rollout, Stop};
use rolling::model::event::{Event, Outcome};
use rolling::model::spec::{Gates, OnFailure, Policy, RollingDeployment};
use rolling::model::wait::WaitKind;
use rolling::record::command::Command;
use rolling_provider::{Action, Fleet, Lifecycle, TargetState};
use rolling_simulator::{Behaviour, EPOCH, FleetConfig, Intervention, Simulator, VirtualClock};
use tokio::sync::watch;

use crate::fast::crash::leave_command;
use crate::test_fleets::{SECOND, Witness};
use crate::world::{
    Run, bad, caller, fleet, group, roll, roll_until, seconds, simulate, simulate_and_stop, spec,
};

const SPLITTING: Policy = Policy::TrafficSplitting;

fn deploy(policy: Policy) -> RollingDeployment {
    let suspend_processes = ["AZRebalance", "AddToLoadBalancer"].map(String::from).into();
    RollingDeployment { suspend_processes, on_failure: OnFailure::Rollback, ..spec(policy) }
}

fn moving() -> Policy {
    Policy::BlueGreen { terminate_after: seconds(600) }
}

async fn shift(config: FleetConfig, spec: RollingDeployment) -> (Run, Arc<Simulator>) {
    let config = FleetConfig { second: Some(group(SECOND, 5)), ..config };
    let simulator = simulate(config);
    let witness = Witness::new(simulator.clone(), spec.clone()).await;
    let run = roll(witness.clone(), spec).await;
    assert_eq!(witness.broken(0), Vec::<String>::new());
    let look = simulator.observe().await.expect("a look");
    assert_eq!(look.shifted, Some([0].into()), "all requests go to the first target group");
    assert!(look.suspended.is_empty() && look.record.is_empty(), "{look:?}");
    for (id, instance) in &look.instances {
        let second = instance.targets.get(&SECOND.into()).map(|health| health.state);
        assert!(second.is_none_or(|state| state == TargetState::Draining), "{id}: {second:?}");
    }
    (run, simulator)
}

/// Returns what was done, each action in a short phrase; phrases that repeat are there once.
fn done(run: &Run) -> Vec<String> {
    let message = run.actions().into_iter().filter_map(|action| match action {
        Action::Shift { percent } => Some(format!("{percent} %")),
        Action::Register { target_group, .. } => Some(format!("join {target_group}")),
        Action::Deregister { target_group, .. } => Some(format!("leave {target_group}")),
        Action::Terminate { decrement, .. } => {
            Some(if *decrement { "end" } else { "replace" }.to_owned())
        }
        Action::SetCapacity { desired: Some(desired), .. } => Some(format!("size {desired}")),
        Action::SetCapacity { max: Some(max), .. } => Some(format!("maximum {max}")),
        _ => None,
    });
    let mut message: Vec<String> = message.collect();
    message.dedup();
    message
}

#[tokio::test]
async fn a_share_of_the_requests_goes_to_the_new_set_first_and_then_all() {
    let (run, simulator) = shift(fleet(), deploy(SPLITTING)).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    let order = [
        "size 20",
        "join second",
        "10 %",
        "100 %",
        "join web",
        "leave web",
        "end",
        "0 %",
        "leave second",
        "maximum 10",
    ];
    assert_eq!(done(&run), order);
    assert_eq!(simulator.launched(), 20);
    let at = |wanted: u32| {
        let shift = |event: &Event| matches!(event, Event::Acted { action: Action::Shift { percent } } if *percent == wanted);
        run.events.iter().find(|envelope| shift(&envelope.event)).expect("a shift").at
    };
    assert!(at(100).since(at(10)) >= seconds(300));
}

#[tokio::test]
async fn all_requests_move_at_once_and_the_old_set_is_kept_for_a_while() {
    let (run, _) = shift(fleet(), deploy(moving())).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    let order = [
        "size 20",
        "join second",
        "100 %",
        "join web",
        "leave web",
        "end",
        "0 %",
        "leave second",
        "maximum 10",
    ];
    assert_eq!(done(&run), order);
    let retained = run.events.iter().find_map(|envelope| match &envelope.event {
        Event::Waiting { on } => {
            on.iter().find(|wait| wait.kind == WaitKind::OldSetRetained).cloned()
        }
        _ => None,
    });
    let message = retained.expect("a wait").to_string();
    assert_eq!(
        message,
        "the old instances' retention time to pass (all requests go to target group second)"
    );
}

#[tokio::test]
async fn a_new_set_that_fails_gets_no_request() {
    for policy in [SPLITTING, moving()] {
        let (run, simulator) = shift(bad(Behaviour::HalfUnhealthy), deploy(policy)).await;
        assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
        let shifts = |a: &&&Action| matches!(a, Action::Shift { .. });
        assert_eq!(run.actions().iter().filter(shifts).count(), 0);
        assert_eq!(simulator.launched(), 20, "nothing of the old set was replaced");
    }
}

#[tokio::test]
async fn an_alarm_during_the_evaluation_takes_the_requests_back_at_once() {
    let alarms = ["errors".to_owned()].into();
    for policy in [SPLITTING, moving()] {
        // The first request raises the alarm, so it is not raised before the gates.
        let gates =
            Gates { alarms: std::collections::BTreeSet::clone(&alarms), ..Gates::default() };
        let spec = RollingDeployment { gates, ..deploy(policy) };
        let (run, simulator) = shift(bad(Behaviour::AlarmOnRequests), spec).await;
        assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
        let first = if policy == moving() { "100 %" } else { "10 %" };
        let order = ["size 20", "join second", first, "0 %", "leave second", "end", "maximum 10"];
        assert_eq!(done(&run), order);
        assert_eq!(simulator.launched(), 20);
    }
}

#[tokio::test]
async fn requests_that_are_shifted_already_are_refused() {
    let simulator = simulate(FleetConfig { second: Some(group(SECOND, 5)), ..fleet() });
    simulator.act(&Action::Shift { percent: 20 }).await.expect("a shift");
    let caller = crate::world::caller();
    let refused = rolling::engine::Rollout::prepare(simulator, deploy(moving()), &caller).await;
    let error = refused.err().expect("an error");
    assert_eq!(error.attribute.as_deref(), Some("traffic/listener_rule_arns"));
    assert!(error.message.starts_with("20 % of the requests already go to the second"), "{error}");
}

fn second(config: FleetConfig) -> FleetConfig {
    FleetConfig { second: Some(group(SECOND, 5)), ..config }
}

/// Checks that all requests go to the first target group, where `size` instances of `revision` get
/// them.
async fn assert_in_primary(simulator: &Simulator, revision: &str, size: usize) {
    let look = simulator.observe().await.expect("a look");
    assert_eq!(look.shifted, Some([0].into()));
    assert!(look.suspended.is_empty(), "{:?}", look.suspended);
    let in_primary = look.instances.values().filter(|instance| {
        let health = instance.targets.get(&"web".into()).map(|health| health.state);
        instance.revision == Some(revision.into()) && health == Some(TargetState::Healthy)
    });
    assert_eq!(in_primary.count(), size, "{:?}", look.instances);
}

#[tokio::test]
async fn interrupted_at_any_moment_after_the_new_set_took_over_it_goes_on_to_the_end() {
    for after in [640, 655, 662, 670, 682, 684, 690, 700] {
        let config = second(fleet());
        let (simulator, stop) = simulate_and_stop(config, Stop::Gracefully, seconds(after));
        let witness = Witness::new(simulator.clone(), deploy(moving())).await;
        let run = roll_until(witness.clone(), deploy(moving()), stop).await;
        if run.report.outcome != Outcome::Succeeded {
            let run = roll(witness.clone(), deploy(moving())).await;
            assert_eq!(run.report.outcome, Outcome::Succeeded, "{after}: {:?}", run.report);
        }
        assert_eq!(witness.broken(0), Vec::<String>::new(), "{after}");
        assert_in_primary(&simulator, "v2", 10).await;
    }
}

#[tokio::test]
async fn an_existing_instance_of_the_new_revision_serves_in_the_second_target_group_too() {
    for policy in [SPLITTING, moving()] {
        let simulator = simulate(second(fleet()));
        simulator.intervene(Intervention::MoveTemplate("v2".into())).expect("a template");
        simulator.intervene(Intervention::Resize(11)).expect("a size");
        let clock = simulator.clock();
        clock.sleep(seconds(60)).await;
        let run = roll(simulator.clone(), deploy(policy)).await;
        assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
        assert_in_primary(&simulator, "v2", 11).await;
    }
}

/// Rolls; after so many seconds `what` happens, and `command` is given.
async fn meanwhile(
    policy: Policy,
    what: Option<(u64, Intervention)>,
    command: (u64, Command),
) -> (Run, Arc<Simulator>) {
    meanwhile_spec(deploy(policy), what, command).await
}

async fn meanwhile_spec(
    spec: RollingDeployment,
    what: Option<(u64, Intervention)>,
    command: (u64, Command),
) -> (Run, Arc<Simulator>) {
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let simulator = Arc::new(Simulator::in_memory(second(fleet()), clock.clone()));
    if let Some((at, what)) = what {
        let simulator = simulator.clone();
        clock.at(EPOCH + seconds(at), move || simulator.intervene(what).expect("it happens"));
    }
    let (at, command) = command;
    let commanded = simulator.clone();
    clock.at(EPOCH + seconds(at), move || leave_command(&commanded, command));
    let run = roll(simulator.clone(), spec).await;
    (run, simulator)
}

#[tokio::test]
async fn an_abort_shifts_the_requests_back_where_the_old_set_is_not_complete_any_more() {
    for what in
        [Intervention::Break("i-0001".into(), true), Intervention::Terminate("i-0001".into())]
    {
        let abort = (300, Command::Abort);
        let (run, simulator) = meanwhile(moving(), Some((200, what)), abort).await;
        assert_eq!(run.report.outcome, Outcome::Aborted, "{:?}", run.report);
        let look = simulator.observe().await.expect("a look");
        assert_eq!(look.shifted, Some([0].into()));
        assert!(look.suspended.is_empty(), "{:?}", look.suspended);
        let in_primary = look.instances.values().filter(|instance| {
            let health = instance.targets.get(&"web".into()).map(|health| health.state);
            health == Some(TargetState::Healthy)
        });
        assert!(in_primary.count() >= 9, "{:?}", look.instances);
    }
}

#[tokio::test]
async fn a_pause_before_requests_are_shifted_has_the_group_register_what_it_launches() {
    let (run, simulator) = meanwhile(moving(), None, (15, Command::Pause)).await;
    assert_eq!(run.report.outcome, Outcome::Paused, "{:?}", run.report);
    let look = simulator.observe().await.expect("a look");
    assert!(look.suspended.is_empty(), "{:?}", look.suspended);
    let (run, simulator) = meanwhile(moving(), None, (200, Command::Pause)).await;
    assert_eq!(run.report.outcome, Outcome::Paused, "{:?}", run.report);
    let look = simulator.observe().await.expect("a look");
    assert_eq!(look.shifted, Some([100].into()));
    assert_eq!(look.suspended, ["AddToLoadBalancer".to_owned()].into());
}

#[tokio::test]
async fn what_a_pause_has_resumed_is_suspended_again_once_the_rollout_goes_on() {
    for policy in [SPLITTING, moving()] {
        let (run, simulator) = meanwhile(policy, None, (200, Command::Pause)).await;
        assert_eq!(run.report.outcome, Outcome::Paused, "{policy:?}: {:?}", run.report);
        let caller = Caller { rollout_id: "resumed".into(), ..caller() };
        let fleet: Arc<dyn Fleet> = simulator.clone();
        let rollout = Rollout::prepare(fleet, deploy(policy), &caller).await.expect("a rollout");
        let (_keep, stop) = watch::channel(Stop::No);
        let mut done = Vec::new();
        let resumed = rollout.command(Command::Resume, stop, &mut |event| done.push(event)).await;
        assert!(matches!(resumed, Ok(ControlOutcome::RanHere(_))), "{policy:?}: {resumed:?}");
        let suspends = done.iter().find_map(|event| match &event.event {
            Event::Acted { action: Action::SuspendProcesses { processes } } => Some(processes),
            _ => None,
        });
        assert_eq!(suspends, Some(&["AZRebalance".to_owned()].into()), "{policy:?}");
    }
}

/// Something registers new instances in the first target group as soon as they run: a group that
/// does not heed the suspension of `AddToLoadBalancer`, or another tool.
#[tokio::test]
async fn a_new_set_that_somebody_registers_where_the_requests_go_still_gets_its_share_first() {
    for policy in [SPLITTING, moving()] {
        let clock = Arc::new(VirtualClock::new(EPOCH));
        let config = FleetConfig { second: Some(group(SECOND, 5)), ..fleet() };
        let simulator = Arc::new(Simulator::in_memory(config, clock.clone()));
        let early = Arc::new(Mutex::new(BTreeSet::new()));
        for second in 1..200 {
            let (simulator, early) = (simulator.clone(), early.clone());
            clock.at(EPOCH + seconds(second), move || {
                let look = simulator.truth().expect("a look");
                let new = look.instances.iter().filter(|(_, instance)| {
                    let is_new = instance.revision.as_ref().is_some_and(|r| r.as_str() == "v2");
                    is_new && instance.lifecycle == Lifecycle::InService
                });
                for (id, _) in new {
                    if early.lock().expect("ids").insert(id.clone()) {
                        simulator.intervene(Intervention::Register(id.clone())).expect("it runs");
                    }
                }
            });
        }
        let run = roll(simulator.clone(), deploy(policy)).await;
        assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
        assert_eq!(early.lock().expect("ids").len(), 10);
        let done = done(&run);
        let at = |command: &str| done.iter().position(|done| done == command);
        let all = at("100 %").unwrap_or_else(|| panic!("no request was shifted: {done:?}"));
        assert!(
            at("leave web") < Some(all),
            "they leave the first target group too early: {done:?}"
        );
        assert_eq!(at("10 %").is_some(), policy == SPLITTING, "{done:?}");
        assert!(at("end") > Some(all), "{done:?}");
        let look = simulator.observe().await.expect("a look");
        assert!(look.suspended.is_empty() && look.record.is_empty(), "{look:?}");
    }
}
