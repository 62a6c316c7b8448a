//! A fleet that keeps every look and action, to be judged by what was so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rolling_provider::{Action, Done, Fleet, Observation, ProviderError, Timestamp};

use crate::Wrapper;

type Truth = dyn Fn() -> Result<Observation, ProviderError> + Send + Sync;

/// Keeps every look and action, with what was so then.
pub struct Witness {
    inner: Arc<dyn Fleet>,
    truth: Option<Box<Truth>>,
    calls: Mutex<Vec<Arc<Call>>>,
}

/// A call that a [`Witness`] saw.
#[derive(Clone, Debug)]
pub enum Call {
    /// A look, and what was so then.
    Look(Observation),
    /// An action.
    Action(Box<RecordedAction>),
}

/// An action, its answer, and what was so before and after it.
#[derive(Clone, Debug)]
pub struct RecordedAction {
    /// The action.
    pub action: Action,
    /// What was so before.
    pub before: Observation,
    /// What was so afterwards.
    pub after: Observation,
    /// The answer.
    pub done: Result<Done, ProviderError>,
}

impl Witness {
    /// Creates a witness that takes a look of its own before and after each action.
    pub fn new(inner: Arc<dyn Fleet>) -> Arc<Self> {
        Arc::new(Self { inner, truth: None, calls: Mutex::default() })
    }

    /// Creates a witness that asks `truth` what is so: for a fleet whose looks lag, fail, or count
    /// as calls.
    pub fn with_truth(
        inner: Arc<dyn Fleet>,
        truth: impl Fn() -> Result<Observation, ProviderError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { inner, truth: Some(Box::new(truth)), calls: Mutex::default() })
    }

    /// Returns what was called so far, in order.
    pub fn calls(&self) -> Vec<Arc<Call>> {
        self.lock().clone()
    }

    /// Returns when somebody looked.
    pub fn looks(&self) -> Vec<Timestamp> {
        let looks = |call: &Arc<Call>| match &**call {
            Call::Look(truth) => Some(truth.at),
            Call::Action(_) => None,
        };
        self.lock().iter().filter_map(looks).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Call>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, call: Call) {
        self.lock().push(Arc::new(call));
    }

    async fn truth(&self) -> Result<Observation, ProviderError> {
        match &self.truth {
            Some(truth) => truth(),
            None => self.inner.observe().await,
        }
    }
}

#[async_trait]
impl Wrapper for Witness {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let truth = self.truth().await?;
        if self.truth.is_none() {
            self.keep(Call::Look(truth.clone()));
            return Ok(truth);
        }
        self.keep(Call::Look(truth));
        self.inner.observe().await
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        let before = self.truth().await?;
        let done = self.inner.act(action).await;
        let after = self.truth().await?;
        let action = action.clone();
        self.keep(Call::Action(Box::new(RecordedAction {
            action,
            before,
            after,
            done: done.clone(),
        })));
        done
    }
}

impl_fleet!(Witness);
