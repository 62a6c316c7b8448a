//! Stories of users, and every event they lead to: `tests/scenarios/NAME.json` and `NAME.events`.
//! Each is a test; `ROLLING_UPDATE=1 cargo test scenarios` writes the events of now.
//!
//! A story has a document's `deployment`, with the events of its fleet; the `runs` one after the
//! other (`apply` or a command); a command that somebody gives `meanwhile` at a second of the
//! fleet's time; and the `outcomes`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use rolling::engine::{ControlOutcome, HookDriver, HookMessage, Rollout, Stop};
use rolling::model::event::Envelope;
use rolling::model::spec::{Hook, HookPoint};
use rolling::record::command::Command;
use rolling_provider::ScheduledAction;
use rolling_simulator::{EPOCH, Simulator, VirtualClock};
use serde_json::Value;
use tokio::sync::watch;

use super::crash::leave_command;
use crate::world::{caller, seconds};

/// JSON no longer than this is on one line.
const SHORT: usize = 80;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// Makes a test of each.
macro_rules! stories {
    ($($name:ident)*) => {
        const STORIES: &[&str] = &[$(stringify!($name)),*];
        $(
            #[tokio::test]
            async fn $name() {
                matches_its_golden(stringify!($name)).await;
            }
        )*
    };
}

stories! {
    abort
    additional_batch
    an_alarm
    bad_revision
    bad_revision_is_kept
    bad_revision_waits_for_a_decision
    checkpoint
    continuous
    deregistered_by_somebody
    group_replaces_surplus
    group_replaces_victims
    hooks_are_completed
    hooks_hold
    immutable
    launches_show_late
    launches_something_else
    no_capacity
    one_of_two_fails
    pause_and_resume
    pause_between_batches
    protected_is_waited_for
    reclaimed_meanwhile
    rescaled_meanwhile
    rolling
    rollout_hooks
    scheduled_action_falls_due
    template_is_set_back
    terminated_by_somebody
    throttled
}

#[test]
fn every_story_in_the_folder_has_a_test() {
    let files = std::fs::read_dir(folder()).expect("stories").map(|entry| entry.expect("a file"));
    let named = files.map(|file| file.path().file_stem().expect("a name").display().to_string());
    let found: BTreeSet<String> = named.collect();
    let tested: BTreeSet<String> = STORIES.iter().map(ToString::to_string).collect();
    assert_eq!(found, tested, "add a line for each new file to `stories!`");
}

async fn matches_its_golden(name: &str) {
    let file = folder().join(name).with_extension("json");
    let text = std::fs::read_to_string(&file).expect("a story");
    let story: Value = serde_json::from_str(&text).expect("JSON");
    let events = tell(&story).await;
    let golden = file.with_extension("events");
    if std::env::var_os("ROLLING_UPDATE").is_some() {
        std::fs::write(&golden, &events).expect("a golden file");
    }
    let known = std::fs::read_to_string(&golden).unwrap_or_default();
    let differs = events.lines().zip(known.lines()).position(|(event, known)| event != known);
    let line = differs.unwrap_or_else(|| events.lines().count().min(known.lines().count())) + 1;
    assert!(
        known == events,
        "tests/scenarios/{name}.events differs from line {line}: ROLLING_UPDATE=1 renews it, then \
         see the difference"
    );
}

/// Hooks that take no time. In the first run the one before instances are deregistered fails.
#[derive(Debug)]
struct Fails {
    run: usize,
}

#[async_trait]
impl HookDriver for Fails {
    async fn attempt(&self, _: &Hook, message: &HookMessage) -> Result<String, String> {
        match self.run == 0 && message.hook == HookPoint::BeforeDeregister {
            true => Err("exit code 1: the node has pods that nobody may evict".into()),
            false => Ok("exit code 0".into()),
        }
    }
}

