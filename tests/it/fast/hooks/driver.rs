//! Hooks that take virtual time, fail as they are told to, and at which an engine may be killed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rolling::engine::{Caller, HookDriver, HookMessage, Rollout, Stop};
use rolling::model::spec::{Hook, HookCall, HookPoint, Hooks, OnHookFailure, RollingDeployment};
use rolling_provider::{Clock as _, Fleet, InstanceId};
use rolling_simulator::{EPOCH, FleetConfig, Simulator, VirtualClock};
use tokio::sync::{Notify, watch};

use crate::test_fleets::Witness;
use crate::world::{Run, assert_first_and_last, caller};

/// Which tries fail: by their number from 1 over all hooks, and their message.
pub type Fails = fn(u32, &HookMessage) -> bool;

/// One try of a hook.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub message: HookMessage,
    /// Whether it succeeded; `None` where the engine was killed, or the hook was ended.
    pub passed: Option<bool>,
    /// Those of its instances that ran the revision and served when it began.
    pub serving: BTreeSet<InstanceId>,
}

/// See the module.
pub struct Driver {
    clock: Arc<VirtualClock>,
    simulator: Arc<Simulator>,
    witness: Arc<Witness>,
    tries: u32,
    takes: Duration,
    fails: Fails,
    /// The try at which the engine is killed; 0 for none.
    dies_at: u32,
    dead: Notify,
    pub attempts: Mutex<Vec<Attempt>>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Driver")
    }
}

#[async_trait]
impl HookDriver for Driver {
    async fn attempt(&self, _: &Hook, message: &HookMessage) -> Result<String, String> {
        let serving = self.serving(&message.revision);
        let number = {
            let mut attempts = self.attempts.lock().expect("attempts");
            attempts.push(Attempt { message: message.clone(), passed: None, serving });
            attempts.len()
        };
        if number == self.dies_at as usize {
            self.dead.notify_one();
            return std::future::pending().await;
        }
        let until = self.clock.now() + self.takes;
        while self.clock.now() < until {
            // The engine has its turns meanwhile.
            tokio::task::yield_now().await;
            self.clock.sleep(until.since(self.clock.now()).min(Duration::from_secs(1))).await;
        }
        let fails = (self.fails)(u32::try_from(number).expect("few"), message);
        self.attempts.lock().expect("attempts")[number - 1].passed = Some(!fails);
        let is_over = !fails || message.attempt == self.tries;
        if is_over && message.hook == HookPoint::BeforeDeregister {
            self.witness.prepared(message.instances.iter().map(|instance| instance.id.clone()));
        }
        if fails { Err("it is not to be".into()) } else { Ok("it is done".into()) }
    }
}

impl Driver {
    fn serving(&self, revision: &str) -> BTreeSet<InstanceId> {
        let truth = self.simulator.truth().expect("the fleet");
        let serving = truth.instances.iter().filter(|(_, instance)| {
            crate::test_fleets::serves(instance)
                && instance.revision.as_ref().is_some_and(|it| it.as_str() == revision)
        });
        serving.map(|(id, _)| id.clone()).collect()
    }

    /// Returns the tries so far.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.attempts.lock().expect("attempts").clone()
    }

    /// Returns the points of the first tries so far, in order.
    pub fn points(&self) -> Vec<&'static str> {
        let first = self.attempts().into_iter().filter(|it| it.message.attempt == 1);
        first.map(|it| it.message.hook.name()).collect()
    }

    /// Returns the instances that hooks at `point` were about, by the id of the hook.
    pub fn instances(&self, point: HookPoint) -> BTreeMap<String, BTreeSet<InstanceId>> {
        let of = self.attempts().into_iter().filter(|it| it.message.hook == point);
        of.map(|it| (it.message.id.clone(), ids(&it.message))).collect()
    }
}

pub fn ids(message: &HookMessage) -> BTreeSet<InstanceId> {
    message.instances.iter().map(|instance| instance.id.clone()).collect()
}

/// A fleet, its witness, and its hooks.
pub struct World {
    pub clock: Arc<VirtualClock>,
    pub simulator: Arc<Simulator>,
    pub witness: Arc<Witness>,
    pub driver: Arc<Driver>,
    pub spec: RollingDeployment,
}

/// How the hooks of a world behave.
#[derive(Clone, Copy)]
pub struct Behave {
    /// How long a try takes.
    pub takes: u64,
    pub fails: Fails,
    /// The try at which the first engine is killed; 0 for none.
    pub dies_at: u32,
}

impl Default for Behave {
    fn default() -> Self {
        Behave { takes: 5, fails: |_, _| false, dies_at: 0 }
    }
}

/// Hooks at these points, each tried that often.
pub fn hooks(points: &[HookPoint], tries: u32, on_failure: OnHookFailure) -> Hooks {
    let call = HookCall::Command { run: vec!["hook".into()], environment: BTreeMap::new() };
    let timeout = Duration::from_secs(7200);
    let hook = Hook { call, timeout, tries, on_failure };
    Hooks(points.iter().map(|point| (*point, hook.clone())).collect())
}

impl World {
    pub async fn new(config: FleetConfig, spec: RollingDeployment, behave: Behave) -> World {
        let clock = Arc::new(VirtualClock::new(EPOCH));
        let simulator = Arc::new(Simulator::in_memory(config, clock.clone()));
        let witness = Witness::new(simulator.clone(), spec.clone()).await;
        let driver = Arc::new(Driver {
            clock: clock.clone(),
            simulator: simulator.clone(),
            witness: witness.clone(),
            tries: spec.hooks.0.values().map(|hook| hook.tries).max().unwrap_or(1),
            takes: Duration::from_secs(behave.takes),
            fails: behave.fails,
            dies_at: behave.dies_at,
            dead: Notify::new(),
            attempts: Mutex::default(),
        });
        World { clock, simulator, witness, driver, spec }
    }

    pub fn caller(&self, rollout_id: &str) -> Caller {
        let hook_driver: Arc<dyn HookDriver> = self.driver.clone();
        let rollout_id = rollout_id.into();
        Caller { hook_driver: Some(hook_driver), rollout_id, ..caller() }
    }

    /// Rolls by an engine that names its rollout so. `None` where it is killed at a hook.
    pub async fn roll(&self, rollout_id: &str) -> Option<Run> {
        self.roll_on(self.witness.clone(), rollout_id).await
    }

    /// The same by way of `fleet`.
    pub async fn roll_on(&self, fleet: Arc<dyn Fleet>, rollout_id: &str) -> Option<Run> {
        let (_keep, stop) = watch::channel(Stop::No);
        let caller = self.caller(rollout_id);
        let rollout = Rollout::prepare(fleet, self.spec.clone(), &caller).await;
        let rollout = rollout.expect("prepare");
        let mut events = Vec::new();
        let mut keep = |event| {
            assert!(
                events.len() < 10_000,
                "the rollout does not end: {:?}",
                &events[events.len() - 12..]
            );
            events.push(event);
        };
        let report = tokio::select! {
            biased;
            () = self.driver.dead.notified() => return None,
            report = rollout.run(stop, &mut keep) => report,
        };
        assert_first_and_last(&events);
        Some(Run { events, report })
    }
}
