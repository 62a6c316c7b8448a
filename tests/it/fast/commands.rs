//! Every ordered pair of commands, from two callers, in every phase of a rollout: it ends in one
//! outcome, and both were told the truth.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rolling::engine::{Caller, ControlOutcome, Rollout, Stop};
use rolling::model::event::Outcome;
use rolling::model::spec::{BatchSize, OnFailure, Policy, RollingDeployment};
use rolling::record::command::{Command, Control};
use rolling::record::lease::Lease;
use rolling::record::{Ending, LEASE, Record};
use rolling::rollout::control::{Effect, STATES, State, effect};
use rolling_provider::{Action, Done, Fleet, Observation, ProviderError, Tags};
use rolling_simulator::{Behaviour, FleetConfig, Simulator};
use rolling_testing::{Wrapper, impl_fleet};
use tokio::sync::watch;

use super::properties::look;
use crate::test_fleets::{Dies, Mortal};
use crate::world::{SharedClock, caller, fleet, roll, roll_until, seconds, simulate, spec};

/// When the second caller speaks, after the first has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    AtOnce,
    AMomentLater,
    AfterTheAnswer,
}

/// What a rollout is at when the callers speak.
#[derive(Clone, Copy, Debug)]
struct Situation {
    state: State,
    /// Whether an engine is at work, and not one that was killed.
    lives: bool,
}

/// A fleet that notes which commands the record has heard, and in what state.
struct Noting {
    inner: Arc<Simulator>,
    acknowledged: Mutex<Vec<(String, Command)>>,
}

impl Noting {
    fn note(&self, before: &Tags, written: &Tags) {
        let (Ok(was), Ok(Some(record))) = (Record::from_tags(before), Record::from_tags(written))
        else {
            return;
        };
        let state = State::of(was.as_ref(), was.is_none());
        let news = record
            .acknowledged
            .iter()
            .filter(|id| !was.iter().any(|was| was.acknowledged.contains(id)));
        for id in news {
            let mut acknowledged = self.acknowledged.lock().expect("it");
            // One that was carried out where it was said was never left.
            let left = Control::from_tags(before).filter(|control| control.id == *id);
            let Some(control) = left else { continue };
            // What moves already goes on, the way it went.
            let moves = matches!(state, State::Unrecorded | State::Rolling | State::RollingBack);
            if effect(control.command, state).changes()
                && !(moves && control.command == Command::Resume)
            {
                acknowledged.push((control.by, control.command));
            }
        }
    }
}

#[async_trait]
impl Wrapper for Noting {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        if let Action::WriteRecord { tags } = action {
            self.note(&look(&self.inner).record, tags);
        }
        self.inner.act(action).await
    }
}

impl_fleet!(Noting);

fn named(name: &str) -> Caller {
    // It is killed only once it is where it is to be.
    let is_gone: fn(&str) -> bool = match name {
        "before" => |_| false,
        _ => |owner| owner.starts_with("dead/"),
    };
    // A client may give every request the same name.
    let (owner, rollout_id) = (format!("{name}/1.1.aa"), "operation".to_owned());
    Caller { owner, rollout_id, is_gone, ..caller() }
}

fn state(simulator: &Simulator) -> State {
    let tags = look(simulator).record;
    let is_leased = Lease::from_tags(&tags).is_some();
    State::of(Record::from_tags(&tags).expect("a record").as_ref(), is_leased)
}

async fn until(simulator: &Simulator, reached: impl Fn() -> bool) {
    for _ in 0..100_000 {
        if reached() {
            return;
        }
        simulator.clock().sleep(Duration::from_millis(100)).await;
    }
    panic!("never: {:?}", state(simulator));
}

async fn look_up(fleet: &Arc<Noting>, spec: &RollingDeployment, name: &str) -> Rollout {
    Rollout::look_up(fleet.clone(), spec.clone(), &named(name)).await.expect("look up")
}

async fn give(
    fleet: &Arc<Noting>,
    spec: &RollingDeployment,
    name: &str,
    command: Command,
) -> ControlOutcome {
    speak(look_up(fleet, spec, name).await, command).await
}

