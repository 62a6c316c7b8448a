//! Whole rollouts on the simulator, on virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;

use rolling::engine::{Rollout, Stop};
use rolling::model::event::{Envelope, Event, Outcome};
use rolling::model::spec::{
    BatchSize, Bound, Checkpoint, Health, OnFailure, Pacing, Policy, RollingDeployment, SetAside,
};
use rolling::record::command::Command;
use rolling_provider::{Action, Fleet, InstanceId, Lifecycle, TargetState};
use rolling_simulator::{Behaviour, EPOCH, FleetConfig, Intervention, Simulator, VirtualClock};

use crate::fast::crash::leave_command;
use crate::test_fleets::{Dies, Mortal, Stale, Witness};
use crate::world::{
    Told, bad, caller, fleet, group, roll, roll_until, seconds, simulate, simulate_and_stop, spec,
    thirty_percent,
};

/// After the end: `size` serving instances of `revision`, and nothing borrowed or recorded.
async fn assert_tidy(fleet: &dyn Fleet, size: usize, revision: &str) {
    let look = fleet.observe().await.expect("observe");
    let live: Vec<_> = look.instances.values().filter(|i| i.lifecycle.is_live()).collect();
    assert_eq!(live.len(), size);
    assert!(live.iter().all(|i| i.revision.as_ref().is_some_and(|r| r.as_str() == revision)));
    assert_eq!((look.desired(), look.max()), (10, 10));
    assert!(look.suspended.is_empty(), "{:?}", look.suspended);
    assert!(look.record.is_empty(), "{:?}", look.record);
}

fn assert_ended(told: &Told, outcome: Outcome) {
    assert_eq!(told.report.outcome, outcome, "{:?}", told.report);
    assert!(matches!(told.events.first().map(|e| &e.event), Some(Event::Started { .. })));
    let last = told.events.iter().filter(|e| matches!(e.event, Event::Finished { .. }));
    assert_eq!(last.count(), 1);
    assert!(told.events.iter().enumerate().all(|(i, e)| e.index == i as u64));
}

#[tokio::test]
async fn thirty_percent_of_ten_are_batches_of_three_three_three_and_one() {
    let simulator = simulate(fleet());
    let told = roll(simulator.clone(), spec(thirty_percent())).await;
    assert_ended(&told, Outcome::Succeeded);
    assert_eq!(told.batches(), [(0, 3), (0, 3), (0, 3), (0, 1)]);
    assert_eq!(told.least_serving(), 7);
    assert_tidy(&*simulator, 10, "v2").await;
}

#[tokio::test]
async fn an_additional_batch_launches_exactly_as_many_as_the_fleet_has_and_loses_no_capacity() {
    let simulator = simulate(fleet());
    let policy = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3));
    let told = roll(simulator.clone(), spec(policy)).await;
    assert_ended(&told, Outcome::Succeeded);
    assert_eq!(told.batches(), [(3, 0), (0, 3), (0, 3), (0, 3), (0, 1)]);
    assert_eq!(told.least_serving(), 10);
    let replaced = told
        .actions()
        .iter()
        .filter(|action| matches!(action, Action::Terminate { decrement: false, .. }))
        .count();
    assert_eq!(replaced + 3, 10, "launches");
    assert_tidy(&*simulator, 10, "v2").await;
}

#[tokio::test]
async fn an_additional_batch_leaves_the_zones_even() {
    for (instances, batch) in [(12, 4), (10, 3), (9, 2), (7, 5), (20, 7)] {
        let simulator = simulate(FleetConfig { instances, ..fleet() });
        let policy = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(batch));
        let told = roll(simulator.clone(), spec(policy)).await;
        assert_ended(&told, Outcome::Succeeded);
        let mut zones: BTreeMap<&str, u32> = BTreeMap::new();
        for instance in &told.report.instances {
            *zones.entry(&instance.zone).or_default() += 1;
        }
        let (least, most) = (zones.values().min(), zones.values().max());
        let even = most.zip(least).is_some_and(|(most, least)| most - least <= 1);
        assert!(even && zones.len() == 3, "{instances} by {batch}: {zones:?}");
    }
}

