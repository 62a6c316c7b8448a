//! Calls that take a while, so that a plan is later than the look that it comes from.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use rolling::model::event::{Outcome, Report};
use rolling::model::spec::Policy;
use rolling::record::command::Command;
use rolling_provider::{Action, Activity, Done, Fleet, Observation, ProviderError, Timestamp};
use rolling_simulator::{Behaviour, EPOCH, Simulator, VirtualClock};
use rolling_testing::{Wrapper, impl_fleet};

use super::{found, is_put_back};
use crate::fast::crash::leave_command;
use crate::fast::properties::{Case, any_case, block_on, settings, suspended};
use crate::test_fleets::Witness;
use crate::world::{roll, seconds};

/// A fleet each of whose calls takes `call`.
struct Slow {
    inner: Arc<Witness>,
    call: Duration,
}

#[async_trait]
impl Wrapper for Slow {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let look = self.inner().observe().await;
        self.inner().clock().sleep(self.call).await;
        look
    }

    async fn activities(&self, since: Timestamp) -> Result<Vec<Activity>, ProviderError> {
        let run = self.inner().activities(since).await;
        self.inner().clock().sleep(self.call).await;
        run
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        let done = self.inner().act(action).await;
        self.inner().clock().sleep(self.call).await;
        done
    }
}

impl_fleet!(Slow);

/// Runs `case` with calls that take `call`, and an abort by somebody after `abort` seconds.
async fn run_slowly(
    case: &Case,
    call: Duration,
    abort: Option<u64>,
) -> (Report, Arc<Simulator>, Arc<Witness>) {
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let simulator = Arc::new(Simulator::in_memory(case.config.clone(), clock.clone()));
    let witness = Witness::new(simulator.clone(), case.spec.clone()).await;
    if let Some(abort) = abort {
        let simulator = simulator.clone();
        clock.at(EPOCH + seconds(abort), move || leave_command(&simulator, Command::Abort));
    }
    let slow = Arc::new(Slow { inner: witness.clone(), call });
    (roll(slow, case.spec.clone()).await.report, simulator, witness)
}

proptest! {
    #![proptest_config(settings())]

    /// Every call takes a while, so that a plan is later than the look that it comes from.
    #[test]
    fn slow_calls_break_nothing(
        case in any_case(), slow in 1..4000u64, lag in prop_oneof![Just(0u64), 10..=20u64],
        replaces in any::<bool>(), abort in proptest::option::of(1..120u64),
    ) {
        let mut case = case;
        case.config.unmanaged = false;
        case.config.replaces_deregistered = replaces;
        case.config.launch_lag = seconds(lag);
        case.spec.suspend_processes = suspended(&mut case.config, case.spec.policy);
        case.lag = Duration::ZERO;
        if case.config.bad_revisions.get(&"v2".into()) == Some(&Behaviour::Flap) {
            // An instance that flaps while a call is under way breaks the floor by itself.
            case.config.bad_revisions.clear();
            case.spec.health.healthy_timeout = seconds(900);
        }
        block_on(async {
            let call = Duration::from_millis(slow);
            let (report, simulator, witness) = run_slowly(&case, call, abort).await;
            prop_assert_eq!(witness.broken(1), Vec::<String>::new());
            if case.config.bad_revisions.is_empty() && abort.is_none() {
                prop_assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.reason);
            }
            if report.outcome != Outcome::Paused && report.borrowed.is_empty() {
                is_put_back(&simulator, case.config.instances)?;
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_launch_that_becomes_late_after_the_look_is_not_taken_off_the_size() {
    let mut case = found(Policy::BlueGreen { terminate_after: seconds(300) }, 4, [30, 10, 20]);
    case.config.launch_lag = seconds(20);
    for seed in 0..4 {
        case.config.seed = seed;
        for abort in 5..40 {
            let call = Duration::from_millis(700);
            let (_, _, witness) = run_slowly(&case, call, Some(abort)).await;
            assert_eq!(witness.broken(1), Vec::<String>::new(), "aborted at {abort}");
        }
    }
}
