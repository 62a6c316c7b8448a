//! A fleet's state, in memory or in a file that other processes may also use.
//!
//! A file is written at once where other processes must see a change, and otherwise a moment later:
//! a tick of many actions is one write. Until then other processes are kept out, so that none
//! builds on an incomplete state. If a process is killed before the write, none of its changes took
//! place.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rolling_provider::ProviderError;

use crate::fleet_state::FleetState;

/// How long a change may wait to be written, in real time.
const SOON: Duration = Duration::from_millis(10);

/// How often the lock is tried, and the pause after each try: others hold it only for a moment.
const TRIES: u32 = 1000;
const AGAIN: Duration = Duration::from_millis(5);

/// The longest name of a file, in bytes, that file systems allow.
const LONGEST_NAME: usize = 255;

/// When a change is to be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlushPolicy {
    /// Before anything else.
    Now,
    /// Together with changes that follow.
    Soon,
    /// Nothing has changed; only changes that wait are written.
    IfDue,
}

/// A fleet's state and its file, if it has one.
pub(crate) struct StateFile {
    pub state: FleetState,
    file: Option<PathBuf>,
    /// Keeps other processes out.
    lock: Option<std::fs::File>,
    /// Whether there are changes that are not written.
    due: bool,
    /// Whether a thread waits to write them.
    writer: bool,
    /// The version of the file that this process last wrote or read.
    stamp: Option<Stamp>,
}

/// Distinguishes the versions of a file: each is written as a new file.
type Stamp = (SystemTime, u64);

impl StateFile {
    /// Creates one from a state that is kept in `file`, or only in memory.
    pub fn new(state: FleetState, file: Option<PathBuf>) -> StateFile {
        StateFile { state, file, lock: None, due: false, writer: false, stamp: None }
    }

    /// Keeps other processes out, and reads what they have done.
    pub fn open(&mut self) -> Result<(), ProviderError> {
        let Some(file) = self.file.as_ref().filter(|_| self.lock.is_none()) else { return Ok(()) };
        self.lock = Some(lock(file)?);
        self.read_again()
    }

    /// Does the same for a look. Where nothing may be written, the file is read as it is: it is
    /// replaced as a whole, so that no look sees half of it.
    pub fn open_to_look(&mut self) -> Result<(), ProviderError> {
        let Some(file) = self.file.as_ref().filter(|_| self.lock.is_none()) else { return Ok(()) };
        self.lock = match try_lock(file, false) {
            Ok(lock) => Some(lock),
            Err(error) if may_not_write(&error) || is_unused(&error, file) => None,
            Err(error) => return Err(not_locked(file, &error)),
        };
        self.read_again()
    }

    fn read_again(&mut self) -> Result<(), ProviderError> {
        let Some(file) = &self.file else { return Ok(()) };
        let stamp = stamp(file);
        if stamp.is_some() && stamp != self.stamp {
            let launches = std::mem::take(&mut self.state.launches);
            if let Some(found) = read(file)? {
                self.state = FleetState { launches, ..found };
            }
            self.stamp = stamp;
        }
        Ok(())
    }

    /// Writes what is to be written now, and lets other processes in unless changes still wait.
    /// Without the lock, nothing is written.
    pub fn close(&mut self, write: FlushPolicy) -> Result<(), ProviderError> {
        let Some(file) = self.file.as_ref().filter(|_| self.lock.is_some()) else { return Ok(()) };
        self.due |= write != FlushPolicy::IfDue;
        if self.due && write != FlushPolicy::Soon {
            self.due = false;
            let stored = keep(file, &self.state);
            // A change that could not be written did not take place: the next call rereads the
            // file.
            self.stamp = stamp(file).filter(|_| stored.is_ok());
            self.lock = None;
            return stored;
        }
        if !self.due {
            self.lock = None;
        }
        Ok(())
    }

    /// Makes sure that waiting changes are written soon, unless another call writes them first.
    pub fn write_soon(&mut self, stored: &Arc<Mutex<StateFile>>) {
        if !self.due || std::mem::replace(&mut self.writer, true) {
            return;
        }
        let stored = Arc::downgrade(stored);
        std::thread::spawn(move || {
            #[expect(clippy::disallowed_methods, reason = "a file's time, not the fleet's")]
            std::thread::sleep(SOON);
            if let Some(stored) = stored.upgrade() {
                let mut stored = stored.lock().unwrap_or_else(PoisonError::into_inner);
                stored.writer = false;
                drop(stored.close(FlushPolicy::IfDue));
            }
        });
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        drop(self.close(FlushPolicy::IfDue));
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let data = std::fs::metadata(file).ok()?;
    Some((data.modified().ok()?, id(&data)))
}

#[cfg(unix)]
fn id(data: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(data)
}

#[cfg(not(unix))]
fn id(data: &std::fs::Metadata) -> u64 {
    data.len()
}

/// Reads the fleet from `file`, if there is one.
pub(crate) fn read(file: &Path) -> Result<Option<FleetState>, ProviderError> {
    let operation = "read the simulator's state";
    match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            failed(operation, file, &error)
                .with_remedy("remove the file to start with a fresh fleet")
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(operation, file, &error).with_remedy(remedy(error.kind(), file))),
    }
}

