//! Runs hooks in the background: looks their instances' addresses up, and tries them as often as
//! the document says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rolling_provider::{Clock, Fleet, InstanceId};
use tokio::sync::Notify;

use super::address::post;
use super::background::{Background, LastTry};
use super::hook_driver::{HookDriver, HookInstance, HookMessage};
use super::program::{UserProgram, execute};
use super::retry::Retry;
use crate::model::spec::{Hook, HookCall};
use crate::rollout::gate_failure::{AddressFailure, GateFailure};
use crate::rollout::state::HookRun;

/// Runs one hook at a time.
pub(super) struct HookRunner {
    fleet: Arc<dyn Fleet>,
    clock: Arc<dyn Clock>,
    driver: Option<Arc<dyn HookDriver>>,
    hooks: Background<HookRun, HookEnd>,
}

/// How a hook has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HookEnd {
    /// What its last try came to.
    pub(super) result: Result<String, GateFailure>,
    /// What it had to do without.
    pub(super) warning: Option<String>,
}

/// What every try of a hook needs.
struct Tries {
    fleet: Arc<dyn Fleet>,
    clock: Arc<dyn Clock>,
    driver: Option<Arc<dyn HookDriver>>,
    hook: Hook,
    last_try: LastTry,
}

impl HookRunner {
    /// Returns a runner that runs nothing yet, and notifies `answered` when a hook is over.
    pub(super) fn new(
        fleet: Arc<dyn Fleet>,
        clock: Arc<dyn Clock>,
        driver: Option<Arc<dyn HookDriver>>,
        answered: Arc<Notify>,
    ) -> Self {
        Self { fleet, clock, driver, hooks: Background::new(answered) }
    }

    /// The hook under way.
    pub(super) fn running(&self) -> Option<&HookRun> {
        self.hooks.running()
    }

    /// Begins `run` of `hook`, on the way of the fleet `target` to `revision`.
    pub(super) fn begin(&mut self, run: HookRun, hook: Hook, target: String, revision: String) {
        let (fleet, clock) = (Arc::clone(&self.fleet), Arc::clone(&self.clock));
        let driver = self.driver.clone();
        let message = HookMessage {
            hook: run.point,
            id: run.id.clone(),
            attempt: 0,
            rollout: run.rollout.clone(),
            target,
            revision,
            batch: run.batch,
            instances: Vec::new(),
            outcome: run.outcome,
        };
        let zones = run.instances.clone();
        self.hooks.begin(run, |last_try| async move {
            Tries { fleet, clock, driver, hook, last_try }.all(message, zones).await
        });
    }

    /// Returns what the last try of the hook under way came to, if it failed.
    pub(super) fn last_try(&self) -> Option<String> {
        self.hooks.last_try()
    }

    /// Returns how the hook has ended, if it has.
    pub(super) fn end(&mut self) -> Option<HookEnd> {
        let answer = self.hooks.answer()?;
        Some(answer.unwrap_or(HookEnd { result: Err(GateFailure::NoAnswer), warning: None }))
    }

    /// Ends the hook under way, and returns once it no longer runs.
    pub(super) async fn stop_and_wait(&mut self) {
        self.hooks.stop_and_wait().await;
    }

    /// Ends the hook under way.
    pub(super) fn stop(&mut self) {
        self.hooks.stop();
    }
}

impl Tries {
    /// Looks the instances up, and tries until one try succeeds, or there are no more.
    ///
    /// A hook acts whether the cloud says where its instances are or not.
    async fn all(&self, message: HookMessage, zones: Vec<(InstanceId, String)>) -> HookEnd {
        let (instances, warning) = self.instances(zones).await;
        let result = self.tries(HookMessage { instances, ..message }).await;
        HookEnd { result, warning }
    }

    async fn tries(&self, mut message: HookMessage) -> Result<String, GateFailure> {
        let mut retry = Retry::new(0.0).since(self.clock.now());
        loop {
            message.attempt += 1;
            let failure = match self.one(&message).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if message.attempt >= self.hook.tries {
                return Err(GateFailure::each_time(Some(failure), message.attempt));
            }
            self.last_try.failed(message.attempt, &failure);
            self.clock.sleep(retry.pause().min(Hook::LONGEST_PAUSE)).await;
        }
    }

    /// Returns the instances with their addresses, and a warning where these are not known.
    async fn instances(
        &self,
        zones: Vec<(InstanceId, String)>,
    ) -> (Vec<HookInstance>, Option<String>) {
        let ids: BTreeSet<InstanceId> = zones.iter().map(|(id, _)| id.clone()).collect();
        let (mut addresses, warning) = match ids.is_empty() {
            true => (BTreeMap::new(), None),
            false => match self.addresses(&ids).await {
                Ok(addresses) => (addresses, None),
                Err(why) => {
                    (BTreeMap::new(), Some(format!("{why}; it is run without private addresses")))
                }
            },
        };
        let instance = |(id, zone)| {
            let private_address = addresses.remove(&id);
            HookInstance { id, private_address, zone }
        };
        (zones.into_iter().map(instance).collect(), warning)
    }

    async fn addresses(
        &self,
        ids: &BTreeSet<InstanceId>,
    ) -> Result<BTreeMap<InstanceId, String>, GateFailure> {
        let mut retry = Retry::new(0.0).since(self.clock.now());
        loop {
            let error = match self.fleet.addresses(ids).await {
                Ok(addresses) => return Ok(addresses),
                Err(error) => error,
            };
            let pause = retry.failed(self.clock.now(), Hook::ADDRESSES_WITHIN);
            let Some(pause) = pause.filter(|_| error.is_retryable()) else {
                return Err(GateFailure::AddressesUnreadable(error));
            };
            self.clock.sleep(pause).await;
        }
    }

    /// Tries once.
    async fn one(&self, message: &HookMessage) -> Result<String, GateFailure> {
        let timeout = self.hook.timeout;
        if let Some(driver) = &self.driver {
            return driver.attempt(&self.hook, message).await.map_err(GateFailure::Driver);
        }
        let json = serde_json::json!(message).to_string();
        match &self.hook.call {
            HookCall::Command { run, environment } => {
                let (variables, input) = (message.variables(), json.into_bytes());
                let program = UserProgram { run, environment, variables, input };
                execute(&program, timeout, &self.clock).await
            }
            HookCall::Http { url } => {
                let answer = self.within(post(url, json)).await;
                match answer.ok_or(GateFailure::NotEnded(timeout))? {
                    Ok(status @ 200..=299) => Ok(status.to_string()),
                    Ok(status) => Err(GateFailure::Answer(AddressFailure::NoSuccess(status))),
                    Err(failure) => Err(GateFailure::Answer(failure)),
                }
            }
        }
    }

    /// Returns what comes of `work` within the time of one try.
    async fn within<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.clock.sleep(self.hook.timeout) => None,
        }
    }
}
