//! What must hold for any input. `cargo fuzz` runs it for long, the tests for a moment.

use std::io::BufReader;

use rolling::deployment::resource_state;
use rolling::document::{self, Document};
use rolling::frontends::json_rpc::transport::{Inbound, read_line};
use rolling::frontends::json_rpc::wire::Request;
use serde_json::Value;

/// Reads lines until the end.
fn all(data: &[u8], at_once: usize, limit: usize) -> Vec<Inbound> {
    let mut reader = BufReader::with_capacity(at_once, data);
    let mut found = Vec::new();
    loop {
        match read_line(&mut reader, limit) {
            Inbound::End => return found,
            line => found.push(line),
        }
    }
}

/// Checks that lines are the same however their bytes arrive, that none is longer than the limit,
/// and that any line is a request or gets an answer.
pub fn lines(data: &[u8]) {
    let limit = 4 + data.first().copied().unwrap_or_default() as usize;
    let whole = all(data, 4096, limit);
    for at_once in [1, 2, 7] {
        assert_eq!(all(data, at_once, limit), whole);
    }
    let newlines = data.iter().filter(|byte| **byte == b'\n').count();
    assert!(whole.len() == newlines || whole.len() == newlines + 1);
    for line in whole {
        let Inbound::Line(line) = line else { continue };
        assert!(line.len() <= limit && !line.contains(&b'\n'));
        if let Err((id, error)) = Request::parse(&line) {
            assert!(id.is_null() || id.is_string() || id.is_number());
            assert!(error.code < 0 && !error.message.is_empty());
        }
    }
    // The whole input as one line, too.
    Request::parse(data).map(|_| ()).unwrap_or_default();
}

/// Checks that a document is read, or that every finding has a place and a text.
///
/// A second read must find the same.
pub fn document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match (Document::parse(text), Document::parse(text)) {
        (Ok(once), Ok(again)) => assert_eq!(once.resources.len(), again.resources.len()),
        (Err(once), Err(again)) => {
            assert!(!once.is_empty());
            assert_eq!(once, again);
            for finding in once {
                assert!(finding.pointer.is_empty() || finding.pointer.starts_with('/'));
                assert!(!finding.summary.is_empty());
            }
        }
        _ => panic!("read differently the second time"),
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    let all_known = document::partial(&value, &[]);
    assert_eq!(all_known.is_empty(), document::deployment(&value, "").is_ok());
    let unknown = ["/simulated_fleet/revision", "/auto_scaling_group/launch_template/version"];
    document::partial(&value, &unknown.map(String::from));
}

/// Checks that a state that was brought up to date is up to date.
pub fn state(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    let version = value["x"].as_u64().unwrap_or(1);
    if let Ok((upgraded, warnings)) = rolling::deployment::upgrade(version, &value) {
        assert!(warnings.iter().all(|warning| warning.pointer.starts_with('/')));
        let (again, nothing) =
            rolling::deployment::upgrade(1, &upgraded).expect("what we wrote ourselves");
        assert_eq!((&again, nothing.len()), (&upgraded, 0));
        let config = resource_state::config_of(&upgraded);
        resource_state::plan_hash(&config, &"v1".into());
    }
}