async fn speak(rollout: Rollout, command: Command) -> ControlOutcome {
    let (_keep, stop) = watch::channel(Stop::No);
    rollout.command(command, stop, &mut |_| {}).await.expect("no error")
}

/// Brings a rollout there. Returns once it is, with an engine at work on it if one is to live.
async fn arrive(
    fleet: &Arc<Noting>,
    spec: &RollingDeployment,
    situation: Situation,
) -> Option<tokio::task::JoinHandle<()>> {
    let Situation { state: wanted, lives } = situation;
    if wanted == State::Absent {
        return None;
    }
    let (stops, stop) = watch::channel(Stop::No);
    let name = if lives { "engine" } else { "dead" };
    let rollout = Rollout::prepare(fleet.clone(), spec.clone(), &named(name)).await.expect("it");
    let engine = tokio::spawn(async move {
        rollout.run(stop, &mut |_| {}).await;
    });
    let simulator = fleet.inner.clone();
    if wanted != State::Unrecorded {
        until(&simulator, || matches!(state(&simulator), State::Rolling)).await;
    }
    let to = match wanted {
        State::RollingBack => Some(Command::Rollback),
        State::Halting(Ending::Paused) | State::Halted(Ending::Paused) => Some(Command::Pause),
        State::Halting(Ending::Aborted) | State::Halted(Ending::Aborted) => Some(Command::Abort),
        State::Halting(Ending::Interrupted) | State::Halted(Ending::Interrupted) => {
            until(&simulator, || look(&simulator).template == Some("v2".into())).await;
            // Of what has replaced nobody nothing is left.
            let time = if matches!(wanted, State::Halted(_)) { 60 } else { 5 };
            simulator.clock().sleep(seconds(time)).await;
            stops.send_replace(Stop::Gracefully);
            None
        }
        _ => None,
    };
    if let Some(command) = to {
        // Something is to be put back, or to be replaced once more.
        let is_done = matches!(wanted, State::RollingBack | State::Halted(_));
        let time = if is_done { 60 } else { 5 };
        simulator.clock().sleep(seconds(time)).await;
        give(fleet, spec, "before", command).await;
    }
    let is_halted = matches!(wanted, State::Halted(_));
    until(&simulator, || match is_halted {
        true => state(&simulator) == wanted,
        false => state(&simulator) == wanted || engine.is_finished(),
    })
    .await;
    assert!(is_halted || state(&simulator) == wanted, "{wanted:?} is not to be seen");
    fleet.acknowledged.lock().expect("it").clear();
    if !lives {
        engine.abort();
        return None;
    }
    // To be told to stop is for this one only.
    std::mem::forget(stops);
    Some(engine)
}

/// What the rollout has come to, as far as a command asks for it.
fn holds(command: Command, simulator: &Simulator, before: &Observation) -> bool {
    let now = look(simulator);
    let record = Record::from_tags(&now.record).expect("a record");
    let ended = |ending| {
        record.as_ref().is_some_and(|r| State::of(Some(r), false) == State::Halted(ending))
    };
    let live = || now.instances.values().filter(|instance| instance.lifecycle.is_live());
    let all = |revision: &str| live().all(|i| i.revision == Some(revision.into()));
    match command {
        Command::Pause => ended(Ending::Paused),
        // Where nothing was replaced there is nothing to remember.
        Command::Abort => {
            ended(Ending::Aborted) || (record.is_none() && all("v1") && now.suspended.is_empty())
        }
        Command::Rollback => record.is_none() && all("v1") && now.template == before.template,
        Command::Resume => record.is_none() && (all("v2") || all("v1")),
    }
}

fn answer(commanded: &ControlOutcome, command: Command) -> String {
    commanded.answer(command).map(|answer| answer.message).unwrap_or_default()
}

