//! Groups whose instances count by weights: the floor counts units. The planner alone, against a
//! fleet that launches instances of any weight for those that go.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rolling::model::spec::{BatchSize, Bound, Policy, RollingDeployment};
use rolling_provider::{Capacity, Instance, InstanceId, Observation, TargetState, Units};

use crate::fast::planner::{instance, look, planned};
use crate::world::{seconds, spec};

type Instances = BTreeMap<InstanceId, Instance>;

fn weighing(revision: &str, units: u32) -> Instance {
    Instance { units, ..instance(revision, "a", TargetState::Healthy, 10_000) }
}

/// A fleet of `desired` units that is whole, so that as many instances are wanted as there are.
fn seen(instances: &Instances, desired: u32) -> Observation {
    let live = u32::try_from(instances.len()).expect("few");
    let units = Some(Units { desired, heaviest: 4 });
    let capacity = Some(Capacity { min: 0, max: 100, desired: live, units });
    Observation { capacity, ..look(instances.clone()) }
}

/// A deployment in which whatever serves counts at once.
fn at_once(policy: Policy) -> RollingDeployment {
    let mut spec = spec(policy);
    spec.health.min_healthy_time = seconds(0);
    spec
}

fn units(instances: &Instances) -> u32 {
    instances.values().map(|instance| instance.units).sum()
}

/// Rolls a fleet to its end, with the weights of `launched` for what the group launches, in turn.
/// Returns the least that served, and the number of instances that each batch took.
fn rolled(policy: Policy, weights: &[u32], launched: &[u32]) -> (u32, Vec<usize>) {
    let mut instances: Instances = (0..)
        .zip(weights)
        .map(|(n, units)| (InstanceId::new(format!("i-{n:02}")), weighing("v1", *units)))
        .collect();
    let (desired, mut launched) = (units(&instances), launched.iter().cycle().zip(100..));
    let (mut least, mut batches) = (desired, Vec::new());
    while instances.values().any(|instance| instance.revision == Some("v1".into())) {
        let plan = planned(&seen(&instances, desired), &at_once(policy));
        let victims = plan.begins.expect("a whole fleet goes on").victims;
        assert!(!victims.is_empty());
        batches.push(victims.len());
        instances.retain(|id, _| !victims.contains(id));
        least = least.min(units(&instances));
        while units(&instances) < desired {
            let (units, number) = launched.next().expect("endless");
            instances.insert(InstanceId::new(format!("i-{number}")), weighing("v2", *units));
        }
    }
    (least, batches)
}

fn policies() -> impl Strategy<Value = Policy> {
    let within = |unavailable| Policy::RollingWithin { surge: Bound::Count(0), unavailable };
    prop_oneof![
        (1..=100u32).prop_map(|percent| Policy::Rolling(BatchSize::Percentage(percent))),
        (1..6u32).prop_map(|size| Policy::Rolling(BatchSize::Fixed(size))),
        (1..=100u32).prop_map(move |percent| within(Bound::Percent(percent))),
        (1..6u32).prop_map(move |size| within(Bound::Count(size))),
    ]
}

/// Returns how many of `desired` units may be out: what the policy says, and one instance.
fn may_be_out(policy: Policy, desired: u32) -> u32 {
    match policy {
        Policy::Rolling(BatchSize::Percentage(percent))
        | Policy::RollingWithin { unavailable: Bound::Percent(percent), .. } => {
            (desired * percent / 100).max(4)
        }
        Policy::Rolling(BatchSize::Fixed(size))
        | Policy::RollingWithin { unavailable: Bound::Count(size), .. } => size * 4,
        _ => unreachable!("not drawn"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        rng_seed: RngSeed::Fixed(19),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_rollout_takes_no_greater_share_of_the_units_than_of_the_instances(
        policy in policies(),
        weights in prop::collection::vec(1..=4u32, 1..24),
        launched in prop::collection::vec(1..=4u32, 1..24),
    ) {
        let desired: u32 = weights.iter().sum();
        let (least, _) = rolled(policy, &weights, &launched);
        let floor = desired.saturating_sub(may_be_out(policy, desired));
        prop_assert!(least >= floor, "{least} of {desired} units served, not {floor}");
    }
}

#[test]
fn light_instances_go_many_at_a_time_and_heavy_ones_one_by_one() {
    let third = Policy::Rolling(BatchSize::Percentage(30));
    // Twenty units: thirty percent are six of one unit, or one of four.
    assert_eq!(rolled(third, &[1; 20], &[1]), (14, vec![6, 6, 6, 2]));
    assert_eq!(rolled(third, &[4; 5], &[4]), (16, vec![1; 5]));
    // Once heavy ones have come, six of them are not six units any more.
    let (least, batches) = rolled(third, &[1; 20], &[4]);
    assert!(least >= 14 && batches[0] == 6, "{least}, {batches:?}");
}

#[test]
fn an_instance_of_half_of_the_units_goes_only_while_all_the_others_serve() {
    let one = Policy::Rolling(BatchSize::Fixed(1));
    assert_eq!(rolled(one, &[4, 2, 2], &[4]).0, 4);
    let mut instances =
        Instances::from([("i-1".into(), weighing("v1", 4)), ("i-2".into(), weighing("v1", 4))]);
    assert!(planned(&seen(&instances, 8), &at_once(one)).begins.is_some());
    let idle = instance("v2", "a", TargetState::Unhealthy, 5);
    instances.insert("i-3".into(), Instance { units: 1, ..idle });
    assert!(planned(&seen(&instances, 9), &at_once(one)).begins.is_none());
}
