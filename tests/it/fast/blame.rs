//! What a rollout fails by: the new revision, a call of ours, or the cloud's capacity. What to do
//! next follows from it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rolling::model::event::{Cause, Event, Outcome};
use rolling::model::spec::{BatchSize, OnFailure, Policy, RollingDeployment};
use rolling::report::text;
use rolling_provider::{Action, Done, Effect, ErrorKind, Fleet, ProviderError, Timestamp};
use rolling_simulator::{Behaviour, FleetConfig, Simulator};
use rolling_testing::{Wrapper, impl_fleet};

use super::properties::look;
use crate::test_fleets::SECOND;
use crate::world::{Run, bad, fleet, group, roll, seconds, simulate, spec};

/// Refuses some calls for a time.
struct Refusing {
    inner: Arc<Simulator>,
    what: fn(&Action) -> bool,
    kind: ErrorKind,
    from: Timestamp,
    until: Timestamp,
}

#[async_trait]
impl Wrapper for Refusing {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        let now = self.inner.clock().now();
        if (self.what)(action) && self.from <= now && now < self.until {
            let error = ProviderError::invalid("Call", "", "Rate exceeded");
            return Err(ProviderError {
                kind: self.kind,
                effect: Effect::NotApplied,
                attribute: None,
                ..error
            });
        }
        self.inner.act(action).await
    }
}

impl_fleet!(Refusing);

/// Rolls while calls are refused for a part of the time.
pub async fn refuse(
    simulator: &Arc<Simulator>,
    spec: RollingDeployment,
    what: fn(&Action) -> bool,
    kind: ErrorKind,
    [from, until]: [u64; 2],
) -> Run {
    let at = |second| simulator.clock().now() + seconds(second);
    let (from, until) = (at(from), at(until));
    let inner = Arc::clone(simulator);
    roll(Arc::new(Refusing { inner, what, kind, from, until }), spec).await
}

fn three(config: FleetConfig) -> Arc<Simulator> {
    simulate(FleetConfig { instances: 3, ..config })
}

fn deploy(policy: Policy, healthy_timeout: u64) -> RollingDeployment {
    let mut spec = RollingDeployment { on_failure: OnFailure::Rollback, ..spec(policy) };
    spec.health.healthy_timeout = seconds(healthy_timeout);
    spec.health.min_healthy_time = Duration::ZERO;
    spec
}

fn one() -> Policy {
    Policy::Rolling(BatchSize::Fixed(1))
}

fn terminates(action: &Action) -> bool {
    matches!(action, Action::Terminate { .. })
}

fn registers(action: &Action) -> bool {
    matches!(action, Action::Register { .. })
}

fn launches(action: &Action) -> bool {
    matches!(action, Action::Launch { .. })
}

fn serving(simulator: &Simulator, revision: &str) -> usize {
    let look = look(simulator);
    let on = look.instances.values().filter(|instance| {
        instance.lifecycle.is_live()
            && instance.revision.as_ref().is_some_and(|r| r.as_str() == revision)
    });
    on.count()
}

pub const EVER: u64 = 100_000;

#[tokio::test]
async fn a_refused_call_is_the_cause_and_the_revision_is_not_to_be_corrected() {
    let unmanaged = FleetConfig { unmanaged: true, ..fleet() };
    let denied = ErrorKind::Denied;
    for (config, what, kind, from) in [
        (fleet(), terminates as fn(&Action) -> bool, ErrorKind::Throttled, 60),
        (fleet(), terminates, denied, 60),
        (unmanaged.clone(), terminates, ErrorKind::Throttled, 0),
        (unmanaged.clone(), launches, denied, 0),
        (unmanaged.clone(), launches, ErrorKind::Transient, 0),
    ] {
        let simulator = three(config);
        let mut spec = deploy(one(), 60);
        spec.progress_deadline = Some(seconds(90));
        let run = refuse(&simulator, spec, what, kind, [from, EVER]).await;
        let report = &run.report;
        assert_eq!(report.cause, Some(Cause::Call), "{kind:?}: {report:?}");
        let reason = report.reason.as_deref().unwrap_or_default();
        assert!(reason.contains("Rate exceeded"), "{reason}");
        assert!(!reason.contains("the restored revision failed"), "{reason}");
        let message = text::report("web", report);
        assert!(message.contains("correct the cause"), "{message}");
    }
}

