//! What is said of a rollout that was paused and resumed: why it ended, once, and what to do.

use std::sync::Arc;

use rolling::engine::{Rollout, Stop};
use rolling::model::event::{Outcome, Report};
use rolling::model::spec::{BatchSize, Checkpoint, Expiry, OnFailure, Policy, RollingDeployment};
use rolling::record::Record;
use rolling::record::command::Command;
use rolling_provider::{Clock as _, Fleet};
use rolling_simulator::{Behaviour, EPOCH, FleetConfig, Simulator, VirtualClock};
use serde_json::json;
use tokio::sync::watch;

use crate::fast::crash::{leave_command, resume};
use crate::fast::properties::{block_on, look};
use crate::process::{rolling, run, write};
use crate::world::{bad, caller, fleet, roll, seconds, spec, thirty_percent};

/// Rolls to a revision that never becomes healthy, with a pause after this many seconds, and resumes
/// it as often as it pauses, `resumes` times at most.
fn paused_at(at: u64, on_failure: OnFailure, resumes: u32) -> (u32, Report, Arc<Simulator>) {
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let config = FleetConfig { instances: 4, ..bad(Behaviour::Unhealthy) };
    let simulator = Arc::new(Simulator::in_memory(config, clock.clone()));
    let pausing = Arc::clone(&simulator);
    clock.at(EPOCH + seconds(at), move || leave_command(&pausing, Command::Pause));
    let spec = RollingDeployment { on_failure, ..spec(Policy::Rolling(BatchSize::Fixed(1))) };
    let fleet: Arc<dyn Fleet> = Arc::clone(&simulator) as _;
    let mut report = block_on(roll(Arc::clone(&fleet), spec.clone())).report;
    let mut resumed = 0;
    while report.outcome == Outcome::Paused && resumed < resumes {
        report = block_on(resume(Arc::clone(&fleet), &spec));
        resumed += 1;
    }
    (resumed, report, simulator)
}

#[test]
fn a_rollback_that_was_paused_and_resumed_says_why_it_was_begun_and_no_more() {
    let mut in_rollback = 0;
    for at in (5..900).step_by(15) {
        let (resumed, report, _) = paused_at(at, OnFailure::Rollback, 3);
        assert_eq!(report.outcome, Outcome::RolledBack, "{at} s: {report:?}");
        let why = report.reason.as_deref().expect("a reason");
        assert!(why.contains(" of v2 failed: "), "{at} s: {why}");
        assert!(!why.contains("not complete") && !why.contains("paused"), "{at} s: {why}");
        in_rollback += resumed;
    }
    assert!(in_rollback > 10, "pauses came in time: {in_rollback}");
}

#[test]
fn a_failure_that_pauses_is_told_once_however_often_it_is_resumed() {
    let (resumed, report, _) = paused_at(100_000, OnFailure::Pause, 3);
    assert_eq!((resumed, report.outcome), (3, Outcome::Paused), "{report:?}");
    let why = report.reason.as_deref().expect("a reason");
    assert_eq!(why.matches(" failed: ").count(), 1, "{why}");
    let named = why.strip_prefix("instance ").and_then(|why| why.split(' ').next());
    let newest = report.instances.iter().map(|instance| instance.id.as_str()).max();
    assert_eq!(named, newest, "the one that failed last: {why}");
}

#[test]
fn a_rollback_is_named_where_all_run_the_revision_that_is_not_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let document = json!({
        "provider": { "rolling": { "simulator": { "speed": 500 } } },
        "resource": { "rolling_deployment": { "web": {
            "policy": "all_at_once", "on_failure": "stop",
            "simulated_fleet": { "name": "web", "revision": "v2", "instances": 2 },
            "gates": { "command": { "run": ["false"], "timeout": "1s" } },
        }}},
    });
    let file = write(folder.path(), &document);
    let ran = run(rolling().current_dir(folder.path()).arg("apply").arg(&file));
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("completed  v1, to which a rollback returns"), "{ran:?}");
    assert!(ran.stdout.contains("`rolling rollback` goes back"), "{ran:?}");
    let back = run(rolling().current_dir(folder.path()).arg("rollback").arg(&file));
    assert_eq!(back.code, 0, "{back:?}");
    assert!(back.stdout.contains("2 instances on v1"), "{back:?}");
}