async fn tell(story: &Value) -> String {
    let (config, spec) = rolling::document::deployment(&story["deployment"], "").expect("valid");
    let fleet = config.simulated_fleet.as_ref().expect("a simulated fleet");
    let mut fleet = rolling::providers::fleet_config(fleet, false);
    if let Some(due) = story["schedule"].as_object() {
        let number = |name: &str| due[name].as_u64().expect("a number");
        fleet.schedule.push(ScheduledAction {
            name: "evening".into(),
            at: EPOCH + seconds(number("at")),
            min: None,
            max: Some(u32::try_from(number("max")).expect("a size")),
            desired: Some(u32::try_from(number("desired")).expect("a size")),
        });
    }
    let clock = Arc::new(VirtualClock::new(EPOCH));
    let simulator = Arc::new(Simulator::in_memory(fleet, clock.clone()));
    if let Some(meanwhile) = story["meanwhile"].as_object() {
        let at = seconds(meanwhile["at"].as_u64().expect("a second"));
        let known = |command: &Command| Some(command.name()) == meanwhile["say"].as_str();
        let command = Command::ALL.into_iter().find(known).expect("a command");
        let simulator = simulator.clone();
        clock.at(EPOCH + at, move || leave_command(&simulator, command));
    }
    let mut text = String::new();
    let mut outcomes = Vec::new();
    for (number, run) in story["runs"].as_array().expect("runs").iter().enumerate() {
        writeln!(text, "# {}", run.as_str().expect("a command")).expect("text");
        let mut caller = caller();
        caller.rollout_id = format!("run-{number}");
        caller.hook_driver = Some(Arc::new(Fails { run: number }));
        let rollout =
            Rollout::prepare(simulator.clone(), spec.clone(), &caller).await.expect("prepare");
        let (_keep, stop) = watch::channel(Stop::No);
        let mut show = |envelope: Envelope| {
            crate::wire::event(&serde_json::json!(envelope));
            writeln!(text, "{}", line(&envelope)).expect("text");
        };
        let report = match run.as_str() {
            Some("apply") => rollout.run(stop, &mut show).await,
            command => {
                let command = Command::ALL.into_iter().find(|known| Some(known.name()) == command);
                let done = rollout.command(command.expect("a command"), stop, &mut show).await;
                match done.expect("done") {
                    ControlOutcome::RanHere(report) => *report,
                    other => panic!("{other:?}"),
                }
            }
        };
        outcomes.push(Value::from(report.outcome.name()));
    }
    assert_eq!(Value::from(outcomes), story["outcomes"], "{}\n{text}", story["story"]);
    let look = simulator.truth().expect("the fleet");
    writeln!(
        text,
        "# the end: desired {}, maximum {}, suspended {:?}, template {}, {} launched, tags {:?}",
        look.desired(),
        look.max(),
        look.suspended,
        look.template.expect("one"),
        simulator.launched(),
        look.record.keys().collect::<Vec<_>>(),
    )
    .expect("text");
    text
}

/// One event: its time, its kind, and below that all of its fields.
fn line(envelope: &Envelope) -> String {
    let mut event = serde_json::to_value(&envelope.event).expect("JSON");
    let elapsed = envelope.at.since(EPOCH).as_millis();
    let kind = event["type"].take();
    let kind = kind.as_str().expect("a type");
    event.as_object_mut().expect("an event").remove("type");
    format!("{:>8}.{:03} {kind}{}", elapsed / 1000, elapsed % 1000, below(&event, 14))
}

/// A value, on the same line if it is short, else indented by `by`.
fn below(value: &Value, by: usize) -> String {
    let inline = value.to_string();
    match value {
        Value::String(text) => format!(" {text}"),
        Value::Array(items) if inline.len() > SHORT => {
            let text = items.iter().map(|item| format!("\n{:by$}-{}", "", below(item, by + 2)));
            text.collect()
        }
        Value::Object(members) if inline.len() > SHORT || by == 14 => {
            let text = |(name, value): (&String, &Value)| {
                format!("\n{:by$}{name}:{}", "", below(value, by + 2))
            };
            members.iter().map(text).collect()
        }
        _ => format!(" {inline}"),
    }
}
