//! Standard output: a line on it, or all of it for a protocol.

use std::fs::File;
use std::io::{self, Write};

use rustix::event::{PollFd, PollFlags, poll};

/// Writes a line. Whether anybody still reads does not change what is done to a fleet.
pub fn print_line(to: &mut dyn Write, line: &str) {
    writeln!(to, "{line}").and_then(|()| to.flush()).unwrap_or_default();
}

/// Takes standard output for the protocol alone: from here on, whatever else is written to file
/// descriptor 1 goes to standard error.
///
/// # Errors
/// What the system said.
pub fn claim_stdout() -> io::Result<File> {
    let private = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(File::from(private))
}

/// Tells when nobody holds the other end of `out` any more, also while nothing is written.
///
/// # Errors
/// What the system said.
pub fn watch_reader(out: &File) -> io::Result<tokio::sync::oneshot::Receiver<()>> {
    let out = out.try_clone()?;
    let (send, gone) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Asked for nothing, poll(2) returns only for an error or a hang-up.
        let mut watched = [PollFd::new(&out, PollFlags::empty())];
        loop {
            match poll(&mut watched, None) {
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
                Ok(_) if watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) => {
                    return send.send(()).unwrap_or_default();
                }
                // Some files are always ready: nobody reads those as they are written.
                Ok(_) => return,
            }
        }
    });
    Ok(gone)
}
