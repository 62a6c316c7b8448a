//! Whole rollouts on the simulator, on virtual time.

mod late;
mod others;

use std::collections::BTreeMap;
use std::sync::Arc;

use rolling::engine::{Rollout, Stop};
use rolling::model::event::{Envelope, Event, Outcome};
use rolling::model::spec::{BatchSize, Checkpoint, Policy, RollingDeployment};
use rolling::record::command::Command;
use rolling_provider::{Action, Fleet, Lifecycle, TargetState};
use rolling_simulator::{Behaviour, EPOCH, FleetConfig, Simulator, VirtualClock};

use crate::fast::crash::leave_command;
use crate::world::{
    Run, bad, caller, fleet, group, roll, roll_until, seconds, simulate, simulate_and_stop, spec,
    thirty_percent,
};

/// Checks the end: `size` serving instances of `revision`, and nothing borrowed or recorded.
async fn assert_tidy(fleet: &dyn Fleet, size: usize, revision: &str) {
    let look = fleet.observe().await.expect("observe");
    let live: Vec<_> = look.instances.values().filter(|i| i.lifecycle.is_live()).collect();
    assert_eq!(live.len(), size);
    assert!(live.iter().all(|i| i.revision.as_ref().is_some_and(|r| r.as_str() == revision)));
    assert_eq!((look.desired(), look.max()), (10, 10));
    assert!(look.suspended.is_empty(), "{:?}", look.suspended);
    assert!(look.record.is_empty(), "{:?}", look.record);
}

fn assert_ended(run: &Run, outcome: Outcome) {
    assert_eq!(run.report.outcome, outcome, "{:?}", run.report);
}

#[tokio::test]
async fn thirty_percent_of_ten_are_batches_of_three_three_three_and_one() {
    let simulator = simulate(fleet());
    let run = roll(simulator.clone(), spec(thirty_percent())).await;
    assert_ended(&run, Outcome::Succeeded);
    assert_eq!(run.batches(), [(0, 3), (0, 3), (0, 3), (0, 1)]);
    assert_eq!(run.least_serving(), 7);
    assert_tidy(&*simulator, 10, "v2").await;
}

#[tokio::test]
async fn an_additional_batch_launches_exactly_as_many_as_the_fleet_has_and_loses_no_capacity() {
    let simulator = simulate(fleet());
    let policy = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3));
    let run = roll(simulator.clone(), spec(policy)).await;
    assert_ended(&run, Outcome::Succeeded);
    assert_eq!(run.batches(), [(3, 0), (0, 3), (0, 3), (0, 3), (0, 1)]);
    assert_eq!(run.least_serving(), 10);
    let replaced = run
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
        let run = roll(simulator.clone(), spec(policy)).await;
        assert_ended(&run, Outcome::Succeeded);
        let mut zones: BTreeMap<&str, u32> = BTreeMap::new();
        for instance in &run.report.instances {
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
    let run = roll(simulator.clone(), spec(Policy::AllAtOnce)).await;
    assert_ended(&run, Outcome::Succeeded);
    assert_eq!(run.batches(), [(0, 10)]);
    assert_tidy(&*simulator, 10, "v2").await;
}

#[tokio::test]
async fn a_finished_rollout_plans_to_nothing() {
    let simulator = simulate(fleet());
    roll(simulator.clone(), spec(thirty_percent())).await;
    let run = roll(simulator.clone(), spec(thirty_percent())).await;
    assert_ended(&run, Outcome::Succeeded);
    assert!(run.actions().is_empty(), "{:?}", run.actions());
}

#[tokio::test]
async fn an_empty_fleet_gets_its_template_moved_and_nothing_else() {
    let simulator = simulate(FleetConfig { instances: 0, ..fleet() });
    let run = roll(simulator.clone(), spec(thirty_percent())).await;
    assert_ended(&run, Outcome::Succeeded);
    let look = simulator.observe().await.expect("observe");
    assert_eq!(look.template, Some("v2".into()));
    assert!(look.record.is_empty() && look.suspended.is_empty());
}

#[tokio::test]
async fn the_record_is_the_first_mutation_and_its_removal_the_last() {
    let run = roll(simulate(fleet()), spec(thirty_percent())).await;
    let actions = run.actions();
    assert!(matches!(actions.first(), Some(Action::WriteRecord { .. })));
    assert!(matches!(actions.last(), Some(Action::EraseRecord { .. })));
}

#[tokio::test]
async fn no_batch_ends_before_the_slower_of_two_target_groups_agrees() {
    let groups = vec![group("fast", 5), group("slow", 60)];
    let simulator = simulate(FleetConfig { target_groups: groups, ..fleet() });
    let run = roll(simulator.clone(), spec(thirty_percent())).await;
    assert_ended(&run, Outcome::Succeeded);
    // Drain 20 s, boot 30 s, the slow group 60 s, soak 10 s, four times over.
    assert!(run.report.elapsed_ms >= 4 * 120_000, "{}", run.report.elapsed_ms);
    assert_tidy(&*simulator, 10, "v2").await;
}