#[tokio::test]
async fn all_at_once_is_one_batch() {
    let simulator = simulate(fleet());
    let told = roll(simulator.clone(), spec(Policy::AllAtOnce)).await;
    assert_ended(&told, Outcome::Succeeded);
    assert_eq!(told.batches(), [(0, 10)]);
    assert_tidy(&*simulator, 10, "v2").await;
}

#[tokio::test]
async fn a_finished_rollout_plans_to_nothing() {
    let simulator = simulate(fleet());
    roll(simulator.clone(), spec(thirty_percent())).await;
    let told = roll(simulator.clone(), spec(thirty_percent())).await;
    assert_ended(&told, Outcome::Succeeded);
    assert!(told.actions().is_empty(), "{:?}", told.actions());
}

#[tokio::test]
async fn an_empty_fleet_gets_its_template_moved_and_nothing_else() {
    let simulator = simulate(FleetConfig { instances: 0, ..fleet() });
    let told = roll(simulator.clone(), spec(thirty_percent())).await;
    assert_ended(&told, Outcome::Succeeded);
    let look = simulator.observe().await.expect("observe");
    assert_eq!(look.template, Some("v2".into()));
    assert!(look.record.is_empty() && look.suspended.is_empty());
}

#[tokio::test]
async fn the_record_is_the_first_mutation_and_its_removal_the_last() {
    let told = roll(simulate(fleet()), spec(thirty_percent())).await;
    let actions = told.actions();
    assert!(matches!(actions.first(), Some(Action::WriteRecord { .. })));
    assert!(matches!(actions.last(), Some(Action::EraseRecord { .. })));
}

#[tokio::test]
async fn no_batch_ends_before_the_slower_of_two_target_groups_agrees() {
    let groups = vec![group("fast", 5), group("slow", 60)];
    let simulator = simulate(FleetConfig { target_groups: groups, ..fleet() });
    let told = roll(simulator.clone(), spec(thirty_percent())).await;
    assert_ended(&told, Outcome::Succeeded);
    // Drain 20 s, boot 30 s, the slow group 60 s, soak 10 s, four times over.
    assert!(told.report.elapsed_ms >= 4 * 120_000, "{}", told.report.elapsed_ms);
    assert_tidy(&*simulator, 10, "v2").await;
}

/// What holds after a failure: the floor was kept, nothing is borrowed, the reason is told.
async fn assert_stopped(config: FleetConfig, policy: Policy, floor: usize, reason: &str) {
    let simulator = simulate(config);
    let told = roll(simulator.clone(), spec(policy)).await;
    assert_ended(&told, Outcome::Failed);
    let why = told.report.reason.as_deref().expect("a reason");
    assert!(why.contains(reason), "{why}");
    assert!(told.least_serving() >= floor, "{}", told.least_serving());
    assert!(told.report.borrowed.is_empty(), "{:?}", told.report.borrowed);
    assert!(told.report.elapsed_ms < 900_000, "{}", told.report.elapsed_ms);
    let look = simulator.observe().await.expect("observe");
    assert!(look.suspended.is_empty());
    assert_eq!((look.desired(), look.max()), (10, 10));
    assert_eq!(look.template, Some("v1".into()), "the group's own replacements stay good");
    let draining = look.instances.values().filter(|i| i.lifecycle == Lifecycle::InService);
    assert!(
        draining
            .flat_map(|i| i.targets.values())
            .all(|health| { health.state != TargetState::Draining })
    );
}

