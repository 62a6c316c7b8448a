//! The 25 promises of `docs/SEMANTICS.md`, one test each, over generated fleets, policies, boot
//! times, failures and stale looks. The witness of [`crate::bed`] judges every action by what is
//! true in the simulator, whatever the engine was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed};
use rolling::engine::{ControlOutcome, Rollout, Stop};
use rolling::model::event::{Event, Outcome};
use rolling::model::spec::{
    BatchSize, Bound, Checkpoint, Health, OnFailure, Pacing, Policy, RollingDeployment, SetAside,
    Window,
};
use rolling::record::command::Command;
use rolling::record::{Ending, Phase, Record};
use rolling::rollout::planner::{Input, View};
use rolling::rollout::state::RolloutState;
use rolling_provider::{Capacity, Clock as _, InstanceId, Lifecycle, TargetState};
use rolling_simulator::{Behaviour, EPOCH, FleetConfig, Intervention, Simulator, VirtualClock};
use tokio::sync::watch;

use super::crash::leave_command;
use crate::fast::faults::Flaky;
use crate::fast::planner;
use crate::test_fleets::{Dies, Mortal, SECOND, Stale, Witness, count_serving, now};
use crate::world::{Told, caller, fleet, group, roll, roll_until, seconds, spec};

/// A fleet and what is done to it.
#[derive(Clone, Debug)]
pub struct Case {
    pub config: FleetConfig,
    pub spec: RollingDeployment,
    /// How old looks may be.
    pub lag: Duration,
}

/// A world that has been run.
pub struct Ran {
    pub told: Told,
    pub simulator: Arc<Simulator>,
    pub witness: Arc<Witness>,
}

fn policies() -> impl Strategy<Value = (Policy, Pacing)> {
    let size = prop_oneof![
        (1..=100u32).prop_map(BatchSize::Percentage),
        (1..=6u32).prop_map(BatchSize::Fixed),
    ];
    let bound =
        || prop_oneof![(0..=3u32).prop_map(Bound::Count), (0..=60u32).prop_map(Bound::Percent)];
    let paced = prop_oneof![
        size.clone().prop_map(Policy::Rolling),
        size.prop_map(Policy::RollingWithAdditionalBatch),
        (bound(), bound())
            .prop_map(|(surge, unavailable)| Policy::RollingWithin { surge, unavailable }),
    ];
    let pacing = prop_oneof![Just(Pacing::Batch), Just(Pacing::Continuous)];
    prop_oneof![
        4 => (paced, pacing),
        1 => Just((Policy::Immutable, Pacing::Batch)),
        1 => Just((Policy::AllAtOnce, Pacing::Batch)),
        1 => (1..=99u32, 0..=60u64).prop_map(|(percent, time)| {
            let evaluation_time = seconds(time);
            (Policy::TrafficSplitting { percent, evaluation_time }, Pacing::Batch)
        }),
        1 => (0..=60u64).prop_map(|time| {
            (Policy::BlueGreen { terminate_after: seconds(time) }, Pacing::Batch)
        }),
    ]
}

fn good_fleet() -> impl Strategy<Value = FleetConfig> {
    (
        1..=11u32,
        1..=3u32,
        5..=60u64,
        prop_oneof![Just(0.0), Just(0.5)],
        (1..=20u64, 0..=30u64, any::<bool>()),
        prop_oneof![2 => Just(0u64), 1 => 1..=15u64],
        any::<u64>(),
        prop_oneof![2 => Just(false), 1 => Just(true)],
    )
        .prop_map(
            |(
                instances,
                zones,
                boot,
                boot_sigma,
                (register, drain, two),
                launch_lag,
                seed,
                unmanaged,
            )| {
                let mut groups = vec![group("web", register)];
                groups[0].drain = seconds(drain);
                if two {
                    groups.push(group("admin", 7));
                }
                FleetConfig {
                    instances,
                    zones,
                    boot: seconds(boot),
                    boot_sigma,
                    launch_lag: seconds(launch_lag),
                    seed,
                    target_groups: groups,
                    unmanaged,
                    ..fleet()
                }
            },
        )
}

/// A case in which nothing fails.
pub fn good() -> impl Strategy<Value = Case> {
    (good_fleet(), policies(), 0..=15u64, 1..=10u64).prop_map(
        |(mut config, (policy, pacing), soak, poll)| Case {
            spec: RollingDeployment {
                suspend_processes: suspended(&mut config, policy),
                pacing,
                health: Health { min_healthy_time: seconds(soak), healthy_timeout: seconds(900) },
                poll_interval: seconds(poll),
                ..spec(policy)
            },
            config,
            lag: Duration::ZERO,
        },
    )
}

