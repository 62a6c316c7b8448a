//! Looks an environment up: its version, its options, and what a deployment would not get past.

use std::collections::BTreeMap;

use aws_sdk_elasticbeanstalk::types::{
    ApplicationVersionStatus, ConfigurationOptionSetting, ConfigurationSettingsDescription,
    EnvironmentDescription, EnvironmentStatus,
};
use rolling_provider::{ProviderError, Revision, Target};

use super::{EnvironmentFleet, SERVICE};
use crate::error::from_sdk;

const SETTINGS: &str = "DescribeConfigurationSettings";
const VERSIONS: &str = "DescribeApplicationVersions";
const LABEL: &str = "elastic_beanstalk_environment/version_label";
const NAME: &str = "elastic_beanstalk_environment/name";

/// What to do about an environment that is terminated.
pub(super) const ANOTHER: &str = "nothing is deployed to it any more: name another environment";

/// The namespaces whose options say how a version is deployed, and to what kind of environment.
const NAMESPACES: [&str; 5] = [
    "aws:elasticbeanstalk:command",
    "aws:elasticbeanstalk:trafficsplitting",
    "aws:elasticbeanstalk:environment",
    "aws:elasticbeanstalk:healthreporting:system",
    "aws:elasticbeanstalk:managedactions",
];

impl EnvironmentFleet {
    pub(super) async fn look_up(&self) -> Result<Target, ProviderError> {
        let environment = self.describe().await?;
        let mut options = self.options(&environment).await?;
        if options.get("SystemType").is_none_or(|kind| kind != "enhanced") {
            let name = &self.environment.name;
            let message = format!("environment {name:?} has basic health reporting");
            let error = ProviderError::invalid("check the environment", NAME, message);
            return Err(error.with_remedy(
                "set SystemType of aws:elasticbeanstalk:healthreporting:system to enhanced: without \
                 it nobody can tell what an instance runs",
            ));
        }
        let revision = self.wanted(&environment).await?;
        let warnings = warnings(&environment, &options);
        let tier = environment.tier().and_then(|tier| tier.name()).unwrap_or("WebServer");
        options.insert("Tier".to_owned(), tier.to_owned());
        let status = environment.status().map_or("unknown", |status| status.as_str());
        options.insert("Status".to_owned(), status.to_owned());
        let id = environment.environment_arn().or(environment.environment_id());
        let id = id.unwrap_or(&self.environment.name);
        Ok(Target {
            controller: Some("Elastic Beanstalk"),
            options,
            warnings,
            ..Target::new(id, &self.environment.name, "beanstalk environment", revision)
        })
    }

    /// Returns the version to deploy, which has to be there and ready.
    async fn wanted(
        &self,
        environment: &EnvironmentDescription,
    ) -> Result<Revision, ProviderError> {
        let application = environment.application_name().unwrap_or_default();
        let Some(label) = &self.environment.version_label else {
            return Ok(Revision::new(environment.version_label().unwrap_or_default()));
        };
        let call = self.aws.elasticbeanstalk.describe_application_versions();
        let call = call.application_name(application).version_labels(label);
        let answer = call.send().await.map_err(|error| from_sdk(SERVICE, VERSIONS, &error))?;
        let Some(version) = answer.application_versions().first() else {
            let message = format!("application {application:?} has no version {label:?}");
            let error = ProviderError::invalid(VERSIONS, LABEL, message);
            return Err(
                error.with_remedy("create it: aws elasticbeanstalk create-application-version")
            );
        };
        // A version whose source was never processed is one as well.
        let is_bad = matches!(
            version.status(),
            Some(
                ApplicationVersionStatus::Failed
                    | ApplicationVersionStatus::Building
                    | ApplicationVersionStatus::Processing
            )
        );
        if is_bad {
            let status = version.status().map_or("unknown", |status| status.as_str());
            let message =
                format!("version {label:?} of {application:?} is {status}, not Processed");
            let error = ProviderError::invalid(VERSIONS, LABEL, message);
            return Err(error.with_remedy("wait until it is processed, or create it anew"));
        }
        Ok(Revision::new(label.as_str()))
    }

