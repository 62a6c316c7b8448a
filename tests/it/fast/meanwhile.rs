//! Promises of `docs/SEMANTICS.md` in fleets that change more by themselves, or that others change
//! meanwhile.

mod commands;
mod slow_calls;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use rolling::model::event::Outcome;
use rolling::model::spec::{Bound, Health, OnFailure, Pacing, Policy, RollingDeployment, SetAside};
use rolling_provider::{InstanceId, Lifecycle, TargetState};
use rolling_simulator::{Behaviour, EPOCH, FleetConfig, Intervention, Simulator};

use super::properties::{
    Case, any_case, good, is_tidy, look, nothing_broken, run, run_with, settings, suspended,
};
use crate::test_fleets::SECOND;
use crate::world::{fleet, group, seconds, spec, traffic_steps};

/// Checks that nothing is borrowed, that the fleet has its size, and that no instance serves only
/// where no requests go.
fn is_put_back(simulator: &Simulator, size: u32) -> Result<(), TestCaseError> {
    let look = look(simulator);
    prop_assert_eq!(look.desired(), size);
    prop_assert!(look.suspended.is_empty(), "{:?}", look.suspended);
    prop_assert!(look.shifted.iter().flatten().all(|percent| *percent == 0));
    prop_assert!(look.capacity.is_none_or(|capacity| capacity.max == size));
    for (id, instance) in look.instances.iter().filter(|(_, i)| i.lifecycle.is_live()) {
        let healthy = |group: &str| {
            let health = instance.targets.get(&group.into()).map(|health| health.state);
            health == Some(TargetState::Healthy)
        };
        prop_assert!(!healthy(SECOND) || healthy("web"), "{} serves where no requests go", id);
    }
    Ok(())
}

