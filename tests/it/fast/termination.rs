//! Requests are not lost at either end: victims drain for as long as asked, batches wait until what a
//! hook holds is gone, and the soak covers a slow start.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use rolling::engine::Rollout;
use rolling::model::event::{Event, Outcome};
use rolling::model::spec::{
    BatchSize, Bound, Health, OnFailure, Pacing, Policy, RollingDeployment,
};
use rolling_provider::{
    Action, Done, Fleet, InstanceId, Lifecycle, Observation, ProviderError, Target, Timestamp,
};
use rolling_simulator::{Behaviour, FleetConfig, LifecycleHooks, Simulator};
use rolling_testing::{Wrapper, impl_fleet};
use tokio::sync::Mutex;

use super::properties::{behaviours, block_on, settings};
use crate::world::{caller, fleet, roll, seconds, simulate, spec};

/// A fleet that keeps the most instances that were terminating at any look, and when each was
/// deregistered and terminated.
struct Watched {
    inner: Arc<Simulator>,
    slow_start: Duration,
    stops_routing: Duration,
    seen: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    most: usize,
    last: BTreeSet<InstanceId>,
    deregistered: Vec<(InstanceId, Timestamp)>,
    terminated: Vec<(InstanceId, Timestamp)>,
}

#[async_trait]
impl Wrapper for Watched {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn resolve(&self) -> Result<Target, ProviderError> {
        let mut target = self.inner().resolve().await?;
        for group in &mut target.target_groups {
            group.slow_start = self.slow_start;
            group.stops_routing = self.stops_routing;
        }
        Ok(target)
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let look = self.inner().observe().await?;
        let mut seen = self.seen.lock().await;
        let leaves = look.instances.iter().filter(|(_, i)| i.lifecycle == Lifecycle::Terminating);
        seen.last = leaves.map(|(id, _)| id.clone()).collect();
        seen.most = seen.most.max(seen.last.len());
        Ok(look)
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        let done = self.inner().act(action).await?;
        let now = self.inner().clock().now();
        let mut seen = self.seen.lock().await;
        match action {
            Action::Deregister { instances, .. } => {
                seen.deregistered.extend(instances.iter().map(|id| (id.clone(), now)));
            }
            Action::Terminate { instance, .. } => seen.terminated.push((instance.clone(), now)),
            _ => {}
        }
        Ok(done)
    }
}

impl_fleet!(Watched);

fn watched(config: FleetConfig, slow_start: u64) -> Arc<Watched> {
    let (inner, slow_start) = (simulate(config), seconds(slow_start));
    Arc::new(Watched { inner, slow_start, stops_routing: seconds(0), seen: Mutex::default() })
}

fn hooked(instances: u32, terminating: u64) -> FleetConfig {
    let hooks = LifecycleHooks { terminating: seconds(terminating), ..LifecycleHooks::default() };
    FleetConfig { instances, hooks, ..fleet() }
}

fn preview(fleet: &Arc<Watched>, spec: RollingDeployment) -> rolling::model::preview::Preview {
    let fleet: Arc<dyn Fleet> = Arc::clone(fleet) as _;
    block_on(Rollout::look_up(fleet, spec, &caller())).expect("a rollout").preview()
}

#[test]
fn a_batch_and_the_end_wait_until_what_a_hook_holds_is_gone() {
    let watched = watched(hooked(4, 300), 0);
    let spec = spec(Policy::Rolling(BatchSize::Fixed(1)));
    let plan = preview(&watched, spec.clone());
    let message = "terminations held by lifecycle hook terminate (heartbeat 5m), and a batch waits \
                until its instances are gone";
    assert_eq!(plan.hooks, [message]);
    let run = block_on(roll(Arc::clone(&watched) as _, spec));
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report.reason);
    let seen = watched.seen.blocking_lock();
    assert_eq!((seen.most, seen.last.len()), (1, 0), "never two at once, and none at the end");
    let waits = run.events.iter().filter_map(|event| match &event.event {
        Event::Waiting { on } => Some(on.iter().map(ToString::to_string).collect::<Vec<_>>()),
        _ => None,
    });
    let waits: Vec<String> = waits.flatten().collect();
    let termination = "to be gone (held by lifecycle hook terminate (heartbeat 5m))";
    assert!(waits.iter().any(|wait| wait.ends_with(termination)), "{waits:?}");
}

