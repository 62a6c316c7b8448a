//! A rollback answers for what the rollout did, and not for what was ill before.

use proptest::prelude::*;
use rolling::model::event::Outcome;
use rolling::model::spec::{BatchSize, OnFailure, Pacing, Policy, RollingDeployment};
use rolling_provider::InstanceId;
use rolling_simulator::{Behaviour, FleetConfig, Intervention, Simulator};

use super::left_alone::policies;
use super::properties::{Case, Ran, behaviours, good, look, run, run_killed, settings, suspended};
use crate::test_fleets::Dies;
use crate::world::{bad, seconds, spec, traffic_steps};

/// Breaks instances before the rollout begins.
fn breaks(ids: &[&str]) -> Vec<(std::time::Duration, Intervention)> {
    let breaks = |id: &&str| (seconds(0), Intervention::Break(InstanceId::new(*id), true));
    ids.iter().map(breaks).collect()
}

/// Six instances of which three are ill, and a bad v2.
fn case((policy, pacing): (Policy, Pacing)) -> Case {
    let events = breaks(&["i-0003", "i-0004", "i-0005"]);
    let mut config = FleetConfig { instances: 6, events, ..bad(Behaviour::Unhealthy) };
    let suspend_processes = suspended(&mut config, policy);
    let traffic_steps = match policy {
        Policy::TrafficSplitting => traffic_steps(&[(50, 60)]),
        _ => Vec::new(),
    };
    let on_failure = OnFailure::Rollback;
    let spec = spec(policy);
    let spec = RollingDeployment { pacing, suspend_processes, on_failure, traffic_steps, ..spec };
    Case { config, spec, lag: seconds(0) }
}

fn assert_restored(simulator: &Simulator, outcome: Outcome, what: &str) {
    assert_eq!(outcome, Outcome::RolledBack, "{what}");
    let look = look(simulator);
    let live = || look.instances.values().filter(|instance| instance.lifecycle.is_live());
    assert_eq!(live().count(), 6, "{what}");
    assert!(live().all(|instance| instance.revision == Some("v1".into())), "{what}");
    assert!(look.suspended.is_empty() && look.record.is_empty(), "{what}: {:?}", look.record);
}

fn reason(ran: &Ran) -> &str {
    ran.run.report.reason.as_deref().unwrap_or_default()
}

#[test]
fn what_was_ill_before_the_rollout_does_not_fail_its_rollback() {
    for policy in policies() {
        let what = format!("{policy:?}");
        let ran = run(&case(policy));
        let outcome = ran.run.report.outcome;
        assert_restored(&ran.simulator, outcome, &format!("{what}: {}", reason(&ran)));
        assert_eq!(ran.witness.broken(0), Vec::<String>::new(), "{what}");
    }
}

#[test]
fn killed_at_each_mutation_a_rollback_beside_ill_instances_comes_to_its_end() {
    for policy in policies() {
        let case = case(policy);
        let reference = run(&case);
        let mutations = u32::try_from(reference.run.actions().len()).expect("few");
        for at in 1..=mutations {
            let (outcome, simulator, broken) = run_killed(&case, &reference, at, Dies::After);
            let what = format!("{policy:?}, killed after {at}");
            assert_restored(&simulator, outcome, &what);
            assert_eq!(broken, Vec::<String>::new(), "{what}");
        }
    }
}

/// A revision of which half of all instances do not become healthy is not blamed for those that the
/// fleet had before.
#[test]
fn a_revision_that_is_half_unhealthy_is_restored_where_nothing_of_it_has_to_be_launched() {
    let policy = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(1));
    let mut case = case((policy, Pacing::Batch));
    case.config.events.clear();
    case.config.bad_revisions.insert("v1".into(), Behaviour::HalfUnhealthy);
    let ran = run(&case);
    assert_restored(&ran.simulator, ran.run.report.outcome, reason(&ran));
}

proptest! {
    #![proptest_config(settings())]

    /// Whoever was ill before: a rollback that launches good instances restores the revision, also
    /// where its engine is killed.
    #[test]
    fn what_was_ill_before_keeps_no_rollback_from_its_end(
        case in good(), behaviour in behaviours(), at in 1u32..60,
        ill in proptest::collection::btree_set(0..11usize, 1..4),
    ) {
        let mut case: Case = case;
        case.config.unmanaged = false;
        case.lag = seconds(0);
        case.spec.suspend_processes = suspended(&mut case.config, case.spec.policy);
        case.spec.on_failure = OnFailure::Rollback;
        case.spec.health.healthy_timeout = seconds(300);
        case.config.bad_revisions.insert("v2".into(), behaviour);
        let ids = ill.iter().map(|index| format!("i-{:04}", 1 + index % case.config.instances as usize));
        let ids: Vec<String> = ids.collect();
        case.config.events = breaks(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        let ran = run(&case);
        prop_assert!(!reason(&ran).contains("restored revision failed"), "{}", reason(&ran));
        prop_assert_eq!(ran.witness.broken(0), Vec::<String>::new());
        // One that comes and goes may fail at another time, or not at all.
        let is_steady = !matches!(behaviour, Behaviour::Flap);
        if !is_steady || ran.run.report.outcome != Outcome::RolledBack {
            return Ok(());
        }
        let (outcome, simulator, broken) = run_killed(&case, &ran, at, Dies::After);
        prop_assert_eq!(broken, Vec::<String>::new());
        prop_assert_eq!(outcome, Outcome::RolledBack);
        let look = look(&simulator);
        let mut live = look.instances.values().filter(|i| i.lifecycle.is_live());
        prop_assert!(live.all(|i| i.revision == Some("v1".into())));
        prop_assert!(look.record.is_empty());
    }
}
