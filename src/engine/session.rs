//! The channel between a run and its caller: requests to stop come in, events go out.

use std::time::Duration;

use rolling_provider::{Clock, Timestamp};
use tokio::sync::{Notify, watch};

use super::caller::Stop;
use crate::model::event::{Envelope, Event};

/// See the module.
pub(super) struct Session<'a> {
    stop: watch::Receiver<Stop>,
    rollout: String,
    /// The number of the next event.
    index: u64,
    /// The time of the last event.
    last: Timestamp,
    sink: &'a mut (dyn FnMut(Envelope) + Send),
}

impl<'a> Session<'a> {
    /// Returns the session of the rollout that is called `rollout`.
    pub(super) fn new(
        rollout: &str,
        stop: watch::Receiver<Stop>,
        sink: &'a mut (dyn FnMut(Envelope) + Send),
    ) -> Self {
        Self { stop, rollout: rollout.to_owned(), index: 0, last: Timestamp(0), sink }
    }

    /// Sends `event`, which happened at `at`, with the next number.
    pub(super) fn send(&mut self, at: Timestamp, event: Event) {
        // An event from a look has the look's time, but never an earlier one than the last event.
        self.last = self.last.max(at);
        let rollout = self.rollout.clone();
        (self.sink)(Envelope { index: self.index, at: self.last, rollout, event });
        self.index += 1;
    }

    /// How urgently the run is to end.
    pub(super) fn urgency(&self) -> Stop {
        *self.stop.borrow()
    }

    /// Whether the run is to end.
    pub(super) fn is_stopping(&self) -> bool {
        self.urgency() != Stop::No
    }

    /// How urgently the run is to end. This marks the request as seen, so that it interrupts no
    /// further pause.
    pub(super) fn heed(&mut self) -> Stop {
        *self.stop.borrow_and_update()
    }

    /// Waits, unless a (more) urgent request to stop comes first.
    pub(super) async fn pause(&mut self, clock: &dyn Clock, duration: Duration) {
        self.pause_until(clock, duration, &Notify::new()).await;
    }

    /// Waits until `woken`, at most for `duration`, unless a (more) urgent request to stop comes
    /// first.
    pub(super) async fn pause_until(
        &mut self,
        clock: &dyn Clock,
        duration: Duration,
        woken: &Notify,
    ) {
        // Lets the task that checks the gates run, also in virtual time, where waits take none.
        tokio::task::yield_now().await;
        tokio::select! {
            biased;
            () = woken.notified() => {}
            // Before the wait, which takes no time in virtual time.
            Ok(()) = self.stop.changed() => self.stop.mark_changed(),
            () = clock.sleep(duration) => {}
        }
    }
}