#[test]
fn failed_instances_and_the_victims_of_a_rollback_are_waited_for_like_any_other() {
    // Both the failed ones that are replaced, and what a rollback removes or had removed before.
    for (behaviour, failure_threshold) in [(Behaviour::HalfUnhealthy, 3), (Behaviour::Unhealthy, 1)]
    {
        let mut config = hooked(4, 1200);
        config.bad_revisions.insert("v2".into(), behaviour);
        let watched = watched(config, 0);
        let health = Health { healthy_timeout: seconds(120), ..Health::default() };
        let on_failure = OnFailure::Rollback;
        let spec = spec(Policy::Rolling(BatchSize::Fixed(1)));
        let spec = RollingDeployment { health, on_failure, failure_threshold, ..spec };
        let run = block_on(roll(Arc::clone(&watched) as _, spec));
        assert!(run.report.borrowed.is_empty(), "{:?}", run.report);
        assert_eq!(watched.seen.blocking_lock().most, 1, "{behaviour:?}: {:?}", run.report.reason);
    }
}

#[test]
fn a_document_may_ask_not_to_wait() {
    let watched = watched(hooked(4, 300), 0);
    let spec = RollingDeployment {
        wait_for_termination: Some(false),
        ..spec(Policy::Rolling(BatchSize::Fixed(1)))
    };
    let run = block_on(roll(Arc::clone(&watched) as _, spec));
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report.reason);
    assert!(watched.seen.blocking_lock().most > 1);
}

#[test]
fn a_hook_that_never_lets_go_is_waited_for_until_the_cloud_ends_it() {
    // The cloud's limit, a hundred heartbeats, comes first.
    let watched = watched(hooked(2, 3600), 0);
    let run = block_on(roll(
        Arc::clone(&watched) as _,
        RollingDeployment {
            progress_deadline: Some(seconds(600)),
            ..spec(Policy::Rolling(BatchSize::Fixed(1)))
        },
    ));
    assert_eq!(run.report.outcome, Outcome::Succeeded, "waiting for a hook is no lack of progress");
    assert_eq!(watched.seen.blocking_lock().most, 1);
}

#[test]
fn the_soak_covers_a_slow_start_unless_the_document_says_otherwise() {
    let three = FleetConfig { instances: 3, ..fleet() };
    let slow = watched(three.clone(), 60);
    let default = spec(Policy::Rolling(BatchSize::Fixed(1)));
    let plan = preview(&slow, default.clone());
    assert!(!plan.warnings.iter().any(|warning| warning.contains("slow start")), "{plan:?}");
    let run = block_on(roll(slow as _, default.clone()));
    let slow = run.report.elapsed_ms;
    let quick = block_on(roll(watched(three.clone(), 0) as _, default.clone())).report.elapsed_ms;
    assert!(slow >= quick + 3 * 50_000, "{slow} ms, {quick} ms without a slow start");

    let health = Health { min_healthy_time: seconds(10), soak_is_given: true, ..Health::default() };
    let plan = preview(&watched(three, 60), RollingDeployment { health, ..default });
    let warning = "min_healthy_time is 10s, but a target group's slow start takes 1m: ";
    assert!(plan.warnings.iter().any(|found| found.starts_with(warning)), "{plan:?}");
}

