//! Rollouts that the platform's own controller carries out, as EC2 Auto Scaling does an instance
//! refresh.
//!
//! Such a rollout goes on whether or not any process watches it, and the platform keeps its state:
//! the engine starts it, follows it, and passes commands on.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;

use crate::{ProviderError, Revision, Timestamp};

/// A fleet that the platform rolls on request.
#[async_trait]
pub trait RolloutController: Send + Sync {
    /// Returns the rollout of this id, or the latest one; `None` when there is none. Reads only.
    ///
    /// # Errors
    /// Any error of the cloud.
    async fn current(&self, id: Option<&str>) -> Result<Option<DelegatedRollout>, ProviderError>;

    /// Starts a rollout and returns its id. Refused while another one is under way, so that repeated
    /// calls start only one.
    ///
    /// # Errors
    /// States in [`ProviderError::effect`] what it left behind.
    async fn start(
        &self,
        to: &Revision,
        preferences: &InstanceRefreshPreferences,
    ) -> Result<String, ProviderError>;

    /// Ends the rollout that is under way where it is. When there is none, that is not an error.
    ///
    /// # Errors
    /// States in [`ProviderError::effect`] what it left behind.
    async fn cancel(&self) -> Result<(), ProviderError>;

    /// Rolls the one that is under way back to what the fleet launched before it.
    ///
    /// # Errors
    /// States in [`ProviderError::effect`] what it left behind.
    async fn roll_back(&self) -> Result<(), ProviderError>;
}

/// The settings of an instance refresh. Percentages are of the fleet's size.
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

/// A rollout as the platform reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegatedRollout {
    /// Its id.
    pub id: String,
    /// Its progress.
    pub state: DelegatedRolloutState,
    /// The same in the platform's spelling: `InProgress`.
    pub status: String,
    /// Why it is in this state, in the platform's own text.
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

impl DelegatedRollout {
    /// Returns a rollout that was started a moment ago, as it will show.
    pub fn started(id: String, to: Revision) -> Self {
        DelegatedRollout {
            id,
            state: DelegatedRolloutState::Pending,
            status: "Pending".into(),
            reason: None,
            rollback_reason: None,
            percent: 0,
            started: Timestamp::default(),
            to: Some(to),
        }
    }
}

/// The progress of a delegated rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelegatedRolloutState {
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

impl DelegatedRolloutState {
    /// Whether the rollout has ended.
    pub fn is_over(self) -> bool {
        match self {
            DelegatedRolloutState::Pending
            | DelegatedRolloutState::Rolling
            | DelegatedRolloutState::Baking
            | DelegatedRolloutState::Cancelling
            | DelegatedRolloutState::RollingBack => false,
            DelegatedRolloutState::Succeeded
            | DelegatedRolloutState::Failed
            | DelegatedRolloutState::Cancelled
            | DelegatedRolloutState::RolledBack
            | DelegatedRolloutState::RollbackFailed => true,
        }
    }
}
