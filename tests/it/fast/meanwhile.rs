//! Promises of `docs/SEMANTICS.md` in fleets that do more by themselves, or to which others do
//! something meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use rolling::engine::{ControlOutcome, Rollout, Stop};
use rolling::model::event::{Envelope, Event, Outcome, Report};
use rolling::model::spec::{
    BatchSize, Bound, Health, OnFailure, Pacing, Policy, RollingDeployment, SetAside,
};
use rolling::record::command::Command;
use rolling::record::{Phase, Record};
use rolling_provider::{
    Action, Activity, Clock, Done, Fleet, InstanceId, Lifecycle, Observation, ProviderError,
    TargetState, Timestamp,
};
use rolling_simulator::{Behaviour, EPOCH, FleetConfig, Intervention, Simulator, VirtualClock};
use rolling_testing::{Wrapper, impl_fleet};
use tokio::sync::watch;

use super::crash::{leave_command, leave_command_as};
use super::properties::{
    Case, any_case, block_on, good, is_tidy, look, nothing_broken, run, run_with, settings,
    suspended,
};
use crate::test_fleets::{Dies, Mortal, SECOND, Witness};
use crate::world::{caller, fleet, group, roll, roll_until, seconds, spec};

/// A fleet of which every call takes `call`.
struct Slow {
    inner: Arc<Witness>,
    call: Duration,
}

#[async_trait]
impl Wrapper for Slow {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let look = self.inner().observe().await;
        self.inner().clock().sleep(self.call).await;
        look
    }

    async fn activities(&self, since: Timestamp) -> Result<Vec<Activity>, ProviderError> {
        let told = self.inner().activities(since).await;
        self.inner().clock().sleep(self.call).await;
        told
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        let done = self.inner().act(action).await;
        self.inner().clock().sleep(self.call).await;
        done
    }
}

impl_fleet!(Slow);

/// Runs `case` with calls that take that long, and somebody's abort after so many seconds.
async fn run_slowly(
    case: &Case,
    call: Duration,
    abort: Option<u64>,
) -> (Report, Arc<Simulator>, Arc<Witness>) {
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let simulator = Arc::new(Simulator::in_memory(case.config.clone(), clock.clone()));
    let witness = Witness::new(simulator.clone(), case.spec.clone()).await;
    if let Some(abort) = abort {
        let simulator = simulator.clone();
        clock.at(EPOCH + seconds(abort), move || leave_command(&simulator, Command::Abort));
    }
    let slow = Arc::new(Slow { inner: witness.clone(), call });
    (roll(slow, case.spec.clone()).await.report, simulator, witness)
}

/// What is started, one after the other.
#[derive(Clone, Copy, Debug)]
enum Run {
    /// A rollout that is stopped after so many seconds.
    Apply(u64),
    /// Somebody's command, while nobody is at work.
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

/// Starts `run`, and says how it ended, if it began.
async fn start(
    simulator: &Arc<Simulator>,
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
            Some(roll_until(simulator.clone(), case.spec.clone(), stop).await.report)
        }
        Run::Command(command) => {
            let (fleet, spec) = (simulator.clone(), case.spec.clone());
            let rollout = Rollout::prepare(fleet, spec, &caller()).await.expect("it");
            let told = &mut |event: Envelope| {
                if let Event::Warned { warning } = &event.event {
                    assert!(!warning.contains("own check"), "{warning}");
                }
            };
            match rollout.command(command, stop, told).await.expect("it") {
                ControlOutcome::RanHere(report) => Some(*report),
                _ => None,
            }
        }
    }
}

/// Nothing is borrowed, the fleet has its size, and nobody serves where no requests go.
fn is_put_back(simulator: &Simulator, size: u32) -> Result<(), TestCaseError> {
    let look = look(simulator);
    prop_assert_eq!(look.desired(), size);
    prop_assert!(look.suspended.is_empty(), "{:?}", look.suspended);
    prop_assert!(look.shifted.iter().flatten().all(|percent| *percent == 0));
    prop_assert!(look.capacity.is_none_or(|capacity| capacity.max == size));
    for (id, instance) in look.instances.iter().filter(|(_, i)| i.lifecycle.is_live()) {
        let healthy = |group: &str| {
            let health = instance.targets.get(&group.into()).map(|health| health.state);
            health == Some(TargetState::Healthy)
        };
        prop_assert!(!healthy(SECOND) || healthy("web"), "{} serves nobody", id);
    }
    Ok(())
}

