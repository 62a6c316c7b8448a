//! Lease, record and commands are a protocol between processes over a store without
//! compare-and-swap. `stateright` explores this model of it exhaustively within bounds: two engines
//! and two callers, who may become engines; two instances; time in steps of a renewal; at most one
//! freeze, one crash, one lost answer and two stale reads in a trace.
//!
//! It decides nothing itself: it asks `src` whose the rollout is and what a command does:
//! [`LeaseWatch::judge`], [`is_fresh`], [`Ownership`] (`take`, `judge`, `is_late`, `next_lease`, `did`
//! and the rest), [`Moment::age`], [`Control::pending`], [`EngineActivity::effect`], [`Record::acknowledge`],
//! [`control::found`], [`control::no_op`], [`control::is_as_asked`], [`command_id`] and
//! [`PendingCommand`]. Only what happens to the fleet in between is the model's own, in [`engine`].

mod engine;
mod process;
mod world;

use rolling::record::command::Command;
use rolling::record::{Ending, Phase};
use stateright::{Checker, Model, Property};

use self::process::Task;
use self::world::{Action, World};

/// Which processes there are, and how many odd things may happen in a trace.
struct Protocol {
    tasks: Vec<Task>,
    odd: u8,
    /// How far an engine had come that has ended without a command.
    left: Option<(Phase, bool)>,
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let world = World::new(&self.tasks, self.odd);
        vec![match self.left {
            Some((phase, back)) => world.left_by_a_dead_engine(phase, back),
            None => world,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.actions(actions);
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        last.clone().after(action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no promise is broken", |_, world: &World| world.broken.is_none()),
            Property::always(
                "what is borrowed is in a record, printed, or given back",
                |_, world: &World| world.is_borrowed_known(),
            ),
            Property::always("somebody can always go on", |_, world: &World| world.can_go_on()),
        ]
    }
}

/// Explores every trace. Returns the number of states, and the length of the longest trace.
fn explore(tasks: &[Task], odd: u8) -> (usize, usize) {
    explore_what_is_left(tasks, odd, None)
}

/// The same, beginning with what an engine has left that has ended without a command.
fn explore_what_is_left(tasks: &[Task], odd: u8, left: Option<(Phase, bool)>) -> (usize, usize) {
    let model = Protocol { tasks: tasks.to_vec(), odd, left };
    let checker = model.checker().threads(2).spawn_bfs().join();
    for property in checker.model().properties() {
        if let Some(path) = checker.discovery(property.name) {
            let broken = path.last_state().broken;
            let step = |(world, action): (World, Option<Action>)| {
                format!("{}{}", world.shown(), action.map_or("".into(), |a| format!("{a:?}")))
            };
            let trace: Vec<String> = path.into_vec().into_iter().map(step).collect();
            panic!("{tasks:?} {left:?}: {}: {broken:?}\n{}", property.name, trace.join("\n"));
        }
    }
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    if left.is_none() {
        eprintln!("{tasks:?}, {odd} odd: {states} states, depth {depth}");
    }
    (states, depth)
}

/// What an engine may leave that ends without a command: its phase, and whether it rolled back.
const LEFT: [(Phase, bool); 6] = [
    (Phase::Rolling, false),
    (Phase::Rolling, true),
    (Phase::Halting(Ending::Paused), false),
    (Phase::Halting(Ending::Aborted), false),
    (Phase::Halting(Ending::Interrupted), false),
    (Phase::Halted(Ending::Paused), true),
];

/// How many odd things may happen in a trace, by the processes in it: two engines; an engine and a
/// caller; two engines and a caller; an engine and two callers; all four. `ROLLING_MODEL_ODD=22110`
/// asks for more: six million states, two minutes.
fn bounds() -> [u8; 5] {
    let asked = std::env::var("ROLLING_MODEL_ODD").unwrap_or_else(|_| "21100".into());
    let asked: Vec<u8> = asked.bytes().map(|digit| digit - b'0').collect();
    asked.try_into().expect("five digits")
}

#[test]
fn two_engines_and_two_callers_keep_every_promise_in_every_trace() {
    let [engines, one_each, three, callers, all] = bounds();
    let (a, b) = (Task::Apply(2), Task::Apply(3));
    let mut sum = vec![explore(&[a, b], engines)];
    for command in Command::ALL.map(Task::Say) {
        sum.push(explore(&[a, command], one_each));
        sum.push(explore(&[a, b, command], three));
        for second in Command::ALL.map(Task::Say) {
            sum.push(explore(&[a, command, second], callers));
            sum.push(explore(&[a, b, command, second], all));
            for (phase, back) in LEFT {
                sum.push(explore_what_is_left(&[command, second], 0, Some((phase, back))));
            }
        }
    }
    let states: usize = sum.iter().map(|(states, _)| states).sum();
    let depth = sum.iter().map(|(_, depth)| *depth).max().unwrap_or_default();
    eprintln!("{states} states, depth {depth}");
    assert!(states > 1_000_000 && depth > 30, "{states} {depth}");
}
