//! Rollouts of Deployments on a fake cluster, judged by what the cluster itself has seen.
//!
//! The fake is held to recordings of the real controllers, in `rolling-kubernetes-testing`.

mod attributes;
mod cluster;
mod failed;
mod hooks;
mod stateful_sets;
mod success;
mod third_parties;

use std::sync::Arc;
use std::time::Duration;

use rolling::engine::{Rollout, Stop};
use rolling::model::event::{Event, Outcome, Report};
use rolling::model::spec::{
    BatchSize, Bound, Checkpoint, Executor, Health, OnFailure, Policy, RollingDeployment, Window,
};
use rolling_kubernetes_testing::{ApiFault, Matching, Rule, Settings};
use serde_json::Value;
use tokio::sync::watch;

use self::cluster::FakeWorkload;
use crate::test_fleets::{Dies, Mortal};
use crate::world::{SharedClock, caller, seconds};

/// Numbers by chance, the same for a seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.below(items.len() as u64)).expect("an index")]
    }
}

fn deployment(policy: Policy, in_batches: bool) -> RollingDeployment {
    let health = Health {
        min_healthy_time: seconds(2),
        soak_is_given: true,
        healthy_timeout: seconds(60),
        min_drain_time: Duration::ZERO,
    };
    RollingDeployment {
        engine: Executor::Controller { in_batches },
        policy,
        health,
        on_failure: OnFailure::Rollback,
        poll_interval: seconds(5),
        suspend_processes: [].into(),
        ..RollingDeployment::default()
    }
}

/// Rolls to `app:TAG`, and returns the report with the warnings.
async fn roll(fake: &FakeWorkload, tag: &str, spec: RollingDeployment) -> (Report, Vec<String>) {
    let rollout = Rollout::prepare(fake.fleet(tag), spec, &caller()).await.expect("a rollout");
    let (_send, stop) = watch::channel(Stop::No);
    let mut warnings = Vec::new();
    let report = rollout
        .run(stop, &mut |envelope| {
            if let Event::Warned { warning } = envelope.event {
                warnings.push(warning);
            }
        })
        .await;
    (report, warnings)
}

/// Begins a rollout to `app:TAG` that is refused, and returns why.
async fn refused(fake: &FakeWorkload, tag: &str, spec: RollingDeployment) -> String {
    let rollout = Rollout::prepare(fake.fleet(tag), spec, &caller()).await;
    let rollout = match rollout {
        Err(error) => return error.to_string(),
        Ok(rollout) => rollout,
    };
    let (_send, stop) = watch::channel(Stop::No);
    let report = rollout.run(stop, &mut |_| ()).await;
    assert_ne!(report.outcome, Outcome::Succeeded);
    report.reason.unwrap_or_default()
}

fn policy(numbers: &mut Numbers) -> Policy {
    let count = 1 + u32::try_from(numbers.below(3)).expect("a count");
    let percent = numbers.one_of(&[10, 30, 50, 100]);
    match numbers.below(7) {
        0 => Policy::AllAtOnce,
        1 => Policy::Rolling(BatchSize::Fixed(count)),
        2 => Policy::Rolling(BatchSize::Percentage(percent)),
        3 => Policy::RollingWithAdditionalBatch(BatchSize::Fixed(count)),
        4 => Policy::RollingWithAdditionalBatch(BatchSize::Percentage(percent)),
        5 => Policy::RollingWithin {
            surge: Bound::Count(count - 1),
            unavailable: Bound::Percent(percent),
        },
        _ => Policy::Immutable,
    }
}