#[test]
fn what_continues_a_rollback_does_not_claim_to_replace_it() {
    let rolls_back = |simulator: &Arc<Simulator>| {
        let record = look(simulator).record;
        Record::from_tags(&record).expect("a record").is_some_and(|record| record.rolls_back)
    };
    let found = (5..900).step_by(15).map(|at| paused_at(at, OnFailure::Rollback, 0).2);
    let simulator = found.into_iter().find(rolls_back).expect("a pause of a rollback");
    simulator.retarget("v1".into());
    let fleet: Arc<dyn Fleet> = simulator;
    let spec = spec(Policy::Rolling(BatchSize::Fixed(1)));
    let rollout = block_on(Rollout::look_up(fleet, spec, &caller())).expect("a rollout");
    let warnings = rollout.preview().warnings;
    assert!(warnings.iter().any(|it| it.starts_with("continues to roll back")), "{warnings:?}");
    assert!(!warnings.iter().any(|it| it.starts_with("replaces")), "{warnings:?}");
}

/// The time of a decision counts from when the checkpoint was reached, also while nobody is at work.
#[test]
fn a_plan_says_how_much_of_the_time_to_decide_is_left() {
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let simulator = Arc::new(Simulator::in_memory(fleet(), clock.clone()));
    let expires = Some(Expiry { after: seconds(3600), rolls_back: true });
    let checkpoints = vec![Checkpoint { percentage: 30, pause: None, expires }];
    let spec = RollingDeployment { checkpoints, ..spec(thirty_percent()) };
    let look_up = || {
        let fleet: Arc<dyn Fleet> = Arc::clone(&simulator) as _;
        block_on(Rollout::look_up(fleet, spec.clone(), &caller())).expect("a rollout")
    };
    let told = || look_up().preview().may_wait.join("; ");
    assert_eq!(told(), "up to 1h at 30 % for a decision, then it rolls back");
    let (send, stop) = watch::channel(Stop::No);
    clock.at(EPOCH + seconds(1200), move || {
        send.send(Stop::Gracefully).expect("the rollout listens");
    });
    let report = block_on(look_up().run(stop, &mut |_| ()));
    assert!(report.interrupted, "{report:?}");
    let reached = Record::from_tags(&look(&simulator).record).expect("one").expect("a record");
    let reached = reached.reached.expect("it stands at the checkpoint").at;
    block_on(clock.sleep((reached + seconds(3000)).since(clock.now())));
    assert_eq!(told(), "up to 10m at 30 % for a decision, then it rolls back");
    block_on(clock.sleep(seconds(600)));
    assert_eq!(told(), "at 30 % it rolls back at once: nobody has decided in time");
}

/// An apply leaves a paused rollout as it is, so neither plan nor apply promises batches.
#[test]
fn a_paused_rollout_promises_nothing_before_somebody_decides() {
    let (_, report, simulator) = paused_at(100_000, OnFailure::Pause, 0);
    assert_eq!(report.outcome, Outcome::Paused, "{report:?}");
    let fleet: Arc<dyn Fleet> = simulator;
    let spec = spec(Policy::Rolling(BatchSize::Fixed(1)));
    let found = block_on(Rollout::look_up(Arc::clone(&fleet), spec.clone(), &caller()));
    let preview = found.expect("a rollout").preview();
    assert!(preview.changes && preview.paused, "{preview:?}");
    assert!(preview.batches.is_empty() && preview.sets_template.is_none(), "{preview:?}");
    assert_eq!((preview.expected_seconds, preview.may_wait.len()), (0, 0), "{preview:?}");
    let told = rolling::report::text::plan("web", &preview);
    let (first, remaining) = told.split_once('\n').expect("lines");
    let wanted =
        "web: the rollout of simulated fleet web to v2 is paused, and an apply leaves it so";
    assert_eq!(first, wanted);
    assert!(remaining.lines().all(|line| line.starts_with("  warning: ")), "{told}");
    assert!(remaining.contains("apply does not resume it, resume does"), "{told}");
    let begun = Arc::new(std::sync::Mutex::new(Vec::new()));
    let events = Arc::clone(&begun);
    let rollout = block_on(Rollout::look_up(fleet, spec, &caller())).expect("a rollout");
    let (_send, stop) = watch::channel(Stop::No);
    let again = block_on(rollout.run(stop, &mut |envelope| {
        events.lock().expect("events").push(format!("{:?}", envelope.event));
    }));
    assert_eq!(again.outcome, Outcome::Paused);
    let begun = begun.lock().expect("events").join("\n");
    assert!(!begun.contains("BatchStarted") && !begun.contains("Acted"), "{begun}");
}