/// Checks what holds after a failure: the floor was kept, nothing is borrowed, the reason is
/// reported.
async fn assert_stopped(config: FleetConfig, policy: Policy, floor: usize, reason: &str) {
    let simulator = simulate(config);
    let run = roll(simulator.clone(), spec(policy)).await;
    assert_ended(&run, Outcome::Failed);
    let why = run.report.reason.as_deref().expect("a reason");
    assert!(why.contains(reason), "{why}");
    assert!(run.least_serving() >= floor, "{}", run.least_serving());
    assert!(run.report.borrowed.is_empty(), "{:?}", run.report.borrowed);
    assert!(run.report.elapsed_ms < 900_000, "{}", run.report.elapsed_ms);
    let look = simulator.observe().await.expect("observe");
    assert!(look.suspended.is_empty());
    assert_eq!((look.desired(), look.max()), (10, 10));
    assert_eq!(
        look.template,
        Some("v1".into()),
        "the group's own replacements run the old revision"
    );
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
    let run = roll(simulator.clone(), spec(thirty_percent())).await;
    assert_ended(&run, Outcome::Succeeded);
    assert_tidy(&*simulator, 10, "v2").await;
}

#[tokio::test]
async fn a_stop_asked_for_at_any_second_leaves_nothing_draining_and_a_later_run_finishes() {
    for after in (0..200).step_by(7) {
        for policy in
            [thirty_percent(), Policy::RollingWithAdditionalBatch(BatchSize::Percentage(30))]
        {
            let (simulator, stop) = simulate_and_stop(fleet(), Stop::Gracefully, seconds(after));
            let run = roll_until(simulator.clone(), spec(policy), stop).await;
            assert_ended(&run, Outcome::Aborted);
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
            let run = roll(simulator.clone(), spec(policy)).await;
            assert_ended(&run, Outcome::Succeeded);
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
            let run = roll_until(simulator.clone(), spec(policy), stop).await;
            assert_ended(&run, Outcome::Aborted);
            assert!(run.report.interrupted, "nobody has aborted it: {:?}", run.report);
            let run = roll(simulator.clone(), spec(policy)).await;
            assert_ended(&run, Outcome::Succeeded);
            assert_tidy(&*simulator, 10, "v2").await;
            let newest = run.report.instances.iter().map(|instance| instance.id.as_str()).max();
            assert_eq!(newest, Some("i-0020"), "after {after} s: ten old ones, ten launches");
        }
    }
}

#[tokio::test]
async fn a_stop_while_surge_drains_too_long_resumes_processes_and_tells_what_is_left() {
    let drain = rolling_simulator::SimulatedTargetGroup { drain: seconds(300), ..group("web", 10) };
    // By then the surge serves, and has to drain before it is given back.
    let (simulator, stop) = simulate_and_stop(
        FleetConfig { target_groups: vec![drain], ..fleet() },
        Stop::Gracefully,
        seconds(60),
    );
    let policy = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3));
    let run = roll_until(simulator.clone(), spec(policy), stop).await;
    assert_ended(&run, Outcome::Aborted);
    assert!(run.report.elapsed_ms < 102_000, "{}", run.report.elapsed_ms);
    let left = run.report.borrowed.join("; ");
    assert!(left.contains("3 instances of surge"), "{left}");
    assert!(left.contains("the maximum size is 13, it was 10"), "{left}");
    let look = simulator.observe().await.expect("observe");
    assert!(look.suspended.is_empty(), "{:?}", look.suspended);
    // The next run finds in the record what was borrowed, and finishes.
    let run = roll(simulator.clone(), spec(policy)).await;
    assert_ended(&run, Outcome::Succeeded);
    assert_tidy(&*simulator, 10, "v2").await;
}

/// An instance that was put back counts only when no look can be from before that, which takes longer
/// than instances of this fleet take to serve.
#[tokio::test]
async fn a_stop_gives_surge_back_although_instances_must_serve_within_seconds() {
    let second = seconds(1);
    let group = rolling_simulator::SimulatedTargetGroup {
        drain: seconds(5),
        register: second,
        ..group("web", 1)
    };
    let config = FleetConfig {
        target_groups: vec![group],
        boot: second,
        boot_sigma: 0.0,
        launch_lag: second,
        ..fleet()
    };
    let policy = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3));
    let mut short = spec(policy);
    (short.health.healthy_timeout, short.health.min_healthy_time) = (seconds(8), second);
    let (simulator, stop) = simulate_and_stop(config, Stop::Gracefully, seconds(8));
    let run = roll_until(simulator.clone(), short, stop).await;
    assert_ended(&run, Outcome::Aborted);
    let registered =
        |it: &Envelope| matches!(it.event, Event::Acted { action: Action::Register { .. } });
    assert!(run.events.iter().any(registered), "no victim was on its way out");
    assert_eq!(run.report.borrowed, Vec::<String>::new());
    assert_tidy(&*simulator, 10, "v1").await;
}

