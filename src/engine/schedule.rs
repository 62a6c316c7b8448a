//! When to look again, and when to retry: the only module that uses the `backoff` crate.
//!
//! `backoff` is no longer maintained (RUSTSEC-2025-0012). This module wraps everything the engine
//! needs of it, so that only this module changes if another crate replaces it.

use std::time::Duration;

use backoff::backoff::Backoff as _;
use backoff::exponential::{ExponentialBackoff, ExponentialBackoffBuilder};

/// The shortest time between two looks or tries.
const FIRST: Duration = Duration::from_millis(200);
/// The longest time between two tries of a failed call.
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// Growing pauses between looks at the fleet, from 0.2 s up to a cap.
#[derive(Debug)]
pub(crate) struct Schedule {
    backoff: ExponentialBackoff<backoff::SystemClock>,
}

impl Schedule {
    /// Pauses between looks, up to `cap`. `jitter` from 0 (none) to 1.
    pub(crate) fn polling(cap: Duration, jitter: f64) -> Self {
        Self::new(FIRST.min(cap), cap, jitter)
    }

    /// Pauses between tries of a failed call.
    pub(crate) fn retrying(jitter: f64) -> Self {
        Self::new(FIRST, LONGEST_RETRY, jitter)
    }

    /// The same pause each time.
    pub(crate) fn every(pause: Duration) -> Self {
        Self::new(pause, pause, 0.0)
    }

    fn new(first: Duration, cap: Duration, jitter: f64) -> Self {
        let backoff = ExponentialBackoffBuilder::new()
            .with_initial_interval(first)
            .with_multiplier(1.5)
            .with_max_interval(cap)
            .with_randomization_factor(jitter)
            // The planner keeps deadlines, on the engine's own clock.
            .with_max_elapsed_time(None)
            .build();
        Self { backoff }
    }

    /// Returns `pause`, shorter by up to `jitter` of it.
    pub(crate) fn spread(pause: Duration, jitter: f64) -> Duration {
        Self::new(pause, pause, jitter).pause().min(pause)
    }

    /// The next pause.
    pub(crate) fn pause(&mut self) -> Duration {
        self.backoff.next_backoff().unwrap_or(LONGEST_RETRY)
    }

    /// Starts over with short pauses, since something changed.
    pub(crate) fn start_over(&mut self) {
        self.backoff.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_start_over() {
        let mut schedule = Schedule::polling(Duration::from_secs(1), 0.0);
        let pauses: Vec<u128> = (0..7).map(|_| schedule.pause().as_millis()).collect();
        assert_eq!(pauses, [200, 300, 450, 675, 1000, 1000, 1000]);
        schedule.start_over();
        assert_eq!(schedule.pause().as_millis(), 200);
    }
}
