//! A simulated fleet on virtual time, and what a rollout of it reported.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use rolling::engine::{Caller, Rollout, Stop};
use rolling::model::event::{Envelope, Event, Report};
use rolling::model::spec::{BatchSize, OnFailure, Policy, RollingDeployment, TrafficStep};
use rolling_provider::{Action, Clock, Fleet, Timestamp};
use rolling_simulator::{
    Behaviour, EPOCH, FleetConfig, SimulatedTargetGroup, Simulator, VirtualClock,
};
use tokio::sync::watch;

use crate::fast::properties::block_on;

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Returns steps of a percentage of the requests for some seconds.
pub fn traffic_steps(steps: &[(u32, u64)]) -> Vec<TrafficStep> {
    let step = |(percent, time): &(u32, u64)| TrafficStep {
        percent: *percent,
        evaluation_time: seconds(*time),
    };
    steps.iter().map(step).collect()
}

/// Ten instances on v1 in one target group: boot 30 s, register 10 s, drain 20 s.
pub fn fleet() -> FleetConfig {
    FleetConfig { boot_sigma: 0.0, ..FleetConfig::default() }
}

pub fn group(name: &str, register: u64) -> SimulatedTargetGroup {
    SimulatedTargetGroup { name: name.into(), register: seconds(register), drain: seconds(20) }
}

pub fn bad(behaviour: Behaviour) -> FleetConfig {
    FleetConfig { bad_revisions: BTreeMap::from([("v2".into(), behaviour)]), ..fleet() }
}

pub fn spec(policy: Policy) -> RollingDeployment {
    RollingDeployment {
        policy,
        on_failure: OnFailure::Stop,
        suspend_processes: ["AZRebalance".to_owned()].into(),
        ..RollingDeployment::default()
    }
}

pub fn thirty_percent() -> Policy {
    Policy::Rolling(BatchSize::Percentage(30))
}

/// A simulator on virtual time.
pub fn simulate(config: FleetConfig) -> Arc<Simulator> {
    Arc::new(Simulator::in_memory(config, Arc::new(VirtualClock::new(EPOCH))))
}

/// The same, with a request to stop, of this urgency, once `after` has passed.
pub fn simulate_and_stop(
    config: FleetConfig,
    urgency: Stop,
    after: Duration,
) -> (Arc<Simulator>, watch::Receiver<Stop>) {
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let (send, stop) = watch::channel(Stop::No);
    clock.at(EPOCH + after, move || {
        send.send_replace(urgency);
    });
    (Arc::new(Simulator::in_memory(config, clock)), stop)
}

/// Virtual time for several engines and callers at once: it passes when all of them wait, and only
/// within [`Self::run`].
#[derive(Default)]
pub struct SharedClock {
    passed: Mutex<Duration>,
    waiting: Mutex<BTreeMap<(Duration, u64), Waker>>,
    number: AtomicU64,
}

/// How often every other task runs before time passes: one may wake another.
const TURNS: u32 = 20;

impl SharedClock {
    /// Runs `work` to its end; all its waits are on this clock.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        block_on(async {
            let passes = async {
                loop {
                    for _ in 0..TURNS {
                        tokio::task::yield_now().await;
                    }
                    let next = self.waiting.lock().expect("it").pop_first();
                    let Some(((until, _), waker)) = next else { continue };
                    *self.passed.lock().expect("it") = until;
                    waker.wake();
                }
            };
            tokio::select! {
                done = work => done,
                () = passes => unreachable!("time passes for ever"),
            }
        })
    }
}

#[async_trait]
impl Clock for SharedClock {
    fn now(&self) -> Timestamp {
        EPOCH + *self.passed.lock().expect("it")
    }

