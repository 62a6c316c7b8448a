//! Promises about rollouts that roll back, wait, fail or are given up.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use rolling::model::event::{Event, Outcome};
use rolling::model::spec::{OnFailure, Window};
use rolling::record::command::Command;
use rolling::record::{Ending, Phase, Record};
use rolling_provider::{Clock as _, Lifecycle, TargetState};
use rolling_simulator::{Behaviour, EPOCH, Intervention, Simulator, VirtualClock};

use super::super::crash::leave_command;
use super::{
    Case, any_case, behaviours, block_on, good, is_tidy, look, nothing_broken, run, run_with,
    settings,
};
use crate::test_fleets::{Dies, Mortal, SECOND, count_serving, now};
use crate::world::{roll, seconds};

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn p13_at_most_one_rollback_and_only_to_another_completed_revision(
        case in any_case(), restored_is_bad in any::<bool>(), mixed in any::<bool>(),
    ) {
        // Only the engine launches unmanaged instances.
        let (mut case, mixed) = (case.clone(), mixed && !case.config.unmanaged);
        case.spec.on_failure = OnFailure::Rollback;
        if restored_is_bad {
            case.config.bad_revisions.insert("v1".into(), Behaviour::FailLaunch);
        }
        let ran = run_with(&case, |clock, simulator, _| {
            if mixed {
                // One instance has another revision: no completed revision is known.
                simulator.intervene(Intervention::MoveTemplate("v0".into())).expect("v0");
                let first = look(simulator).instances.keys().next().cloned();
                if let Some(first) = first {
                    simulator.intervene(Intervention::Terminate(first)).expect("one");
                }
                simulator.intervene(Intervention::MoveTemplate("v1".into())).expect("v1");
                now(clock.sleep(seconds(3600)));
            }
        });
        let backs: Vec<_> = ran
            .run
            .events
            .iter()
            .filter_map(|envelope| match &envelope.event {
                Event::RollingBack { to, .. } => Some(to.clone()),
                _ => None,
            })
            .collect();
        prop_assert!(backs.len() <= 1, "{:?}", backs);
        match (mixed, case.config.instances) {
            (false, _) => prop_assert!(backs.iter().all(|to| to.as_str() == "v1")),
            (true, 1) => prop_assert!(backs.iter().all(|to| to.as_str() == "v0")),
            (true, _) => prop_assert!(backs.is_empty(), "{:?}", backs),
        }
        if ran.run.report.outcome == Outcome::RolledBack {
            prop_assert_eq!(backs.len(), 1);
        }
    }

    #[test]
    fn p14_a_rollback_ends_rolled_back_or_failed_at_the_floor(
        case in good(), behaviour in behaviours(), restorable in any::<bool>(),
    ) {
        let mut case = case;
        case.spec.on_failure = OnFailure::Rollback;
        case.spec.health.healthy_timeout = seconds(300);
        case.config.bad_revisions.insert("v2".into(), behaviour);
        if !restorable {
            case.config.bad_revisions.insert("v1".into(), Behaviour::FailLaunch);
        }
        let ran = run(&case);
        let outcome = ran.run.report.outcome;
        nothing_broken(&ran, 1)?;
        let is_rolled_back = outcome == Outcome::RolledBack;
        if restorable {
            // In a fleet so small that no launch failed, or where nothing has to soak, the rollout
            // simply succeeds.
            let mild = [Behaviour::HalfUnhealthy, Behaviour::Flap].contains(&behaviour);
            let not_surplus = mild && outcome == Outcome::Succeeded;
            prop_assert!(is_rolled_back || not_surplus, "{:?}", ran.run.report);
        } else {
            let ends = [Outcome::RolledBack, Outcome::Failed, Outcome::Succeeded];
            prop_assert!(ends.contains(&outcome), "{:?}", ran.run.report);
            let window = Window::resolve(case.spec.policy, case.config.instances);
            if behaviour == Behaviour::FailLaunch && window.unavailable == 0 {
                // Nothing was taken out for surge that never came.
                prop_assert!(is_rolled_back, "{:?}", ran.run.report);
            }
            let serving = count_serving(&look(&ran.simulator));
            // Flapping instances leave and enter service by themselves.
            let may_sink = behaviour == Behaviour::Flap;
            prop_assert!(serving >= window.floor() as usize || may_sink, "{} serve", serving);
        }
        if is_rolled_back {
            is_tidy(&ran, case.config.instances as usize, "v1")?;
        }
    }

    #[test]
    fn p15_while_paused_nothing_begins_and_lost_capacity_is_replaced(
        case in good(), at in 2..100u64, by_failure in any::<bool>(),
    ) {
        let mut case = case;
        if by_failure {
            case.config.bad_revisions.insert("v2".into(), Behaviour::Unhealthy);
            case.spec.on_failure = OnFailure::Pause;
            case.spec.health.healthy_timeout = seconds(120);
        }
        let ran = run_with(&case, |clock, simulator, _| {
            if !by_failure {
                let simulator = simulator.clone();
                clock.at(EPOCH + seconds(at), move || leave_command(&simulator, Command::Pause));
            }
        });
        if ran.run.report.outcome != Outcome::Paused {
            // It had ended before.
            prop_assert_eq!(ran.run.report.outcome, Outcome::Succeeded);
            return Ok(());
        }
        let paused = look(&ran.simulator);
        let drains = paused.instances.values().any(|i| {
            i.lifecycle.is_live()
                && i.targets.values().any(|health| health.state == TargetState::Draining)
        });
        prop_assert!(!drains, "{:?}", paused);
        // Registration is resumed with the rollout: what is launched must not join the old
        // instances.
        let stays_suspended = |process: &String| case.spec.policy.shifts() && process == "AddToLoadBalancer";
        prop_assert!(paused.suspended.iter().all(stays_suspended), "{:?}", paused.suspended);
        // To apply again does not resume it.
        let again = block_on(roll(ran.simulator.clone(), case.spec.clone()));
        prop_assert_eq!(again.report.outcome, Outcome::Paused);
        prop_assert!(again.actions().is_empty());
        if case.config.unmanaged {
            // No instance is replaced while no engine runs.
            return Ok(());
        }
        let mut live = paused.instances.iter().filter(|(_, i)| i.lifecycle.is_live());
        let victim = live.next().expect("an instance").0.clone();
        let before: BTreeSet<_> = paused.instances.keys().cloned().collect();
        ran.simulator.intervene(Intervention::Terminate(victim)).expect("one");
        let after = look(&ran.simulator);
        let new: Vec<_> =
            after.instances.iter().filter(|(id, _)| !before.contains(*id)).collect();
        prop_assert_eq!(new.len(), 1);
        let wanted = if by_failure { "v1" } else { after.template.as_ref().expect("one").as_str() };
        prop_assert_eq!(new[0].1.revision.as_ref().expect("one").as_str(), wanted);
    }

    #[test]
    fn p17_the_breaker_trips_exactly_at_its_threshold_also_across_restarts(
        case in good(), threshold in 1..=4u32, at in 1..80u32, after in any::<bool>(),
    ) {
        let mut case = case;
        case.config.bad_revisions.insert("v2".into(), Behaviour::Unhealthy);
        case.spec.failure_threshold = threshold;
        case.spec.progress_deadline = Some(seconds(100_000));
        case.spec.on_failure = OnFailure::Pause;
        case.spec.health.healthy_timeout = seconds(150);
        let simulator = block_on(async {
            let clock = Arc::new(VirtualClock::new(EPOCH));
            let simulator = Arc::new(Simulator::in_memory(case.config.clone(), clock));
            let dies = if after { Dies::After } else { Dies::Before };
            let mortal = Mortal::new(simulator.clone(), at, dies);
            let first = mortal.survive(roll(mortal.clone(), case.spec.clone())).await;
            let report = match first {
                Some(run) => run.report,
                None => roll(simulator.clone(), case.spec.clone()).await.report,
            };
            assert_eq!(report.outcome, Outcome::Paused, "{report:?}");
            simulator
        });
        let record = Record::from_tags(&look(&simulator).record).expect("tags").expect("a record");
        prop_assert_eq!(record.failures, threshold);
        prop_assert_eq!(record.phase, Phase::Halted(Ending::Paused));
    }

    #[test]
    fn p19_a_failure_or_an_abort_gives_back_what_was_borrowed_and_names_the_culprit(
        case in good(), failure in proptest::option::of(behaviours()),
        at in prop_oneof![2..20u64, 2..150u64],
        lag in prop_oneof![2 => Just(0u64), 1 => 1..=8u64],
    ) {
        let mut case = Case { lag: seconds(lag), ..case };
        if let Some(behaviour) = failure {
            case.config.bad_revisions.insert("v2".into(), behaviour);
            case.spec.on_failure = OnFailure::Stop;
            case.spec.health.healthy_timeout = seconds(200);
        }
        let ran = run_with(&case, |clock, simulator, _| {
            if failure.is_none() {
                let simulator = simulator.clone();
                clock.at(EPOCH + seconds(at), move || leave_command(&simulator, Command::Abort));
            }
        });
        let report = &ran.run.report;
        if report.outcome == Outcome::Succeeded {
            return Ok(());
        }
        let wanted = if failure.is_some() { Outcome::Failed } else { Outcome::Aborted };
        prop_assert_eq!(report.outcome, wanted);
        prop_assert!(report.borrowed.is_empty(), "{:?}", report.borrowed);
        let look = look(&ran.simulator);
        prop_assert!(look.suspended.is_empty());
        let size = case.config.instances;
        prop_assert_eq!(look.desired(), size);
        if let Some(capacity) = look.capacity {
            prop_assert_eq!(capacity.max, size);
            prop_assert_eq!(look.template.clone(), Some("v1".into()));
        }
        let drains = look.instances.values().filter(|i| i.lifecycle == Lifecycle::InService);
        let mut states = drains.flat_map(|i| i.targets.iter());
        // An instance that came back from the second target group may still drain there.
        let is_clear =
            states.all(|(id, h)| id.as_str() == SECOND || h.state != TargetState::Draining);
        prop_assert!(is_clear);
        let reason = report.reason.as_deref().unwrap_or_default();
        match failure {
            None => prop_assert!(reason.contains("aborted by somebody"), "{}", reason),
            Some(Behaviour::FailLaunch) => prop_assert!(reason.contains("no capacity"), "{}", reason),
            Some(_) => prop_assert!(reason.contains("i-00"), "{}", reason),
        }
    }
}
