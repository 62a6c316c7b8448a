//! The port's clock.

use std::sync::Arc;

use rolling_provider::Clock;

/// A clock that can be printed.
#[derive(Clone)]
pub(crate) struct ClockRef(pub Arc<dyn Clock>);

impl std::fmt::Debug for ClockRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}