    async fn sleep(&self, duration: Duration) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let until = self.passed.lock().expect("it").saturating_add(duration);
        std::future::poll_fn(|context| {
            if *self.passed.lock().expect("it") >= until {
                return Poll::Ready(());
            }
            self.waiting.lock().expect("it").insert((until, number), context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// An engine of this host, for which every other owner of a lease is gone.
pub fn caller() -> Caller {
    Caller { is_gone: |_| true, jitter: 0.0, ..Caller::new("test", "host/1.1.aa") }
}

/// What a rollout reported.
pub struct Run {
    pub events: Vec<Envelope>,
    pub report: Report,
}

pub async fn roll(fleet: Arc<dyn Fleet>, spec: RollingDeployment) -> Run {
    let (_keep, stop) = watch::channel(Stop::No);
    roll_until(fleet, spec, stop).await
}

pub async fn roll_until(
    fleet: Arc<dyn Fleet>,
    spec: RollingDeployment,
    stop: watch::Receiver<Stop>,
) -> Run {
    let rollout = Rollout::prepare(fleet, spec, &caller()).await.expect("prepare");
    let mut events = Vec::new();
    let report = rollout
        .run(stop, &mut |event| {
            if let Event::Warned { warning } = &event.event {
                assert!(!warning.contains("safety check"), "{warning}");
            }
            if events.len() > 100_000 {
                for e in &events[99_980..] {
                    eprintln!("{e:?}");
                }
                panic!("the rollout does not end");
            }
            events.push(event);
        })
        .await;
    assert_first_and_last(&events);
    Run { events, report }
}

/// Checks that a run begins with its only `Started`, ends with its only `Finished`, and numbers its
/// events without gaps.
pub fn assert_first_and_last(events: &[Envelope]) {
    let all = |kind: fn(&Event) -> bool| -> Vec<usize> {
        let found = events.iter().enumerate().filter(|(_, envelope)| kind(&envelope.event));
        found.map(|(at, _)| at).collect()
    };
    assert_eq!(all(|event| matches!(event, Event::Started { .. })), [0]);
    assert_eq!(all(|event| matches!(event, Event::Finished { .. })), [events.len() - 1]);
    let indices: Vec<u64> = events.iter().map(|envelope| envelope.index).collect();
    assert_eq!(indices, (0..events.len() as u64).collect::<Vec<_>>());
}

impl Run {
    /// Checks that an engine looks less and less often while nothing happens, whatever it waits
    /// for.
    pub fn assert_looks_seldom(&self, poll_interval: Duration) {
        let happens = |event: &Event| {
            let done = matches!(event, Event::Acted { .. } | Event::Refused { .. });
            let reply = matches!(event, Event::Retrying { .. } | Event::GateAnswered { .. });
            done || reply || matches!(event, Event::Progressed { .. })
        };
        let happened = self.events.iter().filter(|envelope| happens(&envelope.event)).count();
        let Report { elapsed_ms, ticks, .. } = self.report;
        let waits_deliberately =
            elapsed_ms / u64::try_from(poll_interval.as_millis()).expect("a short one");
        let most = 100 + 15 * happened as u64 + 2 * waits_deliberately;
        assert!(ticks <= most, "{ticks} looks at {happened} things in {elapsed_ms} ms");
    }

    pub fn actions(&self) -> Vec<&Action> {
        let acted = self.events.iter().filter_map(|envelope| match &envelope.event {
            Event::Acted { action } => Some(action),
            _ => None,
        });
        acted.collect()
    }

    /// Returns the sizes of the batches: (launches, replaced).
    pub fn batches(&self) -> Vec<(u32, usize)> {
        let begun = self.events.iter().filter_map(|envelope| match &envelope.event {
            Event::BatchStarted { launches, instances, .. } => Some((*launches, instances.len())),
            _ => None,
        });
        begun.collect()
    }

    /// Returns the fewest instances that served at any look.
    pub fn least_serving(&self) -> usize {
        let counts = self.events.iter().filter_map(|envelope| match &envelope.event {
            Event::Progressed { serving, .. } => Some(*serving),
            _ => None,
        });
        counts.min().expect("a count")
    }
}