fn run(situation: Situation, first: Command, second: Command, then: Then) {
    let what = format!("{situation:?}: {first:?}, {second:?} {then:?}");
    let clock = Arc::new(SharedClock::default());
    clock.clone().run(async {
        let is_bad = matches!(
            situation.state,
            State::Halting(Ending::Failed) | State::Halted(Ending::Failed)
        );
        let mut config = FleetConfig { instances: 3, ..fleet() };
        if is_bad {
            config.bad_revisions.insert("v2".into(), Behaviour::Unhealthy);
        }
        let one = BatchSize::Fixed(1);
        // What fails has something to put back, and what has failed leaves something.
        let policy = match situation.state {
            State::Halting(Ending::Failed) => Policy::RollingWithAdditionalBatch(one),
            _ => Policy::Rolling(one),
        };
        let mut spec = RollingDeployment {
            on_failure: OnFailure::Stop,
            poll_interval: seconds(3),
            ..spec(policy)
        };
        spec.health.healthy_timeout = seconds(120);
        let simulator = Arc::new(Simulator::in_memory(config.clone(), clock));
        let fleet = Arc::new(Noting { inner: simulator.clone(), acknowledged: Mutex::default() });
        let before = look(&simulator);
        let engine = arrive(&fleet, &spec, situation).await;

        let clock = simulator.clock();
        let (answered, first_is) = watch::channel(false);
        // Both have looked before either speaks: they may begin to carry it out at one moment.
        let looked = look_up(&fleet, &spec, "one").await;
        let also = match then {
            Then::AtOnce => Some(look_up(&fleet, &spec, "two").await),
            Then::AMomentLater | Then::AfterTheAnswer => None,
        };
        let one = async {
            let told = speak(looked, first).await;
            answered.send_replace(true);
            told
        };
        let two = async {
            match then {
                Then::AtOnce => {}
                Then::AMomentLater => clock.sleep(Duration::from_millis(700)).await,
                Then::AfterTheAnswer => {
                    let mut first_is = first_is.clone();
                    first_is.wait_for(|answered| *answered).await.expect("the first");
                }
            }
            match also {
                Some(also) => speak(also, second).await,
                None => give(&fleet, &spec, "two", second).await,
            }
        };
        let (one, two) = tokio::join!(one, two);
        if let Some(engine) = engine {
            until(&simulator, || engine.is_finished()).await;
        }

        // Nobody is left without an answer, and whoever has it is told what is so.
        let told = [("one/1.1.aa", first, &one), ("two/1.1.aa", second, &two)];
        for (_, command, commanded) in &told {
            let reply = format!("{what}: {command:?} was told {commanded:?}");
            assert!(!matches!(commanded, ControlOutcome::TimedOut(_) | ControlOutcome::Sent(_)), "{reply}");
            if let ControlOutcome::RanHere(report) = commanded {
                assert_ne!(report.outcome, Outcome::Locked, "{reply}");
            }
        }
        // The last command that was obeyed holds; what was carried out where it was said comes last.
        let mut obeyed = fleet.acknowledged.lock().expect("it").clone();
        for (by, command, commanded) in &told {
            if matches!(commanded, ControlOutcome::RanHere(_))
                && !obeyed.iter().any(|(acknowledged, _)| acknowledged == by)
            {
                let after = if obeyed.is_empty() || then == Then::AfterTheAnswer {
                    obeyed.len()
                } else {
                    0
                };
                obeyed.insert(after, ((*by).to_owned(), *command));
            }
        }
        let last = obeyed.last();
        for (by, command, commanded) in &told {
            // Whoever was obeyed before another one was told what was so then.
            let is_last = last.is_none_or(|(last, _)| last == by);
            let told_none = answer(commanded, *command);
            let none = ["there is no rollout", "nothing was begun"]
                .iter()
                .any(|message| told_none.contains(message))
                && Record::from_tags(&look(&simulator).record) == Ok(None);
            let is_so = none || holds(*command, &simulator, &before);
            let reply =
                format!("{what}: {command:?} of {by} was told {commanded:?}; obeyed {obeyed:?}");
            let tags = look(&simulator).record;
            assert!(is_so || !is_last || !commanded.is_as_asked(*command), "{reply}: {tags:?}");
            // The last one that had an effect has the effect that was asked for, unless the rollout
            // was over before, or had no way back.
            let obeys = last.is_some_and(|(last, _)| last == by);
            let over = answer(commanded, *command).contains("has ended the rollout")
                || matches!(commanded, ControlOutcome::RanHere(report) if *command == Command::Resume
                    // What an engine that was killed was about to do is done first.
                    || matches!(situation.state, State::Halting(_)) && !situation.lives
                        && matches!(report.outcome, Outcome::Failed | Outcome::Aborted));
            assert!(!obeys || over || commanded.is_as_asked(*command), "{reply}: {tags:?}");
        }

        // And somebody can always go on.
        still_running(&simulator, config, spec).await;
    });
}

