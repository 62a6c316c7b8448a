//! Promise 26: hooks.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use rolling::model::event::Outcome;
use rolling::model::spec::{HookPoint, OnHookFailure, Pacing};
use rolling_provider::InstanceId;
use rolling_simulator::Behaviour;

use super::{Case, any_case, block_on, settings};
use crate::fast::crash::is_over;
use crate::fast::hooks::driver::{Attempt, Behave, World, hooks, ids};
use crate::fast::hooks::killed::assert_repeated_with_the_same_id;
use crate::test_fleets::{Dies, Mortal};

/// Returns the points at which such a case may have hooks.
fn points(pacing: Pacing) -> Vec<HookPoint> {
    let of_batches = [HookPoint::AfterHealthy, HookPoint::AfterBatch];
    let all = HookPoint::ALL.into_iter();
    all.filter(|point| pacing == Pacing::Batch || !of_batches.contains(point)).collect()
}

fn meanings() -> impl Strategy<Value = OnHookFailure> {
    prop_oneof![Just(OnHookFailure::Ignore), Just(OnHookFailure::Fail), Just(OnHookFailure::Pause)]
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
        if message.hook == HookPoint::AfterHealthy {
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
        at in 1..40u32, dies in 0..4u32,
    ) {
        let is = |how| case.config.bad_revisions.values().any(|known| *known == how);
        // Whether a flapping revision serves depends on when it is looked at.
        prop_assume!(!is(Behaviour::Flap));
        let Case { config, mut spec, .. } = case;
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
            let mortal = Mortal::new(world.witness.clone(), killed_at_mutation, dies);
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
            for number in 1..=3 {
                prop_assert_eq!(world.witness.broken(number), Vec::<String>::new());
            }
            assert_right_instances(&attempts);
            if fails == 0 || meaning == OnHookFailure::Ignore {
                assert_repeated_with_the_same_id(&attempts, usize::from(died));
            }
            let Some(run) = last else { return Ok(()) };
            let succeeded = run.report.outcome == Outcome::Succeeded;
            if succeeded && spec.pacing == Pacing::Batch {
                let greeted: BTreeSet<InstanceId> =
                    world.driver.instances(HookPoint::AfterHealthy).into_values().flatten().collect();
                let new = run.report.instances.iter().map(|instance| &instance.id);
                let forgotten: Vec<_> = new.filter(|id| !greeted.contains(*id)).collect();
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
