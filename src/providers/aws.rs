//! Converts how AWS is reached from a document to the adapter's types.

use std::sync::Arc;

use rolling_aws::{AssumedRole, Aws, AwsConfig, Keys, Token, WebIdentity};
use rolling_provider::{Clock, Fleet, ProviderError};

use crate::document::config::aws::{AccountId, AssumeRoleConfig, AssumeRoleWithWebIdentityConfig};
use crate::document::config::target::ElasticBeanstalkEnvironmentConfig;
use crate::document::config::{AwsProviderConfig, DurationText};

/// Opens an Elastic Beanstalk environment.
#[cfg(feature = "elasticbeanstalk")]
#[expect(clippy::unnecessary_wraps, reason = "as in a build without it")]
pub(super) fn open_environment(
    aws: &Aws,
    environment: &ElasticBeanstalkEnvironmentConfig,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Fleet>, ProviderError> {
    let (name, label) = (environment.name.clone(), environment.version_label.clone());
    let environment = rolling_aws::BeanstalkEnvironment { name, version_label: Some(label) };
    Ok(Arc::new(aws.beanstalk_environment(environment, clock)))
}

/// Returns an error: this build has no Elastic Beanstalk.
#[cfg(not(feature = "elasticbeanstalk"))]
pub(super) fn open_environment(
    _aws: &Aws,
    _environment: &ElasticBeanstalkEnvironmentConfig,
    _clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Fleet>, ProviderError> {
    let message = "this build of rolling has no Elastic Beanstalk in it";
    let error = ProviderError::invalid("open the fleet", "elastic_beanstalk_environment", message);
    Err(error.with_remedy("build it with the feature `elasticbeanstalk`, which is on by default"))
}

pub(crate) fn config(settings: AwsProviderConfig) -> AwsConfig {
    let ids = |ids: Option<Vec<AccountId>>| ids.into_iter().flatten().map(|id| id.0).collect();
    let keys = settings.access_key.zip(settings.secret_key);
    AwsConfig {
        region: settings.region,
        profile: settings.profile,
        endpoint_url: settings.endpoint_url,
        keys: keys.map(|(access_key, secret_key)| Keys {
            access_key: access_key.0,
            secret_key: secret_key.0,
            token: settings.token.map(|token| token.0),
        }),
        shared_config_files: settings.shared_config_files.unwrap_or_default(),
        shared_credentials_files: settings.shared_credentials_files.unwrap_or_default(),
        web_identity: settings.assume_role_with_web_identity.map(web_identity),
        assume_roles: settings.assume_role.into_iter().flatten().map(role).collect(),
        allowed_account_ids: ids(settings.allowed_account_ids),
        forbidden_account_ids: ids(settings.forbidden_account_ids),
        default_tags: settings.default_tags.and_then(|tags| tags.tags).unwrap_or_default(),
    }
}

fn role(given: AssumeRoleConfig) -> AssumedRole {
    AssumedRole {
        role_arn: given.role_arn,
        session_name: given.session_name,
        external_id: given.external_id.map(|id| id.0),
        duration: given.duration.as_ref().map(DurationText::get),
        policy_arns: given.policy_arns.unwrap_or_default(),
        tags: given.tags.unwrap_or_default(),
    }
}

fn web_identity(given: AssumeRoleWithWebIdentityConfig) -> WebIdentity {
    let text = given.web_identity_token.map(|token| Token::Text(token.0));
    // A checked document has one of the two.
    let token = text.unwrap_or(Token::File(given.web_identity_token_file.unwrap_or_default()));
    WebIdentity {
        role_arn: given.role_arn,
        session_name: given.session_name,
        token,
        duration: given.duration.as_ref().map(DurationText::get),
        policy_arns: given.policy_arns.unwrap_or_default(),
    }
}
