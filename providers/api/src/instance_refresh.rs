//! A trait for platforms that replace the instances of a fleet on their own.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;

use crate::{ProviderError, Revision, Timestamp};

/// A fleet that rolls on its own on request, whether or not any process watches it.
#[async_trait]
pub trait InstanceRefreshes: Send + Sync {
    /// Returns the refresh of this id, or the latest one; `None` when there is none. Reads only.
    ///
    /// # Errors
    /// Any error of the cloud.
    async fn instance_refresh(
        &self,
        id: Option<&str>,
    ) -> Result<Option<InstanceRefresh>, ProviderError>;

    /// Starts a refresh and returns its id. Refused while another refresh is under way, so that
    /// repeated calls start only one.
    ///
    /// # Errors
    /// States in [`ProviderError::effect`] what it left behind.
    async fn start(
        &self,
        to: &Revision,
        preferences: &InstanceRefreshPreferences,
    ) -> Result<String, ProviderError>;

    /// Ends the refresh that is under way where it is. When there is none, that is not an error.
    ///
    /// # Errors
    /// States in [`ProviderError::effect`] what it left behind.
    async fn cancel(&self) -> Result<(), ProviderError>;

    /// Rolls the refresh that is under way back to what the fleet launched before it.
    ///
    /// # Errors
    /// States in [`ProviderError::effect`] what it left behind.
    async fn roll_back(&self) -> Result<(), ProviderError>;
}

/// The settings of a refresh. Percentages are of the fleet's size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceRefreshPreferences {
    /// The lowest percentage of instances that stay healthy. From 0 to 100; a share of an instance
    /// counts as one.
    pub min_healthy: u32,
    /// The highest percentage of instances that live. From 100 to 200, and at most 100 above the
    /// minimum. `None` where instances are replaced in place one after the other, although the
    /// minimum is 100.
    pub max_healthy: Option<u32>,
    /// How long a new instance must be in service to count. Whole seconds. `None` for the fleet's
    /// own setting.
    pub warmup: Option<Duration>,
    /// The percentages to wait at, in increasing order, 100 at the end; empty for none.
    pub checkpoints: Vec<u32>,
    /// How long to wait at each checkpoint. Whole seconds.
    pub checkpoint_delay: Duration,
    /// How long it waits at the end before it is over. Whole seconds.
    pub bake_time: Duration,
    /// Alarms of the cloud that make it fail.
    pub alarms: BTreeSet<String>,
    /// Whether it rolls back when it fails.
    pub rolls_back: bool,
    /// What to do about instances that are protected from scale-in.
    pub protected: SetAside,
    /// What to do about instances in standby.
    pub standby: SetAside,
}

/// What to do about instances that are set aside. Names and rules are those of AWS instance
/// refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetAside {
    /// Replace them anyway.
    Refresh,
    /// Leave them as they are; the rollout completes without them.
    Ignore,
    /// Replace the others, then wait up to an hour for protection or standby to end.
    Wait,
}

/// A refresh as the cloud reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceRefresh {
    /// Its id.
    pub id: String,
    /// Its progress.
    pub state: InstanceRefreshState,
    /// The same in the cloud's spelling: `InProgress`.
    pub status: String,
    /// Why it is in this state, in the cloud's own text.
    pub reason: Option<String>,
    /// Why it rolls back, or rolled back.
    pub rollback_reason: Option<String>,
    /// The progress, from 0 to 100; it falls during a rollback.
    pub percent: u32,
    /// When it began, on the cloud's clock.
    pub started: Timestamp,
    /// What every instance is to run; `None` for what the fleet launches anyway, or when it is
    /// unknown.
    pub to: Option<Revision>,
}

impl InstanceRefresh {
    /// Returns a refresh that was started a moment ago, as it will show.
    pub fn started(id: String, to: Revision) -> Self {
        InstanceRefresh {
            id,
            state: InstanceRefreshState::Pending,
            status: "Pending".into(),
            reason: None,
            rollback_reason: None,
            percent: 0,
            started: Timestamp::default(),
            to: Some(to),
        }
    }
}

/// The progress of a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceRefreshState {
    /// Nothing has been replaced yet.
    Pending,
    /// It replaces instances, or waits on the way.
    Rolling,
    /// Everything is replaced, and must stay healthy for a while.
    Baking,
    /// It is being cancelled, and completes what is under way.
    Cancelling,
    /// It rolls back.
    RollingBack,
    /// It is done.
    Succeeded,
    /// It could not continue, and left the instances as they were then.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It has rolled back.
    RolledBack,
    /// It could not roll back either.
    RollbackFailed,
}

impl InstanceRefreshState {
    /// Whether the refresh has ended.
    pub fn is_over(self) -> bool {
        match self {
            InstanceRefreshState::Pending
            | InstanceRefreshState::Rolling
            | InstanceRefreshState::Baking
            | InstanceRefreshState::Cancelling
            | InstanceRefreshState::RollingBack => false,
            InstanceRefreshState::Succeeded
            | InstanceRefreshState::Failed
            | InstanceRefreshState::Cancelled
            | InstanceRefreshState::RolledBack
            | InstanceRefreshState::RollbackFailed => true,
        }
    }
}
