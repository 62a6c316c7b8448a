//! What ends an operation early: a request, a deadline, or a peer that no longer waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::engine::Stop;

/// How urgently an operation is to end, by everything that may end it.
pub(crate) struct Stopping {
    /// How urgently.
    pub(crate) stop: watch::Receiver<Stop>,
    expired: Arc<AtomicBool>,
    relay: JoinHandle<()>,
}

impl Stopping {
    /// Ends the operation as `asked` says, gracefully after `deadline`, and gracefully as soon as
    /// `left` completes because nobody waits for it any more. The urgency only grows.
    pub(crate) fn listen(
        mut asked: watch::Receiver<Stop>,
        deadline: Option<Duration>,
        left: impl Future<Output = ()> + Send + 'static,
    ) -> Stopping {
        // No time is no race: nothing begins.
        let is_over = deadline.is_some_and(|deadline| deadline.is_zero());
        let (urgency, stop) = watch::channel(if is_over { Stop::Gracefully } else { Stop::No });
        let expired = Arc::new(AtomicBool::new(is_over));
        let has_expired = Arc::clone(&expired);
        let relay = tokio::spawn(async move {
            let limit = async {
                match deadline {
                    #[expect(clippy::disallowed_methods, reason = "the peer's time")]
                    Some(deadline) => tokio::time::sleep(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::pin!(limit, left);
            let (mut is_over, mut is_left, mut sender_gone) = (false, false, false);
            loop {
                let now = *asked.borrow_and_update();
                urgency.send_modify(|stop| *stop = now.max(*stop));
                tokio::select! {
                    changed = asked.changed(), if !sender_gone => sender_gone = changed.is_err(),
                    () = &mut limit, if !is_over => {
                        is_over = true;
                        has_expired.store(true, Ordering::Relaxed);
                        urgency.send_modify(|stop| *stop = Stop::Gracefully.max(*stop));
                    }
                    () = &mut left, if !is_left => {
                        is_left = true;
                        urgency.send_modify(|stop| *stop = Stop::Gracefully.max(*stop));
                    }
                    else => return,
                }
            }
        });
        Stopping { stop, expired, relay }
    }

    /// Whether the deadline has passed.
    pub(crate) fn has_expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

/// Waits until a stop is requested.
pub(crate) async fn stopped(stop: &mut watch::Receiver<Stop>) {
    if stop.wait_for(|urgency| *urgency != Stop::No).await.is_err() {
        // No sender is left that could request it.
        std::future::pending().await
    }
}
