//! Clients for one account and region.

use std::collections::BTreeMap;
use std::future::{Future as _, poll_fn};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::config::ProvideCredentials as _;
use aws_sdk_ec2::config::retry::RetryPartition;
use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep};
use aws_smithy_async::time::TimeSource;
use aws_types::origin::Origin;
use aws_types::service_config::ServiceConfigKey;
use rolling_provider::{Clock, ProviderError};

use crate::clock::ClockRef;
use crate::emulator::Reached;
use crate::error::PROVIDER;
use crate::expiration::Ends;
use crate::skew::Skew;
use crate::{AwsConfig, credentials};

/// The clients for one account and region.
#[derive(Clone, Debug)]
pub struct Aws {
    pub(crate) autoscaling: aws_sdk_autoscaling::Client,
    #[cfg(feature = "cloudwatch")]
    pub(crate) cloudwatch: aws_sdk_cloudwatch::Client,
    pub(crate) ec2: aws_sdk_ec2::Client,
    #[cfg(feature = "elasticbeanstalk")]
    pub(crate) elasticbeanstalk: aws_sdk_elasticbeanstalk::Client,
    pub(crate) elb: aws_sdk_elasticloadbalancingv2::Client,
    #[cfg(feature = "ssm")]
    pub(crate) ssm: aws_sdk_ssm::Client,
    #[cfg(feature = "s3")]
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) region: String,
    pub(crate) skew: Skew,
    pub(crate) reached: Reached,
    /// When the credentials expire.
    pub(crate) ends: Ends,
    /// Tags of what this provider launches.
    pub(crate) default_tags: Arc<BTreeMap<String, String>>,
}

