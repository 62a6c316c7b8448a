//! Any fleet of this adapter, with its record in an object.
//!
//! A write holds what the last look showed and what the engine adds to it, and succeeds only where
//! the object is still as that look showed it. An engine that missed another's write cannot write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rolling_provider::{
    Action, Activity, Alarm, Clock, Done, Examination, Fleet, InstanceId, Observation,
    ProviderError, Revision, Tags, Target, TerminatedInstance, Timestamp,
};
use tokio::sync::OnceCell;

use super::store::{Store, Stored};

/// The tag that names a rollout; it identifies a rollout that is recorded on the target itself.
const ROLLOUT: &str = "rolling:rollout";

/// Calls that would keep a record on the target.
const TAGGING: [&str; 3] = [
    "autoscaling:CreateOrUpdateTags",
    "elasticloadbalancing:AddTags",
    "elasticloadbalancing:RemoveTags",
];

pub(super) struct RecordedFleet {
    inner: Arc<dyn Fleet>,
    store: Store,
    /// The target's id, which never changes.
    target: OnceCell<String>,
    /// The object as the last look showed it, or as it was written since.
    last_read: Mutex<Stored>,
}

impl RecordedFleet {
    pub fn new(inner: Arc<dyn Fleet>, store: Store) -> Self {
        Self { inner, store, target: OnceCell::new(), last_read: Mutex::default() }
    }

    async fn target(&self) -> Result<&str, ProviderError> {
        let look_up = || async { Ok(self.inner.resolve().await?.id) };
        self.target.get_or_try_init(look_up).await.map(String::as_str)
    }

    async fn read(&self) -> Result<Stored, ProviderError> {
        self.store.read(self.target().await?).await
    }

    async fn write(&self, tags: Tags) -> Result<(), ProviderError> {
        let last_read = self.last_read();
        let written = if tags.is_empty() {
            self.store.delete(&last_read).await.map(|()| Stored::default())?
        } else {
            self.store.write(self.target().await?, tags, &last_read).await?
        };
        self.saw(written);
        Ok(())
    }

    fn last_read(&self) -> Stored {
        self.last_read.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn saw(&self, last_read: Stored) {
        *self.last_read.lock().unwrap_or_else(PoisonError::into_inner) = last_read;
    }

    /// Refuses a rollout that the target's tags record: it goes on from there, not from the object.
    fn refuse_tags(&self, tags: &Tags) -> Result<(), ProviderError> {
        let Some(first) = tags.keys().next() else { return Ok(()) };
        let id = tags
            .get(ROLLOUT)
            .and_then(|value| value.split(' ').find_map(|field| field.strip_prefix("id=")));
        let what = id.map_or_else(|| format!("the tag {first}"), |id| format!("rollout {id}"));
        let message = format!(
            "{what} is recorded in the target's tags, and the document keeps the record in {}",
            self.store.name()
        );
        let error = ProviderError::invalid("read the record", "record", message);
        Err(error.with_remedy(
            "take record out of the document until that rollout is finished or aborted, or remove \
             the tags that start with rolling: once nothing is borrowed any more",
        ))
    }
}

#[async_trait]
impl Fleet for RecordedFleet {
    async fn resolve(&self) -> Result<Target, ProviderError> {
        let mut target = self.inner.resolve().await?;
        target.warnings_of_long.retain(|(_, message)| message != crate::resolve::RECORD_IN_TAGS);
        self.target.get_or_init(|| async { target.id.clone() }).await;
        Ok(target)
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let (mut look, last_read) = tokio::try_join!(self.inner.observe(), self.read())?;
        self.refuse_tags(&look.record)?;
        look.record.clone_from(&last_read.tags);
        // Only now: the engine must not overwrite what it does not get to see.
        self.saw(last_read);
        Ok(look)
    }

    async fn may_roll(&self, begins: bool) -> Result<(), ProviderError> {
        self.inner.may_roll(begins).await
    }

    async fn make_revision(&self, wanted: &Revision) -> Result<Revision, ProviderError> {
        self.inner.make_revision(wanted).await
    }

    async fn activities(&self, since: Timestamp) -> Result<Vec<Activity>, ProviderError> {
        self.inner.activities(since).await
    }

    async fn terminated(&self) -> Result<Vec<TerminatedInstance>, ProviderError> {
        self.inner.terminated().await
    }

    async fn examine(&self) -> Examination {
        let mut found = self.inner.examine().await;
        // Without a target the inner fleet has reported that.
        if let Ok(target) = self.target().await {
            found.errors.extend(self.store.examine(target).await);
        }
        // Only instances are tagged.
        found.errors.retain(|error| error.operation != "DeleteTags");
        found.untried.retain(|call| !TAGGING.contains(call));
        found
    }

    async fn alarms(&self, names: &BTreeSet<String>) -> Result<Vec<Alarm>, ProviderError> {
        self.inner.alarms(names).await
    }

    async fn addresses(
        &self,
        instances: &BTreeSet<InstanceId>,
    ) -> Result<BTreeMap<InstanceId, String>, ProviderError> {
        self.inner.addresses(instances).await
    }

    fn guards_record(&self) -> bool {
        true
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        match action {
            Action::WriteRecord { tags } => {
                tracing::debug!(object = self.store.name(), %action, "acting");
                if tags.is_empty() {
                    return Ok(Done::default());
                }
                let mut all = self.last_read().tags;
                all.extend(tags.clone());
                self.write(all).await.map(|()| Done::default())
            }
            Action::EraseRecord { keys } => {
                tracing::debug!(object = self.store.name(), %action, "acting");
                let mut remaining = self.last_read().tags;
                let before = remaining.len();
                remaining.retain(|key, _| !keys.contains(key));
                if remaining.len() == before {
                    return Ok(Done::default());
                }
                self.write(remaining).await.map(|()| Done::default())
            }
            other => self.inner.act(other).await,
        }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }
}