#[tokio::test]
async fn a_revision_that_never_becomes_healthy_fails_with_the_clouds_reason() {
    let reason = "Target.ResponseCodeMismatch: Health checks failed with these codes: [502]";
    assert_stopped(bad(Behaviour::Unhealthy), thirty_percent(), 7, reason).await;
    let policy = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3));
    assert_stopped(bad(Behaviour::Unhealthy), policy, 10, reason).await;
}

#[tokio::test]
async fn a_revision_that_hangs_or_flaps_fails_within_its_deadline() {
    assert_stopped(bad(Behaviour::Hang), thirty_percent(), 7, "still pending").await;
    assert_stopped(bad(Behaviour::Flap), thirty_percent(), 7, "502").await;
}

#[tokio::test]
async fn a_revision_that_cannot_be_launched_fails_with_the_activitys_cause() {
    let reason = "InsufficientInstanceCapacity";
    assert_stopped(bad(Behaviour::FailLaunch), thirty_percent(), 7, reason).await;
    let policy = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3));
    assert_stopped(bad(Behaviour::FailLaunch), policy, 10, reason).await;
}

#[tokio::test]
async fn a_slow_revision_within_the_deadline_succeeds() {
    let simulator = simulate(bad(Behaviour::Slow));
    let told = roll(simulator.clone(), spec(thirty_percent())).await;
    assert_ended(&told, Outcome::Succeeded);
    assert_tidy(&*simulator, 10, "v2").await;
}

#[tokio::test]
async fn a_stop_asked_for_at_any_second_leaves_nothing_draining_and_a_later_run_finishes() {
    for after in (0..200).step_by(7) {
        for policy in
            [thirty_percent(), Policy::RollingWithAdditionalBatch(BatchSize::Percentage(30))]
        {
            let (simulator, stop) = simulate_and_stop(fleet(), Stop::Gracefully, seconds(after));
            let told = roll_until(simulator.clone(), spec(policy), stop).await;
            assert_ended(&told, Outcome::Aborted);
            let look = simulator.observe().await.expect("observe");
            assert!(look.suspended.is_empty(), "after {after} s: {look:?}");
            let old = look
                .instances
                .values()
                .filter(|i| i.lifecycle == Lifecycle::InService && i.revision == Some("v1".into()));
            for instance in old {
                let health = instance.targets.values().map(|health| health.state);
                let healthy: Vec<_> = health.collect();
                assert_eq!(healthy, [TargetState::Healthy], "after {after} s: {instance:?}");
            }
            let told = roll(simulator.clone(), spec(policy)).await;
            assert_ended(&told, Outcome::Succeeded);
            assert_tidy(&*simulator, 10, "v2").await;
        }
    }
}

#[tokio::test]
async fn a_run_cut_off_at_any_second_is_finished_by_the_next_with_no_launch_too_many() {
    for after in (0..280).step_by(3) {
        for policy in
            [thirty_percent(), Policy::RollingWithAdditionalBatch(BatchSize::Percentage(30))]
        {
            let (simulator, stop) = simulate_and_stop(fleet(), Stop::Now, seconds(after));
            let told = roll_until(simulator.clone(), spec(policy), stop).await;
            assert_ended(&told, Outcome::Aborted);
            let told = roll(simulator.clone(), spec(policy)).await;
            assert_ended(&told, Outcome::Succeeded);
            assert_tidy(&*simulator, 10, "v2").await;
            let newest = told.report.instances.iter().map(|instance| instance.id.as_str()).max();
            assert_eq!(newest, Some("i-0020"), "after {after} s: ten old ones, ten launches");
        }
    }
}

