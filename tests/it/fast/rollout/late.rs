//! Launches that fail or take their time, and looks that are late.

use std::sync::Arc;

use rolling::model::event::Outcome;
use rolling::model::spec::{
    BatchSize, Bound, Health, OnFailure, Pacing, Policy, RollingDeployment,
};
use rolling::record::command::Command;
use rolling_simulator::{Behaviour, EPOCH, FleetConfig, Intervention, Simulator, VirtualClock};

use super::{assert_ended, assert_tidy};
use crate::fast::crash::leave_command;
use crate::test_fleets::{Dies, Mortal, Stale, Witness};
use crate::world::{bad, fleet, group, roll, seconds, simulate, spec, thirty_percent};

#[tokio::test]
async fn surge_that_nobody_can_launch_comes_off_the_size_on_the_way_back() {
    let mut config = bad(Behaviour::FailLaunch);
    // The old revision cannot be launched any more either, and need not be.
    config.bad_revisions.insert("v1".into(), Behaviour::FailLaunch);
    let simulator = simulate(config);
    let policy = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3));
    let spec = RollingDeployment { on_failure: OnFailure::Rollback, ..spec(policy) };
    let run = roll(simulator.clone(), spec).await;
    assert_ended(&run, Outcome::RolledBack);
    assert_tidy(&*simulator, 10, "v1").await;
    assert_eq!(simulator.launched(), 10);
}

/// With many places there is always a launch on its way: only one that never shows is a failure.
#[tokio::test]
async fn launches_that_take_a_while_to_show_fail_no_healthy_revision() {
    for seed in 1..=50 {
        let config = FleetConfig {
            instances: 100,
            boot: seconds(12),
            boot_sigma: 0.3,
            target_groups: vec![group("web", 3)],
            launch_lag: seconds(10),
            seed,
            ..fleet()
        };
        let within =
            Policy::RollingWithin { surge: Bound::Percent(25), unavailable: Bound::Percent(10) };
        let health = Health {
            min_healthy_time: seconds(2),
            healthy_timeout: seconds(40),
            ..Health::default()
        };
        let deploy = RollingDeployment {
            pacing: Pacing::Continuous,
            health,
            poll_interval: seconds(1),
            ..spec(within)
        };
        let simulator = simulate(config);
        let run = roll(simulator.clone(), deploy).await;
        assert_eq!(run.report.outcome, Outcome::Succeeded, "{seed}: {:?}", run.report.reason);
        // Beside the replacements there may be a duplicate of each straggler.
        assert!(simulator.launched() <= 200 + 25, "{seed}: {}", simulator.launched());
    }
}

/// Instances that come and go at once fill no place, however often they come; the first one that
/// goes may have been terminated by somebody.
#[tokio::test]
async fn an_instance_that_dies_before_it_serves_does_not_count_as_launched() {
    let health = Health { healthy_timeout: seconds(120), ..spec(thirty_percent()).health };
    let deploy = RollingDeployment {
        health,
        on_failure: OnFailure::Rollback,
        ..spec(Policy::RollingWithAdditionalBatch(BatchSize::Fixed(2)))
    };
    let run = roll(simulate(bad(Behaviour::Die)), deploy.clone()).await;
    assert_ended(&run, Outcome::RolledBack);
    let reason = run.report.reason.clone().expect("a reason");
    assert!(
        reason.contains("2 instances were not launched within 2m: Client.InternalError"),
        "{reason}"
    );
    assert!(run.report.elapsed_ms < 200_000, "{}", run.report.elapsed_ms);

    // To lower the size while launches are on their way would cost old instances that serve.
    for (surge, unavailable, lag, seed) in [(5, 0, 5, 1), (9, 3, 20, 2), (3, 0, 10, 3)] {
        let config =
            FleetConfig { instances: 12, launch_lag: seconds(lag), seed, ..bad(Behaviour::Die) };
        let simulator = simulate(config);
        let within = Policy::RollingWithin {
            surge: Bound::Count(surge),
            unavailable: Bound::Count(unavailable),
        };
        let health = Health { healthy_timeout: seconds(120), ..deploy.health };
        let deploy = RollingDeployment { policy: within, health, ..deploy.clone() };
        let run = roll(simulator.clone(), deploy).await;
        assert_ended(&run, Outcome::RolledBack);
        let floor = 12 - unavailable as usize;
        assert!(run.least_serving() >= floor, "{} of {floor}", run.least_serving());
    }

    // An instance that is reclaimed while it boots has all its time again.
    let events = vec![(seconds(60), Intervention::Terminate("i-0011".into()))];
    let run = roll(simulate(FleetConfig { boot: seconds(100), events, ..fleet() }), deploy).await;
    assert_ended(&run, Outcome::Succeeded);
}