/// Unmanaged instances have no processes. Where requests are shifted the fleet has a second target
/// group, and registers nothing by itself.
pub fn suspended(config: &mut FleetConfig, policy: Policy) -> BTreeSet<String> {
    if policy.shifts() {
        config.unmanaged = false;
        config.second = Some(group(SECOND, 5));
    }
    if config.unmanaged {
        return BTreeSet::new();
    }
    let registers = policy.shifts().then(|| "AddToLoadBalancer".to_owned());
    spec(Policy::AllAtOnce).suspend_processes.into_iter().chain(registers).collect()
}

pub fn behaviours() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        Just(Behaviour::Unhealthy),
        Just(Behaviour::Flap),
        Just(Behaviour::Hang),
        Just(Behaviour::FailLaunch),
        Just(Behaviour::HalfUnhealthy),
    ]
}

fn endings() -> impl Strategy<Value = OnFailure> {
    prop_oneof![Just(OnFailure::Rollback), Just(OnFailure::Pause), Just(OnFailure::Stop)]
}

/// A case in which the new revision may fail, and looks may be stale.
pub fn any_case() -> impl Strategy<Value = Case> {
    let failing = proptest::option::of((behaviours(), endings(), 1..=3u32, 0..=1u32));
    let lag = prop_oneof![Just(0u64), 1..=8u64];
    (good(), failing, lag).prop_map(|(mut case, failing, lag)| {
        case.lag = seconds(lag);
        if let Some((behaviour, on_failure, threshold, keep)) = failing {
            if behaviour == Behaviour::Flap {
                // Who flaps while nobody looks breaks a floor from outside.
                case.lag = Duration::ZERO;
            }
            case.config.bad_revisions.insert("v2".into(), behaviour);
            case.spec.on_failure = on_failure;
            case.spec.failure_threshold = threshold;
            case.spec.keep_failed_instances = keep;
            case.spec.health.healthy_timeout = seconds(300);
        }
        case
    })
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(future)
}

/// Runs `case`; `meanwhile` may arrange for something to happen.
pub fn run_with(
    case: &Case,
    meanwhile: impl FnOnce(&Arc<VirtualClock>, &Arc<Simulator>, &Arc<Witness>),
) -> Ran {
    block_on(async {
        let clock = Arc::new(VirtualClock::new(EPOCH));
        let simulator = Arc::new(Simulator::in_memory(case.config.clone(), clock.clone()));
        let witness = Witness::new(simulator.clone(), case.spec.clone()).await;
        meanwhile(&clock, &simulator, &witness);
        let stale = Stale::new(witness.clone(), case.lag);
        let told = roll(stale, case.spec.clone()).await;
        told.assert_looks_seldom(case.spec.poll_interval);
        Ran { told, simulator, witness }
    })
}

pub fn run(case: &Case) -> Ran {
    run_with(case, |_, _, _| {})
}

/// Runs `case` with an engine that dies at its mutation `at`, and on with another one. How it ended
/// (as `reference` did where the first had done all there was to do), and what was seen broken.
pub fn run_killed(
    case: &Case,
    reference: &Ran,
    at: u32,
    dies: Dies,
) -> (Outcome, Arc<Simulator>, Vec<String>) {
    block_on(async {
        let clock = Arc::new(VirtualClock::new(EPOCH));
        let simulator = Arc::new(Simulator::in_memory(case.config.clone(), clock));
        let witness = Witness::new(simulator.clone(), case.spec.clone()).await;
        let mortal = Mortal::new(witness.clone(), at, dies);
        let first = mortal.survive(roll(mortal.clone(), case.spec.clone())).await;
        let outcome = match first {
            Some(told) => told.report.outcome,
            None if at > 2 && crate::fast::crash::is_over(&simulator, &case.config).await => {
                reference.told.report.outcome
            }
            None => roll(witness.clone(), case.spec.clone()).await.report.outcome,
        };
        (outcome, simulator, witness.broken(0))
    })
}

pub fn look(simulator: &Simulator) -> rolling_provider::Observation {
    simulator.truth().expect("the fleet")
}

/// Ends as a success ends: property 18.
pub fn is_tidy(ran: &Ran, size: usize, revision: &str) -> Result<(), TestCaseError> {
    let look = look(&ran.simulator);
    let live: Vec<_> = look.instances.values().filter(|i| i.lifecycle.is_live()).collect();
    prop_assert_eq!(live.len(), size);
    prop_assert_eq!(count_serving(&look), size);
    prop_assert!(live.iter().all(|i| i.revision == Some(revision.into())), "{:?}", live);
    prop_assert_eq!(look.desired() as usize, size);
    prop_assert!(look.suspended.is_empty());
    prop_assert!(look.record.is_empty(), "{:?}", look.record);
    prop_assert!(look.shifted.iter().flatten().all(|percent| *percent == 0));
    for instance in live {
        let second = instance.targets.get(&SECOND.into()).map(|health| health.state);
        prop_assert!(second.is_none_or(|state| state == TargetState::Draining), "{:?}", instance);
    }
    Ok(())
}

pub fn nothing_broken(ran: &Ran, property: u8) -> Result<(), TestCaseError> {
    prop_assert_eq!(ran.witness.broken(property), Vec::<String>::new());
    Ok(())
}