/// Floor and ceiling hold whatever the policy, the size, the revision and how late an answer comes;
/// a good revision arrives, a bad one goes back, and nothing is left.
async fn keeps_its_promises(clock: &Arc<SharedClock>, seed: u64) {
    let mut numbers = Numbers(seed.wrapping_mul(7919) + 1);
    let size = 1 + u32::try_from(numbers.below(9)).expect("a size");
    let policy = policy(&mut numbers);
    let mut spec = deployment(policy, numbers.below(2) == 0);
    let soak = seconds(2 + numbers.below(4));
    spec.health.min_healthy_time = soak;
    if policy != Policy::AllAtOnce && numbers.below(3) == 0 {
        let pause = Some(seconds(numbers.below(20)));
        spec.checkpoints = vec![Checkpoint { percentage: 40, pause, expires: None }];
    }
    let tag = numbers.one_of(&["v2", "v2", "v2", "slow-2", "no-image-2", "crash-2", "unhealthy-2"]);
    let late = numbers.one_of(&[0, 0, 0, 300, 2000, 5000]);
    let fake = FakeWorkload::new(clock, size, Settings { seed: seed + 1, ..Settings::default() });
    if late > 0 {
        let slow = ApiFault::Slow(Duration::from_millis(late));
        let rule = Rule::always(Matching::of("get", "deployments"), slow);
        fake.service.with(|cluster| cluster.door().rules.push(rule));
    }
    let case = format!("seed {seed}: {policy:?} of {size} to {tag}, answers {late} ms late");
    let (report, warnings) = roll(&fake, tag, spec).await;

    let is_good = tag == "v2" || tag == "slow-2";
    let wanted = if is_good { Outcome::Succeeded } else { Outcome::RolledBack };
    assert_eq!(report.outcome, wanted, "{case}: {report:?}");
    let wanted = if is_good { format!("app:{tag}") } else { "app:v1".to_owned() };
    assert_eq!(fake.image(), wanted, "{case}");
    assert_eq!(fake.left(), Vec::<String>::new(), "{case}");
    let unproven = fake.unproven(tag, soak);
    assert!(!is_good || unproven.is_none(), "{case}: {unproven:?}");
    let window = Window::resolve(policy, size);
    let (least, most) = fake.extremes();
    assert!(least >= window.floor(), "{case}: {least} of {} served", window.floor());
    assert!(most <= window.ceiling(), "{case}: {most} lived, of {}", window.ceiling());
    let overtaken = warnings.iter().any(|warning| warning.contains("has gone on to"));
    assert!(!overtaken || late > 0, "{case}: {warnings:?}");
}

/// Runs `work` on a virtual clock of its own.
fn in_virtual_time<F: Future<Output = ()>>(work: impl FnOnce(Arc<SharedClock>) -> F) {
    let clock = Arc::<SharedClock>::default();
    clock.run(work(Arc::clone(&clock)));
}

fn keep_their_promises(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        in_virtual_time(|clock| async move { keeps_its_promises(&clock, seed).await });
    }
}

#[test]
fn floor_and_ceiling_hold_and_nothing_is_left_whatever_is_rolled() {
    keep_their_promises(0..250);
}

/// The second half of them, beside the first.
#[test]
fn floor_and_ceiling_hold_and_nothing_is_left_in_as_many_others() {
    keep_their_promises(250..500);
}

/// A look costs four calls, and one more while a pod is not ready.
#[test]
fn a_look_costs_at_most_five_calls() {
    in_virtual_time(|clock| async move {
        let clock = &clock;
        let fake = FakeWorkload::new(clock, 9, Settings::default());
        let fleet = fake.fleet("v2");
        let count = || fake.service.with(|cluster| cluster.calls().len());
        let before = count();
        fleet.observe().await.expect("a look");
        assert_eq!(count() - before, 4);
        let (report, _) =
            roll(&fake, "v2", deployment(Policy::Rolling(BatchSize::Fixed(3)), true)).await;
        let looks = usize::try_from(report.ticks).expect("a count");
        let reads = fake
            .service
            .with(|cluster| cluster.calls().iter().filter(|call| !call.is_write()).count());
        assert!(reads - before <= 5 * (looks + 4), "{reads} calls for {looks} looks");
    });
}

