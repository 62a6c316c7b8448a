//! A refresh that the cloud carries out, followed on virtual time: what is reported of it, and when
//! it is no longer followed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rolling::engine::{Rollout, Stop};
use rolling::model::event::{DelegatedRolloutStep, Event, Outcome, Report};
use rolling::model::spec::{Executor, RollingDeployment};
use rolling::model::wait::WaitKind;
use rolling_provider::{
    Action, Cancellation, DelegatedRollout, DelegatedRolloutState, DelegatedSettings, Done, Effect,
    ErrorKind, Fleet, Instance, Lifecycle, Observation, ProviderError, Revision, RolloutController,
    TargetState, Timestamp,
};
use rolling_simulator::Simulator;
use rolling_testing::{Wrapper, impl_fleet};
use tokio::sync::watch;

use crate::world::{assert_first_and_last, caller, fleet, seconds, simulate, spec, thirty_percent};

/// A simulated fleet whose refresh goes through the states of a script; the last one stays.
struct Scripted {
    simulator: Arc<Simulator>,
    script: Mutex<VecDeque<Result<DelegatedRolloutState, ProviderError>>>,
    starts: Mutex<VecDeque<Result<(), ProviderError>>>,
    started: Mutex<u32>,
    /// Whether the group launches the new revision and has replaced every instance.
    done: Mutex<bool>,
    /// What happens to one of the instances after that, and for how long.
    afterwards: (fn(&mut Instance), Duration),
    done_at: Mutex<Option<Timestamp>>,
}

fn scripted(states: &[DelegatedRolloutState]) -> Scripted {
    Scripted {
        simulator: simulate(fleet()),
        script: Mutex::new(states.iter().map(|state| Ok(*state)).collect()),
        starts: Mutex::default(),
        started: Mutex::default(),
        done: Mutex::default(),
        afterwards: (|_| {}, Duration::ZERO),
        done_at: Mutex::default(),
    }
}

fn error(kind: ErrorKind, effect: Effect) -> ProviderError {
    ProviderError { kind, effect, ..ProviderError::invalid("Call", "", "it is a bad day") }
}

#[async_trait]
impl RolloutController for Scripted {
    fn kind(&self) -> &'static str {
        "instance refresh"
    }

    async fn current(&self, _: Option<&str>) -> Result<Option<DelegatedRollout>, ProviderError> {
        if *self.started.lock().expect("a count") == 0 {
            return Ok(None);
        }
        let mut script = self.script.lock().expect("a script");
        let next = if script.len() > 1 { script.pop_front() } else { script.front().cloned() };
        let state = next.expect("an entry")?;
        *self.done.lock().expect("it") |= state == DelegatedRolloutState::Succeeded;
        Ok(Some(DelegatedRollout {
            kind: "instance refresh",
            id: "r-1".into(),
            state,
            status: format!("{state:?}"),
            reason: None,
            rollback_reason: None,
            percent: 0,
            started: Timestamp(0),
            to: Some("v2".into()),
            completed_before: None,
            takes_back: None,
        }))
    }

    async fn start(
        &self,
        to: &Revision,
        settings: &DelegatedSettings,
    ) -> Result<String, ProviderError> {
        let DelegatedSettings::InstanceRefresh(run) = settings else { panic!("other settings") };
        assert_eq!((to, run.min_healthy), (&Revision::new("v2"), 70));
        let next = self.starts.lock().expect("a script").pop_front().unwrap_or(Ok(()));
        let applied = next.as_ref().err().is_none_or(|error| error.effect == Effect::Unknown);
        *self.started.lock().expect("a count") += u32::from(applied);
        next.map(|()| "r-1".into())
    }

    async fn cancel(&self, _id: &str) -> Result<Cancellation, ProviderError> {
        Ok(Cancellation::Accepted)
    }

    async fn roll_back(&self, _id: &str) -> Result<Cancellation, ProviderError> {
        Ok(Cancellation::Accepted)
    }
}

