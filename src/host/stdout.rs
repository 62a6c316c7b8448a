//! Standard output: writes a line, or reserves all of it for a protocol.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};

use crate::model::printable;

/// Whether something could not be written although there was a reader.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Writes text as a line, or as lines. A reader that is gone, or a full disk, does not change what is
/// done to a fleet; `has_failed` tells of the latter.
pub fn print_line(to: &mut dyn Write, text: &str) {
    write_line(to, &printable::lines(text));
}

/// Writes JSON as a line.
pub(crate) fn print_json_line(to: &mut dyn Write, json: &dyn Display) {
    write_line(to, &escaped(&json.to_string()));
}

/// Returns JSON without raw control characters. JSON itself escapes only those below U+0020, and
/// terminals obey others, too.
fn escaped(json: &str) -> String {
    let is_raw = |c: char| ('\u{7f}'..='\u{9f}').contains(&c);
    let shown = |c: char| if is_raw(c) { format!("\\u{:04x}", u32::from(c)) } else { c.into() };
    if json.contains(is_raw) { json.chars().map(shown).collect() } else { json.to_owned() }
}

fn write_line(to: &mut dyn Write, line: &str) {
    note(&writeln!(to, "{line}").and_then(|()| to.flush()));
}

/// Notes whether something could not be written although there was a reader.
pub(crate) fn note(written: &io::Result<()>) {
    let error = written.as_ref().err();
    if error.is_some_and(|error| error.kind() != io::ErrorKind::BrokenPipe) {
        FAILED.store(true, Ordering::Relaxed);
    }
}

/// Whether a line could not be written although there was a reader: a disk is full, for example.
pub(crate) fn has_failed() -> bool {
    FAILED.load(Ordering::Relaxed)
}

/// Reserves standard output for the protocol: from here on, whatever else is written to file
/// descriptor 1 goes to standard error.
///
/// # Errors
/// The error of the system.
pub(crate) fn claim_stdout() -> io::Result<File> {
    let private = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(File::from(private))
}

/// Returns a receiver that completes when no process holds the other end of `out` any more, also
/// while nothing is written.
///
/// # Errors
/// The error of the system.
pub(crate) fn watch_reader(out: &File) -> io::Result<tokio::sync::oneshot::Receiver<()>> {
    let out = out.try_clone()?;
    let (send, gone) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Without requested events, poll(2) returns only for an error or a hang-up.
        let mut watched = [PollFd::new(&out, PollFlags::empty())];
        loop {
            match poll(&mut watched, None) {
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
                Ok(_) if watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) => {
                    return send.send(()).unwrap_or_default();
                }
                // Some files are always ready: no process reads those as they are written.
                Ok(_) => return,
            }
        }
    });
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_for_a_terminal_has_no_raw_control_character() {
        let value = serde_json::json!({ "why": "a\u{9b}2Jb\u{7f}c\u{1b}\u{e4}" });
        let shown = escaped(&value.to_string());
        assert!(!shown.contains(char::is_control), "{shown:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), value);
    }
}
