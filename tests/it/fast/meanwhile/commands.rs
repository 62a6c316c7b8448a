//! Stops and commands at any moment: a rollout that is not paused has given everything back.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rolling::engine::{ControlOutcome, Rollout, Stop};
use rolling::model::event::{Envelope, Event, Outcome, Report};
use rolling::model::spec::{BatchSize, OnFailure, Pacing, Policy};
use rolling::record::command::Command;
use rolling::record::{Phase, Record};
use rolling_provider::{Clock, Fleet};
use rolling_simulator::{Behaviour, EPOCH, Intervention, Simulator, VirtualClock};
use tokio::sync::watch;

use super::{found, is_put_back};
use crate::fast::crash::leave_command_as;
use crate::fast::properties::{
    Case, any_case, block_on, good, look, nothing_broken, run_with, settings, suspended,
};
use crate::test_fleets::{Dies, Mortal, Witness};
use crate::world::{caller, roll_until, seconds};

/// What is started, one after the other.
#[derive(Clone, Copy, Debug)]
enum Run {
    /// A rollout that is stopped after so many seconds.
    Apply(u64),
    /// A command, while nobody is at work.
    Command(Command),
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let command = prop_oneof![
        Just(Command::Pause),
        Just(Command::Resume),
        Just(Command::Abort),
        Just(Command::Rollback)
    ];
    let run = prop_oneof![(1..200u64).prop_map(Run::Apply), command.prop_map(Run::Command)];
    proptest::collection::vec(run, 1..=4)
}

/// Starts `run`, and returns how it ended, if it began.
async fn start(
    fleet: Arc<dyn Fleet>,
    clock: &VirtualClock,
    case: &Case,
    run: Run,
) -> Option<Report> {
    let (stopping, stop) = watch::channel(Stop::No);
    match run {
        Run::Apply(after) => {
            let at = clock.now() + seconds(after);
            let stops = move || {
                let _ = stopping.send(Stop::Gracefully);
            };
            clock.at(at, stops);
            Some(roll_until(fleet, case.spec.clone(), stop).await.report)
        }
        Run::Command(command) => {
            let rollout = Rollout::prepare(fleet, case.spec.clone(), &caller()).await.expect("it");
            let emit = &mut |event: Envelope| {
                if let Event::Warned { warning } = &event.event {
                    assert!(!warning.contains("safety check"), "{warning}");
                }
            };
            match rollout.command(command, stop, emit).await.expect("it") {
                ControlOutcome::RanHere(report) => Some(*report),
                _ => None,
            }
        }
    }
}

proptest! {
    #![proptest_config(settings())]

    /// Stops and commands in any order: a rollout that is not paused has given everything back, and
    /// the next run ends as usual.
    #[test]
    fn a_chain_of_stops_and_commands_leaves_nothing_behind(case in good(), runs in runs()) {
        let mut case = case;
        case.config.unmanaged = false;
        case.spec.suspend_processes = suspended(&mut case.config, case.spec.policy);
        case.spec.on_failure = OnFailure::Rollback;
        let size = case.config.instances;
        block_on(async {
            let clock = Arc::new(VirtualClock::new(EPOCH));
            let simulator = Arc::new(Simulator::in_memory(case.config.clone(), clock.clone()));
            let mut paused = false;
            for run in &runs {
                let ended = start(simulator.clone(), &clock, &case, *run).await;
                let Some(report) = ended else { continue };
                if matches!(run, Run::Command(Command::Abort)) {
                    prop_assert_eq!(report.outcome, Outcome::Aborted, "{:?}", report.reason);
                }
                paused = report.outcome == Outcome::Paused;
                // A stop has 40 seconds, and leaves what takes longer to the next run.
                if !paused && report.borrowed.is_empty() {
                    is_put_back(&simulator, size)?;
                }
            }
            if paused {
                start(simulator.clone(), &clock, &case, Run::Command(Command::Abort)).await;
                is_put_back(&simulator, size)?;
            }
            let ended = start(simulator.clone(), &clock, &case, Run::Apply(100_000)).await;
            let ended = ended.map(|report| (report.outcome, report.reason));
            prop_assert_eq!(ended, Some((Outcome::Succeeded, None)));
            is_put_back(&simulator, size)
        })?;
    }

    /// Whatever stops and pauses have resumed: what removes surge suspends it again first.
    #[test]
    fn p29_no_instance_goes_without_a_replacement_while_the_processes_run(
        case in good(), runs in runs(),
    ) {
        let mut case = case;
        case.config.unmanaged = false;
        case.spec.suspend_processes = suspended(&mut case.config, case.spec.policy);
        let broken = block_on(async {
            let clock = Arc::new(VirtualClock::new(EPOCH));
            let simulator = Arc::new(Simulator::in_memory(case.config.clone(), clock.clone()));
            let witness = Witness::new(simulator, case.spec.clone()).await;
            for run in runs.iter().chain(&[Run::Command(Command::Abort)]) {
                start(witness.clone(), &clock, &case, *run).await;
            }
            witness.broken(29)
        });
        prop_assert_eq!(broken, Vec::<String>::new());
    }

    /// Commands to an engine at work, at any moment, also while it puts things back: no promise is
    /// broken meanwhile, and a rollout that is not paused has given everything back.
    #[test]
    fn commands_at_any_moment_break_nothing_and_leave_nothing_behind(
        case in any_case(),
        message in proptest::collection::vec((0..400u64, 0..4usize), 1..5),
    ) {
        // In a stale look an instance may still boot that is registered already.
        let mut case = Case { lag: Duration::ZERO, ..case };
        case.config.unmanaged = false;
        case.spec.suspend_processes = suspended(&mut case.config, case.spec.policy);
        let size = case.config.instances;
        let ran = run_with(&case, |clock, simulator, _| {
            for (index, (at, command)) in message.iter().enumerate() {
                let (simulator, command) = (simulator.clone(), Command::ALL[*command]);
                let id = format!("command-{index}");
                clock.at(EPOCH + seconds(*at), move || leave_command_as(&simulator, command, &id));
            }
        });
        // A rollout that turns back may find more on its way than the window has places for.
        for property in [1, 2, 5, 25] {
            nothing_broken(&ran, property)?;
        }
        let report = &ran.run.report;
        if report.outcome != Outcome::Paused && report.borrowed.is_empty() {
            is_put_back(&ran.simulator, size)?;
        }
        // A paused rollout still has its surge; an abort gives it back.
        if report.outcome == Outcome::Paused {
            block_on(async {
                let clock = Arc::new(VirtualClock::new(EPOCH));
                start(ran.simulator.clone(), &clock, &case, Run::Command(Command::Abort)).await
            });
            is_put_back(&ran.simulator, size)?;
        }
    }
}

