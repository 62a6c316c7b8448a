//! Gates where a rollout waits anyway: at a checkpoint, in a pause, and after an interruption.

use std::sync::Arc;

use rolling::engine::{Caller, ControlOutcome, Rollout, Stop};
use rolling::model::event::{Envelope, Event, Outcome};
use rolling::model::spec::{Checkpoint, Expiry, Gates, Policy, RollingDeployment};
use rolling::model::wait::WaitKind;
use rolling::record::Record;
use rolling::record::command::Command;
use rolling_provider::{Action, Fleet as _};
use rolling_simulator::{EPOCH, FleetConfig, Intervention, Simulator};

use super::{alarms, command_within, failing, gated, quick};
use crate::fast::crash::leave_command;
use crate::fast::in_place;
use crate::world::{
    caller, fleet, roll, roll_until, seconds, simulate, simulate_and_stop, thirty_percent,
};

/// Rolls until the first instance has been terminated, then asks to stop, as Ctrl-C does.
async fn interrupted(simulator: &Arc<Simulator>, spec: RollingDeployment) -> Outcome {
    let (send, stop) = tokio::sync::watch::channel(Stop::No);
    let rollout = Rollout::prepare(simulator.clone(), spec, &caller()).await.expect("prepare");
    let report = rollout
        .run(stop, &mut |run| {
            if matches!(run.event, Event::Acted { action: Action::Terminate { .. } }) {
                send.send_replace(Stop::Gracefully);
            }
        })
        .await;
    report.outcome
}

#[tokio::test]
async fn quiet_alarms_before_anything_served_do_not_replace_the_command_after_it() {
    let deploy = RollingDeployment {
        policy: Policy::AllAtOnce,
        ..gated(Gates { alarms: ["errors".to_owned()].into(), ..failing("exit 1") })
    };
    let simulator = quick();
    assert_eq!(interrupted(&simulator, deploy.clone()).await, Outcome::Aborted);
    let run = roll(simulator.clone(), deploy).await;
    assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
    let reason = run.report.reason.clone().expect("a reason");
    assert!(reason.contains("did not pass: exit code 1"), "{reason}");
    assert_eq!(run.launched("v1"), 10);
}

#[tokio::test]
async fn what_a_checkpoint_asks_somebody_to_approve_has_passed_the_gates() {
    for pause in [None, Some(seconds(3600))] {
        let checkpoints = vec![Checkpoint { percentage: 30, pause, expires: None }];
        let deploy = RollingDeployment { checkpoints, ..gated(failing("exit 1")) };
        let run = roll(quick(), deploy).await;
        assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
        assert_eq!(run.launched("v1"), 10);
        // A checkpoint without an end pauses the rollout instead of waiting.
        let waited = run.events.iter().any(|run| {
            let Event::Waiting { on } = &run.event else { return false };
            on.iter().any(|wait| wait.kind == WaitKind::Checkpoint)
        });
        assert!(!waited, "it does not wait at the checkpoint");
    }
}

/// A rollout that waits on purpose still watches the alarms.
#[tokio::test]
async fn an_alarm_that_is_raised_at_a_checkpoint_or_in_a_pause_ends_it_at_once() {
    let hour = seconds(3600);
    let checkpoints = vec![Checkpoint { percentage: 30, pause: Some(hour), expires: None }];
    let watched = gated(alarms(0));
    for (deploy, kind) in [
        (RollingDeployment { checkpoints, ..watched.clone() }, WaitKind::Checkpoint),
        (RollingDeployment { pause_between_batches: hour, ..watched }, WaitKind::Pause),
    ] {
        let events = vec![(seconds(600), Intervention::Alarm(true))];
        let simulator = simulate(FleetConfig { events, ..fleet() });
        let run = roll(simulator.clone(), deploy).await;
        assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
        let waited = run.events.iter().any(|run| {
            let Event::Waiting { on } = &run.event else { return false };
            on.iter().any(|wait| wait.kind == kind)
        });
        assert!(waited, "{kind:?}");
        let back = run.events.iter().find(|e| matches!(e.event, Event::RollingBack { .. }));
        let late = back.expect("a rollback").at.since(EPOCH) - seconds(600);
        assert!(late <= seconds(11), "{late:?} after the alarm was raised");
        assert_eq!(simulator.launched(), 10 + 3 + 3, "one batch, and the rollback");
    }
}

