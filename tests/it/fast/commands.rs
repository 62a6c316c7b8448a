//! Every ordered pair of commands, from two callers, in every phase of a rollout: it ends in one
//! outcome, and both are told the truth.

mod situation;
mod superseded;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rolling::engine::{Caller, ControlOutcome, Rollout, Stop};
use rolling::model::event::Outcome;
use rolling::model::spec::{BatchSize, OnFailure, Policy, RollingDeployment};
use rolling::record::command::Command;
use rolling::record::{Ending, LEASE, Record};
use rolling::rollout::control::{CommandEffect, ControlState, STATES, effect};
use rolling_provider::{Fleet as _, Observation};
use rolling_simulator::{Behaviour, FleetConfig, Simulator};
use tokio::sync::watch;

use self::situation::{Noting, Situation, arrive, give, look_up, named, send, until};
use super::properties::look;
use crate::test_fleets::{Dies, Mortal};
use crate::world::{SharedClock, caller, fleet, roll, roll_until, seconds, simulate, spec};

/// When the second caller gives its command, after the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    AtOnce,
    AMomentLater,
    AfterTheAnswer,
}

/// Whether the rollout has come to what `command` asks for.
fn holds(command: Command, simulator: &Simulator, before: &Observation) -> bool {
    let now = look(simulator);
    let record = Record::from_tags(&now.record).expect("a record");
    let ended = |ending| {
        record
            .as_ref()
            .is_some_and(|r| ControlState::of(Some(r), false) == ControlState::Halted(ending))
    };
    let live = || now.instances.values().filter(|instance| instance.lifecycle.is_live());
    let all = |revision: &str| live().all(|i| i.revision == Some(revision.into()));
    match command {
        Command::Pause => ended(Ending::Paused),
        // Where nothing was replaced, no record is left.
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
            ControlState::Halting(Ending::Failed) | ControlState::Halted(Ending::Failed)
        );
        let mut config = FleetConfig { instances: 3, ..fleet() };
        if is_bad {
            config.bad_revisions.insert("v2".into(), Behaviour::Unhealthy);
        }
        let one = BatchSize::Fixed(1);
        // A rollout that is failing has something to put back, and one that has failed leaves
        // something.
        let policy = match situation.state {
            ControlState::Halting(Ending::Failed) => Policy::RollingWithAdditionalBatch(one),
            _ => Policy::Rolling(one),
        };
        let mut spec = RollingDeployment {
            on_failure: OnFailure::Stop,
            poll_interval: seconds(3),
            ..spec(policy)
        };
        spec.health.healthy_timeout = seconds(120);
        let simulator = Arc::new(Simulator::in_memory(config.clone(), clock));
        let fleet = Arc::new(Noting { inner: simulator.clone(), acknowledged: Mutex::default(), refuses: Mutex::default() });
        let before = look(&simulator);
        let engine = arrive(&fleet, &spec, situation).await;

        let clock = simulator.clock();
        let (answered, first_is) = watch::channel(false);
        // Both look before either gives its command: they may begin to carry it out at one moment.
        let looked = look_up(&fleet, &spec, "one").await;
        let also = match then {
            Then::AtOnce => Some(look_up(&fleet, &spec, "two").await),
            Then::AMomentLater | Then::AfterTheAnswer => None,
        };
        let one = async {
            let answers = send(looked, first).await;
            answered.send_replace(true);
            answers
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
                Some(also) => send(also, second).await,
                None => give(&fleet, &spec, "two", second).await,
            }
        };
        let (one, two) = tokio::join!(one, two);
        if let Some(engine) = engine {
            until(&simulator, || engine.is_finished()).await;
        }

        // Each caller has an answer, and the answer is true.
        let answers = [("one/1.1.aa", first, &one), ("two/1.1.aa", second, &two)];
        for (_, command, commanded) in &answers {
            let reply = format!("{what}: {command:?} was told {commanded:?}");
            assert!(!matches!(commanded, ControlOutcome::TimedOut(_) | ControlOutcome::Sent(_)), "{reply}");
            if let ControlOutcome::RanHere(report) = commanded {
                assert_ne!(report.outcome, Outcome::Locked, "{reply}");
            }
        }
        // The last command that took effect decides; one that its caller carried out itself comes
        // last.
        let mut effective = fleet.acknowledged.lock().expect("it").clone();
        for (by, command, commanded) in &answers {
            if matches!(commanded, ControlOutcome::RanHere(_))
                && !effective.iter().any(|(acknowledged, _)| acknowledged == by)
            {
                let after = if effective.is_empty() || then == Then::AfterTheAnswer {
                    effective.len()
                } else {
                    0
                };
                effective.insert(after, ((*by).to_owned(), *command));
            }
        }
        let last = effective.last();
        for (by, command, commanded) in &answers {
            // If another command followed, the answer is about the state before that one.
            let is_last = last.is_none_or(|(last, _)| last == by);
            let answers_none = answer(commanded, *command);
            let none = ["there is no rollout", "nothing was begun"]
                .iter()
                .any(|message| answers_none.contains(message))
                && Record::from_tags(&look(&simulator).record) == Ok(None);
            let is_so = none || holds(*command, &simulator, &before);
            let reply =
                format!("{what}: {command:?} of {by} was told {commanded:?}; in effect {effective:?}");
            let tags = look(&simulator).record;
            assert!(is_so || !is_last || !commanded.is_as_asked(*command), "{reply}: {tags:?}");
            // The last command that took effect has the effect that was asked for, unless the
            // rollout was over before, or had no completed revision to go back to.
            let is_effective_last = last.is_some_and(|(last, _)| last == by);
            let over = answer(commanded, *command).contains("has ended the rollout")
                || matches!(commanded, ControlOutcome::RanHere(report) if *command == Command::Resume
                    // What a killed engine was about to do is done first.
                    || matches!(situation.state, ControlState::Halting(_)) && !situation.lives
                        && matches!(report.outcome, Outcome::Failed | Outcome::Aborted)
                    || situation.state == ControlState::Halting(Ending::Unrestored)
                        && report.outcome == Outcome::Succeeded);
            assert!(!is_effective_last || over || commanded.is_as_asked(*command), "{reply}: {tags:?}");
        }

        // The rollout can always be continued.
        still_running(&simulator, config, spec).await;
    });
}

async fn still_running(simulator: &Arc<Simulator>, config: FleetConfig, spec: RollingDeployment) {
    if !config.bad_revisions.is_empty() {
        simulator.retarget("v3".into());
    }
    let mut outcomes = Vec::new();
    // It may have to roll back, to resume after a pause, and to roll forward.
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
        let is_over = matches!(state, ControlState::Absent | ControlState::Halted(_));
        for lives in [false, true] {
            // Nobody is at work on a rollout that has ended, and an engine that ended before its
            // first record has done nothing.
            if lives && is_over || !lives && state == ControlState::Unrecorded {
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
    assert_eq!(effect(Command::Abort, ControlState::Rolling), CommandEffect::Halt(Ending::Aborted));
}

/// A process that was killed when it was about to begin has left its lease, and nothing else.
#[tokio::test]
async fn the_lease_of_a_process_that_ended_before_it_began_is_removed() {
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
        let answers = rollout.command(command, stop, &mut |_| {}).await.expect("an answer");
        assert!(matches!(answers, ControlOutcome::NoOp(_)), "{command:?}: {answers:?}");
        let look = look(&simulator);
        assert_eq!(look.record.contains_key(LEASE), stays, "{command:?}: {look:?}");
        assert!(stays || look.record.is_empty(), "{command:?}: {look:?}");
    }
}
