//! The 29 promises of `docs/SEMANTICS.md`, one test each, over generated fleets, policies, boot
//! times, failures and stale looks. The witness of [`crate::test_fleets`] judges every action by
//! what is true in the simulator, not by what the engine was shown.

mod decisions;
mod endings;
mod generated;
mod hooks;
mod one_by_one;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed};
use rolling::engine::{ControlOutcome, Rollout, Stop};
use rolling::model::event::{Event, Outcome};
use rolling::model::spec::{Checkpoint, OnFailure, Pacing, Policy, SetAside};
use rolling::record::Record;
use rolling::record::command::Command;
use rolling_provider::TargetState;
use rolling_simulator::{Behaviour, EPOCH, Intervention, Simulator, VirtualClock};
use tokio::sync::watch;

use crate::test_fleets::{Dies, Flaky, Mortal, SECOND, Stale, Witness, count_serving};
use crate::world::{Run, caller, roll, roll_until, seconds};

pub use self::generated::{Case, an_hour_ago, any_case, behaviours, good, suspended, zones};

/// A case that has been run.
pub struct Ran {
    pub run: Run,
    pub simulator: Arc<Simulator>,
    pub witness: Arc<Witness>,
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(future)
}

/// Runs `case`; `meanwhile` may schedule what happens.
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
        let run = roll(stale, case.spec.clone()).await;
        run.assert_looks_seldom(case.spec.poll_interval);
        Ran { run, simulator, witness }
    })
}

pub fn run(case: &Case) -> Ran {
    run_with(case, |_, _, _| {})
}

/// Runs `case` with an engine that dies at its mutation `at`, and then with another one. Returns
/// the outcome (that of `reference` where the first had done all there was to do), and the broken
/// promises.
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
            Some(run) => run.report.outcome,
            None if at > 2 && crate::fast::crash::is_over(&simulator, &case.config).await => {
                reference.run.report.outcome
            }
            None => roll(witness.clone(), case.spec.clone()).await.report.outcome,
        };
        (outcome, simulator, witness.broken(0))
    })
}

pub fn look(simulator: &Simulator) -> rolling_provider::Observation {
    simulator.truth().expect("the fleet")
}

/// Checks that a success leaves nothing behind: property 18.
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

/// The cases are the same every time; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` ask for more and
/// others.
pub fn settings() -> ProptestConfig {
    let asked = ProptestConfig::default();
    let is_asked = |name: &str| std::env::var_os(name).is_some();
    ProptestConfig {
        cases: if is_asked("PROPTEST_CASES") { asked.cases } else { 96 },
        rng_seed: if is_asked("PROPTEST_RNG_SEED") { asked.rng_seed } else { RngSeed::Fixed(25) },
        // A case that has failed is tried first from then on: commit the file.
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
    fn p05_no_instance_is_terminated_before_it_has_drained(case in any_case()) {
        // In a stale look an instance may still boot that is registered already.
        nothing_broken(&run(&Case { lag: Duration::ZERO, ..case }), 5)?;
    }

    #[test]
    fn p08_a_converged_fleet_plans_to_nothing_and_plans_are_deterministic(case in good()) {
        let ran = run(&case);
        prop_assert_eq!(ran.run.report.outcome, Outcome::Succeeded);
        let again = run(&case);
        prop_assert_eq!(&ran.run.events, &again.run.events);
        let once_more = block_on(roll(ran.simulator.clone(), case.spec.clone()));
        prop_assert_eq!(once_more.report.outcome, Outcome::Succeeded);
        prop_assert!(once_more.actions().is_empty());
    }

    #[test]
    fn p09_killed_anywhere_and_started_again_it_ends_the_same(
        case in any_case(), at in 1..60u32, after in any::<bool>(),
    ) {
        let is = |how| case.config.bad_revisions.values().any(|known| *known == how);
        // Whether a flapping revision fails depends on when it is looked at, and how many of every
        // second launch fail on how many there are.
        let continuous = case.spec.pacing == Pacing::Continuous;
        prop_assume!(!(is(Behaviour::Flap) || is(Behaviour::HalfUnhealthy) && continuous));
        let mut case = Case { lag: Duration::ZERO, ..case };
        // A new engine starts the progress deadline anew.
        case.spec.progress_deadline = Some(seconds(3000));
        let reference = run(&case);
        let dies = if after { Dies::After } else { Dies::Before };
        let (outcome, simulator, broken) = run_killed(&case, &reference, at, dies);
        prop_assert_eq!(outcome, reference.run.report.outcome);
        prop_assert_eq!(broken, Vec::<String>::new());
        let (was, is) = (look(&reference.simulator), look(&simulator));
        // It depends on timing how far one of several overlapping batches is when the rollout
        // halts, and which batch an instance belongs to that failed right before the crash and is
        // to be replaced.
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
        // Duplicates of stragglers are extra by design, and depend on timing. Instances that could
        // not be launched may still come, for a moment and on the old template, when an engine that
        // has just begun puts that back before it knows that none comes.
        let may_come_yet = case.config.bad_revisions.values().any(|b| *b == Behaviour::FailLaunch);
        // Of several that fail at once, the first may be replaced before the last one counts.
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
        let last = ran.run.events.iter().rev().find(|e| matches!(e.event, Event::Acted { .. }));
        if overtaken && !look(&ran.simulator).record.is_empty() {
            prop_assert_eq!(ran.run.report.outcome, Outcome::Locked);
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
            let run = roll(simulator.clone(), case.spec.clone()).await;
            (run.report, simulator, launched)
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
    fn p18_success_leaves_exactly_the_fleet_on_the_revision_and_nothing_borrowed(
        case in good(), lag in 0..=8u64,
    ) {
        let ran = run(&Case { lag: seconds(lag), ..case.clone() });
        prop_assert_eq!(ran.run.report.outcome, Outcome::Succeeded, "{:?}", ran.run.report.reason);
        is_tidy(&ran, case.config.instances as usize, "v2")?;
        prop_assert!(ran.run.report.borrowed.is_empty());
        let max = look(&ran.simulator).capacity.map(|capacity| capacity.max);
        prop_assert!(max.is_none_or(|max| max == case.config.instances));
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
            .map(|percentage| Checkpoint { percentage, pause, expires: None })
            .into();
        if failing {
            case.config.bad_revisions.insert("v2".into(), Behaviour::HalfUnhealthy);
            case.spec.failure_threshold = 3;
            case.spec.health.healthy_timeout = seconds(200);
            case.spec.on_failure = OnFailure::Rollback;
        }
        let ran = run(&case);
        if !failing {
            prop_assert_eq!(ran.run.report.outcome, Outcome::Succeeded, "{:?}", ran.run.report);
        }
        nothing_broken(&ran, 20)?;
        nothing_broken(&ran, 3)?;
    }

    #[test]
    fn p23_after_faults_cease_it_ends_in_time(
        case in good(), outage in (5..100u64, 1..200u64), every in 0..6u32,
    ) {
        let clean = run(&case).run.report.elapsed_ms;
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
        case in any_case(), ignored in 0..6usize, protected in 0..6usize, out in 0..4usize,
        rule in prop_oneof![Just(SetAside::Ignore), Just(SetAside::Wait)],
    ) {
        let mut case = case;
        case.spec.protected = rule;
        // Unmanaged instances are of the fleet because they are registered.
        let out = if case.config.unmanaged { 0 } else { out };
        for index in (1..=case.config.instances).skip(ignored).take(out) {
            let id = format!("i-{index:04}").as_str().into();
            case.config.events.push((seconds(5), Intervention::Deregister(id)));
        }
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

/// Returns how many instances of each revision live and serve.
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