proptest! {
    #![proptest_config(settings())]

    /// Stops and words in any order: whatever is not paused has given everything back, and the next
    /// run ends as any.
    #[test]
    fn a_chain_of_stops_and_words_leaves_nothing_behind(case in good(), runs in runs()) {
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
                let ended = start(&simulator, &clock, &case, *run).await;
                let Some(report) = ended else { continue };
                if matches!(run, Run::Command(Command::Abort)) {
                    prop_assert_eq!(report.outcome, Outcome::Aborted, "{:?}", report.reason);
                }
                paused = report.outcome == Outcome::Paused;
                // What is stopped has 20 seconds, and may leave what takes longer to the next.
                if !paused && report.borrowed.is_empty() {
                    is_put_back(&simulator, size)?;
                }
            }
            if paused {
                start(&simulator, &clock, &case, Run::Command(Command::Abort)).await;
                is_put_back(&simulator, size)?;
            }
            let ended = start(&simulator, &clock, &case, Run::Apply(100_000)).await;
            let ended = ended.map(|report| (report.outcome, report.reason));
            prop_assert_eq!(ended, Some((Outcome::Succeeded, None)));
            is_put_back(&simulator, size)
        })?;
    }

    /// Words to an engine at work, at any moments, also while it puts things back: no promise is broken
    /// on the way, and whatever is not paused has given everything back.
    #[test]
    fn words_at_any_moment_break_nothing_and_leave_nothing_behind(
        case in any_case(),
        message in proptest::collection::vec((0..400u64, 0..4usize), 1..5),
    ) {
        // By a stale look one may seem to boot still that is registered already.
        let mut case = Case { lag: Duration::ZERO, ..case };
        case.config.unmanaged = false;
        case.spec.suspend_processes = suspended(&mut case.config, case.spec.policy);
        let size = case.config.instances;
        let ran = run_with(&case, |clock, simulator, _| {
            for (index, (at, command)) in message.iter().enumerate() {
                let (simulator, command) = (simulator.clone(), Command::ALL[*command]);
                let id = format!("word-{index}");
                clock.at(EPOCH + seconds(*at), move || leave_command_as(&simulator, command, &id));
            }
        });
        // Who turns back finds more on its way than there are places for.
        for property in [1, 2, 5, 25] {
            nothing_broken(&ran, property)?;
        }
        let report = &ran.told.report;
        if report.outcome != Outcome::Paused && report.borrowed.is_empty() {
            is_put_back(&ran.simulator, size)?;
        }
        // What is paused has the surge still, and an abort gives that back.
        if report.outcome == Outcome::Paused {
            block_on(async {
                let clock = Arc::new(VirtualClock::new(EPOCH));
                start(&ran.simulator, &clock, &case, Run::Command(Command::Abort)).await
            });
            is_put_back(&ran.simulator, size)?;
        }
    }

    /// What is to go without a replacement is not taken out of rotation first there: it would be
    /// replaced for ever.
    #[test]
    fn a_fleet_that_replaces_who_is_out_of_rotation_ends_as_any_other(case in any_case()) {
        let mut case = case;
        case.config.replaces_deregistered = !case.config.unmanaged;
        let ran = run(&case);
        nothing_broken(&ran, 1)?;
        nothing_broken(&ran, 2)?;
        let report = &ran.told.report;
        if case.config.bad_revisions.is_empty() {
            prop_assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.reason);
            is_tidy(&ran, case.config.instances as usize, "v2")?;
        }
        if report.outcome != Outcome::Paused {
            prop_assert!(report.borrowed.is_empty(), "{:?} {:?}", report.borrowed, report.reason);
            prop_assert_eq!(look(&ran.simulator).desired(), case.config.instances);
        }
    }

    /// Somebody protects one from scale-in: it stays, and nothing else goes wrong.
    #[test]
    fn who_is_protected_meanwhile_stays(
        case in any_case(), n in 1..=16u32, at in 1..150u64,
        rule in prop_oneof![Just(SetAside::Ignore), Just(SetAside::Wait)],
    ) {
        let mut case = case;
        case.spec.protected = rule;
        if case.config.bad_revisions.get(&"v2".into()) == Some(&Behaviour::Flap) {
            // For an hour nobody would tell of anything else.
            case.config.bad_revisions.clear();
            case.spec.health.healthy_timeout = seconds(900);
        }
        // Unmanaged instances know no such thing.
        case.config.unmanaged = false;
        case.spec.suspend_processes = suspended(&mut case.config, case.spec.policy);
        let id = InstanceId::new(format!("i-{n:04}"));
        let gone = Arc::new(AtomicBool::new(true));
        let (at, found, protected) = (EPOCH + seconds(at), gone.clone(), id.clone());
        let ran = run_with(&case, |clock, simulator, _| {
            let simulator = simulator.clone();
            clock.at(at, move || {
                let look = simulator.truth().expect("the fleet");
                let lives = look.instances.get(&protected).filter(|i| i.lifecycle.is_live());
                // Who is on the way out by then goes on.
                let goes = lives.is_none_or(|i| {
                    let mut states = i.targets.values().map(|health| health.state);
                    let is_out = |s| matches!(s, TargetState::Draining | TargetState::Unused);
                    states.any(is_out) || (i.targets.is_empty() && i.lifecycle == Lifecycle::InService)
                });
                found.store(goes, Ordering::Relaxed);
                simulator.intervene(Intervention::Protect(protected, true)).expect("it");
            });
        });
        nothing_broken(&ran, 1)?;
        let lives = look(&ran.simulator).instances.get(&id).is_some_and(|i| i.lifecycle.is_live());
        // A look that is late may be from before it was protected.
        let unknown = case.lag > Duration::ZERO || gone.load(Ordering::Relaxed);
        prop_assert!(lives || unknown, "{}", id);
        let report = &ran.told.report;
        let message = report.reason.as_deref().unwrap_or_default();
        let protects = message.contains("protected from scale-in");
        if case.config.bad_revisions.is_empty() {
            prop_assert!(report.outcome == Outcome::Succeeded || protects, "{}", message);
        }
    }

    /// Every call takes a while, so that what is planned is planned later than what was seen.
    #[test]
    fn slow_calls_break_nothing(
        case in any_case(), slow in 1..4000u64, lag in prop_oneof![Just(0u64), 10..=20u64],
        replaces in any::<bool>(), abort in proptest::option::of(1..120u64),
    ) {
        let mut case = case;
        case.config.unmanaged = false;
        case.config.replaces_deregistered = replaces;
        case.config.launch_lag = seconds(lag);
        case.spec.suspend_processes = suspended(&mut case.config, case.spec.policy);
        case.lag = Duration::ZERO;
        if case.config.bad_revisions.get(&"v2".into()) == Some(&Behaviour::Flap) {
            // Who flaps while a call is under way breaks a floor from outside.
            case.config.bad_revisions.clear();
            case.spec.health.healthy_timeout = seconds(900);
        }
        block_on(async {
            let call = Duration::from_millis(slow);
            let (report, simulator, witness) = run_slowly(&case, call, abort).await;
            prop_assert_eq!(witness.broken(1), Vec::<String>::new());
            if case.config.bad_revisions.is_empty() && abort.is_none() {
                prop_assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.reason);
            }
            if report.outcome != Outcome::Paused && report.borrowed.is_empty() {
                is_put_back(&simulator, case.config.instances)?;
            }
            Ok(())
        })?;
    }

    /// Somebody takes one out of rotation, at any time of its life: that is no fault of the revision.
    #[test]
    fn who_is_taken_out_by_somebody_fails_no_revision(
        case in good(), n in 1..=16u32, at in 1..150u64, lag in 0..=8u64,
        back in proptest::option::of(1..400u64),
    ) {
        let mut case = Case { lag: seconds(lag), ..case };
        case.config.unmanaged = false;
        case.spec.suspend_processes = suspended(&mut case.config, case.spec.policy);
        let id = InstanceId::new(format!("i-{n:04}"));
        let ran = run_with(&case, |clock, simulator, _| {
            let (simulator, again) = (simulator.clone(), simulator.clone());
            let taken = id.clone();
            clock.at(EPOCH + seconds(at), move || {
                simulator.intervene(Intervention::Deregister(taken)).expect("it");
            });
            if let Some(back) = back {
                clock.at(EPOCH + seconds(at + back), move || {
                    let _ = again.intervene(Intervention::Register(id));
                });
            }
        });
        let report = &ran.told.report;
        let message = report.reason.as_deref().unwrap_or_default();
        let named = message.starts_with("no progress") && message.contains("not registered");
        prop_assert!(report.outcome == Outcome::Succeeded || named, "{}", message);
    }
}

