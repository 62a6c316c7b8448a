//! What can never begin, or never end, is refused before anything is changed, and nothing else is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rolling::engine::{Rollout, Stop};
use rolling::model::event::{Event, Outcome, Report};
use rolling::model::spec::{BatchSize, Bound, Policy, RollingDeployment, SetAside};
use rolling_provider::{Fleet, ProviderError, Target};
use rolling_simulator::{Behaviour, FleetConfig, Intervention, Simulator};
use rolling_testing::{Wrapper, impl_fleet};
use tokio::sync::watch;

use super::super::properties::{block_on, look};
use super::{fixed, ids};
use crate::world::{bad, caller, fleet, seconds, simulate, spec};

/// Why an instance does not serve.
#[derive(Clone, Copy, Debug)]
enum Idle {
    /// It fails its health checks.
    Broken,
    /// Somebody has taken it out of rotation.
    TakenOut,
}

/// Returns `size` instances of which the last `idle` do not serve, and are to be left alone.
fn found(size: u32, idle: usize, why: Idle) -> Arc<Simulator> {
    let simulator = simulate(FleetConfig { instances: size, ..fleet() });
    for id in ids(&simulator).into_iter().rev().take(idle) {
        simulator.intervene(Intervention::Ignore(id.clone())).expect("a tag");
        let out = match why {
            Idle::Broken => Intervention::Break(id, true),
            Idle::TakenOut => Intervention::Deregister(id),
        };
        simulator.intervene(out).expect("it is out");
    }
    block_on(simulator.clock().sleep(seconds(60)));
    simulator
}

fn prepare(simulator: &Arc<Simulator>, spec: &RollingDeployment) -> Result<Rollout, ProviderError> {
    let fleet: Arc<dyn Fleet> = Arc::clone(simulator) as _;
    block_on(Rollout::prepare(fleet, spec.clone(), &caller()))
}

/// Rolls although that may be impossible.
fn force(simulator: &Arc<Simulator>, spec: &RollingDeployment) -> Report {
    let fleet: Arc<dyn Fleet> = Arc::clone(simulator) as _;
    let (_send, stop) = watch::channel(Stop::No);
    block_on(async {
        let rollout = Rollout::look_up(fleet, spec.clone(), &caller()).await.expect("a rollout");
        rollout.run(stop, &mut |_| ()).await
    })
}

fn policies() -> Vec<Policy> {
    let within = |surge, unavailable| Policy::RollingWithin {
        surge: Bound::Count(surge),
        unavailable: Bound::Count(unavailable),
    };
    let rolling = [1, 2, 3].map(|size| Policy::Rolling(BatchSize::Fixed(size)));
    let additional = [1, 3].map(|size| Policy::RollingWithAdditionalBatch(BatchSize::Fixed(size)));
    let within = [(0, 1), (1, 0), (1, 1), (3, 1), (1, 2), (2, 2), (1, 3), (2, 3)]
        .map(|(surge, unavailable)| within(surge, unavailable));
    let whole = [Policy::Immutable, Policy::AllAtOnce];
    rolling.into_iter().chain(additional).chain(within).chain(whole).collect()
}

