//! What a plan announces happens.

use std::sync::Arc;

use rolling::engine::Rollout;
use rolling::model::event::{Event, Outcome};
use rolling::model::preview::Preview;
use rolling::model::spec::{BatchSize, OnFailure, Policy, RollingDeployment, SetAside};
use rolling::record::{Ending, Phase, Record};
use rolling::report::text;
use rolling_provider::{Action, Fleet};
use rolling_simulator::{Behaviour, FleetConfig, Intervention, LifecycleHooks, Simulator};

use crate::fast::planner::record;
use crate::fast::properties::{block_on, look, suspended};
use crate::world::{bad, caller, fleet, roll, seconds, simulate, spec};

fn planned(simulator: &Arc<Simulator>, spec: &RollingDeployment) -> Preview {
    let fleet: Arc<dyn Fleet> = Arc::clone(simulator) as _;
    block_on(Rollout::look_up(fleet, spec.clone(), &caller())).expect("a rollout").preview()
}

/// Returns the largest size and maximum that a plan announces, and those that the rollout sets.
fn sizes(simulator: &Arc<Simulator>, spec: &RollingDeployment) -> (u32, u32) {
    let announced = planned(simulator, spec);
    let launches: u32 = announced.batches.iter().map(|batch| batch.launches).sum();
    let run = block_on(roll(Arc::clone(simulator) as _, spec.clone()));
    let set = run.events.iter().filter_map(|envelope| match &envelope.event {
        Event::Acted { action: Action::SetCapacity { desired, .. } } => *desired,
        _ => None,
    });
    (announced.size + launches, set.max().unwrap_or_default())
}

#[test]
fn where_requests_are_shifted_the_whole_new_set_is_announced() {
    for rule in [SetAside::Ignore, SetAside::Wait] {
        for protected in [0, 1, 4] {
            if rule == SetAside::Ignore && protected == 4 {
                continue;
            }
            let policy = Policy::BlueGreen { terminate_after: seconds(60) };
            let mut config = FleetConfig { instances: 4, ..fleet() };
            let suspend_processes = suspended(&mut config, policy);
            let simulator = simulate(config);
            for id in look(&simulator).instances.into_keys().take(protected) {
                simulator.intervene(Intervention::Protect(id, true)).expect("it");
            }
            let spec = RollingDeployment { protected: rule, suspend_processes, ..spec(policy) };
            let message = text::plan("web", &planned(&simulator, &spec));
            let again = message.contains("the new set is launched complete");
            assert_eq!(again, protected > 0, "{message}");
            let (announced, set) = sizes(&simulator, &spec);
            assert_eq!(announced, set, "{rule:?} {protected}: {message}");
        }
    }
}

#[test]
fn where_nothing_can_be_replaced_for_now_the_plan_says_so() {
    for (rule, batches, expected) in [
        (
            SetAside::Wait,
            "none: no instance may be replaced yet",
            "expected   up to 1h for 3 instances",
        ),
        (SetAside::Ignore, "none: no instance is to be replaced now", "expected   a few seconds"),
    ] {
        let simulator = simulate(FleetConfig { instances: 3, ..fleet() });
        for id in look(&simulator).instances.into_keys() {
            simulator.intervene(Intervention::Protect(id, true)).expect("it");
        }
        let policy = Policy::Rolling(BatchSize::Fixed(1));
        let spec = RollingDeployment { protected: rule, ..spec(policy) };
        let message = text::plan("web", &planned(&simulator, &spec));
        assert!(message.contains(batches) && message.contains(expected), "{message}");
    }
}

#[test]
fn a_revision_that_never_serves_gets_no_request_where_they_are_shifted() {
    let policy = Policy::BlueGreen { terminate_after: seconds(60) };
    let mut config = FleetConfig { instances: 4, ..fleet() };
    let suspend_processes = suspended(&mut config, policy);
    let simulator = simulate(config);
    let spec = RollingDeployment { suspend_processes, ..spec(policy) };
    let message = text::plan("web", &planned(&simulator, &spec));
    let worst = "no instance unavailable; no request goes to a revision that never becomes healthy";
    assert!(message.contains(worst), "{message}");
}

#[test]
fn the_worst_case_counts_what_lifecycle_hooks_hold() {
    let out = |terminating| {
        let hooks = LifecycleHooks { terminating, ..LifecycleHooks::default() };
        let simulator = simulate(FleetConfig { hooks, ..fleet() });
        let policy = Policy::Rolling(BatchSize::Fixed(1));
        let spec = RollingDeployment { on_failure: OnFailure::Rollback, ..spec(policy) };
        planned(&simulator, &spec).at_worst.expect("a cost").out_seconds
    };
    assert_eq!(out(seconds(600)) - out(seconds(0)), 1200);
}