#[tokio::test]
async fn a_stop_while_surge_drains_too_long_resumes_processes_and_tells_what_is_left() {
    let drain = rolling_simulator::TargetGroupConfig { drain: seconds(300), ..group("web", 10) };
    // By then the surge serves, and giving it back means to drain it.
    let (simulator, stop) = simulate_and_stop(
        FleetConfig { target_groups: vec![drain], ..fleet() },
        Stop::Gracefully,
        seconds(60),
    );
    let policy = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3));
    let told = roll_until(simulator.clone(), spec(policy), stop).await;
    assert_ended(&told, Outcome::Aborted);
    assert!(told.report.elapsed_ms < 82_000, "{}", told.report.elapsed_ms);
    let left = told.report.borrowed.join("; ");
    assert!(left.contains("3 instances of surge"), "{left}");
    assert!(left.contains("the maximum size is 13, it was 10"), "{left}");
    let look = simulator.observe().await.expect("observe");
    assert!(look.suspended.is_empty(), "{:?}", look.suspended);
    // The next run knows from the record what was borrowed, and finishes.
    let told = roll(simulator.clone(), spec(policy)).await;
    assert_ended(&told, Outcome::Succeeded);
    assert_tidy(&*simulator, 10, "v2").await;
}

#[tokio::test]
async fn the_preview_has_the_batches_that_the_rollout_then_has() {
    for policy in [
        thirty_percent(),
        Policy::AllAtOnce,
        Policy::RollingWithAdditionalBatch(BatchSize::Percentage(40)),
    ] {
        let told = roll(simulate(fleet()), spec(policy)).await;
        let Some(Event::Started { preview }) = told.events.first().map(|e| &e.event) else {
            panic!("no start")
        };
        let previewed: Vec<_> =
            preview.batches.iter().map(|b| (b.launches, b.replaces.len())).collect();
        assert_eq!(previewed, told.batches());
        let expected = preview.expected_seconds as f64;
        let ratio = told.report.elapsed_ms as f64 / 1000.0 / expected;
        assert!((0.9..1.3).contains(&ratio), "{policy:?}: {ratio} of {expected} s");
    }
}

/// Instances that somebody has set aside, by each rule: (who stays on v1, outcome).
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
        let told = roll(simulator.clone(), spec).await;
        assert_ended(&told, outcome);
        let look = simulator.observe().await.expect("observe");
        let old = look.instances.values().filter(|instance| {
            instance.revision == Some("v1".into()) && instance.lifecycle != Lifecycle::Terminating
        });
        assert_eq!(old.count(), stay, "{rule:?}");
        assert!(look.suspended.is_empty(), "{rule:?}");
        if outcome == Outcome::Failed {
            let why = told.report.reason.as_deref().expect("a reason");
            assert!(why.contains("i-0003") && why.contains("i-0004"), "{why}");
            assert!(told.report.elapsed_ms > 3_600_000, "waited for an hour");
        }
    }
}

#[tokio::test]
async fn a_rollout_that_follows_a_failed_one_tells_of_its_own_failures() {
    let mut config = bad(Behaviour::Unhealthy);
    config.bad_revisions.insert("v3".into(), Behaviour::Hang);
    let simulator = simulate(config);
    let first = roll(simulator.clone(), spec(thirty_percent())).await;
    assert!(first.report.reason.is_some_and(|message| message.contains("of v2 and 2 more failed")));
    simulator.retarget("v3".into());
    let second = roll(simulator, spec(thirty_percent())).await;
    let message = second.report.reason.expect("a reason");
    assert!(message.contains("of v3 and 2 more failed") && !message.contains("v2"), "{message}");
}

#[tokio::test]
async fn surge_that_nobody_can_launch_comes_off_the_size_on_the_way_back() {
    let mut config = bad(Behaviour::FailLaunch);
    // The old revision cannot be launched any more either, and need not be.
    config.bad_revisions.insert("v1".into(), Behaviour::FailLaunch);
    let simulator = simulate(config);
    let policy = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3));
    let spec = RollingDeployment { on_failure: OnFailure::Rollback, ..spec(policy) };
    let told = roll(simulator.clone(), spec).await;
    assert_ended(&told, Outcome::RolledBack);
    assert_tidy(&*simulator, 10, "v1").await;
    assert_eq!(simulator.launched(), 10);
}

