//! Hooks while the fleet changes, while calls fail, and where the rollout turns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use rolling::model::event::{Event, Outcome};
use rolling::model::spec::{Gates, HookPoint, OnFailure, OnHookFailure, Policy, RollingDeployment};
use rolling::record::command::Command;
use rolling_provider::{
    Action, Done, Effect, ErrorKind, Fleet, InstanceId, ProviderError, Timestamp,
};
use rolling_simulator::{EPOCH, FleetConfig, Intervention};
use rolling_testing::{Wrapper, impl_fleet};

use super::driver::{Attempt, Behave, World, hooks, ids};
use super::everywhere;
use super::killed::{assert_repeated_with_the_same_id, stories, tally};
use crate::fast::crash::leave_command;
use crate::test_fleets::{Dies, Mortal};
use crate::world::{Run, fleet, seconds, spec, thirty_percent};

/// How a call fails: throttled, lost on the way there, or lost on the way back.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Throttled,
    Lost,
    Unanswered,
}

/// A fleet of which one call fails.
struct FailsOnce {
    inner: Arc<dyn Fleet>,
    /// The write of the record that fails, from 1; 0 for none.
    at: u32,
    fault: Fault,
    writes: AtomicU32,
    /// Whether the cloud does not say where instances can be reached.
    hides_addresses: bool,
}

fn failure(kind: ErrorKind, effect: Effect) -> ProviderError {
    let (operation, message) = ("Call".into(), "the line is bad".into());
    ProviderError { operation, kind, effect, code: None, message, attribute: None, remedy: None }
}

#[async_trait]
impl Wrapper for FailsOnce {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn addresses(
        &self,
        instances: &BTreeSet<InstanceId>,
    ) -> Result<BTreeMap<InstanceId, String>, ProviderError> {
        match self.hides_addresses {
            true => Err(failure(ErrorKind::Transient, Effect::NotApplied)),
            false => self.inner.addresses(instances).await,
        }
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        let Action::WriteRecord { tags } = action else { return self.inner.act(action).await };
        let is_record = tags.contains_key("rolling:hooks");
        if !is_record || self.writes.fetch_add(1, Ordering::Relaxed) + 1 != self.at {
            return self.inner.act(action).await;
        }
        match self.fault {
            Fault::Throttled => Err(failure(ErrorKind::Throttled, Effect::NotApplied)),
            Fault::Lost => Err(failure(ErrorKind::Transient, Effect::Unknown)),
            Fault::Unanswered => {
                self.inner.act(action).await?;
                Err(failure(ErrorKind::Transient, Effect::Unknown))
            }
        }
    }
}

impl_fleet!(FailsOnce);

fn failing(world: &World, at: u32, fault: Fault) -> Arc<FailsOnce> {
    let (inner, writes) = (world.witness.clone(), AtomicU32::new(0));
    Arc::new(FailsOnce { inner, at, fault, writes, hides_addresses: false })
}

/// A write of the record that fails changes no hook: which are run, and what they are about.
#[tokio::test]
async fn whichever_write_of_the_record_fails_every_hook_is_run_as_without() {
    for (config, deploy, outcome) in stories() {
        let reference = World::new(config.clone(), deploy.clone(), Behave::default()).await;
        let counted = failing(&reference, 0, Fault::Lost);
        reference.roll_on(counted.clone(), "first").await.expect("a run");
        let writes = counted.writes.load(Ordering::Relaxed);
        assert!(writes > 10, "{writes}");
        for at in 1..=writes {
            for fault in [Fault::Throttled, Fault::Lost, Fault::Unanswered] {
                let world = World::new(config.clone(), deploy.clone(), Behave::default()).await;
                let flaky = failing(&world, at, fault);
                let run = world.roll_on(flaky, "first").await.expect("a run");
                let context = format!("{fault:?} write {at}");
                assert_eq!(run.report.outcome, outcome, "{context}: {:?}", run.report);
                assert_eq!(world.witness.broken(0), Vec::<String>::new(), "{context}");
                assert_eq!(tally(&world), tally(&reference), "{context}");
                assert_repeated_with_the_same_id(&world.driver.attempts(), 0);
            }
        }
    }
}

fn of(world: &World, point: HookPoint) -> Vec<Attempt> {
    let all = world.driver.attempts().into_iter();
    all.filter(|it| it.message.hook == point).collect()
}

