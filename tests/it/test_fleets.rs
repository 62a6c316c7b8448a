//! The test bed: fleets that lie, engines that die, and a witness who sees what really happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rolling::model::spec::{RollingDeployment, Window};
use rolling::record::Record;
use rolling_provider::{
    Action, Activity, Alarm, Clock, Done, Fleet, Instance, InstanceId, Lifecycle, Observation,
    ProviderError, Target, TargetState, Timestamp,
};
use rolling_simulator::Simulator;

/// The name of the second target group, where requests are shifted.
pub const SECOND: &str = "second";

/// Stands between an engine and a simulator, and judges every action by what is true, not by what
/// the engine was told.
pub struct Witness {
    inner: Arc<Simulator>,
    spec: RollingDeployment,
    /// Instances that were there before the rollout.
    first: BTreeSet<InstanceId>,
    /// How many target groups there are but for a second one.
    groups: usize,
    sight: Mutex<Sight>,
}

#[derive(Default)]
struct Sight {
    /// The size the fleet is meant to have.
    size: u32,
    drain: Duration,
    asked: BTreeMap<(InstanceId, String), Timestamp>,
    has_served: BTreeSet<InstanceId>,
    broken: Vec<(u8, String)>,
    looks: Vec<Timestamp>,
}

impl Sight {
    /// Who was taken out of a target group, or has a replacement.
    fn leaving(&self, look: &Observation) -> BTreeSet<InstanceId> {
        let replaced = look.instances.values().filter_map(|instance| instance.stands_for.clone());
        self.asked.keys().map(|(id, _)| id.clone()).chain(replaced).collect()
    }

    /// Somebody looks.
    fn look(&mut self, truth: &Observation) {
        self.looks.push(truth.at);
        self.meet(truth);
    }

    /// Remembers who has served.
    fn meet(&mut self, look: &Observation) {
        let serving = look.instances.iter().filter(|(_, instance)| serves(instance));
        self.has_served.extend(serving.map(|(id, _)| id.clone()));
    }
}

impl Witness {
    pub async fn new(inner: Arc<Simulator>, spec: RollingDeployment) -> Arc<Self> {
        let look = inner.observe().await.expect("observe");
        let size = look.desired();
        let first = look.instances.keys().cloned().collect();
        let target = inner.resolve().await.expect("resolve");
        let (drain, groups) = (target.drain(), target.target_groups.len());
        let sight = Mutex::new(Sight { size, drain, ..Sight::default() });
        Arc::new(Self { inner, spec, first, groups, sight })
    }

    /// Somebody gives the fleet another size.
    pub fn resized(&self, size: u32) {
        self.sight.lock().expect("sight").size = size;
    }

    /// What was seen to break the property with this number; 0 for all.
    pub fn broken(&self, property: u8) -> Vec<String> {
        let sight = self.sight.lock().expect("sight");
        let broken = sight.broken.iter().filter(|(n, _)| property == 0 || *n == property);
        broken.map(|(n, message)| format!("{n}: {message}")).collect()
    }

    /// When somebody looked.
    pub fn looks(&self) -> Vec<Timestamp> {
        self.sight.lock().expect("sight").looks.clone()
    }

    /// The size the fleet is meant to have.
    pub fn size(&self) -> u32 {
        self.sight.lock().expect("sight").size
    }

