//! A record beside the fleet that is written only where it is as it was last seen.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rolling_provider::{Action, Done, Effect, ErrorKind, Fleet, Observation, ProviderError, Tags};

use crate::Wrapper;

/// A record that is kept beside a fleet, and its version, which every write raises.
#[derive(Clone, Default)]
pub struct VersionedRecord(Arc<Mutex<Version>>);

#[derive(Clone, Default)]
struct Version {
    tags: Tags,
    number: u64,
}

impl VersionedRecord {
    /// Returns what it has.
    pub fn tags(&self) -> Tags {
        self.lock().tags.clone()
    }

    /// Changes it without a look at its version, as other programs may.
    pub fn change(&self, change: impl FnOnce(&mut Tags)) {
        self.lock().change(change);
    }

    fn lock(&self) -> MutexGuard<'_, Version> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Version {
    fn change(&mut self, change: impl FnOnce(&mut Tags)) {
        change(&mut self.tags);
        self.number += 1;
    }
}

/// One engine's view of a fleet whose record is versioned: it writes only over what its last look
/// or write left.
pub struct GuardedFleet {
    inner: Arc<dyn Fleet>,
    record: VersionedRecord,
    seen: Mutex<Version>,
}

impl GuardedFleet {
    /// Creates a view that has seen nothing.
    pub fn new(inner: Arc<dyn Fleet>, record: VersionedRecord) -> Self {
        Self { inner, record, seen: Mutex::default() }
    }

    /// Returns the record.
    pub fn record(&self) -> &VersionedRecord {
        &self.record
    }

    fn seen(&self) -> MutexGuard<'_, Version> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, change: impl FnOnce(&mut Tags)) -> Result<Done, ProviderError> {
        let (mut record, mut seen) = (self.record.lock(), self.seen());
        if record.number != seen.number {
            return Err(ProviderError {
                operation: "Write".into(),
                kind: ErrorKind::Transient,
                effect: Effect::NotApplied,
                code: None,
                message: "it has changed".into(),
                attribute: None,
                remedy: None,
            });
        }
        record.change(change);
        *seen = record.clone();
        Ok(Done::default())
    }
}

#[async_trait]
impl Wrapper for GuardedFleet {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let look = self.inner.observe().await?;
        let record = self.record.lock().clone();
        *self.seen() = record.clone();
        Ok(Observation { record: record.tags, ..look })
    }

    fn guards_record(&self) -> bool {
        true
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        match action {
            Action::WriteRecord { tags } => self.write(|record| record.extend(tags.clone())),
            Action::EraseRecord { keys } => {
                self.write(|record| record.retain(|key, _| !keys.contains(key)))
            }
            other => self.inner.act(other).await,
        }
    }
}

impl_fleet!(GuardedFleet);
