//! An engine that is frozen (Ctrl-Z, a paused container, a closed laptop) while somebody else is at
//! work does nothing more when it continues. If nobody was at work, it goes on as if nothing had
//! happened.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use rolling::engine::{Caller, ControlOutcome, Rollout, Stop};
use rolling::model::event::Outcome;
use rolling::model::spec::{BatchSize, Bound, OnFailure, Pacing, Policy, RollingDeployment};
use rolling::record::command::Command;
use rolling_provider::{Action, Done, Fleet, Observation, ProviderError, Tags};
use rolling_simulator::{Behaviour, EPOCH, FleetConfig, Simulator, VirtualClock};
use rolling_testing::{Wrapper, impl_fleet};
use tokio::sync::watch;

use super::properties::{block_on, look, suspended};
use crate::test_fleets::{GuardedFleet, VersionedRecord};
use crate::world::{caller, fleet, roll, seconds, spec, traffic_steps};

/// What somebody else does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    /// Nothing: nobody else is at work.
    Nothing,
    /// Finishes the same rollout.
    Finish,
    /// Rolls out another revision.
    Other,
    /// Has the rollout aborted, paused or rolled back.
    Command(Command),
}

/// Where the engine is frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// With the answer to a look on its way.
    Look(u32),
    /// With a call on its way to the cloud, which cannot be taken back.
    Call(u32),
}

struct Frozen {
    inner: Arc<dyn Fleet>,
    simulator: Arc<Simulator>,
    /// Where the record is kept, if not in the fleet's tags.
    object: Option<VersionedRecord>,
    spec: RollingDeployment,
    at: At,
    meanwhile: Meanwhile,
    looks: AtomicU32,
    calls: AtomicU32,
    froze: AtomicBool,
    /// How many mutations it made after it continued.
    after: AtomicU32,
}

impl Frozen {
    /// Freezes the engine if it has the lease by now. None of its tasks runs meanwhile.
    fn freeze(&self) {
        std::thread::scope(|scope| {
            scope.spawn(|| block_on(self.others_are_at_work())).join().expect("to wake up");
        });
    }