/// An answer that is lost is looked for, not sent again.
#[test]
fn calls_whose_answer_is_lost_are_found_and_not_made_again() {
    in_virtual_time(|clock| async move {
        let clock = &clock;
        for (verb, resource) in
            [("patch", "deployments"), ("patch", "leases"), ("create", "leases")]
        {
            for fault in [ApiFault::DroppedAfter, ApiFault::DroppedBefore, ApiFault::Unavailable] {
                let fake = FakeWorkload::new(clock, 4, Settings::default());
                let case = format!("{verb} {resource}: {fault:?}");
                let rule = Rule::once(Matching::of(verb, resource), fault);
                fake.service.with(|cluster| cluster.door().rules.push(rule));
                let spec = deployment(Policy::Rolling(BatchSize::Fixed(2)), true);
                let (report, _) = roll(&fake, "v2", spec).await;
                assert_eq!(report.outcome, Outcome::Succeeded, "{case}: {report:?}");
                assert_eq!(fake.left(), Vec::<String>::new(), "{case}");
                let (least, most) = fake.extremes();
                assert!(least >= 2 && most <= 4, "{case}: {least} {most}");
            }
        }
    });
}

/// Killed at any of its calls, whether that took effect or not, the next engine completes the rollout
/// or its way back, and leaves nothing.
#[test]
fn killed_at_every_call_the_next_engine_ends_it() {
    let batches = || deployment(Policy::Rolling(BatchSize::Fixed(2)), true);
    let own_pace = || deployment(Policy::RollingWithAdditionalBatch(BatchSize::Fixed(2)), false);
    let immutable = || deployment(Policy::Immutable, false);
    let mut killed = 0;
    for (spec, tag) in [
        (batches(), "v2"),
        (own_pace(), "v2"),
        (immutable(), "v2"),
        (batches(), "no-image-2"),
        (own_pace(), "crash-2"),
        (immutable(), "unhealthy-2"),
    ] {
        for dies in [Dies::Before, Dies::After] {
            let mut at = 1;
            while dies_at(at, dies, &cluster::deployment(5), &spec, tag) {
                (at, killed) = (at + 1, killed + 1);
            }
        }
    }
    assert!(killed > 60, "{killed} calls");
}

/// Kills an engine of `workload` at its `at`th call and lets another one go on. Returns whether there was
/// one.
fn dies_at(at: u32, dies: Dies, workload: &Value, spec: &RollingDeployment, tag: &str) -> bool {
    let died = std::cell::Cell::new(false);
    in_virtual_time(|clock| {
        let died = &died;
        async move {
            let fake = FakeWorkload::of(&clock, workload.clone(), Settings::default());
            let mortal = Mortal::new(fake.fleet(tag), at, dies);
            let (_send, stop) = watch::channel(Stop::No);
            let engine = Rollout::prepare(mortal.clone(), spec.clone(), &caller()).await;
            let ignore = &mut |_| ();
            let run = engine.expect("a rollout").run(stop, ignore);
            died.set(mortal.survive(run).await.is_none());
            let case = format!("{:?} to {tag}, dies {dies:?} call {at}", spec.policy);
            let good = tag == "v2";
            if died.get() {
                let (report, _) = roll(&fake, tag, spec.clone()).await;
                let wanted = if good { Outcome::Succeeded } else { Outcome::RolledBack };
                assert_eq!(report.outcome, wanted, "{case}: {report:?}");
            }
            assert_eq!(fake.left(), Vec::<String>::new(), "{case}");
            assert_eq!(fake.image(), if good { "app:v2" } else { "app:v1" }, "{case}");
            let window = Window::resolve(spec.policy, 5);
            let (least, most) = fake.extremes();
            assert!(least >= window.floor() && most <= window.ceiling(), "{case}: {least} {most}");
        }
    });
    died.get()
}

/// Two engines at once: the record is guarded, so one of them is refused.
#[test]
fn an_engine_that_lives_is_not_overtaken() {
    in_virtual_time(|clock| async move {
        let clock = &clock;
        let fake = FakeWorkload::new(clock, 4, Settings::default());
        let first = fake.fleet("v2");
        let tags = [("rolling:lease".to_owned(), "v=2 owner=a n=1 at=1".to_owned())].into();
        first.observe().await.expect("a look");
        let write = rolling_provider::Action::WriteRecord { tags };
        let second = fake.fleet("v2");
        second.observe().await.expect("a look");
        first.act(&write).await.expect("the first writes");
        let refused = second.act(&write).await.expect_err("the second has not seen that");
        assert_eq!(refused.code.as_deref(), Some("AlreadyExists"), "{refused}");
        assert_eq!(refused.effect, rolling_provider::Effect::NotApplied);
    });
}
