//! The cause of a wait or of a failure is what holds it up, and nothing else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rolling::engine::Rollout;
use rolling::model::event::{Cause, Event, Outcome};
use rolling::model::spec::{BatchSize, OnFailure, Policy, RollingDeployment};
use rolling::model::wait::WaitKind;
use rolling::report::text;
use rolling_provider::{
    Action, Done, Effect, ErrorKind, Fleet, InstanceId, Observation, ProviderError, Update,
    UpdateState,
};
use rolling_simulator::{Behaviour, FleetConfig, Intervention, LifecycleHooks, Simulator};
use rolling_testing::{Wrapper, impl_fleet};

use crate::fast::in_place::{deploy, updated};
use crate::fast::properties::{block_on, look};
use crate::world::{bad, caller, fleet, roll, seconds, simulate, spec};

/// A fleet that marks instances for their update in place and does not take the call that begins it,
/// until some second.
struct Marking {
    inner: Arc<Simulator>,
    until: u64,
    effect: Effect,
    marked: Mutex<BTreeMap<InstanceId, Update>>,
}

#[async_trait]
impl Wrapper for Marking {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let mut look = self.inner.observe().await?;
        for (id, update) in &*self.marked.lock().expect("it") {
            if let Some(instance) = look.instances.get_mut(id) {
                instance.update = Some(update.clone());
            }
        }
        Ok(look)
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        match action {
            Action::Update { instances, to, token } => {
                let now = self.inner.clock().now().since(rolling_simulator::EPOCH);
                let (to, token, state) = (to.clone(), token.clone(), UpdateState::Marked);
                let update = Update { to, token, state };
                let mut marked = self.marked.lock().expect("it");
                if now < seconds(self.until) {
                    marked.extend(instances.iter().map(|id| (id.clone(), update.clone())));
                    let error = ProviderError::invalid("SendCommand", "", "Rate exceeded");
                    let (kind, effect) = (ErrorKind::Throttled, self.effect);
                    return Err(ProviderError { kind, effect, attribute: None, ..error });
                }
                instances.iter().for_each(|id| drop(marked.remove(id)));
            }
            Action::Confirm { instances, to: None } => {
                let mut marked = self.marked.lock().expect("it");
                instances.iter().for_each(|id| drop(marked.remove(id)));
            }
            _ => {}
        }
        self.inner.act(action).await
    }
}

impl_fleet!(Marking);

fn marking(until: u64, effect: Effect) -> (Arc<Marking>, RollingDeployment) {
    let inner = simulate(updated(FleetConfig { instances: 3, ..fleet() }));
    let spec = deploy(Policy::Rolling(BatchSize::Fixed(1)));
    (Arc::new(Marking { inner, until, effect, marked: Mutex::default() }), spec)
}

#[test]
fn an_update_that_the_cloud_does_not_begin_is_held_up_by_that_call() {
    let (fleet, spec) = marking(100_000, Effect::NotApplied);
    let on_failure = OnFailure::Stop;
    let progress_deadline = Some(seconds(90));
    let run = block_on(roll(fleet, RollingDeployment { on_failure, progress_deadline, ..spec }));
    let report = &run.report;
    assert_eq!((report.outcome, report.cause), (Outcome::Failed, Some(Cause::Call)), "{report:?}");
    let reason = report.reason.clone().unwrap_or_default();
    assert!(reason.contains("which fails: ") && reason.contains("Rate exceeded"), "{reason}");
    assert!(!reason.contains("being updated"), "{reason}");
}

#[test]
fn an_update_is_asked_for_again_as_soon_as_the_cloud_takes_the_call() {
    // Whether a lost answer began it shows within half a minute, and asking twice would do it twice.
    let (fleet, spec) = marking(50, Effect::Unknown);
    let run = block_on(roll(fleet, spec));
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    let (fleet, spec) = marking(50, Effect::NotApplied);
    let run = block_on(roll(fleet, spec));
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    let at =
        |kind: fn(&Event) -> bool| run.events.iter().find(|it| kind(&it.event)).map(|it| it.at);
    let begun = at(|it| matches!(it, Event::Acted { action: Action::Update { .. } }));
    let begun = begun.expect("an update").since(rolling_simulator::EPOCH);
    assert!(begun < seconds(65), "{begun:?}: not only once a lost update would have shown");
}

#[test]
fn a_launch_hook_that_nobody_completes_is_not_the_fault_of_the_revision() {
    let hooks = LifecycleHooks { launching: seconds(3600), ..LifecycleHooks::default() };
    let simulator = simulate(FleetConfig { instances: 3, hooks, ..fleet() });
    let mut deploy = RollingDeployment {
        on_failure: OnFailure::Stop,
        ..spec(Policy::RollingWithAdditionalBatch(BatchSize::Fixed(1)))
    };
    deploy.health.healthy_timeout = seconds(120);
    let report = block_on(roll(simulator as _, deploy)).report;
    assert_eq!(report.cause, Some(Cause::LifecycleHook), "{report:?}");
    let told = text::report("web", &report);
    assert!(told.contains("have the lifecycle hook completed in time"), "{told}");
}