    fn judge(&self, action: &Action, before: &Observation, after: &Observation) {
        let mut sight = self.sight.lock().expect("sight");
        let window = Window::resolve(self.spec.policy, sight.size);
        let mut found = Vec::new();
        let mut broken = |property, message| found.push((property, message));
        // One that joins or leaves one target group after the other serves in none of them.
        let serving = |look: &Observation| {
            let full = |i: &&Instance| serves_in(i, true) || is_in(i, self.groups);
            look.instances.values().filter(|i| serves(i)).filter(full).count()
        };
        let (was, is) = (serving(before), serving(after));
        if is < was && is < window.floor() as usize {
            broken(1, format!("{action} left {is} serving of at least {}", window.floor()));
        }
        for (property, message) in lost_requests(action, before, after, window, self.groups) {
            broken(property, message);
        }
        // An unmanaged instance that has drained makes room for its replacement, which is launched
        // first: it is what that one is made like.
        let leaving = sight.leaving(after);
        let drained = |id: &InstanceId, i: &Instance| {
            after.is_unmanaged() && is_out(i) && leaving.contains(id)
        };
        let live =
            after.instances.iter().filter(|(id, i)| i.lifecycle.is_live() && !drained(id, i));
        let live = live.count();
        if live > window.ceiling() as usize {
            broken(2, format!("{action} left {live} living of at most {}", window.ceiling()));
        }
        sight.meet(before);
        let is_busy = |(id, i): &(&InstanceId, &Instance)| {
            i.lifecycle.is_live()
                && !drained(id, i)
                && (drains(i) || !(sight.has_served.contains(*id) || serves(i)))
        };
        let known = |(id, _): &(&InstanceId, &Instance)| !self.first.contains(*id);
        let goes = |(id, i): &(&InstanceId, &Instance)| self.first.contains(*id) && drains(i);
        let count = |look: &Observation| {
            let new = look.instances.iter().filter(known).filter(is_busy).count();
            new + look.instances.iter().filter(goes).filter(|(_, i)| i.lifecycle.is_live()).count()
        };
        let (was_busy, busy) = (count(before), count(after));
        if busy > window.slots() as usize && busy > was_busy {
            let at_most = window.slots();
            broken(3, format!("{action} left {busy} draining or booting of at most {at_most}"));
        }
        for id in named(action) {
            match before.instances.get(&id) {
                None if matches!(action, Action::Terminate { .. } | Action::Tag { .. }) => {}
                None => broken(25, format!("{action}: {id} is not of this fleet")),
                Some(i) if i.ignored || i.protected => {
                    broken(25, format!("{action}: {id} is to be left alone"));
                }
                Some(_) => {}
            }
        }
        let removed = match action {
            Action::Terminate { instance: id, .. } | Action::Detach { instance: id, .. } => {
                BTreeSet::from([id.clone()])
            }
            Action::Update { instances, .. } => instances.clone(),
            _ => BTreeSet::new(),
        };
        for id in &removed {
            let targets = before.instances.get(id).map(|instance| (instance, &instance.targets));
            for (instance, (group, health)) in
                targets.into_iter().flat_map(|(i, targets)| targets.iter().map(move |t| (i, t)))
            {
                let asked = sight.asked.get(&(id.clone(), group.to_string()));
                let late = asked.is_some_and(|at| {
                    after.at.since(*at) >= RollingDeployment::drain_deadline(sight.drain)
                });
                let state = health.state;
                if state != TargetState::Unused && !late && instance.lifecycle.is_live() {
                    broken(5, format!("{action} although it is {state:?} in {group}"));
                }
            }
        }
        if let Action::Deregister { target_group, instances } = action {
            for id in instances {
                let key = (id.clone(), target_group.to_string());
                sight.asked.entry(key).or_insert(after.at);
            }
        }
        sight.broken.extend(found);
        drop(sight);
        self.judge_checkpoint(action, after);
    }

    /// Before a checkpoint is passed, by the record, no more are new than its quota.
    fn judge_checkpoint(&self, action: &Action, after: &Observation) {
        let mut sight = self.sight.lock().expect("sight");
        let Ok(Some(record)) = Record::from_tags(&after.record) else { return };
        let Some(ahead) = self.spec.checkpoints.get(record.checkpoints_passed as usize) else {
            return;
        };
        let quota = ahead.quota(sight.size) as usize;
        let leaving = sight.leaving(after);
        let is_new = |(id, i): &(&InstanceId, &Instance)| {
            i.lifecycle.is_live()
                && !self.first.contains(*id)
                && i.revision == Some(record.to.clone())
                // One that failed and has a replacement goes in the same breath.
                && !(after.is_unmanaged() && leaving.contains(*id) && (is_out(i) || i.failed_in.is_some()))
        };
        let new = after.instances.iter().filter(is_new).count();
        if new > quota {
            sight.broken.push((20, format!("{action} left {new} new, the quota is {quota}")));
        }
    }
}

/// Where requests are shifted: what gets some keeps that share of the floor, and gets them only
/// once the whole floor serves there. A revision that failed is left in any case.
fn lost_requests(
    action: &Action,
    before: &Observation,
    after: &Observation,
    window: Window,
    groups: usize,
) -> Vec<(u8, String)> {
    let Some(shifted) = &after.shifted else { return Vec::new() };
    let mut found = Vec::new();
    let most = shifted.last().copied().unwrap_or_default();
    for (second, share) in [(false, 100 - most), (true, most)] {
        let count = |look: &Observation| {
            let serving = look.instances.values().filter(|i| {
                let full = second || is_in(i, groups);
                i.lifecycle == Lifecycle::InService && i.healthy && serves_in(i, second) && full
            });
            serving.count()
        };
        let (was, is) = (count(before), count(after));
        let least = (window.floor() as usize * share as usize).div_ceil(100);
        if share > 0 && is < was && is < least {
            found.push((1, format!("{action} left {is} that get {share} % of the requests")));
        }
        let raises = matches!(action, Action::Shift { percent } if *percent > 0) && second;
        if raises && before.shifted != after.shifted && is < window.floor() as usize {
            found.push((1, format!("{action} although only {is} serve there")));
        }
        let somebody = window.floor() > 0;
        if matches!(action, Action::Shift { percent: 0 }) && !second && is == 0 && somebody {
            found.push((1, format!("{action} although nobody serves there")));
        }
    }
    found
}

fn is_out(instance: &Instance) -> bool {
    instance.targets.values().all(|health| health.state == TargetState::Unused)
}

fn drains(instance: &Instance) -> bool {
    instance.targets.values().any(|health| health.state == TargetState::Draining)
}

pub fn serves(instance: &Instance) -> bool {
    instance.lifecycle == Lifecycle::InService
        && instance.healthy
        && (serves_in(instance, false) || serves_in(instance, true))
}