    async fn others_are_at_work(&self) {
        let tags = record(&self.simulator, self.object.as_ref());
        let lease = tags.get("rolling:lease").cloned().unwrap_or_default();
        if !lease.contains("owner=frozen") {
            return;
        }
        if self.meanwhile == Meanwhile::Nothing {
            self.inner.clock().sleep(seconds(3600)).await;
            self.froze.store(true, Ordering::Relaxed);
            return;
        }
        let (_keep, stop) = watch::channel(Stop::No);
        if self.meanwhile == Meanwhile::Other {
            self.simulator.retarget("v3".into());
        }
        let fleet = open(&self.simulator, self.object.as_ref());
        // On another host, where nobody knows that the engine is only frozen.
        let other = Caller { is_gone: |_| false, ..caller() };
        let other = Rollout::prepare(fleet, self.spec.clone(), &other).await;
        let other = other.expect("prepare");
        match self.meanwhile {
            Meanwhile::Command(command) => {
                let out = other.command(command, stop, &mut |_| {}).await.expect("it");
                // It has found that there is nothing for it to do.
                if matches!(out, ControlOutcome::NoOp(_)) {
                    return;
                }
            }
            _ => {
                other.run(stop, &mut |_| {}).await;
            }
        }
        self.inner.clock().sleep(seconds(60)).await;
        self.froze.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Wrapper for Frozen {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let look = self.inner.observe().await;
        if self.at == At::Look(self.looks.fetch_add(1, Ordering::Relaxed)) {
            self.freeze();
        }
        look
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        if self.froze.load(Ordering::Relaxed) {
            self.after.fetch_add(1, Ordering::Relaxed);
        }
        if self.at == At::Call(self.calls.fetch_add(1, Ordering::Relaxed)) {
            self.freeze();
        }
        self.inner.act(action).await
    }
}

impl_fleet!(Frozen);

/// Returns the fleet of one engine.
fn open(simulator: &Arc<Simulator>, object: Option<&VersionedRecord>) -> Arc<dyn Fleet> {
    match object {
        None => simulator.clone(),
        Some(object) => Arc::new(GuardedFleet::new(simulator.clone(), object.clone())),
    }
}

fn record(simulator: &Simulator, object: Option<&VersionedRecord>) -> Tags {
    object.map_or_else(|| look(simulator).record, VersionedRecord::tags)
}

/// Returns whether the engine was frozen there, and what it did afterwards.
fn run(
    config: &FleetConfig,
    spec: &RollingDeployment,
    at: At,
    meanwhile: Meanwhile,
    guarded: bool,
) -> bool {
    block_on(async {
        let clock = Arc::new(VirtualClock::new(EPOCH));
        let simulator = Arc::new(Simulator::in_memory(config.clone(), clock));
        let object = guarded.then(VersionedRecord::default);
        let frozen = Arc::new(Frozen {
            inner: open(&simulator, object.as_ref()),
            simulator,
            object,
            spec: spec.clone(),
            at,
            meanwhile,
            looks: AtomicU32::new(0),
            calls: AtomicU32::new(0),
            froze: AtomicBool::new(false),
            after: AtomicU32::new(0),
        });
        let me = Caller { owner: "frozen/1.1.aa".into(), rollout_id: "frozen".into(), ..caller() };
        let rollout = Rollout::prepare(frozen.clone(), spec.clone(), &me).await.expect("prepare");
        let (_keep, stop) = watch::channel(Stop::No);
        let report = rollout.run(stop, &mut |_| {}).await;
        let froze = frozen.froze.load(Ordering::Relaxed);
        let what = format!("{:?} {guarded} {at:?} {meanwhile:?}", spec.policy);
        if froze && meanwhile == Meanwhile::Nothing {
            // Time in which the fleet was not watched is not charged to the revision.
            let is_bad = !config.bad_revisions.is_empty();
            let ended = if is_bad { Outcome::RolledBack } else { Outcome::Succeeded };
            assert_eq!(report.outcome, ended, "{what}: {:?}", report.reason);
        } else if froze {
            let did = frozen.after.load(Ordering::Relaxed);
            assert_eq!(did, 0, "{what}: {:?} {:?}", report.outcome, report.reason);
            // The call on its way may have been the last one: the report must be true all the same.
            let truth = look(&frozen.simulator);
            let left = record(&frozen.simulator, frozen.object.as_ref());
            let mut live = truth.instances.values().filter(|i| i.lifecycle.is_live());
            let all = live.all(|instance| instance.revision == report.completed);
            let ended = matches!(report.outcome, Outcome::Succeeded | Outcome::RolledBack);
            let is_done = ended && all && left.is_empty();
            let is_locked = report.outcome == Outcome::Locked;
            let why = &report.reason;
            assert!(is_locked || is_done, "{what}: {:?} {why:?}", report.outcome);
        }
        froze
    })
}

#[test]
fn an_engine_that_was_frozen_while_another_was_at_work_does_nothing_more() {
    let others = [
        Meanwhile::Nothing,
        Meanwhile::Finish,
        Meanwhile::Other,
        Meanwhile::Command(Command::Abort),
        Meanwhile::Command(Command::Pause),
        Meanwhile::Command(Command::Rollback),
    ];
    let (mut moments, mut count) = (0, 0);
    for (config, spec) in stories() {
        count += 1;
        let calls = block_on(async {
            let clock = Arc::new(VirtualClock::new(EPOCH));
            let simulator = Arc::new(Simulator::in_memory(config.clone(), clock));
            roll(simulator, spec.clone()).await.events.len()
        });
        for other in others {
            for number in 1..u32::try_from(calls).expect("few") {
                for guarded in [false, true] {
                    for at in [At::Call(number), At::Look(number)] {
                        moments += usize::from(run(&config, &spec, at, other, guarded));
                    }
                }
            }
        }
    }
    eprintln!("frozen at {moments} moments of {count} stories");
    assert!(moments > 5000 && count >= 12, "{moments} {count}");
}

fn stories() -> Vec<(FleetConfig, RollingDeployment)> {
    let two = BatchSize::Fixed(2);
    let policies = [
        Policy::Rolling(two),
        Policy::RollingWithAdditionalBatch(two),
        Policy::RollingWithin { surge: Bound::Count(1), unavailable: Bound::Count(1) },
        Policy::Immutable,
        Policy::AllAtOnce,
        Policy::BlueGreen { terminate_after: seconds(30) },
        Policy::TrafficSplitting,
    ];
    let story = |policy: Policy, bad: Option<Behaviour>| {
        let mut config = FleetConfig { instances: 4, boot_sigma: 0.0, ..fleet() };
        config.bad_revisions.extend(bad.map(|bad| ("v2".into(), bad)));
        let mut spec = RollingDeployment { on_failure: OnFailure::Rollback, ..spec(policy) };
        spec.suspend_processes = suspended(&mut config, policy);
        spec.health.healthy_timeout = seconds(300);
        spec.traffic_steps = traffic_steps(&[(20, 15), (60, 15)]);
        (config, spec)
    };
    let mut stories: Vec<_> = policies.into_iter().map(|policy| story(policy, None)).collect();
    let unhealthy = Some(Behaviour::Unhealthy);
    stories.push(story(Policy::Rolling(two), unhealthy));
    stories.push(story(Policy::RollingWithAdditionalBatch(two), unhealthy));
    stories.push(story(Policy::BlueGreen { terminate_after: seconds(30) }, unhealthy));
    let (config, spec) = story(Policy::RollingWithAdditionalBatch(two), None);
    stories.push((config, RollingDeployment { pacing: Pacing::Continuous, ..spec }));
    let (config, spec) = story(Policy::Rolling(two), None);
    let unmanaged = FleetConfig { unmanaged: true, ..config };
    stories.push((unmanaged, RollingDeployment { suspend_processes: BTreeSet::new(), ..spec }));
    stories
}
