//! A rollback restores what the rollout changed, and nothing else: what was ill before, or taken out
//! by somebody, neither fails it nor holds it up, and is not put back under requests.

use std::sync::Arc;

use proptest::prelude::*;
use rolling::model::event::{Event, Outcome, Report};
use rolling::model::spec::{
    BatchSize, Bound, Checkpoint, OnFailure, Pacing, Policy, RollingDeployment, SetAside,
};
use rolling::model::wait::WaitKind;
use rolling_provider::{Action, InstanceId};
use rolling_simulator::{Behaviour, FleetConfig, Intervention, Simulator};

use super::properties::{Case, behaviours, block_on, good, look, run_with, settings, suspended};
use crate::world::{Run, bad, fleet, roll, seconds, simulate, spec, traffic_steps};

fn policies() -> Vec<(Policy, Pacing)> {
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

/// Rolls six instances to a v2, after `meanwhile`.
fn rolled(
    (policy, pacing): (Policy, Pacing),
    mut config: FleetConfig,
    meanwhile: impl FnOnce(&Simulator, &[InstanceId]),
) -> (Run, Arc<Simulator>) {
    config.instances = 6;
    let suspend_processes = suspended(&mut config, policy);
    let simulator = simulate(config);
    let ids: Vec<InstanceId> = look(&simulator).instances.keys().cloned().collect();
    meanwhile(&simulator, &ids);
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

fn assert_restored(report: &Report, simulator: &Simulator, what: &str) {
    assert_eq!(report.outcome, Outcome::RolledBack, "{what}: {:?}", report.reason);
    let look = look(simulator);
    let live = || look.instances.values().filter(|instance| instance.lifecycle.is_live());
    assert_eq!(live().count(), 6, "{what}");
    assert!(live().all(|instance| instance.revision == Some("v1".into())), "{what}");
    assert!(look.suspended.is_empty() && look.record.is_empty(), "{what}");
}

fn assert_not_registered(run: &Run, ids: &[InstanceId], what: &str) {
    for action in run.actions() {
        let Action::Register { instances, .. } = action else { continue };
        assert!(!ids.iter().any(|id| instances.contains(id)), "{what}: {action}");
    }
}

#[test]
fn what_was_ill_before_the_rollout_does_not_fail_its_rollback() {
    for policy in policies() {
        let (run, simulator) = rolled(policy, bad(Behaviour::Unhealthy), |simulator, ids| {
            for id in &ids[2..5] {
                simulator.intervene(Intervention::Break(id.clone(), true)).expect("it");
            }
        });
        assert_restored(&run.report, &simulator, &format!("{policy:?}"));
    }
}

#[test]
fn an_instance_that_somebody_took_out_neither_holds_a_rollback_up_nor_is_put_back() {
    for policy in policies() {
        let what = format!("{policy:?}");
        let mut out = Vec::new();
        let (run, simulator) = rolled(policy, bad(Behaviour::Unhealthy), |simulator, ids| {
            out.extend_from_slice(&ids[2..4]);
            for id in &out {
                simulator.intervene(Intervention::Deregister(id.clone())).expect("it");
            }
        });
        assert_restored(&run.report, &simulator, &what);
        assert_not_registered(&run, &out, &what);
        let minutes = run.report.elapsed_ms / 60_000;
        assert!(minutes < 16, "{what}: {minutes} minutes, of which a failure takes ten");
    }
}

#[test]
fn an_instance_that_is_left_alone_is_not_put_back_at_the_end() {
    for policy in policies() {
        let what = format!("{policy:?}");
        let mut out = Vec::new();
        let (run, _) = rolled(policy, fleet(), |simulator, ids| {
            out.extend_from_slice(&ids[..2]);
            for id in &out {
                simulator.intervene(Intervention::Protect(id.clone(), true)).expect("it");
                simulator.intervene(Intervention::Deregister(id.clone())).expect("it");
            }
        });
        assert_not_registered(&run, &out, &what);
        let waits = run.events.iter().filter_map(|event| match &event.event {
            Event::Waiting { on } => Some(on),
            _ => None,
        });
        // None of them was put back, and who goes is not waited for.
        let returns = waits.flatten().filter(|wait| wait.kind == WaitKind::Return).count();
        assert_eq!(returns, 0, "{what}");
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

proptest! {
    #![proptest_config(settings())]

    /// Whoever was ill or out of rotation before: a rollback restores the revision.
    #[test]
    fn what_was_so_before_does_not_keep_a_rollback_from_its_end(
        case in good(), behaviour in behaviours(),
        before in proptest::collection::vec((0..11usize, any::<bool>()), 1..4),
    ) {
        let mut case: Case = case;
        case.config.unmanaged = false;
        case.spec.suspend_processes = suspended(&mut case.config, case.spec.policy);
        case.spec.on_failure = OnFailure::Rollback;
        case.spec.health.healthy_timeout = seconds(300);
        case.config.bad_revisions.insert("v2".into(), behaviour);
        let ran = run_with(&case, |_, simulator, _| {
            let ids: Vec<InstanceId> = look(simulator).instances.keys().cloned().collect();
            for (index, is_out) in &before {
                let id = ids[index % ids.len()].clone();
                let way = match is_out {
                    true => Intervention::Deregister(id),
                    false => Intervention::Break(id, true),
                };
                simulator.intervene(way).expect("it");
            }
        });
        let report = &ran.run.report;
        let reason = report.reason.as_deref().unwrap_or_default();
        prop_assert!(!reason.contains("restored revision failed"), "{}", reason);
        prop_assert_eq!(ran.witness.broken(25), Vec::<String>::new());
        prop_assert_eq!(ran.witness.broken(1), Vec::<String>::new());
        if report.outcome == Outcome::RolledBack {
            let look = look(&ran.simulator);
            let mut live = look.instances.values().filter(|i| i.lifecycle.is_live());
            prop_assert!(live.all(|i| i.revision == Some("v1".into())));
            prop_assert!(report.borrowed.is_empty() && look.record.is_empty());
        }
    }
}