    /// Returns the options of the environment as they are now.
    pub(super) async fn options(
        &self,
        environment: &EnvironmentDescription,
    ) -> Result<BTreeMap<String, String>, ProviderError> {
        let all = self.settings(environment).await?;
        // While options are being changed there are two: those that are deployed, and those to be.
        let pending = all.iter().find(|it| is_pending(it));
        let settings = pending.or(all.first());
        let options = settings.map(|it| it.option_settings()).unwrap_or_default();
        Ok(options.iter().filter_map(known).collect())
    }

    /// Returns the configuration that is deployed and, while it is changed, the one to be.
    pub(super) async fn settings(
        &self,
        environment: &EnvironmentDescription,
    ) -> Result<Vec<ConfigurationSettingsDescription>, ProviderError> {
        let call = self.aws.elasticbeanstalk.describe_configuration_settings();
        let call = call
            .application_name(environment.application_name().unwrap_or_default())
            .environment_name(&self.environment.name);
        let answer = call.send().await.map_err(|error| from_sdk(SERVICE, SETTINGS, &error))?;
        Ok(answer.configuration_settings().to_vec())
    }

    /// Refuses what no update can begin in.
    pub(super) async fn refuse_now(&self) -> Result<(), ProviderError> {
        let environment = self.describe().await?;
        match environment.status() {
            Some(
                status @ (EnvironmentStatus::Launching
                | EnvironmentStatus::Terminating
                | EnvironmentStatus::Terminated),
            ) => {
                let name = &self.environment.name;
                let message = format!("environment {name:?} is {}", status.as_str());
                let error = ProviderError::invalid("check the environment", NAME, message);
                let is_launching = *status == EnvironmentStatus::Launching;
                let remedy = if is_launching { "wait until it is Ready" } else { ANOTHER };
                Err(error.as_conflict().with_remedy(remedy))
            }
            _ => Ok(()),
        }
    }
}

/// Whether this configuration is being deployed.
pub(super) fn is_pending(settings: &ConfigurationSettingsDescription) -> bool {
    settings.deployment_status().is_some_and(|status| status.as_str() == "pending")
}

fn known(option: &ConfigurationOptionSetting) -> Option<(String, String)> {
    let is_known = NAMESPACES.contains(&option.namespace()?);
    is_known.then(|| Some((option.option_name()?.to_owned(), option.value()?.to_owned())))?
}

/// Returns what a reader of the plan should know.
fn warnings(
    environment: &EnvironmentDescription,
    options: &BTreeMap<String, String>,
) -> Vec<String> {
    let is = |name: &str, value: &str| {
        options.get(name).is_some_and(|found| found.eq_ignore_ascii_case(value))
    };
    let mut warnings = Vec::new();
    if is("IgnoreHealthCheck", "true") {
        warnings.push(
            "IgnoreHealthCheck is true: Elastic Beanstalk goes on whatever the health of a batch is"
                .to_owned(),
        );
    }
    let threshold = options.get("HealthCheckSuccessThreshold");
    warnings.extend(threshold.filter(|found| !found.eq_ignore_ascii_case("Ok")).map(|found| {
        format!(
            "HealthCheckSuccessThreshold is {found}: Elastic Beanstalk takes an instance for good \
             that is no better than that"
        )
    }));
    if is("ManagedActionsEnabled", "true") {
        let at = options.get("PreferredStartTime").map_or("some time", String::as_str);
        warnings.push(format!(
            "managed updates begin at {at}: one that has begun keeps a deployment from beginning"
        ));
    }
    if environment.operations_role().is_none_or(str::is_empty) {
        warnings.push(
            "the environment has no operations role: Elastic Beanstalk changes groups, load \
             balancers and stacks with the permissions of whoever asks for the update"
                .to_owned(),
        );
    }
    warnings
}
