//! Promise 26: hooks.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use rolling::model::event::Outcome;
use rolling::model::spec::{HookPoint, OnHookFailure, Pacing};
use rolling::record::command::Command;
use rolling_provider::InstanceId;
use rolling_simulator::{Behaviour, EPOCH, Intervention};

use super::{Case, any_case, block_on, settings};
use crate::fast::crash::{is_over, leave_command};
use crate::fast::hooks::driver::{Attempt, Behave, World, hooks, ids};
use crate::fast::hooks::killed::assert_repeated_with_the_same_id;
use crate::test_fleets::{Dies, Mortal, Stale};
use crate::world::seconds;

/// Returns the points at which such a case may have hooks.
fn points(pacing: Pacing) -> Vec<HookPoint> {
    let of_batches = [HookPoint::AfterHealthy, HookPoint::AfterBatch];
    let all = HookPoint::ALL.into_iter();
    all.filter(|point| pacing == Pacing::Batch || !of_batches.contains(point)).collect()
}

fn meanings() -> impl Strategy<Value = OnHookFailure> {
    prop_oneof![Just(OnHookFailure::Ignore), Just(OnHookFailure::Fail), Just(OnHookFailure::Pause)]
}

/// What others do meanwhile: an instance ends, or may not be scaled in for a while, or the fleet
/// grows.
fn interventions() -> impl Strategy<Value = Vec<(Duration, Intervention)>> {
    let one = (10..900u64, 0..4u32, 1..=20u32).prop_map(|(at, what, number)| {
        let id = InstanceId::new(format!("i-{number:04}"));
        let intervention = match what {
            0 => Intervention::Protect(id, true),
            1 => Intervention::Resize(number.min(12)),
            _ => Intervention::Terminate(id),
        };
        (seconds(at), intervention)
    });
    prop_oneof![1 => Just(Vec::new()), 1 => proptest::collection::vec(one, 1..4)]
}

/// Checks that nobody is prepared or greeted twice under two ids, and that each batch ends once.
fn assert_once(attempts: &[Attempt]) {
    let mut known = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let passed = attempts.iter().filter(|it| it.passed == Some(true));
    for message in passed.map(|it| &it.message).filter(|it| known.insert(it.id.clone())) {
        for id in ids(message) {
            let is_new = seen.insert((message.hook, message.revision.clone(), id.to_string()));
            let counts =
                [HookPoint::BeforeDeregister, HookPoint::AfterHealthy].contains(&message.hook);
            assert!(is_new || !counts, "{id} has {:?} twice: {attempts:?}", message.hook);
        }
        if message.hook == HookPoint::AfterBatch {
            let is_new = seen.insert((message.hook, String::new(), message.batch.to_string()));
            assert!(is_new, "batch {} ends twice: {attempts:?}", message.batch);
        }
    }
}

