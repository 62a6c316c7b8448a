//! Rollouts that the platform's own controller carries out, as EC2 Auto Scaling does an instance
//! refresh, and Elastic Beanstalk the update of an environment.
//!
//! Such a rollout goes on whether or not any process watches it, and the platform keeps its state:
//! the engine starts it, follows it, and passes commands on.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;

use crate::{ProviderError, Revision, Share, Timestamp};

/// A fleet that the platform rolls on request.
#[async_trait]
pub trait RolloutController: Send + Sync {
    /// Returns what the platform calls such a rollout, for messages: `instance refresh`.
    fn kind(&self) -> &'static str;

    /// Has the platform check `settings` before anything is changed. Reads only.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for what it would refuse, by the attribute of the document.
    async fn check(&self, _settings: &DelegatedSettings) -> Result<(), ProviderError> {
        Ok(())
    }

    /// Brings the platform's own settings to `settings`, where it keeps them apart from a rollout.
    /// Called until it is [`Preparation::Done`], and changes nothing that is so already; without
    /// `may_change`, nothing at all.
    ///
    /// # Errors
    /// States in [`ProviderError::effect`] what it left behind. [`crate::ErrorKind::Conflict`] while
    /// the platform is busy with something else.
    async fn prepare(
        &self,
        _settings: &DelegatedSettings,
        _may_change: bool,
    ) -> Result<Preparation, ProviderError> {
        Ok(Preparation::Done)
    }

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
        settings: &DelegatedSettings,
    ) -> Result<String, ProviderError>;

    /// Ends the rollout of this id, which is under way, where it is, or goes back, as the platform does.
    /// When there is none, that is not an error. Called until it is [`Cancellation::Accepted`] or the
    /// rollout is over.
    ///
    /// # Errors
    /// States in [`ProviderError::effect`] what it left behind.
    async fn cancel(&self, id: &str) -> Result<Cancellation, ProviderError>;

    /// Rolls the one of this id back to what the fleet launched before it. Called like
    /// [`RolloutController::cancel`].
    ///
    /// # Errors
    /// States in [`ProviderError::effect`] what it left behind. [`crate::ErrorKind::Invalid`] where the
    /// platform cannot do that by itself.
    async fn roll_back(&self, id: &str) -> Result<Cancellation, ProviderError>;
}

/// What became of a request to end a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancellation {
    /// The platform carries it out.
    Accepted,
    /// The platform takes no such request at this moment: the rollout has hardly begun, completes what
    /// cannot be ended, or is over.
    NotNow,
}

/// How far the platform's settings are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// They are as they are to be.
    Done,
    /// They were changed now, which takes a while, or would have been: what, as phrases.
    Changed(Vec<String>),
    /// The platform is busy, perhaps with them: with what, as a phrase.
    Busy(String),
}

/// What a platform goes by, made by the pure code of the engine. An adapter only spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DelegatedSettings {
    /// EC2 Auto Scaling.
    InstanceRefresh(InstanceRefreshPreferences),
    /// Elastic Beanstalk.
    Environment(EnvironmentSettings),
}

/// How Elastic Beanstalk deploys a version: the options of `aws:elasticbeanstalk:command` and
/// `aws:elasticbeanstalk:trafficsplitting`
/// (<https://docs.aws.amazon.com/elasticbeanstalk/latest/dg/command-options-general.html>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentSettings {
    /// `DeploymentPolicy`.
    pub policy: DeploymentPolicy,
    /// `BatchSizeType` and `BatchSize`, where the policy has batches.
    pub batch: Option<Share>,
    /// `Timeout`, whole seconds; `None` for the environment's own.
    pub timeout: Option<Duration>,
    /// `NewVersionPercent`, and `EvaluationTime` in whole minutes, where requests are split.
    pub split: Option<(u32, Duration)>,
}

/// One option of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentOption {
    /// Its namespace.
    pub namespace: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

const COMMAND: &str = "aws:elasticbeanstalk:command";
const TRAFFIC_SPLITTING: &str = "aws:elasticbeanstalk:trafficsplitting";

impl EnvironmentSettings {
    /// Returns them as options of the environment. What stays as the environment has it is none.
    pub fn options(&self) -> Vec<EnvironmentOption> {
        let of = |namespace| {
            move |(name, value): (&'static str, String)| EnvironmentOption {
                namespace,
                name,
                value,
            }
        };
        let batch = self.batch.iter().flat_map(|batch| {
            let (kind, size) = match batch {
                Share::Count(count) => ("Fixed", count),
                Share::Percent(percent) => ("Percentage", percent),
            };
            [("BatchSizeType", kind.to_owned()), ("BatchSize", size.to_string())]
        });
        let timeout = self.timeout.map(|timeout| ("Timeout", timeout.as_secs().to_string()));
        let policy = [("DeploymentPolicy", self.policy.name().to_owned())];
        let command = policy.into_iter().chain(batch).chain(timeout).map(of(COMMAND));
        let split = self.split.iter().flat_map(|(percent, time)| {
            let minutes = (time.as_secs() / 60).to_string();
            [("NewVersionPercent", percent.to_string()), ("EvaluationTime", minutes)]
        });
        command.chain(split.map(of(TRAFFIC_SPLITTING))).collect()
    }
}

/// A deployment policy of Elastic Beanstalk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeploymentPolicy {
    /// To all instances at once.
    AllAtOnce,
    /// In batches, in place.
    Rolling,
    /// In batches, with one more beside the fleet.
    RollingWithAdditionalBatch,
    /// To new instances beside the fleet.
    Immutable,
    /// To new instances, which take a share of the requests first.
    TrafficSplitting,
}

impl DeploymentPolicy {
    /// Its name, as Elastic Beanstalk writes it.
    pub fn name(self) -> &'static str {
        match self {
            DeploymentPolicy::AllAtOnce => "AllAtOnce",
            DeploymentPolicy::Rolling => "Rolling",
            DeploymentPolicy::RollingWithAdditionalBatch => "RollingWithAdditionalBatch",
            DeploymentPolicy::Immutable => "Immutable",
            DeploymentPolicy::TrafficSplitting => "TrafficSplitting",
        }
    }

    /// Whether Elastic Beanstalk itself goes back when it fails or is aborted: the old instances are
    /// still there.
    pub fn goes_back_by_itself(self) -> bool {
        matches!(self, DeploymentPolicy::Immutable | DeploymentPolicy::TrafficSplitting)
    }
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
    /// What the platform calls it: `instance refresh`.
    pub kind: &'static str,
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
    /// What the platform's own history calls completed before it; `None` where there is none.
    pub completed_before: Option<Revision>,
    /// What it takes back, where it deploys what was completed before that again.
    pub takes_back: Option<TakenBack>,
}

/// A rollout that did not succeed, and that the next one takes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenBack {
    /// What every instance was to run.
    pub to: Revision,
    /// Why it did not succeed, in the platform's own text.
    pub reason: Option<String>,
}

impl DelegatedRollout {
    /// Returns a rollout that was started a moment ago, as it will show.
    pub fn started(kind: &'static str, id: String, to: Revision) -> Self {
        DelegatedRollout {
            kind,
            id,
            state: DelegatedRolloutState::Pending,
            status: "Pending".into(),
            reason: None,
            rollback_reason: None,
            percent: 0,
            started: Timestamp::default(),
            to: Some(to),
            completed_before: None,
            takes_back: None,
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
    /// It is over, and something else has begun since, so that nothing tells how it ended.
    Superseded,
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
            | DelegatedRolloutState::RollbackFailed
            | DelegatedRolloutState::Superseded => true,
        }
    }
}
