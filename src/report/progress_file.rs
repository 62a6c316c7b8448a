//! Reports progress to the host's log, and to a file that `rolling status --follow` reads, since
//! the host shows no more of an apply than that it lasts.
//!
//! The file is JSON, one object per line. The first one holds the document of the deployment, so
//! that `rolling pause`, `rollback` and the like take the file, too. The others are the events as
//! `rolling apply --output json` prints them, each with its lines for people.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::event::{Envelope, Event};
use crate::report::json_line::json_line;
use crate::report::log_lines::LogLines;
use crate::report::text;

/// The first line of a file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The deployment, as a document.
    pub(crate) document: Value,
    /// The process at work, as [`crate::engine::owner`] names it.
    pub(crate) owner: String,
    /// Variables of the commands of gates and hooks. Their values are not in the document: a
    /// command finds them in the environment of the process that continues the rollout.
    #[serde(default)]
    pub(crate) environment: Vec<String>,
}

/// Writes progress to the log and the file.
pub(crate) struct ProgressFile {
    target: String,
    log_lines: LogLines,
    file: Option<File>,
}

impl ProgressFile {
    /// Begins the file for `target` in `folder`, if there is one. Only its owner may read it, since
    /// it has the document. A failure to write it stops nothing.
    pub(crate) fn begin(folder: Option<&Path>, target: &str, header: &Header) -> ProgressFile {
        let file = folder.and_then(|folder| {
            let path = path(folder, target);
            let made = std::fs::create_dir_all(folder).and_then(|()| create(&path));
            let made = made.and_then(|mut file| {
                writeln!(file, "{}", json!(header))?;
                Ok(file)
            });
            match made {
                Ok(file) => Some(file),
                Err(error) => {
                    let path = path.display();
                    tracing::warn!(%error, "cannot write progress to {path}");
                    None
                }
            }
        });
        ProgressFile { target: target.to_owned(), log_lines: LogLines::default(), file }
    }

    /// Reports an event.
    pub(crate) fn tell(&mut self, envelope: &Envelope) {
        let lines = match &envelope.event {
            Event::Finished { report } => {
                text::report(&self.target, report).lines().map(str::to_owned).collect()
            }
            _ => self.log_lines.lines(envelope),
        };
        let (target, rollout) = (self.target.as_str(), envelope.rollout.as_str());
        for line in &lines {
            let message = line.split_once("] ").map_or(line.as_str(), |(_, message)| message);
            let message = message.strip_prefix(&format!("{target}: ")).unwrap_or(message);
            tracing::info!(target, rollout, index = envelope.index, "{target}: {message}");
        }
        if let Some(file) = &mut self.file {
            let mut line = json_line(&self.target, envelope);
            line["text"] = json!(lines);
            if let Err(error) = writeln!(file, "{line}") {
                tracing::warn!(%error, "cannot write progress any more");
                self.file = None;
            }
        }
    }
}

/// Creates a file for its owner alone, or empties it, unless it is a link: what a link leads to
/// belongs to somebody else.
fn create(path: &Path) -> std::io::Result<File> {
    let nofollow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(nofollow);
    let file = options.open(path)?;
    // One that was there keeps its mode when it is opened.
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Returns the file for a target. Some target names are no valid file names: other characters are
/// written as `%` and each byte, so that two targets have two files.
pub(crate) fn path(folder: &Path, target: &str) -> PathBuf {
    let escaped = |byte: u8| match byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    let name: String = target.bytes().map(escaped).collect();
    folder.join(format!("{name}.jsonl"))
}

/// Returns the first line of `text`, if that is a progress file.
pub(crate) fn header(text: &str) -> Option<Header> {
    serde_json::from_str(text.lines().next()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_a_file_of_its_own() {
        let names = ["a/b", "a_b", "a%2Fb", "\u{123}", "\u{12}3", "..", "../a"];
        let folder = Path::new("there");
        let files: Vec<PathBuf> = names.iter().map(|name| path(folder, name)).collect();
        for (index, file) in files.iter().enumerate() {
            assert_eq!(file.parent(), Some(folder), "{}", file.display());
            assert!(!files[..index].contains(file), "{}", file.display());
        }
    }

    #[test]
    fn a_file_is_its_owners_alone_and_no_link_is_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("a.jsonl"), folder.path().join("b.jsonl"));
        std::fs::write(&file, "before").expect("a file");
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("its mode");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        create(&link).expect_err("a link leads to what belongs to somebody else");
        assert_eq!(std::fs::read(&file).expect("the file"), b"before");
        let mode = create(&file).and_then(|file| file.metadata()).expect("the file").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }
}
