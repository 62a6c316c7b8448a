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

type Happens = Box<dyn FnOnce() + Send>;

struct State {
    now: Timestamp,
    /// What is to happen, the next one last.
    due: Vec<(Timestamp, Happens)>,
}

impl VirtualClock {
    /// A clock that shows `epoch` until somebody waits.
    pub fn new(epoch: Timestamp) -> Self {
        Self { state: Mutex::new(State { now: epoch, due: Vec::new() }) }
    }

    /// Has `happens` take place at `at`, in the middle of whatever wait that falls into, which
    /// then ends there. May be asked for any number of things; those of one time happen in the
    /// order they were asked for.
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