/// Checks what each hook was about.
fn assert_right_instances(attempts: &[Attempt]) {
    for Attempt { message, serving, .. } in attempts {
        let of_instances =
            [HookPoint::BeforeDeregister, HookPoint::AfterHealthy, HookPoint::AfterBatch];
        assert!(of_instances.contains(&message.hook) || message.instances.is_empty());
        assert_eq!(message.outcome.is_some(), message.hook == HookPoint::AfterRollout);
        for instance in &message.instances {
            let address = instance.private_address.as_deref().unwrap_or_default();
            let number: u32 = instance.id.as_str()[2..].parse().expect("a number");
            assert!(address.ends_with(&format!(".{}", number % 256)), "{instance:?}");
            assert!(!instance.zone.is_empty(), "{instance:?}");
        }
        // A further try has the same id, so that it is about the same ones, whatever happens to them.
        if message.hook == HookPoint::AfterHealthy && message.attempt == 1 {
            let idle: Vec<_> = ids(message).difference(serving).cloned().collect();
            assert!(!message.instances.is_empty() && idle.is_empty(), "{idle:?} of {message:?}");
        }
        if message.hook == HookPoint::BeforeDeregister {
            assert!(!message.instances.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn p26_hooks_are_run_before_what_waits_for_them_and_again_only_with_the_same_id(
        case in any_case(), takes in 0..200u64, meaning in meanings(), tries in 1..=2u32,
        fails in prop_oneof![2 => Just(0u32), 1 => 2..6u32],
        at in 1..40u32, dies in 0..4u32, meanwhile in interventions(), command in 0..6u32,
    ) {
        let is = |how| case.config.bad_revisions.values().any(|known| *known == how);
        // Whether a flapping revision serves depends on when it is looked at.
        prop_assume!(!is(Behaviour::Flap));
        let Case { mut config, mut spec, lag } = case;
        // What others do may break the floor by itself.
        let is_alone = meanwhile.is_empty();
        config.events.extend(meanwhile);
        let command = [Command::Pause, Command::Abort, Command::Rollback].get(command as usize);
        let command = command.copied().filter(|_| is_alone);
        spec.hooks = hooks(&points(spec.pacing), tries, meaning);
        spec.progress_deadline = Some(Duration::from_secs(3000));
        let (killed_at_hook, killed_at_mutation) = match dies {
            0 => (0, 0),
            1 => (at.div_ceil(3), 0),
            _ => (0, at),
        };
        let dies = if dies == 2 { Dies::Before } else { Dies::After };
        let behave = Behave {
            takes,
            fails: match fails {
                0 => |_, _| false,
                2 => |number, _| number % 2 == 0,
                3 => |number, _| number % 3 == 0,
                4 => |number, _| number % 7 == 3,
                _ => |number, _| number % 11 == 5,
            },
            dies_at: killed_at_hook,
        };
        block_on(async {
            let world = World::new(config.clone(), spec.clone(), behave).await;
            if let Some(command) = command {
                let simulator = world.simulator.clone();
                let when = EPOCH + seconds(u64::from(at) * 10);
                world.clock.at(when, move || leave_command(&simulator, command));
            }
            let stale = Stale::new(world.witness.clone(), lag);
            let mortal = Mortal::new(stale, killed_at_mutation, dies);
            let first = mortal.survive(world.roll_on(mortal.clone(), "first")).await.flatten();
            let died = first.is_none();
            let was_over = died && is_over(&world.simulator, &config).await;
            let last = match first {
                Some(run) => Some(run),
                None if was_over => None,
                None => world.roll("second").await,
            };
            let attempts = world.driver.attempts();
            prop_assert_eq!(world.witness.broken(26), Vec::<String>::new());
            for number in (1..=3).filter(|_| is_alone) {
                prop_assert_eq!(world.witness.broken(number), Vec::<String>::new());
            }
            assert_right_instances(&attempts);
            if fails == 0 || meaning == OnHookFailure::Ignore {
                assert_repeated_with_the_same_id(&attempts, usize::from(died));
                if is_alone && command.is_none() && !died {
                    assert_once(&attempts);
                }
            }
            let Some(run) = last else { return Ok(()) };
            let succeeded = run.report.outcome == Outcome::Succeeded;
            if succeeded && spec.pacing == Pacing::Batch {
                let after_healthy_done: BTreeSet<InstanceId> =
                    world.driver.instances(HookPoint::AfterHealthy).into_values().flatten().collect();
                let new = run.report.instances.iter().map(|instance| &instance.id);
                let forgotten: Vec<_> = new.filter(|id| !after_healthy_done.contains(*id)).collect();
                prop_assert!(forgotten.is_empty(), "{:?}", forgotten);
            }
            let ends = [Outcome::Succeeded, Outcome::RolledBack];
            if ends.contains(&run.report.outcome) && !world.driver.points().is_empty() {
                prop_assert_eq!(world.driver.points().pop(), Some("after_rollout"));
            }
            Ok(())
        })?;
    }
}
