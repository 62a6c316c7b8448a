//! Rollouts of a fleet that others change, before or during the rollout.

use std::sync::Arc;

use rolling::model::event::{Cause, Outcome};
use rolling::model::spec::{
    BatchSize, Bound, OnFailure, Pacing, Policy, RollingDeployment, SetAside,
};
use rolling_provider::{Action, Fleet, InstanceId, Lifecycle};
use rolling_simulator::{Behaviour, EPOCH, FleetConfig, Intervention, Simulator, VirtualClock};

use super::{assert_ended, assert_tidy};
use crate::world::{bad, fleet, roll, seconds, simulate, spec, thirty_percent};

/// Instances that somebody has set aside, by each rule: (which stay on v1, outcome).
#[tokio::test]
async fn instances_that_are_set_aside_are_replaced_left_or_waited_for_as_told() {
    use rolling_simulator::Intervention;
    let cases = [
        (SetAside::Refresh, 0, Outcome::Succeeded),
        (SetAside::Ignore, 2, Outcome::Succeeded),
        (SetAside::Wait, 2, Outcome::Failed),
    ];
    for (rule, stay, outcome) in cases {
        let simulator = simulate(fleet());
        let set = |what| simulator.intervene(what).expect("done");
        set(Intervention::Protect("i-0003".into(), true));
        set(Intervention::Standby("i-0004".into(), true));
        let spec = RollingDeployment { protected: rule, standby: rule, ..spec(thirty_percent()) };
        let run = roll(simulator.clone(), spec).await;
        assert_ended(&run, outcome);
        let look = simulator.observe().await.expect("observe");
        let old = look.instances.values().filter(|instance| {
            instance.revision == Some("v1".into()) && instance.lifecycle != Lifecycle::Terminating
        });
        assert_eq!(old.count(), stay, "{rule:?}");
        assert!(look.suspended.is_empty(), "{rule:?}");
        if outcome == Outcome::Failed {
            let why = run.report.reason.as_deref().expect("a reason");
            assert!(why.contains("i-0003") && why.contains("i-0004"), "{why}");
            assert!(run.report.elapsed_ms > 3_600_000, "waited for an hour");
        }
    }
}

/// Somebody protects old instances while a rollout is under way: they are left, or waited for, and
/// the new ones are not affected.
#[tokio::test]
async fn protection_meanwhile_costs_no_good_instance() {
    let within = Policy::RollingWithin { surge: Bound::Count(2), unavailable: Bound::Count(0) };
    let additional = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(2));
    for policy in [additional, Policy::Immutable, within, Policy::Rolling(BatchSize::Fixed(2))] {
        for (at, rule) in
            [1, 20, 70, 120].map(|at| [SetAside::Wait, SetAside::Ignore].map(|r| (at, r))).concat()
        {
            let ids = ["i-0004", "i-0005"].map(InstanceId::new);
            let protects = ids.map(|id| (seconds(at), Intervention::Protect(id, true)));
            let config = FleetConfig { instances: 5, events: protects.into(), ..fleet() };
            let simulator = simulate(config);
            let deploy = RollingDeployment {
                protected: rule,
                on_failure: OnFailure::Rollback,
                ..spec(policy)
            };
            let run = roll(simulator.clone(), deploy).await;
            let case = format!("{policy:?}, {rule:?} at {at}: {:?}", run.report);
            let survive = simulator.truth().expect("the fleet").instances;
            let protected = survive.values().filter(|i| i.protected && i.lifecycle.is_live());
            if protected.count() == 0 {
                // They were on their way out already.
                assert_eq!(run.report.outcome, Outcome::Succeeded, "{case}");
            } else if rule == SetAside::Wait {
                assert_eq!(run.report.outcome, Outcome::Failed, "{case}");
                let reason = run.report.reason.clone().expect("a reason");
                assert!(reason.contains("protected"), "{case}");
            } else {
                assert_eq!(run.report.outcome, Outcome::Succeeded, "{case}");
            }
            assert!(simulator.launched() <= 12, "{} launched: {case}", simulator.launched());
        }
    }
}

/// Fewer instances can serve and be updated than before: that is no lack of progress.
#[tokio::test]
async fn a_fleet_that_is_scaled_in_meanwhile_goes_on_within_its_progress_deadline() {
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let config = FleetConfig { instances: 20, ..fleet() };
    let simulator = Arc::new(Simulator::in_memory(config, clock.clone()));
    let resized = simulator.clone();
    clock.at(EPOCH + seconds(400), move || {
        resized.intervene(Intervention::Resize(9)).expect("a size");
    });
    let deploy = RollingDeployment {
        progress_deadline: Some(seconds(150)),
        ..spec(Policy::Rolling(BatchSize::Fixed(1)))
    };
    let run = roll(simulator.clone(), deploy).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    assert_eq!(run.report.instances.len(), 9);
}