/// With many places something is always on its way: only one that never comes is a failure.
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
        let health = Health { min_healthy_time: seconds(2), healthy_timeout: seconds(40) };
        let deploy = RollingDeployment {
            pacing: Pacing::Continuous,
            health,
            poll_interval: seconds(1),
            ..spec(within)
        };
        let simulator = simulate(config);
        let told = roll(simulator.clone(), deploy).await;
        assert_eq!(told.report.outcome, Outcome::Succeeded, "{seed}: {:?}", told.report.reason);
        // Beside those that replace the old, stragglers may have got a duplicate each.
        assert!(simulator.launched() <= 200 + 25, "{seed}: {}", simulator.launched());
    }
}

/// What comes and goes at once fills no place, however often it comes; the first that goes may have
/// been taken by somebody.
#[tokio::test]
async fn what_dies_before_it_serves_is_not_launched() {
    let health = Health { healthy_timeout: seconds(120), ..spec(thirty_percent()).health };
    let deploy = RollingDeployment {
        health,
        on_failure: OnFailure::Rollback,
        ..spec(Policy::RollingWithAdditionalBatch(BatchSize::Fixed(2)))
    };
    let told = roll(simulate(bad(Behaviour::Die)), deploy.clone()).await;
    assert_ended(&told, Outcome::RolledBack);
    let reason = told.report.reason.clone().expect("a reason");
    assert!(
        reason.contains("2 instances were not launched within 2m: Client.InternalError"),
        "{reason}"
    );
    assert!(told.report.elapsed_ms < 200_000, "{}", told.report.elapsed_ms);

    // A size that is lowered while some are on their way would cost the old ones that serve.
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
        let told = roll(simulator.clone(), deploy).await;
        assert_ended(&told, Outcome::RolledBack);
        let floor = 12 - unavailable as usize;
        assert!(told.least_serving() >= floor, "{} of {floor}", told.least_serving());
    }

    // One that is reclaimed while it boots has all its time again.
    let events = vec![(seconds(60), Intervention::Terminate("i-0011".into()))];
    let told = roll(simulate(FleetConfig { boot: seconds(100), events, ..fleet() }), deploy).await;
    assert_ended(&told, Outcome::Succeeded);
}

/// Looks that are late show what was before anything was borrowed: it is given back all the same.
#[tokio::test]
async fn what_was_borrowed_a_moment_ago_is_given_back_though_no_look_shows_it() {
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
        let health = Health { min_healthy_time: seconds(0), healthy_timeout: seconds(900) };
        let (policy, poll_interval) = (within, seconds(1));
        let deploy = RollingDeployment { pacing, health, poll_interval, ..spec(policy) };
        let told = roll(Stale::new(simulator.clone(), seconds(lag)), deploy).await;
        let case = format!("{lag} s late, {pacing:?}, {at:?}: {:?}", told.report);
        let truth = simulator.truth().expect("the fleet");
        assert!(truth.suspended.is_empty(), "{:?} {case}", truth.suspended);
        assert_eq!((truth.desired(), truth.max()), (4, 4), "{case}");
        let revision = if told.report.outcome == Outcome::Succeeded { "v2" } else { "v1" };
        assert_eq!(truth.template, Some(revision.into()), "{case}");
    }
}

/// Who was put back into rotation a moment ago may be shown as it was before it was taken out: on
/// that nobody else goes.
#[tokio::test]
async fn who_comes_back_is_not_counted_by_looks_from_before_it_went() {
    let mut config = FleetConfig { instances: 5, zones: 1, seed: 0, ..fleet() };
    config.boot = seconds(45);
    config.bad_revisions.insert("v2".into(), Behaviour::HalfUnhealthy);
    config.target_groups = vec![group("web", 2), group("admin", 7)];
    let deploy = RollingDeployment {
        pacing: Pacing::Continuous,
        health: Health { min_healthy_time: seconds(5), healthy_timeout: seconds(300) },
        failure_threshold: 3,
        poll_interval: seconds(3),
        ..spec(Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3)))
    };
    let witness = Witness::new(simulate(config), deploy.clone()).await;
    roll(Stale::new(witness.clone(), seconds(8)), deploy).await;
    assert_eq!(witness.broken(1), Vec::<String>::new());
}

