//! An Elastic Beanstalk environment as a fleet. Elastic Beanstalk itself deploys a version to it; what
//! tells success from failure is what each instance runs.

mod check_options;
mod environment_look;
mod events_before;
mod resolve;
mod update;
mod verdict;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rolling_provider::{
    Action, Activity, Clock, Done, Examination, Fleet, Observation, ProviderError, Revision,
    RolloutController, TakenBack, Target, Timestamp,
};

use crate::clock::ClockRef;
use crate::connect::Aws;

/// The prefix of the permissions.
const SERVICE: &str = "elasticbeanstalk";

/// An Elastic Beanstalk environment and what it should run.
#[derive(Clone, Debug)]
pub struct BeanstalkEnvironment {
    /// The environment's name.
    pub name: String,
    /// The label of the application version; `None` where it is only looked at.
    pub version_label: Option<String>,
}

/// See [`Aws::beanstalk_environment`].
#[derive(Debug)]
pub struct EnvironmentFleet {
    aws: Aws,
    environment: BeanstalkEnvironment,
    clock: ClockRef,
    /// What is known of updates, by their ids.
    known: Mutex<BTreeMap<String, KnownUpdate>>,
}

/// What nothing tells any more of an update that is over.
#[derive(Clone, Debug, Default)]
struct KnownUpdate {
    /// The version that it deploys.
    to: Option<Revision>,
    /// Whether this process has started it, and knows.
    is_started_here: bool,
    /// Whether it was seen to be aborted.
    is_aborted: bool,
    /// The version of the last completed one before it.
    completed_before: Option<Revision>,
    /// What it takes back.
    takes_back: Option<TakenBack>,
}

#[async_trait]
impl Fleet for EnvironmentFleet {
    async fn resolve(&self) -> Result<Target, ProviderError> {
        self.look_up().await
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        tracing::debug!(environment = self.environment.name, "looking");
        Ok(self.find().await?.observation(self.clock.0.now()))
    }

    /// What Elastic Beanstalk did and why is in the rollout itself.
    async fn activities(&self, _since: Timestamp) -> Result<Vec<Activity>, ProviderError> {
        Ok(Vec::new())
    }

    async fn examine(&self) -> Examination {
        let untried =
            vec!["elasticbeanstalk:UpdateEnvironment", "elasticbeanstalk:AbortEnvironmentUpdate"];
        Examination { untried, ..Examination::default() }
    }

    async fn may_roll(&self, _begins: bool) -> Result<(), ProviderError> {
        self.refuse_now().await
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        let message = format!("Elastic Beanstalk itself deploys: nothing here can {action}");
        Err(ProviderError::invalid("change the environment", "", message))
    }

    fn rollout_controller(&self) -> Option<&dyn RolloutController> {
        Some(self)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock.0)
    }
}

impl Aws {
    /// Returns an Elastic Beanstalk environment as a fleet, on `clock`.
    pub fn beanstalk_environment(
        &self,
        environment: BeanstalkEnvironment,
        clock: Arc<dyn Clock>,
    ) -> EnvironmentFleet {
        let (aws, clock) = (self.clone(), ClockRef(clock));
        EnvironmentFleet { aws, environment, clock, known: Mutex::default() }
    }
}
