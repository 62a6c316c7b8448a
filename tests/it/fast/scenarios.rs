//! Stories that users would tell, and every event they lead to: `tests/scenarios/NAME.json` and
//! `NAME.events`. A new file is a new test; `ROLLING_UPDATE=1 cargo test` writes what is told now.
//!
//! A story has a document's `deployment`, events of its fleet included, the `runs` one after the
//! other (`apply` or a word), a word that somebody says `meanwhile` at a second of the fleet's time,
//! and the `outcomes`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rolling::control::Word;
use rolling::engine::{Commanded, Rollout, Stop};
use rolling::event::Envelope;
use rolling_provider::ScheduledAction;
use rolling_simulator::{EPOCH, Simulator, VirtualClock};
use serde_json::Value;
use tokio::sync::watch;

use super::crash::say;
use crate::world::{caller, seconds};

#[tokio::test]
async fn every_story_is_told_as_it_was() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let listed = std::fs::read_dir(&folder).expect("stories");
    let mut stories: Vec<PathBuf> = listed
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    stories.sort();
    assert!(stories.len() >= 10, "{}", stories.len());
    let mut differs = Vec::new();
    for file in stories {
        let text = std::fs::read_to_string(&file).expect("a story");
        let story: Value = serde_json::from_str(&text).expect("JSON");
        let told = tell(&story).await;
        let golden = file.with_extension("events");
        if std::env::var_os("ROLLING_UPDATE").is_some() {
            std::fs::write(&golden, &told).expect("a golden file");
        }
        if std::fs::read_to_string(&golden).unwrap_or_default() != told {
            differs.push(golden.display().to_string());
        }
    }
    assert!(differs.is_empty(), "ROLLING_UPDATE=1 renews, then see the difference: {differs:?}");
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
        let known = |word: &Word| Some(word.name()) == meanwhile["say"].as_str();
        let word = Word::ALL.into_iter().find(known).expect("a word");
        let simulator = simulator.clone();
        clock.at(EPOCH + at, move || say(&simulator, word));
    }
    let mut told = String::new();
    let mut outcomes = Vec::new();
    for (number, run) in story["runs"].as_array().expect("runs").iter().enumerate() {
        writeln!(told, "# {}", run.as_str().expect("a word")).expect("text");
        let mut caller = caller();
        caller.rollout_id = format!("run-{number}");
        let rollout =
            Rollout::prepare(simulator.clone(), spec.clone(), &caller).await.expect("prepare");
        let (_keep, stop) = watch::channel(Stop::No);
        let mut show = |envelope: Envelope| {
            crate::wire::event(&serde_json::json!(envelope));
            writeln!(told, "{}", line(&envelope)).expect("text");
        };
        let report = match run.as_str() {
            Some("apply") => rollout.run(stop, &mut show).await,
            word => {
                let word = Word::ALL.into_iter().find(|known| Some(known.name()) == word);
                let done = rollout.command(word.expect("a word"), stop, &mut show).await;
                match done.expect("done") {
                    Commanded::Ran(report) => *report,
                    other => panic!("{other:?}"),
                }
            }
        };
        outcomes.push(Value::from(report.outcome.name()));
    }
    assert_eq!(Value::from(outcomes), story["outcomes"], "{}\n{told}", story["story"]);
    let look = simulator.truth().expect("the fleet");
    writeln!(
        told,
        "# the end: desired {}, maximum {}, suspended {:?}, template {}, {} launched, tags {:?}",
        look.desired(),
        look.max(),
        look.suspended,
        look.template.expect("one"),
        simulator.launched(),
        look.record.keys().collect::<Vec<_>>(),
    )
    .expect("text");
    told
}

/// One event: when, what, and everything it says.
fn line(envelope: &Envelope) -> String {
    let event = serde_json::to_value(&envelope.event).expect("JSON");
    let elapsed = envelope.at.since(EPOCH).as_millis();
    format!("{:>8}.{:03} {event}", elapsed / 1000, elapsed % 1000)
}
