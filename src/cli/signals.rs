//! Ctrl-C and SIGTERM: the first asks for a stop at the next safe point, the second for a stop
//! after the current call.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::engine::Stop;

/// Which signal came first; its exit code is 128 plus its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// Ctrl-C.
    Sigint,
    /// What service managers and CI runners send.
    Sigterm,
}

impl Interrupt {
    /// The exit code of a program that this signal ended.
    pub fn exit_code(self) -> u8 {
        match self {
            Interrupt::Sigint => 130,
            Interrupt::Sigterm => 143,
        }
    }
}

/// How urgently to stop, and which signal asked for it first.
pub type Channels = (watch::Receiver<Stop>, watch::Receiver<Option<Interrupt>>);

/// Listens from now on. The first receiver says how urgently to stop, the second why.
///
/// # Errors
/// When the signals cannot be listened to.
pub fn listen() -> io::Result<Channels> {
    let mut sigint = signal(SignalKind::interrupt())?;
    let mut sigterm = signal(SignalKind::terminate())?;
    let (urgency, stop) = watch::channel(Stop::No);
    let (first, interrupt) = watch::channel(None);
    tokio::spawn(async move {
        loop {
            let came = tokio::select! {
                Some(()) = sigint.recv() => Interrupt::Sigint,
                Some(()) = sigterm.recv() => Interrupt::Sigterm,
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
