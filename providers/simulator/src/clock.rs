//! Virtual time: it passes only while a caller waits, and then at once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rolling_provider::{Clock, Timestamp};

/// A clock for one engine at a time. A wait advances it by that time and returns at once. Rollouts
/// of hours take milliseconds and are the same every time.
pub struct VirtualClock {
    state: Mutex<ClockState>,
}

type Happens = Box<dyn FnOnce() + Send>;

struct ClockState {
    now: Timestamp,
    /// What is to happen and when, the next one last.
    due: Vec<(Timestamp, Happens)>,
}

impl VirtualClock {
    /// Creates a clock that shows `epoch` until a caller waits.
    pub fn new(epoch: Timestamp) -> Self {
        Self { state: Mutex::new(ClockState { now: epoch, due: Vec::new() }) }
    }

    /// Runs `happens` at `at`, in the middle of the wait that this falls into, which then ends
    /// there. May be called any number of times. Calls for the same time run in the order they were
    /// made.
    pub fn at(&self, at: Timestamp, happens: impl FnOnce() + Send + 'static) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let later = state.due.partition_point(|(due, _)| *due > at);
        state.due.insert(later, (at, Box::new(happens)));
    }

    fn advance(&self, duration: Duration) -> Vec<Happens> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let until = state.now + duration;
        let Some(next) = state.due.last().map(|(at, _)| *at).filter(|at| *at <= until) else {
            state.now = until;
            return Vec::new();
        };
        state.now = state.now.max(next);
        let later = state.due.partition_point(|(at, _)| *at > next);
        state.due.split_off(later).into_iter().rev().map(|(_, happens)| happens).collect()
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).now
    }

    async fn sleep(&self, duration: Duration) {
        for happens in self.advance(duration) {
            happens();
        }
    }
}