/// Late looks show the fleet as it was before anything was borrowed: it is given back all the same.
#[tokio::test]
async fn what_was_borrowed_a_moment_ago_is_given_back_although_no_look_shows_it() {
    let within = Policy::RollingWithin { surge: Bound::Percent(26), unavailable: Bound::Count(3) };
    for (lag, pacing, boot, at) in (1..=12)
        .flat_map(|at| [4, 8].map(|lag| (lag, Pacing::Batch, 30, Some(at))))
        .chain((1..=12).map(|lag| (lag, Pacing::Continuous, 5, None)))
    {
        let clock = Arc::new(VirtualClock::new(EPOCH));
        let mut config = FleetConfig { instances: 4, zones: 1, ..fleet() };
        config.boot = seconds(boot);
        config.target_groups = vec![group("web", 1)];
        config.target_groups[0].drain = seconds(0);
        let simulator = Arc::new(Simulator::in_memory(config, clock.clone()));
        if let Some(at) = at {
            let simulator = simulator.clone();
            clock.at(EPOCH + seconds(at), move || leave_command(&simulator, Command::Abort));
        }
        let health = Health {
            min_healthy_time: seconds(0),
            healthy_timeout: seconds(900),
            ..Health::default()
        };
        let (policy, poll_interval) = (within, seconds(1));
        let deploy = RollingDeployment { pacing, health, poll_interval, ..spec(policy) };
        let run = roll(Stale::new(simulator.clone(), seconds(lag)), deploy).await;
        let case = format!("{lag} s late, {pacing:?}, {at:?}: {:?}", run.report);
        let truth = simulator.truth().expect("the fleet");
        assert!(truth.suspended.is_empty(), "{:?} {case}", truth.suspended);
        assert_eq!((truth.desired(), truth.max()), (4, 4), "{case}");
        let revision = if run.report.outcome == Outcome::Succeeded { "v2" } else { "v1" };
        assert_eq!(truth.template, Some(revision.into()), "{case}");
    }
}

/// An instance that was put back into rotation a moment ago may be shown as before it was taken
/// out: that makes no other instance go.
#[tokio::test]
async fn an_instance_that_comes_back_is_not_counted_by_looks_from_before_it_left() {
    let mut config = FleetConfig { instances: 5, zones: 1, seed: 0, ..fleet() };
    config.boot = seconds(45);
    config.bad_revisions.insert("v2".into(), Behaviour::HalfUnhealthy);
    config.target_groups = vec![group("web", 2), group("admin", 7)];
    let deploy = RollingDeployment {
        pacing: Pacing::Continuous,
        health: Health {
            min_healthy_time: seconds(5),
            healthy_timeout: seconds(300),
            ..Health::default()
        },
        failure_threshold: 3,
        poll_interval: seconds(3),
        ..spec(Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3)))
    };
    let witness = Witness::new(simulate(config), deploy.clone()).await;
    roll(Stale::new(witness.clone(), seconds(8)), deploy).await;
    assert_eq!(witness.broken(1), Vec::<String>::new());
}

/// What the previous engine launched shows only after this one has begun; with this seed all but
/// one show at once.
#[tokio::test]
async fn an_engine_that_takes_over_makes_no_launch_twice_that_no_look_shows_yet() {
    for at in 10..=20 {
        let seed = 667_840_687_598_248_582;
        let mut config = FleetConfig { instances: 5, zones: 1, unmanaged: true, seed, ..fleet() };
        (config.boot, config.launch_lag) = (seconds(5), seconds(2));
        config.target_groups = vec![group("web", 1), group("admin", 7)];
        config.target_groups[0].drain = seconds(0);
        let deploy = RollingDeployment {
            health: Health {
                min_healthy_time: seconds(0),
                healthy_timeout: seconds(900),
                ..Health::default()
            },
            poll_interval: seconds(1),
            suspend_processes: Default::default(),
            ..spec(Policy::Rolling(BatchSize::Fixed(5)))
        };
        let simulator = simulate(config);
        let witness = Witness::new(simulator.clone(), deploy.clone()).await;
        let mortal = Mortal::new(witness.clone(), at, Dies::Before);
        if mortal.survive(roll(mortal.clone(), deploy.clone())).await.is_none() {
            let run = roll(witness.clone(), deploy).await;
            assert_eq!(run.report.outcome, Outcome::Succeeded, "{at}: {:?}", run.report);
        }
        assert_eq!(witness.broken(2), Vec::<String>::new(), "killed at {at}");
        assert_eq!(simulator.launched(), 10, "killed at {at}");
    }
}
