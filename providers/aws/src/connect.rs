//! Clients for one account and region.

use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_ec2::config::ProvideCredentials as _;
use rolling_provider::{Clock, ProviderError};

use crate::group::{AutoScalingGroup, AutoScalingGroupFleet};

/// How AWS is reached. What is left out is as the SDK finds it in the environment and the shared
/// configuration files; credentials come from the SDK's default chain only.
#[derive(Clone, Debug, Default)]
pub struct AwsConfig {
    /// The region.
    pub region: Option<String>,
    /// A profile of the shared configuration files.
    pub profile: Option<String>,
    /// Another endpoint for every service.
    pub endpoint_url: Option<String>,
}

/// One account and region.
#[derive(Clone, Debug)]
pub struct Aws {
    pub(crate) autoscaling: aws_sdk_autoscaling::Client,
    pub(crate) ec2: aws_sdk_ec2::Client,
    pub(crate) elb: aws_sdk_elasticloadbalancingv2::Client,
    pub(crate) region: String,
}

impl Aws {
    /// Reads the configuration and makes sure that there are a region and credentials, so that
    /// their lack is told before anything else and once.
    ///
    /// # Errors
    /// [`rolling_provider::ErrorKind::Invalid`] when either is missing.
    pub async fn connect(config: &AwsConfig) -> Result<Aws, ProviderError> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .operation_attempt_timeout(Duration::from_secs(30))
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            // The engine alone tries again: the SDK would repeat a mutation of unknown effect.
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(region) = &config.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &config.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &config.endpoint_url {
            loader = loader.endpoint_url(endpoint);
        }
        let shared = loader.load().await;

        let Some(region) = shared.region().map(ToString::to_string) else {
            return Err(ProviderError::invalid(
                "connect to AWS",
                "provider:aws/region",
                "no region is set, and none is assumed",
            )
            .with_remedy(
                "set provider.rolling.aws.region in the document, AWS_REGION in the environment, \
                 or region in your AWS profile",
            ));
        };
        let missing = |why: String| {
            ProviderError::invalid("connect to AWS", "provider:aws", why).with_remedy(
                "credentials come from the AWS SDK's default chain: set AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY, choose a profile (AWS_PROFILE), sign in again, or run \
                 where an instance or task role is attached",
            )
        };
        let provider = shared
            .credentials_provider()
            .ok_or_else(|| missing("there are no credentials".into()))?;
        provider.provide_credentials().await.map_err(|error| {
            let causes = aws_sdk_ec2::error::DisplayErrorContext(&error).to_string();
            missing(format!("there are no usable credentials: {}", first_cause(&causes)))
        })?;

        Ok(Aws {
            autoscaling: aws_sdk_autoscaling::Client::new(&shared),
            ec2: aws_sdk_ec2::Client::new(&shared),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(&shared),
            region,
        })
    }

    /// The fleet of one Auto Scaling group, on `clock`.
    pub fn auto_scaling_group(
        &self,
        group: AutoScalingGroup,
        clock: Arc<dyn Clock>,
    ) -> AutoScalingGroupFleet {
        AutoScalingGroupFleet::new(self.clone(), group, clock)
    }
}

/// The readable part of the SDK's error chain: what comes before its debug print.
fn first_cause(causes: &str) -> &str {
    causes.split(" (").next().unwrap_or(causes)
}
