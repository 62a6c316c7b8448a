//! Escapes the text of events: none of it controls a terminal or forges a line.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rolling_provider::{Action, InstanceId, Revision, TargetGroupId, Timestamp};
use serde_json::{Value, json};

use super::log_lines::LogLines;
use super::text;
use crate::document::Diagnostic;
use crate::model::event::{
    DelegatedRolloutReport, DelegatedRolloutStep, Envelope, Event, HookNext, InstanceReport,
    Outcome, Report,
};
use crate::model::preview::{BatchPreview, Borrowing, Preview};
use crate::model::spec::HookPoint;
use crate::model::wait::{Wait, WaitKind};

fn preview(text: &str, changes: bool) -> Preview {
    let group = (TargetGroupId::new(text), text.to_owned());
    Preview {
        changes,
        target: text.into(),
        kind: "simulated fleet",
        from: Some(Revision::new(text)),
        to: Revision::new(text),
        restart: Some(text.into()),
        target_groups: [group].into(),
        size: 4,
        policy: "rolling",
        continuous: false,
        delegated_rollout: None,
        controller: vec![text.into()],
        batches: vec![BatchPreview {
            launches: 0,
            replaces: vec![InstanceId::new(text)],
            at_most: None,
        }],
        checkpoints: vec![50],
        requests: Some(text.into()),
        hooks: vec![text.into()],
        gates: vec![text.into()],
        rollout_hooks: vec![text.into()],
        floor: 3,
        units: None,
        sets_template: None,
        ceiling: 4,
        borrows: vec![Borrowing { what: "maximum size", becomes: text.into() }],
        expected_seconds: 60,
        boot_assumed: false,
        at_worst: None,
        may_wait: vec![text.into()],
        left_alone: vec![InstanceId::new(text)],
        at_work: Some(text.into()),
        paused: false,
        command: None,
        warnings: vec![text.into()],
    }
}

fn report(text: &str, outcome: Outcome, refreshed: bool) -> Report {
    let revision = Revision::new(text);
    let delegated_rollout = refreshed.then(|| DelegatedRolloutReport {
        kind: "instance refresh",
        id: text.into(),
        status: text.into(),
        reason: Some(text.into()),
        percent: 50,
        to: Some(revision.clone()),
        takes_back: Some(revision.clone()),
        still_running: true,
    });
    let instance = InstanceReport {
        id: InstanceId::new(text),
        revision: Some(revision.clone()),
        zone: text.into(),
        serves: false,
        trouble: Some(text.into()),
    };
    Report {
        outcome,
        reason: Some(text.into()),
        cause: None,
        target: text.into(),
        to: revision.clone(),
        completed: Some(revision.clone()),
        previous: Some(revision),
        retained_failed: vec![InstanceId::new(text)],
        batches: 1,
        delegated_rollout,
        size: 4,
        instances: vec![instance],
        left_alone: vec![InstanceId::new(text)],
        to_restart: 1,
        failed_hooks: vec![text.into()],
        changed_by_others: vec![text.into()],
        restored: Some(Revision::new(text)),
        borrowed: vec![text.into()],
        overtaken: false,
        interrupted: false,
        elapsed_ms: 1000,
        ticks: 1,
    }
}

/// Returns an event of every kind, with `text` in each of its strings.
fn events(text: &str) -> Vec<Event> {
    let (instances, to) = (vec![InstanceId::new(text)], Revision::new(text));
    let action = Action::Deregister {
        target_group: TargetGroupId::new(text),
        instances: instances.iter().cloned().collect(),
    };
    let launch = Action::Launch {
        revision: to.clone(),
        source_instance: InstanceId::new(text),
        token: text.into(),
    };
    let wait = Wait {
        kind: WaitKind::Launch,
        instances: instances.clone(),
        detail: Some(text.into()),
        deadline: Timestamp(0),
    };
    let report = report(text, Outcome::Failed, true);
    vec![
        Event::Started { preview: preview(text, true) },
        Event::BatchStarted {
            number: 1,
            launches: 0,
            instances: instances.clone(),
            removed: false,
            at_most: Some(2),
        },
        Event::Replacing { launches: 0, instances, removed: true },
        Event::RollingBack { reason: text.into(), to, asked: false },
        Event::Acted { action: launch },
        Event::Waiting { on: vec![wait] },
        Event::Progressed { updated: 1, serving: 3, size: 4 },
        Event::BatchFinished { number: 1 },
        Event::GateAnswered { gate: text.into(), passed: false, message: text.into() },
        Event::HookStarted {
            hook: HookPoint::BeforeDeregister,
            id: text.into(),
            call: text.into(),
            instances: vec![InstanceId::new(text)],
        },
        Event::HookFinished {
            hook: HookPoint::BeforeDeregister,
            id: text.into(),
            passed: false,
            message: text.into(),
            next: HookNext::Fail,
        },
        Event::DelegatedRollout {
            kind: "instance refresh",
            id: text.into(),
            step: DelegatedRolloutStep::Started,
        },
        Event::Warned { warning: text.into() },
        Event::Retrying { error: text.into() },
        Event::Refused { action, error: text.into() },
        Event::Halting { reason: text.into(), until: Some(Timestamp(60_000)) },
        Event::Finished { report },
    ]
}

