//! Generated fleets, policies and failures.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use rolling::model::spec::{
    BatchSize, Bound, Health, OnFailure, Pacing, Policy, RollingDeployment, Zones,
};
use rolling_provider::Timestamp;
use rolling_simulator::{Behaviour, EPOCH, FleetConfig};

use crate::test_fleets::SECOND;
use crate::world::{fleet, group, seconds, spec, traffic_steps};

/// A fleet and what happens to it.
#[derive(Clone, Debug)]
pub struct Case {
    pub config: FleetConfig,
    pub spec: RollingDeployment,
    /// How old looks may be.
    pub lag: Duration,
}

fn policies() -> impl Strategy<Value = (Policy, Pacing)> {
    let size = prop_oneof![
        (1..=100u32).prop_map(BatchSize::Percentage),
        (1..=6u32).prop_map(BatchSize::Fixed),
    ];
    let bound =
        || prop_oneof![(0..=3u32).prop_map(Bound::Count), (0..=60u32).prop_map(Bound::Percent)];
    let paced = prop_oneof![
        size.clone().prop_map(Policy::Rolling),
        size.prop_map(Policy::RollingWithAdditionalBatch),
        (bound(), bound())
            .prop_map(|(surge, unavailable)| Policy::RollingWithin { surge, unavailable }),
    ];
    let pacing = prop_oneof![Just(Pacing::Batch), Just(Pacing::Continuous)];
    prop_oneof![
        4 => (paced, pacing),
        1 => Just((Policy::Immutable, Pacing::Batch)),
        1 => Just((Policy::AllAtOnce, Pacing::Batch)),
        1 => Just((Policy::TrafficSplitting, Pacing::Batch)),
        1 => (0..=60u64).prop_map(|time| {
            (Policy::BlueGreen { terminate_after: seconds(time) }, Pacing::Batch)
        }),
    ]
}

fn good_fleet() -> impl Strategy<Value = FleetConfig> {
    (
        1..=11u32,
        1..=3u32,
        5..=60u64,
        prop_oneof![Just(0.0), Just(0.5)],
        (1..=20u64, 0..=30u64, any::<bool>()),
        prop_oneof![2 => Just(0u64), 1 => 1..=15u64],
        any::<u64>(),
        prop_oneof![2 => Just(false), 1 => Just(true)],
    )
        .prop_map(
            |(
                instances,
                zones,
                boot,
                boot_sigma,
                (register, drain, two),
                launch_lag,
                seed,
                unmanaged,
            )| {
                let mut groups = vec![group("web", register)];
                groups[0].drain = seconds(drain);
                if two {
                    groups.push(group("admin", 7));
                }
                FleetConfig {
                    instances,
                    zones,
                    boot: seconds(boot),
                    boot_sigma,
                    launch_lag: seconds(launch_lag),
                    seed,
                    target_groups: groups,
                    unmanaged,
                    ..fleet()
                }
            },
        )
}

/// One zone after the other, where a policy can do that.
pub fn zones(policy: Policy, pacing: Pacing) -> Zones {
    let at_once = policy.shifts() || [Policy::AllAtOnce, Policy::Immutable].contains(&policy);
    if at_once || pacing == Pacing::Continuous { Zones::Spread } else { Zones::OneByOne }
}

/// An hour before the simulator's time begins: its instances are a day old then.
pub fn an_hour_ago() -> Timestamp {
    Timestamp(EPOCH.0 - 3_600_000)
}

/// A case in which nothing fails. What is drawn from the fleet's seed changes no other draw: whether
/// it restarts what runs the revision, and whether zones come one by one.
pub fn good() -> impl Strategy<Value = Case> {
    let steps = prop::collection::btree_map(1..=99u32, 0..=60u64, 1..=3);
    (good_fleet(), policies(), 0..=15u64, 1..=10u64, steps).prop_map(
        |(mut config, (policy, pacing), soak, poll, steps)| Case {
            spec: RollingDeployment {
                suspend_processes: suspended(&mut config, policy),
                traffic_steps: traffic_steps(&steps.into_iter().collect::<Vec<_>>()),
                pacing,
                restart: (config.seed % 4 == 1).then(an_hour_ago),
                zones: match config.seed / 4 % 3 {
                    1 => zones(policy, pacing),
                    _ => Zones::Spread,
                },
                health: Health {
                    min_healthy_time: seconds(soak),
                    healthy_timeout: seconds(900),
                    ..Health::default()
                },
                poll_interval: seconds(poll),
                ..spec(policy)
            },
            config,
            lag: Duration::ZERO,
        },
    )
}

/// Returns the processes to suspend. Unmanaged instances have none. Where requests are shifted the
/// fleet has a second target group, and registers nothing by itself.
pub fn suspended(config: &mut FleetConfig, policy: Policy) -> BTreeSet<String> {
    if policy.shifts() {
        config.unmanaged = false;
        config.second = Some(group(SECOND, 5));
    }
    if config.unmanaged {
        return BTreeSet::new();
    }
    let registers = policy.shifts().then(|| "AddToLoadBalancer".to_owned());
    spec(Policy::AllAtOnce).suspend_processes.into_iter().chain(registers).collect()
}

pub fn behaviours() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        Just(Behaviour::Unhealthy),
        Just(Behaviour::Flap),
        Just(Behaviour::Hang),
        Just(Behaviour::FailLaunch),
        Just(Behaviour::HalfUnhealthy),
    ]
}

fn endings() -> impl Strategy<Value = OnFailure> {
    prop_oneof![Just(OnFailure::Rollback), Just(OnFailure::Pause), Just(OnFailure::Stop)]
}

/// A case in which the new revision may fail, and looks may be stale.
pub fn any_case() -> impl Strategy<Value = Case> {
    let failing = proptest::option::of((behaviours(), endings(), 1..=3u32, 0..=1u32));
    let lag = prop_oneof![Just(0u64), 1..=8u64];
    (good(), failing, lag).prop_map(|(mut case, failing, lag)| {
        case.lag = seconds(lag);
        let is_same = case.config.seed / 16 % 2 == 1;
        if is_same && failing.is_none() && case.spec.restart.is_some() {
            // The fleet runs the revision already.
            case.config.initial_revision = case.config.revision.clone();
        }
        if let Some((behaviour, on_failure, threshold, keep)) = failing {
            if behaviour == Behaviour::Flap {
                // An instance that flaps between two looks breaks the floor by itself.
                case.lag = Duration::ZERO;
            }
            case.config.bad_revisions.insert("v2".into(), behaviour);
            case.spec.on_failure = on_failure;
            case.spec.failure_threshold = threshold;
            case.spec.keep_failed_instances = keep;
            case.spec.health.healthy_timeout = seconds(300);
        }
        case
    })
}
