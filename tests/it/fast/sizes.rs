//! Sizes that others set while a rollout is under way, at any time, live or after a restart: the
//! fleet ends with the size they set last, and the engine takes no more out of service than the
//! policy allows.
//!
//! `PROPTEST_CASES=20000 PROPTEST_RNG_SEED=1 cargo test --test it -- fast::sizes` runs many more.

mod scribe;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;
use rolling::model::event::Outcome;
use rolling::model::spec::{BatchSize, Bound, OnFailure, Pacing, Policy, RollingDeployment};
use rolling_provider::Instance;
use rolling_simulator::{EPOCH, FleetConfig, Simulator, VirtualClock};

use self::scribe::{Scribe, Write, carry_out};
use super::properties::{Case, behaviours, block_on, good, look, settings};
use crate::test_fleets::{Dies, Mortal, Stale, Witness, count_serving};
use crate::world::{Run, fleet, roll, seconds, simulate, spec};

/// Writes by others, each in its second, one after the other.
type Writes = Vec<(u64, Vec<Write>)>;

/// How a run ended.
struct RunEnd {
    run: Option<Run>,
    simulator: Arc<Simulator>,
    witness: Arc<Witness>,
    scribe: Arc<Scribe>,
    was_killed: bool,
}

/// Runs `case` while others write; with `kill` the engine dies at that mutation, `meanwhile` is
/// written, and another engine goes on.
fn run(case: &Case, writes: &Writes, kill: Option<(u32, Dies)>, meanwhile: &[Write]) -> RunEnd {
    block_on(async {
        let clock = Arc::new(VirtualClock::new(EPOCH));
        let simulator = Arc::new(Simulator::in_memory(case.config.clone(), clock.clone()));
        let witness = Witness::new(simulator.clone(), case.spec.clone()).await;
        let scribe = Scribe::new(witness.clone(), case.spec.poll_interval);
        for (at, writes) in writes.clone() {
            let (simulator, scribe) = (simulator.clone(), scribe.clone());
            clock.at(EPOCH + seconds(at), move || {
                for write in writes {
                    carry_out(&simulator, scribe.meant(), write);
                }
            });
        }
        let stale = Stale::new(scribe.clone(), case.lag);
        let (at, dies) = kill.unwrap_or((0, Dies::Before));
        let mortal = Mortal::new(stale.clone(), at, dies);
        let first = mortal.survive(roll(mortal.clone(), case.spec.clone())).await;
        let was_killed = first.is_none();
        let run = match first {
            Some(run) => Some(run),
            None => {
                for write in meanwhile {
                    carry_out(&simulator, scribe.meant(), *write);
                }
                scribe.hand_over(&look(&simulator));
                Some(roll(stale, case.spec.clone()).await)
            }
        };
        RunEnd { run, simulator, witness, scribe, was_killed }
    })
}

/// Checks that the fleet is as others want it, and that the engine never lowered it below what the
/// policy allows.
fn holds(case: &Case, ended: &RunEnd) -> Result<(), TestCaseError> {
    let run = ended.run.as_ref().expect("an end");
    run.assert_looks_seldom(case.spec.poll_interval);
    let report = &run.report;
    let after = look(&ended.simulator);
    let what = || format!("{:?} of {:?}\n{:#?}", report.reason, report.outcome, after.capacity);
    prop_assert_eq!(ended.witness.broken(1), Vec::<String>::new());
    prop_assert_eq!(ended.witness.broken(5), Vec::<String>::new());
    let reason = report.reason.as_deref().unwrap_or_default();
    prop_assert!(!reason.contains("safety check"), "{}", what());
    if case.config.bad_revisions.is_empty() {
        prop_assert_eq!(report.outcome, Outcome::Succeeded, "{}", what());
    }
    if report.outcome == Outcome::Paused {
        return Ok(());
    }
    let (size, meant) = (after.desired(), ended.scribe.meant());
    prop_assert!(ended.scribe.is_meant(size), "{} of {} in {}", size, meant, what());
    let max = ended.scribe.max().max(size);
    // A maximum that an engine gave back before it died stays, although the size is lowered
    // afterwards.
    let is_back = after.max() == max || (ended.was_killed && after.max() > max);
    prop_assert!(is_back, "{} in {}", max, what());
    if report.elapsed_ms == 0 {
        // The previous engine had done all there was to do.
        return Ok(());
    }
    let live = after.instances.values().filter(|i| i.lifecycle.is_live()).count();
    prop_assert_eq!(live, size as usize, "{}", what());
    if report.outcome == Outcome::Succeeded {
        prop_assert_eq!(count_serving(&after), size as usize, "{}", what());
        let is_new = |i: &Instance| !i.lifecycle.is_live() || i.revision == Some("v2".into());
        prop_assert!(after.instances.values().all(is_new), "{}", what());
    }
    Ok(())
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        3 => Just(Write::Meant),
        1 => Just(Write::WithSurge),
        1 => Just(Write::Size(0)),
        3 => (0..=14u32).prop_map(Write::Size),
        1 => (0..=14u32).prop_map(Write::Min),
        1 => (0..=14u32).prop_map(Write::Max),
    ]
}

