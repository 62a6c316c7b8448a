//! Requests that are shifted in several steps.

use rolling::engine::Stop;
use rolling::model::event::{Event, Outcome};
use rolling::model::spec::{Gates, RollingDeployment};
use rolling::record::command::Command;
use rolling_provider::{Action, Fleet as _, Timestamp};
use rolling_simulator::Behaviour;

use super::{SPLITTING, assert_in_primary, deploy, done, meanwhile_spec, second, shift};
use crate::test_fleets::Witness;
use crate::world::{Run, bad, fleet, roll, roll_until, seconds, simulate_and_stop, traffic_steps};

fn in_steps() -> RollingDeployment {
    let traffic_steps = traffic_steps(&[(10, 60), (30, 120), (60, 90)]);
    RollingDeployment { traffic_steps, ..deploy(SPLITTING) }
}

/// Returns each share of the requests in the order in which it was set, and when.
fn shares(run: &Run) -> Vec<(u32, Timestamp)> {
    let share = |event: &Event| match event {
        Event::Acted { action: Action::Shift { percent } } => Some(*percent),
        _ => None,
    };
    run.events.iter().filter_map(|it| share(&it.event).map(|percent| (percent, it.at))).collect()
}

fn percents(run: &Run) -> Vec<u32> {
    shares(run).into_iter().map(|(percent, _)| percent).collect()
}

#[tokio::test]
async fn each_share_is_evaluated_before_the_next() {
    let (run, _) = shift(fleet(), in_steps()).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    assert_eq!(percents(&run), [10, 30, 60, 100, 0]);
    let times: Vec<Timestamp> = shares(&run).into_iter().map(|(_, at)| at).collect();
    for (pair, time) in times.windows(2).zip([60, 120, 90]) {
        let took = pair[1].since(pair[0]);
        assert!(took >= seconds(time) && took < seconds(time + 30), "{took:?} for {time} s");
    }
}

#[tokio::test]
async fn the_gates_are_checked_after_each_step() {
    let gates = Gates { alarms: ["errors".to_owned()].into(), ..Gates::default() };
    let (run, _) = shift(fleet(), RollingDeployment { gates, ..in_steps() }).await;
    assert_eq!(run.report.outcome, Outcome::Succeeded, "{:?}", run.report);
    let shares = shares(&run);
    for pair in shares.windows(2).take(3) {
        let (from, to) = (pair[0].1, pair[1].1);
        let checks = run.events.iter().filter(|it| {
            matches!(it.event, Event::GateAnswered { .. }) && it.at > from && it.at <= to
        });
        assert_eq!(checks.count(), 1, "after {} %", pair[0].0);
    }
}

#[tokio::test]
async fn at_every_step_a_failure_or_a_command_takes_all_requests_back() {
    let (whole, _) = shift(fleet(), in_steps()).await;
    let begin = whole.events.first().expect("events").at;
    for (index, (percent, at)) in shares(&whole).into_iter().take(3).enumerate() {
        let middle = at.since(begin).as_secs() + 20;
        for (command, outcome) in
            [(Command::Rollback, Outcome::RolledBack), (Command::Abort, Outcome::Aborted)]
        {
            let (run, simulator) = meanwhile_spec(in_steps(), None, (middle, command)).await;
            assert_eq!(run.report.outcome, outcome, "{percent} %: {:?}", run.report);
            let so_far: Vec<u32> =
                shares(&whole).into_iter().map(|(percent, _)| percent).take(index + 1).collect();
            assert_eq!(percents(&run), [so_far, vec![0]].concat(), "{command:?} at {percent} %");
            let look = simulator.observe().await.expect("a look");
            assert_eq!(look.shifted, Some([0].into()));
        }
    }
    let gates = Gates { alarms: ["errors".to_owned()].into(), ..Gates::default() };
    let spec = RollingDeployment { gates, ..in_steps() };
    let (run, _) = shift(bad(Behaviour::AlarmOnRequests), spec).await;
    assert_eq!(run.report.outcome, Outcome::RolledBack, "{:?}", run.report);
    assert_eq!(percents(&run), [10, 0], "{:?}", done(&run));
}

#[tokio::test]
async fn interrupted_at_any_step_it_continues_with_the_same_share() {
    let (whole, _) = shift(fleet(), in_steps()).await;
    let begin = whole.events.first().expect("events").at;
    let times: Vec<u64> = shares(&whole).iter().map(|(_, at)| at.since(begin).as_secs()).collect();
    for at in times.iter().take(3).flat_map(|at| [at.saturating_sub(1), at + 1, at + 40]) {
        let (simulator, stop) = simulate_and_stop(second(fleet()), Stop::Now, seconds(at));
        let witness = Witness::new(simulator.clone(), in_steps()).await;
        let first = roll_until(witness.clone(), in_steps(), stop).await;
        assert_ne!(first.report.outcome, Outcome::Succeeded, "{at}: {:?}", first.report);
        let then = roll(witness.clone(), in_steps()).await;
        assert_eq!(then.report.outcome, Outcome::Succeeded, "{at}: {:?}", then.report);
        let all = [percents(&first), percents(&then)].concat();
        assert_eq!(all, [10, 30, 60, 100, 0], "{at}");
        // The new engine has seen nothing of the step that it finds.
        let evaluated = shares(&then).windows(2).all(|pair| {
            let step = in_steps().traffic_steps.into_iter().find(|it| it.percent == pair[0].0);
            step.is_none_or(|step| pair[1].1.since(pair[0].1) >= step.evaluation_time)
        });
        assert!(evaluated, "{at}: {:?}", shares(&then));
        assert_eq!(witness.broken(0), Vec::<String>::new(), "{at}");
        assert_in_primary(&simulator, "v2", 10).await;
    }
}

#[tokio::test]
async fn a_document_with_other_steps_continues_at_the_next_of_its_own() {
    for (steps, wanted) in [
        (vec![(20, 30), (80, 30)], vec![80, 100, 0]),
        (vec![(5, 30), (20, 30)], vec![20, 100, 0]),
        (vec![(30, 30)], vec![100, 0]),
    ] {
        let (simulator, stop) = simulate_and_stop(second(fleet()), Stop::Now, seconds(200));
        let first = roll_until(simulator.clone(), in_steps(), stop).await;
        assert_eq!(percents(&first), [10, 30], "{:?}", first.report);
        let spec = RollingDeployment { traffic_steps: traffic_steps(&steps), ..in_steps() };
        let then = roll(simulator.clone(), spec).await;
        assert_eq!(then.report.outcome, Outcome::Succeeded, "{:?}", then.report);
        assert_eq!(percents(&then), wanted, "{steps:?}");
    }
}
