//! Looks that lag.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rolling_provider::{Action, Done, Fleet, Observation, ProviderError};

use crate::Wrapper;

/// Answers looks from the past: up to `lag` old, from time to time older or newer than the last.
pub struct Stale {
    inner: Arc<dyn Fleet>,
    lag: Duration,
    calls: AtomicU32,
    history: Mutex<Vec<Observation>>,
}

impl Stale {
    /// Creates a fleet whose looks are at most `lag` old.
    pub fn new(inner: Arc<dyn Fleet>, lag: Duration) -> Arc<Self> {
        Arc::new(Self { inner, lag, calls: AtomicU32::new(0), history: Mutex::default() })
    }
}

#[async_trait]
impl Wrapper for Stale {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let now = self.inner.observe().await?;
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        // Spread like chance, and the same every time.
        let share = call.wrapping_mul(2_654_435_761) >> 24;
        let lag = self.lag.mul_f64(f64::from(share) / 255.0);
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.push(now.clone());
        let known = history.iter().rev().find(|look| now.at.since(look.at) >= lag);
        let shown = known.or(history.first()).cloned().unwrap_or_else(|| now.clone());
        Ok(Observation { at: now.at, ..shown })
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        let before = self.inner.observe().await?;
        self.history.lock().unwrap_or_else(PoisonError::into_inner).push(before);
        self.inner.act(action).await
    }
}

impl_fleet!(Stale);
