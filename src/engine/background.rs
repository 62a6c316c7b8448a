//! Work beside the loop, so that the engine renews the lease and obeys commands meanwhile.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The result of a piece of work, once it is there.
type Slot<A> = Arc<Mutex<Option<A>>>;

/// What the work under way says of its last try, for whoever waits for it.
#[derive(Clone, Default)]
pub(super) struct LastTry(Slot<String>);

impl LastTry {
    /// Notes that the try with this number failed.
    pub(super) fn failed(&self, number: u32, why: &impl std::fmt::Display) {
        let message = format!("try {number} failed: {why}");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
    }

    fn message(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Does one piece of work at a time, named by what it is about (`Q`), for a result (`A`).
pub(super) struct Background<Q, A> {
    running: Option<(Q, JoinHandle<()>, Slot<A>)>,
    /// What the work under way says of its last try.
    last_try: LastTry,
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
        Self { running: None, last_try: LastTry::default(), answered }
    }

    /// What the work under way is about.
    pub(super) fn running(&self) -> Option<&Q> {
        self.running.as_ref().map(|(about, ..)| about)
    }

    /// What the last try of the work under way came to, if that failed: `try 2 failed: exit code 1`.
    pub(super) fn last_try(&self) -> Option<String> {
        self.last_try.message().filter(|_| self.running.is_some())
    }

    /// Stops the work, and returns once nothing of it runs any more.
    pub(super) async fn stop_and_wait(&mut self) {
        if let Some((_, task, _)) = self.running.take() {
            task.abort();
            // Whether it was over by itself makes no difference.
            let _ = task.await;
        }
    }

    /// Stops the work.
    pub(super) fn stop(&mut self) {
        if let Some((_, task, _)) = self.running.take() {
            task.abort();
        }
    }
}

impl<Q, A: Send + 'static> Background<Q, A> {
    /// Begins `work` about `about`, instead of what is under way. It notes tries that fail.
    pub(super) fn begin<W>(&mut self, about: Q, work: impl FnOnce(LastTry) -> W)
    where
        W: Future<Output = A> + Send + 'static,
    {
        self.stop();
        self.last_try = LastTry::default();
        let work = work(self.last_try.clone());
        let slot = Slot::<A>::default();
        let (result, notify) = (Arc::clone(&slot), Arc::clone(&self.answered));
        let task = tokio::spawn(async move {
            let _notifies = NotifiesOfPanic(Arc::clone(&notify));
            let answer = work.await;
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
            notify.notify_one();
        });
        self.running = Some((about, task, slot));
    }

    /// Returns the result, if it is there; `Some(None)` where the work has ended without one. The
    /// work is over then.
    pub(super) fn answer(&mut self) -> Option<Option<A>> {
        let (_, task, slot) = self.running.as_ref()?;
        // In this order: what ends between the two has left its answer.
        let has_ended = task.is_finished();
        let answer = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        if answer.is_none() && !has_ended {
            return None;
        }
        self.stop();
        Some(answer)
    }
}

/// Notifies when the work panics: it has no answer then.
struct NotifiesOfPanic(Arc<Notify>);

impl Drop for NotifiesOfPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_panics_has_ended_without_an_answer() {
        let mut background = Background::new(Arc::<Notify>::default());
        background.begin((), |_| async { if true { panic!("a fault") } else { 1 } });
        background.answered.notified().await;
        while background.running.as_ref().is_some_and(|(_, task, _)| !task.is_finished()) {
            tokio::task::yield_now().await;
        }
        assert_eq!(background.answer(), Some(None));
        background.begin((), |last_try| async move {
            last_try.failed(1, &"a fault");
            2
        });
        background.answered.notified().await;
        assert_eq!(background.last_try().as_deref(), Some("try 1 failed: a fault"));
        assert_eq!((background.answer(), background.answer()), (Some(Some(2)), None));
        assert_eq!(background.last_try(), None);
    }

    #[tokio::test]
    async fn nothing_of_stopped_work_is_left() {
        let mut background = Background::new(Arc::<Notify>::default());
        let shared = Arc::new(());
        let used = Arc::clone(&shared);
        background.begin((), |_| async move {
            std::future::pending::<()>().await;
            drop(used);
        });
        background.stop_and_wait().await;
        assert_eq!(Arc::strong_count(&shared), 1);
    }
}