/// Returns when the first hook at `point` starts, and when it ends.
fn times(run: &Run, point: HookPoint) -> (Timestamp, Timestamp) {
    let starts = run
        .events
        .iter()
        .find(|it| matches!(it.event, Event::HookStarted { hook, .. } if hook == point));
    let ends = run
        .events
        .iter()
        .find(|it| matches!(it.event, Event::HookFinished { hook, .. } if hook == point));
    (starts.expect("a start").at, ends.expect("an end").at)
}

/// Every few seconds somebody terminates an instance while a hook is run: it runs to its end all the
/// same, once, and who comes in its place is greeted, too.
#[tokio::test]
async fn a_hook_runs_to_its_end_whatever_the_fleet_does_and_newcomers_have_their_own() {
    for point in [HookPoint::BeforeDeregister, HookPoint::AfterHealthy, HookPoint::AfterBatch] {
        let behave = Behave { takes: 90, ..Behave::default() };
        let reference = World::new(fleet(), everywhere(thirty_percent()), behave).await;
        let (starts, _) = times(&reference.roll("first").await.expect("a run"), point);
        // One that the hook is about, and one that it is not.
        let about = of(&reference, point)[0].message.instances[0].id.clone();
        let events = [(5, about), (40, "i-0009".into())]
            .map(|(after, id)| (starts.since(EPOCH) + seconds(after), Intervention::Terminate(id)));
        let config = FleetConfig { events: events.into(), ..fleet() };
        let world = World::new(config, everywhere(thirty_percent()), behave).await;
        let run = world.roll("first").await.expect("a run");
        assert_eq!(run.report.outcome, Outcome::Succeeded, "{point:?}: {:?}", run.report);
        let all = world.driver.attempts();
        assert!(all.iter().all(|it| it.passed == Some(true)), "{point:?}: {all:?}");
        assert_eq!(world.witness.broken(26), Vec::<String>::new(), "{point:?}");
        let mut after_healthy_done = BTreeSet::new();
        for attempt in of(&world, HookPoint::AfterHealthy) {
            for id in ids(&attempt.message) {
                assert!(after_healthy_done.insert(id), "{point:?}: greeted once: {all:?}");
            }
        }
        let new = run.report.instances.iter().map(|instance| &instance.id);
        let forgotten: Vec<_> = new.filter(|id| !after_healthy_done.contains(*id)).collect();
        assert!(forgotten.is_empty(), "{point:?}: {forgotten:?}");
        let ended = of(&world, HookPoint::AfterBatch).into_iter();
        let numbers: Vec<u32> = ended.map(|it| it.message.batch).collect();
        let unique: BTreeSet<u32> = numbers.iter().copied().collect();
        assert_eq!(unique.len(), numbers.len(), "{point:?}: one for each batch: {numbers:?}");
        assert_repeated_with_the_same_id(&all, 0);
    }
}

/// The last hook is told another outcome, where an abort comes while it is run: it is another hook.
#[tokio::test]
async fn another_outcome_is_another_message_and_has_another_id() {
    let behave = Behave { takes: 60, ..Behave::default() };
    let reference = World::new(fleet(), everywhere(thirty_percent()), behave).await;
    let run = reference.roll("first").await.expect("a run");
    let (starts, _) = times(&run, HookPoint::AfterRollout);
    let world = World::new(fleet(), everywhere(thirty_percent()), behave).await;
    let simulator = Arc::clone(&world.simulator);
    world.clock.at(starts + seconds(10), move || leave_command(&simulator, Command::Abort));
    world.roll("first").await.expect("a run");
    let told = of(&world, HookPoint::AfterRollout).into_iter();
    let told: Vec<_> = told.map(|it| (it.message.outcome, it.message.id)).collect();
    let outcomes: Vec<_> = told.iter().map(|(outcome, _)| *outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::Succeeded), Some(Outcome::Aborted)]);
    assert_ne!(told[0].1, told[1].1);
}

/// Good instances go back into rotation before `before_rollback` has ended, and nothing else is done.
#[tokio::test]
async fn what_only_restores_does_not_wait_for_before_rollback() {
    let points = [HookPoint::BeforeRollback];
    let hooks = hooks(&points, 1, OnHookFailure::Fail);
    let deploy = RollingDeployment { hooks, ..spec(thirty_percent()) };
    let behave = Behave { takes: 300, ..Behave::default() };
    let world = World::new(fleet(), deploy, behave).await;
    let simulator = Arc::clone(&world.simulator);
    world.clock.at(EPOCH + seconds(15), move || leave_command(&simulator, Command::Rollback));
    let run = world.roll("first").await.expect("a run");
    assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
    let (_, ends) = times(&run, HookPoint::BeforeRollback);
    let turns = run.events.iter().find(|it| matches!(it.event, Event::RollingBack { .. }));
    let turns = turns.expect("a rollback").at;
    let between = run.events.iter().filter(|it| it.at >= turns && it.at < ends);
    let done: BTreeSet<&str> = between
        .filter_map(|it| match &it.event {
            Event::Acted { action: Action::Register { .. } } => Some("register"),
            Event::Acted { action: Action::WriteRecord { .. } } => Some("record"),
            Event::Acted { .. } => Some("another"),
            _ => None,
        })
        .collect();
    // Those who drained when it turned are good, and what had replaced them waits.
    assert!(done.contains("register") && !done.contains("another"), "{done:?}");
    assert_eq!(world.witness.broken(0), Vec::<String>::new());
}