/// What the engine before this one launched shows only after this one has begun; with this seed all
/// but one do at once.
#[tokio::test]
async fn an_engine_that_takes_over_launches_nothing_beside_what_no_look_shows_yet() {
    for at in 10..=20 {
        let seed = 667_840_687_598_248_582;
        let mut config = FleetConfig { instances: 5, zones: 1, unmanaged: true, seed, ..fleet() };
        (config.boot, config.launch_lag) = (seconds(5), seconds(2));
        config.target_groups = vec![group("web", 1), group("admin", 7)];
        config.target_groups[0].drain = seconds(0);
        let deploy = RollingDeployment {
            health: Health { min_healthy_time: seconds(0), healthy_timeout: seconds(900) },
            poll_interval: seconds(1),
            suspend_processes: Default::default(),
            ..spec(Policy::Rolling(BatchSize::Fixed(5)))
        };
        let simulator = simulate(config);
        let witness = Witness::new(simulator.clone(), deploy.clone()).await;
        let mortal = Mortal::new(witness.clone(), at, Dies::Before);
        if mortal.survive(roll(mortal.clone(), deploy.clone())).await.is_none() {
            let told = roll(witness.clone(), deploy).await;
            assert_eq!(told.report.outcome, Outcome::Succeeded, "{at}: {:?}", told.report);
        }
        assert_eq!(witness.broken(2), Vec::<String>::new(), "killed at {at}");
        assert_eq!(simulator.launched(), 10, "killed at {at}");
    }
}

/// Somebody protects old instances while a rollout is under way: they are left, or waited for, and
/// the new ones are none the worse for it.
#[tokio::test]
async fn who_is_protected_meanwhile_costs_no_good_instance() {
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
            let told = roll(simulator.clone(), deploy).await;
            let case = format!("{policy:?}, {rule:?} at {at}: {:?}", told.report);
            let survive = simulator.truth().expect("the fleet").instances;
            let protected = survive.values().filter(|i| i.protected && i.lifecycle.is_live());
            if protected.count() == 0 {
                // They had been on their way out already.
                assert_eq!(told.report.outcome, Outcome::Succeeded, "{case}");
            } else if rule == SetAside::Wait {
                assert_eq!(told.report.outcome, Outcome::Failed, "{case}");
                let reason = told.report.reason.clone().expect("a reason");
                assert!(reason.contains("protected"), "{case}");
            } else {
                assert_eq!(told.report.outcome, Outcome::Succeeded, "{case}");
            }
            assert!(simulator.launched() <= 12, "{} launched: {case}", simulator.launched());
        }
    }
}

/// Fewer instances can serve and be updated after it than before: that is no lack of progress.
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
    let told = roll(simulator.clone(), deploy).await;
    assert_eq!(told.report.outcome, Outcome::Succeeded, "{:?}", told.report);
    assert_eq!(told.report.instances.len(), 9);
}