/// A checkpoint that nobody decides about in time ends by itself, the way the document says.
#[tokio::test]
async fn a_checkpoint_expires_and_the_rollout_goes_on_or_back() {
    for (rolls_back, outcome) in [(false, Outcome::Succeeded), (true, Outcome::RolledBack)] {
        let expires = Some(Expiry { after: seconds(3600), rolls_back });
        let checkpoints = vec![Checkpoint { percentage: 30, pause: None, expires }];
        let deploy = RollingDeployment { checkpoints, ..gated(Gates::default()) };
        let run = roll(simulate(fleet()), deploy).await;
        assert_eq!(run.report.outcome, outcome, "{:?}", run.report);
        let waits = run.events.iter().find_map(|run| match &run.event {
            Event::Waiting { on } => on
                .iter()
                .find(|wait| wait.kind == WaitKind::Checkpoint)
                .map(|it| (run.at, it.deadline)),
            _ => None,
        });
        let (since, deadline) = waits.expect("a wait with its deadline");
        assert_eq!(deadline.since(since), seconds(3600));
        let next = run.events.iter().find(|run| run.at >= deadline).expect("something").at;
        assert!(next.since(deadline) < seconds(11), "{next:?} after {deadline:?}");
        if rolls_back {
            let reason = run.report.reason.clone().expect("a reason");
            assert!(reason.ends_with("30 percent: nobody has decided within 1h"), "{reason}");
            assert_eq!(run.launched("v1"), 10);
        }
    }
}

/// The time counts from the record: an engine that comes after it is over does not wait again.
#[tokio::test]
async fn the_time_of_a_checkpoint_passes_while_no_engine_is_at_work() {
    let hour = seconds(3600);
    let back = Some(Expiry { after: hour, rolls_back: true });
    for (pause, expires, (away, waits)) in [
        (None, back, (7200, false)),
        (None, back, (60, true)),
        (Some(hour), None, (7200, false)),
        (Some(hour), None, (60, true)),
    ] {
        let checkpoints = vec![Checkpoint { percentage: 30, pause, expires }];
        let deploy = RollingDeployment { checkpoints, ..gated(Gates::default()) };
        let (simulator, stop) = simulate_and_stop(fleet(), Stop::Now, seconds(300));
        let first = roll_until(simulator.clone(), deploy.clone(), stop).await;
        assert_eq!(first.report.outcome, Outcome::Aborted, "{:?}", first.report);
        let record = Record::from_tags(&simulator.truth().expect("the fleet").record);
        let reached = record.expect("a record").expect("one").reached.expect("a time").at;
        simulator.clock().sleep(seconds(away)).await;
        let began = simulator.clock().now();
        let run = roll(simulator.clone(), deploy.clone()).await;
        let outcome = if pause.is_some() { Outcome::Succeeded } else { Outcome::RolledBack };
        assert_eq!(run.report.outcome, outcome, "{:?}", run.report);
        let is_next = |it: &&Envelope| {
            matches!(it.event, Event::RollingBack { .. } | Event::BatchStarted { .. })
        };
        let went_on = run.events.iter().find(is_next).expect("it goes on or back").at;
        let wanted = if waits { reached + hour } else { began };
        assert!(went_on >= wanted && went_on.since(wanted) < seconds(30), "{went_on:?} {wanted:?}");
    }
}

/// A plan names the checkpoints at which the rollout may wait, without those that are behind it.
#[tokio::test]
async fn a_rollout_that_continues_may_wait_only_at_the_checkpoints_ahead() {
    let at = |percentage| Checkpoint { percentage, pause: None, expires: None };
    let checkpoints = vec![at(30), at(60)];
    let deploy = RollingDeployment { checkpoints, ..gated(Gates::default()) };
    let simulator = simulate(fleet());
    let previewed = async || {
        let rollout = Rollout::prepare(simulator.clone(), deploy.clone(), &caller()).await;
        let preview = rollout.expect("prepare").preview();
        (preview.checkpoints, preview.may_wait)
    };
    let (ahead, waits) = previewed().await;
    assert_eq!(ahead, [30, 60]);
    assert_eq!(waits, ["at 30 % until resume", "at 60 % until resume"]);
    let run = roll(simulator.clone(), deploy.clone()).await;
    assert_eq!(run.report.outcome, Outcome::Paused, "{:?}", run.report);
    // An apply waits nowhere now: it leaves the pause to whoever decides.
    assert_eq!(previewed().await, (vec![60], Vec::new()));
}