/// Whether the second target group, or all others, send requests to `instance`.
fn serves_in(instance: &Instance, second: bool) -> bool {
    let mut health = instance
        .targets
        .iter()
        .filter(|(group, _)| (group.as_str() == SECOND) == second)
        .map(|(_, health)| health.state)
        .peekable();
    health.peek().is_some() && health.all(|state| state == TargetState::Healthy)
}

/// Whether `instance` is listed in that many target groups but for a second one.
fn is_in(instance: &Instance, groups: usize) -> bool {
    instance.targets.keys().filter(|group| group.as_str() != SECOND).count() == groups
}

pub fn count_serving(look: &Observation) -> usize {
    look.instances.values().filter(|instance| serves(instance)).count()
}

fn named(action: &Action) -> Vec<InstanceId> {
    match action {
        Action::Deregister { instances, .. } | Action::Register { instances, .. } => {
            instances.iter().cloned().collect()
        }
        Action::Terminate { instance, .. }
        | Action::Detach { instance, .. }
        | Action::Tag { instance, .. } => vec![instance.clone()],
        _ => Vec::new(),
    }
}

#[async_trait]
impl Fleet for Witness {
    async fn resolve(&self) -> Result<Target, ProviderError> {
        self.inner.resolve().await
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let truth = self.inner.truth()?;
        self.sight.lock().expect("sight").look(&truth);
        self.inner.observe().await
    }

    async fn alarms(&self, names: &BTreeSet<String>) -> Result<Vec<Alarm>, ProviderError> {
        self.inner.alarms(names).await
    }

    async fn activities(&self, since: Timestamp) -> Result<Vec<Activity>, ProviderError> {
        self.inner.activities(since).await
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        let before = self.inner.truth()?;
        let done = self.inner.act(action).await;
        let after = self.inner.truth()?;
        self.judge(action, &before, &after);
        done
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }
}

/// Answers looks from the past: `lag` old, and from time to time older or newer than the last.
pub struct Stale<F> {
    inner: Arc<F>,
    lag: Duration,
    calls: AtomicU32,
    history: Mutex<Vec<Observation>>,
}

impl<F: Fleet> Stale<F> {
    pub fn new(inner: Arc<F>, lag: Duration) -> Arc<Self> {
        Arc::new(Self { inner, lag, calls: AtomicU32::new(0), history: Mutex::default() })
    }
}

#[async_trait]
impl<F: Fleet> Fleet for Stale<F> {
    async fn resolve(&self) -> Result<Target, ProviderError> {
        self.inner.resolve().await
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let now = self.inner.observe().await?;
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        // Spread like chance, and the same every time.
        let share = call.wrapping_mul(2_654_435_761) >> 24;
        let lag = self.lag.mul_f64(f64::from(share) / 255.0);
        let mut history = self.history.lock().expect("history");
        history.push(now.clone());
        let known = history.iter().rev().find(|look| now.at.since(look.at) >= lag);
        let history = known.or(history.first()).cloned().unwrap_or_else(|| now.clone());
        Ok(Observation { at: now.at, ..history })
    }

    async fn alarms(&self, names: &BTreeSet<String>) -> Result<Vec<Alarm>, ProviderError> {
        self.inner.alarms(names).await
    }

    async fn activities(&self, since: Timestamp) -> Result<Vec<Activity>, ProviderError> {
        self.inner.activities(since).await
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        let before = self.inner.observe().await?;
        self.history.lock().expect("history").push(before);
        self.inner.act(action).await
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }
}

/// Whether the engine dies before or after the call takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dies {
    Before,
    After,
}

/// Has the engine die at its `n`th mutation: the call never returns.
pub struct Mortal<F> {
    inner: Arc<F>,
    at: u32,
    dies: Dies,
    calls: AtomicU32,
    dead: tokio::sync::Notify,
}

impl<F: Fleet> Mortal<F> {
    pub fn new(inner: Arc<F>, at: u32, dies: Dies) -> Arc<Self> {
        let dead = tokio::sync::Notify::new();
        Arc::new(Self { inner, at, dies, calls: AtomicU32::new(0), dead })
    }

    /// Runs `engine` until it is done or dead; `None` when it died.
    pub async fn survive<T>(&self, engine: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.dead.notified() => None,
            done = engine => Some(done),
        }
    }
}

#[async_trait]
impl<F: Fleet> Fleet for Mortal<F> {
    async fn resolve(&self) -> Result<Target, ProviderError> {
        self.inner.resolve().await
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        self.inner.observe().await
    }

    async fn alarms(&self, names: &BTreeSet<String>) -> Result<Vec<Alarm>, ProviderError> {
        self.inner.alarms(names).await
    }

    async fn activities(&self, since: Timestamp) -> Result<Vec<Activity>, ProviderError> {
        self.inner.activities(since).await
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        if self.calls.fetch_add(1, Ordering::Relaxed) + 1 != self.at {
            return self.inner.act(action).await;
        }
        if self.dies == Dies::After {
            self.inner.act(action).await?;
        }
        self.dead.notify_one();
        std::future::pending().await
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }
}

/// The value of a future that never waits, as the simulator's.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let waker = std::task::Waker::noop();
    match future.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("the simulator waits"),
    }
}
