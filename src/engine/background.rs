//! Work beside the loop, so that the engine renews the lease and obeys commands meanwhile.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The result of a piece of work, once it is there.
type Slot<A> = Arc<Mutex<Option<A>>>;

/// Does one piece of work at a time, named by what it is about (`Q`), for a result (`A`).
pub(super) struct Background<Q, A> {
    running: Option<(Q, JoinHandle<()>, Slot<A>)>,
    /// Notified when a result is there.
    answered: Arc<Notify>,
}

impl<Q, A> Drop for Background<Q, A> {
    fn drop(&mut self) {
        self.stop();
    }
}

impl<Q, A> Background<Q, A> {
    /// Returns one that does nothing yet, and notifies `answered` when a result is there.
    pub(super) fn new(answered: Arc<Notify>) -> Self {
        Self { running: None, answered }
    }

    /// What the work under way is about.
    pub(super) fn running(&self) -> Option<&Q> {
        self.running.as_ref().map(|(about, ..)| about)
    }

    /// Stops the work.
    pub(super) fn stop(&mut self) {
        if let Some((_, task, _)) = self.running.take() {
            task.abort();
        }
    }
}

impl<Q, A: Send + 'static> Background<Q, A> {
    /// Begins `work` about `about`, instead of what is under way.
    pub(super) fn begin(&mut self, about: Q, work: impl Future<Output = A> + Send + 'static) {
        self.stop();
        let slot = Slot::<A>::default();
        let (result, notify) = (Arc::clone(&slot), Arc::clone(&self.answered));
        let task = tokio::spawn(async move {
            let answer = work.await;
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
            notify.notify_one();
        });
        self.running = Some((about, task, slot));
    }

    /// Returns the result, if it is there. The work is over then.
    pub(super) fn answer(&mut self) -> Option<A> {
        let (_, _, slot) = self.running.as_ref()?;
        let answer = slot.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        self.stop();
        Some(answer)
    }
}