#[tokio::test]
async fn launches_on_another_revision_end_the_rollout_after_one_batch() {
    let surge = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3));
    let by_three = Policy::Rolling(BatchSize::Fixed(3));
    let set_back = FleetConfig { template_set_back: Some(seconds(0)), ..fleet() };
    let launches = FleetConfig { launches_instead: Some("v1".into()), ..fleet() };
    let back = "is v1 again";
    for (policy, pacing) in [
        (by_three, Pacing::Batch),
        (by_three, Pacing::Continuous),
        (surge, Pacing::Batch),
        (Policy::Immutable, Pacing::Batch),
    ] {
        for (config, begins, ends) in [(&set_back, "", back), (&launches, "launched i-00", "")] {
            let simulator = simulate(config.clone());
            let run = roll(simulator.clone(), RollingDeployment { pacing, ..spec(policy) }).await;
            assert_eq!(run.report.outcome, Outcome::Failed, "{policy:?}");
            let why = run.report.reason.as_deref().unwrap_or_default();
            assert!(why.starts_with(begins) && why.contains(ends), "{policy:?}: {why}");
            let gone = run
                .actions()
                .into_iter()
                .filter(|action| matches!(action, Action::Terminate { decrement: false, .. }));
            assert!(gone.count() <= 3, "{policy:?}: one batch, and no loop");
            let look = simulator.observe().await.expect("observe");
            let live = look.instances.values().filter(|i| i.lifecycle.is_live()).count();
            assert_eq!((look.desired(), live), (10, 10), "{policy:?}");
        }
    }
}

#[tokio::test]
async fn an_instance_that_the_fleet_was_launching_before_is_only_replaced() {
    let simulator = simulate(fleet());
    let first = simulator.observe().await.expect("observe").instances;
    let id = first.keys().next().expect("one").clone();
    simulator.intervene(Intervention::Terminate(id)).expect("it");
    let run = roll(simulator.clone(), spec(Policy::Rolling(BatchSize::Fixed(1)))).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report.reason);
}

#[tokio::test]
async fn a_lost_instance_is_replaced_and_counts_as_failed_only_if_it_never_soaked() {
    // The first instance of v2 has soaked, or still boots, when its group finds it unhealthy and
    // ends it.
    for (lost_at, outcome) in [(100, Outcome::Succeeded), (62, Outcome::Failed)] {
        let clock = Arc::new(VirtualClock::new(EPOCH));
        let simulator = Arc::new(Simulator::in_memory(fleet(), clock.clone()));
        let id = InstanceId::new("i-0011");
        let breaks = (simulator.clone(), id.clone());
        clock.at(EPOCH + seconds(lost_at), move || {
            breaks.0.intervene(Intervention::Break(breaks.1, true)).expect("it breaks");
        });
        let ends = simulator.clone();
        clock.at(EPOCH + seconds(lost_at + 12), move || {
            ends.intervene(Intervention::Terminate(id)).expect("it goes");
        });
        let run = roll(simulator.clone(), spec(Policy::Rolling(BatchSize::Fixed(1)))).await;
        assert_eq!(run.report.outcome, outcome, "{:?}", run.report.reason);
        if outcome == Outcome::Succeeded {
            assert_tidy(&*simulator, 10, "v2").await;
        }
    }
}

#[tokio::test]
async fn instances_that_were_missing_before_are_not_charged_to_the_revision() {
    let additional = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(2));
    for policy in [thirty_percent(), additional, Policy::Immutable] {
        let simulator = simulate(bad(Behaviour::FailLaunch));
        simulator.intervene(Intervention::MoveTemplate("v2".into())).expect("it");
        let first = simulator.observe().await.expect("observe").instances;
        let id = first.keys().next().expect("one").clone();
        simulator.intervene(Intervention::Terminate(id)).expect("it");
        let spec = RollingDeployment { on_failure: OnFailure::Rollback, ..spec(policy) };
        let run = roll(simulator.clone(), spec).await;
        assert_eq!(run.report.outcome, Outcome::Failed, "{:?}", run.report.reason);
        assert_eq!(run.report.cause, Some(Cause::Capacity), "{:?}", run.report.reason);
        let why = run.report.reason.as_deref().unwrap_or_default();
        let message = "1 instance was already missing before the rollout, and ";
        assert!(why.starts_with(message) && why.contains("no capacity"), "{policy:?}: {why}");
        assert!(run.actions().iter().all(|action| !matches!(action, Action::Terminate { .. })));
    }
}

#[tokio::test]
async fn an_instance_launched_a_moment_before_the_template_moved_is_only_replaced() {
    let clock = Arc::new(VirtualClock::new(EPOCH));
    // Shown late, as a launch may be.
    let config = FleetConfig { launch_lag: seconds(9), ..fleet() };
    let simulator = Arc::new(Simulator::in_memory(config, clock.clone()));
    let joins = simulator.clone();
    clock.at(EPOCH, move || {
        joins.intervene(Intervention::Terminate("i-0003".into())).expect("it goes");
    });
    let run = roll(simulator.clone(), spec(Policy::Rolling(BatchSize::Fixed(1)))).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report.reason);
}

#[tokio::test]
async fn an_instance_that_somebody_puts_in_standby_is_made_up_for() {
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let config = FleetConfig { instances: 6, ..fleet() };
    let simulator = Arc::new(Simulator::in_memory(config, clock.clone()));
    // Three of the new instances, one by one, each of which the fleet replaces.
    for (id, at) in [("i-0007", 100), ("i-0009", 200), ("i-0011", 300)] {
        let simulator = simulator.clone();
        clock.at(EPOCH + seconds(at), move || {
            simulator.intervene(Intervention::Standby(id.into(), true)).expect("it");
        });
    }
    let run = roll(simulator.clone(), spec(Policy::Rolling(BatchSize::Fixed(1)))).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report.reason);
}