#[tokio::test]
async fn what_comes_up_on_another_revision_ends_the_rollout_after_one_batch() {
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
            let told = roll(simulator.clone(), RollingDeployment { pacing, ..spec(policy) }).await;
            assert_eq!(told.report.outcome, Outcome::Failed, "{policy:?}");
            let why = told.report.reason.as_deref().unwrap_or_default();
            assert!(why.starts_with(begins) && why.contains(ends), "{policy:?}: {why}");
            let gone = told
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
async fn one_that_the_fleet_was_launching_before_is_only_replaced() {
    let simulator = simulate(fleet());
    let first = simulator.observe().await.expect("observe").instances;
    let id = first.keys().next().expect("one").clone();
    simulator.intervene(Intervention::Terminate(id)).expect("it");
    let told = roll(simulator.clone(), spec(Policy::Rolling(BatchSize::Fixed(1)))).await;
    assert_eq!(told.report.outcome, Outcome::Succeeded, "{:?}", told.report.reason);
}

#[tokio::test]
async fn a_good_one_that_is_lost_is_replaced_and_one_that_never_was_good_counts() {
    // The first one of v2 has soaked, or boots, when its group finds it unhealthy and ends it.
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
        let told = roll(simulator.clone(), spec(Policy::Rolling(BatchSize::Fixed(1)))).await;
        assert_eq!(told.report.outcome, outcome, "{:?}", told.report.reason);
        if outcome == Outcome::Succeeded {
            assert_tidy(&*simulator, 10, "v2").await;
        }
    }
}

#[tokio::test]
async fn what_was_missing_before_is_not_charged_to_the_revision() {
    let simulator = simulate(bad(Behaviour::FailLaunch));
    simulator.intervene(Intervention::MoveTemplate("v2".into())).expect("it");
    let first = simulator.observe().await.expect("observe").instances;
    let id = first.keys().next().expect("one").clone();
    simulator.intervene(Intervention::Terminate(id)).expect("it");
    let spec = RollingDeployment { on_failure: OnFailure::Rollback, ..spec(thirty_percent()) };
    let told = roll(simulator.clone(), spec).await;
    assert_eq!(told.report.outcome, Outcome::Failed, "{:?}", told.report.reason);
    let why = told.report.reason.as_deref().unwrap_or_default();
    let message = "1 instance was missing before the rollout began, and not launched within 10m: ";
    assert!(why.starts_with(message) && why.contains("no capacity"), "{why}");
    assert!(told.actions().iter().all(|action| !matches!(action, Action::Terminate { .. })));
}

/// Runs a rollout that is asked to stop at `stop`, and then another.
async fn interrupted(config: FleetConfig, spec: RollingDeployment, stop: u64) -> [Told; 2] {
    let (simulator, stop) = simulate_and_stop(config, Stop::Gracefully, seconds(stop));
    let first = roll_until(simulator.clone(), spec.clone(), stop).await;
    assert_eq!(first.report.outcome, Outcome::Aborted, "{:?}", first.report);
    assert!(first.report.borrowed.is_empty(), "{:?}", first.report.borrowed);
    [first, roll(simulator, spec).await]
}

#[tokio::test]
async fn an_interrupted_rollout_has_its_checkpoints_behind_it() {
    let checkpoint = |percentage| Checkpoint { percentage, pause: Some(seconds(300)) };
    let mut spec = spec(Policy::Rolling(BatchSize::Fixed(2)));
    spec.checkpoints = vec![checkpoint(20), checkpoint(60)];
    let waits = |told: &Told, message: &str| {
        told.events.iter().any(|envelope| match &envelope.event {
            Event::Waiting { on } => on.iter().any(|wait| wait.detail.as_deref() == Some(message)),
            _ => false,
        })
    };
    let [first, second] = interrupted(fleet(), spec, 450).await;
    assert!(waits(&first, "checkpoint at 20 percent"));
    assert_eq!(second.report.outcome, Outcome::Succeeded, "{:?}", second.report);
    assert!(!waits(&second, "checkpoint at 20 percent"), "it was passed");
    assert!(waits(&second, "checkpoint at 60 percent"));
}

