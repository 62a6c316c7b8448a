//! Zones that are rolled one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use rolling::engine::Rollout;
use rolling::model::event::{Event, Outcome};
use rolling::model::spec::{BatchSize, Bound, Policy, RollingDeployment, Zones};
use rolling_provider::InstanceId;
use rolling_simulator::{FleetConfig, Intervention, Simulator};

use super::{any_case, block_on, look, nothing_broken, run, run_killed, settings, zones};
use crate::test_fleets::{Dies, Witness};
use crate::world::{Run, caller, fleet, roll, simulate, spec};

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn p28_one_zone_is_finished_before_the_next_begins(
        case in any_case(), dies in proptest::option::of((1..60u32, any::<bool>())),
    ) {
        let mut case = case;
        case.config.zones = case.config.zones.max(2);
        case.spec.zones = zones(case.spec.policy, case.spec.pacing);
        let reference = run(&case);
        nothing_broken(&reference, 28)?;
        nothing_broken(&reference, 1)?;
        if let Some((at, after)) = dies {
            let dies = if after { Dies::After } else { Dies::Before };
            let (_, _, broken) = run_killed(&case, &reference, at, dies);
            let broken: Vec<_> = broken.into_iter().filter(|it| it.starts_with("28:")).collect();
            prop_assert_eq!(broken, Vec::<String>::new());
        }
    }
}

/// Nine instances in three zones, and batches of two that go through them one by one.
fn nine() -> (Arc<Simulator>, RollingDeployment) {
    let simulator = simulate(FleetConfig { instances: 9, ..fleet() });
    let two = spec(Policy::Rolling(BatchSize::Fixed(2)));
    (simulator, RollingDeployment { zones: Zones::OneByOne, ..two })
}

/// Returns the instances of each batch that was begun.
fn batches(run: &Run) -> Vec<Vec<InstanceId>> {
    let begun = run.events.iter().filter_map(|envelope| match &envelope.event {
        Event::BatchStarted { instances, .. } => Some(instances.clone()),
        _ => None,
    });
    begun.collect()
}

#[test]
fn zones_are_rolled_in_the_order_of_their_names_as_the_preview_says() {
    let (simulator, spec) = nine();
    let zones: BTreeMap<_, _> =
        look(&simulator).instances.into_iter().map(|(id, instance)| (id, instance.zone)).collect();
    let rollout = block_on(Rollout::prepare(simulator.clone(), spec.clone(), &caller()));
    let planned = rollout.expect("a rollout").preview().batches;
    let run = block_on(roll(simulator, spec));
    let begun = batches(&run);
    assert_eq!(planned.into_iter().map(|batch| batch.replaces).collect::<Vec<_>>(), begun);
    let of: Vec<Vec<&str>> =
        begun.iter().map(|ids| ids.iter().map(|id| zones[id].as_str()).collect()).collect();
    let expected = [["a", "a"].as_slice(), &["a"], &["b", "b"], &["b"], &["c", "c"], &["c"]];
    assert_eq!(of, expected);
}

#[test]
fn the_witness_notices_batches_that_are_spread_over_zones() {
    let (simulator, one_by_one) = nine();
    block_on(async {
        let witness = Witness::new(simulator, one_by_one.clone()).await;
        let spread = RollingDeployment { zones: Zones::Spread, ..one_by_one };
        roll(witness.clone(), spread).await;
        assert!(!witness.broken(28).is_empty());
    });
}

#[test]
fn what_does_not_serve_is_replaced_first_in_whichever_zone_it_is() {
    let (simulator, mut spec) = nine();
    spec.policy = Policy::Rolling(BatchSize::Fixed(1));
    let broken = look(&simulator).instances.into_iter().find(|(_, it)| it.zone == "c");
    let (broken, _) = broken.expect("an instance of c");
    simulator.intervene(Intervention::Break(broken.clone(), true)).expect("it breaks");
    block_on(async {
        let witness = Witness::new(simulator, spec.clone()).await;
        let run = roll(witness.clone(), spec).await;
        assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report.reason);
        let first = run.events.iter().find_map(|envelope| match &envelope.event {
            Event::BatchStarted { instances, .. } => Some(instances.clone()),
            _ => None,
        });
        assert_eq!(first, Some(vec![broken]));
        assert_eq!(witness.broken(0), Vec::<String>::new());
    });
}

/// Thirty percent of nine are two, and of each zone of three one: its own floor is kept, too.
#[test]
fn each_zone_keeps_the_floor_that_the_policy_gives_for_its_instances() {
    let within = |unavailable| Policy::RollingWithin { surge: Bound::Count(0), unavailable };
    for (policy, size, most) in [
        (Policy::Rolling(BatchSize::Percentage(30)), 9, 1),
        (Policy::Rolling(BatchSize::Percentage(70)), 9, 2),
        (Policy::Rolling(BatchSize::Percentage(30)), 30, 3),
        (within(Bound::Percent(25)), 12, 1),
        (Policy::Rolling(BatchSize::Fixed(2)), 9, 2),
    ] {
        let simulator = simulate(FleetConfig { instances: size, ..fleet() });
        let spec = RollingDeployment { zones: Zones::OneByOne, ..spec(policy) };
        let rollout = block_on(Rollout::prepare(simulator.clone(), spec.clone(), &caller()));
        let planned = rollout.expect("a rollout").preview().batches;
        let run = block_on(roll(simulator, spec));
        assert_eq!(run.report.outcome, Outcome::Succeeded, "{policy:?}: {:?}", run.report.reason);
        let begun = batches(&run);
        let largest = begun.iter().map(Vec::len).max();
        assert_eq!(largest, Some(most), "{policy:?} of {size}: {begun:?}");
        assert_eq!(planned.into_iter().map(|batch| batch.replaces).collect::<Vec<_>>(), begun);
    }
}