/// A hook acts whether the cloud says where its instances are or not.
#[tokio::test]
async fn a_hook_is_run_without_addresses_that_cannot_be_read() {
    let hooks = hooks(&[HookPoint::BeforeDeregister], 1, OnHookFailure::Ignore);
    let deploy = RollingDeployment { hooks, ..spec(Policy::AllAtOnce) };
    let world = World::new(fleet(), deploy, Behave::default()).await;
    let (inner, writes, fault) = (world.witness.clone(), AtomicU32::new(0), Fault::Lost);
    let hiding = FailsOnce { inner, at: 0, fault, writes, hides_addresses: true };
    let run = world.roll_on(Arc::new(hiding), "first").await.expect("a run");
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    let attempts = world.driver.attempts();
    assert_eq!(attempts.len(), 1);
    let message = &attempts[0].message;
    assert_eq!(message.instances.len(), 10);
    assert!(message.instances.iter().all(|instance| instance.private_address.is_none()));
    let warned = run.events.iter().any(|it| match &it.event {
        Event::Warned { warning } => warning.contains("cannot be read"),
        _ => false,
    });
    assert!(warned, "somebody is told");
}

/// An alarm that is raised while a hook is run for long ends the way forward at once.
#[tokio::test]
async fn alarms_are_watched_while_a_hook_is_run() {
    let events = vec![(seconds(100), Intervention::Alarm(true))];
    let hooks = hooks(&[HookPoint::BeforeDeregister], 1, OnHookFailure::Fail);
    let gates = Gates { alarms: ["errors".to_owned()].into(), ..Gates::default() };
    let on_failure = OnFailure::Rollback;
    let deploy = RollingDeployment { hooks, gates, on_failure, ..spec(thirty_percent()) };
    let behave = Behave { takes: 3600, ..Behave::default() };
    let world = World::new(FleetConfig { events, ..fleet() }, deploy, behave).await;
    let run = world.roll("first").await.expect("a run");
    let gate =
        run.events.iter().find(|it| matches!(it.event, Event::GateAnswered { passed: false, .. }));
    let late = gate.expect("a gate").at.since(EPOCH + seconds(100));
    assert!(late < seconds(30), "{late:?} after the alarm was raised");
}

/// What was prepared for one revision is not prepared for the next: the rollout is another one.
#[tokio::test]
async fn what_another_rollout_has_prepared_is_prepared_again() {
    let hooks = hooks(&[HookPoint::BeforeDeregister], 1, OnHookFailure::Fail);
    let deploy = RollingDeployment { hooks, ..spec(thirty_percent()) };
    let mut checked = 0;
    for at in 1..20 {
        let world = World::new(fleet(), deploy.clone(), Behave::default()).await;
        let mortal = Mortal::new(world.witness.clone(), at, Dies::Before);
        if mortal.survive(world.roll_on(mortal.clone(), "first")).await.is_some() {
            break;
        }
        let before = of(&world, HookPoint::BeforeDeregister);
        if before.len() != 1 || world.simulator.launched() > 10 {
            continue;
        }
        let out = world.simulator.truth().expect("the fleet").instances;
        let serves = |id: &InstanceId| out.get(id).is_some_and(crate::test_fleets::serves);
        let prepared: BTreeSet<InstanceId> =
            ids(&before[0].message).into_iter().filter(serves).collect();
        world.simulator.retarget("v3".into());
        let run = world.roll("second").await.expect("a run");
        assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
        let again = of(&world, HookPoint::BeforeDeregister).into_iter().skip(1);
        let again: BTreeSet<InstanceId> = again.flat_map(|it| ids(&it.message)).collect();
        assert!(again.is_superset(&prepared), "killed at {at}: {prepared:?} {again:?}");
        checked += usize::from(!prepared.is_empty());
    }
    assert!(checked > 1, "{checked}");
}
