//! `rolling pause|resume|abort|rollback`: what is wanted of a rollout that another process is, or
//! was, at work on.

use std::io;

use serde_json::json;

use super::apply::{exit_code, listen, shower};
use super::{Edge, FAILED, Input, Output, Purpose, prepare_all, print_json, refuse, say, text};
use crate::control::Word;
use crate::document::{Diagnostic, PROVIDER};
use crate::engine::Commanded;

/// An engine at work that obeys is the one to exit with what becomes of the rollout; here that is
/// success. What is carried out here exits as `apply` does.
pub(super) async fn command(word: Word, input: &Input, edge: &Edge) -> u8 {
    let prepared = match prepare_all(input, edge, Purpose::Tell).await {
        Ok(prepared) => prepared,
        Err(found) => return refuse(input, &found),
    };
    let Some((stop, interrupt)) = listen() else { return FAILED };
    let mut code = 0;
    for (resource, rollout) in prepared {
        let name = &resource.name;
        let mut show = shower(input, name, &rollout);
        let done = rollout.command(word, stop.clone(), &mut |envelope| show(&envelope)).await;
        drop(show);
        let commanded = match done {
            Ok(commanded) => commanded,
            Err(error) => {
                let found = Diagnostic::from_provider(&error, &resource.pointer, PROVIDER);
                return refuse(input, &[found]);
            }
        };
        let (words, done) = match commanded {
            Commanded::Idle(words) => (format!("{name}: {words}"), 0),
            Commanded::Heard(owner, Some(record)) => {
                let (id, status) = (&record.id, record.status());
                (format!("{name}: heard by {owner}; rollout {id} is {status}"), 0)
            }
            Commanded::Heard(owner, None) => {
                (format!("{name}: {owner} has ended the rollout meanwhile"), 0)
            }
            Commanded::Unheard(owner) => {
                (format!("{name}: {owner} is at work and does not react; try again"), FAILED)
            }
            Commanded::Left(owner) => {
                let words = format!(
                    "{name}: the word is left for {owner}, which has not reacted yet; rolling \
                     status tells whether it has"
                );
                (words, FAILED)
            }
            Commanded::Ran(report) => {
                let pauses = word == Word::Pause || word == Word::Abort;
                let as_wanted = pauses && exit_code(&report) == super::ABORTED;
                let goes_back = word == Word::Rollback && exit_code(&report) == super::ROLLED_BACK;
                let code = if as_wanted || goes_back { 0 } else { exit_code(&report) };
                (text::report(name, &report), code)
            }
        };
        match input.output {
            Output::Text => say(&mut io::stdout(), &words),
            Output::Json => print_json(&json!({ "resource": name, "word": word, "said": words })),
        }
        if let Some(interrupt) = *interrupt.borrow() {
            return interrupt.exit_code();
        }
        code = code.max(done);
    }
    code
}