#[test]
fn a_rollout_is_refused_exactly_where_it_could_not_end() {
    let mut refused = 0;
    for policy in policies() {
        for (size, idle) in [(4, 0), (4, 1), (4, 2), (6, 1), (6, 3)] {
            for why in [Idle::Broken, Idle::TakenOut] {
                let spec = RollingDeployment { policy, ..fixed(1) };
                let case = format!("{policy:?}, {idle} of {size} {why:?}");
                let error = prepare(&found(size, idle, why), &spec).err();
                let report = force(&found(size, idle, why), &spec);
                match error {
                    Some(error) => {
                        refused += 1;
                        assert_ne!(report.outcome, Outcome::Succeeded, "{case}: {error}");
                    }
                    None => {
                        assert_eq!(
                            report.outcome,
                            Outcome::Succeeded,
                            "{case}: {:?}",
                            report.reason
                        );
                    }
                }
            }
        }
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn the_refusal_names_the_attribute_and_nothing_is_touched() {
    for (policy, attribute, message) in [
        (
            Policy::Rolling(BatchSize::Fixed(1)),
            "batch_size",
            "nothing can ever be replaced: 1 of 4 instances does not serve and is left alone",
        ),
        (
            Policy::RollingWithin { surge: Bound::Count(2), unavailable: Bound::Count(0) },
            "max_unavailable",
            "the additional instances can never be removed again: 1 of 4",
        ),
        (Policy::Immutable, "policy", "the additional instances can never be removed again"),
    ] {
        let simulator = found(4, 1, Idle::TakenOut);
        let before = look(&simulator);
        let error = prepare(&simulator, &RollingDeployment { policy, ..fixed(1) });
        let error = error.err().expect("a refusal");
        assert_eq!(error.attribute.as_deref(), Some(attribute), "{error}");
        assert!(error.message.starts_with(message), "{error}");
        let after = look(&simulator);
        assert_eq!((before.template, before.record), (after.template, after.record));
    }
}

#[test]
fn a_progress_deadline_shorter_than_the_drain_is_refused() {
    let simulator = simulate(fleet());
    let short = |seconds| RollingDeployment {
        progress_deadline: Some(Duration::from_secs(seconds)),
        ..fixed(1)
    };
    let error = prepare(&simulator, &short(15)).err().expect("a refusal");
    assert_eq!(error.attribute.as_deref(), Some("progress_deadline"), "{error}");
    assert!(prepare(&simulator, &short(25)).is_ok(), "that may be enough");
}

/// Nothing gets better while instances soak.
#[test]
fn the_time_without_progress_is_longer_than_a_soak_of_any_length() {
    for soak in [600, 7_200, 100_000] {
        let simulator = simulate(FleetConfig { instances: 2, ..fleet() });
        let mut spec = fixed(1);
        spec.health.min_healthy_time = Duration::from_secs(soak);
        let rollout = prepare(&simulator, &spec).expect("a rollout");
        let warnings = rollout.preview().warnings;
        assert!(!warnings.iter().any(|it| it.contains("without progress")), "{warnings:?}");
        let (_send, stop) = watch::channel(Stop::No);
        let report = block_on(rollout.run(stop, &mut |_| {}));
        assert_eq!(report.outcome, Outcome::Succeeded, "{soak}: {:?}", report.reason);
    }
}

/// By default the time without progress suffices for as many failures as the document allows.
#[test]
fn each_failure_threshold_is_reached_before_the_rollout_is_given_up() {
    for threshold in 1..=5 {
        let simulator = simulate(FleetConfig { instances: 6, ..bad(Behaviour::Unhealthy) });
        let spec = RollingDeployment { failure_threshold: threshold, ..fixed(1) };
        let rollout = prepare(&simulator, &spec).expect("a rollout");
        let worst = rollout.preview().at_worst.expect("a worst case");
        let (_send, stop) = watch::channel(Stop::No);
        let mut noticed = None;
        let report = block_on(rollout.run(stop, &mut |envelope| {
            if let Event::RollingBack { .. } = envelope.event {
                noticed = Some(envelope.at);
            }
        }));
        assert_eq!(report.outcome, Outcome::RolledBack, "{threshold}: {:?}", report.reason);
        let why = report.reason.unwrap_or_default();
        assert!(!why.contains("no progress"), "{threshold}: {why}");
        let took = noticed.expect("a rollback").since(rolling_simulator::EPOCH);
        let most = Duration::from_secs(worst.exposed_seconds + worst.out_seconds);
        assert!(took <= most, "{threshold}: {took:?} of {most:?}");
    }
}

/// The rule `wait` waits an hour, also where nothing can be replaced meanwhile.
#[test]
fn protected_instances_that_do_not_serve_are_waited_for() {
    let simulator = simulate(FleetConfig {
        instances: 4,
        events: vec![(seconds(1900), Intervention::Protect("i-0004".into(), false))],
        ..fleet()
    });
    simulator.intervene(Intervention::Protect("i-0004".into(), true)).expect("protected");
    simulator.intervene(Intervention::Break("i-0004".into(), true)).expect("broken");
    block_on(simulator.clock().sleep(seconds(60)));
    let spec = RollingDeployment {
        protected: SetAside::Wait,
        ..spec(Policy::Rolling(BatchSize::Fixed(1)))
    };
    let rollout = prepare(&simulator, &spec).expect("a rollout");
    let preview = rollout.preview();
    let warned = preview.warnings.iter().any(|it| it.contains("i-0004 does not serve and may not"));
    assert!(warned, "{:?}", preview.warnings);
    assert!(preview.may_wait[0].starts_with("up to 1h for 1 instance"), "{:?}", preview.may_wait);
    let report = force(&simulator, &spec);
    assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.reason);
}

/// A fleet whose instances something protects, as ECS does.
struct ProtectedFleet(Arc<Simulator>);

#[async_trait]
impl Wrapper for ProtectedFleet {
    fn inner(&self) -> &dyn Fleet {
        &*self.0
    }

    async fn resolve(&self) -> Result<Target, ProviderError> {
        let target = self.inner().resolve().await?;
        Ok(Target { protected_by: Some("the scheduler"), ..target })
    }
}

impl_fleet!(ProtectedFleet);

#[test]
fn what_protects_every_instance_is_named_where_the_rollout_would_wait_for_it() {
    for (protected, rule, is_told) in [
        (4, SetAside::Wait, true),
        (3, SetAside::Wait, false),
        (4, SetAside::Refresh, false),
        (4, SetAside::Ignore, false),
    ] {
        let simulator = simulate(FleetConfig { instances: 4, ..fleet() });
        for id in ids(&simulator).into_iter().take(protected) {
            simulator.intervene(Intervention::Protect(id, true)).expect("protected");
        }
        let spec = RollingDeployment { protected: rule, ..fixed(1) };
        let fleet = Arc::new(ProtectedFleet(simulator));
        let rollout = block_on(Rollout::look_up(fleet, spec, &caller())).expect("a rollout");
        let message = "all 4 instances to replace are protected from scale-in by the scheduler";
        let told = rollout.preview().warnings.iter().any(|it| it.starts_with(message));
        assert_eq!(told, is_told, "{protected} {rule:?}: {:?}", rollout.preview().warnings);
        let found = rollout.preflight().into_iter().find(|it| it.message.starts_with(message));
        assert_eq!(found.is_some(), is_told, "{protected} {rule:?}");
        assert!(found.is_none_or(|it| it.remedy.contains("managed draining") && !it.is_error));
    }
}

#[test]
fn what_the_refusal_advises_is_accepted() {
    for (size, idle) in [(4, 1), (8, 2), (10, 3), (7, 2)] {
        for policy in [
            Policy::Rolling(BatchSize::Fixed(1)),
            Policy::Rolling(BatchSize::Percentage(1)),
            Policy::RollingWithin { surge: Bound::Count(0), unavailable: Bound::Count(1) },
            Policy::RollingWithin { surge: Bound::Count(0), unavailable: Bound::Percent(1) },
        ] {
            let spec = RollingDeployment { policy, ..fixed(1) };
            let error = prepare(&found(size, idle, Idle::TakenOut), &spec).err();
            let remedy = error.and_then(|error| error.remedy).expect("a remedy");
            let digits = remedy.split(" = ").nth(1).expect("a value").trim_start_matches('"');
            let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
            let value = digits.parse().expect("a number");
            let advised = match policy {
                Policy::Rolling(BatchSize::Fixed(_)) => Policy::Rolling(BatchSize::Fixed(value)),
                Policy::Rolling(_) => Policy::Rolling(BatchSize::Percentage(value)),
                Policy::RollingWithin { surge, unavailable: Bound::Count(_) } => {
                    Policy::RollingWithin { surge, unavailable: Bound::Count(value) }
                }
                _ => Policy::RollingWithin {
                    surge: Bound::Count(0),
                    unavailable: Bound::Percent(value),
                },
            };
            let spec = RollingDeployment { policy: advised, ..fixed(1) };
            let refused = prepare(&found(size, idle, Idle::TakenOut), &spec).err();
            assert!(refused.is_none(), "{policy:?} of {size}, {idle} idle: {remedy}: {refused:?}");
        }
    }
}
