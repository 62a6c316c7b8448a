//! `rolling status --follow` of a progress file that the Terraform provider writes.
//!
//! See [`crate::report::progress_file`]. It calls no cloud.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::arguments::{Arguments, OutputFormat, print_json};
use crate::document::Diagnostic;
use crate::host::process_context::ProcessContext;
use crate::host::stdout::print_line;
use crate::model::event::Outcome;
use crate::model::printable;
use crate::report::exit_codes::{FAILED, exit_code};
use crate::report::progress_file::header;

/// How often the file is checked for more lines.
const EVERY: Duration = Duration::from_millis(200);

/// Whether `file` is a progress file.
pub(crate) fn is_progress(file: &Path) -> bool {
    std::fs::read_to_string(file).is_ok_and(|text| header(&text).is_some())
}

/// Returns an error when the rollout in `file` needs environment variables that are not set here.
pub(super) fn lacks(file: &Path, context: &ProcessContext) -> Option<Diagnostic> {
    let text = std::fs::read_to_string(file).ok()?;
    let wanted = header(&text)?.environment;
    let missing: Vec<&str> =
        wanted.iter().map(String::as_str).filter(|name| !(context.is_set)(name)).collect();
    if missing.is_empty() {
        return None;
    }
    let names = missing.join(", ");
    let message = format!(
        "a command of the document needs {names}, which are secrets and not stored in the file"
    );
    let remedy = format!("set {names} in the environment and run the command again");
    Some(Diagnostic::error("", message).with_remedy(remedy))
}

/// Shows past and new events until the rollout ends. Returns the exit code of its outcome.
pub(crate) async fn follow(arguments: &Arguments, context: &ProcessContext) -> u8 {
    let opened = File::open(&arguments.file).map(BufReader::new);
    let mut reader = match opened {
        Ok(reader) => reader,
        Err(error) => return failed(arguments, &error),
    };
    let mut owner = None;
    let mut line = String::new();
    loop {
        // The writer may have written only a part of the line.
        match reader.read_line(&mut line) {
            Ok(0) => {}
            Ok(_) if !line.ends_with('\n') => continue,
            Ok(_) => {
                match &owner {
                    None => owner = header(&line).map(|header| header.owner),
                    Some(_) => {
                        if let Some(outcome) = show(arguments, &line) {
                            return exit_code(outcome);
                        }
                    }
                }
                line.clear();
                continue;
            }
            Err(error) => return failed(arguments, &error),
        }
        if owner.as_deref().is_some_and(context.is_gone) {
            let message = "the process that wrote this file has ended; the record on the target \
                           has the rollout's state, and apply continues it";
            print_line(&mut io::stderr(), message);
            return FAILED;
        }
        #[expect(clippy::disallowed_methods, reason = "the reader's time, not the fleet's")]
        tokio::time::sleep(EVERY).await;
    }
}

/// Shows an event. Returns the rollout's outcome when the event is the last one.
fn show(arguments: &Arguments, line: &str) -> Option<Outcome> {
    let mut event: Value = serde_json::from_str(line).unwrap_or_default();
    let text = event.as_object_mut().and_then(|event| event.remove("text"));
    match arguments.output {
        OutputFormat::Text => {
            let lines = text.as_ref().and_then(Value::as_array);
            for line in lines.into_iter().flatten().filter_map(Value::as_str) {
                print_line(&mut io::stdout(), &printable::line(line));
            }
        }
        OutputFormat::Json => print_json(&event),
    }
    let is_last = event["event"]["type"] == "finished";
    let outcome = || serde_json::from_value(event["event"]["report"]["outcome"].clone());
    is_last.then(|| outcome().unwrap_or(Outcome::Failed))
}

fn failed(arguments: &Arguments, error: &io::Error) -> u8 {
    print_line(
        &mut io::stderr(),
        &format!("error: failed to read {}: {error}", arguments.file.display()),
    );
    FAILED
}
