//! `docs/PROTOCOL.md` is the contract: its session is replayed, message by message.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::process::rolling;
use crate::wire;

/// Stands for anything, as a value, as the last element of a list, or as a key for all others.
const ANYTHING: &str = "…";

fn page() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PROTOCOL.md");
    std::fs::read_to_string(file).expect("the page")
}

/// Returns where `value` differs from what the page shows, as a JSON Pointer.
fn differs(shown: &Value, value: &Value, pointer: &str) -> Option<String> {
    match (shown, value) {
        (Value::String(text), _) if text == ANYTHING => None,
        (Value::Object(shown), Value::Object(value)) => {
            let more = shown.contains_key(ANYTHING);
            let unknown = value.keys().find(|key| !more && !shown.contains_key(*key));
            if let Some(key) = unknown {
                return Some(format!("{pointer}/{key} is not shown"));
            }
            shown.iter().filter(|(key, _)| *key != ANYTHING).find_map(|(key, shown)| {
                let place = format!("{pointer}/{key}");
                match value.get(key) {
                    Some(value) => differs(shown, value, &place),
                    None => Some(format!("{place} is missing")),
                }
            })
        }
        (Value::Array(shown), Value::Array(value)) => {
            let more = shown.last().is_some_and(|last| last == ANYTHING);
            let shown = &shown[..shown.len() - usize::from(more)];
            if value.len() < shown.len() || (!more && value.len() > shown.len()) {
                return Some(format!("{pointer} has {} elements", value.len()));
            }
            let mut pairs = shown.iter().zip(value).enumerate();
            pairs.find_map(|(at, (shown, value))| differs(shown, value, &format!("{pointer}/{at}")))
        }
        _ => (shown != value).then(|| format!("{pointer} is {value}, shown is {shown}")),
    }
}

#[test]
fn the_session_of_the_page_goes_as_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = rolling()
        .arg("serve")
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let (mut sent, mut received) = (String::new(), Vec::new());
    let page = page();
    let lines = page
        .split("```jsonrpc\n")
        .skip(1)
        .flat_map(|block| block.split("\n```").next().expect("an end").lines());
    for line in lines {
        if let Some(request) = line.strip_prefix("-> ") {
            sent.push_str(request);
            sent.push('\n');
            writeln!(stdin, "{request}").expect("the program reads");
            continue;
        }
        let shown = line.strip_prefix("<- ").unwrap_or_else(|| panic!("neither -> nor <-: {line}"));
        let shown: Value = serde_json::from_str(shown).unwrap_or_else(|_| panic!("{line}"));
        // There may be more progress than the page shows.
        let message = loop {
            let line = out.next().expect("an answer").expect("UTF-8");
            let message: Value = serde_json::from_str(&line).expect("JSON");
            received.push(message.clone());
            if message.get("method") == shown.get("method") {
                break message;
            }
        };
        if let Some(place) = differs(&shown, &message, "") {
            panic!("{place}\nshown: {shown}\ncame:  {message}");
        }
    }
    assert_eq!(child.wait().expect("an end").code(), Some(0));
    wire::conversation(&sent, &received);
}

#[test]
fn the_command_of_the_page_can_be_typed() {
    let page = page();
    let block = page.split("```sh\n").nth(1).expect("a command");
    let command = block.split("\n```").next().expect("an end");
    let folder = tempfile::tempdir().expect("a folder");
    let program = Path::new(env!("CARGO_BIN_EXE_rolling")).parent().expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let ran = std::process::Command::new("sh")
        .args(["-c", command])
        .current_dir(folder.path())
        .env("PATH", format!("{}:{path}", program.display()))
        .output()
        .expect("a shell");
    let text = String::from_utf8(ran.stdout).expect("UTF-8");
    let answers: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), 2, "{text}");
    assert_eq!(answers[1]["result"]["action"], "create");
}

#[test]
fn the_page_shows_every_method_and_every_error() {
    let page = page();
    let document = rolling::frontends::json_rpc::openrpc();
    for method in document["methods"].as_array().expect("methods") {
        let name = method["name"].as_str().expect("a name");
        assert!(page.contains(&format!("| `{name}` |")), "{name} is not in a table");
        let is_request = method.get("result").is_some();
        let sent = format!("\"method\":\"{name}\"");
        assert!(!is_request || page.contains(&sent), "{name} has no example");
        for param in method["params"].as_array().expect("parameters") {
            let param = param["name"].as_str().expect("a name");
            let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            assert!(row.expect("a row").contains(param), "{param} of {name} is not in the table");
        }
    }
    for (name, error) in document["components"]["errors"].as_object().expect("errors") {
        let row = format!("| {} | {name} |", error["code"]);
        assert!(page.contains(&row), "no row {row}");
    }
}