#[test]
fn of_many_that_hold_a_rollout_up_a_few_are_named() {
    let simulator = simulate(FleetConfig { instances: 40, ..bad(Behaviour::Unhealthy) });
    let deploy = RollingDeployment {
        failure_threshold: 100,
        progress_deadline: Some(seconds(300)),
        ..spec(Policy::AllAtOnce)
    };
    let reason = block_on(roll(simulator as _, deploy)).report.reason.unwrap_or_default();
    assert!(reason.contains("and 35 more"), "{reason}");
    assert!(reason.len() < 1000, "{reason}");
}

#[test]
fn unmanaged_instances_that_are_ignored_are_named_and_not_counted_away() {
    for ignored in [3, 1] {
        let simulator = simulate(FleetConfig { instances: 3, unmanaged: true, ..fleet() });
        let all: Vec<InstanceId> = look(&simulator).instances.into_keys().collect();
        for id in &all[..ignored] {
            simulator.intervene(Intervention::Ignore(id.clone())).expect("a tag");
        }
        let deploy = spec(Policy::Rolling(BatchSize::Fixed(1)));
        let fleet: Arc<dyn Fleet> = Arc::clone(&simulator) as _;
        let looked = || block_on(Rollout::look_up(Arc::clone(&fleet), deploy.clone(), &caller()));
        let rollout = looked().expect("a rollout");
        assert_eq!(rollout.left_alone(), all[..ignored]);
        let told = text::plan("web", &rollout.preview());
        assert!(told.contains("rolling:ignore") || told.contains("left alone (i-0001"), "{told}");
        assert!(!told.contains("runs v2"), "{told}");
        let report = block_on(roll(Arc::clone(&fleet), deploy.clone())).report;
        assert_eq!(report.left_alone, all[..ignored], "{report:?}");
        assert_ne!(looked().expect("a rollout").completed(), Some("v2".into()), "not all run it");
        let told = text::status("web", &looked().expect("a rollout"));
        assert!(told.contains("left alone i-0001"), "{told}");
    }
}

#[test]
fn a_wait_at_the_floor_says_why_nothing_goes() {
    let simulator = simulate(FleetConfig { instances: 3, ..fleet() });
    let first = look(&simulator).instances.into_keys().next().expect("one");
    simulator.intervene(Intervention::Break(first, true)).expect("it");
    let deploy = RollingDeployment {
        progress_deadline: Some(seconds(300)),
        ..spec(Policy::RollingWithAdditionalBatch(BatchSize::Fixed(1)))
    };
    let run = block_on(roll(simulator as _, deploy));
    for envelope in &run.events {
        let Event::Waiting { on } = &envelope.event else { continue };
        for wait in on.iter().filter(|wait| wait.kind == WaitKind::Floor) {
            let detail = wait.detail.clone().unwrap_or_default();
            assert!(
                detail.contains("serve, and at least") || detail.contains("for sure"),
                "{wait}"
            );
        }
    }
}

#[test]
fn a_template_that_somebody_changes_once_is_told_and_not_only_set_again() {
    let events = vec![(seconds(300), Intervention::MoveTemplate("v9".into()))];
    let simulator = simulate(FleetConfig { instances: 3, events, ..fleet() });
    let pause = RollingDeployment {
        pause_between_batches: seconds(900),
        ..spec(Policy::Rolling(BatchSize::Fixed(1)))
    };
    let run = block_on(roll(simulator as _, pause));
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    let warnings: Vec<&String> = run
        .events
        .iter()
        .filter_map(|envelope| match &envelope.event {
            Event::Warned { warning } => Some(warning),
            _ => None,
        })
        .collect();
    let message = "somebody set the template to v9 meanwhile. It is set to v2 again";
    assert!(matches!(warnings.as_slice(), [one] if one.starts_with(message)), "{warnings:?}");
    let told = text::report("web", &run.report);
    assert!(told.contains("something changed the template once meanwhile"), "{told}");
}

/// A rollback could launch nothing either, and what came up before is the rollout's own.
#[test]
fn launches_that_somebody_suspends_are_the_cause_and_no_revision_is_blamed() {
    let events = vec![(seconds(100), Intervention::Suspend("Launch".into(), true))];
    let simulator = simulate(FleetConfig { instances: 4, events, ..fleet() });
    let deploy = RollingDeployment {
        on_failure: OnFailure::Rollback,
        ..spec(Policy::Rolling(BatchSize::Fixed(1)))
    };
    let run = block_on(roll(Arc::clone(&simulator) as _, deploy.clone()));
    let why = "somebody has suspended Launch: resume it";
    let reason = run.report.reason.clone().unwrap_or_default();
    assert_eq!((run.report.outcome, run.report.cause), (Outcome::Failed, Some(Cause::Others)));
    assert!(reason.ends_with(why) && !reason.contains("came up on"), "{reason}");
    assert!(run.report.instances.iter().all(|instance| instance.serves), "{:?}", run.report);
    let waits = run.events.iter().filter_map(|envelope| match &envelope.event {
        Event::Waiting { on } => Some(on),
        _ => None,
    });
    let mut details = waits.flatten().filter_map(|wait| wait.detail.as_deref());
    assert!(details.any(|detail| detail.ends_with(why)), "{:?}", run.events);
    simulator.intervene(Intervention::Suspend("Launch".into(), false)).expect("it");
    assert_eq!(block_on(roll(simulator as _, deploy)).report.outcome, Outcome::Succeeded);
}
