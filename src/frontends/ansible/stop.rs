//! What ends a task early.
//!
//! When the process that waits for the answer ends, nobody may be left to see how a rollout goes
//! on. So its end counts as a request to stop.

use std::io;

use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::{oneshot, watch};

use crate::engine::Stop;
use crate::host::signals;

/// Starts to listen to signals and to the far end of standard output.
///
/// # Errors
/// When it fails to listen to signals.
pub(crate) fn listen() -> io::Result<watch::Receiver<Stop>> {
    // The signals include the loss of the terminal; Ansible asks ssh for one.
    let (mut asked, _) = signals::listen()?;
    let mut left = reader_left();
    let mut is_over = false;
    let (urgency, stop) = watch::channel(Stop::No);
    tokio::spawn(async move {
        loop {
            let now = tokio::select! {
                Ok(()) = asked.changed() => *asked.borrow_and_update(),
                received = &mut left, if !is_over => {
                    is_over = true;
                    if received.is_ok() { Stop::Gracefully } else { Stop::No }
                }
                else => return,
            };
            urgency.send_modify(|stop| *stop = now.max(*stop));
        }
    });
    Ok(stop)
}

/// Returns a channel that reports when nobody reads standard output any more.
///
/// Ansible does not pass Ctrl-C on to what it runs, and only abandons a task that takes too long.
fn reader_left() -> oneshot::Receiver<()> {
    let (tell, left) = oneshot::channel();
    std::thread::spawn(move || {
        let stdout = io::stdout();
        let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
        loop {
            match poll(&mut watched, None) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(_) if watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) => {
                    // The program may have ended meanwhile.
                    tell.send(()).unwrap_or_default();
                    return;
                }
                _ => return,
            }
        }
    });
    left
}
