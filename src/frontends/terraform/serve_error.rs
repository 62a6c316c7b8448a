//! Why a host cannot be served.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::tls::TlsError;
use crate::host::handshake::HostError;

/// Why a host cannot be served.
#[derive(Debug)]
pub(super) enum ServeError {
    /// The host asks for what this process does not offer.
    Host(HostError),
    /// TLS cannot be set up.
    Tls(TlsError),
    /// No socket can be made in this folder.
    Socket(PathBuf, io::Error),
    /// The process failed to do this.
    Process(&'static str, io::Error),
}

impl From<HostError> for ServeError {
    fn from(error: HostError) -> Self {
        ServeError::Host(error)
    }
}

impl From<TlsError> for ServeError {
    fn from(error: TlsError) -> Self {
        ServeError::Tls(error)
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Host(error) => error.fmt(f),
            ServeError::Tls(error) => error.fmt(f),
            ServeError::Socket(folder, error) => {
                write!(f, "failed to make a socket in {}: {error}", folder.display())
            }
            ServeError::Process(what, error) => write!(f, "failed to {what}: {error}"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ServeError::Host(error) => Some(error),
            ServeError::Tls(error) => Some(error),
            ServeError::Socket(_, error) | ServeError::Process(_, error) => Some(error),
        }
    }
}