/// A case that generated ones came upon once, by itself.
fn found(policy: Policy, instances: u32, [boot, register, drain]: [u64; 3]) -> Case {
    let mut web = group("web", register);
    web.drain = seconds(drain);
    let mut config = FleetConfig {
        instances,
        zones: 1,
        boot: seconds(boot),
        boot_sigma: 0.0,
        target_groups: vec![web],
        ..fleet()
    };
    let suspend_processes = suspended(&mut config, policy);
    let health = Health { min_healthy_time: seconds(1), healthy_timeout: seconds(300) };
    let poll_interval = seconds(1);
    let spec = RollingDeployment { suspend_processes, health, poll_interval, ..spec(policy) };
    Case { config, spec, lag: Duration::ZERO }
}

#[test]
fn one_that_fails_where_requests_go_is_replaced_once_they_went_back() {
    let evaluation_time = seconds(1);
    let mut case = found(Policy::TrafficSplitting { percent: 51, evaluation_time }, 2, [37, 1, 0]);
    case.config.bad_revisions.insert("v2".into(), Behaviour::Flap);
    (case.config.boot_sigma, case.config.seed) = (0.5, 1_241_037_564_645_675_470);
    case.spec.failure_threshold = 3;
    let ran = run(&case);
    assert_eq!(ran.witness.broken(1), Vec::<String>::new());
    assert!(ran.told.report.borrowed.is_empty(), "{:?}", ran.told.report.borrowed);
}

