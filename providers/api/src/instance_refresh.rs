//! The smaller trait, for platforms that replace the instances of a fleet by themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;

use crate::{ProviderError, Revision, Timestamp};

/// A fleet that can be told to roll, and then does so whether or not anybody looks.
#[async_trait]
pub trait InstanceRefreshes: Send + Sync {
    /// The refresh of this id, or the latest one; `None` when there is none. Reads only.
    ///
    /// # Errors
    /// Whatever the cloud said.
    async fn instance_refresh(
        &self,
        id: Option<&str>,
    ) -> Result<Option<InstanceRefresh>, ProviderError>;

    /// Starts a refresh and returns its id. Refused while another one is under way, so that asked
    /// twice it starts one.
    ///
    /// # Errors
    /// Says in [`ProviderError::effect`] what it left behind.
    async fn start(
        &self,
        to: &Revision,
        preferences: &InstanceRefreshPreferences,
    ) -> Result<String, ProviderError>;

    /// Has the refresh that is under way end where it is. That there is none is no error.
    ///
    /// # Errors
    /// Says in [`ProviderError::effect`] what it left behind.
    async fn cancel(&self) -> Result<(), ProviderError>;

    /// Has the refresh that is under way go back to what the fleet launched before it.
    ///
    /// # Errors
    /// Says in [`ProviderError::effect`] what it left behind.
    async fn roll_back(&self) -> Result<(), ProviderError>;
}

/// How a refresh is to go about it. Percentages are of the fleet's size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceRefreshPreferences {
    /// So many stay healthy. From 0 to 100; a share of an instance counts as one.
    pub min_healthy: u32,
    /// So many live at most. From 100 to 200, and at most 100 above the minimum. `None` where one
    /// after the other is replaced in place, although none could be spared.
    pub max_healthy: Option<u32>,
    /// How long a new instance must have been in service to count. Whole seconds. `None`: for as
    /// long as the fleet's own settings say.
    pub warmup: Option<Duration>,
    /// Where to wait on the way, growing, 100 at the end; empty for nowhere.
    pub checkpoints: Vec<u32>,
    /// How long, at each of them. Whole seconds.
    pub checkpoint_delay: Duration,
    /// How long it waits at the end before it is over. Whole seconds.
    pub bake_time: Duration,
    /// Alarms of the cloud that make it fail.
    pub alarms: BTreeSet<String>,
    /// Whether it goes back when it fails.
    pub rolls_back: bool,
    /// What becomes of instances that are protected from scale-in.
    pub protected: SetAside,
    /// What becomes of instances in standby.
    pub standby: SetAside,
}

/// What to do about instances that somebody has set aside. Words and rules are those of
/// AWS instance refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetAside {
    /// Replace them all the same.
    Refresh,
    /// Leave them as they are; the rollout is done without them.
    Ignore,
    /// Replace the others, then wait for an hour for somebody to end it.
    Wait,
}

/// A refresh as the cloud has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceRefresh {
    /// Its id.
    pub id: String,
    /// How far it is.
    pub state: InstanceRefreshState,
    /// The same in the cloud's spelling: `InProgress`.
    pub status: String,
    /// Why, in the cloud's own words.
    pub reason: Option<String>,
    /// Why it goes, or went, back.
    pub rollback_reason: Option<String>,
    /// From 0 to 100; on the way back it falls.
    pub percent: u32,
    /// When it began, on the cloud's clock.
    pub started: Timestamp,
    /// What every instance is to run; `None` for whatever the fleet launches anyway, or for what
    /// cannot be told.
    pub to: Option<Revision>,
}

impl InstanceRefresh {
    /// One that was started a moment ago, as it will show.
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

/// How far a refresh is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceRefreshState {
    /// Nothing has been replaced yet.
    Pending,
    /// It replaces instances, or waits on the way.
    Rolling,
    /// Everything is replaced, and has to stay well for a while.
    Baking,
    /// It is to end, and lets what is under way come to its end.
    Cancelling,
    /// It goes back.
    RollingBack,
    /// It is done.
    Succeeded,
    /// It could not go on, and has left the instances as they were then.
    Failed,
    /// Somebody ended it.
    Cancelled,
    /// It went back.
    RolledBack,
    /// It could not go back either.
    RollbackFailed,
}

impl InstanceRefreshState {
    /// Whether nothing is done any more.
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
