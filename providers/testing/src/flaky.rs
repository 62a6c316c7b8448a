//! Calls that fail, are lost, or find nobody.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use rolling_provider::{
    Action, Done, Effect, ErrorKind, Fleet, Observation, ProviderError, Timestamp,
};

use crate::Wrapper;

/// A fleet whose looks and actions fail now and then, and always during an outage.
pub struct Flaky {
    inner: Arc<dyn Fleet>,
    /// When it was created.
    start: Timestamp,
    outage: Range<u64>,
    every: u32,
    calls: AtomicU32,
}

/// How a call fails.
struct Fault {
    error: ProviderError,
    takes_effect: bool,
}

impl Flaky {
    /// Creates a fleet of which about one in `every` calls fails (none for 0), and every call
    /// during `outage`, in seconds from now on.
    pub fn new(inner: Arc<dyn Fleet>, outage: Range<u64>, every: u32) -> Arc<Self> {
        let start = inner.clock().now();
        Arc::new(Self { inner, start, outage, every, calls: AtomicU32::new(0) })
    }

    fn is_down(&self) -> bool {
        let now = self.inner.clock().now();
        self.outage.contains(&now.since(self.start).as_secs())
    }

    /// How this call fails, if it does: in turns throttled, lost on the way there, and lost on the
    /// way back.
    fn fault(&self) -> Option<Fault> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let lost = (ErrorKind::Transient, Effect::Unknown);
        let ((kind, effect), takes_effect) = if self.is_down() {
            (lost, false)
        } else {
            // Spread like chance, and the same every time.
            let chance = call.wrapping_mul(2_654_435_761) >> 16;
            if self.every == 0 || !chance.is_multiple_of(self.every) {
                return None;
            }
            match chance / self.every % 3 {
                0 => ((ErrorKind::Throttled, Effect::NotApplied), false),
                1 => (lost, false),
                _ => (lost, true),
            }
        };
        let error = ProviderError {
            operation: "Call".into(),
            kind,
            effect,
            code: None,
            message: "the line is bad".into(),
            attribute: None,
            remedy: None,
        };
        Some(Fault { error, takes_effect })
    }
}

#[async_trait]
impl Wrapper for Flaky {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        match self.fault() {
            Some(fault) => Err(fault.error),
            None => self.inner.observe().await,
        }
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        let Some(fault) = self.fault() else { return self.inner.act(action).await };
        if fault.takes_effect {
            self.inner.act(action).await?;
        }
        Err(fault.error)
    }
}

impl_fleet!(Flaky);
