//! How far looks may be behind.

use std::time::Duration;

/// How long a look may show a size that does not hold any more.
pub const LOOKS_LAG: Duration = Duration::from_secs(30);