/// The same cases every time; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` ask for more and others.
pub fn settings() -> ProptestConfig {
    let asked = ProptestConfig::default();
    let is_asked = |name: &str| std::env::var_os(name).is_some();
    ProptestConfig {
        cases: if is_asked("PROPTEST_CASES") { asked.cases } else { 96 },
        rng_seed: if is_asked("PROPTEST_RNG_SEED") { asked.rng_seed } else { RngSeed::Fixed(25) },
        // What has failed once is tried first from then on: commit what is written there.
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/regressions/properties.txt",
        ))),
        ..asked
    }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn p01_no_action_lowers_serving_below_the_floor(case in any_case()) {
        nothing_broken(&run(&case), 1)?;
    }

    #[test]
    fn p02_never_more_live_than_the_ceiling(case in any_case()) {
        nothing_broken(&run(&case), 2)?;
    }

    #[test]
    fn p03_never_more_boot_and_drain_than_the_window_has_places(case in any_case()) {
        nothing_broken(&run(&case), 3)?;
    }

    #[test]
    fn p04_every_accepted_configuration_has_a_place_in_its_window(
        policy in prop_oneof!["rolling", "rolling_with_additional_batch", "immutable", "all_at_once"],
        batch in proptest::option::of((any::<bool>(), 0..=120u32)),
        bounds in proptest::option::of((0..=5u32, 0..=120u32)),
        n in 1..=1000u32,
    ) {
        let mut document = serde_json::json!({
            "policy": policy, "simulated_fleet": { "name": "web", "revision": "v2" },
        });
        if let Some((percentage, size)) = batch {
            let kind = if percentage { "percentage" } else { "fixed" };
            document["batch_size_type"] = kind.into();
            document["batch_size"] = size.into();
        }
        if let Some((surge, unavailable)) = bounds {
            document["max_surge"] = surge.into();
            document["max_unavailable"] = format!("{unavailable}%").into();
        }
        if let Ok((_, spec)) = rolling::document::deployment(&document, "") {
            let window = Window::resolve(spec.policy, n);
            prop_assert!(window.slots() >= 1, "{:?}", window);
            prop_assert!(window.floor() <= n && n <= window.ceiling());
        }
    }

    #[test]
    fn p05_nobody_is_terminated_before_it_has_drained(case in any_case()) {
        // By a stale look one may seem to boot still that is registered already.
        nothing_broken(&run(&Case { lag: Duration::ZERO, ..case }), 5)?;
    }

    #[test]
    fn p06_soak_counts_only_continuous_health(
        healthy in proptest::collection::vec(any::<bool>(), 1..40),
        soak in 0..=20u64,
    ) {
        let spec = RollingDeployment {
            health: Health { min_healthy_time: seconds(soak), healthy_timeout: seconds(900) },
            ..spec(Policy::AllAtOnce)
        };
        let target = planner::target();
        let mut progress = RolloutState::new("test", planner::NOW);
        let mut since = None;
        for (tick, is_healthy) in healthy.iter().enumerate() {
            let at = planner::NOW + seconds(tick as u64);
            let state = if *is_healthy { TargetState::Healthy } else { TargetState::Unhealthy };
            let fleet = BTreeMap::from([("i-1".into(), planner::instance("v2", "a", state, 0))]);
            let look = rolling_provider::Observation { at, ..planner::look(fleet) };
            progress.observe(&target, &spec.health, &look);
            since = if *is_healthy { since.or(Some(tick as u64)) } else { None };
            let soaked = since.is_some_and(|since| tick as u64 - since >= soak);
            let input =
                Input { spec: &spec, target: &target, look: &look, state: &progress, now: at };
            prop_assert_eq!(View::new(&input).updated() == 1, soaked, "at {} s", tick);
        }
    }

    #[test]
    fn p07_those_that_do_not_serve_go_before_those_that_do(
        states in proptest::collection::vec((any::<bool>(), 0..3usize, 0..100u64), 1..20),
        batch in 1..6u32,
        pacing in prop_oneof![Just(Pacing::Batch), Just(Pacing::Continuous)],
    ) {
        let fleet: BTreeMap<InstanceId, _> = states
            .iter()
            .enumerate()
            .map(|(n, (serves, zone, age))| {
                let state = if *serves { TargetState::Healthy } else { TargetState::Unhealthy };
                let instance = planner::instance("v1", ["a", "b", "c"][*zone], state, 1000 + age);
                (InstanceId::new(format!("i-{n:02}")), instance)
            })
            .collect();
        let idle: BTreeSet<_> = states
            .iter()
            .enumerate()
            .filter(|(_, (serves, ..))| !serves)
            .map(|(n, _)| InstanceId::new(format!("i-{n:02}")))
            .collect();
        let size = u32::try_from(states.len()).expect("few");
        let mut look = planner::look(fleet);
        look.capacity = Some(Capacity { min: 0, max: size, desired: size });
        let spec = RollingDeployment { pacing, ..spec(Policy::Rolling(BatchSize::Fixed(batch))) };
        let plan = planner::planned(&look, &spec);
        let Some(begins) = plan.begins else { return Ok(()) };
        let takes_serving = begins.victims.iter().any(|id| !idle.contains(id));
        let leaves_idle = idle.iter().any(|id| !begins.victims.contains(id));
        prop_assert!(!(takes_serving && leaves_idle), "{:?} of {:?}", begins, idle);
        let slots = Window::resolve(spec.policy, size).slots() as usize;
        prop_assert_eq!(begins.victims.intersection(&idle).count(), idle.len().min(slots));
    }

    #[test]
    fn p08_a_converged_fleet_plans_to_nothing_and_plans_are_deterministic(case in good()) {
        let ran = run(&case);
        prop_assert_eq!(ran.told.report.outcome, Outcome::Succeeded);
        let again = run(&case);
        prop_assert_eq!(&ran.told.events, &again.told.events);
        let once_more = block_on(roll(ran.simulator.clone(), case.spec.clone()));
        prop_assert_eq!(once_more.report.outcome, Outcome::Succeeded);
        prop_assert!(once_more.actions().is_empty());
    }

    #[test]
    fn p09_killed_anywhere_and_started_again_it_ends_the_same(
        case in any_case(), at in 1..60u32, after in any::<bool>(),
    ) {
        let is = |how| case.config.bad_revisions.values().any(|known| *known == how);
        // Whether one that flaps fails depends on when it is looked at, and how many of every
        // second one fail on how many are launched.
        let continuous = case.spec.pacing == Pacing::Continuous;
        prop_assume!(!(is(Behaviour::Flap) || is(Behaviour::HalfUnhealthy) && continuous));
        let mut case = Case { lag: Duration::ZERO, ..case };
        // The progress deadline starts over with the engine.
        case.spec.progress_deadline = Some(seconds(3000));
        let reference = run(&case);
        let dies = if after { Dies::After } else { Dies::Before };
        let (outcome, simulator, broken) = run_killed(&case, &reference, at, dies);
        prop_assert_eq!(outcome, reference.told.report.outcome);
        prop_assert_eq!(broken, Vec::<String>::new());
        let (was, is) = (look(&reference.simulator), look(&simulator));
        // How far one of many that overlap has come when it halts is a matter of timing; so is which
        // batch one belongs to that failed right before the crash and is to be replaced.
        let halts_half_way = [Outcome::Paused, Outcome::Failed].contains(&outcome);
        let fails_in_turn =
            case.spec.failure_threshold > 1 && !case.config.bad_revisions.is_empty();
        let differs = case.spec.pacing == Pacing::Continuous || fails_in_turn;
        if differs && halts_half_way {
            prop_assert!(is.suspended.is_empty());
            prop_assert_eq!(was.template, is.template);
            return Ok(());
        }
        prop_assert_eq!(census(&was), census(&is));
        prop_assert_eq!(was.capacity, is.capacity);
        prop_assert_eq!(was.template, is.template);
        prop_assert!(is.suspended.is_empty());
        // Duplicates of stragglers are extra by design, and a victim of timing. What could not be
        // launched may come yet, on the old template and for a moment only, when an engine that
        // has just begun puts that back before it knows that nothing comes.
        let may_come_yet = case.config.bad_revisions.values().any(|b| *b == Behaviour::FailLaunch);
        // Of several that fail at once, the first ones may be replaced before the last one counts.
        if case.spec.pacing == Pacing::Batch && !may_come_yet && !fails_in_turn {
            prop_assert_eq!(reference.simulator.launched(), simulator.launched());
        }
    }

    #[test]
    fn p10_floor_ceiling_and_window_hold_under_stale_and_reordered_looks(
        case in any_case(), lag in 1..=12u64,
    ) {
        let flaps = case.config.bad_revisions.values().any(|how| *how == Behaviour::Flap);
        prop_assume!(!flaps);
        let ran = run(&Case { lag: seconds(lag), ..case });
        for property in 1..=3 {
            nothing_broken(&ran, property)?;
        }
    }

    #[test]
    fn p11_an_engine_of_an_older_generation_stops_before_its_next_mutation(
        case in good(), at in 2..120u64,
    ) {
        let ran = run_with(&case, |clock, simulator, _| {
            let simulator = simulator.clone();
            clock.at(EPOCH + seconds(at), move || overtake(&simulator));
        });
        let overtaken = look(&ran.simulator).record.contains_key("rolling:overtaken");
        let last = ran.told.events.iter().rev().find(|e| matches!(e.event, Event::Acted { .. }));
        if overtaken && !look(&ran.simulator).record.is_empty() {
            prop_assert_eq!(ran.told.report.outcome, Outcome::Locked);
            prop_assert!(last.is_none_or(|e| e.at <= EPOCH + seconds(at)), "{:?}", last);
        }
    }

    #[test]
    fn p12_after_a_retarget_nothing_of_the_one_between_is_launched(
        case in good(), cut in 1..200u64, graceful in any::<bool>(),
    ) {
        let (report, simulator, between) = block_on(async {
            let clock = Arc::new(VirtualClock::new(EPOCH));
            let (send, stop) = watch::channel(Stop::No);
            let urgency = if graceful { Stop::Gracefully } else { Stop::Now };
            clock.at(EPOCH + seconds(cut), move || {
                send.send_replace(urgency);
            });
            let simulator = Arc::new(Simulator::in_memory(case.config.clone(), clock.clone()));
            roll_until(simulator.clone(), case.spec.clone(), stop).await;
            let launched = simulator.launched();
            simulator.retarget("v3".into());
            let told = roll(simulator.clone(), case.spec.clone()).await;
            (told.report, simulator, launched)
        });
        prop_assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.reason);
        let look = look(&simulator);
        prop_assert_eq!(
            look.instances.values().filter(|i| i.lifecycle.is_live()).count(),
            case.config.instances as usize
        );
        let live = look.instances.values().filter(|i| i.lifecycle.is_live());
        prop_assert!(live.map(|i| i.revision.as_ref()).all(|r| r == Some(&"v3".into())));
        let after = &simulator.launches()[usize::try_from(between).expect("few")..];
        prop_assert!(after.iter().all(|revision| revision.as_str() != "v2"), "{:?}", after);
        prop_assert!(look.record.is_empty() && look.suspended.is_empty());
    }

    #[test]
    fn p13_at_most_one_rollback_and_only_to_another_completed_revision(
        case in any_case(), restored_is_bad in any::<bool>(), mixed in any::<bool>(),
    ) {
        // Unmanaged ones are launched by nobody else.
        let (mut case, mixed) = (case.clone(), mixed && !case.config.unmanaged);
        case.spec.on_failure = OnFailure::Rollback;
        if restored_is_bad {
            case.config.bad_revisions.insert("v1".into(), Behaviour::FailLaunch);
        }
        let ran = run_with(&case, |clock, simulator, _| {
            if mixed {
                // One instance of another revision: no completed revision is known.
                simulator.intervene(Intervention::MoveTemplate("v0".into())).expect("v0");
                let first = look(simulator).instances.keys().next().cloned();
                if let Some(first) = first {
                    simulator.intervene(Intervention::Terminate(first)).expect("one");
                }
                simulator.intervene(Intervention::MoveTemplate("v1".into())).expect("v1");
                now(clock.sleep(seconds(3600)));
            }
        });
        let backs: Vec<_> = ran
            .told
            .events
            .iter()
            .filter_map(|envelope| match &envelope.event {
                Event::RollingBack { to, .. } => Some(to.clone()),
                _ => None,
            })
            .collect();
        prop_assert!(backs.len() <= 1, "{:?}", backs);
        match (mixed, case.config.instances) {
            (false, _) => prop_assert!(backs.iter().all(|to| to.as_str() == "v1")),
            (true, 1) => prop_assert!(backs.iter().all(|to| to.as_str() == "v0")),
            (true, _) => prop_assert!(backs.is_empty(), "{:?}", backs),
        }
        if ran.told.report.outcome == Outcome::RolledBack {
            prop_assert_eq!(backs.len(), 1);
        }
    }

    #[test]
    fn p14_a_rollback_ends_rolled_back_or_failed_at_the_floor(
        case in good(), behaviour in behaviours(), restorable in any::<bool>(),
    ) {
        let mut case = case;
        case.spec.on_failure = OnFailure::Rollback;
        case.spec.health.healthy_timeout = seconds(300);
        case.config.bad_revisions.insert("v2".into(), behaviour);
        if !restorable {
            case.config.bad_revisions.insert("v1".into(), Behaviour::FailLaunch);
        }
        let ran = run(&case);
        let outcome = ran.told.report.outcome;
        nothing_broken(&ran, 1)?;
        let is_rolled_back = outcome == Outcome::RolledBack;
        if restorable {
            // A fleet so small that every second launch spared it, or one that nobody soaks, is
            // simply done.
            let mild = [Behaviour::HalfUnhealthy, Behaviour::Flap].contains(&behaviour);
            let spared = mild && outcome == Outcome::Succeeded;
            prop_assert!(is_rolled_back || spared, "{:?}", ran.told.report);
        } else {
            let ends = [Outcome::RolledBack, Outcome::Failed, Outcome::Succeeded];
            prop_assert!(ends.contains(&outcome), "{:?}", ran.told.report);
            let window = Window::resolve(case.spec.policy, case.config.instances);
            if behaviour == Behaviour::FailLaunch && window.unavailable == 0 {
                // Nothing was taken out for surge that never came.
                prop_assert!(is_rolled_back, "{:?}", ran.told.report);
            }
            let serving = count_serving(&look(&ran.simulator));
            // Flapping instances come and go by themselves.
            let may_sink = behaviour == Behaviour::Flap;
            prop_assert!(serving >= window.floor() as usize || may_sink, "{} serve", serving);
        }
        if is_rolled_back {
            is_tidy(&ran, case.config.instances as usize, "v1")?;
        }
    }

    #[test]
    fn p15_while_paused_nothing_begins_and_lost_capacity_is_replaced(
        case in good(), at in 2..100u64, by_failure in any::<bool>(),
    ) {
        let mut case = case;
        if by_failure {
            case.config.bad_revisions.insert("v2".into(), Behaviour::Unhealthy);
            case.spec.on_failure = OnFailure::Pause;
            case.spec.health.healthy_timeout = seconds(120);
        }
        let ran = run_with(&case, |clock, simulator, _| {
            if !by_failure {
                let simulator = simulator.clone();
                clock.at(EPOCH + seconds(at), move || leave_command(&simulator, Command::Pause));
            }
        });
        if ran.told.report.outcome != Outcome::Paused {
            // It was over before.
            prop_assert_eq!(ran.told.report.outcome, Outcome::Succeeded);
            return Ok(());
        }
        let paused = look(&ran.simulator);
        let drains = paused.instances.values().any(|i| {
            i.lifecycle.is_live()
                && i.targets.values().any(|health| health.state == TargetState::Draining)
        });
        prop_assert!(!drains, "{:?}", paused);
        // Registering is resumed with the rollout: what is launched must not join the old ones.
        let stays_suspended = |process: &String| case.spec.policy.shifts() && process == "AddToLoadBalancer";
        prop_assert!(paused.suspended.iter().all(stays_suspended), "{:?}", paused.suspended);
        // To apply again is no decision.
        let again = block_on(roll(ran.simulator.clone(), case.spec.clone()));
        prop_assert_eq!(again.report.outcome, Outcome::Paused);
        prop_assert!(again.actions().is_empty());
        if case.config.unmanaged {
            // Nobody replaces them while no engine runs.
            return Ok(());
        }
        let mut live = paused.instances.iter().filter(|(_, i)| i.lifecycle.is_live());
        let victim = live.next().expect("an instance").0.clone();
        let before: BTreeSet<_> = paused.instances.keys().cloned().collect();
        ran.simulator.intervene(Intervention::Terminate(victim)).expect("one");
        let after = look(&ran.simulator);
        let new: Vec<_> =
            after.instances.iter().filter(|(id, _)| !before.contains(*id)).collect();
        prop_assert_eq!(new.len(), 1);
        let wanted = if by_failure { "v1" } else { after.template.as_ref().expect("one").as_str() };
        prop_assert_eq!(new[0].1.revision.as_ref().expect("one").as_str(), wanted);
    }

    #[test]
    fn p16_deadlines_move_only_as_written(
        timeout in 60..300u64, pause_at in 5..50u64, paused_for in 1..5000u64, wait in 0..400u64,
    ) {
        let health = Health { min_healthy_time: seconds(10), healthy_timeout: seconds(timeout) };
        let target = planner::target();
        let launched = planner::NOW;
        let (paused_at, resumed_at) = (pause_at, pause_at + paused_for);
        let mut progress = RolloutState::new("test", launched + seconds(resumed_at));
        progress.record = Some(Record {
            started: launched,
            paused: seconds(paused_for),
            pause_changed_at: Some(launched + seconds(resumed_at)),
            ..planner::record()
        });
        let now = launched + seconds(resumed_at + wait);
        // It was launched before the pause, and boots still.
        let mut instance = planner::instance("v2", "a", TargetState::Initial, 0);
        instance.launched_at = Some(launched);
        let look = |at| rolling_provider::Observation {
            at, ..planner::look(BTreeMap::from([("i-1".into(), instance.clone())]))
        };
        progress.observe(&target, &health, &look(launched + seconds(resumed_at)));
        progress.observe(&target, &health, &look(now));
        let lived = paused_at + wait;
        prop_assert_eq!(progress.failed.len() == 1, lived >= timeout, "lived {} s", lived);
    }

    #[test]
    fn p17_the_breaker_trips_exactly_at_its_threshold_also_across_restarts(
        case in good(), threshold in 1..=4u32, at in 1..80u32, after in any::<bool>(),
    ) {
        let mut case = case;
        case.config.bad_revisions.insert("v2".into(), Behaviour::Unhealthy);
        case.spec.failure_threshold = threshold;
        case.spec.progress_deadline = Some(seconds(100_000));
        case.spec.on_failure = OnFailure::Pause;
        case.spec.health.healthy_timeout = seconds(150);
        let simulator = block_on(async {
            let clock = Arc::new(VirtualClock::new(EPOCH));
            let simulator = Arc::new(Simulator::in_memory(case.config.clone(), clock));
            let dies = if after { Dies::After } else { Dies::Before };
            let mortal = Mortal::new(simulator.clone(), at, dies);
            let first = mortal.survive(roll(mortal.clone(), case.spec.clone())).await;
            let report = match first {
                Some(told) => told.report,
                None => roll(simulator.clone(), case.spec.clone()).await.report,
            };
            assert_eq!(report.outcome, Outcome::Paused, "{report:?}");
            simulator
        });
        let record = Record::from_tags(&look(&simulator).record).expect("tags").expect("a record");
        prop_assert_eq!(record.failures, threshold);
        prop_assert_eq!(record.phase, Phase::Halted(Ending::Paused));
    }

    #[test]
    fn p18_success_leaves_exactly_the_fleet_on_the_revision_and_nothing_borrowed(
        case in good(), lag in 0..=8u64,
    ) {
        let ran = run(&Case { lag: seconds(lag), ..case.clone() });
        prop_assert_eq!(ran.told.report.outcome, Outcome::Succeeded, "{:?}", ran.told.report.reason);
        is_tidy(&ran, case.config.instances as usize, "v2")?;
        prop_assert!(ran.told.report.borrowed.is_empty());
        let max = look(&ran.simulator).capacity.map(|capacity| capacity.max);
        prop_assert!(max.is_none_or(|max| max == case.config.instances));
    }

    #[test]
    fn p19_a_failure_or_an_abort_gives_back_what_was_borrowed_and_names_the_culprit(
        case in good(), failure in proptest::option::of(behaviours()),
        at in prop_oneof![2..20u64, 2..150u64],
        lag in prop_oneof![2 => Just(0u64), 1 => 1..=8u64],
    ) {
        let mut case = Case { lag: seconds(lag), ..case };
        if let Some(behaviour) = failure {
            case.config.bad_revisions.insert("v2".into(), behaviour);
            case.spec.on_failure = OnFailure::Stop;
            case.spec.health.healthy_timeout = seconds(200);
        }
        let ran = run_with(&case, |clock, simulator, _| {
            if failure.is_none() {
                let simulator = simulator.clone();
                clock.at(EPOCH + seconds(at), move || leave_command(&simulator, Command::Abort));
            }
        });
        let report = &ran.told.report;
        if report.outcome == Outcome::Succeeded {
            return Ok(());
        }
        let wanted = if failure.is_some() { Outcome::Failed } else { Outcome::Aborted };
        prop_assert_eq!(report.outcome, wanted);
        prop_assert!(report.borrowed.is_empty(), "{:?}", report.borrowed);
        let look = look(&ran.simulator);
        prop_assert!(look.suspended.is_empty());
        let size = case.config.instances;
        prop_assert_eq!(look.desired(), size);
        if let Some(capacity) = look.capacity {
            prop_assert_eq!(capacity.max, size);
            prop_assert_eq!(look.template.clone(), Some("v1".into()));
        }
        let drains = look.instances.values().filter(|i| i.lifecycle == Lifecycle::InService);
        let mut states = drains.flat_map(|i| i.targets.iter());
        // Whoever has come back from the second target group may still drain there.
        let is_clear =
            states.all(|(id, h)| id.as_str() == SECOND || h.state != TargetState::Draining);
        prop_assert!(is_clear);
        let reason = report.reason.as_deref().unwrap_or_default();
        match failure {
            None => prop_assert!(reason.contains("aborted by somebody"), "{}", reason),
            Some(Behaviour::FailLaunch) => prop_assert!(reason.contains("no capacity"), "{}", reason),
            Some(_) => prop_assert!(reason.contains("i-00"), "{}", reason),
        }
    }

    #[test]
    fn p20_before_a_checkpoint_no_more_are_new_than_its_quota(
        case in good(), first in 1..50u32, second in 50..=99u32, failing in any::<bool>(),
    ) {
        let mut case = case;
        if case.spec.policy == Policy::AllAtOnce {
            return Ok(());
        }
        let pause = Some(seconds(60));
        case.spec.checkpoints = [first, second]
            .map(|percentage| Checkpoint { percentage, pause })
            .into();
        if failing {
            case.config.bad_revisions.insert("v2".into(), Behaviour::HalfUnhealthy);
            case.spec.failure_threshold = 3;
            case.spec.health.healthy_timeout = seconds(200);
            case.spec.on_failure = OnFailure::Rollback;
        }
        let ran = run(&case);
        if !failing {
            prop_assert_eq!(ran.told.report.outcome, Outcome::Succeeded, "{:?}", ran.told.report);
        }
        nothing_broken(&ran, 20)?;
        nothing_broken(&ran, 3)?;
    }

    #[test]
    fn p22_continuous_pacing_starts_within_one_tick_whenever_it_may(
        members in proptest::collection::vec((0..4u8, 0..1000u64), 2..20),
        batch in 1..6u32,
    ) {
        // 0: old and serving, 1: old and idle, 2: new and soaked, 3: new and booting.
        let fleet: BTreeMap<InstanceId, _> = members
            .iter()
            .enumerate()
            .map(|(n, (kind, age))| {
                let revision = if *kind < 2 { "v1" } else { "v2" };
                let state = match kind {
                    0 | 2 => TargetState::Healthy,
                    1 => TargetState::Unhealthy,
                    _ => TargetState::Initial,
                };
                (InstanceId::new(format!("i-{n:02}")), planner::instance(revision, "a", state, *age))
            })
            .collect();
        let size = u32::try_from(members.len()).expect("few");
        let mut look = planner::look(fleet);
        look.capacity = Some(Capacity { min: 0, max: size, desired: size });
        let spec = RollingDeployment {
            pacing: Pacing::Continuous,
            health: Health { min_healthy_time: seconds(0), healthy_timeout: seconds(9000) },
            ..spec(Policy::Rolling(BatchSize::Fixed(batch)))
        };
        let plan = planner::planned(&look, &spec);
        let count = |wanted: u8| members.iter().filter(|(kind, _)| *kind == wanted).count();
        let slots = Window::resolve(spec.policy, size).slots() as usize;
        let free = slots.saturating_sub(count(3));
        let spare = (count(0) + count(2)).saturating_sub(members.len() - slots);
        let may = free.min(count(1) + count(0).min(spare));
        let begun = plan.begins.map_or(0, |begins| begins.victims.len());
        prop_assert_eq!(begun, may);
    }

    #[test]
    fn p23_after_faults_cease_it_ends_in_time(
        case in good(), outage in (5..100u64, 1..200u64), every in 0..6u32,
    ) {
        let clean = run(&case).told.report.elapsed_ms;
        let report = block_on(async {
            let clock = Arc::new(VirtualClock::new(EPOCH));
            let simulator = Arc::new(Simulator::in_memory(case.config.clone(), clock));
            let (from, length) = outage;
            let flaky = Flaky::new(simulator, from..from + length, every * 3);
            roll(flaky, case.spec.clone()).await.report
        });
        prop_assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.reason);
        let bound = 3 * clean + 1000 * (outage.0 + outage.1) + 240_000;
        prop_assert!(report.elapsed_ms <= bound, "{} of {}", report.elapsed_ms, bound);
    }

    #[test]
    fn p24_to_abort_an_idle_deployment_changes_nothing(
        case in good(), command in prop_oneof![
            Just(Command::Pause), Just(Command::Resume), Just(Command::Abort), Just(Command::Rollback)
        ],
    ) {
        let simulator = Arc::new(Simulator::in_memory(
            case.config.clone(), Arc::new(VirtualClock::new(EPOCH)),
        ));
        let before = look(&simulator);
        let done = block_on(async {
            let rollout =
                Rollout::prepare(simulator.clone(), case.spec.clone(), &caller()).await.expect("it");
            let (_keep, stop) = watch::channel(Stop::No);
            rollout.command(command, stop, &mut |_| {}).await.expect("it")
        });
        prop_assert!(matches!(done, ControlOutcome::NoOp(_)), "{:?}", done);
        prop_assert_eq!(before, look(&simulator));
    }

    #[test]
    fn p25_what_is_not_ours_is_never_touched(
        case in any_case(), ignored in 0..6usize, protected in 0..6usize,
        rule in prop_oneof![Just(SetAside::Ignore), Just(SetAside::Wait)],
    ) {
        let mut case = case;
        case.spec.protected = rule;
        let mut ids = Vec::new();
        let ran = run_with(&case, |_, simulator, _| {
            ids = look(simulator).instances.keys().cloned().collect();
            for id in ids.iter().take(ignored) {
                simulator.intervene(Intervention::Ignore(id.clone())).expect("it");
            }
            for id in ids.iter().skip(ignored).take(protected) {
                simulator.intervene(Intervention::Protect(id.clone(), true)).expect("it");
            }
        });
        nothing_broken(&ran, 25)?;
        let after = look(&ran.simulator);
        for id in ids.iter().take(ignored + protected) {
            prop_assert!(after.instances.get(id).is_some_and(|i| i.lifecycle.is_live()), "{}", id);
        }
    }
}

/// How many of each revision live and serve.
fn census(look: &rolling_provider::Observation) -> BTreeMap<(String, bool), usize> {
    let mut census = BTreeMap::new();
    for instance in look.instances.values().filter(|i| i.lifecycle.is_live()) {
        let revision = instance.revision.as_ref().map(ToString::to_string).unwrap_or_default();
        *census.entry((revision, crate::test_fleets::serves(instance))).or_default() += 1;
    }
    census
}

/// A rollout of a later generation begins.
fn overtake(simulator: &Simulator) {
    let found = look(simulator).record;
    let Ok(Some(record)) = Record::from_tags(&found) else { return };
    let later = Record { generation: record.generation + 1, id: "later".into(), ..record };
    let mut tags = later.tags();
    tags.insert("rolling:overtaken".into(), "1".into());
    simulator.intervene(Intervention::Tags(tags)).expect("tags");
}