#[tokio::test]
async fn an_interrupted_rollout_counts_on_and_keeps_no_more() {
    let mut spec = spec(Policy::Rolling(BatchSize::Fixed(1)));
    spec.health.healthy_timeout = seconds(60);
    (spec.failure_threshold, spec.keep_failed_instances) = (2, 1);
    // The first one fails at 81 s and is kept.
    let [first, second] = interrupted(bad(Behaviour::Unhealthy), spec, 120).await;
    assert_eq!(first.report.retained_failed.len(), 1, "{:?}", first.report);
    assert_eq!(second.report.outcome, Outcome::Failed, "{:?}", second.report);
    let detached = second.actions().into_iter().filter(|a| matches!(a, Action::Detach { .. }));
    assert_eq!(detached.count(), 0, "one is kept already");
    let tagged = second.actions().into_iter().filter(|a| matches!(a, Action::Tag { .. }));
    assert_eq!(tagged.count(), 1, "the second failure is the last");
}

#[tokio::test]
async fn a_rollback_that_somebody_asks_for_is_no_failure() {
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let simulator = Arc::new(Simulator::in_memory(fleet(), clock.clone()));
    let speaks = simulator.clone();
    clock.at(EPOCH + seconds(100), move || leave_command(&speaks, Command::Rollback));
    let told = roll(simulator, spec(thirty_percent())).await;
    assert_eq!(told.report.outcome, Outcome::RolledBack, "{:?}", told.report);
    let back = told.events.iter().find_map(|envelope| match &envelope.event {
        Event::RollingBack { reason, asked, .. } => Some((reason.as_str(), *asked)),
        _ => None,
    });
    assert_eq!(back, Some(("rolled back by somebody", true)));
}

#[tokio::test]
async fn one_that_the_fleet_launched_a_moment_before_the_template_moved_is_only_replaced() {
    let clock = Arc::new(VirtualClock::new(EPOCH));
    // Shown late, as it may be.
    let config = FleetConfig { launch_lag: seconds(9), ..fleet() };
    let simulator = Arc::new(Simulator::in_memory(config, clock.clone()));
    let joins = simulator.clone();
    clock.at(EPOCH, move || {
        joins.intervene(Intervention::Terminate("i-0003".into())).expect("it goes");
    });
    let told = roll(simulator.clone(), spec(Policy::Rolling(BatchSize::Fixed(1)))).await;
    assert_eq!(told.report.outcome, Outcome::Succeeded, "{:?}", told.report.reason);
}

#[tokio::test]
async fn one_that_somebody_puts_in_standby_is_made_up_for() {
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let config = FleetConfig { instances: 6, ..fleet() };
    let simulator = Arc::new(Simulator::in_memory(config, clock.clone()));
    // Three of the new ones, one by one, each of which the fleet replaces.
    for (id, at) in [("i-0007", 100), ("i-0009", 200), ("i-0011", 300)] {
        let simulator = simulator.clone();
        clock.at(EPOCH + seconds(at), move || {
            simulator.intervene(Intervention::Standby(id.into(), true)).expect("it");
        });
    }
    let told = roll(simulator.clone(), spec(Policy::Rolling(BatchSize::Fixed(1)))).await;
    assert_eq!(told.report.outcome, Outcome::Succeeded, "{:?}", told.report.reason);
}

#[tokio::test]
async fn a_rollback_of_what_has_failed_shows_where_it_leads() {
    let simulator = simulate(bad(Behaviour::Unhealthy));
    let mut spec = spec(thirty_percent());
    spec.health.healthy_timeout = seconds(60);
    let told = roll(simulator.clone(), spec.clone()).await;
    assert_eq!(told.report.outcome, Outcome::Failed, "{:?}", told.report);
    let rollout = Rollout::prepare(simulator, spec, &caller()).await.expect("prepare");
    let (_keep, stop) = tokio::sync::watch::channel(Stop::No);
    let mut leads_to = Vec::new();
    let mut hear = |envelope: Envelope| {
        if let Event::Started { preview } = envelope.event {
            leads_to.push(preview.to);
        }
    };
    rollout.command(Command::Rollback, stop, &mut hear).await.expect("a rollback");
    assert_eq!(leads_to, ["v1".into()]);
}
