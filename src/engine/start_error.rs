//! Why a run ends before it begins.

use std::fmt;

use rolling_provider::{ProviderError, Revision};

use super::message::with_remedy;
use crate::record::RecordError;

/// Why a run ends before it has changed anything of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StartError {
    /// The fleet cannot be seen.
    FleetUnseen(ProviderError),
    /// The lease cannot be written.
    LeaseNotWritten(ProviderError),
    /// The record cannot be read.
    RecordUnreadable(RecordError),
    /// The document changes the routing of the rollout under way.
    RoutingChanged(ProviderError),
    /// The revision that is only described cannot be made.
    RevisionNotMade(Revision, ProviderError),
}

impl From<RecordError> for StartError {
    fn from(error: RecordError) -> Self {
        StartError::RecordUnreadable(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::FleetUnseen(error) => write!(f, "cannot read the fleet: {error}"),
            StartError::LeaseNotWritten(error) => {
                write!(f, "cannot write the lease: {}", with_remedy(error))
            }
            StartError::RecordUnreadable(error) => error.fmt(f),
            StartError::RoutingChanged(error) => f.write_str(&with_remedy(error)),
            StartError::RevisionNotMade(wanted, error) => {
                write!(f, "cannot create {wanted}: {}", with_remedy(error))
            }
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::FleetUnseen(error)
            | StartError::LeaseNotWritten(error)
            | StartError::RoutingChanged(error)
            | StartError::RevisionNotMade(_, error) => Some(error),
            StartError::RecordUnreadable(error) => Some(error),
        }
    }
}
