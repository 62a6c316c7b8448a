//! What one look at an environment shows, in the port's terms.

use std::collections::BTreeMap;

use aws_sdk_elasticbeanstalk::types::{
    EnvironmentDescription, InstancesHealthAttribute, SingleInstanceHealth,
};
use rolling_provider::{
    Capacity, Instance, InstanceId, InstanceTrouble, Lifecycle, Observation, ProviderError,
    Revision, Timestamp,
};

use super::{EnvironmentFleet, SERVICE};
use crate::convert::timestamp;
use crate::error::from_sdk;

const ENVIRONMENTS: &str = "DescribeEnvironments";
const HEALTH: &str = "DescribeInstancesHealth";
/// How an instance's deployment is called that is over and well.
const DEPLOYED: &str = "Deployed";

/// An environment, and what its instances run.
#[derive(Clone, Debug)]
pub(super) struct FoundEnvironment {
    pub environment: EnvironmentDescription,
    pub instances: Vec<SingleInstanceHealth>,
    /// When Elastic Beanstalk last asked the instances, on its own clock.
    pub refreshed_at: Option<Timestamp>,
}

impl EnvironmentFleet {
    /// Reads the environment.
    ///
    /// # Errors
    /// When there is none of that name.
    pub(super) async fn describe(&self) -> Result<EnvironmentDescription, ProviderError> {
        let name = &self.environment.name;
        let call = self.aws.elasticbeanstalk.describe_environments();
        let call = call.environment_names(name).include_deleted(false);
        let answer = call.send().await.map_err(|error| from_sdk(SERVICE, ENVIRONMENTS, &error))?;
        answer.environments().first().cloned().ok_or_else(|| {
            let region = &self.aws.region;
            let message = format!("environment {name:?} does not exist in {region}");
            let at = "elastic_beanstalk_environment/name";
            let error = ProviderError::invalid(ENVIRONMENTS, at, message);
            error.with_remedy("check the name, the region and the account of the credentials")
        })
    }

    /// Reads the environment, and then what its instances run, which is newer.
    pub(super) async fn find(&self) -> Result<FoundEnvironment, ProviderError> {
        let environment = self.describe().await?;
        self.find_in(environment).await
    }

    /// Reads what the instances of `environment` run.
    pub(super) async fn find_in(
        &self,
        environment: EnvironmentDescription,
    ) -> Result<FoundEnvironment, ProviderError> {
        let (mut instances, mut refreshed_at, mut token) = (Vec::new(), None, None);
        loop {
            let call = self.aws.elasticbeanstalk.describe_instances_health();
            let call = call
                .environment_name(&self.environment.name)
                .attribute_names(InstancesHealthAttribute::All)
                .set_next_token(token);
            let answer = call.send().await.map_err(|error| {
                let error = from_sdk(SERVICE, HEALTH, &error);
                // The only thing that is invalid about this request is the environment's reporting.
                match error.code.as_deref() {
                    Some("InvalidRequestException") => error.with_remedy(
                        "set SystemType to enhanced: without it nobody can tell what an instance runs",
                    ),
                    _ => error,
                }
            })?;
            refreshed_at = timestamp(answer.refreshed_at()).or(refreshed_at);
            instances.extend_from_slice(answer.instance_health_list());
            token = answer.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            if token.is_none() {
                return Ok(FoundEnvironment { environment, instances, refreshed_at });
            }
        }
    }
}

impl FoundEnvironment {
    /// Returns the look in the port's terms.
    pub fn observation(&self, at: Timestamp) -> Observation {
        let instances: BTreeMap<InstanceId, Instance> = self
            .instances
            .iter()
            .filter_map(|found| Some((InstanceId::new(found.instance_id()?), instance(found))))
            .collect();
        let size = u32::try_from(instances.len()).unwrap_or(u32::MAX);
        Observation {
            at,
            instances,
            // Elastic Beanstalk sizes its groups by itself.
            capacity: Some(Capacity { min: 0, max: u32::MAX, desired: size, units: None }),
            template: self.environment.version_label().map(Revision::new),
            ..Observation::default()
        }
    }
}

/// Returns the version that an instance runs, where its latest deployment is over and well. After one
/// that failed, or during one, nobody knows. One that Elastic Beanstalk does not expect there does not
/// count: what is launched later would run another.
pub(super) fn runs(found: &SingleInstanceHealth) -> Option<&str> {
    let deployment = found.deployment()?;
    let is_well = deployment.status() == Some(DEPLOYED) && !is_unexpected(found);
    is_well.then(|| deployment.version_label()).flatten()
}

/// Whether Elastic Beanstalk expects another version of the instance than it runs: after a deployment
/// that it calls failed, although the instance has it
/// (<https://docs.aws.amazon.com/elasticbeanstalk/latest/dg/health-enhanced-status.html>).
fn is_unexpected(found: &SingleInstanceHealth) -> bool {
    found.causes().iter().any(|cause| cause.contains("Incorrect application version"))
}

/// Whether a version is being deployed to the instance.
pub(super) fn is_deploying(found: &SingleInstanceHealth) -> bool {
    found.deployment().and_then(|deployment| deployment.status()) == Some("In Progress")
}

fn instance(found: &SingleInstanceHealth) -> Instance {
    let is_green = found.color().is_some_and(|color| color.eq_ignore_ascii_case("green"));
    let healthy = is_green && runs(found).is_some();
    let status = found.health_status().unwrap_or("No Data");
    let is_launching = found.deployment().is_none() && !is_green;
    Instance {
        zone: found.availability_zone().unwrap_or_default().to_owned(),
        lifecycle: if is_launching { Lifecycle::Pending } else { Lifecycle::InService },
        lifecycle_name: Some(status.to_owned()),
        healthy,
        launched_at: timestamp(found.launched_at()),
        trouble: (!healthy).then(|| InstanceTrouble { message: trouble(found), is_final: false }),
        ..Instance::serving(runs(found).map(Revision::new), [])
    }
}

/// Returns why an instance does not serve, in Elastic Beanstalk's words.
pub(super) fn trouble(found: &SingleInstanceHealth) -> String {
    let status = found.health_status().unwrap_or("No Data");
    let deployment = found.deployment().filter(|it| it.status() != Some(DEPLOYED)).map(|it| {
        let (label, state) = (it.version_label().unwrap_or("?"), it.status().unwrap_or("?"));
        format!("deployment of {label}: {state}")
    });
    let causes = found.causes().iter().cloned();
    let parts: Vec<String> = deployment.into_iter().chain(causes).collect();
    if parts.is_empty() { status.to_owned() } else { format!("{status}: {}", parts.join("; ")) }
}