#[tokio::test]
async fn the_preview_has_the_batches_that_the_rollout_then_has() {
    for policy in [
        thirty_percent(),
        Policy::AllAtOnce,
        Policy::RollingWithAdditionalBatch(BatchSize::Percentage(40)),
    ] {
        let run = roll(simulate(fleet()), spec(policy)).await;
        let Some(Event::Started { preview }) = run.events.first().map(|e| &e.event) else {
            panic!("no start")
        };
        let previewed: Vec<_> =
            preview.batches.iter().map(|b| (b.launches, b.replaces.len())).collect();
        assert_eq!(previewed, run.batches());
        let expected = preview.expected_seconds as f64;
        let ratio = run.report.elapsed_ms as f64 / 1000.0 / expected;
        assert!((0.9..1.3).contains(&ratio), "{policy:?}: {ratio} of {expected} s");
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

/// Runs a rollout that is asked to stop at `stop`, and then another.
async fn interrupted(config: FleetConfig, spec: RollingDeployment, stop: u64) -> [Run; 2] {
    let (simulator, stop) = simulate_and_stop(config, Stop::Gracefully, seconds(stop));
    let first = roll_until(simulator.clone(), spec.clone(), stop).await;
    assert_eq!(first.report.outcome, Outcome::Aborted, "{:?}", first.report);
    assert!(first.report.borrowed.is_empty(), "{:?}", first.report.borrowed);
    [first, roll(simulator, spec).await]
}

#[tokio::test]
async fn an_interrupted_rollout_has_its_checkpoints_behind_it() {
    let checkpoint =
        |percentage| Checkpoint { percentage, pause: Some(seconds(300)), expires: None };
    let mut spec = spec(Policy::Rolling(BatchSize::Fixed(2)));
    spec.checkpoints = vec![checkpoint(20), checkpoint(60)];
    let waits = |run: &Run, message: &str| {
        run.events.iter().any(|envelope| match &envelope.event {
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
    // The first instance fails at 81 s and is retained.
    let [first, second] = interrupted(bad(Behaviour::Unhealthy), spec, 120).await;
    assert_eq!(first.report.retained_failed.len(), 1, "{:?}", first.report);
    assert_eq!(second.report.outcome, Outcome::Failed, "{:?}", second.report);
    let detached = second.actions().into_iter().filter(|a| matches!(a, Action::Detach { .. }));
    assert_eq!(detached.count(), 0, "one is retained already");
    let tagged = second.actions().into_iter().filter(|a| matches!(a, Action::Tag { .. }));
    assert_eq!(tagged.count(), 1, "the second failure is the last");
}

#[tokio::test]
async fn a_rollback_that_somebody_asks_for_is_no_failure() {
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let simulator = Arc::new(Simulator::in_memory(fleet(), clock.clone()));
    let commanded = simulator.clone();
    clock.at(EPOCH + seconds(100), move || leave_command(&commanded, Command::Rollback));
    let run = roll(simulator, spec(thirty_percent())).await;
    assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
    let back = run.events.iter().find_map(|envelope| match &envelope.event {
        Event::RollingBack { reason, asked, .. } => Some((reason.as_str(), *asked)),
        _ => None,
    });
    assert_eq!(back, Some(("rolled back by somebody", true)));
}

#[tokio::test]
async fn a_rollback_of_what_has_failed_shows_where_it_leads() {
    let simulator = simulate(bad(Behaviour::Unhealthy));
    let mut spec = spec(thirty_percent());
    spec.health.healthy_timeout = seconds(60);
    let run = roll(simulator.clone(), spec.clone()).await;
    assert_eq!(run.report.outcome, Outcome::Failed, "{:?}", run.report);
    let rollout = Rollout::prepare(simulator, spec, &caller()).await.expect("prepare");
    let (_keep, stop) = tokio::sync::watch::channel(Stop::No);
    let mut leads_to = Vec::new();
    let mut observe = |envelope: Envelope| {
        if let Event::Started { preview } = envelope.event {
            leads_to.push(preview.to);
        }
    };
    rollout.command(Command::Rollback, stop, &mut observe).await.expect("a rollback");
    assert_eq!(leads_to, ["v1".into()]);
}
