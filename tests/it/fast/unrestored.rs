//! A rollout of which only what is borrowed is left, where the cloud does not take the calls that put
//! it back: no instance is replaced once more, and the next rollout makes those calls.

use std::sync::Arc;

use rolling::engine::{ControlOutcome, Rollout, Stop};
use rolling::model::event::{Cause, Event, Outcome, Report};
use rolling::model::spec::{BatchSize, OnFailure, Policy, RollingDeployment};
use rolling::record::command::Command;
use rolling::report::text;
use rolling_provider::{Action, ErrorKind};
use rolling_simulator::{Behaviour, EPOCH, FleetConfig, Simulator, VirtualClock};
use tokio::sync::watch;

use super::blame::{EVER, refuse};
use super::crash::leave_command;
use super::left_alone::policies;
use super::properties::{look, suspended};
use crate::world::{
    bad, caller, fleet, group, roll, roll_until, seconds, simulate, spec, traffic_steps,
};

type Closing = (&'static str, fn(&Action) -> bool);

const CLOSING: [Closing; 5] = [
    ("resume", |action| matches!(action, Action::ResumeProcesses { .. })),
    ("erase", |action| matches!(action, Action::EraseRecord { .. })),
    ("untag", |action| matches!(action, Action::UntagMember { .. })),
    ("maximum", |action| matches!(action, Action::SetCapacity { desired: None, .. })),
    ("shift", |action| matches!(action, Action::Shift { percent: 0 })),
];

fn assert_all_serve(simulator: &Simulator, revision: &str, what: &str) {
    let look = look(simulator);
    let live: Vec<_> = look.instances.values().filter(|it| it.lifecycle.is_live()).collect();
    assert_eq!(live.len(), 4, "{what}");
    assert!(live.iter().all(|it| it.revision == Some(revision.into())), "{what}: {live:?}");
    assert_eq!(look.template, Some(revision.into()), "{what}");
}

fn assert_told(report: &Report, what: &str) {
    assert_eq!(report.outcome, Outcome::Failed, "{what}: {report:?}");
    assert_eq!(report.cause, Some(Cause::Call), "{what}: {report:?}");
    let message = text::report("web", report);
    assert!(
        message.contains("run v2 and serve, but not everything could be restored"),
        "{message}"
    );
    let left = ["borrowed   still: ", "borrowed   nothing, but the record"];
    assert!(left.iter().any(|left| message.contains(left)), "{what}: {message}");
    assert!(message.contains("then run apply again, which only restores"), "{message}");
    assert!(!message.contains("is the last revision"), "{message}");
}

#[tokio::test]
async fn a_fleet_that_is_done_is_not_rolled_back_because_a_call_fails() {
    let mut tried = Vec::new();
    for (policy, pacing) in policies() {
        for unmanaged in [false, true] {
            for (name, what) in CLOSING {
                for kind in [ErrorKind::Denied, ErrorKind::Throttled] {
                    let mut config = FleetConfig { instances: 4, unmanaged, ..fleet() };
                    if policy.shifts() {
                        config.second = Some(group("second", 5));
                    }
                    let suspend_processes = match unmanaged {
                        true => Default::default(),
                        false => suspended(&mut config, policy),
                    };
                    let spec = spec(policy);
                    let mut spec = RollingDeployment { pacing, suspend_processes, ..spec };
                    spec.on_failure = OnFailure::Rollback;
                    spec.progress_deadline = Some(seconds(400));
                    if policy == Policy::TrafficSplitting {
                        spec.traffic_steps = traffic_steps(&[(50, 20)]);
                    }
                    let case =
                        format!("{policy:?} {pacing:?} {name} {kind:?} unmanaged {unmanaged}");
                    let simulator = simulate(config);
                    let run = refuse(&simulator, spec.clone(), what, kind, [0, EVER]).await;
                    if run.report.outcome == Outcome::Succeeded {
                        // This rollout makes no such call.
                        continue;
                    }
                    tried.push(name);
                    assert_told(&run.report, &case);
                    let back = |it: &rolling::model::event::Envelope| {
                        matches!(it.event, Event::RollingBack { .. })
                    };
                    assert!(!run.events.iter().any(back), "{case}");
                    let launched = simulator.launched();
                    assert_eq!(launched, 8, "{case}");
                    if !unmanaged {
                        assert_all_serve(&simulator, "v2", &case);
                    }
                    let again = roll(simulator.clone(), spec).await;
                    assert_eq!(
                        again.report.outcome,
                        Outcome::Succeeded,
                        "{case}: {:?}",
                        again.report
                    );
                    assert_eq!(simulator.launched(), launched, "{case}");
                    let look = look(&simulator);
                    assert!(look.record.is_empty(), "{case}: {:?}", look.record);
                    assert!(look.suspended.is_empty(), "{case}");
                    assert!(look.shifted.iter().flatten().all(|percent| *percent == 0), "{case}");
                }
            }
        }
    }
    for (name, _) in CLOSING {
        assert!(tried.contains(&name), "{name}");
    }
}

/// A rollback of which only a process cannot be resumed, or the record cannot be erased.
#[tokio::test]
async fn a_rollback_that_is_done_is_not_rolled_on_because_a_call_fails() {
    for (name, what) in &CLOSING[..2] {
        let simulator = simulate(FleetConfig { instances: 4, ..bad(Behaviour::Unhealthy) });
        let mut spec = spec(Policy::Rolling(BatchSize::Fixed(2)));
        spec.on_failure = OnFailure::Rollback;
        spec.health.healthy_timeout = seconds(60);
        let run = refuse(&simulator, spec.clone(), *what, ErrorKind::Denied, [0, EVER]).await;
        assert_eq!(run.report.outcome, Outcome::Failed, "{name}: {:?}", run.report);
        let reason = run.report.reason.as_deref().unwrap_or_default();
        assert!(reason.contains("it was begun because of this: "), "{name}: {reason}");
        assert_eq!(run.report.completed, Some("v1".into()), "{name}");
        assert_all_serve(&simulator, "v1", name);
        let launched = simulator.launched();
        let again = roll(simulator.clone(), spec).await;
        assert_eq!(again.report.outcome, Outcome::RolledBack, "{name}: {:?}", again.report);
        assert_eq!(simulator.launched(), launched, "{name}");
        let look = look(&simulator);
        assert!(look.record.is_empty() && look.suspended.is_empty(), "{name}: {look:?}");
    }
}

/// A rollout with a bake time and a call that is denied at its end.
async fn with_bake(what: fn(&Action) -> bool) -> (Arc<Simulator>, RollingDeployment) {
    let simulator = simulate(FleetConfig { instances: 4, ..fleet() });
    let mut spec = spec(Policy::Rolling(BatchSize::Fixed(2)));
    spec.gates.bake_time = seconds(600);
    spec.health.min_healthy_time = seconds(60);
    let run = refuse(&simulator, spec.clone(), what, ErrorKind::Denied, [0, EVER]).await;
    assert_told(&run.report, "bake");
    assert_eq!(run.report.completed, Some("v2".into()), "{:?}", run.report);
    (simulator, spec)
}

#[tokio::test]
async fn the_next_run_only_restores_and_waits_for_nothing_again() {
    let (simulator, spec) = with_bake(CLOSING[0].1).await;
    let rollout = Rollout::prepare(simulator.clone(), spec.clone(), &caller()).await.expect("it");
    let status = text::status("web", &rollout);
    assert!(status.contains(" to v2: restoring"), "{status}");
    assert!(status.contains("completed  v2"), "{status}");
    assert!(status.contains("none; apply restores what is still borrowed"), "{status}");
    assert!(status.contains("borrowed   suspended processes: AZRebalance\n"), "{status}");
    let run = roll(simulator, spec).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    assert!(run.report.elapsed_ms < 60_000, "{}", run.report.elapsed_ms);
    let suspends = |it: &&Action| matches!(it, Action::SuspendProcesses { .. });
    assert_eq!(run.actions().into_iter().find(suspends), None);
}

/// It is too late for these commands, so whoever gives one finishes what is left.
#[tokio::test]
async fn a_command_that_comes_too_late_only_restores() {
    for command in [Command::Abort, Command::Pause] {
        let (simulator, spec) = with_bake(CLOSING[0].1).await;
        let rollout = Rollout::look_up(simulator.clone(), spec, &caller()).await.expect("it");
        let (_keep, stop) = watch::channel(Stop::No);
        let ended = rollout.command(command, stop, &mut |_| {}).await.expect("an answer");
        let ControlOutcome::RanHere(report) = ended else { panic!("{command:?}: {ended:?}") };
        assert_eq!(report.outcome, Outcome::Succeeded, "{command:?}: {report:?}");
        assert_eq!(report.completed, Some("v2".into()), "{command:?}");
        let look = look(&simulator);
        assert!(look.record.is_empty() && look.suspended.is_empty(), "{command:?}: {look:?}");
        assert_eq!(look.template, Some("v2".into()), "{command:?}");
    }
}

/// What nobody finds fault with stays: the fleet runs it.
#[tokio::test]
async fn an_end_in_the_bake_time_leaves_the_template_of_the_revision_that_all_run() {
    for command in [None, Some(Command::Abort)] {
        let clock = Arc::new(VirtualClock::new(EPOCH));
        let simulator = Arc::new(Simulator::in_memory(fleet(), clock.clone()));
        let (send, stop) = watch::channel(Stop::No);
        let meanwhile = simulator.clone();
        clock.at(EPOCH + seconds(1_000), move || match command {
            Some(command) => leave_command(&meanwhile, command),
            None => _ = send.send_replace(Stop::Gracefully),
        });
        let mut spec = spec(Policy::Rolling(BatchSize::Fixed(5)));
        spec.gates.bake_time = seconds(3_000);
        let run = roll_until(simulator.clone(), spec.clone(), stop).await;
        assert_eq!(run.report.outcome, Outcome::Aborted, "{:?}", run.report);
        let is_left = look(&simulator);
        assert_eq!(is_left.template, Some("v2".into()), "{command:?}");
        assert!(is_left.suspended.is_empty(), "{command:?}");
        let run = roll(simulator.clone(), spec).await;
        assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
        assert_eq!(simulator.launched(), 20, "{command:?}: none is replaced once more");
    }
}