proptest! {
    #![proptest_config(settings())]

    /// An instance that goes without a replacement is not deregistered first: the fleet would
    /// replace it for ever.
    #[test]
    fn a_fleet_that_replaces_instances_out_of_rotation_ends_as_any_other(case in any_case()) {
        let mut case = case;
        case.config.replaces_deregistered = !case.config.unmanaged;
        let ran = run(&case);
        nothing_broken(&ran, 1)?;
        nothing_broken(&ran, 2)?;
        let report = &ran.run.report;
        if case.config.bad_revisions.is_empty() {
            prop_assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.reason);
            is_tidy(&ran, case.config.instances as usize, "v2")?;
        }
        if report.outcome != Outcome::Paused {
            prop_assert!(report.borrowed.is_empty(), "{:?} {:?}", report.borrowed, report.reason);
            prop_assert_eq!(look(&ran.simulator).desired(), case.config.instances);
        }
    }

    /// Somebody protects an instance from scale-in: it stays, and nothing else goes wrong.
    #[test]
    fn an_instance_that_is_protected_meanwhile_stays(
        case in any_case(), n in 1..=16u32, at in 1..150u64,
        rule in prop_oneof![Just(SetAside::Ignore), Just(SetAside::Wait)],
    ) {
        let mut case = case;
        case.spec.protected = rule;
        if case.config.bad_revisions.get(&"v2".into()) == Some(&Behaviour::Flap) {
            // With a revision that flaps for an hour nothing else would be reported.
            case.config.bad_revisions.clear();
            case.spec.health.healthy_timeout = seconds(900);
        }
        // Unmanaged instances have no such protection.
        case.config.unmanaged = false;
        case.spec.suspend_processes = suspended(&mut case.config, case.spec.policy);
        let id = InstanceId::new(format!("i-{n:04}"));
        let gone = Arc::new(AtomicBool::new(true));
        let (at, found, protected) = (EPOCH + seconds(at), gone.clone(), id.clone());
        let ran = run_with(&case, |clock, simulator, _| {
            let simulator = simulator.clone();
            clock.at(at, move || {
                let look = simulator.truth().expect("the fleet");
                let lives = look.instances.get(&protected).filter(|i| i.lifecycle.is_live());
                // An instance that is on its way out by then goes on.
                let goes = lives.is_none_or(|i| {
                    let mut states = i.targets.values().map(|health| health.state);
                    let is_out = |s| matches!(s, TargetState::Draining | TargetState::Unused);
                    states.any(is_out) || (i.targets.is_empty() && i.lifecycle == Lifecycle::InService)
                });
                found.store(goes, Ordering::Relaxed);
                simulator.intervene(Intervention::Protect(protected, true)).expect("it");
            });
        });
        nothing_broken(&ran, 1)?;
        let lives = look(&ran.simulator).instances.get(&id).is_some_and(|i| i.lifecycle.is_live());
        // A late look may be from before the protection.
        let unknown = case.lag > Duration::ZERO || gone.load(Ordering::Relaxed);
        prop_assert!(lives || unknown, "{}", id);
        let report = &ran.run.report;
        let message = report.reason.as_deref().unwrap_or_default();
        let protects = message.contains("protected from scale-in");
        if case.config.bad_revisions.is_empty() {
            prop_assert!(report.outcome == Outcome::Succeeded || protects, "{}", message);
        }
    }

    /// Somebody deregisters an instance, at any time of its life: that is no fault of the revision.
    #[test]
    fn an_instance_that_somebody_deregisters_fails_no_revision(
        case in good(), n in 1..=16u32, at in 1..150u64, lag in 0..=8u64,
        back in proptest::option::of(1..400u64),
    ) {
        let mut case = Case { lag: seconds(lag), ..case };
        case.config.unmanaged = false;
        case.spec.suspend_processes = suspended(&mut case.config, case.spec.policy);
        let id = InstanceId::new(format!("i-{n:04}"));
        let ran = run_with(&case, |clock, simulator, _| {
            let (simulator, again) = (simulator.clone(), simulator.clone());
            let taken = id.clone();
            clock.at(EPOCH + seconds(at), move || {
                simulator.intervene(Intervention::Deregister(taken)).expect("it");
            });
            if let Some(back) = back {
                clock.at(EPOCH + seconds(at + back), move || {
                    let _ = again.intervene(Intervention::Register(id));
                });
            }
        });
        let report = &ran.run.report;
        let message = report.reason.as_deref().unwrap_or_default();
        let named = message.starts_with("no progress") && message.contains("not registered");
        prop_assert!(report.outcome == Outcome::Succeeded || named, "{}", message);
    }
}

/// A case that the generators came upon once.
fn found(policy: Policy, instances: u32, [boot, register, drain]: [u64; 3]) -> Case {
    let mut web = group("web", register);
    web.drain = seconds(drain);
    let mut config = FleetConfig {
        instances,
        zones: 1,
        boot: seconds(boot),
        boot_sigma: 0.0,
        target_groups: vec![web],
        ..fleet()
    };
    let suspend_processes = suspended(&mut config, policy);
    let health =
        Health { min_healthy_time: seconds(1), healthy_timeout: seconds(300), ..Health::default() };
    let poll_interval = seconds(1);
    let spec = RollingDeployment { suspend_processes, health, poll_interval, ..spec(policy) };
    Case { config, spec, lag: Duration::ZERO }
}

#[test]
fn an_instance_that_fails_where_requests_go_is_replaced_once_they_are_shifted_back() {
    let mut case = found(Policy::TrafficSplitting, 2, [37, 1, 0]);
    case.spec.traffic_steps = traffic_steps(&[(51, 1)]);
    case.config.bad_revisions.insert("v2".into(), Behaviour::Flap);
    (case.config.boot_sigma, case.config.seed) = (0.5, 1_241_037_564_645_675_470);
    case.spec.failure_threshold = 3;
    let ran = run(&case);
    assert_eq!(ran.witness.broken(1), Vec::<String>::new());
    assert!(ran.run.report.borrowed.is_empty(), "{:?}", ran.run.report.borrowed);
}

