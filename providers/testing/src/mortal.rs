//! An engine that is killed at an action.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use rolling_provider::{Action, Done, Fleet, ProviderError};

use crate::Wrapper;

/// Whether the engine dies before or after the action takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dies {
    /// The action never reaches the fleet.
    Before,
    /// The action takes effect.
    After,
}

/// Has the engine die at an action: the call never returns.
pub struct Mortal {
    inner: Arc<dyn Fleet>,
    at: u32,
    dies: Dies,
    calls: AtomicU32,
    dead: tokio::sync::Notify,
}

impl Mortal {
    /// Creates a fleet at whose `at`th action the engine dies; 0 for none.
    pub fn new(inner: Arc<dyn Fleet>, at: u32, dies: Dies) -> Arc<Self> {
        let dead = tokio::sync::Notify::new();
        Arc::new(Self { inner, at, dies, calls: AtomicU32::new(0), dead })
    }

    /// Runs `engine` until it is done or dead; `None` when it died.
    pub async fn survive<T>(&self, engine: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.dead.notified() => None,
            done = engine => Some(done),
        }
    }
}

#[async_trait]
impl Wrapper for Mortal {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        if self.calls.fetch_add(1, Ordering::Relaxed) + 1 != self.at {
            return self.inner.act(action).await;
        }
        if self.dies == Dies::After {
            self.inner.act(action).await?;
        }
        self.dead.notify_one();
        std::future::pending().await
    }
}

impl_fleet!(Mortal);