async fn still_running(simulator: &Arc<Simulator>, config: FleetConfig, spec: RollingDeployment) {
    if !config.bad_revisions.is_empty() {
        simulator.retarget("v3".into());
    }
    let mut outcomes = Vec::new();
    // To go back, to go on from a pause, and to go there.
    while outcomes.last() != Some(&Outcome::Succeeded) && outcomes.len() < 4 {
        let (_keep, stop) = watch::channel(Stop::No);
        outcomes.push(match outcomes.last() {
            Some(Outcome::Paused) => {
                let me = named("last");
                let rollout = Rollout::look_up(simulator.clone(), spec.clone(), &me);
                let rollout = rollout.await.expect("it");
                match rollout.command(Command::Resume, stop, &mut |_| {}).await.expect("it") {
                    ControlOutcome::RanHere(report) => report.outcome,
                    other => panic!("{other:?}"),
                }
            }
            _ => roll_until(simulator.clone(), spec.clone(), stop).await.report.outcome,
        });
    }
    assert_eq!(outcomes.last(), Some(&Outcome::Succeeded), "{outcomes:?}");
    let end = look(simulator);
    assert!(end.record.is_empty() && end.suspended.is_empty(), "{end:?}");
}

#[test]
fn every_pair_of_commands_in_every_phase_ends_in_one_outcome_that_both_are_told() {
    let mut triples = 0;
    for state in STATES {
        let is_over = matches!(state, State::Absent | State::Halted(_));
        for lives in [false, true] {
            // Nobody is at work on what has ended, and who has ended before the first record has
            // done nothing.
            if lives && is_over || !lives && state == State::Unrecorded {
                continue;
            }
            for first in Command::ALL {
                for second in Command::ALL {
                    for then in [Then::AtOnce, Then::AMomentLater, Then::AfterTheAnswer] {
                        run(Situation { state, lives }, first, second, then);
                        triples += 1;
                    }
                }
            }
        }
    }
    eprintln!("{triples} triples of phase, command and command");
    assert!(triples > 800, "{triples}");
    assert_eq!(effect(Command::Abort, State::Rolling), Effect::Halt(Ending::Aborted));
}

/// What was about to begin when its process was killed has left its lease, and nothing else.
#[tokio::test]
async fn the_lease_of_a_process_that_ended_before_it_began_is_taken_off() {
    let spec = spec(Policy::Rolling(BatchSize::Fixed(1)));
    for (command, stays) in [
        (Command::Abort, false),
        (Command::Pause, false),
        (Command::Rollback, false),
        (Command::Resume, true),
    ] {
        let simulator = simulate(fleet());
        let mortal = Mortal::new(simulator.clone(), 2, Dies::Before);
        assert!(mortal.survive(roll(mortal.clone(), spec.clone())).await.is_none());
        assert!(look(&simulator).record.contains_key(LEASE), "the premise");
        let me = Caller {
            owner: "host/2.2.bb".into(),
            is_gone: |owner| owner != "host/2.2.bb",
            ..caller()
        };
        let rollout = Rollout::look_up(simulator.clone(), spec.clone(), &me).await.expect("a look");
        let (_keep, stop) = watch::channel(Stop::No);
        let told = rollout.command(command, stop, &mut |_| {}).await.expect("an answer");
        assert!(matches!(told, ControlOutcome::NoOp(_)), "{command:?}: {told:?}");
        let look = look(&simulator);
        assert_eq!(look.record.contains_key(LEASE), stays, "{command:?}: {look:?}");
        assert!(stays || look.record.is_empty(), "{command:?}: {look:?}");
    }
}
