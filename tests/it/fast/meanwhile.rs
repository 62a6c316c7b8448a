//! Promises of `docs/SEMANTICS.md` in fleets that do more by themselves, or to which others do
//! something meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use rolling::event::Outcome;
use rolling_provider::{InstanceId, Lifecycle, TargetState};
use rolling_simulator::{Behaviour, EPOCH, Intervention};

use super::properties::{
    Case, any_case, good, is_tidy, look, nothing_broken, run, run_with, settings, suspended,
};
use crate::world::seconds;

proptest! {
    #![proptest_config(settings())]

    /// What is to go without a replacement is not taken out of rotation first there: it would be
    /// replaced for ever.
    #[test]
    fn a_fleet_that_replaces_who_is_out_of_rotation_ends_as_any_other(case in any_case()) {
        let mut case = case;
        case.config.replaces_deregistered = !case.config.plain;
        let ran = run(&case);
        nothing_broken(&ran, 1)?;
        nothing_broken(&ran, 2)?;
        let report = &ran.told.report;
        if case.config.bad_revisions.is_empty() {
            prop_assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.reason);
            is_tidy(&ran, case.config.instances as usize, "v2")?;
        }
        if report.outcome != Outcome::Paused {
            prop_assert!(report.borrowed.is_empty(), "{:?} {:?}", report.borrowed, report.reason);
            prop_assert_eq!(look(&ran.simulator).desired(), case.config.instances);
        }
    }

    /// Somebody protects one from scale-in: it stays, and nothing else goes wrong.
    #[test]
    fn who_is_protected_meanwhile_stays(case in any_case(), n in 1..=16u32, at in 1..150u64) {
        let mut case = case;
        if case.config.bad_revisions.get(&"v2".into()) == Some(&Behaviour::Flap) {
            // For an hour nobody would tell of anything else.
            case.config.bad_revisions.clear();
            case.spec.health.healthy_timeout = seconds(900);
        }
        // Plain instances know no such thing.
        case.config.plain = false;
        case.spec.suspend_processes = suspended(&mut case.config, case.spec.policy);
        let id = InstanceId::new(format!("i-{n:04}"));
        let gone = Arc::new(AtomicBool::new(true));
        let (at, found, protected) = (EPOCH + seconds(at), gone.clone(), id.clone());
        let ran = run_with(&case, |clock, simulator, _| {
            let simulator = simulator.clone();
            clock.at(at, move || {
                let look = simulator.truth().expect("the fleet");
                let lives = look.instances.get(&protected).filter(|i| i.lifecycle.is_live());
                // Who is on the way out by then goes on.
                let goes = lives.is_none_or(|i| {
                    let mut states = i.targets.values().map(|health| health.state);
                    let is_out = |s| matches!(s, TargetState::Draining | TargetState::Unused);
                    states.any(is_out) || (i.targets.is_empty() && i.lifecycle == Lifecycle::InService)
                });
                found.store(goes, Ordering::Relaxed);
                simulator.intervene(Intervention::Protect(protected, true)).expect("it");
            });
        });
        nothing_broken(&ran, 1)?;
        let lives = look(&ran.simulator).instances.get(&id).is_some_and(|i| i.lifecycle.is_live());
        // A look that is late may be from before it was protected.
        let unknown = case.lag > Duration::ZERO || gone.load(Ordering::Relaxed);
        prop_assert!(lives || unknown, "{}", id);
        let report = &ran.told.report;
        let words = report.reason.as_deref().unwrap_or_default();
        let protects = words.contains("protected from scale-in");
        if case.config.bad_revisions.is_empty() {
            prop_assert!(report.outcome == Outcome::Succeeded || protects, "{}", words);
        }
    }

    /// Somebody takes one out of rotation, at any time of its life: that is no fault of the revision.
    #[test]
    fn who_is_taken_out_by_somebody_fails_no_revision(
        case in good(), n in 1..=16u32, at in 1..150u64, lag in 0..=8u64,
        back in proptest::option::of(1..400u64),
    ) {
        let mut case = Case { lag: seconds(lag), ..case };
        case.config.plain = false;
        case.spec.suspend_processes = suspended(&mut case.config, case.spec.policy);
        let id = InstanceId::new(format!("i-{n:04}"));
        let ran = run_with(&case, |clock, simulator, _| {
            let (simulator, again) = (simulator.clone(), simulator.clone());
            let taken = id.clone();
            clock.at(EPOCH + seconds(at), move || {
                simulator.intervene(Intervention::Deregister(taken)).expect("it");
            });
            if let Some(back) = back {
                clock.at(EPOCH + seconds(at + back), move || {
                    let _ = again.intervene(Intervention::Register(id));
                });
            }
        });
        let report = &ran.told.report;
        let words = report.reason.as_deref().unwrap_or_default();
        prop_assert_ne!(report.outcome, Outcome::RolledBack, "{}", words);
        let named = words.contains("took it out") || words.contains("not registered");
        prop_assert!(report.outcome == Outcome::Succeeded || named, "{}", words);
    }
}
