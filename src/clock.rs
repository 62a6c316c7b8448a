//! The engine's clock on top of tokio's: real time, or scaled time for people who watch a
//! simulation. (Virtual time for tests comes with the simulator.)
#![expect(clippy::disallowed_methods, reason = "this is the clock that all others must use")]

use std::time::Duration;

use async_trait::async_trait;
use rolling_provider::{Clock, Timestamp};
use tokio::time::Instant;

/// Time that runs `speed` times as fast as tokio's, from a given moment on.
#[derive(Debug)]
pub struct TokioClock {
    epoch: Timestamp,
    start: Instant,
    speed: f64,
}

impl TokioClock {
    /// A clock that shows `epoch` now. `speed` must be above zero.
    pub fn new(epoch: Timestamp, speed: f64) -> Self {
        Self { epoch, start: Instant::now(), speed }
    }
}

#[async_trait]
impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.epoch + self.start.elapsed().mul_f64(self.speed)
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration.div_f64(self.speed)).await;
    }
}
