//! Has Elastic Beanstalk itself say what it thinks of the options that a deployment would set.

use aws_sdk_elasticbeanstalk::types::{
    ConfigurationOptionSetting, EnvironmentDescription, ValidationMessage, ValidationSeverity,
};
use rolling_provider::{EnvironmentOption, EnvironmentSettings, ErrorKind, ProviderError};

use super::{EnvironmentFleet, SERVICE};
use crate::error::from_sdk;

const VALIDATE: &str = "ValidateConfigurationSettings";

impl EnvironmentFleet {
    /// Checks the options that `settings` would change.
    ///
    /// # Errors
    /// The first of them that Elastic Beanstalk would refuse, in its own words. Without the permission
    /// nothing is checked: the update itself would be refused.
    pub(super) async fn check_options(
        &self,
        settings: &EnvironmentSettings,
    ) -> Result<(), ProviderError> {
        let environment = self.describe().await?;
        let changed = self.options_to_set(&environment, settings).await?;
        if changed.is_empty() {
            return Ok(());
        }
        let call = self.aws.elasticbeanstalk.validate_configuration_settings();
        let call = call
            .application_name(environment.application_name().unwrap_or_default())
            .environment_name(&self.environment.name)
            .set_option_settings(Some(changed.iter().map(setting).collect()));
        let answer = match call.send().await.map_err(|error| from_sdk(SERVICE, VALIDATE, &error)) {
            Ok(answer) => answer,
            Err(error) if error.kind == ErrorKind::Denied => {
                tracing::warn!(%error, "the options are not checked");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for message in answer.messages() {
            match message.severity() {
                Some(ValidationSeverity::Error) => return Err(refused(message)),
                _ => tracing::warn!("{}", message.message().unwrap_or_default()),
            }
        }
        Ok(())
    }

    /// Returns the options of `settings` that `environment` does not have yet.
    pub(super) async fn options_to_set(
        &self,
        environment: &EnvironmentDescription,
        settings: &EnvironmentSettings,
    ) -> Result<Vec<EnvironmentOption>, ProviderError> {
        let options = self.options(environment).await?;
        let wanted = settings.options().into_iter();
        Ok(wanted.filter(|it| options.get(it.name) != Some(&it.value)).collect())
    }
}

/// Returns an option as the calls have it.
pub(super) fn setting(option: &EnvironmentOption) -> ConfigurationOptionSetting {
    ConfigurationOptionSetting::builder()
        .namespace(option.namespace)
        .option_name(option.name)
        .value(&option.value)
        .build()
}

/// Returns what Elastic Beanstalk would refuse, by the attribute that has set it.
fn refused(message: &ValidationMessage) -> ProviderError {
    let name = message.option_name().unwrap_or_default();
    let attribute = match name {
        "BatchSizeType" => "batch_size_type",
        "BatchSize" => "batch_size",
        "Timeout" => "health/healthy_timeout",
        "NewVersionPercent" => "traffic/new_version_percent",
        "EvaluationTime" => "traffic/evaluation_time",
        _ => "policy",
    };
    let told = message.message().unwrap_or("Elastic Beanstalk gives no reason");
    let error = ProviderError::invalid(VALIDATE, attribute, told);
    error.with_remedy("choose another value, or change the options of the environment beside it")
}