/// A target of a Network Load Balancer may get requests for two minutes after it is deregistered.
#[test]
fn a_drain_that_is_over_before_the_load_balancer_stops_is_warned_of_until_something_lengthens_it() {
    let warned = |drain: u64, least: u64| {
        let mut config = fleet();
        config.target_groups[0].drain = seconds(drain);
        let group = watched(config, 0);
        let mut group = Arc::into_inner(group).expect("the only one");
        group.stops_routing = seconds(120);
        let health = Health { min_drain_time: seconds(least), ..Health::default() };
        let spec = spec(Policy::Rolling(BatchSize::Fixed(1)));
        let plan = preview(&Arc::new(group), RollingDeployment { health, ..spec });
        let mut all = plan.warnings.into_iter();
        all.find(|warning| warning.contains("may send requests to a deregistered"))
    };
    for (drain, least, is_told) in
        [(0, 0, true), (119, 0, true), (30, 60, true), (120, 0, false), (0, 120, false)]
    {
        let told = warned(drain, least);
        assert_eq!(told.is_some(), is_told, "{drain} s, at least {least} s: {told:?}");
        if let Some(told) = told {
            let end = "lengthen its deregistration delay, or health.min_drain_time";
            assert!(told.contains("up to 2m") && told.ends_with(end), "{told}");
        }
    }
}

fn policies() -> impl Strategy<Value = (Policy, Pacing)> {
    prop_oneof![
        (1u32..4).prop_map(|size| (Policy::Rolling(BatchSize::Fixed(size)), Pacing::Batch)),
        (1u32..4).prop_map(|size| {
            (Policy::RollingWithAdditionalBatch(BatchSize::Fixed(size)), Pacing::Batch)
        }),
        (1u32..3, 0u32..3).prop_map(|(surge, unavailable)| {
            let (surge, unavailable) = (Bound::Count(surge), Bound::Count(unavailable));
            (Policy::RollingWithin { surge, unavailable }, Pacing::Continuous)
        }),
        Just((Policy::Immutable, Pacing::Batch)),
        Just((Policy::AllAtOnce, Pacing::Batch)),
    ]
}

proptest! {
    #![proptest_config(settings())]

    /// No victim is terminated before it has drained for as long as the document asks, and no more
    /// than the window has places are terminating at a time.
    #[test]
    fn victims_drain_as_long_as_asked_and_no_more_leave_than_the_window_has_places(
        instances in 1u32..8,
        (policy, pacing) in policies(),
        least in 0u64..120,
        hook in 0u64..200,
        bad in proptest::option::of(behaviours()),
        failure_threshold in 1u32..4,
    ) {
        let mut config = hooked(instances, hook);
        let is_good = bad.is_none();
        config.bad_revisions.extend(bad.map(|how| ("v2".into(), how)));
        let watched = watched(config, 0);
        let health = Health { min_drain_time: seconds(least), ..Health::default() };
        let on_failure = OnFailure::Rollback;
        let spec =
            RollingDeployment { health, pacing, on_failure, failure_threshold, ..spec(policy) };
        let window = rolling::model::spec::Window::resolve(policy, instances);
        let run = block_on(roll(Arc::clone(&watched) as _, spec));
        let ends = [Outcome::Succeeded, Outcome::RolledBack];
        let as_wanted = if is_good { &ends[..1] } else { &ends[..] };
        prop_assert!(as_wanted.contains(&run.report.outcome), "{:?}", run.report.reason);
        let seen = watched.seen.blocking_lock();
        for (id, at) in &seen.terminated {
            let out = seen.deregistered.iter().find(|(out, _)| out == id);
            let Some((_, out)) = out else { continue };
            prop_assert!(at.since(*out) >= seconds(least), "{id} after {:?}", at.since(*out));
        }
        if hook > 0 {
            let most = window.slots().max(window.surge) as usize;
            prop_assert!(seen.most <= most, "{} left at once, of {most}", seen.most);
            prop_assert!(seen.last.is_empty(), "{:?} are still there at the end", seen.last);
        }
    }
}