fn writes() -> impl Strategy<Value = Writes> {
    let some = proptest::collection::vec(write(), 1..=2);
    proptest::collection::vec((2..260u64, some), 1..=3)
}

/// Any fleet with a size, which scales in its oldest or its newest instances.
fn cases() -> impl Strategy<Value = Case> {
    (good(), any::<bool>(), proptest::option::weighted(0.25, behaviours())).prop_map(
        |(mut case, scales_in_newest, bad)| {
            case.config.unmanaged = false;
            case.config.scales_in_newest = scales_in_newest;
            case.spec.suspend_processes =
                super::properties::suspended(&mut case.config, case.spec.policy);
            if let Some(bad) = bad {
                case.config.bad_revisions.insert("v2".into(), bad);
                case.spec.on_failure = OnFailure::Rollback;
                case.spec.health.healthy_timeout = seconds(300);
            }
            case
        },
    )
}

proptest! {
    #![proptest_config(many())]

    #[test]
    fn p21_a_fleet_ends_with_the_size_that_others_set_last(case in cases(), writes in writes()) {
        holds(&case, &run(&case, &writes, None, &[]))?;
    }

    #[test]
    fn it_ends_with_that_size_when_another_engine_goes_on(
        case in cases(), writes in writes(), at in 1..60u32, after in any::<bool>(),
        meanwhile in proptest::option::of(write()),
    ) {
        let dies = if after { Dies::After } else { Dies::Before };
        let meanwhile: Vec<Write> = meanwhile.into_iter().collect();
        holds(&case, &run(&case, &writes, Some((at, dies)), &meanwhile))?;
    }
}

/// Four instances whose surge and batches take a few ticks each.
fn four(policy: Policy, pacing: Pacing) -> Case {
    let config = FleetConfig { instances: 4, ..fleet() };
    let mut spec = RollingDeployment { pacing, ..spec(policy) };
    spec.poll_interval = seconds(5);
    Case { config, spec, lag: Duration::ZERO }
}

#[test]
fn whatever_is_set_right_before_any_look_is_what_the_fleet_ends_with() {
    let surge = Policy::RollingWithin { surge: Bound::Count(2), unavailable: Bound::Count(0) };
    let stories = [
        four(Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3)), Pacing::Batch),
        four(Policy::Immutable, Pacing::Batch),
        four(surge, Pacing::Continuous),
    ];
    let writes = [
        Write::Meant,
        Write::Size(0),
        Write::Size(3),
        Write::Size(5),
        Write::Size(9),
        Write::Min(5),
        Write::Max(3),
    ];
    let mut runs = 0;
    for case in &stories {
        for write in writes {
            for number in 1.. {
                let ended = run_at_look(case, number, write);
                // What is set while the record is erased does not matter here.
                if ended.scribe.looks.load(Ordering::Relaxed) < number + 2 {
                    break;
                }
                if let Err(error) = holds(case, &ended) {
                    panic!("{:?}: {write:?} before look {number}: {error}", case.spec.policy);
                }
                runs += 1;
            }
        }
    }
    assert!(runs > 200, "{runs} runs");
}

fn run_at_look(case: &Case, number: u32, write: Write) -> RunEnd {
    block_on(async {
        let simulator = simulate(case.config.clone());
        let witness = Witness::new(simulator.clone(), case.spec.clone()).await;
        let scribe = Scribe::new(witness.clone(), case.spec.poll_interval);
        *scribe.at_look.lock().expect("it") = Some((number, simulator.clone(), write));
        let run = Some(roll(scribe.clone(), case.spec.clone()).await);
        RunEnd { run, simulator, witness, scribe, was_killed: false }
    })
}

/// A thousand cases of each in the gate.
fn many() -> ProptestConfig {
    let settings = settings();
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig { cases: if asked { settings.cases } else { 1000 }, ..settings }
}
