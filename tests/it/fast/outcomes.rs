//! What is said of a rollout is so: who was left alone, what can never begin, what was missing before,
//! and who is the cause.

mod impossible;

use std::sync::Arc;

use async_trait::async_trait;
use rolling::engine::Rollout;
use rolling::model::event::Outcome;
use rolling::model::spec::{BatchSize, OnFailure, Policy, RollingDeployment, SetAside};
use rolling::report::text;
use rolling_provider::{Action, Done, ErrorKind, Fleet, InstanceId, ProviderError};
use rolling_simulator::{Behaviour, FleetConfig, Intervention, Simulator};
use rolling_testing::{Flaky, Wrapper, impl_fleet};

use super::properties::{block_on, look};
use crate::world::{Run, bad, caller, fleet, roll, simulate, spec};

fn three() -> FleetConfig {
    FleetConfig { instances: 3, ..fleet() }
}

fn fixed(size: u32) -> RollingDeployment {
    RollingDeployment {
        protected: SetAside::Ignore,
        standby: SetAside::Ignore,
        on_failure: OnFailure::Rollback,
        ..spec(Policy::Rolling(BatchSize::Fixed(size)))
    }
}

fn ids(simulator: &Simulator) -> Vec<InstanceId> {
    look(simulator).instances.keys().cloned().collect()
}

fn prepared(simulator: &Arc<Simulator>, spec: RollingDeployment) -> Rollout {
    let fleet: Arc<dyn Fleet> = Arc::clone(simulator) as _;
    block_on(Rollout::look_up(fleet, spec, &caller())).expect("a rollout")
}

fn rolled(simulator: &Arc<Simulator>, spec: RollingDeployment) -> Run {
    let fleet: Arc<dyn Fleet> = Arc::clone(simulator) as _;
    block_on(roll(fleet, spec))
}

#[test]
fn who_is_left_alone_is_told_and_the_revision_before_stays_the_completed_one() {
    type Way = fn(InstanceId) -> Intervention;
    let cases: [(Way, bool); 3] = [
        (|id| Intervention::Protect(id, true), true),
        (Intervention::Ignore, true),
        (|id| Intervention::Standby(id, true), false),
    ];
    for (way, lives) in cases {
        let simulator = simulate(three());
        let before = ids(&simulator);
        let untouched = if lives { 3 } else { 2 };
        for id in before.iter().take(untouched) {
            simulator.intervene(way(id.clone())).expect("an intervention");
        }
        let run = rolled(&simulator, fixed(1));
        let report = &run.report;
        assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.reason);
        assert_eq!(report.left_alone, before[..untouched], "{report:?}");
        let completed = report.completed.as_ref().map(ToString::to_string);
        assert_eq!(completed.as_deref(), Some("v1"), "the whole fleet ran v1 last");
        let message = text::report("web", report);
        let count = format!("{untouched} left alone ({}", before[0]);
        assert!(message.contains(&count), "{message}");

        let again = prepared(&simulator, fixed(1));
        let preview = again.preview();
        assert!(!preview.changes, "{preview:?}");
        assert_eq!(again.left_alone(), before[..untouched]);
        let message = text::plan("web", &preview);
        let count = format!("of 3 instances: {untouched} are left alone");
        assert!(message.contains(&count), "{message}");
        assert!(!message.contains("runs v2"), "{message}");
    }
}

#[test]
fn a_bad_revision_goes_back_to_what_those_ran_that_are_ours_to_replace() {
    let simulator = simulate(FleetConfig {
        bad_revisions: [("v3".into(), Behaviour::Unhealthy)].into(),
        ..three()
    });
    let first = ids(&simulator).remove(0);
    simulator.intervene(Intervention::Ignore(first.clone())).expect("an intervention");
    let run = rolled(&simulator, fixed(1));
    assert_eq!((run.report.outcome, run.report.left_alone.len()), (Outcome::Succeeded, 1));
    simulator.retarget("v3".into());
    let report = rolled(&simulator, fixed(1)).report;
    assert_eq!(report.outcome, Outcome::RolledBack, "{:?}", report.reason);
    assert_eq!(report.restored, Some("v2".into()));
    let message = text::report("web", &report);
    assert!(message.contains("rolled back from v3, 2 of 3 instances on v2, 1 left"), "{message}");
    for (id, instance) in look(&simulator).instances.iter().filter(|(_, i)| i.lifecycle.is_live()) {
        let wanted = if *id == first { "v1" } else { "v2" };
        assert_eq!(instance.revision, Some(wanted.into()), "{id}");
    }
}

