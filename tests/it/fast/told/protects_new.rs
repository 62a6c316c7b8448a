//! A fleet that protects from scale-in whatever it launches: what a rollout launched there is protected
//! by nobody, and goes like any other. What was there before is protected as if somebody had done it.

use std::sync::Arc;

use rolling::engine::Rollout;
use rolling::model::event::Outcome;
use rolling::model::spec::{
    BatchSize, Bound, OnFailure, Pacing, Policy, RollingDeployment, SetAside,
};
use rolling_provider::{Fleet, Lifecycle};
use rolling_simulator::{Behaviour, FleetConfig, Intervention, Simulator};

use crate::fast::left_alone::policies;
use crate::fast::properties::{block_on, look, suspended};
use crate::world::{bad, caller, fleet, roll, simulate, spec, traffic_steps};

const RULES: [SetAside; 3] = [SetAside::Wait, SetAside::Ignore, SetAside::Refresh];

fn deployment(
    (policy, pacing): (Policy, Pacing),
    protected: SetAside,
    config: &mut FleetConfig,
) -> RollingDeployment {
    (config.instances, config.protects_new) = (4, true);
    let suspend_processes = suspended(config, policy);
    let traffic_steps = match policy {
        Policy::TrafficSplitting => traffic_steps(&[(50, 60)]),
        _ => Vec::new(),
    };
    let on_failure = OnFailure::Rollback;
    let spec = spec(policy);
    RollingDeployment { pacing, protected, on_failure, suspend_processes, traffic_steps, ..spec }
}

fn on(simulator: &Simulator, revision: &str) -> usize {
    let look = look(simulator);
    let live = look.instances.values().filter(|it| it.lifecycle == Lifecycle::InService);
    live.filter(|it| it.revision == Some(revision.into())).count()
}

#[test]
fn a_bad_revision_that_is_born_protected_goes_and_a_good_one_leaves_no_surplus() {
    let surge = Policy::RollingWithin { surge: Bound::Count(2), unavailable: Bound::Count(1) };
    for policy in policies().into_iter().chain([(surge, Pacing::Batch)]) {
        for rule in RULES {
            for (mut config, outcome, v1, v2) in [
                (bad(Behaviour::Unhealthy), Outcome::RolledBack, 4, 0),
                (fleet(), Outcome::Succeeded, 0, 4),
            ] {
                let what = format!("{policy:?}, {rule:?}, {outcome:?}");
                let spec = deployment(policy, rule, &mut config);
                let simulator = simulate(config);
                let report = block_on(roll(Arc::clone(&simulator) as _, spec)).report;
                assert_eq!(report.outcome, outcome, "{what}: {:?}", report.reason);
                assert_eq!((on(&simulator, "v1"), on(&simulator, "v2")), (v1, v2), "{what}");
                assert!(report.left_alone.is_empty(), "{what}: {report:?}");
                let reason = report.reason.unwrap_or_default();
                assert!(!reason.contains("protected"), "{what}: {reason}");
            }
        }
    }
}

#[test]
fn whoever_was_there_before_is_subject_to_the_rule_and_a_plan_says_what_comes_next() {
    let one = (Policy::Rolling(BatchSize::Fixed(1)), Pacing::Batch);
    for (rule, next) in [
        (SetAside::Wait, Some("the next one waits for it")),
        (SetAside::Ignore, Some("the next one leaves it as it is")),
        (SetAside::Refresh, None),
    ] {
        let mut config = fleet();
        let spec = deployment(one, rule, &mut config);
        let simulator = simulate(config);
        let first = look(&simulator).instances.into_keys().next().expect("one");
        simulator.intervene(Intervention::Protect(first.clone(), true)).expect("it");
        let fleet: Arc<dyn Fleet> = Arc::clone(&simulator) as _;
        let rollout = block_on(Rollout::look_up(fleet, spec.clone(), &caller())).expect("it");
        let warnings = rollout.preview().warnings;
        let told = warnings.iter().find(|it| it.contains("protects from scale-in whatever"));
        assert_eq!(told.is_some(), next.is_some(), "{rule:?}: {warnings:?}");
        assert!(next.is_none_or(|next| told.is_some_and(|it| it.contains(next))), "{told:?}");
        let report = block_on(roll(Arc::clone(&simulator) as _, spec)).report;
        let expected = match rule {
            SetAside::Wait => (Outcome::Failed, 1),
            SetAside::Ignore => (Outcome::Succeeded, 1),
            SetAside::Refresh => (Outcome::Succeeded, 0),
        };
        assert_eq!((report.outcome, on(&simulator, "v1")), expected, "{rule:?} {report:?}");
    }
}
