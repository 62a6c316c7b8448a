//! Instances that are left alone, or that somebody took out of rotation, get no requests by us, and
//! checkpoints are percentages of the others.

use std::sync::Arc;

use rolling::model::event::Outcome;
use rolling::model::spec::{
    BatchSize, Bound, Checkpoint, OnFailure, Pacing, Policy, RollingDeployment, SetAside,
};
use rolling_provider::{Action, InstanceId, TargetState};
use rolling_simulator::{Behaviour, FleetConfig, Intervention, Simulator};

use super::properties::{Case, block_on, look, run, run_killed, suspended};
use crate::test_fleets::Dies;
use crate::world::{Run, bad, fleet, roll, seconds, simulate, spec, traffic_steps};

pub fn policies() -> Vec<(Policy, Pacing)> {
    let (one, none) = (Bound::Count(1), Bound::Count(0));
    let size = BatchSize::Fixed(1);
    let batch = [
        Policy::Rolling(size),
        Policy::RollingWithAdditionalBatch(size),
        Policy::RollingWithin { surge: one, unavailable: none },
        Policy::Immutable,
        Policy::TrafficSplitting,
        Policy::BlueGreen { terminate_after: seconds(60) },
    ];
    let mut all: Vec<_> = batch.into_iter().map(|policy| (policy, Pacing::Batch)).collect();
    all.push((Policy::Rolling(size), Pacing::Continuous));
    all.push((Policy::RollingWithAdditionalBatch(size), Pacing::Continuous));
    all
}

/// Rolls six instances to v2.
fn rolled((policy, pacing): (Policy, Pacing), mut config: FleetConfig) -> (Run, Arc<Simulator>) {
    config.instances = 6;
    let suspend_processes = suspended(&mut config, policy);
    let simulator = simulate(config);
    let traffic_steps = match policy {
        Policy::TrafficSplitting => traffic_steps(&[(50, 60)]),
        _ => Vec::new(),
    };
    let (on_failure, protected) = (OnFailure::Rollback, SetAside::Ignore);
    let spec = spec(policy);
    let spec = RollingDeployment { pacing, suspend_processes, on_failure, protected, ..spec };
    let spec = RollingDeployment { traffic_steps, ..spec };
    let run = block_on(roll(Arc::clone(&simulator) as _, spec));
    (run, simulator)
}

fn assert_not_registered(run: &Run, ids: &[InstanceId], what: &str) {
    for action in run.actions() {
        let Action::Register { instances, .. } = action else { continue };
        assert!(!ids.iter().any(|id| instances.contains(id)), "{what}: {action}");
    }
}

#[test]
fn whoever_is_left_alone_or_taken_out_by_somebody_is_not_put_back() {
    for policy in policies() {
        for (protects, config) in [(true, fleet()), (false, bad(Behaviour::Unhealthy))] {
            let what = format!("{policy:?}, protected {protects}");
            let out = ["i-0001", "i-0002"].map(InstanceId::from);
            let mut events = Vec::new();
            for id in &out {
                if protects {
                    events.push((seconds(5), Intervention::Protect(id.clone(), true)));
                }
                events.push((seconds(5), Intervention::Deregister(id.clone())));
            }
            let (run, _) = rolled(policy, FleetConfig { events, ..config });
            let ours = run.actions().iter().any(|action| {
                matches!(action, Action::Deregister { instances, .. }
                    if out.iter().any(|id| instances.contains(id)))
            });
            if !ours {
                assert_not_registered(&run, &out, &what);
            }
        }
    }
}

#[test]
fn killed_at_each_mutation_no_engine_registers_whoever_is_left_alone() {
    let within = |surge, unavailable| Policy::RollingWithin {
        surge: Bound::Count(surge),
        unavailable: Bound::Count(unavailable),
    };
    let policies = [within(1, 2), within(2, 3), Policy::Rolling(BatchSize::Fixed(3))];
    for (policy, config) in
        policies.into_iter().flat_map(|it| [(it, fleet()), (it, bad(Behaviour::Unhealthy))])
    {
        let out = ["i-0001", "i-0002"].map(InstanceId::from);
        let both =
            [Intervention::Deregister as fn(InstanceId) -> _, |id| Intervention::Protect(id, true)];
        let events = out.iter().flat_map(|id| both.map(|act| (seconds(0), act(id.clone()))));
        let mut config = FleetConfig { instances: 6, events: events.collect(), ..config };
        let suspend_processes = suspended(&mut config, policy);
        let (on_failure, protected) = (OnFailure::Rollback, SetAside::Ignore);
        let spec = spec(policy);
        let spec = RollingDeployment { suspend_processes, on_failure, protected, ..spec };
        let case = Case { config, spec, lag: seconds(0) };
        let reference = run(&case);
        let mutations = u32::try_from(reference.run.actions().len()).expect("few");
        for at in 1..=mutations {
            let (outcome, simulator, broken) = run_killed(&case, &reference, at, Dies::After);
            let what = format!("{policy:?}, killed after {at}");
            assert_eq!(outcome, reference.run.report.outcome, "{what}");
            assert_eq!(broken, Vec::<String>::new(), "{what}");
            let look = look(&simulator);
            let mut targets = out.iter().flat_map(|id| look.instances[id].targets.values());
            assert!(targets.all(|health| health.state == TargetState::Draining), "{what}");
        }
    }
}

#[test]
fn a_checkpoint_is_a_percentage_of_those_that_are_to_be_new() {
    for (policy, left_alone, new) in [
        (Policy::Rolling(BatchSize::Fixed(1)), 2, 1),
        (Policy::RollingWithAdditionalBatch(BatchSize::Fixed(1)), 2, 1),
        (Policy::Rolling(BatchSize::Fixed(1)), 0, 3),
    ] {
        let simulator = simulate(FleetConfig { instances: 4, ..fleet() });
        for id in look(&simulator).instances.into_keys().take(left_alone) {
            simulator.intervene(Intervention::Protect(id, true)).expect("it");
        }
        let checkpoint = Checkpoint { percentage: 75, pause: None, expires: None };
        let spec = RollingDeployment {
            checkpoints: vec![checkpoint],
            protected: SetAside::Ignore,
            ..spec(policy)
        };
        let run = block_on(roll(Arc::clone(&simulator) as _, spec));
        let report = &run.report;
        assert_eq!(report.outcome, Outcome::Paused, "{policy:?}: {:?}", report.reason);
        let is_new = |i: &&rolling::model::event::InstanceReport| i.revision == Some("v2".into());
        assert_eq!(report.instances.iter().filter(is_new).count(), new, "{policy:?}");
    }
}