#[test]
fn a_plan_says_what_can_never_begin_and_has_no_batches_then() {
    let simulator = simulate(FleetConfig { instances: 8, ..fleet() });
    for id in ids(&simulator).into_iter().take(2) {
        simulator.intervene(Intervention::Deregister(id.clone())).expect("an intervention");
        simulator.intervene(Intervention::Ignore(id)).expect("an intervention");
    }
    let two = prepared(&simulator, fixed(2));
    let found = two.preflight();
    let stuck = found.iter().find(|found| found.message.contains("nothing can ever be replaced"));
    let stuck = stuck.expect("a finding");
    assert!(stuck.is_error && stuck.remedy.contains("set batch_size = 3 or more"), "{stuck:?}");
    assert!(stuck.message.contains("(i-0001, i-0002)"), "{stuck:?}");
    assert!(two.preview().batches.is_empty(), "{:?}", two.preview());
    let larger = prepared(&simulator, fixed(3));
    assert!(larger.preflight().is_empty(), "{:?}", larger.preflight());
    assert_eq!(rolled(&simulator, fixed(3)).report.outcome, Outcome::Succeeded);
}

#[test]
fn what_is_missing_before_is_told_before_and_the_batches_come_after_it() {
    let simulator = simulate(FleetConfig { launch_lag: crate::world::seconds(300), ..three() });
    let first = ids(&simulator).remove(0);
    simulator.intervene(Intervention::Terminate(first)).expect("an intervention");
    let before = prepared(&simulator, fixed(1));
    let preview = before.preview();
    let batches: Vec<usize> = preview.batches.iter().map(|batch| batch.replaces.len()).collect();
    assert_eq!(batches.iter().sum::<usize>(), 2, "{preview:?}");
    let message = "1 of 3 instances is missing already";
    assert!(preview.warnings.iter().any(|warning| warning.contains(message)), "{preview:?}");
}

/// A fleet that takes no termination.
struct Unending(Arc<Simulator>);

#[async_trait]
impl Wrapper for Unending {
    fn inner(&self) -> &dyn Fleet {
        &*self.0
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        if matches!(action, Action::Terminate { .. }) {
            let error = ProviderError::invalid("Terminate", "", "Rate exceeded");
            return Err(ProviderError { kind: ErrorKind::Throttled, ..error });
        }
        self.inner().act(action).await
    }
}

impl_fleet!(Unending);

#[test]
fn what_we_cannot_do_is_not_blamed_on_others() {
    let simulator = simulate(three());
    let spec = RollingDeployment {
        progress_deadline: Some(crate::world::seconds(90)),
        on_failure: OnFailure::Stop,
        ..fixed(1)
    };
    let report = block_on(roll(Arc::new(Unending(simulator)), spec)).report;
    let reason = report.reason.unwrap_or_default();
    assert!(reason.contains("terminate i-0001, which fails: "), "{reason}");
    assert!(reason.contains("Rate exceeded"), "{reason}");
    assert!(!reason.contains("somebody else") && !reason.contains("nobody"), "{reason}");
}

#[test]
fn one_call_that_fails_does_not_end_watching() {
    let simulator = simulate(three());
    let flaky: Arc<dyn Fleet> = Flaky::new(Arc::clone(&simulator) as _, 0..0, 3);
    block_on(async {
        let mut rollout = Rollout::look_up(flaky, fixed(1), &caller()).await.expect("a rollout");
        for _ in 0..40 {
            rollout.look_again().await.expect("a look");
        }
    });
}

#[test]
fn a_plan_says_what_it_costs_at_worst_in_one_line() {
    let simulator = simulate(bad(Behaviour::Unhealthy));
    let plan = |policy| {
        let preview = prepared(&simulator, spec(policy)).preview();
        let message = text::plan("web", &preview);
        message.lines().find(|line| line.contains("worst case")).unwrap_or_default().to_owned()
    };
    assert_eq!(
        plan(Policy::Rolling(BatchSize::Percentage(30))),
        "  worst case 3 of 10 instances (30 %) unavailable at once, for up to 10m 20s and until somebody \
         decides; 3 (30 %) on a revision that never becomes healthy, for up to 10m, all on one that \
         fails later"
    );
    assert_eq!(
        plan(Policy::Immutable),
        "  worst case no instance unavailable; 1 (10 %) on a revision that never becomes healthy, for up \
         to 10m, all on one that fails later"
    );
}
