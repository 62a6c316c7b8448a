//! Engines that are killed at each hook, and before and after each of their mutations.

use std::collections::{BTreeMap, BTreeSet};

use rolling::engine::HookMessage;
use rolling::model::event::Outcome;
use rolling::model::spec::{BatchSize, OnFailure, Policy, RollingDeployment};
use rolling_simulator::{Behaviour, FleetConfig};

use super::driver::{Attempt, Behave, World, ids};
use super::everywhere;
use crate::fast::crash::is_over;
use crate::fast::in_place::{deploy, updated};
use crate::test_fleets::{Dies, Mortal};
use crate::world::{bad, fleet, thirty_percent};

pub fn stories() -> Vec<(FleetConfig, RollingDeployment, Outcome)> {
    let additional = Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3));
    let unmanaged = FleetConfig { unmanaged: true, ..fleet() };
    let back =
        RollingDeployment { on_failure: OnFailure::Rollback, ..everywhere(thirty_percent()) };
    let without =
        RollingDeployment { suspend_processes: Default::default(), ..everywhere(thirty_percent()) };
    let in_place = |behaviour: Option<Behaviour>, policy| {
        let hooks = everywhere(policy).hooks;
        let config = updated(behaviour.map_or_else(fleet, bad));
        (config, RollingDeployment { hooks, ..deploy(policy) })
    };
    let (config, updates) = in_place(None, thirty_percent());
    let (failing, failed) = in_place(Some(Behaviour::Unhealthy), thirty_percent());
    vec![
        (config, updates, Outcome::Succeeded),
        (failing, failed, Outcome::RolledBack),
        (fleet(), everywhere(thirty_percent()), Outcome::Succeeded),
        (fleet(), everywhere(additional), Outcome::Succeeded),
        (unmanaged, without, Outcome::Succeeded),
        (bad(Behaviour::Unhealthy), back, Outcome::RolledBack),
    ]
}

/// Checks that a hook that ended is run again at most once for each death, with its id, and that each
/// id stands for one message: only the try differs, and instances that are gone by then.
pub fn assert_repeated_with_the_same_id(attempts: &[Attempt], deaths: usize) {
    let mut known: BTreeMap<&str, HookMessage> = BTreeMap::new();
    let mut deaths_left = deaths;
    let mut runs: BTreeMap<&str, usize> = BTreeMap::new();
    for attempt in attempts {
        let message = &attempt.message;
        let before = known.entry(&message.id).or_insert_with(|| message.clone());
        if message.attempt == 1 && before.instances.len() > message.instances.len() {
            assert!(
                deaths_left > 0 && ids(before).is_superset(&ids(message)),
                "{before:?} {message:?}"
            );
            deaths_left -= 1;
            before.instances.clone_from(&message.instances);
        }
        let same = HookMessage { attempt: message.attempt, ..before.clone() };
        assert_eq!(same, *message, "{} stands for one message", message.id);
        // One that a halt ends is run again, should what waits for it come to pass after all.
        let ended = message.attempt == 1 && attempt.passed.is_some();
        *runs.entry(&message.id).or_default() += usize::from(ended);
    }
    let repeated: usize = runs.values().map(|count| count.saturating_sub(1)).sum();
    assert!(repeated <= deaths, "run again {repeated} times after {deaths} deaths: {runs:?}");
}

/// What each hook was about, in order, without repetitions: the batch, how many instances, where it
/// leads, and how it ends.
pub fn tally(world: &World) -> Vec<(&'static str, u32, usize, String, Option<Outcome>)> {
    let mut known = BTreeSet::new();
    let mut tally = Vec::new();
    for HookMessage { hook, id, batch, instances, revision, outcome, .. } in
        world.driver.attempts().into_iter().map(|it| it.message)
    {
        if known.insert(id) {
            tally.push((hook.name(), batch, instances.len(), revision, outcome));
        }
    }
    tally
}

#[tokio::test]
async fn killed_during_each_hook_the_next_engine_runs_it_again_with_the_same_id() {
    for (config, deploy, outcome) in stories() {
        let reference = World::new(config.clone(), deploy.clone(), Behave::default()).await;
        let ran = reference.roll("first").await.expect("a run");
        assert_eq!(ran.report.outcome, outcome, "{:?}", ran.report);
        let count = u32::try_from(reference.driver.attempts().len()).expect("few");
        assert!(count > 6, "{count} hooks");
        for dies_at in 1..=count {
            let behave = Behave { dies_at, ..Behave::default() };
            let world = World::new(config.clone(), deploy.clone(), behave).await;
            assert!(world.roll("first").await.is_none(), "killed at hook {dies_at}");
            let run = world.roll("second").await.expect("a run");
            let attempts = world.driver.attempts();
            let dead = &attempts[dies_at as usize - 1].message;
            let again = &attempts[dies_at as usize].message;
            assert_eq!(dead, again, "hook {dies_at}");
            assert_repeated_with_the_same_id(&attempts, 1);
            assert_eq!(run.report.outcome, outcome, "{:?}", run.report);
            assert_eq!(world.witness.broken(0), Vec::<String>::new(), "hook {dies_at}");
            assert_eq!(tally(&world), tally(&reference), "hook {dies_at}");
        }
    }
}

#[tokio::test]
async fn killed_at_each_mutation_no_hook_is_left_out_and_none_that_is_recorded_is_run_again() {
    for (config, deploy, outcome) in stories() {
        let points = kill_at_each(config, deploy, outcome, 1000).await;
        assert!(points > 30, "{points}");
    }
}

/// A group that is too large to name its instances is known as a whole.
#[tokio::test]
async fn a_large_group_that_is_prepared_is_not_prepared_again() {
    let config = FleetConfig { instances: 45, ..fleet() };
    let points = kill_at_each(config, everywhere(Policy::AllAtOnce), Outcome::Succeeded, 12).await;
    assert_eq!(points, 24);
}

/// Kills an engine at each of its first `most` mutations, before and after it, and runs the next.
/// Returns how often.
async fn kill_at_each(
    config: FleetConfig,
    deploy: RollingDeployment,
    outcome: Outcome,
    most: u32,
) -> usize {
    let reference = World::new(config.clone(), deploy.clone(), Behave::default()).await;
    reference.roll("first").await.expect("a run");
    let mut points = 0;
    for (at, dies) in (1..=most).flat_map(|at| [(at, Dies::Before), (at, Dies::After)]) {
        let world = World::new(config.clone(), deploy.clone(), Behave::default()).await;
        let mortal = Mortal::new(world.witness.clone(), at, dies);
        if mortal.survive(world.roll_on(mortal.clone(), "first")).await.is_some() {
            break;
        }
        points += 1;
        let context = format!("killed {dies:?} mutation {at}");
        let was_over = at > 2 && is_over(&world.simulator, &config).await;
        if !was_over {
            let run = world.roll("second").await.expect("a run");
            assert_eq!(run.report.outcome, outcome, "{context}: {:?}", run.report);
        }
        assert_eq!(world.witness.broken(0), Vec::<String>::new(), "{context}");
        assert_eq!(tally(&world), tally(&reference), "{context}");
        assert_repeated_with_the_same_id(&world.driver.attempts(), 1);
    }
    points
}