#[test]
fn surge_that_is_given_back_in_the_place_of_one_that_stays_does_not_change() {
    let (surge, unavailable) = (Bound::Count(2), Bound::Percent(40));
    let mut case = found(Policy::RollingWithin { surge, unavailable }, 10, [5, 1, 0]);
    case.config.bad_revisions.insert("v2".into(), Behaviour::Hang);
    case.config.events.push((seconds(2), Intervention::Protect("i-0011".into(), true)));
    (case.spec.pacing, case.spec.on_failure) = (Pacing::Continuous, OnFailure::Rollback);
    let report = run(&case).told.report;
    let message = report.reason.unwrap_or_default();
    assert!(message.contains("still protected from scale-in"), "{message}");
}

#[test]
fn whoever_the_fleet_has_removed_does_not_come_back_with_a_late_look() {
    let (surge, unavailable) = (Bound::Count(3), Bound::Percent(0));
    let mut case = found(Policy::RollingWithin { surge, unavailable }, 7, [21, 6, 0]);
    case.config.replaces_deregistered = true;
    (case.config.zones, case.lag) = (2, seconds(1));
    case.spec.health.min_healthy_time = seconds(2);
    assert_eq!(run(&case).told.report.outcome, Outcome::Succeeded);
}

#[test]
fn what_the_fleet_calls_launched_is_not_taken_off_the_size_before_a_look_lists_it() {
    let evaluation_time = seconds(35);
    let mut case = found(Policy::TrafficSplitting { percent: 1, evaluation_time }, 1, [26, 9, 9]);
    case.config.replaces_deregistered = true;
    (case.config.launch_lag, case.config.seed) = (seconds(14), 4_166_728_183_531_263_107);
    (case.lag, case.spec.poll_interval) = (seconds(8), seconds(4));
    case.spec.health = Health { min_healthy_time: seconds(4), healthy_timeout: seconds(900) };
    let ran = run(&case);
    assert_eq!(ran.told.report.outcome, Outcome::Succeeded, "{:?}", ran.told.report.reason);
    assert_eq!(ran.witness.broken(1), Vec::<String>::new());
}

/// Runs `runs` one after the other, and says how each ended.
async fn chain(case: &Case, runs: &[Run]) -> (Arc<Simulator>, Vec<Option<Report>>) {
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let simulator = Arc::new(Simulator::in_memory(case.config.clone(), clock.clone()));
    let mut ended = Vec::new();
    for run in runs {
        ended.push(start(&simulator, &clock, case, *run).await);
    }
    (simulator, ended)
}

#[tokio::test]
async fn a_pause_after_a_stop_knows_how_much_surge_is_left() {
    let policy = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3));
    let mut case = found(policy, 6, [30, 10, 20]);
    case.spec.pacing = Pacing::Continuous;
    // Some of the surge boots, and goes at once, while the rest takes longer than a stop may.
    case.config.boot_sigma = 0.5;
    case.config.target_groups[0].drain = seconds(40);
    let mut paused = 0;
    for stop in (20..100).step_by(4) {
        let runs = [Run::Apply(stop), Run::Command(Command::Pause), Run::Command(Command::Abort)];
        let (simulator, ended) = chain(&case, &runs).await;
        paused += usize::from(ended[1].is_some());
        is_put_back(&simulator, 6).unwrap_or_else(|error| panic!("stopped at {stop}: {error}"));
    }
    assert!(paused > 3, "{paused} were left to be paused");
}

#[tokio::test]
async fn whoever_stays_after_an_end_serves_where_the_requests_are() {
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
        let ended = start(&simulator, &clock, &case, Run::Command(Command::Rollback)).await;
        assert_eq!(ended.map(|report| report.outcome), Some(Outcome::RolledBack), "at {at}");
        is_put_back(&simulator, 6).unwrap_or_else(|error| panic!("at {at}: {error}"));
    }
    assert!(left > 3, "{left} were left half-way");
}

#[tokio::test]
async fn a_launch_that_becomes_late_after_the_look_is_not_taken_off_the_size() {
    let mut case = found(Policy::BlueGreen { terminate_after: seconds(300) }, 4, [30, 10, 20]);
    case.config.launch_lag = seconds(20);
    for seed in 0..4 {
        case.config.seed = seed;
        for abort in 5..40 {
            let call = Duration::from_millis(700);
            let (_, _, witness) = run_slowly(&case, call, Some(abort)).await;
            assert_eq!(witness.broken(1), Vec::<String>::new(), "aborted at {abort}");
        }
    }
}
