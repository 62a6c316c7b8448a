//! Virtual time: it passes only while somebody waits, and then at once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rolling_provider::{Clock, Timestamp};

/// A clock for one engine at a time: waiting moves it on by as much as is waited, without
/// waiting. Rollouts of hours take milliseconds and come out the same every time.
pub struct VirtualClock {
    state: Mutex<State>,
}

struct State {
    now: Timestamp,
    due: Option<(Timestamp, Box<dyn FnOnce() + Send>)>,
}

impl VirtualClock {
    /// A clock that shows `epoch` until somebody waits.
    pub fn new(epoch: Timestamp) -> Self {
        Self { state: Mutex::new(State { now: epoch, due: None }) }
    }

    /// Has `happens` take place at `at`, in the middle of whatever wait that falls into, which
    /// then ends there.
    pub fn at(&self, at: Timestamp, happens: impl FnOnce() + Send + 'static) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.due = Some((at, Box::new(happens)));
    }

    fn advance(&self, duration: Duration) -> Option<Box<dyn FnOnce() + Send>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let until = state.now + duration;
        match state.due.take() {
            Some((at, happens)) if at <= until => {
                state.now = state.now.max(at);
                Some(happens)
            }
            due => {
                state.due = due;
                state.now = until;
                None
            }
        }
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).now
    }

    async fn sleep(&self, duration: Duration) {
        if let Some(happens) = self.advance(duration) {
            happens();
        }
    }
}
