//! The clock of a simulated fleet. Its time passes only while somebody waits for it, so that
//! computing, which takes real time, takes none of the fleet's: a look at thousands of instances
//! is as short as it is in a cloud, at any speed.
#![expect(clippy::disallowed_methods, reason = "this is the clock that all others must use")]

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rolling_provider::{Clock, Timestamp};
use tokio::sync::Notify;

/// Time that passes while callers wait, `speed` times as fast as the machine's, and from the end of
/// one wait to the end of the next: no wait ends late because something else is computed.
#[derive(Debug)]
pub struct SimulationClock {
    state: Mutex<State>,
    speed: f64,
    /// Notified when time has passed.
    passed: Notify,
}

#[derive(Debug)]
struct State {
    now: Timestamp,
    /// When each wait ends, and a number that tells those apart that end together.
    timers: BTreeSet<(Timestamp, u64)>,
    numbered: u64,
}

/// One wait, which is forgotten when it ends or is dropped.
struct Timer<'a> {
    clock: &'a SimulationClock,
    until: Timestamp,
    number: u64,
}

impl SimulationClock {
    /// Returns a clock that shows `epoch` until a caller waits. `speed` must be above zero.
    pub fn new(epoch: Timestamp, speed: f64) -> Self {
        let state = State { now: epoch, timers: BTreeSet::new(), numbered: 0 };
        Self { state: Mutex::new(state), speed, passed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, duration: Duration) -> Timer<'_> {
        let mut state = self.state();
        let (until, number) = (state.now + duration, state.numbered);
        state.numbered += 1;
        state.timers.insert((until, number));
        Timer { clock: self, until, number }
    }

    /// Lets time pass to `next`, but past the end of no wait.
    fn pass(&self, next: Timestamp) {
        let mut state = self.state();
        let ends = state.first_end().map_or(next, |first| first.min(next));
        state.now = state.now.max(ends);
        drop(state);
        self.passed.notify_waiters();
    }
}

impl State {
    /// Returns when the first of the waits ends that have not ended yet.
    fn first_end(&self) -> Option<Timestamp> {
        self.timers.iter().map(|(until, _)| *until).find(|until| *until > self.now)
    }
}

impl Timer<'_> {
    /// Returns when the next wait ends, and how long that is from now; `None` when this one has.
    fn next(&self) -> Option<(Timestamp, Duration)> {
        let state = self.clock.state();
        let next = state.first_end().filter(|_| self.until > state.now)?;
        Some((next, next.since(state.now)))
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.clock.state().timers.remove(&(self.until, self.number));
    }
}

#[async_trait]
impl Clock for SimulationClock {
    fn now(&self) -> Timestamp {
        self.state().now
    }

    async fn sleep(&self, duration: Duration) {
        let timer = self.begin(duration);
        // Others run now, as in every wait, and whoever lets time pass sees this timer.
        tokio::task::yield_now().await;
        loop {
            let passed = self.passed.notified();
            let Some((next, left)) = timer.next() else { return };
            tokio::select! {
                () = tokio::time::sleep(left.div_f64(self.speed)) => self.pass(next),
                () = passed => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const SPEED: f64 = 10_000.0;

    fn clock() -> Arc<SimulationClock> {
        Arc::new(SimulationClock::new(Timestamp(0), SPEED))
    }

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[tokio::test]
    async fn computing_takes_no_time_even_beside_a_long_wait() {
        let clock = clock();
        let beside = Arc::clone(&clock);
        let hour = tokio::spawn(async move { beside.sleep(seconds(3600)).await });
        for turn in 1..=20 {
            // One thread computes both: the other wait is over in real time before this one begins.
            std::thread::sleep(Duration::from_millis(20));
            clock.sleep(seconds(5)).await;
            assert_eq!(clock.now(), Timestamp(turn * 5000));
        }
        hour.await.expect("it ends");
        assert_eq!(clock.now(), Timestamp(3_600_000));
    }

    #[tokio::test]
    async fn a_wait_that_nobody_polls_or_that_was_dropped_holds_up_no_other() {
        let clock = clock();
        let mut unpolled = Box::pin(clock.sleep(seconds(2)));
        let mut dropped = Box::pin(clock.sleep(seconds(3)));
        tokio::select! {
            biased;
            () = &mut unpolled => unreachable!("it is the first to be polled, and once"),
            () = &mut dropped => unreachable!("it is polled once"),
            () = tokio::task::yield_now() => {}
        }
        drop(dropped);
        clock.sleep(seconds(10)).await;
        assert_eq!(clock.now(), Timestamp(10_000));
        unpolled.await;
        assert_eq!(clock.now(), Timestamp(10_000));
    }

    #[tokio::test]
    async fn time_passes_no_faster_than_its_speed() {
        let (clock, began) = (clock(), tokio::time::Instant::now());
        clock.sleep(seconds(600)).await;
        assert!(began.elapsed() >= Duration::from_millis(60), "{:?}", began.elapsed());
    }
}
