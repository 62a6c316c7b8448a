//! Promises about single decisions and looks, most of them without a rollout.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rolling::model::spec::{BatchSize, Health, Pacing, Policy, RollingDeployment, Window, Zones};
use rolling::record::Record;
use rolling::rollout::planner::{Input, View};
use rolling::rollout::state::RolloutState;
use rolling_provider::{Capacity, InstanceId, TargetState};

use super::{any_case, nothing_broken, run, settings, suspended};
use crate::fast::planner;
use crate::world::{seconds, spec};

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn p27_the_share_of_the_requests_rises_step_by_step(case in any_case()) {
        let mut case = case;
        (case.spec.policy, case.spec.pacing) = (Policy::TrafficSplitting, Pacing::Batch);
        case.spec.zones = Zones::Spread;
        case.spec.suspend_processes = suspended(&mut case.config, case.spec.policy);
        nothing_broken(&run(&case), 27)?;
    }

    #[test]
    fn p04_every_accepted_configuration_has_a_place_in_its_window(
        policy in prop_oneof!["rolling", "rolling_with_additional_batch", "immutable", "all_at_once"],
        batch in proptest::option::of((any::<bool>(), 0..=120u32)),
        bounds in proptest::option::of((0..=5u32, 0..=120u32)),
        n in 1..=1000u32,
    ) {
        let mut document = serde_json::json!({
            "policy": policy, "simulated_fleet": { "name": "web", "revision": "v2" },
        });
        if let Some((percentage, size)) = batch {
            let kind = if percentage { "percentage" } else { "fixed" };
            document["batch_size_type"] = kind.into();
            document["batch_size"] = size.into();
        }
        if let Some((surge, unavailable)) = bounds {
            document["max_surge"] = surge.into();
            document["max_unavailable"] = format!("{unavailable}%").into();
        }
        if let Ok((_, spec)) = rolling::document::deployment(&document, "") {
            let window = Window::resolve(spec.policy, n);
            prop_assert!(window.slots() >= 1, "{:?}", window);
            prop_assert!(window.floor() <= n && n <= window.ceiling());
        }
    }

    #[test]
    fn p06_soak_counts_only_continuous_health(
        healthy in proptest::collection::vec(any::<bool>(), 1..40),
        soak in 0..=20u64,
    ) {
        let spec = RollingDeployment {
            health: Health { min_healthy_time: seconds(soak), healthy_timeout: seconds(900), ..Health::default() },
            ..spec(Policy::AllAtOnce)
        };
        let target = planner::target();
        let mut progress = RolloutState::new("test", planner::NOW);
        let mut since = None;
        for (tick, is_healthy) in healthy.iter().enumerate() {
            let at = planner::NOW + seconds(tick as u64);
            let state = if *is_healthy { TargetState::Healthy } else { TargetState::Unhealthy };
            let fleet = BTreeMap::from([("i-1".into(), planner::instance("v2", "a", state, 0))]);
            let look = rolling_provider::Observation { at, ..planner::look(fleet) };
            progress.observe(&target, &spec.health, &look);
            since = if *is_healthy { since.or(Some(tick as u64)) } else { None };
            let soaked = since.is_some_and(|since| tick as u64 - since >= soak);
            let input =
                Input { spec: &spec, target: &target, look: &look, state: &progress, now: at };
            prop_assert_eq!(View::new(&input).updated() == 1, soaked, "at {} s", tick);
        }
    }

    #[test]
    fn p07_those_that_do_not_serve_go_before_those_that_do(
        states in proptest::collection::vec((any::<bool>(), 0..3usize, 0..100u64), 1..20),
        batch in 1..6u32,
        pacing in prop_oneof![Just(Pacing::Batch), Just(Pacing::Continuous)],
    ) {
        let fleet: BTreeMap<InstanceId, _> = states
            .iter()
            .enumerate()
            .map(|(n, (serves, zone, age))| {
                let state = if *serves { TargetState::Healthy } else { TargetState::Unhealthy };
                let instance = planner::instance("v1", ["a", "b", "c"][*zone], state, 1000 + age);
                (InstanceId::new(format!("i-{n:02}")), instance)
            })
            .collect();
        let idle: BTreeSet<_> = states
            .iter()
            .enumerate()
            .filter(|(_, (serves, ..))| !serves)
            .map(|(n, _)| InstanceId::new(format!("i-{n:02}")))
            .collect();
        let size = u32::try_from(states.len()).expect("few");
        let mut look = planner::look(fleet);
        look.capacity = Some(Capacity { min: 0, max: size, desired: size, units: None });
        let spec = RollingDeployment { pacing, ..spec(Policy::Rolling(BatchSize::Fixed(batch))) };
        let plan = planner::planned(&look, &spec);
        let Some(begins) = plan.begins else { return Ok(()) };
        let takes_serving = begins.victims.iter().any(|id| !idle.contains(id));
        let leaves_idle = idle.iter().any(|id| !begins.victims.contains(id));
        prop_assert!(!(takes_serving && leaves_idle), "{:?} of {:?}", begins, idle);
        let slots = Window::resolve(spec.policy, size).slots() as usize;
        prop_assert_eq!(begins.victims.intersection(&idle).count(), idle.len().min(slots));
    }

    #[test]
    fn p16_deadlines_move_only_as_written(
        timeout in 60..300u64, pause_at in 5..50u64, paused_for in 1..5000u64, wait in 0..400u64,
    ) {
        let health = Health { min_healthy_time: seconds(10), healthy_timeout: seconds(timeout), ..Health::default() };
        let target = planner::target();
        let launched = planner::NOW;
        let (paused_at, resumed_at) = (pause_at, pause_at + paused_for);
        let mut progress = RolloutState::new("test", launched + seconds(resumed_at));
        progress.record = Some(Record {
            started: launched,
            paused: seconds(paused_for),
            pause_changed_at: Some(launched + seconds(resumed_at)),
            ..planner::record()
        });
        let now = launched + seconds(resumed_at + wait);
        // It was launched before the pause, and still boots.
        let mut instance = planner::instance("v2", "a", TargetState::Initial, 0);
        instance.launched_at = Some(launched);
        let look = |at| rolling_provider::Observation {
            at, ..planner::look(BTreeMap::from([("i-1".into(), instance.clone())]))
        };
        progress.observe(&target, &health, &look(launched + seconds(resumed_at)));
        progress.observe(&target, &health, &look(now));
        let lived = paused_at + wait;
        prop_assert_eq!(progress.failures.failed.len() == 1, lived >= timeout, "lived {} s", lived);
    }

    #[test]
    fn p22_continuous_pacing_starts_within_one_tick_whenever_it_may(
        members in proptest::collection::vec((0..4u8, 0..1000u64), 2..20),
        batch in 1..6u32,
    ) {
        // 0: old and serving, 1: old and idle, 2: new and soaked, 3: new and booting.
        let fleet: BTreeMap<InstanceId, _> = members
            .iter()
            .enumerate()
            .map(|(n, (kind, age))| {
                let revision = if *kind < 2 { "v1" } else { "v2" };
                let state = match kind {
                    0 | 2 => TargetState::Healthy,
                    1 => TargetState::Unhealthy,
                    _ => TargetState::Initial,
                };
                (InstanceId::new(format!("i-{n:02}")), planner::instance(revision, "a", state, *age))
            })
            .collect();
        let size = u32::try_from(members.len()).expect("few");
        let mut look = planner::look(fleet);
        look.capacity = Some(Capacity { min: 0, max: size, desired: size, units: None });
        let spec = RollingDeployment {
            pacing: Pacing::Continuous,
            health: Health { min_healthy_time: seconds(0), healthy_timeout: seconds(9000), ..Health::default() },
            ..spec(Policy::Rolling(BatchSize::Fixed(batch)))
        };
        let plan = planner::planned(&look, &spec);
        let count = |wanted: u8| members.iter().filter(|(kind, _)| *kind == wanted).count();
        let slots = Window::resolve(spec.policy, size).slots() as usize;
        let free = slots.saturating_sub(count(3));
        let spare = (count(0) + count(2)).saturating_sub(members.len() - slots);
        let may = free.min(count(1) + count(0).min(spare));
        let begun = plan.begins.map_or(0, |begins| begins.victims.len());
        prop_assert_eq!(begun, may);
    }
}