#[async_trait]
impl Wrapper for Scripted {
    fn inner(&self) -> &dyn Fleet {
        &*self.simulator
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let mut look = self.simulator.observe().await?;
        if *self.done.lock().expect("it") {
            look.template = Some("v2".into());
            look.instances.values_mut().for_each(|instance| instance.revision = Some("v2".into()));
            let at = *self.done_at.lock().expect("a moment").get_or_insert(look.at);
            let (change, meanwhile) = self.afterwards;
            look.instances
                .values_mut()
                .take(1)
                .filter(|_| look.at.since(at) < meanwhile)
                .for_each(change);
        }
        Ok(look)
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        panic!("only the refresh may change the fleet: {action}");
    }

    fn rollout_controller(&self) -> Option<&dyn RolloutController> {
        Some(self)
    }
}

impl_fleet!(Scripted);

async fn follow(scripted: Scripted) -> (Vec<Event>, Report, u32) {
    let spec = RollingDeployment {
        engine: Executor::InstanceRefresh { warmup: None },
        ..spec(thirty_percent())
    };
    let fleet = Arc::new(scripted);
    let rollout = Rollout::prepare(fleet.clone(), spec, &caller()).await.expect("a target");
    let (_stop, stopped) = watch::channel(Stop::No);
    let mut events = Vec::new();
    let report = rollout.run(stopped, &mut |envelope| events.push(envelope)).await;
    assert_first_and_last(&events);
    let events = events.into_iter().map(|envelope| envelope.event).collect();
    let started = *fleet.started.lock().expect("a count");
    (events, report, started)
}

#[tokio::test]
async fn a_refresh_without_progress_is_followed_until_a_deadline_that_every_wait_names() {
    let (events, report, _) = follow(scripted(&[DelegatedRolloutState::Rolling])).await;
    assert_eq!(report.outcome, Outcome::Failed);
    let why = report.reason.expect("a reason");
    assert!(
        why.contains("has made no progress for 1h 15m") && why.ends_with("still runs"),
        "{why}"
    );
    assert!(report.delegated_rollout.expect("a refresh").still_running);
    let waits: Vec<Timestamp> = events
        .iter()
        .filter_map(|event| match event {
            Event::Waiting { on } => on.first(),
            _ => None,
        })
        .map(|wait| {
            assert_eq!(wait.kind, WaitKind::DelegatedRollout);
            wait.deadline
        })
        .collect();
    assert_eq!(waits.len(), 1, "reported once, with one deadline");
    assert!(
        report.elapsed_ms >= 4_500_000 && report.elapsed_ms < 4_600_000,
        "{}",
        report.elapsed_ms
    );
}

#[tokio::test]
async fn a_refresh_that_reports_success_is_believed_once_the_fleet_shows_it() {
    let states = [
        DelegatedRolloutState::Pending,
        DelegatedRolloutState::Rolling,
        DelegatedRolloutState::Succeeded,
    ];
    let (events, report, started) = follow(scripted(&states)).await;
    assert_eq!((report.outcome, started), (Outcome::Succeeded, 1));
    assert_eq!(report.completed, Some("v2".into()));
    let steps = events.iter().filter_map(|event| match event {
        Event::DelegatedRollout { step, .. } => Some(*step),
        _ => None,
    });
    assert_eq!(steps.collect::<Vec<_>>(), [DelegatedRolloutStep::Started]);
}

