//! A rollout in the state in which commands are given, and which of them its record acknowledges.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rolling::engine::{Caller, ControlOutcome, Rollout, Stop};
use rolling::model::spec::RollingDeployment;
use rolling::record::command::{Command, Control};
use rolling::record::lease::Lease;
use rolling::record::{Ending, Record};
use rolling::rollout::control::{ControlState, effect};
use rolling_provider::{Action, Done, ErrorKind, Fleet, ProviderError, Tags};
use rolling_simulator::Simulator;
use rolling_testing::{Wrapper, impl_fleet};
use tokio::sync::watch;

use crate::fast::properties::look;
use crate::world::{caller, seconds};

/// The state of a rollout when the commands are given.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    pub state: ControlState,
    /// Whether an engine is at work, and not one that was killed.
    pub lives: bool,
}

/// A fleet that notes which commands its record acknowledges, where they have an effect.
pub struct Noting {
    pub inner: Arc<Simulator>,
    pub acknowledged: Mutex<Vec<(String, Command)>>,
    /// Whether it refuses to resume processes.
    pub refuses: Mutex<bool>,
}

impl Noting {
    fn note(&self, before: &Tags, written: &Tags) {
        let (Ok(was), Ok(Some(record))) = (Record::from_tags(before), Record::from_tags(written))
        else {
            return;
        };
        let state = ControlState::of(was.as_ref(), was.is_none());
        let news = record
            .acknowledged
            .iter()
            .filter(|id| !was.iter().any(|was| was.acknowledged.contains(id)));
        for id in news {
            let mut acknowledged = self.acknowledged.lock().expect("it");
            // A command that its caller carried out itself was never left in the tags.
            let left = Control::from_tags(before).filter(|control| control.id == *id);
            let Some(control) = left else { continue };
            // To resume a rollout that moves already has no effect.
            let moves = matches!(
                state,
                ControlState::Unrecorded | ControlState::Rolling | ControlState::RollingBack
            );
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
        if matches!(action, Action::ResumeProcesses { .. }) && *self.refuses.lock().expect("it") {
            let error = ProviderError::invalid("ResumeProcesses", "", "not authorized");
            return Err(ProviderError { kind: ErrorKind::Denied, ..error });
        }
        self.inner.act(action).await
    }
}

impl_fleet!(Noting);

pub fn named(name: &str) -> Caller {
    // While a rollout is brought there, its engine is not dead yet.
    let is_gone: fn(&str) -> bool = match name {
        "before" => |_| false,
        _ => |owner| owner.starts_with("dead/"),
    };
    // A client may give every request the same name.
    let (owner, rollout_id) = (format!("{name}/1.1.aa"), "operation".to_owned());
    Caller { owner, rollout_id, is_gone, ..caller() }
}

fn state(simulator: &Simulator) -> ControlState {
    let tags = look(simulator).record;
    let is_leased = Lease::from_tags(&tags).is_some();
    ControlState::of(Record::from_tags(&tags).expect("a record").as_ref(), is_leased)
}

pub async fn until(simulator: &Simulator, reached: impl Fn() -> bool) {
    for _ in 0..100_000 {
        if reached() {
            return;
        }
        simulator.clock().sleep(Duration::from_millis(100)).await;
    }
    panic!("never: {:?}", state(simulator));
}

pub async fn look_up(fleet: &Arc<Noting>, spec: &RollingDeployment, name: &str) -> Rollout {
    Rollout::look_up(fleet.clone(), spec.clone(), &named(name)).await.expect("look up")
}

pub async fn give(
    fleet: &Arc<Noting>,
    spec: &RollingDeployment,
    name: &str,
    command: Command,
) -> ControlOutcome {
    send(look_up(fleet, spec, name).await, command).await
}

pub async fn send(rollout: Rollout, command: Command) -> ControlOutcome {
    let (_keep, stop) = watch::channel(Stop::No);
    rollout.command(command, stop, &mut |_| {}).await.expect("no error")
}

/// Brings a rollout into `situation`. Returns once it is there, with the task of the engine if one
/// is to live.
pub async fn arrive(
    fleet: &Arc<Noting>,
    spec: &RollingDeployment,
    situation: Situation,
) -> Option<tokio::task::JoinHandle<()>> {
    let Situation { state: wanted, lives } = situation;
    if wanted == ControlState::Absent {
        return None;
    }
    *fleet.refuses.lock().expect("it") = wanted == ControlState::Halting(Ending::Unrestored);
    let (stops, stop) = watch::channel(Stop::No);
    let name = if lives { "engine" } else { "dead" };
    let rollout = Rollout::prepare(fleet.clone(), spec.clone(), &named(name)).await.expect("it");
    let engine = tokio::spawn(async move {
        rollout.run(stop, &mut |_| {}).await;
    });
    let simulator = fleet.inner.clone();
    if wanted != ControlState::Unrecorded {
        until(&simulator, || matches!(state(&simulator), ControlState::Rolling)).await;
    }
    let to = match wanted {
        ControlState::RollingBack => Some(Command::Rollback),
        ControlState::Halting(Ending::Paused) | ControlState::Halted(Ending::Paused) => {
            Some(Command::Pause)
        }
        ControlState::Halting(Ending::Aborted) | ControlState::Halted(Ending::Aborted) => {
            Some(Command::Abort)
        }
        ControlState::Halting(Ending::Interrupted) | ControlState::Halted(Ending::Interrupted) => {
            until(&simulator, || look(&simulator).template == Some("v2".into())).await;
            // A rollout that has replaced no instance leaves no record.
            let time = if matches!(wanted, ControlState::Halted(_)) { 60 } else { 5 };
            simulator.clock().sleep(seconds(time)).await;
            stops.send_replace(Stop::Gracefully);
            None
        }
        _ => None,
    };
    if let Some(command) = to {
        // First there must be something to put back, or to replace once more.
        let is_done = matches!(wanted, ControlState::RollingBack | ControlState::Halted(_));
        let time = if is_done { 60 } else { 5 };
        simulator.clock().sleep(seconds(time)).await;
        give(fleet, spec, "before", command).await;
    }
    let is_halted = matches!(wanted, ControlState::Halted(_));
    until(&simulator, || match is_halted {
        true => state(&simulator) == wanted,
        false => state(&simulator) == wanted || engine.is_finished(),
    })
    .await;
    assert!(is_halted || state(&simulator) == wanted, "{wanted:?} was not reached");
    fleet.acknowledged.lock().expect("it").clear();
    *fleet.refuses.lock().expect("it") = false;
    if !lives {
        engine.abort();
        return None;
    }
    // The channel stays open as long as this engine runs.
    std::mem::forget(stops);
    Some(engine)
}