#[test]
fn unmanaged_instances_have_no_size_to_borrow() {
    let simulator = simulate(FleetConfig { instances: 1, unmanaged: true, ..fleet() });
    let spec = spec(Policy::RollingWithAdditionalBatch(BatchSize::Fixed(1)));
    let message = text::plan("web", &planned(&simulator, &spec));
    assert!(!message.contains("desired size"), "{message}");
    assert!(message.contains("rolling_with_additional_batch, 1 instance\n"), "{message}");
}

#[test]
fn what_does_not_serve_before_is_named_with_its_reason() {
    let simulator = simulate(FleetConfig { instances: 6, ..fleet() });
    let ids: Vec<_> = look(&simulator).instances.into_keys().take(2).collect();
    for id in &ids {
        simulator.intervene(Intervention::Deregister(id.clone())).expect("it");
    }
    let planned = text::plan("web", &planned(&simulator, &spec(Policy::AllAtOnce)));
    let message = format!(
        "2 of 6 instances do not serve now: {} and {} (draining in target group web: \
         Target.DeregistrationInProgress: somebody else deregistered it",
        ids[0], ids[1]
    );
    assert!(planned.contains(&message), "{planned}");
}

#[test]
fn a_plan_that_only_sets_the_template_says_so() {
    let simulator = simulate(FleetConfig { instances: 2, ..fleet() });
    let spec = spec(Policy::Rolling(BatchSize::Fixed(1)));
    assert!(planned(&simulator, &spec).sets_template.is_some());
    block_on(roll(Arc::clone(&simulator) as _, spec.clone()));
    assert_eq!(planned(&simulator, &spec).sets_template, None);
    simulator.intervene(Intervention::MoveTemplate("v9".into())).expect("it");
    let planned = text::plan("web", &planned(&simulator, &spec));
    let message = "none: no instance is to be replaced now, and the group's template is set to v2";
    assert!(planned.contains(message), "{planned}");
}

#[test]
fn an_end_that_is_found_half_done_is_all_that_a_plan_announces() {
    let simulator = simulate(FleetConfig { instances: 10, ..fleet() });
    let spec = spec(Policy::Rolling(BatchSize::Fixed(3)));
    let found = Record { phase: Phase::Halting(Ending::Failed), ..record() };
    simulator.intervene(Intervention::Tags(found.tags())).expect("it");
    let message = text::plan("web", &planned(&simulator, &spec));
    assert!(message.contains("only ends rollout test to v2 (failing)"), "{message}");
    assert!(message.contains("batches    none: no instance is to be replaced now\n"), "{message}");
    assert!(!message.contains("borrows"), "{message}");
    let ended = block_on(roll(Arc::clone(&simulator) as _, spec.clone()));
    assert_eq!(ended.report.outcome, Outcome::Failed, "{:?}", ended.report);
    assert_eq!(simulator.launched(), 10);
    assert_eq!(planned(&simulator, &spec).batches.len(), 4);
    let rolled = block_on(roll(Arc::clone(&simulator) as _, spec));
    assert_eq!(rolled.report.outcome, Outcome::Succeeded, "{:?}", rolled.report);
}

#[test]
fn what_is_missing_before_is_told_with_the_fleets_reason_and_what_comes_of_it() {
    for (policy, what) in [
        (Policy::Rolling(BatchSize::Fixed(1)), "the rollout waits for it first"),
        (Policy::Immutable, "the rollout launches others beside, and needs it to end"),
    ] {
        let simulator = simulate(bad(Behaviour::FailLaunch));
        simulator.intervene(Intervention::MoveTemplate("v2".into())).expect("it");
        let id = look(&simulator).instances.into_keys().next().expect("one");
        simulator.intervene(Intervention::Terminate(id)).expect("it");
        let message = text::plan("web", &planned(&simulator, &spec(policy)));
        let missing = " instances is missing already (InsufficientInstanceCapacity: ";
        assert!(message.contains(missing) && message.contains(what), "{message}");
        assert!(message.contains("up to 10m for 1 missing instance"), "{message}");
    }
}

#[test]
fn a_hook_that_may_hold_a_launch_for_too_long_is_warned_of_and_no_other() {
    for (timeout, is_long) in [(seconds(200), true), (seconds(4000), false)] {
        let hooks = LifecycleHooks { launching: seconds(300), ..LifecycleHooks::default() };
        let simulator = simulate(FleetConfig { hooks, ..fleet() });
        let mut spec = spec(Policy::Rolling(BatchSize::Fixed(1)));
        spec.health.healthy_timeout = timeout;
        let message = text::plan("web", &planned(&simulator, &spec));
        let warning =
            "may hold a launch for longer than the 3m 20s after which it counts as failed";
        assert_eq!(message.contains(warning), is_long, "{message}");
        assert!(message.contains("launches held by lifecycle hook"), "{message}");
    }
}