/// Returns the lines of every text that is made of such events.
fn texts(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    let mut log_lines = LogLines::default();
    for (index, event) in (0..).zip(events(text)) {
        let envelope = Envelope { index, at: Timestamp(0), rollout: text.into(), event };
        all.insert(format!("event {index}"), log_lines.lines(&envelope));
    }
    let mut lines = |name: String, text: String| {
        all.insert(name, text.split('\n').map(str::to_owned).collect());
    };
    for changes in [true, false] {
        lines(format!("plan {changes}"), text::plan(text, &preview(text, changes)));
    }
    lines("nothing to do".into(), text::nothing_to_do(text, &preview(text, false)));
    lines("not begun".into(), text::not_begun(text, text, text));
    let outcomes = [Outcome::Succeeded, Outcome::RolledBack, Outcome::Failed, Outcome::Paused];
    for outcome in outcomes.into_iter().chain([Outcome::Aborted, Outcome::Locked]) {
        for refreshed in [true, false] {
            let report = report(text, outcome, refreshed);
            lines(format!("report {outcome:?} {refreshed}"), text::report(text, &report));
        }
    }
    lines("finding".into(), Diagnostic::error(text, text).with_remedy(text).to_string());
    all
}

/// Whether a character does something to a terminal: C0, C1, separators and directions of text.
fn is_harmful(c: char) -> bool {
    c.is_control() || "\u{2028}\u{2029}\u{202e}\u{2066}\u{61c}\u{200f}".contains(c)
}

fn hostile() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("\u{1b}]52;c;eA==\u{7}".to_owned()),
        Just("\nweb: succeeded\r".to_owned()),
        Just("\u{9b}2J\u{202e}\u{2066}\u{2028}\u{2029}\u{61c}\u{200f}".to_owned()),
        prop::char::range('\0', '\u{9f}').prop_map(String::from),
        "[a-z é]{0,8}",
    ];
    // An empty pointer or id would be left out, and so would its line.
    prop::collection::vec(part, 1..6).prop_map(|parts| format!("x{}", parts.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_of_an_event_commands_a_terminal_or_forges_a_line(text in hostile()) {
        let harmless = texts("x");
        for (name, lines) in texts(&text) {
            prop_assert_eq!(lines.len(), harmless[&name].len(), "{}: {:?}", name, lines);
            for line in &lines {
                prop_assert!(!line.contains(is_harmful), "{}: {:?}", name, line);
            }
        }
        // JSON keeps the text as it is.
        let event = json!(Event::Warned { warning: text.clone() });
        prop_assert_eq!(&event["warning"], &json!(text));
    }
}

/// The events above leave out no string of an event, and no kind of event.
#[test]
fn every_string_of_an_event_is_tried() {
    fn walk(value: &Value, at: &str) {
        match value {
            Value::Object(object) => object.iter().for_each(|(k, v)| walk(v, &format!("{at}/{k}"))),
            Value::Array(items) => items.iter().for_each(|item| walk(item, at)),
            Value::String(text) => {
                let ours = [
                    "/type",
                    "/kind",
                    "/policy",
                    "/what",
                    "/outcome",
                    "/step",
                    "/action/action",
                    "/hook",
                    "/next",
                ];
                assert!(text == "\u{7}" || ours.iter().any(|end| at.ends_with(end)), "{at}");
            }
            _ => {}
        }
    }
    let all = json!(events("\u{7}"));
    walk(&all, "");
    let tried: Vec<&Value> = all.as_array().expect("events").iter().map(|e| &e["type"]).collect();
    let schema = crate::deployment::schema::of::<Event>();
    let kinds = schema["oneOf"].as_array().expect("kinds").iter();
    let kinds: Vec<&Value> = kinds.map(|kind| &kind["properties"]["type"]["const"]).collect();
    assert_eq!(tried, kinds);
}