#[test]
fn surge_that_goes_in_the_place_of_a_protected_instance_stays_the_same() {
    let (surge, unavailable) = (Bound::Count(2), Bound::Percent(40));
    let mut case = found(Policy::RollingWithin { surge, unavailable }, 10, [5, 1, 0]);
    case.config.bad_revisions.insert("v2".into(), Behaviour::Hang);
    case.config.events.push((seconds(2), Intervention::Protect("i-0011".into(), true)));
    (case.spec.pacing, case.spec.on_failure) = (Pacing::Continuous, OnFailure::Rollback);
    let report = run(&case).run.report;
    let message = report.reason.unwrap_or_default();
    assert!(message.contains("still protected from scale-in"), "{message}");
}

#[test]
fn an_instance_that_the_fleet_has_removed_does_not_come_back_with_a_late_look() {
    let (surge, unavailable) = (Bound::Count(3), Bound::Percent(0));
    let mut case = found(Policy::RollingWithin { surge, unavailable }, 7, [21, 6, 0]);
    case.config.replaces_deregistered = true;
    (case.config.zones, case.lag) = (2, seconds(1));
    case.spec.health.min_healthy_time = seconds(2);
    assert_eq!(run(&case).run.report.outcome, Outcome::Succeeded);
}

#[test]
fn a_launch_that_the_fleet_reports_is_not_taken_off_the_size_before_a_look_lists_it() {
    let mut case = found(Policy::TrafficSplitting, 1, [26, 9, 9]);
    case.spec.traffic_steps = traffic_steps(&[(1, 35)]);
    case.config.replaces_deregistered = true;
    (case.config.launch_lag, case.config.seed) = (seconds(14), 4_166_728_183_531_263_107);
    (case.lag, case.spec.poll_interval) = (seconds(8), seconds(4));
    case.spec.health =
        Health { min_healthy_time: seconds(4), healthy_timeout: seconds(900), ..Health::default() };
    let ran = run(&case);
    assert_eq!(ran.run.report.outcome, Outcome::Succeeded, "{:?}", ran.run.report.reason);
    assert_eq!(ran.witness.broken(1), Vec::<String>::new());
}

#[test]
fn an_instance_that_serves_where_no_requests_go_stands_in_for_no_other() {
    let mut case = found(Policy::TrafficSplitting, 5, [5, 1, 0]);
    case.config.bad_revisions.insert("v2".into(), Behaviour::HalfUnhealthy);
    case.config.events.push((seconds(2), Intervention::Protect("i-0007".into(), true)));
    (case.spec.on_failure, case.spec.protected) = (OnFailure::Rollback, SetAside::Ignore);
    let ran = run(&case);
    assert_eq!(ran.witness.broken(1), Vec::<String>::new());
    let serving = look(&ran.simulator).instances.into_values().filter(|instance| {
        let health = instance.targets.get(&"web".into());
        health.is_some_and(|health| health.state == TargetState::Healthy)
    });
    assert_eq!(serving.count(), 5);
    let message = ran.run.report.reason.unwrap_or_default();
    assert!(message.contains("i-0007 may not be scaled in"), "{message}");
}

#[test]
fn surplus_waits_until_an_instance_that_was_put_back_serves_for_sure() {
    let blue_green = Policy::BlueGreen { terminate_after: seconds(46) };
    let mut case = found(blue_green, 9, [20, 9, 16]);
    case.spec.health.min_healthy_time = seconds(10);
    // All old instances drain by then.
    case.config.events.push((seconds(97), Intervention::Protect("i-0001".into(), true)));
    case.spec.protected = SetAside::Ignore;
    let ran = run(&case);
    assert_eq!(ran.run.report.outcome, Outcome::Succeeded, "{:?}", ran.run.report.reason);
    let live = look(&ran.simulator).instances;
    assert_eq!(live.values().filter(|instance| instance.lifecycle.is_live()).count(), 9);
    assert!(live[&InstanceId::new("i-0001")].lifecycle.is_live());
}