/// Saves the fleet in `file`. It is written beside and renamed, so that no process reads half of
/// it.
fn keep(file: &Path, state: &FleetState) -> Result<(), ProviderError> {
    let write = || -> std::io::Result<()> {
        let mut beside = tempfile::NamedTempFile::new_in(folder(file))?;
        beside.write_all(&serde_json::to_vec(state)?)?;
        beside.persist(file)?;
        Ok(())
    };
    write().map_err(|error| {
        let message = failed("keep the simulator's state", file, &error);
        message.with_remedy(remedy(error.kind(), file))
    })
}

/// Keeps other processes out until dropped.
fn lock(file: &Path) -> Result<std::fs::File, ProviderError> {
    try_lock(file, true).map_err(|error| not_locked(file, &error))
}

/// Waits for the lock, and creates it where that is asked for: where a fleet was never changed, a
/// look leaves no file.
fn try_lock(file: &Path, create: bool) -> std::io::Result<std::fs::File> {
    let path = lock_file(file);
    if create {
        std::fs::create_dir_all(folder(file))?;
    } else if path.file_name().is_some_and(|name| name.len() > LONGEST_NAME) {
        // Where there is no folder yet, nothing else finds that it can never be changed.
        return Err(std::io::Error::new(ErrorKind::InvalidFilename, "File name too long"));
    }
    let lock = open_lock(&path, create)?;
    for _ in 0..TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(std::fs::TryLockError::WouldBlock) => {}
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
        #[expect(clippy::disallowed_methods, reason = "a file's time, not the fleet's")]
        std::thread::sleep(AGAIN);
    }
    Err(std::io::Error::new(ErrorKind::TimedOut, "another process has kept it locked for 5 s"))
}

/// Opens the lock, or creates it for its owner alone. It is never emptied, and no link is
/// followed: both could destroy a file of somebody else.
fn open_lock(path: &Path, create: bool) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(create).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    options.open(path)
}

fn not_locked(file: &Path, error: &std::io::Error) -> ProviderError {
    let lock = lock_file(file);
    failed("lock the simulator's state", &lock, error).with_remedy(remedy(error.kind(), &lock))
}

fn lock_file(file: &Path) -> PathBuf {
    file.with_extension("lock")
}

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Whether `file` has no lock because nobody has changed the fleet yet. A link that leads nowhere is
/// no folder that a change could make.
fn is_unused(error: &std::io::Error, file: &Path) -> bool {
    let folder = folder(file);
    error.kind() == ErrorKind::NotFound && (folder.exists() || !folder.is_symlink())
}

/// Whether this process is not allowed to write where it wanted to.
fn may_not_write(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

fn failed(operation: &str, file: &Path, why: &dyn std::fmt::Display) -> ProviderError {
    let message = format!("{}: {why}", file.display());
    ProviderError::invalid(operation, "simulated_fleet", message)
}

/// Says what to do where `file` could not be read or written.
fn remedy(kind: ErrorKind, file: &Path) -> String {
    let folder = folder(file).display();
    let elsewhere = "choose another folder in provider.rolling.simulator.state_directory";
    match kind {
        ErrorKind::PermissionDenied => {
            format!("let this user read and write in {folder}, or {elsewhere}")
        }
        ErrorKind::ReadOnlyFilesystem => format!("{folder} cannot be written: {elsewhere}"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            format!("make room on the disk of {folder}, or {elsewhere}")
        }
        ErrorKind::InvalidFilename => "give the fleet a shorter name".into(),
        ErrorKind::NotFound => format!("make the folder {folder}, or {elsewhere}"),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists | ErrorKind::IsADirectory => {
            format!("something else is in the way of {}: move it, or {elsewhere}", file.display())
        }
        ErrorKind::TimedOut => {
            "wait for the other process; let it go on if it is stopped (Ctrl-Z)".into()
        }
        _ => format!("see to it that {folder} can be read and written, or {elsewhere}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only a file that holds something else is to be removed.
    #[test]
    fn what_to_do_fits_what_is_wrong() {
        let file = Path::new("there/web.json");
        for (kind, expected) in [
            (ErrorKind::PermissionDenied, "let this user read and write in there"),
            (ErrorKind::ReadOnlyFilesystem, "there cannot be written"),
            (ErrorKind::StorageFull, "make room on the disk of there"),
            (ErrorKind::QuotaExceeded, "make room on the disk of there"),
            (ErrorKind::InvalidFilename, "a shorter name"),
            (ErrorKind::NotFound, "make the folder there"),
            (ErrorKind::NotADirectory, "in the way of there/web.json"),
            (ErrorKind::TimedOut, "wait for the other process"),
            (ErrorKind::Other, "can be read and written"),
        ] {
            let message = remedy(kind, file);
            assert!(
                message.contains(expected) && !message.contains("fresh fleet"),
                "{kind}: {message}"
            );
        }
    }
}
