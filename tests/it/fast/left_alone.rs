//! Instances that are left alone, or that somebody took out of rotation, get no requests by us, and
//! checkpoints are percentages of the others.

use std::sync::Arc;

use proptest::prelude::*;
use rolling::model::event::Outcome;
use rolling::model::spec::{
    BatchSize, Bound, Checkpoint, OnFailure, Pacing, Policy, RollingDeployment, SetAside,
};
use rolling_provider::{Action, InstanceId, TargetState};
use rolling_simulator::{Behaviour, FleetConfig, Intervention, Simulator};

use super::properties::{Case, block_on, good, look, run, run_killed, settings, suspended};
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

/// Somebody takes the last two of six instances out, and protects them.
fn taken_out(config: FleetConfig, at: u64, rule: SetAside, policy: Policy) -> Case {
    let both =
        [Intervention::Deregister as fn(InstanceId) -> _, |id| Intervention::Protect(id, true)];
    let events = OUT.iter().flat_map(|id| both.map(|act| (seconds(at), act(InstanceId::new(*id)))));
    let mut config = FleetConfig { instances: 6, events: events.collect(), ..config };
    let suspend_processes = suspended(&mut config, policy);
    let (on_failure, protected) = (OnFailure::Rollback, rule);
    let spec = spec(policy);
    let spec = RollingDeployment { suspend_processes, on_failure, protected, ..spec };
    Case { config, spec, lag: seconds(0) }
}

const OUT: [&str; 2] = ["i-0005", "i-0006"];

#[test]
fn killed_at_each_mutation_no_engine_takes_those_for_its_own_whom_somebody_took_out() {
    let within = |surge, unavailable| Policy::RollingWithin {
        surge: Bound::Count(surge),
        unavailable: Bound::Count(unavailable),
    };
    let policies = [within(1, 2), within(2, 3), Policy::Rolling(BatchSize::Fixed(3))];
    let configs = || [fleet(), bad(Behaviour::Unhealthy)];
    let cases = policies.into_iter().flat_map(|policy| {
        [(0, SetAside::Ignore), (20, SetAside::Ignore), (20, SetAside::Wait)]
            .into_iter()
            .flat_map(move |(at, rule)| configs().map(|config| taken_out(config, at, rule, policy)))
    });
    for case in cases {
        let reference = run(&case);
        let mutations = u32::try_from(reference.run.actions().len()).expect("few");
        for at in 1..=mutations {
            let (outcome, simulator, broken) = run_killed(&case, &reference, at, Dies::After);
            let (policy, rule) = (case.spec.policy, case.spec.protected);
            let what = format!("{policy:?}, {rule:?}, killed after {at}");
            assert_eq!(outcome, reference.run.report.outcome, "{what}");
            assert_eq!(broken, Vec::<String>::new(), "{what}");
            let look = look(&simulator);
            let out = OUT.iter().map(|id| &look.instances[&InstanceId::new(*id)]);
            let mut targets = out.flat_map(|instance| instance.targets.values());
            assert!(targets.all(|health| health.state == TargetState::Draining), "{what}");
        }
    }
}

#[test]
fn killed_at_each_mutation_no_engine_puts_back_whom_somebody_took_out_after_it_came_back() {
    for rule in [SetAside::Ignore, SetAside::Wait] {
        let protected = InstanceId::new("i-0001");
        let mut case = taken_out(fleet(), 0, rule, Policy::Rolling(BatchSize::Fixed(2)));
        // It goes back into rotation, since it is protected; then somebody takes it out.
        case.config.events = vec![
            (seconds(5), Intervention::Protect(protected.clone(), true)),
            (seconds(45), Intervention::Deregister(protected.clone())),
        ];
        let reference = run(&case);
        let actions = reference.run.actions();
        let back = actions.iter().filter(|action| {
            matches!(action, Action::Register { instances, .. } if instances.contains(&protected))
        });
        assert_eq!(back.count(), 1, "{rule:?}");
        let mutations = u32::try_from(actions.len()).expect("few");
        for at in 1..=mutations {
            let (_, simulator, broken) = run_killed(&case, &reference, at, Dies::After);
            assert_eq!(broken, Vec::<String>::new(), "{rule:?}, killed after {at}");
            let look = look(&simulator);
            let mut targets = look.instances[&protected].targets.values();
            let is_out = targets.all(|health| health.state == TargetState::Draining);
            assert!(is_out, "{rule:?}, killed after {at}");
        }
    }
}

proptest! {
    #![proptest_config(settings())]

    /// Whenever somebody takes an instance out, and whenever an engine dies: no other engine registers
    /// it, and where it is protected it stays.
    #[test]
    fn whoever_takes_an_instance_out_an_engine_that_takes_over_knows_that_it_was_not_us(
        case in good(), when in 1..150u64, who in 0..11usize, protects in any::<bool>(),
        at in 1u32..40, fails in any::<bool>(),
        rule in prop_oneof![Just(SetAside::Ignore), Just(SetAside::Wait)],
    ) {
        let mut case: Case = case;
        // Unmanaged instances are of the fleet because they are registered.
        case.config.unmanaged = false;
        case.lag = seconds(0);
        case.spec.suspend_processes = suspended(&mut case.config, case.spec.policy);
        case.spec.protected = rule;
        case.spec.on_failure = OnFailure::Rollback;
        if fails {
            case.config.bad_revisions.insert("v2".into(), Behaviour::Unhealthy);
        }
        let who = InstanceId::new(format!("i-{:04}", 1 + who % case.config.instances as usize));
        if protects {
            case.config.events.push((seconds(when), Intervention::Protect(who.clone(), true)));
        }
        case.config.events.push((seconds(when), Intervention::Deregister(who.clone())));
        let ran = run(&case);
        prop_assert_eq!(ran.witness.broken(25), Vec::<String>::new());
        let (_, _, broken) = run_killed(&case, &ran, at, Dies::After);
        let broken: Vec<&String> = broken.iter().filter(|it| it.starts_with("25:")).collect();
        prop_assert_eq!(broken, Vec::<&String>::new());
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