/// Surge that cannot be removed stays, and the fleet runs on its own again.
#[tokio::test]
async fn surge_that_the_cloud_does_not_remove_leaves_no_process_suspended() {
    for kind in [ErrorKind::Denied, ErrorKind::Throttled] {
        let simulator = three(bad(Behaviour::Unhealthy));
        let mut spec = deploy(Policy::RollingWithAdditionalBatch(BatchSize::Fixed(1)), 60);
        spec.on_failure = OnFailure::Stop;
        let run = refuse(&simulator, spec.clone(), terminates, kind, [0, EVER]).await;
        assert_eq!(run.report.outcome, Outcome::Failed, "{kind:?}: {:?}", run.report);
        let left = run.report.borrowed.join("; ");
        assert!(left.contains("1 instance of surge"), "{kind:?}: {left}");
        assert!(left.contains("could not terminate"), "{kind:?}: {left}");
        assert!(!left.contains("suspended processes"), "{kind:?}: {left}");
        assert!(look(&simulator).suspended.is_empty(), "{kind:?}");
        // Once the cloud takes the call, an apply of the revision before removes it.
        simulator.retarget("v1".into());
        let run = roll(simulator.clone(), spec).await;
        assert_eq!(run.report.outcome, Outcome::Succeeded, "{kind:?}: {:?}", run.report);
        assert_eq!((serving(&simulator, "v1"), run.report.size), (3, 3), "{kind:?}");
    }
}

#[tokio::test]
async fn a_launch_without_capacity_is_no_fault_of_the_revision() {
    let simulator = three(FleetConfig { unmanaged: true, ..fleet() });
    let kind = ErrorKind::NoCapacity;
    let run = refuse(&simulator, deploy(one(), 60), launches, kind, [0, EVER]).await;
    assert_eq!(run.report.cause, Some(Cause::Capacity), "{:?}", run.report);
    let message = text::report("web", &run.report);
    assert!(message.contains("wait until there is capacity"), "{message}");
    let reason = run.report.reason.unwrap_or_default();
    assert!(!reason.contains("the restored revision failed"), "{reason}");
}

#[tokio::test]
async fn a_bad_revision_is_the_cause_and_is_to_be_corrected() {
    let simulator = three(bad(Behaviour::Unhealthy));
    let run = roll(simulator, deploy(one(), 60)).await;
    assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
    assert_eq!(run.report.cause, Some(Cause::Revision), "{:?}", run.report);
    assert!(text::report("web", &run.report).contains("correct the revision"), "{:?}", run.report);
}

#[tokio::test]
async fn an_action_that_is_refused_does_not_hold_up_the_registration_of_another_instance() {
    let simulator = three(FleetConfig { unmanaged: true, ..fleet() });
    let policy = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(1));
    let mut spec = deploy(policy, 60);
    spec.pacing = rolling::model::spec::Pacing::Continuous;
    let run = refuse(&simulator, spec, terminates, ErrorKind::Throttled, [0, 200]).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    let failed = run.events.iter().find(|it| matches!(it.event, Event::RollingBack { .. }));
    assert!(failed.is_none(), "{failed:?}");
}

#[tokio::test]
async fn the_time_in_which_its_registration_is_refused_counts_for_no_instance() {
    let second = Some(group(SECOND, 5));
    let simulator = three(FleetConfig { second, ..fleet() });
    let policy = Policy::BlueGreen { terminate_after: seconds(10) };
    let mut spec = deploy(policy, 60);
    spec.suspend_processes.insert("AddToLoadBalancer".into());
    let run = refuse(&simulator, spec, registers, ErrorKind::Throttled, [0, 150]).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
}

#[tokio::test]
async fn victims_that_go_back_into_rotation_have_their_full_time_from_then_on() {
    // Its boot time is not known: it would be longer than it may be.
    let simulator = three(FleetConfig { publishes_boot: false, ..fleet() });
    // It takes 10 s from the registration until an instance serves.
    let mut spec = deploy(one(), 11);
    spec.progress_deadline = Some(seconds(60));
    fn either(action: &Action) -> bool {
        terminates(action) || registers(action)
    }
    let run = refuse(&simulator, spec, either, ErrorKind::Throttled, [0, 95]).await;
    assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
    assert_eq!((serving(&simulator, "v1"), run.report.cause), (3, Some(Cause::Call)));
    let reason = run.report.reason.unwrap_or_default();
    assert!(reason.contains("which fails: "), "{reason}");
}