impl Aws {
    /// Reads the configuration and checks that there are a region and credentials.
    ///
    /// The check reports missing ones once and before anything else. A `scaled` clock is for tests
    /// on an emulator on this host. The SDK's limit on calls goes by that clock, too.
    ///
    /// # Errors
    /// [`rolling_provider::ErrorKind::Invalid`] when either is missing, or time is scaled and the
    /// endpoint is not on this host.
    pub async fn connect(
        config: &AwsConfig,
        scaled: Option<Arc<dyn Clock>>,
    ) -> Result<Aws, ProviderError> {
        // Scaled time makes no emulator faster: both timeouts stay about as long in real time.
        let factor = if scaled.is_some() { 10 } else { 1 };
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5) * factor)
            .operation_attempt_timeout(Duration::from_secs(20) * factor)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            // Only the engine retries: the SDK would repeat a mutation of unknown effect. The
            // adaptive mode is here for its limit on calls, which it finds by being throttled.
            .retry_config(RetryConfig::adaptive().with_max_attempts(1))
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
        if let Some(clock) = &scaled {
            let time = SdkTime(ClockRef(Arc::clone(clock)));
            let patient = StalledStreamProtectionConfig::disabled();
            loader = loader.time_source(time.clone()).sleep_impl(time);
            loader = loader.stalled_stream_protection(patient);
        }
        if let Some(files) = credentials::files(config) {
            loader = loader.profile_files(files);
        }
        let mut shared = with_addresses(loader.load().await)?;

        if scaled.is_some() {
            shared = on_this_host(shared)?;
        }

        // To the SDK, an empty AWS_REGION is a region with an empty name.
        let region = shared.region().map(ToString::to_string).filter(|region| !region.is_empty());
        let Some(region) = region else {
            return Err(ProviderError::invalid(
                "connect to AWS",
                "provider:aws/region",
                "no region is set, and none is assumed",
            )
            .with_remedy(
                "set the provider's aws.region, AWS_REGION in the environment, or region in your \
                 AWS profile",
            ));
        };
        let (shared, ends) = credentials::with_credentials(config, shared).await?;
        credentials::check_account(config, &shared).await?;
        Ok(Aws {
            ends,
            default_tags: Arc::new(config.default_tags.clone()),
            ..Aws::of(&shared, region).await?
        })
    }

    /// Returns the clients. All clients for the same account and region share one limit on calls.
    async fn of(shared: &SdkConfig, region: String) -> Result<Aws, ProviderError> {
        let provider = shared.credentials_provider();
        let credentials = match &provider {
            Some(provider) => provider.provide_credentials().await.ok(),
            None => None,
        };
        // All calls of this process for the same account and region share one limit.
        let caller = credentials.as_ref().map_or("nobody", |credentials| {
            credentials.account_id().map_or(credentials.access_key_id(), |id| id.as_str())
        });
        // S3 has separate limits: the lease must not wait for other calls.
        #[cfg(feature = "s3")]
        let own = RetryPartition::new(format!("rolling s3 {caller} {region}"));
        let shares = RetryPartition::new(format!("rolling {caller} {region}"));
        let (skew, reached) = (Skew::default(), Reached::default());
        Ok(Aws {
            autoscaling: aws_sdk_autoscaling::Client::from_conf(
                aws_sdk_autoscaling::config::Builder::from(shared)
                    .retry_partition(shares.clone())
                    .interceptor(reached.watch("autoscaling"))
                    .build(),
            ),
            #[cfg(feature = "cloudwatch")]
            cloudwatch: aws_sdk_cloudwatch::Client::from_conf(
                aws_sdk_cloudwatch::config::Builder::from(shared)
                    .retry_partition(shares.clone())
                    .build(),
            ),
            ec2: aws_sdk_ec2::Client::from_conf(
                ec2_config(shared, &skew).retry_partition(shares.clone()).build(),
            ),
            #[cfg(feature = "elasticbeanstalk")]
            elasticbeanstalk: elasticbeanstalk(shared, &shares),
            elb: aws_sdk_elasticloadbalancingv2::Client::from_conf(
                aws_sdk_elasticloadbalancingv2::config::Builder::from(shared)
                    .retry_partition(shares.clone())
                    .build(),
            ),
            #[cfg(feature = "s3")]
            s3: aws_sdk_s3::Client::from_conf(
                aws_sdk_s3::config::Builder::from(shared)
                    .retry_partition(own)
                    // A custom endpoint has no host name for each bucket.
                    .force_path_style(shared.endpoint_url().is_some())
                    .build(),
            ),
            #[cfg(feature = "ssm")]
            ssm: aws_sdk_ssm::Client::from_conf(
                aws_sdk_ssm::config::Builder::from(shared).retry_partition(shares.clone()).build(),
            ),
            region,
            skew,
            reached,
            ends: Ends::Never,
            default_tags: Arc::default(),
        })
    }
}

#[cfg(feature = "elasticbeanstalk")]
fn elasticbeanstalk(
    shared: &SdkConfig,
    shares: &RetryPartition,
) -> aws_sdk_elasticbeanstalk::Client {
    let config = aws_sdk_elasticbeanstalk::config::Builder::from(shared);
    aws_sdk_elasticbeanstalk::Client::from_conf(config.retry_partition(shares.clone()).build())
}

/// Returns the configuration with its general endpoint as the only one, if that is on this host.
///
/// Scaled waiting times on a real cloud would terminate instances that still serve.
fn on_this_host(shared: SdkConfig) -> Result<SdkConfig, ProviderError> {
    if !shared.endpoint_url().is_some_and(is_loopback) {
        let message = "ROLLING_TEST_CLOCK is set, and the endpoint is not on this host";
        let error = ProviderError::invalid("connect to AWS", PROVIDER, message);
        return Err(error.with_remedy("unset ROLLING_TEST_CLOCK: it is for tests on an emulator"));
    }
    // As if the document named it: the environment may name other endpoints for single services.
    let mut alone = shared.into_builder();
    alone.insert_origin("endpoint_url", Origin::shared_config());
    Ok(alone.build())
}