/// Starts `runs` one after the other, and returns how each ended.
async fn chain(case: &Case, runs: &[Run]) -> (Arc<Simulator>, Vec<Option<Report>>) {
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let simulator = Arc::new(Simulator::in_memory(case.config.clone(), clock.clone()));
    let mut ended = Vec::new();
    for run in runs {
        ended.push(start(simulator.clone(), &clock, case, *run).await);
    }
    (simulator, ended)
}

#[tokio::test]
async fn a_pause_after_a_stop_knows_how_much_surge_is_left() {
    let policy = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3));
    let mut case = found(policy, 6, [30, 10, 20]);
    case.spec.pacing = Pacing::Continuous;
    // The surge that still boots goes at once, while the rest takes longer than a stop may.
    case.config.boot_sigma = 0.5;
    case.config.target_groups[0].drain = seconds(40);
    let mut paused = 0;
    for stop in (20..100).step_by(4) {
        let runs = [Run::Apply(stop), Run::Command(Command::Pause), Run::Command(Command::Abort)];
        let (simulator, ended) = chain(&case, &runs).await;
        paused += usize::from(ended[1].is_some());
        is_put_back(&simulator, 6).unwrap_or_else(|error| panic!("stopped at {stop}: {error}"));
    }
    assert!(paused > 3, "{paused} rollouts were paused");
}

#[tokio::test]
async fn an_instance_that_stays_after_the_end_serves_where_the_requests_go() {
    let mut case = found(Policy::BlueGreen { terminate_after: seconds(300) }, 1, [30, 10, 20]);
    case.config.events.push((seconds(10), Intervention::Terminate("i-0001".into())));
    case.spec.health.min_healthy_time = seconds(60);
    let (simulator, ended) = chain(&case, &[Run::Apply(75), Run::Command(Command::Abort)]).await;
    let report = ended.into_iter().flatten().last().expect("an end");
    assert!(report.borrowed.is_empty(), "{:?}", report.borrowed);
    is_put_back(&simulator, 1).unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn a_rollback_that_an_engine_has_left_half_way_is_carried_out() {
    let mut case = found(Policy::Rolling(BatchSize::Fixed(2)), 6, [30, 10, 20]);
    case.config.bad_revisions.insert("v2".into(), Behaviour::Unhealthy);
    case.spec.on_failure = OnFailure::Rollback;
    let mut left = 0;
    for at in 1..60 {
        let clock = Arc::new(VirtualClock::new(EPOCH));
        let simulator = Arc::new(Simulator::in_memory(case.config.clone(), clock.clone()));
        let mortal = Mortal::new(simulator.clone(), at, Dies::After);
        let (_keep, stop) = watch::channel(Stop::No);
        if mortal.survive(roll_until(mortal.clone(), case.spec.clone(), stop)).await.is_some() {
            break;
        }
        let record = Record::from_tags(&look(&simulator).record).expect("readable");
        let is_left = |record: &Record| record.rolls_back && record.phase == Phase::Rolling;
        if !record.as_ref().is_some_and(is_left) {
            continue;
        }
        left += 1;
        let ended = start(simulator.clone(), &clock, &case, Run::Command(Command::Rollback)).await;
        assert_eq!(ended.map(|report| report.outcome), Some(Outcome::RolledBack), "at {at}");
        is_put_back(&simulator, 6).unwrap_or_else(|error| panic!("at {at}: {error}"));
    }
    assert!(left > 3, "{left} rollbacks were left half-way");
}