#[tokio::test]
async fn a_refresh_that_reports_success_is_not_believed_before_every_instance_that_counts_serves() {
    let in_no_group = |instance: &mut Instance| instance.targets.clear();
    let in_one_of_two = |instance: &mut Instance| {
        let found = instance.targets.values_mut().next().expect("a target group");
        found.state = TargetState::Unhealthy;
    };
    let pending = |instance: &mut Instance| instance.lifecycle = Lifecycle::Pending;
    let gone = |instance: &mut Instance| instance.lifecycle = Lifecycle::Terminating;
    let ill = |instance: &mut Instance| instance.healthy = false;
    let cases: [fn(&mut Instance); 5] = [in_no_group, in_one_of_two, pending, gone, ill];
    let set_aside: [fn(&mut Instance); 2] = [
        |it| (it.lifecycle, it.targets) = (Lifecycle::Standby, BTreeMap::new()),
        |it| {
            (it.ignored, it.healthy) = (true, false);
        },
    ];
    let states = [DelegatedRolloutState::Rolling, DelegatedRolloutState::Succeeded];
    let for_good = seconds(1_000_000);
    for (change, meanwhile, outcome) in cases
        .iter()
        .flat_map(|change| {
            [(change, for_good, Outcome::Failed), (change, seconds(40), Outcome::Succeeded)]
        })
        .chain(set_aside.iter().map(|change| (change, for_good, Outcome::Succeeded)))
    {
        let mut fleet = scripted(&states);
        fleet.afterwards = (*change, meanwhile);
        let (_, report, _) = follow(fleet).await;
        assert_eq!(report.outcome, outcome, "{:?}", report.reason);
        // For as long as an instance may take to serve, and no longer.
        let waited = Duration::from_millis(report.elapsed_ms);
        assert!(waited < seconds(700), "{waited:?}");
        let why = report.reason.unwrap_or_default();
        let run = why.contains("is Succeeded, and 1 of 10 instances does not serve");
        assert_eq!(run, outcome == Outcome::Failed, "{why}");
    }
}

#[tokio::test]
async fn a_refresh_that_ends_without_success_ends_the_rollout_the_same_way() {
    for (state, outcome) in [
        (DelegatedRolloutState::Failed, Outcome::Failed),
        (DelegatedRolloutState::Cancelled, Outcome::Aborted),
        (DelegatedRolloutState::RolledBack, Outcome::RolledBack),
        (DelegatedRolloutState::RollbackFailed, Outcome::Failed),
    ] {
        let (_, report, _) = follow(scripted(&[DelegatedRolloutState::Rolling, state])).await;
        assert_eq!(report.outcome, outcome);
        let why = report.reason.expect("a reason");
        assert!(why.starts_with(&format!("instance refresh r-1 is {state:?}")), "{why}");
        assert!(!report.delegated_rollout.expect("a refresh").still_running);
        assert_eq!(report.completed, Some("v1".into()), "that is what runs");
    }
}

#[tokio::test]
async fn a_start_of_unknown_effect_is_looked_up_and_a_refused_one_is_reported() {
    let lost = scripted(&[DelegatedRolloutState::Rolling, DelegatedRolloutState::Succeeded]);
    lost.starts.lock().expect("a script").extend([
        Err(error(ErrorKind::Throttled, Effect::NotApplied)),
        Err(error(ErrorKind::Transient, Effect::Unknown)),
    ]);
    let (events, report, started) = follow(lost).await;
    assert_eq!((report.outcome, started), (Outcome::Succeeded, 1));
    assert!(events.iter().any(|event| matches!(event, Event::Retrying { .. })));

    let refused = scripted(&[DelegatedRolloutState::Rolling]);
    refused
        .starts
        .lock()
        .expect("a script")
        .push_back(Err(error(ErrorKind::Refused, Effect::NotApplied)));
    let (_, report, started) = follow(refused).await;
    assert_eq!((report.outcome, started), (Outcome::Failed, 0));
    let why = report.reason.expect("a reason");
    assert!(why.starts_with("cannot start an instance refresh: Call: it is a bad day"), "{why}");
    assert!(report.elapsed_ms < seconds(1).as_millis() as u64);
}

#[tokio::test]
async fn a_refresh_that_cannot_be_read_any_more_is_reported_as_still_running() {
    let blind = scripted(&[DelegatedRolloutState::Rolling]);
    let cut = Err(error(ErrorKind::Transient, Effect::NotApplied));
    blind.script.lock().expect("a script").push_back(cut);
    let (events, report, _) = follow(blind).await;
    assert_eq!(report.outcome, Outcome::Failed);
    let why = report.reason.expect("a reason");
    assert!(why.starts_with("instance refresh r-1 can no longer be read"), "{why}");
    assert!(report.delegated_rollout.expect("a refresh").still_running);
    assert!(events.iter().any(|event| matches!(event, Event::Retrying { .. })));
}
