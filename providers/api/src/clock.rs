//! Time as an input: the engine reads no other clock, so tests can run on virtual time.

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, on a clock that never steps back.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Returns the time since `earlier`; zero when `earlier` is in the future.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, rhs: Duration) -> Timestamp {
        let millis = u64::try_from(rhs.as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.0.saturating_add(millis))
    }
}

/// The engine's source of time and of waiting.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Returns the time now. It never steps back, and goes on while the machine sleeps.
    fn now(&self) -> Timestamp;

    /// Returns what the wall clock shows, which may be set forwards or back. On a machine that was
    /// copied or moved while it stood still, only this clock may show that time has passed.
    fn wall(&self) -> Timestamp {
        self.now()
    }

    /// Waits for `duration` of this clock's time. Cancel-safe.
    async fn sleep(&self, duration: Duration);
}
