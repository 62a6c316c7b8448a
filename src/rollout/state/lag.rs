//! How long looks may lag.

use std::time::Duration;

/// How long a look may show a size that no longer holds.
pub(crate) const LOOKS_LAG: Duration = Duration::from_secs(30);