/// The port's clock as the SDK's source of time.
#[derive(Clone, Debug)]
struct SdkTime(ClockRef);

impl TimeSource for SdkTime {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.0.now().0)
    }
}

impl AsyncSleep for SdkTime {
    fn sleep(&self, duration: Duration) -> Sleep {
        let clock = Arc::clone(&self.0.0);
        let sleeping = Box::pin(async move { clock.sleep(duration).await });
        // The SDK wants a `Sync` future. The mutex makes it one, and only its owner reaches it.
        let mut sleeping = Mutex::new(sleeping);
        Sleep::new(poll_fn(move |context| {
            let sleeping = sleeping.get_mut().unwrap_or_else(PoisonError::into_inner);
            sleeping.as_mut().poll(context)
        }))
    }
}

/// The services that are called, by the ids under which the environment and the profile may name an
/// endpoint for each.
const SERVICES: [&str; 8] = [
    "Auto Scaling",
    "CloudWatch",
    "EC2",
    "Elastic Beanstalk",
    "Elastic Load Balancing v2",
    "S3",
    "SSM",
    "STS",
];

/// Refuses endpoints that are no addresses: the SDK ends the process over an empty one.
///
/// As in the SDK, an endpoint of the document is the only one that counts.
fn with_addresses(shared: SdkConfig) -> Result<SdkConfig, ProviderError> {
    let is_given = shared.get_origin("endpoint_url").is_client_config();
    let found = shared.service_config().filter(|_| !is_given);
    let of_service = |id: &'static str| {
        let key = ServiceConfigKey::builder().service_id(id);
        let key = key.env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok()?;
        found?.load_config(key)
    };
    let all = SERVICES.into_iter().filter_map(of_service);
    let mut all = all.chain(shared.endpoint_url().map(str::to_owned));
    let Some(endpoint) = all.find(|endpoint| !is_address(endpoint)) else { return Ok(shared) };
    let message = format!("the endpoint {endpoint:?} is not an address");
    let error = ProviderError::invalid("connect to AWS", "provider:aws/endpoint_url", message);
    Err(error.with_remedy(
        "write for instance http://localhost:4566 in the provider's aws.endpoint_url, or in \
         AWS_ENDPOINT_URL and those of single services, or set none of them",
    ))
}

/// Whether `url` is `http://HOST` or `https://HOST`, with or without a port and a path.
fn is_address(url: &str) -> bool {
    let Ok(url) = url.parse::<http::Uri>() else { return false };
    let is_known = url.scheme_str().is_some_and(|scheme| scheme == "http" || scheme == "https");
    is_known && url.host().is_some_and(|host| !host.is_empty())
}

/// Whether a URL names this host by a loopback address.
fn is_loopback(url: &str) -> bool {
    let Ok(url) = url.parse::<http::Uri>() else { return false };
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Returns the configuration for EC2, with an interceptor that reads EC2's clock from each answer.
pub(crate) fn ec2_config(
    shared: &aws_config::SdkConfig,
    skew: &Skew,
) -> aws_sdk_ec2::config::Builder {
    aws_sdk_ec2::config::Builder::from(shared).interceptor(skew.clone())
}

#[cfg(test)]
mod tests {
    use super::{is_address, is_loopback};

    #[test]
    fn an_endpoint_is_an_address() {
        for url in ["http://localhost:4566", "https://example.com/x", "http://[::1]:1"] {
            assert!(is_address(url), "{url}");
        }
        for url in ["", "localhost:4566", "localhost", "ftp://example.com", "http://", "http:///x"]
        {
            assert!(!is_address(url), "{url}");
        }
    }

    #[test]
    fn only_loopback_addresses_are_this_hosts() {
        for url in ["http://127.0.0.1:4566", "http://localhost/", "https://[::1]:1/x"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in
            ["https://ec2.eu-west-1.amazonaws.com", "http://127.0.0.1@10.0.0.1/", "http://10.0.0.1"]
        {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