/// Whoever resumes at a checkpoint passes it, although its instances soak again by then: it neither
/// expires nor is asked about again.
#[tokio::test]
async fn whoever_resumes_after_a_pause_or_a_crash_passes_the_checkpoint() {
    let expires = Some(Expiry { after: seconds(1800), rolls_back: true });
    let checkpoints = vec![Checkpoint { percentage: 30, pause: None, expires }];
    let mut deploy = RollingDeployment { checkpoints, ..gated(Gates::default()) };
    deploy.health.min_healthy_time = seconds(120);
    for is_killed in [true, false] {
        let urgency = if is_killed { Stop::Now } else { Stop::No };
        let (simulator, stop) = simulate_and_stop(fleet(), urgency, seconds(900));
        let clock = Arc::new(simulator.clone());
        if !is_killed {
            let begun = Rollout::prepare(simulator.clone(), deploy.clone(), &caller()).await;
            let mut paused = false;
            let report = begun
                .expect("prepare")
                .run(stop, &mut |envelope| {
                    let Event::Waiting { on } = &envelope.event else { return };
                    if !paused && on.iter().any(|wait| wait.kind == WaitKind::Checkpoint) {
                        leave_command(&clock, Command::Pause);
                        paused = true;
                    }
                })
                .await;
            assert_eq!(report.outcome, Outcome::Paused, "{report:?}");
            simulator.clock().sleep(seconds(3600)).await;
        } else {
            let run = roll_until(simulator.clone(), deploy.clone(), stop).await;
            assert_eq!(run.report.outcome, Outcome::Aborted, "{:?}", run.report);
        }
        let by = Caller { rollout_id: "resumed".into(), ..caller() };
        let rollout = Rollout::prepare(simulator.clone(), deploy.clone(), &by).await;
        let (_keep, stop) = tokio::sync::watch::channel(Stop::No);
        let mut waited = false;
        let done = rollout
            .expect("prepare")
            .command(Command::Resume, stop, &mut |envelope| {
                let Event::Waiting { on } = &envelope.event else { return };
                waited |= on.iter().any(|wait| wait.kind == WaitKind::Checkpoint);
            })
            .await;
        let Ok(ControlOutcome::RanHere(report)) = done else { panic!("{done:?}") };
        assert_eq!(report.outcome, Outcome::Succeeded, "killed {is_killed}: {report:?}");
        assert!(!waited, "killed {is_killed}");
    }
}

/// A fleet that grows by instances of the old revision while it stands at a checkpoint has more to
/// replace before that, and then all the time again.
#[tokio::test]
async fn a_fleet_that_has_grown_reaches_its_checkpoint_anew() {
    let expires = Some(Expiry { after: seconds(3600), rolls_back: true });
    let checkpoints = vec![Checkpoint { percentage: 30, pause: None, expires }];
    let deploy = RollingDeployment { checkpoints, ..in_place::deploy(thirty_percent()) };
    let events = vec![(seconds(3000), Intervention::Resize(30))];
    let run = roll(simulate(in_place::updated(FleetConfig { events, ..fleet() })), deploy).await;
    assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
    let back = run.events.iter().find(|it| matches!(it.event, Event::RollingBack { .. }));
    let back = back.expect("a rollback").at.since(EPOCH);
    assert!(back > seconds(3000 + 3600), "{back:?}");
}

/// To resume at a checkpoint while its gates are asked does not override their answer.
#[tokio::test]
async fn whoever_resumes_while_a_checkpoint_has_its_gates_asked_overrides_none() {
    for (script, outcome) in
        [("sleep 1; exit 1", Outcome::RolledBack), ("sleep 1", Outcome::Succeeded)]
    {
        let checkpoints = vec![Checkpoint { percentage: 30, pause: None, expires: None }];
        let deploy = RollingDeployment { checkpoints, ..gated(command_within(script, 600)) };
        let simulator = quick();
        let rollout = Rollout::prepare(simulator.clone(), deploy, &caller()).await;
        let (_keep, stop) = tokio::sync::watch::channel(Stop::No);
        let (mut resumed, mut begun) = (false, 0);
        let report = rollout
            .expect("prepare")
            .run(stop, &mut |envelope| match &envelope.event {
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
