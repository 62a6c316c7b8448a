//! Ctrl-C, SIGTERM and a closed terminal: the first asks for a stop at the next safe point, the
//! second for a stop after the current call.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::engine::Stop;

/// Which signal came first; its exit code is 128 plus its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// Ctrl-C.
    Sigint,
    /// What service managers and CI runners send.
    Sigterm,
    /// The terminal, or the connection to it, is gone.
    Sighup,
}

impl Interrupt {
    /// The exit code of a program that this signal ended.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Interrupt::Sigint => 130,
            Interrupt::Sigterm => 143,
            Interrupt::Sighup => 129,
        }
    }
}

/// Listens to SIGHUP, unless the parent of this process has it ignored, as `nohup` does.
///
/// # Errors
/// When the process cannot listen to it.
fn hangup() -> io::Result<Option<Signal>> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    match ignores_hangup(&status) {
        true => Ok(None),
        false => signal(SignalKind::hangup()).map(Some),
    }
}

/// Whether the text of `/proc/self/status` says that SIGHUP, signal 1, is ignored: proc(5).
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

/// Waits for SIGHUP, for ever where it is ignored.
async fn hung_up(hangup: &mut Option<Signal>) -> Option<()> {
    match hangup {
        Some(hangup) => hangup.recv().await,
        None => std::future::pending().await,
    }
}

/// How urgently to stop, and which signal asked for it first.
pub(crate) type Channels = (watch::Receiver<Stop>, watch::Receiver<Option<Interrupt>>);

/// Listens from now on. The first receiver says how urgently to stop, the second why.
///
/// # Errors
/// When the process cannot listen to the signals.
pub(crate) fn listen() -> io::Result<Channels> {
    let mut sigint = signal(SignalKind::interrupt())?;
    let mut sigterm = signal(SignalKind::terminate())?;
    let mut sighup = hangup()?;
    let (urgency, stop) = watch::channel(Stop::No);
    let (first, interrupt) = watch::channel(None);
    tokio::spawn(async move {
        loop {
            let came = tokio::select! {
                Some(()) = sigint.recv() => Interrupt::Sigint,
                Some(()) = sigterm.recv() => Interrupt::Sigterm,
                Some(()) = hung_up(&mut sighup) => Interrupt::Sighup,
                else => return,
            };
            first.send_if_modified(|first| {
                let news = first.is_none();
                first.get_or_insert(came);
                news
            });
            urgency.send_modify(|stop| {
                *stop = if *stop == Stop::No { Stop::Gracefully } else { Stop::Now };
            });
        }
    });
    Ok((stop, interrupt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nohup_is_respected() {
        assert!(ignores_hangup("Name:\trolling\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hangup("SigIgn:\t0000000000001000\nSigCgt:\t0000000000000001\n"));
        assert!(!ignores_hangup(""));
    }
}
